//! A thin layer over the kernel interface of V4L2: one function for each ioctl that the program needs, with plain
//! values of our own.
//!
//! The structs and request numbers come from the `v4l` crate. Its own device and stream layer is not used, because it
//! bypasses libc (so that `libcamerify` and other preloaded shims see nothing) and panics on replies that real drivers
//! give. No reply of a driver panics here: strings are decoded lossily, unknown enum values are kept as numbers, loops
//! over enumerations are bounded.
//!
//! Which mode to choose, when to retry and what a frame is do not belong here: see `capture/camera/v4l2`. Kernel
//! documentation: <https://docs.kernel.org/userspace-api/media/v4l/v4l2.html>.

mod buffer;
mod codec;
mod controls;
mod device;
mod enumerate;
mod events;
mod format;
mod ioctl;
mod mapping;
mod queue;

pub use device::{BufferType, Capability, Device, Readiness};
pub use enumerate::{FormatDescription, FrameInterval, FrameSize};
pub use format::{ColorFields, FieldOrder, FourCc, Fraction, NegotiatedFormat};
pub use queue::{Dequeued, Lease, Queue};
