//! Locks that ignore poisoning: `Mutex`, `RwLock` and `Condvar` of the standard library without the `PoisonError`.
//!
//! A panic is a bug: on a media thread it ends the process, in a task it ends that task. No guarded value here is left
//! half changed by a panic in a way that matters to the next holder, so refusing the lock would only spread the damage.

pub use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

use std::sync::PoisonError;
use std::time::Duration;

/// A mutual exclusion lock; see [`std::sync::Mutex`].
#[derive(Debug, Default)]
pub struct Mutex<T: ?Sized>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Blocks until the lock is free, and holds it until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock for many readers or one writer; see [`std::sync::RwLock`].
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// An unlocked lock.
    pub const fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Blocks until no writer holds the lock.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until nobody else holds the lock.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable for a [`Mutex`]; see [`std::sync::Condvar`].
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// A condition variable that nobody waits on.
    pub const fn new() -> Self {
        Self(std::sync::Condvar::new())
    }

    /// Releases the lock until the guarded value meets a condition, for `limit` at most if given, and locks again. Each
    /// notification has the condition checked. Whether it is met is up to the caller to see after a limit.
    pub fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
        met: impl Fn(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        match limit {
            None => self.0.wait_while(guard, |value| !met(value)).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.0.wait_timeout_while(guard, limit, |value| !met(value));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_while_locked_does_not_lock_others_out() {
        let (mutex, shared) = (Mutex::new(1), RwLock::new(1));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (_mutex, _shared) = (mutex.lock(), shared.write());
            panic!("in the middle of something");
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock(), 1);
        assert_eq!(*shared.read(), 1);
        assert_eq!(*shared.write(), 1);
    }
}
