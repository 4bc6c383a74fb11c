//! How often each address may send requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::util::address_rate::AddressRateLimit;
use crate::util::lock::Mutex;
use crate::util::token_bucket::Rate;

/// Rate limit of requests per address: burst, and then per second. A player sends five to play and one every half minute, and a
/// recorder that lost its network reconnects to all cameras at once.
const REQUEST_RATE: Rate = Rate::new(400, 100);

/// Rate limit per address of those requests that may cost a key frame or open a camera: burst, and then per second. A player
/// sends two, so ten streams start at once, and a client that starts over and over costs the others a key frame a second at most.
const START_RATE: Rate = Rate::new(20, 1);

/// How often each address may ask.
pub(super) struct RequestLimits {
    requests: Mutex<AddressRateLimit>,
    starts: Mutex<AddressRateLimit>,
}

impl RequestLimits {
    /// Nobody has asked so far.
    pub fn new() -> Self {
        let limit = |rate| Mutex::new(AddressRateLimit::new(rate));
        Self { requests: limit(REQUEST_RATE), starts: limit(START_RATE) }
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// When there are too many; the time until the next one is allowed.
    pub fn request(&self, from: SocketAddr, now: Instant) -> Result<(), Duration> {
        self.requests.lock().try_acquire(from.ip(), now)
    }

    /// Counts a request that may cost a key frame.
    ///
    /// # Errors
    ///
    /// When there are too many; the time until the next one is allowed.
    pub fn start(&self, from: SocketAddr, now: Instant) -> Result<(), Duration> {
        self.starts.lock().try_acquire(from.ip(), now)
    }
}
