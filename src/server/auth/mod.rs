//! Authentication and roles: people with a password and a login session in their browser, programs with a token.
//!
//! Credentials are stored in the state directory, where the command line may change them while the program runs. Which
//! request needs which role is decided in `http`.

pub mod basic;
pub mod cookie;
mod expiry;
mod hash_worker;
mod inotify;
mod login;
mod passwords;
mod persisted;
mod secret;
mod sessions;
mod tokens;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use login::LoginState;
pub use login::{Credential, SignInError, SignedIn};
pub use passwords::{Passwords, random as random_password};
use sessions::{LoginSession, LoginSessions};
pub use tokens::{AddError, Token, Tokens};

use crate::util::lock::Mutex;
use crate::util::state_dir::StateDir;

/// Configuration of authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether signing in is required.
    pub mode: Mode,
    /// For how many days a browser stays signed in.
    pub session_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        // A month: a phone that is used every few weeks seldom has to sign in, and a lost one is locked out eventually.
        Self { mode: Mode::Password, session_days: 30 }
    }
}

/// Whether anybody has to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everybody has to, with a password or a token.
    Password,
    /// Nobody has to: whoever can reach the device may watch and control it.
    None,
}

/// What somebody may do. Ordered: a higher role includes the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watch.
    Viewer,
    /// Watch and control.
    Operator,
}

impl Role {
    /// The other role.
    fn other(self) -> Self {
        match self {
            Self::Viewer => Self::Operator,
            Self::Operator => Self::Viewer,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        })
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            _ => Err("not a role; viewer (watches) or operator (also controls)"),
        }
    }
}

/// Seconds since the Unix epoch, by the device's clock.
pub type UnixTime = u64;

/// The current time.
pub fn now() -> UnixTime {
    // A clock before 1970 has not been set yet.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Somebody who is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they may do.
    pub role: Role,
    /// Identifies the browser or program. Not a secret, and never reused for another.
    pub id: String,
}

impl Principal {
    /// Whoever it is, where signing in is not required.
    fn anybody() -> Self {
        Self { role: Role::Operator, id: "anybody".into() }
    }

    /// Whoever sends the password of a role with each request, while that has this [`version`](Passwords::version).
    fn of_password(role: Role, version: &str) -> Self {
        Self { role, id: format!("{PASSWORD_ID}{role}/{version}") }
    }

    /// Whether they send a password with each request.
    pub fn has_password(&self) -> bool {
        self.id.starts_with(PASSWORD_ID)
    }
}

/// How the IDs of those begin who send a password with each request.
const PASSWORD_ID: &str = "password/";

/// Authenticates requests; a cheap handle. `None` when signing in is not required.
#[derive(Clone)]
pub struct Auth(Option<Arc<AuthState>>);

/// Called with the ID of a principal whose access has ended.
type OnRevoked = dyn Fn(&str) + Send + Sync;

/// Returns the IDs of the principals that are being sent a stream.
type Watching = dyn Fn() -> BTreeSet<String> + Send + Sync;

struct AuthState {
    directory: PathBuf,
    session_days: AtomicU32,
    passwords: Arc<Passwords>,
    sessions: LoginSessions,
    tokens: Tokens,
    login: LoginState,
    cookie: cookie::Name,
    /// Whether the last use of a token is being written right now.
    recording_use: AtomicBool,
    /// IDs of all principals with access, as of the last refresh.
    valid_ids: Mutex<BTreeSet<String>>,
    on_revoked: OnceLock<Box<OnRevoked>>,
    watching: OnceLock<Box<Watching>>,
}

impl Auth {
    /// Reads the stored credentials, if signing in is required. Damaged files are set aside: nobody has access by what was in
    /// them.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be created, or a file in it may not be read.
    pub fn open(config: &Config, store: &StateDir) -> anyhow::Result<Self> {
        if config.mode == Mode::None {
            return Ok(Self(None));
        }
        let directory = store.create()?.to_path_buf();
        let (passwords, damaged) = Passwords::open_or_set_aside(store.clone())?;
        let sessions = LoginSessions::open(store.clone())?;
        if damaged && let Err(error) = sessions.clear() {
            // Those from before there was a password would be valid again.
            tracing::warn!("end the login sessions: {error:#}");
        }
        let state = AuthState {
            directory,
            session_days: config.session_days.into(),
            passwords: Arc::new(passwords),
            sessions,
            tokens: Tokens::open_or_set_aside(store.clone())?,
            login: LoginState::default(),
            cookie: cookie::Name::load(store),
            recording_use: AtomicBool::new(false),
            valid_ids: Mutex::default(),
            on_revoked: OnceLock::new(),
            watching: OnceLock::new(),
        };
        state.refresh();
        Ok(Self(Some(Arc::new(state))))
    }

    /// Sets for how many days browsers that sign in from now on stay signed in.
    pub fn set_session_days(&self, days: u32) {
        if let Some(state) = &self.0 {
            state.session_days.store(days, Ordering::Relaxed);
        }
    }

