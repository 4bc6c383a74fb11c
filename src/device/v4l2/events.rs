//! Which controls changed, as the driver tells it by itself (`VIDIOC_SUBSCRIBE_EVENT`, `VIDIOC_DQEVENT`).
//!
//! How a changed control stands is asked in `controls.rs`. Kernel documentation:
//! <https://docs.kernel.org/userspace-api/media/v4l/vidioc-dqevent.html>.

use std::collections::BTreeSet;
use std::io;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc::_IOC_TYPE;

use super::device::Device;
use super::ioctl::{ioctl, zeroed};

/// The requests that the `v4l` crate does not name; the numbers are those of `linux/videodev2.h`.
const VIDIOC_DQEVENT: _IOC_TYPE = libc::_IOR::<sys::v4l2_event>(b'V' as u32, 89) as _IOC_TYPE;
const VIDIOC_SUBSCRIBE_EVENT: _IOC_TYPE = libc::_IOW::<sys::v4l2_event_subscription>(b'V' as u32, 90) as _IOC_TYPE;

/// The most events that are fetched at once: the kernel keeps one for each control, and a driver that never says that
/// there are no more must not hold up the pictures.
const EVENT_LIMIT: usize = 256;

impl Device {
    /// From now on, tells changes of the control `id` by [`changed_controls`](Self::changed), whoever makes them.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `ENOTTY` or `EINVAL` where the driver tells no changes.
    pub fn subscribe_to_control(&self, id: u32) -> io::Result<()> {
        let mut subscription: sys::v4l2_event_subscription = zeroed();
        subscription.type_ = sys::V4L2_EVENT_CTRL;
        subscription.id = id;
        // Otherwise what is changed through this descriptor would not be told.
        subscription.flags = sys::V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK;
        // SAFETY: the request is made for this struct, which holds no pointers.
        unsafe { ioctl(self.fd(), VIDIOC_SUBSCRIBE_EVENT, &mut subscription) }
    }

    /// The controls whose value, range or flags changed since the last question, by number. Does not wait.
    ///
    /// A driver that tells nothing, or has gone, has no changes: the next picture tells what is wrong.
    pub fn changed_controls(&self) -> BTreeSet<u32> {
        let mut changed_controls = BTreeSet::new();
        for _ in 0..EVENT_LIMIT {
            let mut event: sys::v4l2_event = zeroed();
            // SAFETY: the request is made for this struct, which holds no pointers.
            if unsafe { ioctl(self.fd(), VIDIOC_DQEVENT, &mut event) }.is_err() {
                break;
            }
            if event.type_ == sys::V4L2_EVENT_CTRL {
                changed_controls.insert(event.id);
            }
        }
        changed_controls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_requests_have_the_kernels_numbers() {
        // As `linux/videodev2.h` expands them for the sizes 136 and 32.
        assert_eq!((VIDIOC_DQEVENT, VIDIOC_SUBSCRIBE_EVENT), (0x8088_5659, 0x4020_565a));
    }

    #[test]
    fn a_file_that_tells_no_events_has_no_changes() {
        let null = Device::open("/dev/null").expect("should open");
        assert_eq!(null.subscribe_to_control(1).expect_err("should refuse").raw_os_error(), Some(libc::ENOTTY));
        assert!(null.changed_controls().is_empty());
    }
}
