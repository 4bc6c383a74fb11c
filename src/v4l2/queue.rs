//! Streaming through mapped buffers (`VIDIOC_REQBUFS`, `QUERYBUF`, `QBUF`, `DQBUF`, `STREAMON`, `STREAMOFF`),
//! single-planar capture.
//!
//! A dequeued buffer is lent out as a [`Lease`] and goes back to the driver when the lease is dropped, from whatever
//! thread. The mappings live as long as any lease does, the descriptor only as long as the queue: a frame that is still
//! being encoded when the camera is closed stays readable, and does not keep the next opening from succeeding (the
//! driver releases the buffers of `REQBUFS(0)` once they are unmapped, `V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS`).

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc;

use super::device::{BufferType, Device};
use super::ioctl::{ioctl, zeroed};

/// The memory kind of all buffers here: the driver's own, mapped.
const MEMORY: u32 = sys::v4l2_memory_V4L2_MEMORY_MMAP;

/// A queue that streams from the moment it is made until it is dropped.
#[derive(Debug)]
pub struct Queue {
    ring: Arc<Ring>,
    device: Arc<Device>,
}

/// The buffers, shared by the queue and the leases.
#[derive(Debug)]
struct Ring {
    mappings: Vec<Mapping>,
    /// The device while it streams; `None` afterwards, so that a lease never touches a descriptor that is closed.
    streaming: Mutex<Option<Arc<Device>>>,
}

/// A buffer that the driver filled.
#[derive(Debug)]
pub struct Dequeued {
    /// The bytes; dropping it gives the buffer back.
    pub lease: Lease,
    /// The driver's count of frames, those included for which it had no buffer.
    pub sequence: u32,
    /// When the frame was taken, on `CLOCK_MONOTONIC`; `None` where the driver stamps by another clock or not at all.
    pub monotonic: Option<Duration>,
    /// Whether the driver says that the data is damaged.
    pub damaged: bool,
}

impl Queue {
    /// Asks for `count` buffers, maps them, queues them and starts the stream.
    ///
    /// # Errors
    ///
    /// The name of the call that failed and the kernel's errno: `EBUSY` where another program streams, `ENOSPC` where
    /// the USB bus has no bandwidth left. Nothing is left behind.
    pub fn start(device: Arc<Device>, count: u32) -> Result<Self, (&'static str, io::Error)> {
        let given = request(device.fd(), count).map_err(|error| ("VIDIOC_REQBUFS", error))?;
        let queue = Self::map(device, given)?;
        for index in 0..queue.ring.mappings.len() {
            enqueue(queue.device.fd(), index).map_err(|error| ("VIDIOC_QBUF", error))?;
        }
        stream(queue.device.fd(), vidioc::VIDIOC_STREAMON).map_err(|error| ("VIDIOC_STREAMON", error))?;
        Ok(queue)
    }

