//! Repeats a write that has failed, with growing pauses, until it succeeds: the disk was full, or could not be written.
//!
//! What is written belongs to the modules that keep it.

use std::time::Instant;

use tokio::sync::watch;

use crate::util::backoff::Backoff;

/// Calls `write` again after each time that `unwritten` becomes true, until it returns true. Returns when the sender of
/// `unwritten` is gone. `write` may block.
pub async fn until_written(
    mut unwritten: watch::Receiver<bool>,
    write: impl Fn() -> bool + Clone + Send + Sync + 'static,
) {
    let mut backoff = Backoff::default();
    while unwritten.wait_for(|unwritten| *unwritten).await.is_ok() {
        let (pause, _) = backoff.failed(Instant::now());
        tokio::time::sleep(pause).await;
        let written = tokio::task::spawn_blocking(write.clone()).await;
        if written.unwrap_or(false) {
            backoff.recovered();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_failed_write_is_repeated_until_it_succeeds() {
        let (unwritten, attempts) = (watch::Sender::new(false), Arc::new(AtomicU32::new(0)));
        let write = {
            let (unwritten, attempts) = (unwritten.clone(), attempts.clone());
            move || {
                let written = attempts.fetch_add(1, Ordering::Relaxed) % 2 == 1;
                unwritten.send_replace(!written);
                written
            }
        };
        let task = tokio::spawn(until_written(unwritten.subscribe(), write));
        for expected in [2, 4] {
            unwritten.send_replace(true);
            unwritten.subscribe().wait_for(|unwritten| !unwritten).await.unwrap();
            assert_eq!(attempts.load(Ordering::Relaxed), expected);
        }
        task.abort();
    }
}
