//! Cameras: the trait that every video source implements, the configuration and errors they share, and the functions
//! that open, list and control them.
//!
//! A source lives on its own thread and blocks there. Retries, encoding and sessions do not belong here.

mod canvas;
mod constraint;
mod device;
pub mod exec;
pub mod pattern;
pub(crate) mod placeholder;
mod select;
pub mod timecode;
mod usb;
mod v4l2;

use std::time::Duration;

use crate::media::{PixelFormat, RawFrame, VideoFormat};
use crate::model::inventory::{CameraInfo, Control, EncoderInfo, Setting};
use crate::model::status::FaultKind;

pub use constraint::Constraint;
pub use device::DeviceSelector;
pub use select::{CameraSelector, Registry};
pub use usb::usb_device;

/// The longest that a working camera takes to its next frame.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The camera's name in URLs, on the page and in the log.
    pub name: String,
    /// Which camera.
    pub device: DeviceSelector,
    /// Width in pixels.
    pub width: Constraint,
    /// Height in pixels.
    pub height: Constraint,
    /// Frames per second.
    pub fps: Constraint,
    /// The pixel format to request; `None` chooses the one that costs the least CPU.
    pub format: Option<PixelFormat>,
    /// Bitrate of a camera that encodes in hardware, in bit/s.
    pub bitrate: u32,
    /// The values of its controls, set each time it is opened.
    pub controls: Vec<Setting>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "camera".into(),
            device: DeviceSelector::Auto,
            width: Constraint::ideal(1280),
            height: Constraint::ideal(720),
            fps: Constraint::ideal(30),
            format: None,
            bitrate: 2_000_000,
            controls: Vec::new(),
        }
    }
}

/// What is wrong if no camera has the name; `auto` is not one.
fn describe_absent(device: &str, available: &str) -> String {
    if device == DeviceSelector::Auto.to_string() {
        return "there is no camera on this machine; plug one in (`porthole devices` lists what there is)".into();
    }
    format!("no camera is called {device}; {available}")
}

/// Why a camera delivers no frames. The retry loop, the page and the status branch on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such device.
    #[error("open {device}: no such device; `porthole devices` lists the cameras there are")]
    NotFound {
        /// The device's path.
        device: String,
    },
    /// No camera has the name.
    #[error("{}", describe_absent(device, available))]
    Absent {
        /// The name.
        device: String,
        /// The cameras there are.
        available: String,
    },
    /// Several cameras have the name.
    #[error("several cameras are called {device}; name one by its path or its identity: {matches}")]
    Ambiguous {
        /// The name.
        device: String,
        /// Those cameras.
        matches: String,
    },
    /// The camera that was open before is disconnected.
    #[error("{device}: the camera {camera} is not connected; {available}")]
    Away {
        /// The device as configured.
        device: String,
        /// The camera's identity.
        camera: String,
        /// What there is instead.
        available: String,
    },
    /// Another pipeline uses the camera.
    #[error("{device}: the camera `{camera}` of the configuration uses it; name another one in one of the two")]
    Taken {
        /// The device as configured.
        device: String,
        /// The other camera's name.
        camera: String,
    },
    /// The test pattern gives way to a camera that was plugged in: open again.
    #[error("a camera was plugged in")]
    Replaced,
    /// Another program holds the device.
    #[error("open {device}: busy; another program holds the camera (fuser -v {device})")]
    Busy {
        /// The device's path.
        device: String,
    },
    /// The device was unplugged while in use.
    #[error("{device}: unplugged; plug the camera in again")]
    Unplugged {
        /// The device's path.
        device: String,
    },
    /// The program that delivers the frames has exited.
    #[error("{device}: {how}; run the line in a shell to see why")]
    Ended {
        /// The program.
        device: String,
        /// How it exited, and its last line of standard error.
        how: String,
    },
    /// The device is there but delivers no frames.
    #[error("{device}: no frames for {seconds} s; {}", silence_advice(device))]
    Silent {
        /// The device's name.
        device: String,
        /// How long it has been silent.
        seconds: u64,
    },
    /// The device does not support what was requested.
    #[error("{device}: {requested} is not supported; {supported}")]
    Unsupported {
        /// The device's path.
        device: String,
        /// What was requested.
        requested: String,
        /// What the device supports instead, or where to look.
        supported: String,
    },
    /// A system call failed.
    #[error("{device}: {call}: {source}")]
    Io {
        /// The device's path.
        device: String,
        /// The call that failed.
        call: &'static str,
        /// The kernel's error.
        source: std::io::Error,
    },
}

impl Error {
    /// What kind of fault this is.
    pub fn fault_kind(&self) -> FaultKind {
        match self {
            Self::NotFound { .. }
            | Self::Absent { .. }
            | Self::Away { .. }
            | Self::Unplugged { .. }
            | Self::Replaced => FaultKind::Away,
            Self::Busy { .. } | Self::Taken { .. } => FaultKind::Busy,
            Self::Ended { .. } | Self::Silent { .. } | Self::Io { .. } => FaultKind::Broken,
            Self::Ambiguous { .. } | Self::Unsupported { .. } => FaultKind::Settings,
        }
    }
}

