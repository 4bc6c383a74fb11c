//! Who may watch and who may steer: people with a password and their browser's session, programs with a token.
//!
//! What is kept about them stands in the state directory, and may be changed by the command line while the program runs.
//! Which request needs which role is decided in `http`.

pub mod cookie;
mod hash_worker;
mod inotify;
mod login;
mod login_throttle;
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
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use login::LoginState;
pub use login::{Credential, SignInError, SignedIn};
pub use login_throttle::rate_limit_prefix;
pub use passwords::{Passwords, SetError, random as random_password};
use sessions::{LoginSession, LoginSessions};
pub use tokens::{AddError, Token, Tokens};

use crate::util::state_dir::Store;

/// How people and programs are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether anybody has to sign in at all.
    pub mode: Mode,
    /// For how many days a browser stays signed in.
    pub session_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        // A month: a phone that looks every few weeks signs in seldom, and one that was lost is out some day.
        Self { mode: Mode::Password, session_days: 30 }
    }
}

/// Whether anybody has to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everybody, with a password or a token.
    Password,
    /// Nobody: whoever reaches the board watches and steers it.
    None,
}

/// What somebody may do; the later one may do all that the earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watch.
    Viewer,
    /// Watch and control.
    Operator,
}

impl Role {
    /// The other one.
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

/// Seconds since the beginning of 1970, as the board's clock has them.
pub type UnixTime = u64;

/// The board's time.
pub fn now() -> UnixTime {
    // A clock before 1970 has not been set yet.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they may do.
    pub role: Role,
    /// Which browser or program it is. It is no secret, and never becomes another's.
    pub id: String,
}

/// Who is let in; a cheap handle. Without people nobody has to sign in.
#[derive(Clone)]
pub struct Auth(Option<Arc<AuthState>>);

/// What is done about somebody, named by their id, who may no longer be in.
type OnRevoked = dyn Fn(&str) + Send + Sync;

struct AuthState {
    directory: PathBuf,
    session_days: AtomicU32,
    passwords: Arc<Passwords>,
    sessions: LoginSessions,
    tokens: Tokens,
    login: LoginState,
    /// Whether the last use of a token is being written down.
    recording_use: AtomicBool,
    /// Those who may be in, by their ids, as far as was looked.
    valid_ids: Mutex<BTreeSet<String>>,
    on_revoked: OnceLock<Box<OnRevoked>>,
}

impl Auth {
    /// Reads what is kept about people and programs, where they have to sign in.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be made, or something in it not be read or understood.
    pub fn open(config: &Config, store: &Store) -> anyhow::Result<Self> {
        if config.mode == Mode::None {
            return Ok(Self(None));
        }
        let state = AuthState {
            directory: store.create()?.to_path_buf(),
            session_days: config.session_days.into(),
            passwords: Arc::new(Passwords::open(store.clone())?),
            sessions: LoginSessions::open(store.clone())?,
            tokens: Tokens::open(store.clone())?,
            login: LoginState::default(),
            recording_use: AtomicBool::new(false),
            valid_ids: Mutex::default(),
            on_revoked: OnceLock::new(),
        };
        state.refresh();
        Ok(Self(Some(Arc::new(state))))
    }

    /// For how many days a browser that signs in from now on stays so.
    pub fn set_session_days(&self, days: u32) {
        if let Some(state) = &self.0 {
            state.session_days.store(days, Ordering::Relaxed);
        }
    }

    /// Whether anybody has to sign in.
    pub fn mode(&self) -> Mode {
        if self.0.is_some() { Mode::Password } else { Mode::None }
    }

    /// Where passwords, sessions and tokens are kept; `None` where nobody has to sign in.
    pub fn directory(&self) -> Option<&Path> {
        self.0.as_ref().map(|state| state.directory.as_path())
    }

    /// Who makes a request. `bearer` is the token of its `Authorization` header, without the scheme, and `cookie` the
    /// whole value of its `Cookie` header. A request with a token is judged by that alone.
    pub fn identify(&self, bearer: Option<&str>, cookie: Option<&str>) -> Option<Principal> {
        match &self.0 {
            Some(state) => state.identify(bearer, cookie, now()),
            None => Some(Principal { role: Role::Operator, id: "anybody".into() }),
        }
    }

    /// Says what is to be done about somebody, named by [`Principal::id`], who may no longer be in: their token was
    /// revoked, they signed out, or the password was changed. Only the first call counts.
    pub fn on_revoked(&self, on_revoked: impl Fn(&str) + Send + Sync + 'static) {
        if let Some(state) = &self.0 {
            let _ = state.on_revoked.set(Box::new(on_revoked));
        }
    }

    /// Looks who may no longer be in, also because another process changed the files.
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
        let secrets = cookie::values(cookie?).take(cookie::MAX_VALUES);
        let sessions = secrets.filter_map(|secret| self.sessions.find(secret, now));
        let mut valid = sessions.filter(|session| session.matches_password(|role| self.passwords.version(role)));
        valid.next().map(|session| session.principal())
    }

    /// Writes down that a token was used, where a request does not wait for it.
    fn record_token_use(self: &Arc<Self>, token: &Token, now: UnixTime) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !token.should_record_use(now) || self.recording_use.swap(true, Ordering::Relaxed) {
            return;
        }
        let (state, token) = (self.clone(), token.clone());
        runtime.spawn_blocking(move || {
            if let Err(error) = state.tokens.record_use(&token, now) {
                tracing::debug!("the last use of the token {} is not written: {error:#}", token.name);
            }
            state.recording_use.store(false, Ordering::Relaxed);
        });
    }

    /// Everybody who may be in, but for what the time says.
    fn valid_ids(&self) -> BTreeSet<String> {
        let tokens = self.tokens.all();
        let sessions = self.sessions.all();
        let [viewer, operator] = [Role::Viewer, Role::Operator].map(|role| self.passwords.version(role));
        let version = |role| if role == Role::Viewer { viewer.clone() } else { operator.clone() };
        let sessions = sessions.iter().filter(|session| session.matches_password(version)).map(LoginSession::principal);
        tokens.iter().map(Token::principal).chain(sessions).map(|principal| principal.id).collect()
    }

    fn refresh(&self) {
        let valid_ids = self.valid_ids();
        let before =
            std::mem::replace(&mut *self.valid_ids.lock().unwrap_or_else(PoisonError::into_inner), valid_ids.clone());
        for id in before.difference(&valid_ids) {
            tracing::info!("{id} is no longer let in");
            if let Some(on_revoked) = self.on_revoked.get() {
                on_revoked(id);
            }
        }
    }
}
