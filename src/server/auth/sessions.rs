//! Login sessions of browsers, and which of them gives way when there are too many. Cookies are parsed and created in
//! `cookie`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::persisted::Persisted;
use super::secret::{self, Digest};
use super::{Principal, Role, UnixTime};
use crate::util::fair_share::Shares;
use crate::util::lock::Mutex;
use crate::util::state_dir::StateDir;

/// Maximum number of sessions per role: more than the browsers of any household or company that watches one device, and
/// few enough to search for each request. When it is reached, a session of the same role gives way, so that no viewer
/// can sign the operator out: see [`giving_way`].
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
    /// The address that signed in; `None` for sessions that earlier versions stored.
    #[serde(default)]
    from: Option<IpAddr>,
}

impl LoginSession {
    /// Who is signed in.
    pub fn principal(&self) -> Principal {
        Principal { role: self.role, id: format!("session/{}", self.secret.name()) }
    }

    /// When it expires.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Whether it was created with the current password of its role; `password` gives the current version for each
    /// role.
    pub fn matches_password(&self, password: impl Fn(Role) -> Option<String>) -> bool {
        self.password == password(self.role)
    }
}

/// Somebody who has just signed in.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The role.
    pub role: Role,
    /// The version of the role's password that was right.
    pub password: Option<String>,
    /// Where the browser is.
    pub from: IpAddr,
}

/// Every session of the role is in use.
#[derive(Debug, PartialEq, Eq)]
pub struct AllInUse;

/// All login sessions; they persist across restarts.
pub struct LoginSessions {
    stored: Persisted<Vec<LoginSession>>,
    /// When the session of each principal was last used, as far as this process knows. Not stored: each request would be
    /// a write to the device's memory card.
    used: Mutex<HashMap<String, UnixTime>>,
}

impl LoginSessions {
    /// Reads `sessions.json`. A damaged file is set aside, and then nobody is signed in.
    ///
    /// # Errors
    ///
    /// When the file may not be read.
    pub fn open(store: StateDir) -> anyhow::Result<Self> {
        let (stored, _) = Persisted::open_or_set_aside(store, "sessions.json")?;
        Ok(Self { stored, used: Mutex::default() })
    }

    /// Ends all sessions.
    ///
    /// # Errors
    ///
    /// When that cannot be written; in this process they have ended all the same.
    pub fn clear(&self) -> anyhow::Result<()> {
        self.stored.change(Vec::clear)
    }

    /// Their file.
    pub fn stored(&self) -> &Persisted<Vec<LoginSession>> {
        &self.stored
    }

    /// All stored sessions, expired ones included.
    pub fn all(&self) -> Arc<Vec<LoginSession>> {
        self.stored.get()
    }

    /// The session of a secret, unless it has expired at `now`, when it is used.
    pub fn find(&self, secret: &str, now: UnixTime) -> Option<LoginSession> {
        let sessions = self.stored.get();
        let found =
            secret::find(&sessions, secret, |session| session.secret).filter(|session| now < session.expires)?;
        self.used.lock().insert(found.principal().id, now);
        Some(found.clone())
    }

    /// Creates a session; returns its secret, which is not stored, and the result of writing it. `watching` has the
    /// principals that are being sent a stream.
    ///
    /// # Errors
    ///
    /// When there are too many, and all of them are watching.
    pub fn add(
        &self,
        entry: Entry,
        now: UnixTime,
        lifetime: Duration,
        watching: &BTreeSet<String>,
    ) -> Result<(String, anyhow::Result<()>), AllInUse> {
        let Entry { role, password, from } = entry;
        let text = secret::random();
        let expires = now.saturating_add(lifetime.as_secs());
        let from = Some(from.to_canonical());
        let session = LoginSession { secret: Digest::of(&text), role, created: now, expires, password, from };
        let mut entered = true;
        let written = self.stored.change(|sessions| {
            let mut used = self.used.lock();
            sessions.retain(|session| now < session.expires);
            let of_role = sessions.iter().filter(|session| session.role == role).count();
            if of_role >= MAX_SESSIONS {
                match giving_way(sessions, role, &used, watching) {
                    Some(index) => drop(sessions.remove(index)),
                    None => {
                        entered = false;
                        return;
                    }
                }
            }
            sessions.push(session);
            let ids: BTreeSet<String> = sessions.iter().map(|session| session.principal().id).collect();
            used.retain(|id, _| ids.contains(id));
        });
        if entered { Ok((text, written)) } else { Err(AllInUse) }
    }

    /// Ends the session of a secret.
    ///
    /// # Errors
    ///
    /// When it cannot be written; in this process the session has ended all the same.
    pub fn remove(&self, secret: &str) -> anyhow::Result<()> {
        let digest = Digest::of(secret);
        self.stored.change(|sessions| sessions.retain(|session| session.secret != digest))
    }
}

