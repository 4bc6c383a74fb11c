//! What sysfs says about the hardware behind a device: which USB device it belongs to.
//!
//! Opening devices does not belong here. Kernel documentation: `Documentation/ABI/stable/sysfs-bus-usb`.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel lists its video nodes.
pub const VIDEO_NODES: &str = "/sys/class/video4linux";

/// A USB device. Its parts (a camera's frame, its microphone) have the same `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbDevice {
    /// Its directory below `/sys/devices`; another one when it is plugged in elsewhere.
    pub path: PathBuf,
    /// The vendor's number, four hexadecimal digits.
    pub vendor: String,
    /// The product's number, four hexadecimal digits.
    pub product: String,
    /// The serial number, if it has one.
    pub serial: Option<String>,
}

/// The USB device that a node of sysfs (`/sys/class/video4linux/video0`, `/sys/class/sound/card1`) is a part of; `None`
/// if it is on another bus or gone.
pub fn usb_device(node: &Path) -> Option<UsbDevice> {
    let real = fs::canonicalize(node.join("device")).or_else(|_| fs::canonicalize(node)).ok()?;
    // An interface has no numbers of its own; the device above it has.
    real.ancestors().find_map(|path| {
        let read = |name: &str| Some(fs::read_to_string(path.join(name)).ok()?.trim().to_owned());
        Some(UsbDevice {
            vendor: read("idVendor")?,
            product: read("idProduct")?,
            serial: read("serial").filter(|serial| !serial.is_empty()),
            path: path.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn usb_interfaces_resolve_to_their_device() {
        let root = tempfile::tempdir().expect("should make a directory");
        let device = root.path().join("devices/usb1/1-2");
        for part in ["1-2:1.0/video4linux/video0", "1-2:1.2/sound/card1"] {
            fs::create_dir_all(device.join(part)).expect("should make directories");
        }
        for (name, text) in [("idVendor", "046d\n"), ("idProduct", "082d\n"), ("serial", "5AF2\n")] {
            fs::write(device.join(name), text).expect("should write");
        }
        let class = root.path().join("class");
        fs::create_dir_all(&class).expect("should make a directory");
        symlink(device.join("1-2:1.0/video4linux/video0"), class.join("video0")).expect("should link");
        symlink(device.join("1-2:1.2/sound/card1"), class.join("card1")).expect("should link");
        symlink(device.join("1-2:1.0"), device.join("1-2:1.0/video4linux/video0/device")).expect("should link");

        let camera = usb_device(&class.join("video0")).expect("should be a USB device");
        assert_eq!((camera.vendor.as_str(), camera.product.as_str()), ("046d", "082d"));
        assert_eq!(camera.serial.as_deref(), Some("5AF2"));
        assert_eq!(usb_device(&class.join("card1")), Some(camera));
        assert_eq!(usb_device(&class.join("video7")), None);
        assert_eq!(usb_device(Path::new("/sys/devices/virtual")), None);
    }
}
