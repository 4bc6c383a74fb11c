//! Signing browsers in and out: what is checked before a password is verified, and the session that is created
//! afterwards.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::hash_worker::{Busy, PasswordVerifier};
use super::passwords::Verified;
use super::secret::{self, Digest};
use super::sessions::{AllInUse, Entry};
use super::{Auth, AuthState, Mode, Principal, Role, cookie, now, tokens};
use crate::model::metrics::SignInOutcome;
use crate::util::address_rate::AddressRateLimit;
use crate::util::lock::{Mutex, MutexGuard};
use crate::util::token_bucket::Rate;

/// Attempts to sign in from one address: at once, as somebody who mistypes a password on a phone gets it right by then, and
/// after that the interval between two, 8,640 a day. At that rate a list of the ten thousand most common passwords takes
/// more than a day and a random password forever; nobody who forgot theirs types much faster.
const ATTEMPT_RATE: Rate = Rate::every(5, Duration::from_secs(10));

/// Lifetime of the sign-in link that is printed at startup: long enough to find a phone, and short enough that old
/// terminal output is not a key.
const LINK_LIFETIME: Duration = Duration::from_secs(3_600);

/// What somebody signs in with.
pub enum Credential {
    /// A password; it determines the role.
    Password(String),
    /// The secret of the sign-in link that was printed at startup.
    Link(String),
}

/// A successful sign-in.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The role.
    pub role: Role,
    /// The value of the `Set-Cookie` header; `None` when signing in is not required.
    pub cookie: Option<String>,
}

/// Why signing in failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The password is wrong.
    #[error("wrong password")]
    WrongPassword,
    /// The token is wrong, or was revoked.
    #[error("wrong token; `porthole token list` lists those that are valid")]
    WrongToken,
    /// There is neither a password nor a token.
    #[error("neither a password nor a token was sent")]
    NoSecret,
    /// No password has been set.
    #[error("no password is set; set one on the device with `porthole password operator`")]
    NoPassword,
    /// The link is wrong or has expired, or the operator's password was changed since.
    #[error("this link is wrong or has expired; porthole prints a new one when it starts")]
    WrongLink,
    /// Too many attempts from this address; how long to wait.
    #[error("too many attempts; try again in {} s", seconds(*.0))]
    TooOften(Duration),
    /// Too many attempts are queued, or as many browsers are watching as may be signed in.
    #[error("too many people are signing in; try again in {} s", seconds(BUSY_RETRY_AFTER))]
    Busy,
}

/// `Retry-After` when the queue is full: about what a small device takes to empty it.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

impl SignInError {
    /// How it is counted.
    pub fn outcome(&self) -> SignInOutcome {
        match self {
            Self::TooOften(_) => SignInOutcome::TooOften,
            Self::Busy => SignInOutcome::Busy,
            Self::WrongPassword | Self::WrongToken | Self::NoSecret | Self::NoPassword | Self::WrongLink => {
                SignInOutcome::Wrong
            }
        }
    }

    /// After how many seconds to try again (`Retry-After`).
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooOften(wait) => Some(seconds(*wait)),
            Self::Busy => Some(seconds(BUSY_RETRY_AFTER)),
            Self::WrongPassword | Self::WrongToken | Self::NoSecret | Self::NoPassword | Self::WrongLink => None,
        }
    }
}

/// In seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// State of signing in.
pub struct LoginState {
    attempts: Mutex<AddressRateLimit>,
    verifier: PasswordVerifier,
    /// Who sent a right password with a request: one for each password that is valid, and those from before a change until the
    /// next one.
    known: Mutex<Vec<KnownPassword>>,
    link: Mutex<Option<SignInLink>>,
}

/// A password that was right, so that it need not be hashed again for each connection. In memory only.
struct KnownPassword {
    secret: Digest,
    principal: Principal,
}

impl Default for LoginState {
    fn default() -> Self {
        let attempts = Mutex::new(AddressRateLimit::new(ATTEMPT_RATE));
        Self { attempts, verifier: PasswordVerifier::default(), known: Mutex::default(), link: Mutex::default() }
    }
}

/// The link that was printed at startup.
struct SignInLink {
    secret: Digest,
    expires: Instant,
    /// The version of the operator's password when it was created. A new password ends the link as it ends sessions.
    password: Option<String>,
}

