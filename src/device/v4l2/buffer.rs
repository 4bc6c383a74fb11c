//! The V4L2 buffer ioctls (`VIDIOC_REQBUFS`, `QUERYBUF`, `QBUF`, `DQBUF`, `STREAMON`, `STREAMOFF`), for single- and
//! multi-planar queues.
//!
//! Which buffer is owned by whom is tracked in `queue.rs`.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::device::BufferType;
use super::ioctl::{ioctl, zeroed};

/// The maximum number of memory planes of a buffer, defined by the kernel.
const MAX_PLANES: usize = sys::VIDEO_MAX_PLANES as usize;

/// The memory type of all buffers: allocated by the driver and mapped.
const MEMORY: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;

/// A buffer filled by the driver.
#[derive(Debug)]
pub struct Filled {
    /// Its index.
    pub index: usize,
    /// The driver's frame counter.
    pub sequence: u32,
    /// When the frame was captured, on `CLOCK_MONOTONIC`.
    pub monotonic: Option<Duration>,
    /// Whether the driver marked the data as damaged.
    pub damaged: bool,
    /// The range of the data in each memory plane, as reported by the driver: it may exceed the plane.
    pub used: [Range<usize>; MAX_PLANES],
}

/// Requests buffers and returns how many the driver allocated, which may be more or fewer. Zero frees them.
///
/// # Errors
///
/// The kernel's errno; `EBUSY` if another program streams.
pub fn request(fd: BorrowedFd<'_>, kind: BufferType, count: u32) -> io::Result<u32> {
    let mut request = zeroed::<sys::v4l2_requestbuffers>();
    request.count = count;
    request.type_ = kind.raw();
    request.memory = MEMORY;
    // SAFETY: the request is made for this struct, which holds no pointers.
    unsafe { ioctl(fd, vidioc::VIDIOC_REQBUFS, &mut request) }?;
    Ok(request.count)
}

/// The offset at which each plane of a buffer is mapped, and its length.
///
/// # Errors
///
/// The kernel's errno.
pub fn query(fd: BorrowedFd<'_>, kind: BufferType, index: u32) -> io::Result<Vec<(u32, u32)>> {
    let mut call = Call::new(kind, index);
    call.execute(fd, vidioc::VIDIOC_QUERYBUF)?;
    if kind.is_multi_planar() {
        let planes = call.planes.iter().take(call.buffer.length as usize);
        // SAFETY: the memory type is mmap, so this is the variant that the driver filled in; any bytes are valid.
        Ok(planes.map(|plane| (unsafe { plane.m.mem_offset }, plane.length)).collect())
    } else {
        // SAFETY: as above.
        Ok(vec![(unsafe { call.buffer.m.offset }, call.buffer.length)])
    }
}

/// Gives a buffer to the driver to be filled.
///
/// # Errors
///
/// The kernel's errno.
pub fn enqueue(fd: BorrowedFd<'_>, kind: BufferType, index: usize) -> io::Result<()> {
    Call::new(kind, u32::try_from(index).map_err(io::Error::other)?).execute(fd, vidioc::VIDIOC_QBUF)
}