/// What to do about a camera that delivers no frames: a program cannot be unplugged.
fn silence_advice(device: &str) -> &'static str {
    if device.starts_with("exec:") || device == "libcamera" {
        "run its command in a shell to see what it writes"
    } else {
        "if this persists, unplug the camera and plug it in again"
    }
}

/// An open camera. Dropping it stops the capture and closes the device.
pub trait VideoSource: Send {
    /// The format of the frames, as negotiated when it was opened.
    fn format(&self) -> VideoFormat;

    /// The human-readable name of the source: the card's name and the device's path, or `test pattern`.
    fn label(&self) -> &str;

    /// Whether this is the built-in test pattern.
    fn is_pattern(&self) -> bool;

    /// Waits for the newest frame, `wait` at most; `None` on timeout. Frames that depend on earlier ones (H.264) are
    /// returned in order instead, and `gap` marks the first one after a loss.
    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, Error>;

    /// How long the first frame may take.
    fn start_timeout(&self) -> Duration {
        STALL_TIMEOUT
    }

    /// Requests a key frame from a source that encodes in hardware; a no-op for all others, and for those that do not
    /// support it.
    fn request_keyframe(&mut self) {}

    /// The current state of the source's controls, to be called soon after it is opened; from then on
    /// [`changed_controls`](Self::changed_controls) reports changes. Empty for a source without controls.
    fn controls(&mut self) -> Vec<Control> {
        Vec::new()
    }

    /// The controls that changed since the last call. Does not block.
    fn changed_controls(&mut self) -> Vec<Control> {
        Vec::new()
    }

    /// Sets controls, in an order that works. The values must come from `Control::accept`; a control that is not
    /// among [`controls`](Self::controls) is rejected.
    fn set_controls(&mut self, settings: &[Setting]) -> ControlsOutcome {
        ControlsOutcome::none(settings)
    }

    /// Sets the bitrate in bit/s of a source that encodes in hardware; `false` if it must be reopened for that. Other
    /// sources have nothing to do.
    fn set_bitrate(&mut self, bitrate: u32) -> bool;

    /// Frames lost since the source was opened: in the driver (its ring was full) and here (stale or damaged).
    fn dropped(&self) -> Dropped;
}

/// Frames that a source lost since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Gaps in the driver's sequence numbers: it had no free buffer.
    pub driver: u64,
    /// Buffers returned unread because a newer one was available.
    pub stale: u64,
    /// Buffers that the driver marked as damaged, or that were too short.
    pub damaged: u64,
}

/// The result of setting controls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlsOutcome {
    /// The current state of the controls that were set. On an open camera, those that changed along with them are
    /// included.
    pub controls: Vec<Control>,
    /// A message for each setting that was rejected.
    pub refused: Vec<String>,
}

impl ControlsOutcome {
    /// The outcome for a source without controls.
    fn none(settings: &[Setting]) -> Self {
        let refused = |setting: &Setting| crate::model::inventory::find(&[], &setting.control).err();
        Self { controls: Vec::new(), refused: settings.iter().filter_map(refused).collect() }
    }
}

/// Opens a source that is not a V4L2 camera; V4L2 cameras are found by a [`CameraSelector`].
fn open(config: &Config) -> Result<Box<dyn VideoSource>, Error> {
    match &config.device {
        DeviceSelector::Pattern => Ok(Box::new(pattern::TestPattern::open(config))),
        DeviceSelector::Exec(command) => Ok(Box::new(exec::Program::start(config, command)?)),
        DeviceSelector::Libcamera => Ok(Box::new(exec::Program::libcamera(config)?)),
        other => Err(Error::NotFound { device: other.to_string() }),
    }
}

/// The V4L2 cameras of this host; empty if there are none.
pub fn list() -> Vec<CameraInfo> {
    v4l2::list()
}

/// The V4L2 nodes of this host that encode H.264; empty if there are none.
pub fn encoders() -> Vec<EncoderInfo> {
    v4l2::encoders()
}

/// What [`DeviceSelector::Auto`] stands for now: the path of a camera, or `None` for the test pattern.
pub fn auto() -> Option<String> {
    node(&DeviceSelector::Auto).ok()
}

/// The controls of a camera, even while another program streams from it.
///
/// # Errors
///
/// See [`Error`].
pub fn controls(device: &DeviceSelector) -> Result<Vec<Control>, Error> {
    v4l2::controls::list(&node(device)?)
}

/// Sets controls of a camera, even while another program streams from it. If one of the settings is invalid, none is
/// set, and the outcome has no controls.
///
/// # Errors
///
/// See [`Error`]. Rejected settings are reported in the outcome instead.
pub fn set_controls(device: &DeviceSelector, settings: &[Setting]) -> Result<ControlsOutcome, Error> {
    v4l2::controls::set(&node(device)?, settings)
}

/// The path of the V4L2 node that a name refers to.
fn node(device: &DeviceSelector) -> Result<String, Error> {
    if matches!(device, DeviceSelector::Pattern | DeviceSelector::Libcamera | DeviceSelector::Exec(_)) {
        let (requested, supported) = ("a control".into(), "only V4L2 cameras have controls".into());
        return Err(Error::Unsupported { device: device.to_string(), requested, supported });
    }
    Registry::default().locate(device)
}