impl Auth {
    /// Signs somebody in from an address, over an encrypted connection or not. After too many attempts even the right
    /// password is rejected; otherwise further guessing would reveal it.
    ///
    /// # Errors
    ///
    /// As [`SignInError`] says.
    pub async fn sign_in(&self, from: IpAddr, secure: bool, credential: Credential) -> Result<SignedIn, SignInError> {
        self.sign_in_at(Instant::now(), from, secure, credential).await
    }

    /// As [`sign_in`](Self::sign_in). Time is an argument, so that none passes in a test.
    async fn sign_in_at(
        &self,
        now: Instant,
        from: IpAddr,
        secure: bool,
        credential: Credential,
    ) -> Result<SignedIn, SignInError> {
        let Some(state) = &self.0 else { return Ok(SignedIn { role: Role::Operator, cookie: None }) };
        state.login.attempts().try_acquire(from, now).map_err(SignInError::TooOften)?;
        let (role, version) = match credential {
            Credential::Password(password) => {
                let Verified { role, version } = state.verify(from, password).await?;
                (role, Some(version))
            }
            Credential::Link(secret) => {
                let version = state.passwords.version(Role::Operator);
                if !state.login.is_link(&secret, version.as_deref(), now) {
                    return Err(SignInError::WrongLink);
                }
                (Role::Operator, version)
            }
        };
        let entering = state.clone();
        let entry = Entry { role, password: version, from };
        let opened = tokio::task::spawn_blocking(move || entering.open_session(entry)).await;
        let (secret, age) = opened.expect("opening a session should not panic")?;
        state.login.succeeded(role, from);
        tracing::info!("the {role} signed in from {}", from.to_canonical());
        Ok(SignedIn { role, cookie: Some(state.cookie.set(&secret, age, secure)) })
    }

    /// Who sends this secret with each request, from an address: a token, or a password, for which there is the same limit as
    /// for signing in. The verifier compares a password once; it is remembered until it is changed.
    ///
    /// # Errors
    ///
    /// As [`SignInError`] says.
    pub async fn authenticate(&self, from: IpAddr, secret: &str) -> Result<Principal, SignInError> {
        let Some(state) = &self.0 else { return Ok(Principal::anybody()) };
        if let Some(principal) = state.identify(Some(secret), None, now()) {
            return Ok(principal);
        }
        // One that was revoked is sent again and again by a program that nobody looks after. Nobody guesses tokens, and people
        // at the same address want to sign in.
        if tokens::is_token(secret) {
            return Err(SignInError::WrongToken);
        }
        if secret.is_empty() {
            return Err(SignInError::NoSecret);
        }
        // Also for one that is remembered: otherwise whoever had too many attempts could go on guessing it.
        state.login.attempts().try_acquire(from, Instant::now()).map_err(SignInError::TooOften)?;
        let principal = match state.known_password(secret) {
            Some(principal) => principal,
            None => {
                let Verified { role, version } = state.verify(from, secret.to_owned()).await?;
                let principal = Principal::of_password(role, &version);
                state.remember_password(secret, &principal);
                principal
            }
        };
        state.login.succeeded(principal.role, from);
        Ok(principal)
    }

    /// Ends the session of a `Cookie` header and returns the `Set-Cookie` headers that delete its cookies.
    pub async fn sign_out(&self, cookie: Option<&str>, secure: bool) -> Vec<String> {
        let Some(state) = &self.0 else { return Vec::new() };
        let mut cleared = vec![state.cookie.clear(secure)];
        if let Some(header) = cookie {
            // A cookie of that name may belong to another program on the host.
            if cookie::earlier(header).is_some_and(|secret| state.sessions.find(secret, now()).is_some()) {
                cleared.push(cookie::clear_earlier(secure));
            }
            let secrets: Vec<String> = state.cookie.values(header).take(cookie::MAX_VALUES).map(Into::into).collect();
            let state = state.clone();
            let ended = tokio::task::spawn_blocking(move || {
                for secret in secrets {
                    if let Err(error) = state.sessions.remove(&secret) {
                        tracing::warn!(
                            "{error:#}; a browser that signed out will be signed in again after the next start"
                        );
                    }
                }
                state.refresh();
            });
            ended.await.expect("ending a session should not panic");
        }
        cleared
    }

