//! Cameras: the trait that every source of pictures implements, and the table of sources.
//!
//! A source lives on its own thread and blocks there. Retrying, encoding and viewers do not belong here.

mod canvas;
pub mod constraint;
pub mod device;
pub mod exec;
pub mod pattern;
pub mod placeholder;
mod select;
pub mod timecode;
mod usb;
mod v4l2;

use std::time::Duration;

use crate::media::{PixelFormat, RawFrame, VideoFormat};
use crate::model::inventory::{CameraInfo, Control, EncoderInfo, Setting};
use crate::model::status::FaultKind;

pub use constraint::Constraint;
pub use device::Device;
pub use select::{CameraSelector, Registry};
pub use usb::usb_device;
pub use v4l2::{CaptureMode, NegotiationError, SelectedMode, choose, offers};

/// What a camera shall be and give.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The camera's name in URLs, on the page and in the log.
    pub name: String,
    /// Which camera.
    pub device: Device,
    /// Width in pixels.
    pub width: Constraint,
    /// Height in pixels.
    pub height: Constraint,
    /// Frames a second.
    pub fps: Constraint,
    /// The pixel format to ask for; `None` takes the one that costs least CPU.
    pub format: Option<PixelFormat>,
    /// Bitrate of a camera that encodes by itself, in bit/s.
    pub bitrate: u32,
    /// What its controls shall be, from every opening on.
    pub controls: Vec<Setting>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "camera".into(),
            device: Device::Auto,
            width: Constraint::ideal(1280),
            height: Constraint::ideal(720),
            fps: Constraint::ideal(30),
            format: None,
            bitrate: 2_000_000,
            controls: Vec::new(),
        }
    }
}

/// Why a camera gives no picture. The retry loop, the page and the status branch on it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such device.
    #[error("open {device}: no such device; `porthole devices` lists the cameras there are")]
    NotFound {
        /// The device's path.
        device: String,
    },
    /// No camera has the name.
    #[error("no camera is called {device}; {there}")]
    Absent {
        /// The name.
        device: String,
        /// The cameras there are.
        there: String,
    },
    /// Several cameras have the name.
    #[error("several cameras are called {device}; name one by its path or its identity: {matches}")]
    Ambiguous {
        /// The name.
        device: String,
        /// Those cameras.
        matches: String,
    },
    /// The camera that was opened before is not there.
    #[error("{device}: the camera {camera} is away; {there}")]
    Away {
        /// The device as configured.
        device: String,
        /// The camera's identity.
        camera: String,
        /// What there is instead.
        there: String,
    },
    /// Another pipeline has the camera.
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
    /// The device went away while it was in use.
    #[error("{device}: unplugged; plug the camera in again")]
    Unplugged {
        /// The device's path.
        device: String,
    },
    /// The program that gives the pictures has ended.
    #[error("{device}: {how}; run the line in a shell to see why")]
    Ended {
        /// The program.
        device: String,
        /// How it ended, and what it said last.
        how: String,
    },
    /// The device is there but gives no pictures.
    #[error("{device}: no picture for {seconds} s; plug the camera out and in again if this stays")]
    Silent {
        /// The device's name.
        device: String,
        /// How long it has been silent.
        seconds: u64,
    },
    /// The device cannot do what was asked.
    #[error("{device}: {wish} is not supported; {offer}")]
    Unsupported {
        /// The device's path.
        device: String,
        /// What was asked for.
        wish: String,
        /// What the device can do instead, or where to look.
        offer: String,
    },
    /// The kernel answered a call with an error.
    #[error("{device}: {call}: {source}")]
    Io {
        /// The device's path.
        device: String,
        /// The call that failed.
        call: &'static str,
        /// The kernel's answer.
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

/// An open camera. Dropping it stops the capture and closes the device.
pub trait VideoSource: Send {
    /// The shape of the pictures, as negotiated at the opening.
    fn format(&self) -> VideoFormat;

    /// What people call the source: the card's name and the device's path, or `test pattern`.
    fn label(&self) -> &str;

    /// Whether this is the built-in test pattern.
    fn is_pattern(&self) -> bool;

    /// Waits for the newest picture, `wait` at most; `None` when none came in that time. Pictures that need those before
    /// them (H.264) come in order instead, and `gap` marks the first after a loss.
    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, Error>;

    /// Asks a source that encodes by itself for a key frame; the others, and those that can't, do nothing.
    fn request_keyframe(&mut self) {}

    /// The source's controls as they stand, for a question soon after the opening; from then on their changes are told.
    /// Empty for a source without controls.
    fn controls(&mut self) -> Vec<Control> {
        Vec::new()
    }

    /// Those of the controls that changed since the last question. Does not wait.
    fn changed_controls(&mut self) -> Vec<Control> {
        Vec::new()
    }

    /// Sets controls, whose values [`Control::accept`] made, in an order that works; a setting of a control that is not among
    /// [`controls`](Self::controls) is refused.
    fn set_controls(&mut self, settings: &[Setting]) -> ControlsOutcome {
        ControlsOutcome::none(settings)
    }

    /// Sets the bitrate in bit/s of a source that encodes by itself; `false` where it must be opened anew for that. The others
    /// have nothing to do.
    fn set_bitrate(&mut self, bitrate: u32) -> bool;

    /// Pictures lost since the opening, by place: in the driver (its ring was full) and here (stale or damaged).
    fn dropped(&self) -> Dropped;
}

/// Pictures that a source lost since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Gaps in the driver's sequence numbers: the kernel had no free buffer.
    pub driver: u64,
    /// Buffers given back unread because a newer one was there already.
    pub stale: u64,
    /// Buffers that the driver marked as damaged, or that were too short.
    pub damaged: u64,
}

