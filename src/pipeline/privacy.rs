//! The privacy switch: blocks cameras and microphone at the source, whoever watches, until it is turned off. It persists
//! across restarts, so that a power cut does not turn the cameras on.
//!
//! Permissions are checked by `server::dispatch`. What viewers see and hear meanwhile belongs to the pipelines.

use std::sync::Arc;

use crate::model::status::StatusPublisher;
use crate::util::broadcast::Demand;
use crate::util::lock::Mutex;
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
}

impl PrivacySwitch {
    /// A switch for these sources, in the state that the status has.
    pub fn new(publisher: StatusPublisher, sources: Vec<Demand>, store: StateDir) -> Self {
        Self(Arc::new(Inner { publisher, sources, store, lock: Mutex::new(()) }))
    }

    /// Whether cameras and microphone are blocked.
    pub fn is_on(&self) -> bool {
        self.0.publisher.snapshot().privacy
    }

    /// Sets the switch, or toggles it when `on` is `None`; `by` names who did, for the log. Takes effect at once, then stores
    /// the state, which may block for a moment.
    pub fn set(&self, on: Option<bool>, by: &str) -> PrivacyChange {
        let Inner { publisher, sources, store, lock } = &*self.0;
        let _guard = lock.lock();
        let was = self.is_on();
        let on = on.unwrap_or(!was);
        if on == was {
            return PrivacyChange { on, changed: false };
        }
        sources.iter().for_each(|source| source.set_blocked(on));
        publisher.privacy(on);
        tracing::info!("privacy switch {} by {by}", if on { "on" } else { "off" });
        if let Err(error) = store.write(FILE, if on { b"on\n" } else { b"off\n" }) {
            tracing::warn!("the privacy switch is set until porthole stops, but could not be stored: {error:#}");
        }
        PrivacyChange { on, changed: true }
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

        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: true });
        assert!(switch.is_on() && publisher.snapshot().privacy && at_start(&Config::default(), &store));
        assert!(sources.iter().all(|source| source.blocked_since().is_some() && !source.is_needed()));
        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: false });

        assert_eq!(switch.set(None, "a test"), PrivacyChange { on: false, changed: true });
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

    #[test]
    fn without_a_state_directory_it_works_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let store = StateDir::open(Some(&folder.path().join("file/below")));
        let switch = PrivacySwitch::new(StatusPublisher::new(Status::default()), vec![Demand::default()], store);
        switch.set(Some(true), "a test");
        assert!(switch.is_on());
    }
}