    /// Creates the secret of a link that signs the operator in, valid for an hour; `None` when signing in is not
    /// required. The previous link is no longer valid, and this one until the operator's password is changed.
    pub fn link(&self) -> Option<String> {
        let state = self.0.as_ref()?;
        let text = secret::random();
        *state.login.link() = Some(SignInLink {
            secret: Digest::of(&text),
            expires: Instant::now() + LINK_LIFETIME,
            password: state.passwords.version(Role::Operator),
        });
        Some(text)
    }

    /// Sets a random password for both roles if neither has one, and returns the new passwords. Takes two seconds on a
    /// small device.
    ///
    /// # Errors
    ///
    /// When they cannot be stored.
    pub fn first_passwords(&self) -> anyhow::Result<Vec<(Role, String)>> {
        if !self.lacks_passwords() {
            return Ok(Vec::new());
        }
        let Some(state) = &self.0 else { return Ok(Vec::new()) };
        state.passwords.set_first()
    }

    /// Whether signing in is required but no password is set.
    pub fn lacks_passwords(&self) -> bool {
        self.0.as_ref().is_some_and(|state| !state.has_password()) && self.mode() == Mode::Password
    }
}

impl AuthState {
    fn has_password(&self) -> bool {
        self.passwords.is_set(Role::Viewer) || self.passwords.is_set(Role::Operator)
    }

    /// Whose password it is. The attempt that was counted is taken back if the verifier was busy.
    async fn verify(&self, from: IpAddr, password: String) -> Result<Verified, SignInError> {
        match self.login.verifier.verify(self.passwords.clone(), password).await {
            Ok(Some(verified)) => Ok(verified),
            Ok(None) => Err(self.wrong_password()),
            Err(Busy) => {
                self.login.attempts().refund(from);
                Err(SignInError::Busy)
            }
        }
    }

    /// Whose password it is, if it was right before and was not changed since.
    fn known_password(&self, secret: &str) -> Option<Principal> {
        let digest = Digest::of(secret);
        let found = self.login.known.lock().iter().find(|known| known.secret == digest)?.principal.clone();
        self.valid_ids().contains(&found.id).then_some(found)
    }

    fn remember_password(&self, secret: &str, principal: &Principal) {
        let (secret, valid_ids) = (Digest::of(secret), self.valid_ids());
        let mut known = self.login.known.lock();
        known.retain(|one| one.secret != secret && valid_ids.contains(&one.principal.id));
        known.push(KnownPassword { secret, principal: principal.clone() });
    }

    fn wrong_password(&self) -> SignInError {
        if self.has_password() { SignInError::WrongPassword } else { SignInError::NoPassword }
    }

    /// Creates a session for whoever had the password of this version; returns its secret and lifetime. Between comparing
    /// a password and entering the session, the password may be changed, and then the session must not be valid.
    fn open_session(&self, entry: Entry) -> Result<(String, Duration), SignInError> {
        if self.passwords.version(entry.role) != entry.password {
            return Err(self.wrong_password());
        }
        let age = Duration::from_secs(u64::from(self.session_days.load(Ordering::Relaxed)) * 24 * 3_600);
        // A change after the check makes it a session with an old version, which `identify` rejects.
        let added = self.sessions.add(entry, now(), age, &self.watching());
        let (secret, written) = added.map_err(|AllInUse| SignInError::Busy)?;
        if let Err(error) = written {
            tracing::warn!("{error:#}; whoever signs in now has to sign in again after the next start");
        }
        self.refresh();
        Ok((secret, age))
    }
}

impl LoginState {
    fn attempts(&self) -> MutexGuard<'_, AddressRateLimit> {
        self.attempts.lock()
    }

    /// Takes back what was counted of an address that had the password of a role.
    fn succeeded(&self, role: Role, from: IpAddr) {
        match role {
            Role::Operator => self.attempts().reset(from),
            // Otherwise the viewer's password could be used to guess the operator's without limit.
            Role::Viewer => self.attempts().refund(from),
        }
    }

    fn link(&self) -> MutexGuard<'_, Option<SignInLink>> {
        self.link.lock()
    }

    /// Whether this is the link's secret, while the operator's password has this version.
    fn is_link(&self, secret: &str, version: Option<&str>, now: Instant) -> bool {
        let digest = Digest::of(secret);
        let valid =
            |link: &SignInLink| link.secret == digest && link.password.as_deref() == version && now < link.expires;
        self.link().as_ref().is_some_and(valid)
    }
}

#[cfg(test)]
mod tests;
