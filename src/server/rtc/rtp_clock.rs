//! The RTP clock of one stream: converts capture times to RTP timestamps and back. Pure.

use std::time::Duration;

use crate::media::{Timestamp, VIDEO_RTP_RATE};

/// The clock of H.264 over RTP in hertz.
pub const VIDEO_RATE: u32 = VIDEO_RTP_RATE;

/// The clock of Opus over RTP in hertz (RFC 7587 section 4.1).
pub const AUDIO_RATE: u32 = 48_000;

/// One stream's synchronisation source, its clock rate, and the random offset of its timestamps (RFC 3550 section 5.1).
#[derive(Debug, Clone, Copy)]
pub struct RtpClock {
    /// The stream's SSRC.
    pub ssrc: u32,
    /// Ticks a second.
    pub rate: u32,
    offset: u32,
}

impl RtpClock {
    /// A clock with a random SSRC and a random offset.
    pub fn random(rate: u32) -> Self {
        Self { ssrc: rand::random(), rate, offset: rand::random() }
    }

    /// The RTP timestamp of a capture time.
    pub fn timestamp(&self, captured: Timestamp) -> u32 {
        captured.rtp(self.rate).wrapping_add(self.offset)
    }

    /// The RTP timestamp of [`Timestamp::default`].
    pub fn epoch(&self) -> u32 {
        self.offset
    }

    /// How long before `now` the time with this RTP timestamp was; at most half the clock's period (6 h at 90 kHz).
    pub fn age(&self, timestamp: u32, now: Timestamp) -> Duration {
        let ticks = self.timestamp(now).wrapping_sub(timestamp) as i32;
        Duration::from_secs_f64(f64::from(ticks.max(0)) / f64::from(self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_survives_the_wrap_of_the_timestamp() {
        let clock = RtpClock { ssrc: 1, rate: 90_000, offset: u32::MAX - 10 };
        let captured = Timestamp::from_start(Duration::from_secs(7));
        let now = Timestamp::from_start(Duration::from_millis(7_025));
        assert_eq!(clock.age(clock.timestamp(captured), now), Duration::from_millis(25));
        assert_eq!(clock.age(clock.timestamp(now), captured), Duration::ZERO);
    }
}
