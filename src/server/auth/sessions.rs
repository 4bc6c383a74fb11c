//! Login sessions of browsers. Cookies are parsed and created in `cookie`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::persisted::Persisted;
use super::secret::{self, Digest};
use super::{Principal, Role, UnixTime};
use crate::util::state_dir::StateDir;

/// Maximum number of sessions per role: more than the browsers of any household or company that watches one device, and
/// few enough to search for each request. The oldest one of the role is removed; those of the other role stay, so that
/// no viewer can sign the operator out.
const MAX_SESSIONS: usize = 256;

/// The login session of a browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoginSession {
    secret: Digest,
    role: Role,
    created: UnixTime,
    expires: UnixTime,
    /// The version of the role's password at sign-in; the session is invalid once it changes.
    password: Option<String>,
}

impl LoginSession {
    /// Who is signed in.
    pub fn principal(&self) -> Principal {
        Principal { role: self.role, id: format!("session/{}", self.secret.name()) }
    }

    /// Whether it was created with the current password of its role; `password` gives the current version for each
    /// role.
    pub fn matches_password(&self, password: impl Fn(Role) -> Option<String>) -> bool {
        self.password == password(self.role)
    }
}

/// All login sessions; they persist across restarts.
pub struct LoginSessions(Persisted<Vec<LoginSession>>);

impl LoginSessions {
    /// Reads `sessions.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub fn open(store: StateDir) -> anyhow::Result<Self> {
        Persisted::open(store, "sessions.json").map(Self)
    }

    /// All stored sessions, expired ones included.
    pub fn all(&self) -> Arc<Vec<LoginSession>> {
        self.0.get()
    }

    /// The session of a secret, unless it has expired at `now`.
    pub fn find(&self, secret: &str, now: UnixTime) -> Option<LoginSession> {
        let sessions = self.0.get();
        secret::find(&sessions, secret, |session| session.secret).filter(|session| now < session.expires).cloned()
    }

    /// Creates a session; returns its secret, which is not stored, and the result of writing it. `password` is the
    /// version of the role's current password.
    pub fn add(
        &self,
        role: Role,
        password: Option<String>,
        now: UnixTime,
        lifetime: Duration,
    ) -> (String, anyhow::Result<()>) {
        let text = secret::random();
        let expires = now.saturating_add(lifetime.as_secs());
        let session = LoginSession { secret: Digest::of(&text), role, created: now, expires, password };
        let written = self.0.change(|sessions| {
            sessions.retain(|session| now < session.expires);
            let of_role = sessions.iter().filter(|session| session.role == role).count();
            if of_role >= MAX_SESSIONS {
                // They are stored in order of creation.
                let oldest = sessions.iter().position(|session| session.role == role);
                oldest.map(|oldest| sessions.remove(oldest));
            }
            sessions.push(session);
        });
        (text, written)
    }

    /// Ends the session of a secret.
    ///
    /// # Errors
    ///
    /// When it cannot be written; in this process the session has ended all the same.
    pub fn remove(&self, secret: &str) -> anyhow::Result<()> {
        let digest = Digest::of(secret);
        self.0.change(|sessions| sessions.retain(|session| session.secret != digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> (tempfile::TempDir, LoginSessions) {
        let folder = tempfile::tempdir().unwrap();
        let sessions = LoginSessions::open(StateDir::open(Some(folder.path()))).unwrap();
        (folder, sessions)
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_session_persists_until_it_expires() {
        let (folder, sessions) = sessions();
        let (secret, written) = sessions.add(Role::Viewer, Some("p".into()), 1_000, DAY);
        written.unwrap();
        let again = LoginSessions::open(StateDir::open(Some(folder.path()))).unwrap();
        for sessions in [&sessions, &again] {
            assert_eq!(sessions.find(&secret, 1_000 + 86_399).unwrap().principal().role, Role::Viewer);
            assert_eq!(sessions.find(&secret, 1_000 + 86_400), None);
            assert_eq!(sessions.find("", 1_000), None);
        }
        let file = std::fs::read_to_string(folder.path().join("sessions.json")).unwrap();
        assert!(!file.contains(&secret), "only the digest should be stored");
        again.remove(&secret).unwrap();
        assert_eq!(sessions.find(&secret, 1_000), None);
    }

    #[test]
    fn the_oldest_of_a_role_and_expired_ones_are_removed() {
        let (_folder, sessions) = sessions();
        let operator = sessions.add(Role::Operator, None, 0, DAY).0;
        let first = sessions.add(Role::Viewer, None, 0, DAY).0;
        let second = sessions.add(Role::Viewer, None, 1, DAY).0;
        for now in 0..MAX_SESSIONS as u64 - 1 {
            sessions.add(Role::Viewer, None, now, DAY).1.unwrap();
        }
        assert_eq!(sessions.find(&first, 5), None);
        assert!(sessions.find(&second, 5).is_some() && sessions.find(&operator, 5).is_some());
        sessions.add(Role::Viewer, None, 86_400 + 300, DAY).1.unwrap();
        assert_eq!(sessions.all().len(), 1);
    }

    #[test]
    fn a_new_password_invalidates_sessions() {
        let (_folder, sessions) = sessions();
        sessions.add(Role::Viewer, Some("a".into()), 0, DAY).1.unwrap();
        let session = sessions.all()[0].clone();
        assert!(session.matches_password(|_| Some("a".into())));
        assert!(!session.matches_password(|_| Some("b".into())) && !session.matches_password(|_| None));
    }
}