    /// Whether anybody has to sign in.
    pub fn mode(&self) -> Mode {
        if self.0.is_some() { Mode::Password } else { Mode::None }
    }

    /// Where passwords, login sessions and tokens are stored; `None` when signing in is not required.
    pub fn directory(&self) -> Option<&Path> {
        self.0.as_ref().map(|state| state.directory.as_path())
    }

    /// Identifies who sent a request. `bearer` is the token of its `Authorization` header without the scheme, `cookie`
    /// the whole value of its `Cookie` header. If there is a token, the cookie is ignored.
    pub fn identify(&self, bearer: Option<&str>, cookie: Option<&str>) -> Option<Principal> {
        match &self.0 {
            Some(state) => state.identify(bearer, cookie, now()),
            None => Some(Principal::anybody()),
        }
    }

    /// Whether a principal, named by [`Principal::id`], has access now. Whoever starts something that lasts asks once more
    /// when it has begun: the access may have been revoked since the request was identified.
    pub fn has_access(&self, id: &str) -> bool {
        self.0.as_ref().is_none_or(|state| state.valid_ids().contains(id))
    }

    /// Sets a callback for principals, named by [`Principal::id`], whose access has ended: their token was revoked,
    /// they signed out, their session expired, or the password was changed. Only the first call counts.
    pub fn on_revoked(&self, on_revoked: impl Fn(&str) + Send + Sync + 'static) {
        if let Some(state) = &self.0 {
            let _ = state.on_revoked.set(Box::new(on_revoked));
        }
    }

    /// Sets what returns the IDs of the principals that are being sent a stream: their sessions do not give way to others.
    /// Only the first call counts.
    pub fn set_watching(&self, watching: impl Fn() -> BTreeSet<String> + Send + Sync + 'static) {
        if let Some(state) = &self.0 {
            let _ = state.watching.set(Box::new(watching));
        }
    }

    /// Checks whose access was revoked, also by another process that changed the files.
    pub fn refresh(&self) {
        if let Some(state) = &self.0 {
            state.refresh();
        }
    }
}

impl AuthState {
    fn identify(self: &Arc<Self>, bearer: Option<&str>, cookie: Option<&str>, now: UnixTime) -> Option<Principal> {
        if let Some(bearer) = bearer {
            let token = self.tokens.find(bearer)?;
            self.record_token_use(&token, now);
            return Some(token.principal());
        }
        let secrets = self.cookie.values(cookie?).take(cookie::MAX_VALUES);
        let sessions = secrets.filter_map(|secret| self.sessions.find(secret, now));
        let mut valid = sessions.filter(|session| session.matches_password(|role| self.passwords.version(role)));
        valid.next().map(|session| session.principal())
    }

    /// Records the use of a token in the background, so that the request does not wait.
    fn record_token_use(self: &Arc<Self>, token: &Token, now: UnixTime) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !token.should_record_use(now) || self.recording_use.swap(true, Ordering::Relaxed) {
            return;
        }
        let (state, token) = (self.clone(), token.clone());
        runtime.spawn_blocking(move || {
            if let Err(error) = state.tokens.record_use(&token, now) {
                tracing::debug!("failed to record the last use of the token {}: {error:#}", token.name);
            }
            state.recording_use.store(false, Ordering::Relaxed);
        });
    }

    /// IDs of all principals with access.
    fn valid_ids(&self) -> BTreeSet<String> {
        let (tokens, sessions, now) = (self.tokens.all(), self.sessions.all(), now());
        let [viewer, operator] = [Role::Viewer, Role::Operator].map(|role| self.passwords.version(role));
        let version = |role| if role == Role::Viewer { viewer.clone() } else { operator.clone() };
        let passwords = [(Role::Viewer, &viewer), (Role::Operator, &operator)].into_iter();
        let passwords = passwords.filter_map(|(role, version)| Some(Principal::of_password(role, version.as_deref()?)));
        let valid = |session: &&LoginSession| now < session.expires() && session.matches_password(version);
        let sessions = sessions.iter().filter(valid).map(LoginSession::principal);
        let principals = tokens.iter().map(Token::principal).chain(sessions).chain(passwords);
        principals.map(|principal| principal.id).collect()
    }

    fn watching(&self) -> BTreeSet<String> {
        self.watching.get().map(|watching| watching()).unwrap_or_default()
    }

    fn refresh(&self) {
        let (before, valid_ids) = {
            // Locked before the files are read: a slower refresh must not take a session for revoked that it did not see.
            let mut known = self.valid_ids.lock();
            let valid_ids = self.valid_ids();
            (std::mem::replace(&mut *known, valid_ids.clone()), valid_ids)
        };
        for id in before.difference(&valid_ids) {
            // Who had a password is not known, nor whether anybody did.
            if !id.starts_with(PASSWORD_ID) {
                tracing::info!("the access of {id} has ended");
            }
            if let Some(on_revoked) = self.on_revoked.get() {
                on_revoked(id);
            }
        }
    }
}
