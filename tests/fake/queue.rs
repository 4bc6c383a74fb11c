//! The camera's buffers: memory, the ring, frames arriving at the timer's rate, and their faults.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use porthole::capture::camera::timecode::Timecode;
use porthole::media::Timestamp;
use v4l::v4l_sys as sys;

use crate::camera::{Answered, Camera, count};
use crate::frame::{pack, paint};
use crate::script::{FrameFaults, Stamp, Stream};

/// The page size of mappings.
const PAGE: usize = 4096;

/// The maximum number of overdue frames delivered at once: far above any ring size.
const OVERDUE: u64 = 64;

/// Buffers and streaming state.
pub struct Queue {
    memory: File,
    count: usize,
    /// Size of each memory plane of a buffer.
    lengths: Vec<usize>,
    queued: VecDeque<usize>,
    done: VecDeque<Filled>,
    stream: Option<Stream>,
    /// Start of the stream.
    started: Duration,
    /// Frames since the start.
    sequence: u64,
    /// Frame contents, if read from files.
    files: Vec<Vec<u8>>,
}

/// A filled buffer.
struct Filled {
    index: usize,
    sequence: u32,
    used: Vec<u32>,
    stamp: Duration,
    faults: FrameFaults,
}

impl Queue {
    /// The memory's descriptor, if a buffer with this offset can be mapped with this length.
    pub fn memory(&self, offset: i64, length: usize) -> Option<c_int> {
        let slot = self.slot();
        let at = usize::try_from(offset).ok()?;
        let fits = length > 0 && at.is_multiple_of(slot) && at / slot < self.count * self.lengths.len();
        (fits && length.next_multiple_of(PAGE) <= slot).then(|| self.memory.as_raw_fd())
    }

    /// Spacing of memory planes.
    fn slot(&self) -> usize {
        self.lengths.iter().max().copied().unwrap_or(0).next_multiple_of(PAGE)
    }

    fn offset(&self, index: usize, plane: usize) -> usize {
        (index * self.lengths.len() + plane) * self.slot()
    }
}

impl Camera {
    pub fn request_buffers(&mut self, request: &mut sys::v4l2_requestbuffers) -> Answered {
        self.check_type(request.type_)?;
        if self.queue.as_ref().is_some_and(|queue| queue.stream.is_some()) {
            return Err(libc::EBUSY);
        }
        self.queue = None;
        if request.count == 0 {
            return Ok(());
        }
        let current = self.current.clone().ok_or(libc::EINVAL)?;
        request.count = self.script.buffers.unwrap_or(request.count);
        if request.count == 0 {
            return Ok(());
        }
        // The memory has the full size even if the script reports less.
        let lengths: Vec<usize> = current.planes.iter().map(|plane| (plane.0 as usize).max(1)).collect();
        // SAFETY: the name ends with NUL; the descriptor is new.
        let memory = unsafe { libc::memfd_create(c"fake camera".as_ptr(), libc::MFD_CLOEXEC) };
        if memory < 0 {
            return Err(libc::ENOMEM);
        }
        // SAFETY: the descriptor is new and owned only here.
        let memory = unsafe { File::from_raw_fd(memory) };
        let files = current.files.as_deref().map(read_all).unwrap_or_default();
        let queue = Queue {
            memory,
            count: request.count as usize,
            lengths,
            queued: VecDeque::new(),
            done: VecDeque::new(),
            stream: None,
            started: Duration::ZERO,
            sequence: 0,
            files,
        };
        queue.memory.set_len(queue.offset(queue.count, 0) as u64).map_err(|_| libc::ENOMEM)?;
        self.queue = Some(queue);
        Ok(())
    }

    /// The index of a buffer, checked as in the kernel.
    fn buffer(&mut self, buffer: &sys::v4l2_buffer) -> Result<(&mut Queue, usize), c_int> {
        self.check_type(buffer.type_)?;
        let queue = self.queue.as_mut().ok_or(libc::EINVAL)?;
        let index = buffer.index as usize;
        if index >= queue.count || buffer.memory != sys::v4l2_memory_V4L2_MEMORY_MMAP {
            return Err(libc::EINVAL);
        }
        Ok((queue, index))
    }

