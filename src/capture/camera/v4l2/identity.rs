//! Which camera a V4L2 node belongs to, regardless of the number the kernel gave the node and the port the camera is
//! plugged into.
//!
//! Choosing among the cameras is up to `camera::select`. Kernel documentation of the files that are read:
//! `Documentation/ABI/stable/sysfs-bus-usb`; `index` is written by `drivers/media/v4l2-core/v4l2-dev.c`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::discover::{self, NodeInfo};
use crate::device::sysfs::{UsbDevice, usb_device};

/// Which camera, and which of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The camera by itself.
    pub hardware: HardwareId,
    /// Which of its nodes: the USB interface number and the index of the node within it.
    pub part: (String, u32),
    /// The USB port; empty on other buses, where the hardware includes it.
    pub port: PathBuf,
}

/// What distinguishes a camera from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HardwareId {
    /// The ids of a USB device, four hexadecimal digits each, and its serial number.
    Usb {
        /// The vendor's number.
        vendor: String,
        /// The product's number.
        product: String,
        /// The serial number, if it has one.
        serial: Option<String>,
    },
    /// The bus of any other device, and its driver's name for it.
    Other {
        /// The bus, such as `platform:vivid-000`.
        bus: String,
        /// The card's name.
        card: String,
    },
}

impl Identity {
    /// Whether it is the same node of the same camera, or of an identical one; the port may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        self.hardware == other.hardware && self.part == other.part
    }

    /// Whether both are nodes of one device.
    pub fn is_same_device(&self, other: &Self) -> bool {
        self.hardware == other.hardware && self.port == other.port
    }
}

/// As a name for the configuration.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hardware {
            HardwareId::Usb { vendor, product, serial } => {
                write!(f, "usb:{vendor}:{product}")?;
                serial.as_ref().map_or(Ok(()), |serial| write!(f, ":{serial}"))
            }
            HardwareId::Other { bus, card } => f.write_str(if bus.is_empty() { card } else { bus }),
        }
    }
}

/// A node that may be a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoNode {
    /// Its path, without links.
    pub path: String,
    /// The driver's name for it.
    pub card: String,
    /// Which camera it is.
    pub identity: Identity,
    /// Whether it delivers frames in a supported format.
    pub usable: bool,
    /// Why it cannot be queried.
    pub error: Option<String>,
}

/// For a list in an error message.
impl fmt::Display for VideoNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{} ({error})", self.path),
            None => write!(f, "{} ({}, {})", self.path, self.card, self.identity),
        }
    }
}

/// The cameras of a host, found through `/sys` and `/dev`.
#[derive(Debug, Clone)]
pub struct V4l2Sysfs {
    sys: PathBuf,
    dev: PathBuf,
    probe: fn(&str) -> io::Result<Option<NodeInfo>>,
}

impl Default for V4l2Sysfs {
    fn default() -> Self {
        Self::new("/sys", "/dev", discover::probe)
    }
}

impl V4l2Sysfs {
    /// A host with these two directories, whose nodes are queried by `probe`, which returns `None` for anything but a
    /// camera.
    pub fn new(
        sys: impl Into<PathBuf>,
        dev: impl Into<PathBuf>,
        probe: fn(&str) -> io::Result<Option<NodeInfo>>,
    ) -> Self {
        Self { sys: sys.into(), dev: dev.into(), probe }
    }

    /// The paths of the nodes `video<number>`, by number.
    pub fn nodes(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dev) else { return Vec::new() };
        let mut numbers: Vec<u32> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix("video")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| format!("{}/video{number}", self.dev.display())).collect()
    }

    /// The cameras, by number. Only those that `worth` accepts by their sysfs entry are probed, because probing opens a
    /// node, which wakes some cameras up. The node at `path` is always included.
    pub fn cameras(&self, path: Option<&str>, worth: impl Fn(&VideoNode) -> bool) -> Vec<VideoNode> {
        let mut nodes = self.nodes();
        if let Some(path) = path.filter(|path| !nodes.iter().any(|node| node == path)) {
            nodes.push(path.into());
        }
        let probed = nodes.iter().filter(|node| worth(&self.describe(node, None, None)));
        probed
            .filter_map(|node| {
                let named = Some(node.as_str()) == path;
                self.probe(node).or_else(|| named.then(|| self.describe(node, None, None)))
            })
            .collect()
    }

    /// The camera at `path`; `None` if it is something else.
    pub fn probe(&self, path: &str) -> Option<VideoNode> {
        match (self.probe)(path) {
            Ok(Some(info)) => Some(self.describe(path, Some(info), None)),
            Ok(None) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(self.describe(path, None, None)),
            Err(error) => Some(self.describe(path, None, Some(error.to_string()))),
        }
    }

    /// Describes the node at `path` from sysfs, and from its reply if it was probed.
    pub fn describe(&self, path: &str, info: Option<NodeInfo>, error: Option<String>) -> VideoNode {
        let name = Path::new(path).file_name().unwrap_or_default();
        let node = self.sys.join("class/video4linux").join(name);
        let read = |file: &str| Some(fs::read_to_string(node.join(file)).ok()?.trim().to_owned());
        let usable = info.as_ref().is_some_and(|info| info.usable);
        let (card, bus) = match info {
            Some(NodeInfo { card, bus, .. }) => (card, bus),
            None => (read("name").unwrap_or_default(), String::new()),
        };
        let index = read("index").and_then(|index| index.parse().ok()).unwrap_or(0);
        let (hardware, interface, port) = match usb_device(&node) {
            Some(UsbDevice { path, vendor, product, serial }) => {
                let interface = read("device/bInterfaceNumber").unwrap_or_default();
                (HardwareId::Usb { vendor, product, serial }, interface, path)
            }
            None => (HardwareId::Other { bus, card: card.clone() }, String::new(), PathBuf::new()),
        };
        VideoNode {
            path: path.into(),
            card,
            identity: Identity { hardware, part: (interface, index), port },
            usable,
            error,
        }
    }
}
