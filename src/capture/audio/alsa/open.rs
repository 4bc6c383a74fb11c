//! Opens an ALSA device with the rate, channels and sample format it has that are nearest to ours.
//!
//! ALSA's own rate conversion is disabled because it interpolates linearly; `resample` does it better. ALSA's plug
//! layer converts only if a device has no sample format that `sample_format` reads.

use std::cell::RefCell;
use std::ffi::CString;
use std::io;
use std::rc::Rc;

use alsa::pcm::{Access, Format, HwParams, PCM, TstampType};
use alsa::{Direction, Output, ValueOr};

use super::super::{Error, FRAMES, SAMPLE_RATE, SoundRole};
use crate::capture::audio::sample_format::Encoding;

/// The periods in a frame of 20 ms, and the frames in the driver's ring buffer, if the hardware supports it. A microphone
/// wakes its thread with each frame, and the thread may be 160 ms late before audio is lost. What a speaker has to play is
/// never more than a few frames, so that little is on its way when it shall be silent; with short periods it tells how much
/// that is.
const fn ring(role: SoundRole) -> (u32, u32) {
    match role {
        SoundRole::Microphone => (1, 8),
        SoundRole::Speaker => (2, 6),
    }
}

/// The supported sample formats, the preferred first: what a card has natively is exact in any of them, and the
/// shortest costs the least bus bandwidth.
const ENCODINGS: [(Format, Encoding); 5] = [
    (Format::S16LE, Encoding::S16),
    (Format::S32LE, Encoding::S32),
    (Format::FloatLE, Encoding::F32),
    (Format::S243LE, Encoding::S24Packed),
    (Format::S24LE, Encoding::S24),
];

/// A device that is opened and configured, but not started.
pub(super) struct Opened {
    pub(super) pcm: PCM,
    /// Samples per second and channel.
    pub(super) rate: u32,
    /// Channels of the device.
    pub(super) channels: usize,
    /// The sample format.
    pub(super) encoding: Encoding,
    /// Samples per channel after which the driver wakes us.
    pub(super) period: usize,
    /// Samples per channel that its ring buffer holds.
    pub(super) buffer: usize,
    /// Whether the driver's timestamps are of `CLOCK_MONOTONIC`.
    pub(super) stamped: bool,
}

/// Opens `device` as a microphone or speaker, at 48 kHz and with `channels` if it supports them.
///
/// # Errors
///
/// See [`Error`].
pub(super) fn open(device: &str, role: SoundRole, channels: u16) -> Result<Opened, Error> {
    let suppressed = SuppressAlsaErrors::new();
    let opened = match try_open(device, role, channels) {
        Err(OpenError::Parameters(error)) => {
            let plug_name = plug_name(device);
            tracing::info!("{device}: no supported sample format ({error}); opened as {plug_name}, which converts");
            try_open(&plug_name, role, channels)
        }
        answer => answer,
    };
    opened.map_err(|error| {
        suppressed.log(device);
        match error {
            OpenError::Open(error) => open_error(device, role, error),
            OpenError::Parameters(error) => call_error(device, role, error),
        }
    })
}

/// The step at which opening failed.
enum OpenError {
    /// The device does not exist, or is busy.
    Open(alsa::Error),
    /// The device exists, but does not support the parameters.
    Parameters(alsa::Error),
}

fn try_open(device: &str, role: SoundRole, channels: u16) -> Result<Opened, OpenError> {
    let name = CString::new(device).map_err(|_| OpenError::Open(alsa::Error::new("snd_pcm_open", libc::ENOENT)))?;
    let direction = match role {
        SoundRole::Microphone => Direction::Capture,
        SoundRole::Speaker => Direction::Playback,
    };
    let pcm = PCM::open(&name, direction, true).map_err(OpenError::Open)?;
    configure(pcm, role, channels).map_err(OpenError::Parameters)
}

fn configure(pcm: PCM, role: SoundRole, channels: u16) -> Result<Opened, alsa::Error> {
    let (periods, ring_frames) = ring(role);
    let (rate, channels, encoding, period, buffer) = {
        let hw = HwParams::any(&pcm)?;
        hw.set_rate_resample(false)?;
        hw.set_access(Access::RWInterleaved)?;
        let rate = hw.set_rate_near(SAMPLE_RATE, ValueOr::Nearest)?;
        let channels = hw.set_channels_near(u32::from(channels))?;
        let found = ENCODINGS.into_iter().find(|(format, _)| hw.test_format(*format).is_ok());
        let (format, encoding) = found.ok_or_else(|| alsa::Error::new("snd_pcm_hw_params_set_format", libc::EINVAL))?;
        hw.set_format(format)?;
        let frame = alsa::pcm::Frames::from((rate / FRAMES) as i32);
        hw.set_period_size_near(frame / alsa::pcm::Frames::from(periods as i32), ValueOr::Nearest)?;
        hw.set_buffer_size_near(frame * alsa::pcm::Frames::from(ring_frames as i32))?;
        pcm.hw_params(&hw)?;
        (rate, channels, encoding, hw.get_period_size()?, hw.get_buffer_size()?)
    };
    let period = usize::try_from(period).unwrap_or(0).max(1);
    let buffer = usize::try_from(buffer).unwrap_or(period);
    let stamped = configure_software(&pcm, role, period)?;
    Ok(Opened { pcm, rate, channels: channels as usize, encoding, period, buffer, stamped })
}

