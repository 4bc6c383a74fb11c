//! The interposed libc functions: which calls concern a camera, and which paths map into the fake's folder.
//!
//! Camera behaviour does not belong here.

use std::cell::Cell;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_ulong, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::camera;
use crate::card;
use crate::real;

/// The environment variable for the fake's folder.
const VARIABLE: &str = "PORTHOLE_FAKE";

/// Path prefixes redirected into the folder; the folder `/dev` itself only when it is listed.
const REDIRECTED: [&[u8]; 3] = [b"/dev/video", b"/dev/v4l", b"/sys/class/video4linux"];

/// The bits of an ioctl's number that the kernel reads. A program that keeps it in an `int` extends its sign.
const COMMAND: c_ulong = 0xffff_ffff;

thread_local! {
    /// Whether this thread is inside the fake: its own calls go straight to libc, or they would deadlock.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` unless the call comes from the fake itself.
fn outside<T>(work: impl FnOnce() -> T) -> Option<T> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.with(|inside| inside.set(false));
        }
    }
    // An exiting thread has lost its thread-local; libc handles the call.
    let entered = INSIDE.try_with(|inside| !inside.replace(true)).unwrap_or(false);
    entered.then(|| {
        let _leave = Leave;
        work()
    })
}

/// The fake's folder.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from)).as_deref()
}

/// The redirected path in the fake's folder; `None` for all other paths.
///
/// # Safety
///
/// `path` is null or ends with NUL.
unsafe fn redirected(path: *const c_char) -> Option<PathBuf> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    REDIRECTED.iter().any(|prefix| path.starts_with(prefix)).then_some(())?;
    Some(folder()?.join(OsStr::from_bytes(&path[1..])))
}

/// Calls libc with the path or its redirection.
///
/// # Safety
///
/// `path` is null or ends with NUL.
unsafe fn through<T>(path: *const c_char, call: impl FnOnce(*const c_char) -> T) -> T {
    // SAFETY: the caller's promise.
    let other = outside(|| unsafe { redirected(path) }).flatten();
    match other.and_then(|other| CString::new(other.into_os_string().as_bytes()).ok()) {
        Some(other) => call(other.as_ptr()),
        None => call(path),
    }
}

/// Maps a path in the fake's folder back to the original, in place.
///
/// # Safety
///
/// `path` is null or leads to text that ends with NUL and may be written.
unsafe fn restore_path(path: *mut c_char) {
    let folder = folder().and_then(|folder| std::fs::canonicalize(folder).ok());
    let Some(folder) = folder.filter(|_| !path.is_null()) else { return };
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(path) }.to_bytes();
    if let Some(rest) = text.strip_prefix(folder.as_os_str().as_bytes()) {
        // SAFETY: the rest is a part of the text, and with its NUL it is shorter than that; the two may overlap.
        unsafe { std::ptr::copy(rest.as_ptr(), path.cast(), rest.len() + 1) };
    }
}

/// Opens a camera or any other file.
///
/// # Safety
///
/// `path` is null or ends with NUL.
unsafe fn open_any(path: *const c_char, call: impl FnOnce(*const c_char) -> c_int) -> c_int {
    // SAFETY: the caller's promise.
    let node = outside(|| unsafe { redirected(path) }).flatten();
    let node = node.filter(|node| {
        let name = node.file_name().map(|name| name.as_bytes().starts_with(b"video")).unwrap_or(false);
        name && node.parent().is_some_and(|parent| parent.ends_with("dev"))
    });
    match node.and_then(|node| outside(|| camera::open(&node))) {
        Some(answer) => returned(answer),
        // SAFETY: the caller's promise.
        None => unsafe { through(path, call) },
    }
}

/// Maps a camera buffer or anything else. This is a function of its own: `mmap` called from here may be that of another
/// preloaded library, which calls ours.
///
/// # Safety
///
/// As libc's mmap.
unsafe fn map(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void {
    if camera::is_ours(fd)
        && let Some(answer) = outside(|| camera::map(fd, at, length, protection, flags, offset))
    {
        return answer.unwrap_or_else(|number| {
            returned(Err(number));
            libc::MAP_FAILED
        });
    }
    // SAFETY: the caller's promise.
    unsafe { real::mmap(at, length, protection, flags, fd, offset) }
}

/// The result in C's convention: -1 and `errno`.
fn returned(answer: Result<c_int, c_int>) -> c_int {
    answer.unwrap_or_else(|number| {
        // SAFETY: the place of this thread's errno is always valid.
        unsafe { *libc::__errno_location() = number };
        -1
    })
}

/// Defines an interposed function: its C name and its body. Functions declared with `...` in C pass integers and
/// pointers in the same registers as others, on every Linux that this is built for.
macro_rules! before {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty $body:block)*) => {
        $(
            /// # Safety
            ///
            /// As libc's function of this name.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $kind),*) -> $answer {
                // SAFETY: the arguments are those of the caller, who promises what libc's function asks for.
                unsafe { $body }
            }
        )*
    };
}

before! {
    open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        open_any(path, |path| real::open(path, flags, mode))
    }
    open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        open_any(path, |path| real::open(path, flags, mode))
    }
    openat(folder: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        open_any(path, |path| real::openat(folder, path, flags, mode))
    }
    openat64(folder: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int {
        open_any(path, |path| real::openat(folder, path, flags, mode))
    }
    close(fd: c_int) -> c_int {
        if camera::is_ours(fd) {
            outside(|| camera::close(fd));
        }
        real::close(fd)
    }
    ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
        if camera::is_ours(fd)
            && let Some(answer) = outside(|| camera::ioctl(fd, request & COMMAND, argument))
        {
            return returned(answer);
        }
        real::ioctl(fd, request, argument)
    }
    mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void {
        map(at, length, protection, flags, fd, offset)
    }
    mmap64(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void {
        map(at, length, protection, flags, fd, offset)
    }
    munmap(at: *mut c_void, length: usize) -> c_int {
        outside(|| camera::unmap(at));
        real::munmap(at, length)
    }
    opendir(path: *const c_char) -> *mut libc::DIR {
        // In a listing of device nodes only the fake ones appear.
        if !path.is_null()
            && matches!(CStr::from_ptr(path).to_bytes(), b"/dev" | b"/dev/")
            && let Some(folder) = outside(folder).flatten()
            && let Ok(dev) = CString::new(folder.join("dev").as_os_str().as_bytes())
        {
            return real::opendir(dev.as_ptr());
        }
        through(path, |path| real::opendir(path))
    }
    pwrite64(fd: c_int, data: *const c_void, length: usize, offset: i64) -> isize {
        outside(|| card::wait(length));
        real::pwrite(fd, data, length, offset)
    }
    access(path: *const c_char, mode: c_int) -> c_int {
        through(path, |path| real::access(path, mode))
    }
    realpath(path: *const c_char, resolved: *mut c_char) -> *mut c_char {
        let answer = through(path, |path| real::realpath(path, resolved));
        outside(|| restore_path(answer));
        answer
    }
    readlink(path: *const c_char, target: *mut c_char, length: usize) -> isize {
        through(path, |path| real::readlink(path, target, length))
    }
    statx(folder: c_int, path: *const c_char, flags: c_int, mask: u32, answer: *mut c_void) -> c_int {
        through(path, |path| real::statx(folder, path, flags, mask, answer))
    }
    stat64(path: *const c_char, answer: *mut c_void) -> c_int {
        through(path, |path| real::stat(path, answer))
    }
    lstat64(path: *const c_char, answer: *mut c_void) -> c_int {
        through(path, |path| real::lstat(path, answer))
    }
}
