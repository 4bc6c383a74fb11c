//! The addresses of a viewer within one ICE session, and when each is checked (RFC 8445 section 6.1). Pure: time is an
//! argument.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::server::rtc::mux::Credentials;

/// The interval of connectivity checks (Ta of RFC 8445 section 14.2, at least 5 ms): most of the time to the first frame.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The interval once an address has not answered for [`FAST_CHECKS`]. The firewall of a viewer opens only when its own
/// checks, delayed by trickled candidates, go out.
const SLOW_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How long an address is checked at the fast interval.
const FAST_CHECKS: Duration = Duration::from_secs(1);

/// How long an address is checked that does not answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(12);

/// Addresses of one viewer; the demultiplexer has the same limit.
pub const MAX_PAIRS: usize = 64;

/// The viewer's addresses within one ICE session. A restart begins another one.
pub struct Generation {
    /// 0 for the first; each restart counts.
    pub number: u32,
    /// Our credentials.
    pub ours: Credentials,
    /// The viewer's.
    pub theirs: Credentials,
    /// At most [`MAX_PAIRS`].
    pub pairs: Vec<Pair>,
}

/// The path to one address of the viewer.
pub struct Pair {
    /// The viewer's address.
    pub address: SocketAddr,
    since: Instant,
    /// When it is checked next.
    next_check: Instant,
    /// Whether it has answered.
    pub succeeded: bool,
    /// Whether it is used once it has answered.
    pub nominated: bool,
    /// Whether we nominate it: it is checked until that is answered, as the message or the answer may be lost.
    pub nominating: bool,
    /// When the viewer was last heard on it.
    pub last_received: Option<Instant>,
}

impl Generation {
    /// An ICE session in which no address of the viewer is known yet.
    pub fn new(number: u32, ours: Credentials, theirs: Credentials) -> Self {
        Self { number, ours, theirs, pairs: Vec::new() }
    }

    /// Whether a check with this username belongs to this ICE session.
    pub fn names_us(&self, username: &str) -> bool {
        username.split_once(':') == Some((&self.ours.ufrag, &self.theirs.ufrag))
    }

    /// The pair of an address, if it is known.
    pub fn find(&mut self, address: SocketAddr) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.address == address)
    }

    /// The pair of an address, which is new perhaps; `None` if there are too many.
    pub fn pair(&mut self, address: SocketAddr, now: Instant) -> Option<&mut Pair> {
        if self.find(address).is_none() {
            if self.pairs.len() >= MAX_PAIRS {
                let unheard = self.pairs.iter().position(|pair| !pair.succeeded)?;
                self.pairs.swap_remove(unheard);
            }
            let (since, next_check) = (now, now);
            self.pairs.push(Pair {
                address,
                since,
                next_check,
                succeeded: false,
                nominated: false,
                nominating: false,
                last_received: None,
            });
        }
        self.find(address)
    }

    fn unanswered(&self) -> impl Iterator<Item = &Pair> {
        let open = |pair: &&Pair| (!pair.succeeded || pair.nominating) && pair.next_check < pair.since + CHECK_TIMEOUT;
        self.pairs.iter().filter(open)
    }

    /// When [`Self::due`] has something.
    pub fn next_check(&self) -> Option<Instant> {
        self.unanswered().map(|pair| pair.next_check).min()
    }

    /// The addresses that are to be checked now, each with whether we nominate it.
    pub fn due(&mut self, now: Instant) -> Vec<(SocketAddr, bool)> {
        let due = self.unanswered().filter(|pair| pair.next_check <= now);
        let due: Vec<_> = due.map(|pair| (pair.address, pair.nominating)).collect();
        let is_due = |pair: &&mut Pair| due.iter().any(|(address, _)| *address == pair.address);
        self.pairs.iter_mut().filter(is_due).for_each(|pair| pair.note_check(now));
        due
    }
}

impl Pair {
    /// Whether it may be checked now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_check <= now
    }

    /// Notes that it is checked now.
    pub fn note_check(&mut self, now: Instant) {
        let fast = now.saturating_duration_since(self.since) < FAST_CHECKS;
        self.next_check = now + if fast { CHECK_INTERVAL } else { SLOW_CHECK_INTERVAL };
    }
}