/// The result of setting controls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlsOutcome {
    /// The current state of the controls that were set. On an open camera, those that changed along with them are included.
    pub controls: Vec<Control>,
    /// A message for each setting that was rejected.
    pub refused: Vec<String>,
}

impl ControlsOutcome {
    /// For a source without controls.
    fn none(settings: &[Setting]) -> Self {
        let refused = |setting: &Setting| crate::model::inventory::find(&[], &setting.control).err();
        Self { controls: Vec::new(), refused: settings.iter().filter_map(refused).collect() }
    }
}

/// Opens a source that is no V4L2 camera; those are found by a [`CameraSelector`].
fn open(config: &Config) -> Result<Box<dyn VideoSource>, Error> {
    match &config.device {
        Device::Pattern => Ok(Box::new(pattern::Pattern::open(config))),
        Device::Exec(command) => Ok(Box::new(exec::Program::start(config, command)?)),
        Device::Libcamera => Ok(Box::new(exec::Program::libcamera(config)?)),
        other => Err(Error::NotFound { device: other.to_string() }),
    }
}

/// The V4L2 cameras of this machine; empty where there are none.
pub fn list() -> Vec<CameraInfo> {
    v4l2::list()
}

/// The V4L2 nodes of this machine that encode H.264; empty where there are none.
pub fn encoders() -> Vec<EncoderInfo> {
    v4l2::encoders()
}

/// What [`Device::Auto`] takes now: the path of a camera, or `None`, the test pattern.
pub fn auto() -> Option<String> {
    node(&Device::Auto).ok()
}

/// The controls of a camera, also while it streams to somebody else.
///
/// # Errors
///
/// As [`Error`] says.
pub fn controls(device: &Device) -> Result<Vec<Control>, Error> {
    v4l2::controls::list(&node(device)?)
}

/// Sets controls of a camera, even while another program streams from it. If one of the settings is invalid, none is set,
/// and the outcome has no controls.
///
/// # Errors
///
/// See [`Error`]. Rejected settings are reported in the outcome instead.
pub fn set_controls(device: &Device, settings: &[Setting]) -> Result<ControlsOutcome, Error> {
    v4l2::controls::set(&node(device)?, settings)
}

/// The path of the V4L2 node that a name means.
fn node(device: &Device) -> Result<String, Error> {
    if matches!(device, Device::Pattern | Device::Libcamera | Device::Exec(_)) {
        let (wish, offer) = ("a control".into(), "only V4L2 cameras have controls".into());
        return Err(Error::Unsupported { device: device.to_string(), wish, offer });
    }
    Registry::default().locate(device)
}