    pub fn query_buffer(&mut self, buffer: &mut sys::v4l2_buffer) -> Answered {
        let (fixed_length, multi) = (self.script.length, self.script.multi);
        let (queue, index) = self.buffer(buffer)?;
        let length = |plane: usize| fixed_length.unwrap_or(queue.lengths[plane] as u32);
        if multi {
            for (at, plane) in planes(buffer, queue.lengths.len())?.iter_mut().enumerate() {
                plane.length = length(at);
                plane.m.mem_offset = queue.offset(index, at) as u32;
            }
            buffer.length = queue.lengths.len() as u32;
        } else {
            buffer.length = length(0);
            buffer.m.offset = queue.offset(index, 0) as u32;
        }
        Ok(())
    }

    pub fn queue_buffer(&mut self, buffer: &mut sys::v4l2_buffer) -> Answered {
        let multi = self.script.multi;
        let (queue, index) = self.buffer(buffer)?;
        if multi {
            planes(buffer, queue.lengths.len())?;
        }
        // Queuing a buffer twice is a bug in the program.
        if queue.queued.contains(&index) || queue.done.iter().any(|filled| filled.index == index) {
            return Err(libc::EINVAL);
        }
        queue.queued.push_back(index);
        Ok(())
    }

    pub fn stream_on(&mut self, kind: u32) -> Answered {
        self.check_type(kind)?;
        let stream = self.script.stream(count(&self.path, "stream"));
        let queue = self.queue.as_mut().ok_or(libc::EINVAL)?;
        queue.stream = Some(stream);
        queue.started = monotonic();
        queue.sequence = 0;
        match stream {
            Stream::Silent => Ok(()),
            Stream::Good | Stream::Spurious => set_timer(self.fd, self.rate),
            Stream::Fault => break_poll(self.fd),
        }
    }

    pub fn stream_off(&mut self, kind: u32) -> Answered {
        self.check_type(kind)?;
        let queue = self.queue.as_mut().ok_or(libc::EINVAL)?;
        queue.stream = None;
        queue.queued.clear();
        queue.done.clear();
        set_timer(self.fd, 0)
    }

    pub fn dequeue_buffer(&mut self, buffer: &mut sys::v4l2_buffer) -> Answered {
        self.check_type(buffer.type_)?;
        match self.queue.as_ref().ok_or(libc::EINVAL)?.stream.ok_or(libc::EINVAL)? {
            Stream::Good => self.capture()?,
            // The timer is not read, so poll keeps signalling a frame.
            Stream::Spurious => return Err(libc::EAGAIN),
            Stream::Silent | Stream::Fault => return Err(libc::EAGAIN),
        }
        if self.queue.as_ref().is_none_or(|queue| queue.done.is_empty()) {
            return Err(libc::EAGAIN);
        }
        self.fault("DQBUF")?;
        let multi = self.script.multi;
        let queue = self.queue.as_mut().ok_or(libc::EINVAL)?;
        let filled = queue.done.pop_front().ok_or(libc::EAGAIN)?;
        let faults = filled.faults;
        let used = |plane: usize| faults.used.unwrap_or(filled.used[plane]);
        if multi {
            for (at, plane) in planes(buffer, queue.lengths.len())?.iter_mut().enumerate() {
                plane.bytesused = used(at);
                plane.length = queue.lengths[at] as u32;
                plane.data_offset = 0;
            }
            buffer.length = queue.lengths.len() as u32;
        } else {
            buffer.bytesused = used(0);
            buffer.length = queue.lengths[0] as u32;
        }
        buffer.index = faults.index.unwrap_or(filled.index as u32);
        buffer.sequence = filled.sequence;
        buffer.field = sys::v4l2_field_V4L2_FIELD_NONE;
        let (stamp, clock) = match faults.stamp {
            None => (filled.stamp, sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC),
            Some(Stamp::Unknown) => (filled.stamp, sys::V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN),
            Some(Stamp::Zero) => (Duration::ZERO, sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC),
            Some(Stamp::Still) => (queue.started, sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC),
            Some(Stamp::Past) => (Duration::from_micros(1), sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC),
            Some(Stamp::Future | Stamp::Broken) => {
                (filled.stamp + Duration::from_secs(3600), sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC)
            }
        };
        buffer.timestamp.tv_sec = stamp.as_secs() as _;
        buffer.timestamp.tv_usec = if faults.stamp == Some(Stamp::Broken) { -5 } else { stamp.subsec_micros() as _ };
        buffer.flags = clock | sys::V4L2_BUF_FLAG_MAPPED | sys::V4L2_BUF_FLAG_DONE;
        if faults.error {
            buffer.flags |= sys::V4L2_BUF_FLAG_ERROR;
        }
        Ok(())
    }

