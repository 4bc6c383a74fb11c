//! Threads of the media pipelines: named, joined when their owner is dropped, and fatal when they panic.

use std::thread::JoinHandle;

/// A running media thread. Dropping it joins the thread, which its owner must have stopped before.
#[derive(Debug)]
pub struct MediaThread(Option<JoinHandle<()>>);

impl MediaThread {
    /// Runs `work` on a thread called `name` (`top -H` shows 15 bytes of it).
    ///
    /// # Errors
    ///
    /// When the thread cannot be created.
    pub fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let handle = std::thread::Builder::new().name(name).spawn(move || {
            let _fatal = ExitOnPanic;
            work();
        })?;
        Ok(Self(Some(handle)))
    }
}

impl Drop for MediaThread {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // A panic in the thread has ended the process before this could see it.
            let _ = handle.join();
        }
    }
}

/// A panic is a bug. Without its thread the camera would stay dark for good while the process looks healthy, so the
/// process exits and the service manager restarts it.
struct ExitOnPanic;

impl Drop for ExitOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a media thread panicked, which is a bug; ending the process");
            std::process::exit(70);
        }
    }
}
