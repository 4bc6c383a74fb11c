//! A microphone by ALSA: 48 kHz, 16 bit, in frames of 20 ms, each with the time of its first sample.
//!
//! The plug layer of ALSA converts what the hardware gives; nothing is converted here. Retrying after an error does not
//! belong here.

mod cards;
mod clock;

use std::cell::RefCell;
use std::ffi::CString;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use alsa::pcm::{Access, Format, HwParams, PCM, TstampType};
use alsa::{Direction, Output, ValueOr};

pub use cards::{first_capture_device, list};

use self::clock::first_sample;
use super::{Error, FRAME_SAMPLES, PcmSource, SAMPLE_RATE};
use crate::media::{PcmFrame, Timestamp};

/// Frames of 20 ms that the driver's ring holds, if the hardware can: 160 ms of the reading thread being late before
/// sound is lost.
const RING_FRAMES: i64 = 8;

/// How long to rest between two questions whether a suspended device is back; ALSA has nothing to wait on meanwhile.
const RESUME_REST: Duration = Duration::from_millis(50);

/// An open microphone.
pub struct Capture {
    /// The name in the configuration, for messages.
    device: String,
    label: String,
    channels: u16,
    pcm: PCM,
    /// Whether the driver's time stamps are of `CLOCK_MONOTONIC`.
    stamped: bool,
    /// Samples of each channel that make a read worth while: a whole frame, or a period where that is shorter. Reading
    /// less would leave the frames out of step with the periods, and each of them late by a part of one.
    portion: usize,
    /// Samples of the frame being put together.
    pending: Vec<i16>,
    /// Whether sound was lost since the last frame.
    gap: bool,
}

impl Capture {
    /// Opens the capture device `device`, any name that ALSA knows, and starts it. Where the device as named has no
    /// 48 kHz or not this number of channels, it is opened through ALSA's plug layer, which converts.
    ///
    /// # Errors
    ///
    /// As [`Error`] says.
    pub fn open(device: &str, channels: u16) -> Result<Self, Error> {
        let quiet = Quiet::new();
        let pcm = open_pcm(device, channels).inspect_err(|_| quiet.tell(device))?;
        let ring = pcm.hw_params_current().and_then(|hw| Ok((hw.get_period_size()?, hw.get_buffer_size()?)));
        let (period, buffer) = ring.map_err(|error| call_error(device, error))?;
        let portion = usize::try_from(period).unwrap_or(FRAME_SAMPLES).clamp(1, FRAME_SAMPLES);
        let stamped = configure_software(&pcm, portion).map_err(|error| call_error(device, error))?;
        pcm.start().map_err(|error| call_error(device, error))?;
        let label = card_name(&pcm).map_or_else(|| device.to_owned(), |card| format!("{card} ({device})"));
        tracing::info!("{label}: {SAMPLE_RATE} Hz, {channels} channels, {period} samples a period of {buffer}");
        if !stamped {
            tracing::info!("{label}: the driver stamps no monotonic time; the time of reading stands in for it");
        }
        Ok(Self { device: device.into(), label, channels, pcm, stamped, portion, pending: Vec::new(), gap: false })
    }

    /// Reads what is there, up to a whole frame, where it is worth while; the frame, once it is complete.
    fn read(&mut self) -> Result<Option<PcmFrame>, alsa::Error> {
        let channels = usize::from(self.channels);
        let have = self.pending.len() / channels;
        let status = self.pcm.status()?;
        let available = usize::try_from(status.get_avail()).unwrap_or(0);
        if available < self.portion.min(FRAME_SAMPLES - have) {
            return Ok(None);
        }
        let stamp = self.stamped.then(|| status.get_htstamp()).and_then(clock::monotonic);
        let queried = stamp.map_or_else(Timestamp::now, Timestamp::from_monotonic);
        let captured = first_sample(queried, available.saturating_add(have));

        let start = self.pending.len();
        let whole = FRAME_SAMPLES * channels;
        self.pending.resize(whole, 0);
        let read = self.pcm.io_i16().and_then(|io| io.readi(&mut self.pending[start..]));
        self.pending.truncate(start + read.as_ref().map_or(0, |frames| frames * channels));
        read?;
        if self.pending.len() < whole {
            return Ok(None);
        }
        let samples = std::mem::replace(&mut self.pending, Vec::with_capacity(whole));
        Ok(Some(PcmFrame { captured, gap: std::mem::take(&mut self.gap), samples }))
    }