    /// Fills buffers with the frames that are due; frames without a buffer are lost.
    fn capture(&mut self) -> Answered {
        let mut expirations = [0; 8];
        // SAFETY: eight bytes, as a timer's descriptor wants.
        let read = unsafe { libc::read(self.fd, expirations.as_mut_ptr().cast(), expirations.len()) };
        if read != 8 {
            return Ok(());
        }
        for _ in 0..u64::from_ne_bytes(expirations).min(OVERDUE) {
            self.frame()?;
        }
        Ok(())
    }

    fn frame(&mut self) -> Answered {
        let period = Duration::from_secs(1) / self.rate.max(1);
        let current = self.current.as_ref().ok_or(libc::EINVAL)?;
        let queue = self.queue.as_mut().ok_or(libc::EINVAL)?;
        queue.sequence += 1;
        let Some(index) = queue.queued.pop_front() else { return Ok(()) };
        let number = count(&self.path, "frame");
        let faults = self.script.frame(number);
        queue.sequence += u64::from(faults.skip);
        let stamp = monotonic().min(queue.started + period * queue.sequence as u32);
        let mut planes = if queue.files.is_empty() {
            // The frame number is not the driver's: it continues over all streams.
            let code = Timecode::new(number as u32, Timestamp::from_monotonic(stamp), 0);
            let image = paint(current.width as usize, current.height as usize, &code);
            pack(&current.fourcc, &image, current.stride as usize).ok_or(libc::EINVAL)?
        } else {
            vec![queue.files[(queue.sequence as usize - 1) % queue.files.len()].clone()]
        };
        for (at, plane) in planes.iter_mut().enumerate() {
            plane.truncate(queue.lengths[at]);
            damage(plane, faults);
            queue.memory.write_all_at(plane, queue.offset(index, at) as u64).map_err(|_| libc::ENOMEM)?;
        }
        let used = planes.iter().map(|plane| plane.len() as u32).collect();
        queue.done.push_back(Filled { index, sequence: queue.sequence as u32, used, stamp, faults });
        Ok(())
    }
}

fn damage(plane: &mut Vec<u8>, faults: FrameFaults) {
    let middle = plane.len() / 2;
    if faults.cut {
        plane.truncate(middle);
    }
    if faults.spoilt {
        // Not at the ends: the JPEG must look complete.
        let (first, last) = (plane.len() / 8, plane.len() - plane.len() / 8);
        plane[first..last].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(7).wrapping_add(0x5b));
    }
}

/// The planes of a buffer.
fn planes(buffer: &mut sys::v4l2_buffer, count: usize) -> Result<&mut [sys::v4l2_plane], c_int> {
    // SAFETY: any bytes are a valid pointer; it is looked at only where the struct says that planes are there.
    let planes = unsafe { buffer.m.planes };
    if planes.is_null() || (buffer.length as usize) < count {
        return Err(libc::EINVAL);
    }
    // SAFETY: whoever passes a multi-planar buffer passes as many planes as its length says.
    Ok(unsafe { std::slice::from_raw_parts_mut(planes, count) })
}

fn read_all(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder should be readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("the frame should be readable")).collect()
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Makes the descriptor readable `rate` times per second; never at 0.
fn set_timer(fd: c_int, rate: u32) -> Answered {
    let period = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
    let period = libc::timespec { tv_sec: period.as_secs() as _, tv_nsec: period.subsec_nanos() as _ };
    let timer = libc::itimerspec { it_interval: period, it_value: period };
    // SAFETY: the struct is initialised; the old setting is not asked for. A descriptor that is no timer any more (see
    // `break_poll`) is refused, and has nothing to set.
    unsafe { libc::timerfd_settime(fd, 0, &raw const timer, std::ptr::null_mut()) };
    Ok(())
}

/// Replaces the timer by a broken pipe, so that poll reports only an error.
fn break_poll(fd: c_int) -> Answered {
    let mut ends = [0; 2];
    // SAFETY: two descriptors are written where there is room for two, and both are closed here; the copy keeps the
    // number of the camera.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return Err(libc::EMFILE);
        }
        libc::dup3(ends[1], fd, libc::O_CLOEXEC);
        libc::close(ends[0]);
        libc::close(ends[1]);
    }
    Ok(())
}
