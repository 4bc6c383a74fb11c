//! The privacy switch: blocks cameras and microphone at the source, whoever watches, until it is turned off. It persists
//! across restarts, so that a power cut does not turn the cameras on.
//!
//! Permissions are checked by `server::dispatch`. What viewers see and hear meanwhile belongs to the pipelines.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::status::StatusPublisher;
use crate::util::broadcast::Demand;
use crate::util::lock::Mutex;
use crate::util::retry;
use crate::util::state_dir::StateDir;

/// The file in the state directory: `on` or `off`.
const FILE: &str = "privacy";

/// The state of the switch at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Whether it is on at every start; otherwise it is as it was left.
    pub on: bool,
}

/// Whether the switch is on at the start.
pub fn at_start(config: &Config, store: &StateDir) -> bool {
    config.on || was_left_on(store)
}

fn was_left_on(store: &StateDir) -> bool {
    if store.directory().is_err() {
        // Without a state directory nothing was stored.
        return false;
    }
    match store.read(FILE) {
        Ok(None) => false,
        Ok(Some(text)) => text.trim_ascii() != b"off",
        Err(error) => {
            tracing::warn!("cannot read the state of the privacy switch, so it is on: {error:#}");
            true
        }
    }
}

/// The result of setting the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivacyChange {
    /// Whether cameras and microphone are blocked now.
    pub on: bool,
    /// Whether that is a change.
    pub changed: bool,
    /// Whether it is stored, so that a restart does not change it. If not, writing it is tried again.
    pub kept: bool,
}

/// The switch; a cheap handle.
#[derive(Debug, Clone)]
pub struct PrivacySwitch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    publisher: StatusPublisher,
    sources: Vec<Demand>,
    store: StateDir,
    /// Serialises changes, so that status, sources and file agree.
    lock: Mutex<()>,
    /// Whether the last write failed, so that the file may have another state.
    unwritten: watch::Sender<bool>,
}

impl PrivacySwitch {
    /// A switch for these sources, in the state that the status has.
    pub fn new(publisher: StatusPublisher, sources: Vec<Demand>, store: StateDir) -> Self {
        let (lock, unwritten) = (Mutex::new(()), watch::Sender::new(false));
        Self(Arc::new(Inner { publisher, sources, store, lock, unwritten }))
    }

    /// Whether cameras and microphone are blocked.
    pub fn is_on(&self) -> bool {
        self.0.publisher.snapshot().privacy
    }

    /// Sets the switch, or toggles it when `on` is `None`; `by` names who did, for the log. Takes effect at once, then stores
    /// the state, which may block for a moment. What could not be stored before is tried again, also without a change.
    pub fn set(&self, on: Option<bool>, by: &str) -> PrivacyChange {
        let Inner { publisher, sources, lock, .. } = &*self.0;
        let _guard = lock.lock();
        let was = self.is_on();
        let on = on.unwrap_or(!was);
        let changed = on != was;
        if changed {
            sources.iter().for_each(|source| source.set_blocked(on));
            publisher.privacy(on);
            tracing::info!("privacy switch {} by {by}", if on { "on" } else { "off" });
        }
        let kept = if changed || self.is_unwritten() { self.store(on) } else { true };
        PrivacyChange { on, changed, kept }
    }

    /// Repeats writes that have failed until they succeed. Ends when it is dropped.
    pub async fn retry_writes(self) {
        let unwritten = self.0.unwritten.subscribe();
        let write = move || {
            let _guard = self.0.lock.lock();
            // A change may have been stored meanwhile.
            !self.is_unwritten() || self.store(self.is_on())
        };
        retry::until_written(unwritten, write).await;
    }

    /// Whether the state is not stored.
    fn is_unwritten(&self) -> bool {
        *self.0.unwritten.borrow()
    }

    /// Stores the state; whether that succeeded. Called with the lock held.
    fn store(&self, on: bool) -> bool {
        let Inner { publisher, store, unwritten, .. } = &*self.0;
        let state = if on { "on" } else { "off" };
        let written = store.write(FILE, format!("{state}\n").as_bytes());
        let kept = written.is_ok();
        publisher.privacy_kept(kept);
        let was_unwritten = unwritten.send_replace(!kept);
        match written {
            Err(error) if !was_unwritten => tracing::warn!(
                "the privacy switch is {state}, but a restart may undo this; storing it is tried again: {error:#}"
            ),
            Ok(()) if was_unwritten => tracing::info!("the state of the privacy switch is stored now: {state}"),
            _ => {}
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::Status;

    fn temporary() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        (folder, store)
    }

    #[test]
    fn it_blocks_every_source_updates_the_status_and_persists() {
        let (_folder, store) = temporary();
        let (publisher, sources) =
            (StatusPublisher::new(Status::default()), vec![Demand::default(), Demand::default()]);
        let switch = PrivacySwitch::new(publisher.clone(), sources.clone(), store.clone());
        assert!(!switch.is_on() && !at_start(&Config::default(), &store));
        let _interests: Vec<_> = sources.iter().map(Demand::register).collect();

        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: true, kept: true });
        assert!(switch.is_on() && publisher.snapshot().privacy && at_start(&Config::default(), &store));
        assert!(sources.iter().all(|source| source.blocked_since().is_some() && !source.is_needed()));
        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: false, kept: true });

        assert_eq!(switch.set(None, "a test"), PrivacyChange { on: false, changed: true, kept: true });
        assert!(!publisher.snapshot().privacy && !at_start(&Config::default(), &store));
        assert!(sources.iter().all(Demand::is_needed));
        assert!(at_start(&Config { on: true }, &store), "whatever was stored");
    }

    #[test]
    fn an_unreadable_state_counts_as_on() {
        let (folder, store) = temporary();
        for (text, on) in [("off", false), ("on\n", true), ("", true), ("\0\0", true)] {
            store.write(FILE, text.as_bytes()).unwrap();
            assert_eq!(was_left_on(&store), on, "{text:?}");
        }
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        std::fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(was_left_on(&store), "what cannot be read");
    }

    /// A switch whose file cannot be written until the returned path is removed.
    fn unwritable() -> (tempfile::TempDir, std::path::PathBuf, StateDir, PrivacySwitch) {
        let folder = tempfile::tempdir().unwrap();
        let obstacle = folder.path().join("file");
        std::fs::write(&obstacle, "").unwrap();
        let store = StateDir::open(Some(&obstacle.join("below")));
        let publisher = StatusPublisher::new(Status::default());
        let switch = PrivacySwitch::new(publisher, vec![Demand::default()], store.clone());
        (folder, obstacle, store, switch)
    }

    #[test]
    fn what_cannot_be_stored_takes_effect_and_is_not_kept() {
        let (_folder, obstacle, store, switch) = unwritable();
        let kept = || switch.0.publisher.snapshot().privacy_kept;
        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: true, kept: false });
        assert!(switch.is_on() && !kept());
        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: false, kept: false });
        std::fs::remove_file(&obstacle).unwrap();
        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: false, kept: true });
        assert!(kept() && was_left_on(&store));
    }

    #[tokio::test]
    async fn a_failed_write_is_repeated() {
        let (_folder, obstacle, store, switch) = unwritable();
        let (mut status, task) = (switch.0.publisher.watch(), tokio::spawn(switch.clone().retry_writes()));
        assert!(!switch.set(Some(true), "a test").kept);
        std::fs::remove_file(&obstacle).unwrap();
        status.wait_for(|status| status.privacy_kept).await.unwrap();
        assert!(was_left_on(&store));
        task.abort();
    }
}
