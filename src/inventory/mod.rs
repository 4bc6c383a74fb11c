//! What a machine has, as `porthole devices` and `porthole controls` tell it: for people by `Display`, for programs as JSON.
//!
//! The JSON is a promise to the outside: the fields are those of the structs here, under the same names, and are documented
//! there alone. A field may be added; none changes its name or meaning. Asking the kernel does not belong here.

mod camera;
mod control;
mod setting;
mod sound;

pub use camera::{CameraInfo, FormatInfo, RateInfo, SizeInfo, Span};
pub use control::{Control, ControlKind, Controls, Flag, MenuItem, Value};
pub use setting::{Setting, find};
pub use sound::{SoundCardInfo, SoundDeviceInfo};