    /// Starts the device again after an overrun or a suspension; what was read of the current frame is lost.
    fn recover(&mut self, error: alsa::Error) -> Result<(), Error> {
        match error.errno().abs() {
            // Nothing is there yet, or a signal came: no loss.
            libc::EAGAIN | libc::EINTR => return Ok(()),
            libc::EPIPE => tracing::debug!("{}: overrun, sound was lost", self.label),
            libc::ESTRPIPE => match self.pcm.resume() {
                // Not yet awake. ALSA's own recovery would ask for ever.
                Err(error) if error.errno().abs() == libc::EAGAIN => {
                    std::thread::sleep(RESUME_REST);
                    return Ok(());
                }
                // Hardware that cannot go on where it stopped begins anew, like after an overrun.
                _ => tracing::debug!("{}: the device was suspended, sound was lost", self.label),
            },
            _ => return Err(call_error(&self.device, error)),
        }
        self.pending.clear();
        self.gap = true;
        self.pcm.prepare().and_then(|()| self.pcm.start()).map_err(|error| call_error(&self.device, error))
    }
}

impl PcmSource for Capture {
    fn label(&self) -> &str {
        &self.label
    }

    fn channels(&self) -> u16 {
        self.channels
    }

    fn next(&mut self, wait: Duration) -> Result<Option<PcmFrame>, Error> {
        let deadline = Instant::now() + wait;
        loop {
            match self.read() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => self.recover(error)?,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Rounded up, so that the last fraction of a millisecond is waited for and not spun away.
            let milliseconds = left.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX.unsigned_abs());
            if let Err(error) = self.pcm.wait(Some(milliseconds)) {
                self.recover(error)?;
            }
        }
    }
}

/// Opens the device as named, or through the plug layer where its hardware has not what is needed.
fn open_pcm(device: &str, channels: u16) -> Result<PCM, Error> {
    match try_open(device, channels) {
        Err(Refusal::Parameters(error)) => {
            let plugged = plugged(device);
            tracing::info!(
                "{device}: no {SAMPLE_RATE} Hz with {channels} channels of 16 bit ({error}); opened as {plugged}, \
                 which converts"
            );
            match try_open(&plugged, channels) {
                Ok(pcm) => Ok(pcm),
                Err(Refusal::Open(error)) => Err(open_error(device, error)),
                Err(Refusal::Parameters(error)) => Err(call_error(device, error)),
            }
        }
        Err(Refusal::Open(error)) => Err(open_error(device, error)),
        Ok(pcm) => Ok(pcm),
    }
}

/// Where an opening failed.
enum Refusal {
    /// There is no such device, or it is not free.
    Open(alsa::Error),
    /// It is there, but cannot do what is asked.
    Parameters(alsa::Error),
}

fn try_open(device: &str, channels: u16) -> Result<PCM, Refusal> {
    let name = CString::new(device).map_err(|_| Refusal::Open(alsa::Error::new("snd_pcm_open", libc::ENOENT)))?;
    let pcm = PCM::open(&name, Direction::Capture, true).map_err(Refusal::Open)?;
    configure_hardware(&pcm, channels).map_err(Refusal::Parameters)?;
    Ok(pcm)
}

fn configure_hardware(pcm: &PCM, channels: u16) -> Result<(), alsa::Error> {
    let hw = HwParams::any(pcm)?;
    hw.set_access(Access::RWInterleaved)?;
    hw.set_format(Format::s16())?;
    hw.set_channels(u32::from(channels))?;
    hw.set_rate(SAMPLE_RATE, ValueOr::Nearest)?;
    let frame = FRAME_SAMPLES as i64;
    hw.set_period_size_near(frame, ValueOr::Nearest)?;
    hw.set_buffer_size_near(frame * RING_FRAMES)?;
    pcm.hw_params(&hw)
}

/// Has the driver wake us for each `portion` of samples and stamp it by the clock that V4L2 uses as well; whether it
/// has that clock.
fn configure_software(pcm: &PCM, portion: usize) -> Result<bool, alsa::Error> {
    let sw = pcm.sw_params_current()?;
    sw.set_avail_min(portion as i64)?;
    let stamped = sw.set_tstamp_mode(true).and_then(|()| sw.set_tstamp_type(TstampType::Monotonic)).is_ok();
    pcm.sw_params(&sw)?;
    Ok(stamped && sw.get_tstamp_type().is_ok_and(|kind| kind == TstampType::Monotonic))
}

