//! An open V4L2 node: open it, query its capabilities, wait for a buffer.
//!
//! Formats, controls and queues are in their own files.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::ioctl::{ioctl, text, zeroed};

/// The type of a queue (`enum v4l2_buf_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferType {
    /// Frames from the device, single-planar API.
    VideoCapture,
    /// Frames from the device, multi-planar API.
    VideoCaptureMplane,
}

impl BufferType {
    /// The kernel's number of it.
    pub(super) const fn raw(self) -> u32 {
        match self {
            Self::VideoCapture => sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
            Self::VideoCaptureMplane => sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
        }
    }

    /// Whether the calls describe each plane of memory by itself (`struct v4l2_plane`).
    pub(super) const fn is_multi_planar(self) -> bool {
        matches!(self, Self::VideoCaptureMplane)
    }
}

/// The capabilities of a node (`VIDIOC_QUERYCAP`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The kernel driver.
    pub driver: String,
    /// The name of the hardware.
    pub card: String,
    /// Where it is attached.
    pub bus: String,
    /// `V4L2_CAP_*` of this node; of the whole device where the driver is too old to tell them apart.
    flags: u32,
}

impl Capability {
    /// Whether the node captures with the single-planar API and mapped buffers.
    pub const fn captures(&self) -> bool {
        self.has(sys::V4L2_CAP_VIDEO_CAPTURE) && self.has(sys::V4L2_CAP_STREAMING) && !self.converts()
    }

    /// Whether the node captures with the multi-planar API and mapped buffers.
    pub const fn captures_mplane(&self) -> bool {
        self.has(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE) && self.has(sys::V4L2_CAP_STREAMING) && !self.converts()
    }

    /// The capture queue; `None` if the node does not capture. Of a node with both APIs, the simpler one is used.
    pub const fn capture_kind(&self) -> Option<BufferType> {
        if self.captures() {
            Some(BufferType::VideoCapture)
        } else if self.captures_mplane() {
            Some(BufferType::VideoCaptureMplane)
        } else {
            None
        }
    }

    /// Whether the node is memory-to-memory (an encoder, a decoder, a scaler).
    pub const fn converts(&self) -> bool {
        let takes = sys::V4L2_CAP_VIDEO_OUTPUT | sys::V4L2_CAP_VIDEO_OUTPUT_MPLANE;
        let gives = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE;
        self.flags & (sys::V4L2_CAP_VIDEO_M2M | sys::V4L2_CAP_VIDEO_M2M_MPLANE) != 0
            || (self.flags & takes != 0 && self.flags & gives != 0)
    }

    /// What the node is, for an error message.
    pub const fn kind(&self) -> &'static str {
        if self.converts() {
            "a video converter (encoder, decoder or scaler)"
        } else if self.has(sys::V4L2_CAP_VIDEO_CAPTURE) {
            "a video capture device"
        } else if self.has(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
            "a multi-planar video capture device"
        } else if self.flags & (sys::V4L2_CAP_VIDEO_OUTPUT | sys::V4L2_CAP_VIDEO_OUTPUT_MPLANE) != 0 {
            "a video output device"
        } else if self.flags & (sys::V4L2_CAP_META_CAPTURE | sys::V4L2_CAP_META_OUTPUT) != 0 {
            "a metadata device"
        } else if self.flags & (sys::V4L2_CAP_VBI_CAPTURE | sys::V4L2_CAP_SLICED_VBI_CAPTURE) != 0 {
            "a VBI device"
        } else if self.has(sys::V4L2_CAP_RADIO) || self.has(sys::V4L2_CAP_SDR_CAPTURE) {
            "a radio"
        } else {
            "no video capture device"
        }
    }

    const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    const fn effective_flags(capabilities: u32, device_caps: u32) -> u32 {
        if capabilities & sys::V4L2_CAP_DEVICE_CAPS != 0 { device_caps } else { capabilities }
    }
}

/// The result of [`Device::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// A buffer can be dequeued.
    Ready,
    /// Nothing came within the timeout, or a signal ended the wait early.
    Nothing,
    /// The driver reports an error; the next ioctl returns it.
    Fault,
}

/// An open node. Closed on drop.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
}