    /// From here on the drop of the queue undoes everything.
    fn map(device: Arc<Device>, count: u32) -> Result<Self, (&'static str, io::Error)> {
        let mut mappings = Vec::new();
        let mut fault = None;
        for index in 0..count {
            match query(device.fd(), index)
                .map_err(|error| ("VIDIOC_QUERYBUF", error))
                .and_then(|(offset, length)| Mapping::new(device.fd(), offset, length).map_err(|error| ("mmap", error)))
            {
                Ok(mapping) => mappings.push(mapping),
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        let queue =
            Self { ring: Arc::new(Ring { mappings, streaming: Mutex::new(Some(Arc::clone(&device))) }), device };
        match fault {
            None if queue.ring.mappings.is_empty() => {
                Err(("VIDIOC_REQBUFS", io::Error::other("the driver gave no buffers")))
            }
            None => Ok(queue),
            Some(fault) => Err(fault),
        }
    }

    /// How many buffers there are.
    pub fn len(&self) -> usize {
        self.ring.mappings.len()
    }

    /// Takes the next filled buffer; `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// The kernel's errno: `ENODEV` when the device is gone, `EIO` when the stream broke down.
    pub fn dequeue(&self) -> io::Result<Option<Dequeued>> {
        let mut buffer = empty(0);
        // SAFETY: the request is made for this struct; single-planar buffers hold no pointers.
        match unsafe { ioctl(self.device.fd(), vidioc::VIDIOC_DQBUF, &mut buffer) } {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let index = buffer.index as usize;
        let Some(mapping) = self.ring.mappings.get(index) else {
            return Err(io::Error::other(format!("the driver gave buffer {index} of {}", self.len())));
        };
        let length = (buffer.bytesused as usize).min(mapping.length.get());
        Ok(Some(Dequeued {
            lease: Lease { ring: Arc::clone(&self.ring), index, length },
            sequence: buffer.sequence,
            monotonic: monotonic(&buffer),
            damaged: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
        }))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Leases that are dropped from now on find no device; one that is being dropped has finished when the lock is
        // ours.
        *self.ring.lock() = None;
        // The device may be gone, and there is nobody to tell: the descriptor is about to be closed anyway.
        let _ = stream(self.device.fd(), vidioc::VIDIOC_STREAMOFF);
        let _ = request(self.device.fd(), 0);
    }
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Device>>> {
        // The lock is only held for plain calls; what it guards is valid even after a panic elsewhere.
        self.streaming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A filled buffer, lent out. Dropping it queues the buffer again, if the stream still runs.
#[derive(Debug)]
pub struct Lease {
    ring: Arc<Ring>,
    index: usize,
    length: usize,
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        self.ring.mappings.get(self.index).map_or(&[], |mapping| mapping.bytes(self.length))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let streaming = self.ring.lock();
        if let Some(device) = streaming.as_ref()
            && let Err(error) = enqueue(device.fd(), self.index)
            && error.raw_os_error() != Some(libc::ENODEV)
        {
            // An unplugged device is reported by the next dequeue; anything else is one buffer less.
            tracing::warn!("give buffer {} back to the camera: {error}", self.index);
        }
    }
}

/// One buffer of the driver in our address space.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

// SAFETY: the mapping is plain memory that belongs to this value alone on our side, readable from any thread. The
// driver writes to it only while the buffer is queued, and a buffer is queued only when no lease of it exists.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: u32, length: u32) -> io::Result<Self> {
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

    fn bytes(&self, length: usize) -> &[u8] {
        // SAFETY: the mapping is readable for `self.length` bytes until this value is dropped, which the borrow
        // prevents; the driver does not write to it meanwhile, see `Send` above.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), length.min(self.length.get())) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and no reference into it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length.get()) };
    }
}

fn empty(index: u32) -> sys::v4l2_buffer {
    let mut buffer: sys::v4l2_buffer = zeroed();
    buffer.index = index;
    buffer.type_ = BufferType::VideoCapture.raw();
    buffer.memory = MEMORY;
    buffer
}

/// Asks for buffers; the driver may give more or fewer. Zero frees them.
fn request(fd: BorrowedFd<'_>, count: u32) -> io::Result<u32> {
    let mut request: sys::v4l2_requestbuffers = zeroed();
    request.count = count;
    request.type_ = BufferType::VideoCapture.raw();
    request.memory = MEMORY;
    // SAFETY: the request is made for this struct, which holds no pointers.
    unsafe { ioctl(fd, vidioc::VIDIOC_REQBUFS, &mut request) }?;
    Ok(request.count)
}

/// Where a buffer can be mapped, and how long it is.
fn query(fd: BorrowedFd<'_>, index: u32) -> io::Result<(u32, u32)> {
    let mut buffer = empty(index);
    // SAFETY: the request is made for this struct; single-planar buffers hold no pointers.
    unsafe { ioctl(fd, vidioc::VIDIOC_QUERYBUF, &mut buffer) }?;
    // SAFETY: the memory kind is mmap, so that this is the variant the driver filled in; any bytes are valid.
    Ok((unsafe { buffer.m.offset }, buffer.length))
}

fn enqueue(fd: BorrowedFd<'_>, index: usize) -> io::Result<()> {
    let mut buffer = empty(u32::try_from(index).map_err(io::Error::other)?);
    // SAFETY: the request is made for this struct; single-planar buffers hold no pointers.
    unsafe { ioctl(fd, vidioc::VIDIOC_QBUF, &mut buffer) }
}

fn stream(fd: BorrowedFd<'_>, request: vidioc::_IOC_TYPE) -> io::Result<()> {
    let mut kind = libc::c_int::try_from(BufferType::VideoCapture.raw()).map_err(io::Error::other)?;
    // SAFETY: both requests are made for an int.
    unsafe { ioctl(fd, request, &mut kind) }
}

/// The driver's timestamp, where it is one of `CLOCK_MONOTONIC`.
fn monotonic(buffer: &sys::v4l2_buffer) -> Option<Duration> {
    if buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK != sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
        return None;
    }
    let seconds = u64::try_from(buffer.timestamp.tv_sec).ok()?;
    let microseconds = u32::try_from(buffer.timestamp.tv_usec).ok().filter(|&part| part < 1_000_000)?;
    let stamp = Duration::new(seconds, microseconds * 1000);
    // Some drivers promise a clock and leave the field empty.
    (!stamp.is_zero()).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use bytes::Bytes;

    use super::*;

    /// A ring on an ordinary file in memory: mapping, lending and unmapping are the same as with a camera.
    fn ring(text: &[u8]) -> (Arc<Ring>, Lease) {
        // SAFETY: the name ends with NUL; the descriptor is new and ours.
        let mut file: File = unsafe {
            use std::os::fd::FromRawFd;
            File::from_raw_fd(libc::memfd_create(c"ring".as_ptr(), libc::MFD_CLOEXEC))
        };
        file.write_all(text).expect("should write");
        let mapping = Mapping::new(file.as_fd(), 0, 4096).expect("should map");
        let ring = Arc::new(Ring { mappings: vec![mapping], streaming: Mutex::new(None) });
        let lease = Lease { ring: Arc::clone(&ring), index: 0, length: text.len() };
        (ring, lease)
    }

    #[test]
    fn a_lease_outlives_the_stream_and_frees_the_ring() {
        let (ring, lease) = ring(b"picture");
        let weak = Arc::downgrade(&ring);
        drop(ring);
        let bytes = Bytes::from_owner(lease);
        let part = bytes.slice(1..3);
        drop(bytes);
        let read = std::thread::spawn(move || part.to_vec()).join().expect("should not panic");
        assert_eq!(read, b"ic");
        assert!(weak.upgrade().is_none(), "the last clone should have freed the mappings");
    }

    #[test]
    fn an_impossible_buffer_is_an_error() {
        let file = File::open("/dev/null").expect("should open");
        assert!(Mapping::new(file.as_fd(), 0, 0).is_err());
        assert!(Mapping::new(file.as_fd(), 0, 4096).is_err());
    }

    #[test]
    fn only_the_monotonic_clock_counts() {
        let mut buffer = empty(0);
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
}
