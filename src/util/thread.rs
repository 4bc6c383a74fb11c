//! Threads of the media pipelines: named, joined when their owner is dropped, and fatal when they panic. And the priority of
//! a thread.

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

/// Sets the nice value (setpriority(2)) of the calling thread, from -20, the highest priority, to 19. Where the kernel
/// refuses it, the thread keeps its priority: raising it needs `LimitNICE=` in the service file, or root.
pub fn set_nice(nice: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!("priority of a thread: nice value {nice}: {error}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calling_thread_gets_the_priority() {
        let nice = || rustix::process::getpriority_process(None).expect("should be known");
        let before = nice();
        let lowered = std::thread::spawn(move || {
            set_nice(before + 3);
            nice()
        });
        assert_eq!(lowered.join().expect("should end"), before + 3);
        assert_eq!(nice(), before);
    }
}
