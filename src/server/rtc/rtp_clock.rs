//! The RTP streams of a session, and the clock of each: converts capture times to RTP timestamps. Pure.

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
}

/// The RTP streams of one session, by the sources that its description names.
#[derive(Debug, Clone, Copy)]
pub struct MediaSources {
    /// The video.
    pub video: RtpClock,
    /// The source of the video's retransmissions.
    pub rtx_ssrc: u32,
    /// The audio.
    pub audio: RtpClock,
}

impl MediaSources {
    /// Random ones.
    pub fn random() -> Self {
        let (video, audio) = (RtpClock::random(VIDEO_RATE), RtpClock::random(AUDIO_RATE));
        Self { video, rtx_ssrc: rand::random(), audio }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_wrap() {
        let clock = RtpClock { ssrc: 1, rate: 90_000, offset: u32::MAX - 10 };
        let captured = Timestamp::from_start(Duration::from_secs(7));
        let later = Timestamp::from_start(Duration::from_millis(7_025));
        assert_eq!(clock.timestamp(later).wrapping_sub(clock.timestamp(captured)), 25 * 90);
    }
}
