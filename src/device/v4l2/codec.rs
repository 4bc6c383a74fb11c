//! The codec controls of a camera with a hardware H.264 encoder: key frame request and interval, bitrate, profile.
//!
//! Controls that users set belong in `controls.rs`.

use std::io;

use v4l::v4l_sys as sys;

use super::device::Device;

/// The profiles to request, best first: constrained baseline, which every browser decodes, then baseline.
const PROFILES: [u32; 2] = [
    sys::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE,
    sys::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE,
];

impl Device {
    /// Requests a key frame as soon as possible.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `EINVAL` or `ENOTTY` if the driver does not support this.
    pub fn force_key_frame(&self) -> io::Result<()> {
        self.set_number(sys::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1)
    }

    /// Sets the bitrate in bit/s, also while streaming.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `EINVAL` or `ENOTTY` if the driver has no such control, `EBUSY` if streaming must be stopped
    /// first.
    pub fn set_h264_bitrate(&self, bitrate: u32) -> io::Result<()> {
        self.set_number(sys::V4L2_CID_MPEG_VIDEO_BITRATE, i32::try_from(bitrate).unwrap_or(i32::MAX))
    }

    /// Configures the encoder for viewers that join at any time: parameter sets before every key frame, a key frame at
    /// least every `period` frames, a profile that every browser decodes, and `bitrate` in bit/s. Controls that the
    /// driver lacks are skipped, as few drivers have all of them.
    pub fn configure_h264_encoder(&self, period: u32, bitrate: u32) {
        let controls = [
            (sys::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 1),
            (sys::V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR, 1),
            (sys::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, period.cast_signed()),
            (sys::V4L2_CID_MPEG_VIDEO_GOP_SIZE, period.cast_signed()),
            (sys::V4L2_CID_MPEG_VIDEO_BITRATE, i32::try_from(bitrate).unwrap_or(i32::MAX)),
        ];
        for (id, value) in controls {
            if let Err(error) = self.set_number(id, value) {
                tracing::debug!("set H.264 control {id:#x} to {value}: {error}");
            }
        }
        let profile = sys::V4L2_CID_MPEG_VIDEO_H264_PROFILE;
        if !PROFILES.iter().any(|&value| self.set_number(profile, value.cast_signed()).is_ok()) {
            tracing::debug!("the camera keeps its own H.264 profile");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_without_controls_returns_enotty() {
        let null = Device::open("/dev/null").expect("should open");
        assert_eq!(null.set_number(1, 1).expect_err("should refuse").raw_os_error(), Some(libc::ENOTTY));
        assert!(null.force_key_frame().is_err() && null.set_h264_bitrate(1_000_000).is_err());
        null.configure_h264_encoder(60, 2_000_000);
    }
}
