//! One place between a producer and a consumer thread: the newest value wins, and what it replaced is counted.
//!
//! The capture thread must never wait for the encoder, and the encoder wants no picture but the newest. Queues that
//! keep everything do not belong here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A place for one value; share it by reference or `Arc`.
#[derive(Debug)]
pub struct Latest<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    closed: bool,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { value: None, closed: false }), changed: Condvar::new() }
    }
}

impl<T> Latest<T> {
    /// Puts a value in, never waiting; `true` when it replaced one that nobody had taken.
    pub fn put(&self, value: T) -> bool {
        let replaced = self.lock().value.replace(value);
        self.changed.notify_one();
        // A replaced frame gives its buffer back to the driver when it drops: here, outside the lock.
        replaced.is_some()
    }

    /// Takes the value, waiting until there is one; `None` once the place is closed.
    pub fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(value) = state.value.take() {
                return Some(value);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Empties the place.
    pub fn clear(&self) {
        let value = self.lock().value.take();
        drop(value);
    }

    /// Ends all waiting, now and later.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_newest_value_wins_and_the_replaced_one_is_told() {
        let place = Latest::default();
        assert!(!place.put(1));
        assert!(place.put(2));
        assert_eq!(place.take(), Some(2));
        assert!(!place.put(3));
        place.clear();
        assert!(!place.put(4));
    }

    #[test]
    fn closing_ends_a_wait() {
        let place = Arc::new(Latest::<u8>::default());
        let waiter = std::thread::spawn({
            let place = place.clone();
            move || place.take()
        });
        place.close();
        assert_eq!(waiter.join().expect("waiter should not panic"), None);
    }
}