/// The name of the same device behind ALSA's converting layer.
fn plugged(device: &str) -> String {
    device.strip_prefix("hw:").map_or_else(|| format!("plug:'{device}'"), |address| format!("plughw:{address}"))
}

/// The name of the card, where the device is one.
fn card_name(pcm: &PCM) -> Option<String> {
    let card = pcm.info().ok()?.get_card();
    (card >= 0).then(|| alsa::Card::new(card).get_name().ok()).flatten()
}

/// Keeps the library's own complaints off the terminal, for this thread.
struct Quiet(Option<Rc<RefCell<Output>>>);

impl Quiet {
    fn new() -> Self {
        // Without memory for it there is noise, and nothing worse.
        Self(Output::local_error_handler().ok())
    }

    /// What the library had to say of an error is for whoever looks for its cause.
    fn tell(&self, device: &str) {
        if let Some(output) = &self.0 {
            for line in output.borrow().to_string().lines() {
                tracing::debug!("{device}: ALSA: {line}");
            }
        }
    }
}

fn open_error(device: &str, error: alsa::Error) -> Error {
    match error.errno().abs() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => Error::NotFound { device: device.into() },
        _ => call_error(device, error),
    }
}

fn call_error(device: &str, error: alsa::Error) -> Error {
    let device = device.into();
    match error.errno().abs() {
        libc::ENODEV | libc::ENXIO => Error::Unplugged { device },
        libc::EBUSY => Error::Busy { device },
        number => Error::Io { device, call: error.func(), source: io::Error::from_raw_os_error(number) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_told_so() {
        for device in ["hw:CARD=NotThere", "plughw:31,7", "no-such-name", "na\0me"] {
            let error = Capture::open(device, 1).err().expect("should refuse");
            assert!(matches!(error, Error::NotFound { .. }), "{device}: {error}");
        }
    }

    #[test]
    fn the_converting_layer_of_each_kind_of_name() {
        assert_eq!(plugged("hw:CARD=U0x46d,DEV=0"), "plughw:CARD=U0x46d,DEV=0");
        assert_eq!(plugged("hw:1,0"), "plughw:1,0");
        assert_eq!(plugged("dsnoop:1"), "plug:'dsnoop:1'");
    }

    #[test]
    fn the_kernels_numbers_become_errors_that_a_caller_can_branch_on() {
        let error = |number| alsa::Error::new("snd_pcm_readi", number);
        assert!(matches!(call_error("hw:0", error(libc::ENODEV)), Error::Unplugged { .. }));
        assert!(matches!(call_error("hw:0", error(-libc::ENODEV)), Error::Unplugged { .. }));
        assert!(matches!(open_error("hw:0", error(libc::EBUSY)), Error::Busy { .. }));
        assert!(matches!(open_error("hw:0", error(libc::ENOENT)), Error::NotFound { .. }));
        let io = call_error("hw:0", error(libc::EIO)).to_string();
        assert!(io.starts_with("hw:0: snd_pcm_readi: "), "{io}");
    }

    #[test]
    fn sound_comes_in_frames_of_20_ms_from_a_device_of_the_library() {
        // ALSA's own null device: it is there on every machine, gives silence, and is not paced.
        let mut capture = Capture::open("null", 2).expect("should open");
        for _ in 0..3 {
            let frame = capture.next(Duration::from_secs(1)).expect("should read").expect("should have sound");
            assert_eq!(frame.samples.len(), FRAME_SAMPLES * 2);
            assert!(!frame.gap);
        }
        assert_eq!((capture.channels(), capture.label()), (2, "null"));
    }

    #[test]
    fn after_an_overrun_the_next_frame_says_that_sound_was_lost() {
        let mut capture = Capture::open("null", 1).expect("should open");
        capture.pending = vec![7; 100];
        capture.recover(alsa::Error::new("snd_pcm_readi", libc::EAGAIN)).expect("should go on");
        assert_eq!(capture.pending.len(), 100, "nothing was lost");
        capture.recover(alsa::Error::new("snd_pcm_readi", libc::EPIPE)).expect("should start again");
        let frame = capture.next(Duration::from_secs(1)).expect("should read").expect("should have sound");
        assert!(frame.gap && frame.samples[0] == 0);
        let frame = capture.next(Duration::from_secs(1)).expect("should read").expect("should have sound");
        assert!(!frame.gap);
    }
}
