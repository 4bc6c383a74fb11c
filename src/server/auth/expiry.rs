//! Ends the access of sessions that expire while their browser watches: nothing else happens at that moment that would
//! have them checked.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{AuthState, now};

/// The longest pause between two checks. The device's clock may be set meanwhile, and a session may be entered that
/// expires earlier.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs as long as the state exists.
pub async fn end_expired(state: Weak<AuthState>) {
    while let Some(pause) = state.upgrade().map(|state| pause(&state)) {
        tokio::time::sleep(pause).await;
        let Some(state) = state.upgrade() else { return };
        refresh(state).await;
    }
}

/// How long until the next session expires, within limits. A second at least, because times are in whole seconds.
fn pause(state: &AuthState) -> Duration {
    let now = now();
    let next =
        state.sessions.all().iter().map(|session| session.expires().saturating_sub(now)).filter(|left| *left > 0).min();
    next.map_or(LONGEST_PAUSE, Duration::from_secs).min(LONGEST_PAUSE).max(Duration::from_secs(1))
}

async fn refresh(state: Arc<AuthState>) {
    // Blocking, because it may read files.
    let refreshed = tokio::task::spawn_blocking(move || state.refresh()).await;
    refreshed.expect("checking the sessions should not panic");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    use super::*;
    use crate::server::auth::sessions::Entry;
    use crate::server::auth::{Auth, Config, Role};
    use crate::util::state_dir::StateDir;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_that_expires_is_reported_without_a_request() {
        let folder = tempfile::tempdir().unwrap();
        let auth = Auth::open(&Config::default(), &StateDir::open(Some(folder.path()))).unwrap();
        let (sender, receiver) = mpsc::sync_channel(8);
        auth.on_revoked(move |id| sender.send(id.to_owned()).unwrap());
        let state = auth.0.as_ref().unwrap();
        let entry = |from: [u8; 4]| Entry { role: Role::Viewer, password: None, from: from.into() };
        let add =
            |from, age| state.sessions.add(entry(from), now(), Duration::from_secs(age), &BTreeSet::new()).unwrap();
        let (short, _) = add([192, 0, 2, 1], 3);
        let (long, _) = add([192, 0, 2, 2], 86_400);
        let stored = state.sessions.all();
        let [short_id, long_id] = [0, 1].map(|index: usize| stored[index].principal().id);
        state.refresh();
        auth.watch().unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(30)).unwrap(), short_id);
        let access = |secret: &str| auth.identify(None, Some(&format!("porthole_session={secret}")));
        assert_eq!((access(&short), access(&long).map(|principal| principal.id)), (None, Some(long_id)));
        assert!(!auth.has_access(&short_id));
    }
}
