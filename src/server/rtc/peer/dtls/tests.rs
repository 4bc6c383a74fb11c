//! Handshakes over a path that loses datagrams.

use std::collections::VecDeque;

use super::*;

/// How long a datagram is on its way.
const DELAY: Duration = Duration::from_millis(25);

/// When a handshake has failed.
const LIMIT: Duration = Duration::from_secs(12);

fn identity() -> DtlsIdentity {
    let crypto = rtc::crypto::default_provider().expect("the library should have cryptography");
    DtlsIdentity::generate(crypto).expect("a certificate should be made")
}

/// Two ends and the datagrams between them.
struct Path {
    ends: [Dtls; 2],
    connected: [bool; 2],
    /// What arrives when at which end, in order.
    under_way: VecDeque<(Instant, usize, BytesMut)>,
    /// How many were sent.
    sent: usize,
}

impl Path {
    fn new(identity: &DtlsIdentity) -> Self {
        let end = |is_client| Dtls::new(identity, &identity.fingerprint, is_client).expect("an end");
        Self { ends: [end(true), end(false)], connected: [false; 2], under_way: VecDeque::new(), sent: 0 }
    }

    /// Sends what there is, but for the datagrams with these numbers.
    fn send(&mut self, now: Instant, lost: &[usize]) {
        for (at, end) in self.ends.iter_mut().enumerate() {
            while let Some(datagram) = end.poll_transmit() {
                if !lost.contains(&self.sent) {
                    self.under_way.push_back((now + DELAY, 1 - at, datagram));
                }
                self.sent += 1;
            }
        }
    }

    /// What happens next: datagrams arrive before timers end at the same time.
    fn step(&mut self) -> Option<Instant> {
        let timer = self.ends.iter().filter_map(Dtls::poll_timeout).min();
        let arrival = self.under_way.front().map(|(at, ..)| *at);
        let now = timer.into_iter().chain(arrival).min()?;
        if arrival == Some(now) {
            let (_, to, datagram) = self.under_way.pop_front()?;
            let events = self.ends[to].handle(datagram, now);
            self.connected[to] |= events.iter().any(|event| matches!(event, DtlsEvent::Connected(_)));
        } else {
            self.ends.iter_mut().for_each(|end| end.handle_timeout(now));
        }
        Some(now)
    }
}

/// How long the handshake takes if these datagrams are lost, and how many datagrams; `None` if it fails.
fn handshake(identity: &DtlsIdentity, lost: &[usize]) -> Option<(Duration, usize)> {
    let (mut path, start) = (Path::new(identity), Instant::now());
    path.ends[0].start(start);
    let mut now = start;
    while path.connected != [true; 2] {
        path.send(now, lost);
        now = path.step()?;
        if now - start > LIMIT {
            return None;
        }
    }
    Some((now - start, path.sent))
}

#[test]
fn a_handshake_goes_on_whatever_datagrams_are_lost() {
    let identity = identity();
    let (whole, count) = handshake(&identity, &[]).expect("nothing is lost");
    assert!(whole < Duration::from_millis(500) && count >= 5, "{whole:?}, {count} datagrams");
    for first in 0..count {
        let alone = handshake(&identity, &[first]).map(|(took, _)| took);
        assert!(alone.is_some_and(|took| took < Duration::from_secs(3)), "without datagram {first}: {alone:?}");
        for second in first + 1..2 * count {
            let both = handshake(&identity, &[first, second]).map(|(took, _)| took);
            assert!(both.is_some_and(|took| took < Duration::from_secs(5)), "without {first} and {second}: {both:?}");
        }
    }
}
