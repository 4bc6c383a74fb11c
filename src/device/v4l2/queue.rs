//! Streaming I/O with mapped buffers, single- and multi-planar: a queue that lends its filled buffers.
//!
//! A dequeued buffer is lent as a [`Lease`] and is queued again when the lease is dropped, on any thread. The mappings
//! live as long as any lease, the descriptor only as long as the queue: a frame that is still being encoded when the
//! camera is closed stays readable and does not prevent the next open from succeeding (the driver releases the buffers
//! of `REQBUFS(0)` once they are unmapped, `V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS`).
//!
//! The ioctls are in `buffer.rs`.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::buffer::{self, Filled};
use super::device::{BufferType, Device};
use super::mapping::Mapping;
use crate::util::lock::{Mutex, MutexGuard};

/// The maximum number of buffers that are mapped, whatever the driver allocates: the kernel's own limit
/// (`VIDEO_MAX_FRAME`).
const BUFFER_LIMIT: u32 = 32;

/// A queue that streams from its creation until it is dropped.
#[derive(Debug)]
pub struct Queue {
    ring: Arc<Ring>,
    device: Arc<Device>,
}

/// The buffers, shared by the queue and the leases.
#[derive(Debug)]
struct Ring {
    kind: BufferType,
    buffers: Vec<Buffer>,
    /// The device while it streams; `None` afterwards, so that a lease never uses a closed descriptor.
    streaming: Mutex<Option<Arc<Device>>>,
    /// Whether the driver failed to requeue a buffer: otherwise it would continue with one buffer less each time.
    requeue_failed: AtomicBool,
}

/// One buffer: its memory planes, and whether it is lent.
#[derive(Debug)]
struct Buffer {
    planes: Vec<Mapping>,
    lent: AtomicBool,
}

/// A buffer that the driver filled.
#[derive(Debug)]
pub struct Dequeued {
    /// The data; dropping it requeues the buffer.
    pub lease: Lease,
    /// The driver's frame counter, including frames for which it had no buffer.
    pub sequence: u32,
    /// The capture time on `CLOCK_MONOTONIC`; `None` if the driver uses another clock or none.
    pub monotonic: Option<Duration>,
    /// Whether the driver marked the data as damaged, or reports more data than fits into the buffer.
    pub damaged: bool,
}

impl Queue {
    /// Requests `count` buffers, maps and queues them, and starts the stream.
    ///
    /// # Errors
    ///
    /// The name of the call that failed and the kernel's errno: `EBUSY` if another program streams, `ENOSPC` if the USB
    /// bus has no bandwidth left. Nothing is left behind.
    pub fn start(device: Arc<Device>, kind: BufferType, count: u32) -> Result<Self, (&'static str, io::Error)> {
        let given = buffer::request(device.fd(), kind, count).map_err(|error| ("VIDIOC_REQBUFS", error))?;
        let queue = Self::map(device, kind, given.min(BUFFER_LIMIT))?;
        for index in 0..queue.len() {
            buffer::enqueue(queue.device.fd(), kind, index).map_err(|error| ("VIDIOC_QBUF", error))?;
        }
        buffer::start(queue.device.fd(), kind).map_err(|error| ("VIDIOC_STREAMON", error))?;
        Ok(queue)
    }

