//! The bitrate of a camera's encoder: the limit that its configuration sets, and what those who send its stream want below
//! that. The encoder's thread reads it before each frame.
//!
//! Who wants what, and why, does not belong here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The bitrate of one encoder; a cheap handle.
#[derive(Debug, Clone)]
pub struct BitrateTarget(Arc<Rates>);

/// In bit/s.
#[derive(Debug)]
struct Rates {
    limit: AtomicU32,
    /// `u32::MAX` if nobody wants less than the limit.
    wanted: AtomicU32,
    is_followed: AtomicBool,
}

impl BitrateTarget {
    /// The limit alone, in bit/s.
    pub fn new(limit: u32) -> Self {
        let (limit, wanted) = (AtomicU32::new(limit), AtomicU32::new(u32::MAX));
        Self(Arc::new(Rates { limit, wanted, is_followed: AtomicBool::new(true) }))
    }

    /// The limit in bit/s.
    pub fn limit(&self) -> u32 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit.
    pub fn set_limit(&self, limit: u32) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Asks for a bitrate below the limit, or for the limit with `None`.
    pub fn want(&self, bitrate: Option<u32>) {
        self.0.wanted.store(bitrate.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The bitrate to encode with, in bit/s.
    pub fn current(&self) -> u32 {
        self.limit().min(self.0.wanted.load(Ordering::Relaxed))
    }

    /// Notes whether the encoder follows it. A camera that encodes itself keeps its own.
    pub fn set_followed(&self, is_followed: bool) {
        self.0.is_followed.store(is_followed, Ordering::Relaxed);
    }

    /// Whether the encoder follows it, as far as is known.
    pub fn is_followed(&self) -> bool {
        self.0.is_followed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_whatever_is_wanted() {
        let target = BitrateTarget::new(2_000_000);
        let wish = target.clone();
        assert_eq!(target.current(), 2_000_000);
        wish.want(Some(500_000));
        assert_eq!(target.current(), 500_000);
        wish.want(Some(3_000_000));
        assert_eq!(target.current(), 2_000_000);
        target.set_limit(4_000_000);
        assert_eq!((target.current(), wish.limit()), (3_000_000, 4_000_000));
        wish.want(None);
        assert_eq!(target.current(), 4_000_000);
    }
}
