//! The privacy switch: cuts cameras and microphone at the source, whoever watches, until somebody who may brings them back.
//! It is kept across restarts, so that a power cut brings nothing back.
//!
//! Who may throw it is judged where the command comes in. What viewers see and hear meanwhile is the pipelines' business.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::status::StatusPublisher;
use crate::util::broadcast::Demand;
use crate::util::state_dir::Store;

/// The file in the state directory: `on` or `off`.
const FILE: &str = "privacy";

/// How the switch stands at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Whether it is on at every start; otherwise it stands as it was left.
    pub on: bool,
}

/// Whether the switch is on at the start.
pub fn at_start(config: &Config, store: &Store) -> bool {
    config.on || was_left_on(store)
}

fn was_left_on(store: &Store) -> bool {
    if store.directory().is_err() {
        // Nowhere to keep it, so it was never kept.
        return false;
    }
    match store.read(FILE) {
        Ok(None) => false,
        Ok(Some(text)) => text.trim_ascii() != b"off",
        Err(error) => {
            tracing::warn!("how the privacy switch was left is not known, so it is on: {error:#}");
            true
        }
    }
}

/// How the switch stands after it was thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivacyChange {
    /// Whether cameras and microphone are cut.
    pub on: bool,
    /// Whether they were not, or were, before.
    pub changed: bool,
}

/// The switch; a cheap handle.
#[derive(Debug, Clone)]
pub struct PrivacySwitch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    board: StatusPublisher,
    sources: Vec<Demand>,
    store: Store,
    /// Held while the switch is thrown, so that all of them know the same in the end.
    lock: Mutex<()>,
}

impl PrivacySwitch {
    /// A switch for these sources, which stands as the status says.
    pub fn new(board: StatusPublisher, sources: Vec<Demand>, store: Store) -> Self {
        Self(Arc::new(Inner { board, sources, store, lock: Mutex::new(()) }))
    }

    /// Whether cameras and microphone are cut.
    pub fn is_on(&self) -> bool {
        self.0.board.snapshot().privacy
    }

    /// Throws the switch, to its other side where no side is named; `by` says who did, for the log. It is thrown at once, and
    /// remembered, which may block for a moment.
    pub fn set(&self, on: Option<bool>, by: &str) -> PrivacyChange {
        let Inner { board, sources, store, lock } = &*self.0;
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let was = self.is_on();
        let on = on.unwrap_or(!was);
        if on == was {
            return PrivacyChange { on, changed: false };
        }
        sources.iter().for_each(|source| source.set_blocked(on));
        board.privacy(on);
        tracing::info!("privacy switch {} by {by}", if on { "on" } else { "off" });
        if let Err(error) = store.write(FILE, if on { b"on\n" } else { b"off\n" }) {
            tracing::warn!("the privacy switch holds until porthole ends, and is not remembered: {error:#}");
        }
        PrivacyChange { on, changed: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::Status;

    fn temporary() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path()));
        (folder, store)
    }

    #[test]
    fn it_cuts_every_source_and_tells_the_status_and_is_kept() {
        let (_folder, store) = temporary();
        let (board, sources) = (StatusPublisher::new(Status::default()), vec![Demand::default(), Demand::default()]);
        let switch = PrivacySwitch::new(board.clone(), sources.clone(), store.clone());
        assert!(!switch.is_on() && !at_start(&Config::default(), &store));
        let _interests: Vec<_> = sources.iter().map(Demand::register).collect();

        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: true });
        assert!(switch.is_on() && board.snapshot().privacy && at_start(&Config::default(), &store));
        assert!(sources.iter().all(|source| source.blocked_since().is_some() && !source.is_needed()));
        assert_eq!(switch.set(Some(true), "a test"), PrivacyChange { on: true, changed: false });

        assert_eq!(switch.set(None, "a test"), PrivacyChange { on: false, changed: true });
        assert!(!board.snapshot().privacy && !at_start(&Config::default(), &store));
        assert!(sources.iter().all(Demand::is_needed));
        assert!(at_start(&Config { on: true }, &store), "whatever it was");
    }

    #[test]
    fn what_is_kept_and_not_understood_is_on() {
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
    fn without_a_place_to_keep_it_it_holds_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let store = Store::open(Some(&folder.path().join("file/below")));
        let switch = PrivacySwitch::new(StatusPublisher::new(Status::default()), vec![Demand::default()], store);
        switch.set(Some(true), "a test");
        assert!(switch.is_on());
    }
}