/// Makes the driver wake us after each `period` samples and timestamp them with the clock that V4L2 uses as well.
/// Returns whether it supports that clock.
fn configure_software(pcm: &PCM, role: SoundRole, period: usize) -> Result<bool, alsa::Error> {
    let sw = pcm.sw_params_current()?;
    sw.set_avail_min(period as alsa::pcm::Frames)?;
    if role == SoundRole::Speaker {
        // It does not start by itself.
        sw.set_start_threshold(sw.get_boundary()?)?;
    }
    let stamped = sw.set_tstamp_mode(true).and_then(|()| sw.set_tstamp_type(TstampType::Monotonic)).is_ok();
    pcm.sw_params(&sw)?;
    Ok(stamped && sw.get_tstamp_type().is_ok_and(|kind| kind == TstampType::Monotonic))
}

/// The name of the same device behind ALSA's converting layer.
fn plug_name(device: &str) -> String {
    device.strip_prefix("hw:").map_or_else(|| format!("plug:'{device}'"), |address| format!("plughw:{address}"))
}

/// Keeps the library's error output off the terminal, for this thread.
pub(super) struct SuppressAlsaErrors(Option<Rc<RefCell<Output>>>);

impl SuppressAlsaErrors {
    pub(super) fn new() -> Self {
        // If this fails there is error output, and nothing worse.
        Self(Output::local_error_handler().ok())
    }

    /// Logs the library's messages about an error, for whoever looks for its cause.
    fn log(&self, device: &str) {
        if let Some(output) = &self.0 {
            for line in output.borrow().to_string().lines() {
                tracing::debug!("{device}: ALSA: {line}");
            }
        }
    }
}

fn open_error(device: &str, role: SoundRole, error: alsa::Error) -> Error {
    match error.errno().abs() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => Error::NotFound { device: device.into() },
        _ => call_error(device, role, error),
    }
}

/// The error of a call on an open device.
pub(super) fn call_error(device: &str, role: SoundRole, error: alsa::Error) -> Error {
    let device = device.into();
    match error.errno().abs() {
        libc::ENODEV | libc::ENXIO => Error::Unplugged { device, role },
        libc::EBUSY => Error::Busy { device, role },
        number => Error::Io { device, call: error.func(), source: io::Error::from_raw_os_error(number) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_device_is_reported_as_not_found() {
        for device in ["hw:CARD=NotThere", "plughw:31,7", "dsnoop:31", "no-such-name", "na\0me"] {
            for role in [SoundRole::Microphone, SoundRole::Speaker] {
                let error = open(device, role, 1).err().expect("should refuse");
                assert!(matches!(error, Error::NotFound { .. }), "{device}: {error}");
            }
        }
    }

    #[test]
    fn device_opens_with_what_it_supports_of_the_request() {
        // ALSA's own null device has everything, on every machine.
        for channels in [1, 2] {
            for (role, period, buffer) in [(SoundRole::Microphone, 960, 7680), (SoundRole::Speaker, 480, 5760)] {
                let opened = open("null", role, channels).expect("should open");
                assert_eq!((opened.rate, opened.channels), (48_000, usize::from(channels)));
                assert_eq!((opened.encoding, opened.period, opened.buffer), (Encoding::S16, period, buffer));
            }
        }
    }

    #[test]
    fn plug_layer_is_chosen_by_kind_of_name() {
        assert_eq!(plug_name("hw:CARD=U0x46d,DEV=0"), "plughw:CARD=U0x46d,DEV=0");
        assert_eq!(plug_name("hw:1,0"), "plughw:1,0");
        assert_eq!(plug_name("dsnoop:1"), "plug:'dsnoop:1'");
    }

    #[test]
    fn errno_maps_to_error_variants() {
        let error = |number| alsa::Error::new("snd_pcm_readi", number);
        let mic = SoundRole::Microphone;
        assert!(matches!(call_error("hw:0", mic, error(libc::ENODEV)), Error::Unplugged { .. }));
        assert!(matches!(call_error("hw:0", mic, error(-libc::ENODEV)), Error::Unplugged { .. }));
        assert!(matches!(open_error("hw:0", mic, error(libc::EBUSY)), Error::Busy { .. }));
        assert!(matches!(open_error("hw:0", mic, error(libc::ENOENT)), Error::NotFound { .. }));
        let io = call_error("hw:0", mic, error(libc::EIO)).to_string();
        assert!(io.starts_with("hw:0: snd_pcm_readi: "), "{io}");
    }
}
