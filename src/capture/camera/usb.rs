//! The USB device that a camera belongs to, so that its microphone can be found.
//!
//! Finding the camera's node is up to `select`.

use std::fs;
use std::path::Path;

use super::{DeviceSelector, Registry};
use crate::device::sysfs;
use crate::device::sysfs::UsbDevice;

/// The USB device of the first camera, which is configured as `device`: of the node that is open, otherwise of the one
/// that the name refers to now. `None` if it is disconnected, or not on USB.
pub fn usb_device(registry: &Registry, device: &DeviceSelector) -> Option<UsbDevice> {
    let node = registry.open_node(0).or_else(|| Registry::default().locate(device).ok())?;
    of_node(&node, Path::new(sysfs::VIDEO_NODES))
}

/// The USB device of a node, or of a symlink to one.
fn of_node(path: &str, nodes: &Path) -> Option<UsbDevice> {
    let node = fs::canonicalize(path).ok()?;
    sysfs::usb_device(&nodes.join(node.file_name()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn node_and_symlink_resolve_to_the_same_usb_device() {
        let root = tempfile::tempdir().expect("should make a directory");
        let (usb, nodes) = (root.path().join("devices/1-1"), root.path().join("class"));
        let video = usb.join("interface/video4linux/video0");
        for folder in [&video, &nodes] {
            fs::create_dir_all(folder).expect("should make a directory");
        }
        for (file, text) in [("idVendor", "046d\n"), ("idProduct", "082d\n")] {
            fs::write(usb.join(file), text).expect("should write");
        }
        symlink(usb.join("interface"), video.join("device")).expect("should link");
        symlink(&video, nodes.join("video0")).expect("should link");
        let (node, link) = (root.path().join("video0"), root.path().join("by-id"));
        fs::write(&node, "").expect("should write");
        symlink(&node, &link).expect("should link");

        for path in [node, link] {
            let found = of_node(&path.display().to_string(), &nodes).expect("should be on USB");
            assert_eq!((found.path, found.product.as_str()), (usb.canonicalize().expect("is there"), "082d"));
        }
        assert_eq!(of_node("/dev/none", &nodes), None);
    }

    #[test]
    fn what_is_no_v4l2_camera_has_none() {
        assert_eq!(usb_device(&Registry::default(), &DeviceSelector::Pattern), None);
    }
}