/// The session of this role that gives way to a new one: of the address that has the largest share, the one that has not
/// been used for longest. So whoever signs in again and again displaces only their own sessions, as long as others have
/// fewer. Never one that is watching; `None` if all are.
fn giving_way(
    sessions: &[LoginSession],
    role: Role,
    used: &HashMap<String, UnixTime>,
    watching: &BTreeSet<String>,
) -> Option<usize> {
    let of_role = || sessions.iter().enumerate().filter(|(_, session)| session.role == role);
    let shares = Shares::of(of_role().filter_map(|(_, session)| session.from));
    let idle = of_role().filter(|(_, session)| !watching.contains(&session.principal().id));
    let first = idle.min_by_key(|(_, session)| {
        // One of an unknown address counts as the only one of its address.
        let held = session.from.map_or((1, 1), |address| (shares.share(address), shares.own(address)));
        let last_used = used.get(&session.principal().id).copied().unwrap_or(session.created);
        (Reverse(held), last_used)
    });
    first.map(|(index, _)| index)
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

    fn entry(role: Role, from: impl Into<IpAddr>) -> Entry {
        Entry { role, password: None, from: from.into() }
    }

    const HERE: [u8; 4] = [192, 0, 2, 1];
    const THERE: [u8; 4] = [192, 0, 2, 2];

    /// Signs in from an address; nobody watches.
    fn add(sessions: &LoginSessions, role: Role, from: impl Into<IpAddr>, now: UnixTime) -> String {
        let (secret, written) = sessions.add(entry(role, from), now, DAY, &BTreeSet::new()).unwrap();
        written.unwrap();
        secret
    }

    #[test]
    fn a_session_persists_until_it_expires() {
        let (folder, sessions) = sessions();
        let secret = add(&sessions, Role::Viewer, HERE, 1_000);
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

    /// Stores sessions with these secrets in one write, one from each address, each a second after the one before.
    fn fill(sessions: &LoginSessions, entries: impl Iterator<Item = (String, IpAddr)>) {
        let new = entries.enumerate().map(|(now, (secret, from))| LoginSession {
            secret: Digest::of(&secret),
            role: Role::Viewer,
            created: now as u64,
            expires: 86_400,
            password: None,
            from: Some(from),
        });
        sessions.stored.change(|sessions| sessions.extend(new)).unwrap();
    }

    #[test]
    fn one_viewer_displaces_only_their_own_sessions() {
        let (_folder, sessions) = sessions();
        let operator = add(&sessions, Role::Operator, HERE, 0);
        fill(&sessions, (1..=9).map(|host| (format!("other {host}"), [198, 51, 100, host].into())));
        // The last one is of the same household, and used now and then.
        let own = MAX_SESSIONS - 9;
        fill(&sessions, (0..own).map(|number| (format!("own {number}"), HERE.into())));
        for now in 1_000..1_010 {
            assert!(sessions.find("own 0", now).is_some(), "{now}");
            add(&sessions, Role::Viewer, HERE, now);
        }
        let left = |secret: &str| sessions.find(secret, 2_000).is_some();
        assert!(left(&operator) && (1..=9).all(|host| left(&format!("other {host}"))));
        assert!(left("own 0") && (1..=10).all(|number| !left(&format!("own {number}"))) && left("own 11"));
        assert_eq!(sessions.all().len(), MAX_SESSIONS + 1);
        add(&sessions, Role::Viewer, HERE, 86_400 * 2);
        assert_eq!(sessions.all().len(), 1, "expired ones should be removed");
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let (_folder, sessions) = sessions();
        let neighbour: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        fill(&sessions, [("other".to_owned(), THERE.into()), ("neighbour".to_owned(), neighbour)].into_iter());
        let address = |host: usize| IpAddr::from((0x2001_0db8_u128 << 96 | host as u128).to_be_bytes());
        fill(&sessions, (0..MAX_SESSIONS - 2).map(|host| (format!("own {host}"), address(host))));
        for host in 0..5 {
            add(&sessions, Role::Viewer, address(MAX_SESSIONS + host), 1_000);
        }
        assert!(["other", "neighbour", "own 5"].iter().all(|secret| sessions.find(secret, 1_000).is_some()));
        assert!((0..5).all(|host| sessions.find(&format!("own {host}"), 1_000).is_none()));
    }

    #[test]
    fn those_who_watch_are_never_displaced() {
        let (_folder, sessions) = sessions();
        fill(&sessions, (0..MAX_SESSIONS).map(|number| (format!("own {number}"), HERE.into())));
        let watching = BTreeSet::from([sessions.find("own 0", 0).unwrap().principal().id]);
        sessions.add(entry(Role::Viewer, HERE), 1_000, DAY, &watching).unwrap().1.unwrap();
        assert!(sessions.find("own 0", 1_000).is_some() && sessions.find("own 1", 1_000).is_none());
        let all: BTreeSet<String> = sessions.all().iter().map(|session| session.principal().id).collect();
        assert_eq!(sessions.add(entry(Role::Viewer, THERE), 1_000, DAY, &all).err(), Some(AllInUse));
        assert_eq!(sessions.all().len(), MAX_SESSIONS);
        add(&sessions, Role::Operator, THERE, 1_000);
    }

    #[test]
    fn sessions_stored_without_an_address_stay_valid() {
        let (folder, sessions) = sessions();
        let secret = add(&sessions, Role::Viewer, HERE, 0);
        let file = folder.path().join("sessions.json");
        let mut stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(stored[0].as_object_mut().unwrap().remove("from").unwrap(), "192.0.2.1");
        std::fs::write(&file, stored.to_string()).unwrap();
        let again = LoginSessions::open(StateDir::open(Some(folder.path()))).unwrap();
        assert!(again.find(&secret, 1).is_some());
        fill(&again, (1..MAX_SESSIONS).map(|number| (format!("own {number}"), HERE.into())));
        add(&again, Role::Viewer, THERE, 1_000);
        assert!(again.find(&secret, 1_000).is_some());
    }

    #[test]
    fn a_new_password_invalidates_sessions() {
        let (_folder, sessions) = sessions();
        let entry = Entry { password: Some("a".into()), ..entry(Role::Viewer, HERE) };
        sessions.add(entry, 0, DAY, &BTreeSet::new()).unwrap().1.unwrap();
        let session = sessions.all()[0].clone();
        assert!(session.matches_password(|_| Some("a".into())));
        assert!(!session.matches_password(|_| Some("b".into())) && !session.matches_password(|_| None));
    }
}
