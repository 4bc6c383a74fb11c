//! Which sessions RTCP from an unknown address may belong to: those whose viewer sends RTCP with this source and has not been
//! heard from for a moment. Its device has moved to another network, or its NAT has begun to map another port, and its next
//! check may be seconds away.
//!
//! What is found here is only a guess: the packet has to be authentic for the session that it is delivered to.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::peer_set::MuxPeerSet;
use crate::util::token_bucket::{Bucket, Rate};

/// A viewer that has been heard from within this time has not moved. Browsers send feedback every 50 to 100 ms while they
/// receive media.
const SILENCE: Duration = Duration::from_millis(100);

/// Deliveries to sessions. Each costs the session the verification of a short packet.
const DELIVERIES: Rate = Rate::new(64, 64);

/// The sources of the viewers' RTCP.
#[derive(Debug)]
pub struct RtcpSources {
    /// Every Chromium that only receives sends as source 1.
    sessions: HashMap<u32, Vec<Weak<MuxPeerSet>>>,
    deliveries: Bucket,
}

impl Default for RtcpSources {
    fn default() -> Self {
        Self { sessions: HashMap::new(), deliveries: Bucket::new(DELIVERIES, Instant::now()) }
    }
}

impl RtcpSources {
    /// Notes the source of a session, which has one.
    pub fn insert(&mut self, session: &Arc<MuxPeerSet>, source: u32) {
        self.remove(session);
        self.sessions.entry(source).or_default().push(Arc::downgrade(session));
    }

    /// Forgets a session.
    pub fn remove(&mut self, session: &Arc<MuxPeerSet>) {
        self.sessions.retain(|_, owners| {
            owners.retain(|owner| !std::ptr::eq(owner.as_ptr(), Arc::as_ptr(session)));
            !owners.is_empty()
        });
    }

    /// The sessions that this may belong to, if it is RTCP; no more than may be delivered at `now`.
    pub fn find(&mut self, datagram: &[u8], now: Instant) -> Vec<Arc<MuxPeerSet>> {
        let Some([128..=191, 192..=223, _, _, source @ ..]) = datagram.first_chunk::<8>() else { return Vec::new() };
        let Some(owners) = self.sessions.get(&u32::from_be_bytes(*source)) else { return Vec::new() };
        let silent = owners.iter().filter_map(Weak::upgrade).filter(|owner| owner.is_silent(SILENCE, now));
        let deliveries = &mut self.deliveries;
        silent.take_while(|_| deliveries.try_acquire(DELIVERIES, now).is_ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::Metrics;
    use crate::server::rtc::mux::SendStats;

    /// The start of a receiver report of source 1.
    const REPORT: [u8; 8] = [0x81, 201, 0, 7, 0, 0, 0, 1];

    fn session() -> Arc<MuxPeerSet> {
        Arc::new(MuxPeerSet::new(SendStats { metrics: Metrics::new() }))
    }

    #[test]
    fn a_session_that_is_heard_is_left_alone() {
        let (mut sources, session, now) = (RtcpSources::default(), session(), Instant::now());
        sources.insert(&session, 1);
        assert_eq!(sources.find(&REPORT, now).len(), 1, "never heard from");
        session.note_heard(now);
        assert!(sources.find(&REPORT, now + SILENCE / 2).is_empty());
        assert_eq!(sources.find(&REPORT, now + SILENCE).len(), 1);
        sources.remove(&session);
        assert!(sources.find(&REPORT, now + SILENCE).is_empty());
    }

    #[test]
    fn deliveries_are_bounded() {
        let (mut sources, sessions, now) = (RtcpSources::default(), [session(), session(), session()], Instant::now());
        sessions.iter().for_each(|session| sources.insert(session, 1));
        let mut flood = |now| (0..1_000).map(|_| sources.find(&REPORT, now).len()).sum::<usize>();
        assert_eq!(flood(now), 64);
        assert_eq!(flood(now + Duration::from_millis(500)), 32);
    }
}