    /// From here on, dropping the queue undoes everything.
    fn map(device: Arc<Device>, kind: BufferType, count: u32) -> Result<Self, (&'static str, io::Error)> {
        let mut buffers = Vec::new();
        let mut fault = None;
        for index in 0..count {
            match Buffer::map(&device, kind, index) {
                Ok(buffer) => buffers.push(buffer),
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        let streaming = Mutex::new(Some(Arc::clone(&device)));
        let queue =
            Self { ring: Arc::new(Ring { kind, buffers, streaming, requeue_failed: AtomicBool::new(false) }), device };
        match fault {
            None if queue.len() == 0 => Err(("VIDIOC_REQBUFS", io::Error::other("the driver gave no buffers"))),
            None => Ok(queue),
            Some(fault) => Err(fault),
        }
    }

    /// The number of buffers.
    pub fn len(&self) -> usize {
        self.ring.buffers.len()
    }

    /// Dequeues the next filled buffer; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// The kernel's errno: `ENODEV` when the device is gone, `EIO` when the stream broke down. An error of our own for
    /// a buffer that does not exist, and after the driver refused to take one back; a new queue is whole again.
    pub fn dequeue(&self) -> io::Result<Option<Dequeued>> {
        if self.ring.requeue_failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the driver did not requeue a buffer"));
        }
        let filled = buffer::dequeue(self.device.fd(), self.ring.kind)?;
        filled.map_or(Ok(None), |filled| self.ring.lend(filled))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Leases that are dropped from now on find no device; one that is just being dropped is done once we hold the
        // lock.
        *self.ring.lock() = None;
        // The device may be gone, and there is nobody to report to: the descriptor is about to be closed anyway.
        let _ = buffer::stop(self.device.fd(), self.ring.kind);
        let _ = buffer::request(self.device.fd(), self.ring.kind, 0);
    }
}

impl Ring {
    /// The lease of a filled buffer; `None` for one that is lent out still.
    fn lend(self: &Arc<Self>, filled: Filled) -> io::Result<Option<Dequeued>> {
        let Filled { index, sequence, monotonic, damaged, used } = filled;
        let Some(buffer) = self.buffers.get(index) else {
            return Err(io::Error::other(format!("the driver gave buffer {index} of {}", self.buffers.len())));
        };
        // The data of a lease must not change while it is held, and a buffer that was lent twice would be requeued
        // while the other lease still reads it. v4l2loopback gives one when its writer has lapped a busy reader; the next
        // frame is as good.
        if buffer.lent.swap(true, Ordering::AcqRel) {
            tracing::debug!("the driver gave buffer {index}, which it does not have; skipped");
            return Ok(None);
        }
        let overrun = buffer.planes.iter().zip(&used).any(|(plane, used)| used.end > plane.len());
        let used = used[..buffer.planes.len().min(used.len())].to_vec();
        let lease = Lease { ring: Arc::clone(self), index, used };
        Ok(Some(Dequeued { lease, sequence, monotonic, damaged: damaged || overrun }))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Device>>> {
        // The lock is held for single calls only; its content is valid even after a panic elsewhere.
        self.streaming.lock()
    }
}

impl Buffer {
    fn map(device: &Device, kind: BufferType, index: u32) -> Result<Self, (&'static str, io::Error)> {
        let places = buffer::query(device.fd(), kind, index).map_err(|error| ("VIDIOC_QUERYBUF", error))?;
        let planes: io::Result<Vec<Mapping>> =
            places.into_iter().map(|(offset, length)| Mapping::new(device.fd(), offset, length)).collect();
        Ok(Self { planes: planes.map_err(|error| ("mmap", error))?, lent: AtomicBool::new(false) })
    }
}

/// A filled buffer on loan. Dropping it requeues the buffer, if the stream is still running.
#[derive(Debug)]
pub struct Lease {
    ring: Arc<Ring>,
    index: usize,
    /// The range of the data in each memory plane.
    used: Vec<Range<usize>>,
}

impl Lease {
    /// The data of a memory plane; empty if there is no such plane.
    pub fn plane(&self, number: usize) -> &[u8] {
        let mapping = self.ring.buffers.get(self.index).and_then(|buffer| buffer.planes.get(number));
        mapping.zip(self.used.get(number)).map_or(&[], |(mapping, used)| mapping.bytes(used.clone()))
    }

