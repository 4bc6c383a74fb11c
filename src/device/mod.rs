//! One kernel or system interface each: V4L2, GPIO, LEDs, buttons, hot-plug, sysfs, systemd.
//!
//! Cameras and sessions do not belong here. These modules do not know each other, except for GPIO and sysfs, which
//! several of them build on.

pub mod buttons;
pub mod gpio;
pub mod hotplug;
pub mod leds;
pub mod sysfs;
pub mod systemd;
pub mod v4l2;
