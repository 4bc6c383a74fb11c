//! The real libc functions behind the interposed ones.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The next function of this name after ours, looked up once.
fn next(name: &CStr, known: &AtomicPtr<c_void>) -> *mut c_void {
    let function = known.load(Ordering::Relaxed);
    if !function.is_null() {
        return function;
    }
    // SAFETY: the name ends with NUL.
    let function = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!function.is_null(), "the fake camera: libc has no {name:?}");
    known.store(function, Ordering::Relaxed);
    function
}

macro_rules! functions {
    ($($symbol:literal $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(
            /// # Safety
            ///
            /// As libc's function of this name.
            pub unsafe fn $name($($argument: $kind),*) -> $answer {
                static KNOWN: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
                let function = next($symbol, &KNOWN);
                // SAFETY: the symbol is libc's function, which takes these arguments. Those that C declares with `...`
                // take integers and pointers in the same registers on every Linux that this is built for.
                unsafe {
                    let function: unsafe extern "C" fn($($kind),*) -> $answer = std::mem::transmute(function);
                    function($($argument),*)
                }
            }
        )*
    };
}

functions! {
    c"open64" open(path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    c"openat64" openat(folder: c_int, path: *const c_char, flags: c_int, mode: c_int) -> c_int;
    c"close" close(fd: c_int) -> c_int;
    c"ioctl" ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    c"mmap64" mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    c"munmap" munmap(at: *mut c_void, length: usize) -> c_int;
    c"pwrite64" pwrite(fd: c_int, data: *const c_void, length: usize, offset: i64) -> isize;
    c"opendir" opendir(path: *const c_char) -> *mut libc::DIR;
    c"access" access(path: *const c_char, mode: c_int) -> c_int;
    c"realpath" realpath(path: *const c_char, resolved: *mut c_char) -> *mut c_char;
    c"readlink" readlink(path: *const c_char, target: *mut c_char, length: usize) -> isize;
    c"statx" statx(folder: c_int, path: *const c_char, flags: c_int, mask: u32, answer: *mut c_void) -> c_int;
    c"stat64" stat(path: *const c_char, answer: *mut c_void) -> c_int;
    c"lstat64" lstat(path: *const c_char, answer: *mut c_void) -> c_int;
}
