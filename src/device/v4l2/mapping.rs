//! A plane of a driver's buffer mapped into our address space (`mmap`).
//!
//! When a driver may write to it is up to `queue.rs`.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// A plane of memory, mapped until this is dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

// SAFETY: the mapping is plain memory that belongs to this value alone on our side, readable from any thread. The
// driver writes to it only while the buffer is queued, and a buffer is queued only when no lease of it exists.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes that the driver knows by `offset`.
    ///
    /// # Errors
    ///
    /// The kernel's errno; an error of our own for a plane of no bytes.
    pub fn new(fd: BorrowedFd<'_>, offset: u32, length: u32) -> io::Result<Self> {
        let length = NonZeroUsize::new(length as usize)
            .ok_or_else(|| io::Error::other("the driver gave a buffer of zero bytes"))?;
        // SAFETY: a new mapping at an address that the kernel chooses; nothing of ours is replaced.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length.get(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                // A cookie of the driver, which comes back as it went, whatever the width and sign of the type.
                offset as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the buffer was mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// How many bytes are mapped.
    pub const fn len(&self) -> usize {
        self.length.get()
    }

    /// The bytes of `range`, as far as they are mapped.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        // SAFETY: the mapping is readable for `self.length` bytes until this value is dropped, which the borrow
        // prevents; the driver does not write to it meanwhile, see `Send` above.
        let all = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length.get()) };
        all.get(range.start..range.end.min(all.len())).unwrap_or(&[])
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and no reference into it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length.get()) };
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn impossible_mapping_is_an_error() {
        let file = File::open("/dev/null").expect("should open");
        assert!(Mapping::new(file.as_fd(), 0, 0).is_err());
        assert!(Mapping::new(file.as_fd(), 0, 4096).is_err());
    }
}
