//! Kernel and system interfaces, one per module: V4L2, GPIO, LEDs, buttons, hot-plug, sysfs, systemd.
//!
//! Cameras and sessions do not belong here. The modules are independent of each other, except for GPIO and sysfs, which
//! others use.

pub mod buttons;
pub mod gpio;
pub mod hotplug;
pub mod leds;
pub mod sysfs;
pub mod systemd;
pub mod v4l2;
