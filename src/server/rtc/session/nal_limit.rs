//! The limit on NAL units in a session with packetization-mode 0, in which each has to fit a packet. Pure; time is an argument.
//!
//! Our own encoder keeps to it on demand, a few frames after it was asked. A camera that encodes itself does not know of
//! it.

use std::time::{Duration, Instant};

use crate::media::EncodedFrame;
use crate::media::encoder::SMALL_NAL;
use crate::media::h264::nals;
use crate::util::broadcast::{Broadcast, DemandGuard};

/// How long frames may arrive that do not fit before the session gives up: the encoder needs a frame or two for it, and a
/// camera may send a key frame that fits after one that does not.
const PATIENCE: Duration = Duration::from_secs(5);

/// A NAL unit does not fit a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the camera encodes H.264 itself, with NAL units of {bytes} bytes, and the offer has only packetization-mode 0, in which \
     they can have {SMALL_NAL}; use a player that offers packetization-mode=1, or set format = \"MJPEG\" for this camera"
)]
pub struct NalTooLarge {
    /// The size of the NAL unit in bytes.
    pub bytes: usize,
}

/// The size of the largest NAL unit of an access unit, if it does not fit a packet.
pub fn oversized_nal(access_unit: &[u8]) -> Option<usize> {
    nals(access_unit).map(<[u8]>::len).max().filter(|bytes| *bytes > SMALL_NAL)
}

/// The limit in one session, for the frames of one camera. While it lives, the encoder cuts its frames small.
#[derive(Debug)]
pub struct NalLimit {
    _demand: DemandGuard,
    /// When the first frame arrived that does not fit, since the last one that was sent.
    since: Option<Instant>,
    /// [`PATIENCE`], but for tests of what follows.
    pub(super) patience: Duration,
}

impl NalLimit {
    /// The limit for the frames of `video`.
    pub fn new(video: &Broadcast<EncodedFrame>) -> Self {
        Self { _demand: video.small_parts().register(), since: None, patience: PATIENCE }
    }

    /// Whether a frame fits.
    ///
    /// # Errors
    ///
    /// If none that could be sent has for [`PATIENCE`].
    pub fn fits(&mut self, frame: &EncodedFrame, now: Instant) -> Result<bool, NalTooLarge> {
        let Some(bytes) = oversized_nal(&frame.data) else { return Ok(true) };
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < self.patience { Ok(false) } else { Err(NalTooLarge { bytes }) }
    }

    /// Notes that a frame was sent.
    pub fn note_sent(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::Timestamp;

    fn frame(nal_sizes: &[usize]) -> EncodedFrame {
        let nal = |bytes: &usize| [vec![0, 0, 1, 0x65], vec![7; bytes - 1]].concat();
        let data = Bytes::from(nal_sizes.iter().flat_map(nal).collect::<Vec<u8>>());
        EncodedFrame::new(Timestamp::default(), true, data)
    }

    #[test]
    fn frames_that_do_not_fit_are_skipped_until_none_was_sent_for_long() {
        let video = Broadcast::new(4);
        let mut limit = NalLimit::new(&video);
        assert_eq!(video.small_parts().guards(), 1);
        let (small, large) = (frame(&[SMALL_NAL, 20]), frame(&[20, SMALL_NAL + 1]));
        let start = Instant::now();
        assert_eq!(limit.fits(&small, start), Ok(true));
        assert_eq!(limit.fits(&large, start), Ok(false));
        assert_eq!(limit.fits(&large, start + PATIENCE / 2), Ok(false));
        limit.note_sent();
        assert_eq!(limit.fits(&large, start + PATIENCE), Ok(false));
        // One that fits, but could not be sent without its key frame.
        assert_eq!(limit.fits(&small, start + PATIENCE), Ok(true));
        let error = limit.fits(&large, start + PATIENCE * 2).expect_err("should give up");
        assert!(error.to_string().contains("NAL units of 1141 bytes"), "{error}");
        drop(limit);
        assert_eq!(video.small_parts().guards(), 0);
    }
}