/// Dequeues the next filled buffer; `None` if there is none yet.
///
/// # Errors
///
/// The kernel's errno: `ENODEV` if the device was unplugged, `EIO` if streaming failed.
pub fn dequeue(fd: BorrowedFd<'_>, kind: BufferType) -> io::Result<Option<Filled>> {
    let mut call = Call::new(kind, 0);
    match call.execute(fd, vidioc::VIDIOC_DQBUF) {
        Ok(()) => Ok(Some(call.filled())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Starts streaming.
///
/// # Errors
///
/// The kernel's errno; `ENOSPC` if the USB bus has not enough bandwidth left.
pub fn start(fd: BorrowedFd<'_>, kind: BufferType) -> io::Result<()> {
    stream(fd, kind, vidioc::VIDIOC_STREAMON)
}

/// Stops streaming; all queued buffers are removed from the driver's queue.
///
/// # Errors
///
/// The kernel's errno.
pub fn stop(fd: BorrowedFd<'_>, kind: BufferType) -> io::Result<()> {
    stream(fd, kind, vidioc::VIDIOC_STREAMOFF)
}

fn stream(fd: BorrowedFd<'_>, kind: BufferType, request: vidioc::_IOC_TYPE) -> io::Result<()> {
    let mut kind = libc::c_int::try_from(kind.raw()).map_err(io::Error::other)?;
    // SAFETY: both requests take an int.
    unsafe { ioctl(fd, request, &mut kind) }
}

/// A buffer for the ioctls, and the planes that it points to during a call.
struct Call {
    kind: BufferType,
    buffer: sys::v4l2_buffer,
    planes: [sys::v4l2_plane; MAX_PLANES],
}

impl Call {
    fn new(kind: BufferType, index: u32) -> Self {
        let mut buffer = zeroed::<sys::v4l2_buffer>();
        buffer.index = index;
        buffer.type_ = kind.raw();
        buffer.memory = MEMORY;
        Self { kind, buffer, planes: [zeroed(); MAX_PLANES] }
    }

    /// Makes an ioctl that takes a `v4l2_buffer`.
    fn execute(&mut self, fd: BorrowedFd<'_>, request: vidioc::_IOC_TYPE) -> io::Result<()> {
        if self.kind.is_multi_planar() {
            self.buffer.m.planes = self.planes.as_mut_ptr();
            self.buffer.length = sys::VIDEO_MAX_PLANES;
        }
        // SAFETY: the callers' requests take this struct. It holds a pointer only if the queue is multi-planar; that
        // points to `length` planes, which live as long as `self`.
        unsafe { ioctl(fd, request, &mut self.buffer) }
    }

    fn filled(&self) -> Filled {
        let used = if self.kind.is_multi_planar() {
            // The bytes before the offset are a header of the driver, and are included in the bytes used.
            self.planes.map(|plane| plane.data_offset as usize..plane.bytesused as usize)
        } else {
            let mut used = [const { 0..0 }; MAX_PLANES];
            used[0] = 0..self.buffer.bytesused as usize;
            used
        };
        Filled {
            index: self.buffer.index as usize,
            sequence: self.buffer.sequence,
            monotonic: monotonic(&self.buffer),
            damaged: self.buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
            used,
        }
    }
}

/// The driver's timestamp, if it is from `CLOCK_MONOTONIC`.
fn monotonic(buffer: &sys::v4l2_buffer) -> Option<Duration> {
    if buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK != sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
        return None;
    }
    let seconds = u64::try_from(buffer.timestamp.tv_sec).ok()?;
    let microseconds = u32::try_from(buffer.timestamp.tv_usec).ok().filter(|&part| part < 1_000_000)?;
    let stamp = Duration::new(seconds, microseconds * 1000);
    // Some drivers declare a clock but leave the timestamp zero.
    (!stamp.is_zero()).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_monotonic_timestamps_are_used() {
        let mut buffer = Call::new(BufferType::VideoCapture, 0).buffer;
        buffer.timestamp.tv_sec = 5;
        buffer.timestamp.tv_usec = 250_000;
        assert_eq!(monotonic(&buffer), None);
        buffer.flags = sys::V4L2_BUF_FLAG_TIMESTAMP_COPY;
        assert_eq!(monotonic(&buffer), None);
        buffer.flags = sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE;
        assert_eq!(monotonic(&buffer), Some(Duration::from_millis(5250)));
        buffer.timestamp.tv_usec = -1;
        assert_eq!(monotonic(&buffer), None);
        buffer.timestamp.tv_sec = 0;
        buffer.timestamp.tv_usec = 0;
        assert_eq!(monotonic(&buffer), None);
    }

    #[test]
    fn bytes_used_are_read_per_buffer_or_per_plane() {
        let mut one = Call::new(BufferType::VideoCapture, 3);
        one.buffer.bytesused = 100;
        one.planes[0].bytesused = 7;
        let filled = one.filled();
        assert_eq!((filled.index, &filled.used[..2]), (3, &[0..100, 0..0][..]));
        let mut many = Call::new(BufferType::VideoCaptureMplane, 0);
        many.buffer.bytesused = 100;
        many.planes[0].bytesused = 50;
        (many.planes[1].data_offset, many.planes[1].bytesused) = (16, 40);
        assert_eq!(many.filled().used[..3], [0..50, 16..40, 0..0]);
    }
}
