//! WebRTC.

/// What holds for all viewers.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Viewers at once; the next one is refused.
    pub max_viewers: usize,
    /// The least and the most time that a browser shall hold pictures back before it shows them, in milliseconds, in
    /// steps of 10 (`playout-delay` header extension).
    pub playout_delay: (u16, u16),
}

impl Default for Config {
    fn default() -> Self {
        Self { max_viewers: 20, playout_delay: (0, 0) }
    }
}
