//! Open cameras: their descriptors, the dispatch of calls, and call counts.
//!
//! A camera's descriptor is a kernel timer that runs at the frame rate, so that poll needs no interposing.
//! `formats.rs`, `controls.rs` and `queue.rs` implement the calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{c_int, c_ulong, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use v4l::v4l_sys as sys;
use v4l::v4l2::vidioc::*;

use crate::controls::{VIDIOC_DQEVENT, VIDIOC_SUBSCRIBE_EVENT};
use crate::formats::Current;
use crate::queue::Queue;
use crate::script::Script;
use crate::{call_log, interpose, real};

/// The result of a call: success or an error number.
pub type Answered = Result<(), c_int>;

/// Descriptors from this number on are never cameras; no test opens so many.
const DESCRIPTORS: usize = 1024;

/// Which descriptors are cameras; read before taking any lock, also by a child between fork and exec.
static OURS: [AtomicBool; DESCRIPTORS] = [const { AtomicBool::new(false) }; DESCRIPTORS];

static OPEN: Mutex<BTreeMap<c_int, Camera>> = Mutex::new(BTreeMap::new());

/// Call counts by camera and name, over the life of the process.
static COUNTS: Mutex<BTreeMap<(PathBuf, &'static str), u64>> = Mutex::new(BTreeMap::new());

/// Addresses of mapped buffers, and their number, which is read without the lock.
static MAPPED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
static MAPPINGS: AtomicUsize = AtomicUsize::new(0);

/// State of one open camera.
pub struct Camera {
    pub script: Script,
    pub path: PathBuf,
    pub fd: c_int,
    pub current: Option<Current>,
    /// Frames per second.
    pub rate: u32,
    pub queue: Option<Queue>,
    pub values: BTreeMap<u32, i64>,
    /// Controls with subscribed change events.
    pub subscribed: BTreeSet<u32>,
    /// Controls with pending change events.
    pub events: VecDeque<u32>,
    /// Whether it was unplugged; permanent for this open.
    gone: bool,
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a descriptor is a camera.
pub fn is_ours(fd: c_int) -> bool {
    usize::try_from(fd).ok().and_then(|fd| OURS.get(fd)).is_some_and(|ours| ours.load(Ordering::Acquire))
}

fn note(text: std::fmt::Arguments<'_>) {
    if let Some(folder) = interpose::folder() {
        call_log::note(folder, text);
    }
}

/// The count of this call, from 1.
pub fn count(path: &Path, call: &'static str) -> u64 {
    let mut counts = lock(&COUNTS);
    let count = counts.entry((path.to_owned(), call)).or_default();
    *count += 1;
    *count
}

/// Opens the camera whose script is at `path`.
pub fn open(path: &Path) -> Result<c_int, c_int> {
    let answer = open_script(path);
    match answer {
        Ok(fd) => note(format_args!("open = {fd}")),
        Err(number) => note(format_args!("open = {}", call_log::errno_name(number))),
    }
    answer
}

fn open_script(path: &Path) -> Result<c_int, c_int> {
    let text = std::fs::read_to_string(path).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if let Some(number) = script.fault("open", count(path, "open")) {
        return Err(number);
    }
    // SAFETY: a plain call; the descriptor is checked.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
    let ours = usize::try_from(fd).ok().and_then(|fd| OURS.get(fd)).ok_or(libc::EMFILE)?;
    let camera = Camera {
        script,
        path: path.to_owned(),
        fd,
        current: None,
        rate: 30,
        queue: None,
        values: BTreeMap::new(),
        subscribed: BTreeSet::new(),
        events: VecDeque::new(),
        gone: false,
    };
    lock(&OPEN).insert(fd, camera);
    ours.store(true, Ordering::Release);
    Ok(fd)
}

/// Removes a camera; the caller closes the descriptor.
pub fn close(fd: c_int) {
    if let Some(ours) = usize::try_from(fd).ok().and_then(|fd| OURS.get(fd)) {
        ours.store(false, Ordering::Release);
    }
    lock(&OPEN).remove(&fd);
    note(format_args!("close {fd}"));
}

/// Maps a buffer: the memory behind the offset from QUERYBUF.
pub fn map(
    fd: c_int,
    at: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    offset: i64,
) -> Result<*mut c_void, c_int> {
    let mapped = (|| {
        let mut open = lock(&OPEN);
        let camera = open.get_mut(&fd).ok_or(libc::EBADF)?;
        camera.alive()?;
        camera.fault("mmap")?;
        let memory = camera.queue.as_ref().and_then(|queue| queue.memory(offset, length)).ok_or(libc::EINVAL)?;
        // SAFETY: as the caller of mmap asked, with the memory in the place of the camera.
        let start = unsafe { real::mmap(at, length, protection, flags, memory, offset) };
        if start == libc::MAP_FAILED { Err(libc::ENOMEM) } else { Ok(start) }
    })();
    match mapped {
        Ok(start) => {
            lock(&MAPPED).insert(start as usize);
            MAPPINGS.fetch_add(1, Ordering::Release);
            note(format_args!("mmap {offset} = {length} bytes"));
        }
        Err(number) => note(format_args!("mmap {offset} = {}", call_log::errno_name(number))),
    }
    mapped
}

/// Records that a buffer is unmapped; the caller unmaps it.
pub fn unmap(at: *mut c_void) {
    if MAPPINGS.load(Ordering::Acquire) > 0 && lock(&MAPPED).remove(&(at as usize)) {
        MAPPINGS.fetch_sub(1, Ordering::Release);
        note(format_args!("munmap"));
    }
}

/// Handles an ioctl on a camera.
pub fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> Result<c_int, c_int> {
    let (name, answer) = match lock(&OPEN).get_mut(&fd) {
        // SAFETY: the caller of ioctl passes what the request wants.
        Some(camera) => unsafe { camera.call(request, argument) },
        None => ("ioctl", Err(libc::EBADF)),
    };
    match answer {
        Ok(()) => note(format_args!("ioctl {name} = 0")),
        Err(number) => note(format_args!("ioctl {name} = {}", call_log::errno_name(number))),
    }
    answer.map(|()| 0)
}

impl Camera {
    fn alive(&mut self) -> Answered {
        // Removing the script unplugs the camera.
        self.gone |= !self.path.exists();
        if self.gone { Err(libc::ENODEV) } else { Ok(()) }
    }

    /// The error that the script sets for this call.
    pub fn fault(&mut self, call: &'static str) -> Answered {
        match self.script.fault(call, count(&self.path, call)) {
            Some(number) => {
                self.gone |= number == libc::ENODEV;
                Err(number)
            }
            None => Ok(()),
        }
    }

    pub const fn check_type(&self, kind: u32) -> Answered {
        let ours = if self.script.multi {
            sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
        } else {
            sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE
        };
        if kind == ours { Ok(()) } else { Err(libc::EINVAL) }
    }

    pub const fn has_buffers(&self) -> bool {
        self.queue.is_some()
    }

    /// Executes an ioctl.
    ///
    /// # Safety
    ///
    /// `argument` leads to the struct that `request` is made for, and the pointers in that are valid.
    unsafe fn call(&mut self, request: c_ulong, argument: *mut c_void) -> (&'static str, Answered) {
        /// The struct behind the pointer.
        ///
        /// # Safety
        ///
        /// There is such a struct, and nothing else accesses it.
        unsafe fn at<'a, T>(argument: *mut c_void) -> &'a mut T {
            // SAFETY: the caller's promise.
            unsafe { &mut *argument.cast() }
        }
        macro_rules! calls {
            ($($name:literal $request:ident => $answer:expr,)*) => {
                match request {
                    $($request => {
                        let early = self.alive().and_then(|()| if $name == "DQBUF" { Ok(()) } else { self.fault($name) });
                        // SAFETY: each request is answered in the struct that it is made for; the caller promises it.
                        ($name, early.and_then(|()| unsafe { $answer }))
                    })*
                    _ => ("unknown", Err(libc::ENOTTY)),
                }
            };
        }
        calls! {
            "QUERYCAP" VIDIOC_QUERYCAP => self.querycap(at(argument)),
            "ENUM_FMT" VIDIOC_ENUM_FMT => self.enum_fmt(at(argument)),
            "ENUM_FRAMESIZES" VIDIOC_ENUM_FRAMESIZES => self.enum_sizes(at(argument)),
            "ENUM_FRAMEINTERVALS" VIDIOC_ENUM_FRAMEINTERVALS => self.enum_intervals(at(argument)),
            "G_FMT" VIDIOC_G_FMT => self.get_format(at(argument)),
            "S_FMT" VIDIOC_S_FMT => self.set_format(at(argument), true),
            "TRY_FMT" VIDIOC_TRY_FMT => self.set_format(at(argument), false),
            "G_PARM" VIDIOC_G_PARM => self.get_parameters(at(argument)),
            "S_PARM" VIDIOC_S_PARM => self.set_parameters(at(argument)),
            // It has one.
            "S_INPUT" VIDIOC_S_INPUT => if *at::<c_int>(argument) == 0 { Ok(()) } else { Err(libc::EINVAL) },
            "REQBUFS" VIDIOC_REQBUFS => self.request_buffers(at(argument)),
            "QUERYBUF" VIDIOC_QUERYBUF => self.query_buffer(at(argument)),
            "QBUF" VIDIOC_QBUF => self.queue_buffer(at(argument)),
            "DQBUF" VIDIOC_DQBUF => self.dequeue_buffer(at(argument)),
            "STREAMON" VIDIOC_STREAMON => self.stream_on(*at(argument)),
            "STREAMOFF" VIDIOC_STREAMOFF => self.stream_off(*at(argument)),
            "QUERY_EXT_CTRL" VIDIOC_QUERY_EXT_CTRL => self.query_control(at(argument)),
            "QUERYMENU" VIDIOC_QUERYMENU => self.query_menu(at(argument)),
            "G_CTRL" VIDIOC_G_CTRL => self.get_control(at(argument)),
            "S_CTRL" VIDIOC_S_CTRL => self.set_control(at(argument)),
            "G_EXT_CTRLS" VIDIOC_G_EXT_CTRLS => self.controls(at(argument), false),
            "S_EXT_CTRLS" VIDIOC_S_EXT_CTRLS => self.controls(at(argument), true),
            "SUBSCRIBE_EVENT" VIDIOC_SUBSCRIBE_EVENT => self.subscribe(at(argument)),
            "DQEVENT" VIDIOC_DQEVENT => self.dequeue_event(at(argument)),
        }
    }
}

/// A zeroed kernel struct.
pub fn zeroed<T: Copy>() -> T {
    // SAFETY: used for bindgen's mirrors of kernel structs alone, which consist of integers, arrays and unions.
    unsafe { std::mem::zeroed() }
}

/// Writes a name into a fixed-size field, NUL-terminated if there is room.
pub fn copy(field: &mut [u8], name: &[u8]) {
    field.fill(0);
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
}
