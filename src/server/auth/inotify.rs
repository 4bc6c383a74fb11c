//! Watches the credential files with inotify(7), so that access revoked by the command line, or by anybody else, ends
//! at once and not with the next request. There is no polling.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::{Auth, AuthState};
use crate::util::retry;

/// Room for at least one event with the longest file name, as inotify(7) requires.
const BUFFER: usize = 4096;

impl Auth {
    /// Watches the files, and the clock for sessions that expire, as long as this handle or a clone of it exists. Has to be
    /// called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When inotify is not available; changes then take effect with the next request.
    pub fn watch(&self) -> io::Result<()> {
        let Some(state) = &self.0 else { return Ok(()) };
        tokio::spawn(super::expiry::end_expired(Arc::downgrade(state)));
        write_unwritten(state);
        let changes = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // We replace files; an editor may write into one, and a person may delete one.
        let kinds = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        inotify::add_watch(&changes, &state.directory, kinds)?;
        #[allow(
            deprecated,
            reason = "what is unsound are types whose descriptor changes, which OwnedFd's does not; the \
                                      new constructor is unsafe"
        )]
        let changes = AsyncFd::new(changes)?;
        tokio::spawn(watch_changes(changes, Arc::downgrade(state)));
        Ok(())
    }
}

/// Repeats writes that have failed: who signed out, or whose token was revoked, must not have access after a restart.
fn write_unwritten(state: &Arc<AuthState>) {
    let (sessions, tokens) = (Arc::downgrade(state), Arc::downgrade(state));
    let sessions = move || sessions.upgrade().is_none_or(|state| state.sessions.stored().write_again());
    let tokens = move || tokens.upgrade().is_none_or(|state| state.tokens.stored().write_again());
    tokio::spawn(retry::until_written(state.sessions.stored().unwritten(), sessions));
    tokio::spawn(retry::until_written(state.tokens.stored().unwritten(), tokens));
}

async fn watch_changes(changes: AsyncFd<OwnedFd>, state: Weak<AuthState>) {
    loop {
        let ready = changes.readable().await;
        let Some(state) = state.upgrade() else { return };
        match ready {
            Ok(mut ready) => {
                drain(changes.get_ref());
                ready.clear_ready();
            }
            Err(error) => {
                tracing::warn!("watch the state directory: {error}");
                return;
            }
        }
        state.refresh();
    }
}

/// Drains all events. Their content does not matter, because the files are read again.
fn drain(changes: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(changes, &mut buffer);
    while reader.next().is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::server::auth::{Config, Passwords, Role, Tokens};
    use crate::util::state_dir::StateDir;

    #[tokio::test(flavor = "multi_thread")]
    async fn revocation_by_another_process_is_reported_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        let tokens = Tokens::open(store.clone()).unwrap();
        let token = tokens.add("a", Role::Viewer, 0).unwrap();
        let auth = Auth::open(&Config::default(), &store).unwrap();
        let (sender, receiver) = mpsc::sync_channel(8);
        // Nobody sends the passwords themselves.
        let sends = |id: &str| !id.starts_with("password/");
        auth.on_revoked(move |id| {
            if sends(id) {
                sender.send(id.to_owned()).unwrap()
            }
        });
        auth.watch().unwrap();

        let mut expected = vec![auth.identify(Some(&token), None).unwrap().id];
        tokens.revoke("a").unwrap();
        Passwords::open(store.clone()).unwrap().set(Role::Operator, "correct horse").unwrap();
        let credential = crate::server::auth::Credential::Password("correct horse".into());
        let cookie = auth.sign_in([192, 0, 2, 1].into(), false, credential).await.unwrap().cookie.unwrap();
        let header = cookie.split(';').next().unwrap();
        expected.push(auth.identify(None, Some(header)).unwrap().id);
        Passwords::open(store).unwrap().set(Role::Operator, "battery staple").unwrap();

        let limit = Duration::from_secs(30);
        let revoked: Vec<String> = (0..2).map(|_| receiver.recv_timeout(limit).unwrap()).collect();
        assert_eq!(revoked, expected);
        assert_eq!((auth.identify(Some(&token), None), auth.identify(None, Some(header))), (None, None));
    }
}
