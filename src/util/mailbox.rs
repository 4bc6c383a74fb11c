//! A mailbox between a producer and a consumer thread that must not block each other.
//!
//! Normally it holds one value and the newest wins: the encoder wants no frame but the latest. Values that depend on those
//! before them are queued instead, up to a bound. Counting what is replaced or rejected is up to the caller.

use std::collections::VecDeque;
use std::time::Duration;

use crate::util::lock::{Condvar, Mutex, MutexGuard};

/// The mailbox; share it by reference or `Arc`.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<MailboxState<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct MailboxState<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// What [`Mailbox::pop`] returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Pop<T> {
    /// The oldest value in the mailbox.
    Value(T),
    /// No value arrived in time.
    TimedOut,
    /// The mailbox is closed; no value will arrive.
    Closed,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { state: Mutex::new(MailboxState { waiting: VecDeque::new(), closed: false }), changed: Condvar::new() }
    }
}

impl<T> Mailbox<T> {
    /// Replaces the content with `value` and returns what was not consumed; never blocks.
    #[must_use = "a replaced frame is a dropped frame, which has to be counted"]
    pub fn replace(&self, value: T) -> VecDeque<T> {
        let replaced = std::mem::replace(&mut self.lock().waiting, VecDeque::from([value]));
        self.changed.notify_one();
        // A replaced frame gives its buffer back to the driver when it drops: at the caller, outside the lock.
        replaced
    }

    /// Appends a value, or returns it when the mailbox holds `limit` values already; never blocks.
    pub fn push_bounded(&self, value: T, limit: usize) -> Option<T> {
        let mut state = self.lock();
        if state.waiting.len() >= limit {
            return Some(value);
        }
        state.waiting.push_back(value);
        drop(state);
        self.changed.notify_one();
        None
    }

    /// Removes the oldest value, waiting until there is one, for `wait` at most if given.
    pub fn pop(&self, wait: Option<Duration>) -> Pop<T> {
        let ready = |state: &MailboxState<T>| state.closed || !state.waiting.is_empty();
        let mut state = self.changed.wait_until(self.lock(), wait, ready);
        if state.closed {
            return Pop::Closed;
        }
        state.waiting.pop_front().map_or(Pop::TimedOut, Pop::Value)
    }

    /// Closes the mailbox: every wait returns at once from now on.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState<T>> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_newest_value_wins_and_the_replaced_one_is_returned() {
        let mailbox = Mailbox::default();
        assert!(mailbox.replace(1).is_empty());
        assert_eq!(mailbox.replace(2), [1]);
        assert_eq!(mailbox.pop(None), Pop::Value(2));
        assert_eq!(mailbox.pop(Some(Duration::ZERO)), Pop::TimedOut);
        assert!(mailbox.replace(3).is_empty());
    }

    #[test]
    fn queued_values_are_bounded_and_a_replacement_drops_them_all() {
        let mailbox = Mailbox::default();
        assert_eq!([1, 2, 3].map(|value| mailbox.push_bounded(value, 2)), [None, None, Some(3)]);
        assert_eq!(mailbox.pop(None), Pop::Value(1));
        assert_eq!(mailbox.push_bounded(4, 2), None);
        assert_eq!(mailbox.replace(5), [2, 4]);
        assert_eq!(mailbox.pop(None), Pop::Value(5));
    }

    #[test]
    fn closing_ends_a_wait() {
        let mailbox = Arc::new(Mailbox::<u8>::default());
        let waiter = std::thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.pop(None)
        });
        mailbox.close();
        assert_eq!(waiter.join().expect("waiter should not panic"), Pop::Closed);
    }
}
