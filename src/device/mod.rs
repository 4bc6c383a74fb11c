//! One kernel or system interface each: V4L2, GPIO, LEDs, buttons, hot-plug, sysfs, systemd.
//!
//! What a camera or a session is does not belong here. These modules do not know each other, but for the interfaces that
//! several of them stand on: GPIO and sysfs.

pub mod buttons;
pub mod gpio;
pub mod hotplug;
pub mod leds;
pub mod sysfs;
pub mod systemd;
pub mod v4l2;
