//! Offers of our own that wait for an answer, with what each of them promised: its session's ID, ICE credentials and streams.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::mux::Credentials;
use super::rtp_clock::MediaSources;
use crate::server::sessions::random_id;
use crate::util::fair_share;
use crate::util::lock::Mutex;

/// Offers that wait at once. A browser answers within a second.
const MAX_PENDING: usize = 16;

/// How long an offer waits: as long as a session that does not connect.
const LIFETIME: Duration = Duration::from_secs(20);

/// What a session has before it is negotiated, and an offer of ours promises.
#[derive(Debug, Clone)]
pub struct Promised {
    /// The session's ID.
    pub id: String,
    /// Our ICE credentials.
    pub ours: Credentials,
    /// The streams.
    pub sources: MediaSources,
    /// Whether it is in an offer of ours, in which nobody is asked to send anything.
    pub is_offered: bool,
}

impl Promised {
    /// That of a new session.
    pub fn random() -> Self {
        Self { id: random_id(), ours: Credentials::random(), sources: MediaSources::random(), is_offered: false }
    }

    /// That of a new session that we offer.
    pub fn in_offer() -> Self {
        Self { is_offered: true, ..Self::random() }
    }
}

/// An offer that waits for its answer.
#[derive(Debug)]
pub struct PendingOffer {
    /// What it promises.
    pub promised: Promised,
    /// Who may answer.
    pub owner: String,
    /// The address that asked for it.
    pub client: IpAddr,
    /// The camera's index.
    pub camera: usize,
    /// The address that the request for it was received on.
    pub local_addr: IpAddr,
    /// When it was made.
    pub made: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub struct PendingOffers(Mutex<Vec<PendingOffer>>);

impl PendingOffers {
    /// Adds an offer; `false` when as many wait as may, and no address holds more of them than the offer's would.
    pub fn add(&self, offer: PendingOffer, now: Instant) -> bool {
        let mut waiting = self.0.lock();
        waiting.retain(|known| now.saturating_duration_since(known.made) < LIFETIME);
        if waiting.len() >= MAX_PENDING {
            let clients: Vec<IpAddr> = waiting.iter().map(|known| known.client).collect();
            let holder = fair_share::gives_way(&clients, offer.client);
            let Some(oldest) = waiting.iter().position(|known| Some(known.client) == holder) else { return false };
            waiting.remove(oldest);
        }
        waiting.push(offer);
        true
    }

    /// The number that wait.
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Takes the offer that `owner` answers.
    pub fn take(&self, id: &str, owner: &str, now: Instant) -> Option<PendingOffer> {
        let mut waiting = self.0.lock();
        waiting.retain(|known| now.saturating_duration_since(known.made) < LIFETIME);
        let at = waiting.iter().position(|known| known.promised.id == id && known.owner == owner)?;
        Some(waiting.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn offers_are_bounded_expire_and_are_answered_once_by_their_owner() {
        let (offers, start) = (PendingOffers::default(), Instant::now());
        let offer = |number: usize| PendingOffer {
            promised: Promised { id: number.to_string(), ..Promised::random() },
            owner: "one".into(),
            client: Ipv4Addr::LOCALHOST.into(),
            camera: 0,
            local_addr: Ipv4Addr::LOCALHOST.into(),
            made: start,
        };
        assert!((0..MAX_PENDING).all(|number| offers.add(offer(number), start)));
        assert!(!offers.add(offer(99), start));
        // The address that holds most gives way to another.
        assert!(offers.add(PendingOffer { client: [127, 0, 0, 2].into(), ..offer(98) }, start));
        assert!(offers.take("0", "one", start).is_none() && offers.take("98", "one", start).is_some());
        assert!(offers.add(offer(97), start) && !offers.add(offer(99), start));
        assert!(offers.take("3", "other", start).is_none());
        assert!(offers.take("3", "one", start).is_some() && offers.take("3", "one", start).is_none());
        assert!(offers.add(offer(99), start));
        let later = start + LIFETIME;
        assert!(offers.take("5", "one", later).is_none());
        assert_eq!(offers.count(), 0);
    }
}