impl Device {
    /// Opens the node at `path` for reading and writing, without blocking.
    ///
    /// # Errors
    ///
    /// The kernel's errno: `ENOENT`, `ENODEV` and `ENXIO` for a device that is not there, `EBUSY`, `EACCES`...
    pub fn open(path: &str) -> io::Result<Self> {
        let c_path = CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))?;
        loop {
            // SAFETY: the path ends with NUL and lives through the call.
            let fd = unsafe { libc::open(c_path.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC) };
            if fd >= 0 {
                // SAFETY: the kernel just gave us this descriptor and nobody else has it.
                return Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// What the node says of itself.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `ENOTTY` if the file is no V4L2 node.
    pub fn capability(&self) -> io::Result<Capability> {
        let mut answer: sys::v4l2_capability = zeroed();
        // SAFETY: the request is made for this struct, which holds no pointers.
        unsafe { ioctl(self.fd(), vidioc::VIDIOC_QUERYCAP, &mut answer) }?;
        Ok(Capability {
            driver: text(&answer.driver),
            card: text(&answer.card),
            bus: text(&answer.bus_info),
            flags: Capability::effective_flags(answer.capabilities, answer.device_caps),
        })
    }

    /// Waits until a filled buffer can be dequeued, `wait` at most.
    ///
    /// # Errors
    ///
    /// The kernel's errno.
    pub fn wait(&self, wait: Duration) -> io::Result<Readiness> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up, so that the last fraction of a millisecond is waited for and not spun away.
        let milliseconds = wait.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX);
        // SAFETY: one initialised `pollfd` is passed with the count 1.
        let answer = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
        if answer < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(Readiness::Nothing) } else { Err(error) };
        }
        Ok(if answer == 0 {
            Readiness::Nothing
        } else if poll.revents & libc::POLLIN != 0 {
            Readiness::Ready
        } else {
            Readiness::Fault
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: u32) -> Capability {
        Capability { driver: String::new(), card: String::new(), bus: String::new(), flags }
    }

    #[test]
    fn only_streaming_capture_nodes_are_cameras() {
        let streaming = sys::V4L2_CAP_STREAMING;
        assert!(with(sys::V4L2_CAP_VIDEO_CAPTURE | streaming).captures());
        assert!(!with(sys::V4L2_CAP_VIDEO_CAPTURE).captures(), "read() alone is not enough");
        assert!(!with(sys::V4L2_CAP_META_CAPTURE | streaming).captures());
        assert!(!with(sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_M2M | streaming).captures());
        // Old converters say capture and output instead of M2M.
        assert!(!with(sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_OUTPUT | streaming).captures());
        assert_eq!(with(sys::V4L2_CAP_META_CAPTURE).kind(), "a metadata device");
    }

    #[test]
    fn buffer_type_follows_the_capabilities() {
        let (one, many) = (sys::V4L2_CAP_VIDEO_CAPTURE, sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE);
        let streaming = sys::V4L2_CAP_STREAMING;
        assert_eq!(with(one | streaming).capture_kind(), Some(BufferType::VideoCapture));
        assert_eq!(with(many | streaming).capture_kind(), Some(BufferType::VideoCaptureMplane));
        assert_eq!(with(one | many | streaming).capture_kind(), Some(BufferType::VideoCapture));
        assert_eq!(with(many).capture_kind(), None, "read() alone is not enough");
        assert_eq!(with(many | sys::V4L2_CAP_VIDEO_OUTPUT_MPLANE | streaming).capture_kind(), None);
    }

    #[test]
    fn device_caps_are_used_instead_of_the_whole_devices() {
        // A UVC camera's metadata node: the device captures, this node does not.
        let device = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_META_CAPTURE | sys::V4L2_CAP_DEVICE_CAPS;
        assert_eq!(Capability::effective_flags(device, sys::V4L2_CAP_META_CAPTURE), sys::V4L2_CAP_META_CAPTURE);
        assert_eq!(Capability::effective_flags(sys::V4L2_CAP_VIDEO_CAPTURE, 0), sys::V4L2_CAP_VIDEO_CAPTURE);
    }

    #[test]
    fn path_that_is_not_a_device_is_an_error_with_errno() {
        let missing = Device::open("/dev/video-that-is-not-there").expect_err("should not open");
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(Device::open("/dev/vi\0deo0").expect_err("should not open").raw_os_error(), Some(libc::ENOENT));
        let null = Device::open("/dev/null").expect("should open");
        assert_eq!(null.capability().expect_err("should refuse").raw_os_error(), Some(libc::ENOTTY));
    }
}
