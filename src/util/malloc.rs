//! Tuning of the C library's allocator for this process.
//!
//! Measured with viewers that come and go: with the library's default of eight arenas a core, each thread spreads the
//! peer connections' many small blocks over arenas of its own, and the resident memory creeps up by a tenth in 200
//! viewers. With one arena it stays where it is after 1,000. Contention for it is not measurable here.

/// Blocks from this size on are returned to the kernel as soon as they are freed. Hashing a password takes 19 MiB; by
/// default the allocator learns to keep such blocks, and two or three stay allocated after a few attempts. Frames are
/// smaller and needed again 30 times a second, so they are kept.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 16 << 20;

/// Makes all threads share one arena of the allocator, which keeps no large blocks. Call it before the first thread is
/// started.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets limits that later allocations obey (mallopt(3)); it takes no pointers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        // The value the allocator would choose by itself for that threshold.
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
}

/// Returns the allocator's free pages to the kernel, for other programs to use while nobody watches. It takes
/// milliseconds, so call it where nothing waits.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only releases memory that is free (malloc_trim(3)), and is safe from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
