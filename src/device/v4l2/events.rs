//! Which controls changed, by the driver's own events (`VIDIOC_SUBSCRIBE_EVENT`, `VIDIOC_DQEVENT`).
//!
//! Reading a changed control belongs to `controls.rs`. Kernel documentation:
//! <https://docs.kernel.org/userspace-api/media/v4l/vidioc-dqevent.html>.

use std::collections::BTreeSet;
use std::io;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc::_IOC_TYPE;

use super::device::Device;
use super::ioctl::{ioctl, zeroed};

/// The requests that the `v4l` crate does not define; the numbers are those of `linux/videodev2.h`.
const VIDIOC_DQEVENT: _IOC_TYPE = libc::_IOR::<sys::v4l2_event>(b'V' as u32, 89) as _IOC_TYPE;
const VIDIOC_SUBSCRIBE_EVENT: _IOC_TYPE = libc::_IOW::<sys::v4l2_event_subscription>(b'V' as u32, 90) as _IOC_TYPE;

/// The maximum number of events that are dequeued at once: the kernel keeps one per control, and a driver with an
/// endless supply must not block the frames.
const EVENT_LIMIT: usize = 256;

impl Device {
    /// Subscribes to changes of the control `id`, whoever makes them; [`changed_controls`](Self::changed_controls)
    /// returns them.
    ///
    /// # Errors
    ///
    /// The kernel's errno; `ENOTTY` or `EINVAL` if the driver has no events.
    pub fn subscribe_to_control(&self, id: u32) -> io::Result<()> {
        let mut subscription: sys::v4l2_event_subscription = zeroed();
        subscription.type_ = sys::V4L2_EVENT_CTRL;
        subscription.id = id;
        // Without this flag, changes made through this descriptor would not be reported.
        subscription.flags = sys::V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK;
        // SAFETY: the request is made for this struct, which holds no pointers.
        unsafe { ioctl(self.fd(), VIDIOC_SUBSCRIBE_EVENT, &mut subscription) }
    }

    /// The ids of the controls whose value, range or flags changed since the last call. Does not block.
    ///
    /// If the driver has no events or is gone, there are no changes: dequeuing the next frame reports the error.
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
    fn request_codes_match_the_kernel() {
        // As `linux/videodev2.h` expands them for the sizes 136 and 32.
        assert_eq!((VIDIOC_DQEVENT, VIDIOC_SUBSCRIBE_EVENT), (0x8088_5659, 0x4020_565a));
    }

    #[test]
    fn file_without_events_has_no_changes() {
        let null = Device::open("/dev/null").expect("should open");
        assert_eq!(null.subscribe_to_control(1).expect_err("should refuse").raw_os_error(), Some(libc::ENOTTY));
        assert!(null.changed_controls().is_empty());
    }
}
