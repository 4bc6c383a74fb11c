//! The system call itself: `ioctl` through libc, restarted after a signal, on kernel structs that may be all zero.
//!
//! What a request means does not belong here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc::_IOC_TYPE;

use crate::util::text::is_invisible;

/// A kernel struct for which all zero bytes are a valid value, and any bytes that the kernel writes as well.
///
/// # Safety
///
/// The type consists of integers, arrays, unions and raw pointers alone.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ident),* $(,)?) => {
        $(
            // SAFETY: bindgen's mirror of a C struct of the V4L2 interface: integers, arrays, unions and raw pointers.
            unsafe impl Plain for sys::$name {}
        )*
    };
}

plain!(
    v4l2_buffer,
    v4l2_capability,
    v4l2_control,
    v4l2_event,
    v4l2_event_subscription,
    v4l2_ext_control,
    v4l2_ext_controls,
    v4l2_fmtdesc,
    v4l2_format,
    v4l2_frmivalenum,
    v4l2_frmsizeenum,
    v4l2_query_ext_ctrl,
    v4l2_queryctrl,
    v4l2_querymenu,
    v4l2_plane,
    v4l2_requestbuffers,
    v4l2_streamparm,
);

// SAFETY: an integer.
unsafe impl Plain for libc::c_int {}

/// All zero: how the interface wants every struct to begin, its reserved fields above all.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` promises that all zero bytes are a valid value.
    unsafe { std::mem::zeroed() }
}

/// Calls the driver, again whenever a signal interrupts it.
///
/// # Errors
///
/// The driver's errno.
///
/// # Safety
///
/// `request` is the request number that was made for `T`, and pointers inside `argument` are valid for it.
pub unsafe fn ioctl<T: Plain>(fd: BorrowedFd<'_>, request: _IOC_TYPE, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open while it is borrowed; the kernel reads and writes one `T` behind the pointer,
        // as the caller promises.
        let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request as libc::Ioctl, std::ptr::from_mut(argument)) };
        if answer >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Text of a fixed-size field: up to the first NUL, with anything that is not UTF-8 replaced. A
/// device's name is shown to others, so it has nothing that cannot be seen.
pub fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let text = String::from_utf8_lossy(&field[..end]);
    text.trim().chars().filter(|c| !is_invisible(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_text_is_decoded_even_if_invalid() {
        assert_eq!(text(b"HD Webcam\0garbage"), "HD Webcam");
        assert_eq!(text(b"no end"), "no end");
        assert_eq!(text(b"bad \xff\xfe\0"), "bad \u{fffd}\u{fffd}");
        assert_eq!(text(&[0; 32]), "");
    }
}
