//! Verifies passwords without disturbing the stream: few at a time, on threads of low priority.

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::passwords::{Passwords, Verified};
use crate::util::malloc;
use crate::util::thread::set_nice;

/// How many passwords are verified at the same time; each takes 19 MiB of memory.
const MAX_CONCURRENT: usize = 2;

/// How many attempts may queue. The last one waits five seconds on a small device, which is as long as a person waits.
/// Further ones are rejected and counted as `sign_ins{outcome="Busy"}`.
const MAX_QUEUED: usize = 8;

/// The nice value of a low priority: the media threads come first, but beside one that never rests a tenth of a processor is left.
/// With the lowest priority a sign-in took more than 15 s on a machine that was busy otherwise.
const NICE: i32 = 10;

/// Verifies passwords; a cheap handle.
#[derive(Clone)]
pub struct PasswordVerifier {
    running: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl Default for PasswordVerifier {
    fn default() -> Self {
        Self {
            running: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            queue: Arc::new(Semaphore::new(MAX_CONCURRENT + MAX_QUEUED)),
        }
    }
}

impl PasswordVerifier {
    /// Whose password it is; `None` if it is wrong.
    ///
    /// # Errors
    ///
    /// When the queue is full.
    pub async fn verify(&self, passwords: Arc<Passwords>, password: String) -> Result<Option<Verified>, Busy> {
        let queued = self.queue.clone().try_acquire_owned().map_err(|_| Busy)?;
        let running = self.running.clone().acquire_owned().await.expect("the semaphore should stay open");
        let (sender, receiver) = oneshot::channel();
        let work = move || {
            set_nice(NICE);
            let verified = passwords.verify(&password);
            // The allocator would otherwise keep the hash's memory.
            malloc::trim();
            release(queued, running);
            let _ = sender.send(verified);
        };
        thread::Builder::new().name("password".into()).spawn(work).map_err(|error| {
            tracing::warn!("start a thread to verify a password: {error}");
            Busy
        })?;
        receiver.await.map_err(|_| Busy)
    }
}

/// Permits are released when the work is done, not when the caller goes away.
fn release(queued: OwnedSemaphorePermit, running: OwnedSemaphorePermit) {
    drop((queued, running));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::Role;
    use crate::util::state_dir::StateDir;

    #[tokio::test]
    async fn a_flood_is_rejected_and_the_next_attempt_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let passwords = Passwords::open(StateDir::open(Some(folder.path()))).unwrap();
        passwords.set(Role::Operator, "correct horse").unwrap();
        let (passwords, verifier) = (Arc::new(passwords), PasswordVerifier::default());
        let attempts: Vec<_> = (0..100)
            .map(|_| {
                let (passwords, verifier) = (passwords.clone(), verifier.clone());
                tokio::spawn(async move { verifier.verify(passwords, "wrong horse".into()).await })
            })
            .collect();
        let mut outcomes = Vec::new();
        for attempt in attempts {
            outcomes.push(attempt.await.unwrap());
        }
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(None)).count(), MAX_CONCURRENT + MAX_QUEUED);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(Busy)).count(), 100 - MAX_CONCURRENT - MAX_QUEUED);
        let right = verifier.verify(passwords, "correct horse".into()).await.unwrap();
        assert_eq!(right.map(|verified| verified.role), Some(Role::Operator));
    }

    #[tokio::test]
    async fn a_cancelled_attempt_releases_its_permit() {
        let folder = tempfile::tempdir().unwrap();
        let passwords = Arc::new(Passwords::open(StateDir::open(Some(folder.path()))).unwrap());
        let verifier = PasswordVerifier::default();
        for _ in 0..3 * (MAX_CONCURRENT + MAX_QUEUED) {
            let attempt = tokio::spawn({
                let (passwords, verifier) = (passwords.clone(), verifier.clone());
                async move { verifier.verify(passwords, "x".into()).await }
            });
            tokio::task::yield_now().await;
            attempt.abort();
            let _ = attempt.await;
        }
        // Attempts in progress finish.
        let all = verifier.queue.acquire_many((MAX_CONCURRENT + MAX_QUEUED) as u32).await.unwrap();
        drop(all);
        assert_eq!(verifier.verify(passwords, "x".into()).await, Ok(None));
    }
}