    /// The data of every plane, shared without a copy: the buffer is requeued when the last clone of any is dropped.
    pub fn into_planes(self) -> Vec<Bytes> {
        let lease = Arc::new(self);
        let plane = |number| Bytes::from_owner(MappedPlane { lease: Arc::clone(&lease), number });
        (0..lease.used.len()).map(plane).collect()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let streaming = self.ring.lock();
        if let Some(buffer) = self.ring.buffers.get(self.index) {
            // Before the driver gets it, because it may be filled again at any time after that.
            buffer.lent.store(false, Ordering::Release);
        }
        if let Some(device) = streaming.as_ref()
            && let Err(error) = buffer::enqueue(device.fd(), self.ring.kind, self.index)
            && error.raw_os_error() != Some(libc::ENODEV)
        {
            // An unplugged device is reported by the next dequeue, as is this.
            tracing::warn!("requeue buffer {}: {error}", self.index);
            self.ring.requeue_failed.store(true, Ordering::Release);
        }
    }
}

/// One plane of a lease.
struct MappedPlane {
    lease: Arc<Lease>,
    number: usize,
}

impl AsRef<[u8]> for MappedPlane {
    fn as_ref(&self) -> &[u8] {
        self.lease.plane(self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    /// A ring of one buffer on ordinary files in memory: mapping, lending and unmapping are the same as with a camera.
    fn ring(planes: &[&[u8]]) -> Arc<Ring> {
        let plane = |text: &&[u8]| {
            // SAFETY: the name ends with NUL; the descriptor is new and ours.
            let mut file: File = unsafe {
                use std::os::fd::FromRawFd;
                File::from_raw_fd(libc::memfd_create(c"ring".as_ptr(), libc::MFD_CLOEXEC))
            };
            file.write_all(text).expect("should write");
            file.set_len(4096).expect("should grow");
            Mapping::new(file.as_fd(), 0, 4096).expect("should map")
        };
        let buffer = Buffer { planes: planes.iter().map(plane).collect(), lent: AtomicBool::new(false) };
        Arc::new(Ring {
            kind: BufferType::VideoCaptureMplane,
            buffers: vec![buffer],
            streaming: Mutex::new(None),
            requeue_failed: AtomicBool::new(false),
        })
    }

    fn filled(index: usize, places: &[(usize, usize)]) -> Filled {
        let mut used = [const { 0..0 }; 8];
        for (used, &(start, end)) in used.iter_mut().zip(places) {
            *used = start..end;
        }
        Filled { index, sequence: 0, monotonic: None, damaged: false, used }
    }

    fn lend(ring: &Arc<Ring>, filled: Filled) -> Dequeued {
        ring.lend(filled).expect("the buffer should exist").expect("it should not be lent out")
    }

    #[test]
    fn lease_outlives_the_stream_and_frees_the_queue() {
        let ring = ring(&[b"picture"]);
        let lease = lend(&ring, filled(0, &[(0, 7)])).lease;
        let weak = Arc::downgrade(&ring);
        drop(ring);
        let [bytes] = lease.into_planes().try_into().expect("should be one plane");
        let part = bytes.slice(1..3);
        drop(bytes);
        let read = std::thread::spawn(move || part.to_vec()).join().expect("should not panic");
        assert_eq!(read, b"ic");
        assert!(weak.upgrade().is_none(), "the last clone should have freed the mappings");
    }

    #[test]
    fn buffer_is_requeued_with_its_last_plane() {
        let ring = ring(&[b"luma", b"....chroma"]);
        let lease = lend(&ring, filled(0, &[(0, 4), (4, 10)])).lease;
        let mut planes = lease.into_planes();
        assert_eq!(planes, [&b"luma"[..], b"chroma"]);
        let chroma = planes.pop().expect("should be there");
        drop(planes);
        let skipped = ring.lend(filled(0, &[(0, 4)]));
        assert!(skipped.is_ok_and(|skipped| skipped.is_none()), "the buffer is still lent out");
        drop(chroma);
        lend(&ring, filled(0, &[(0, 4)]));
        assert!(ring.lend(filled(1, &[(0, 4)])).is_err(), "there is no such buffer");
    }

    #[test]
    fn used_bytes_are_limited_to_the_mapping() {
        let ring = ring(&[b"luma", b"chroma"]);
        let too_long = lend(&ring, filled(0, &[(0, 4), (0, usize::MAX)]));
        assert!(too_long.damaged);
        assert_eq!(too_long.lease.plane(1).len(), 4096);
        drop(too_long);
        let inside_out = lend(&ring, filled(0, &[(9, 4), (5000, 6000), (0, 4)]));
        assert_eq!([0, 1, 2, 9].map(|plane| inside_out.lease.plane(plane).len()), [0; 4]);
    }
}
