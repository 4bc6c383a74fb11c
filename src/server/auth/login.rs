//! Signing in and out of browsers: what is asked before a password is tried, and what somebody gets who has the right one.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::hash_worker::{Busy, PasswordVerifier};
use super::login_throttle::Attempts;
use super::passwords::{self, SetError};
use super::secret::{self, Digest};
use super::{Auth, AuthState, Mode, Role, cookie, now};

/// How long the link that is printed at the start signs in: as long as it takes to find a phone, and not so long that a
/// terminal's old output is a key.
const LINK_LIFETIME: Duration = Duration::from_secs(3_600);

/// What somebody shows who wants to sign in.
pub enum Credential {
    /// A password, which tells the role too.
    Password(String),
    /// The secret of the link that was printed at the start.
    Link(String),
}

/// Somebody who signed in.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// What they may do.
    pub role: Role,
    /// The value of the `Set-Cookie` header; none where nobody has to sign in.
    pub cookie: Option<String>,
}

/// Why somebody is not signed in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// It was the wrong password.
    #[error("this is not the password")]
    WrongPassword,
    /// There is no password yet.
    #[error("no password is set; set one on the board with `porthole password operator`")]
    NoPassword,
    /// The link is another one's, or too old.
    #[error("this link does not sign in, or no longer; porthole prints a new one when it starts")]
    WrongLink,
    /// The address has tried too often.
    #[error("too many attempts; try again in {} s", seconds(*.0))]
    TooOften(Duration),
    /// Too many attempts wait.
    #[error("too many sign in at once; try again in {} s", seconds(BUSY_RETRY_AFTER))]
    Busy,
}

/// After this time somebody who found the queue full shall try again: about what it takes a small board to empty it.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

impl SignInError {
    /// After how many seconds it may be tried again (`Retry-After`).
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooOften(wait) => Some(seconds(*wait)),
            Self::Busy => Some(seconds(BUSY_RETRY_AFTER)),
            Self::WrongPassword | Self::NoPassword | Self::WrongLink => None,
        }
    }
}

/// Whole seconds after which a time is over.
fn seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

/// What is remembered of attempts to sign in.
#[derive(Default)]
pub struct LoginState {
    attempts: Mutex<Attempts>,
    verifier: PasswordVerifier,
    /// The link's secret, and until when it signs in.
    link: Mutex<Option<(Digest, Instant)>>,
}

impl Auth {
    /// Signs somebody in who asks from an address, over an encrypted connection or not. Also the right password is refused
    /// to an address that has tried too often, or guessing on would tell when it was found.
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
        let role = match credential {
            Credential::Password(password) => {
                match state.login.verifier.verify(state.passwords.clone(), password).await {
                    Ok(role) => role.ok_or_else(|| state.wrong_password())?,
                    Err(Busy) => {
                        state.login.attempts().refund(from);
                        return Err(SignInError::Busy);
                    }
                }
            }
            Credential::Link(secret) if state.login.is_link(&secret, now) => Role::Operator,
            Credential::Link(_) => return Err(SignInError::WrongLink),
        };
        match role {
            Role::Operator => state.login.attempts().reset(from),
            // Who knows the viewer's password could otherwise guess the operator's without end.
            Role::Viewer => state.login.attempts().refund(from),
        }
        tracing::info!("the {role} signed in from {}", from.to_canonical());
        let state = state.clone();
        let opened = tokio::task::spawn_blocking(move || state.open_session(role)).await;
        let (secret, age) = opened.expect("opening a session should not panic");
        Ok(SignedIn { role, cookie: Some(cookie::set(&secret, age, secure)) })
    }

    /// Ends the session that a `Cookie` header carries; gives the `Set-Cookie` header that takes it from the browser.
    pub async fn sign_out(&self, cookie: Option<&str>, secure: bool) -> String {
        if let (Some(state), Some(header)) = (&self.0, cookie) {
            let secrets: Vec<String> = cookie::values(header).take(cookie::MAX_VALUES).map(Into::into).collect();
            let state = state.clone();
            let ended = tokio::task::spawn_blocking(move || {
                for secret in secrets {
                    if let Err(error) = state.sessions.remove(&secret) {
                        tracing::warn!("{error:#}; a browser that signed out is signed in again after the next start");
                    }
                }
                state.refresh();
            });
            ended.await.expect("ending a session should not panic");
        }
        cookie::clear(secure)
    }

    /// Makes the secret of a link that signs the operator in for an hour; none where nobody has to sign in. The one
    /// before it signs in no more.
    pub fn link(&self) -> Option<String> {
        let state = self.0.as_ref()?;
        let text = secret::random();
        *state.login.link() = Some((Digest::of(&text), Instant::now() + LINK_LIFETIME));
        Some(text)
    }

    /// Gives both roles a random password where none of them has one yet: what they are, or nothing. Takes two seconds on
    /// a small board.
    ///
    /// # Errors
    ///
    /// When they cannot be kept.
    pub fn first_passwords(&self) -> anyhow::Result<Vec<(Role, String)>> {
        if !self.lacks_passwords() {
            return Ok(Vec::new());
        }
        let Some(state) = &self.0 else { return Ok(Vec::new()) };
        [Role::Viewer, Role::Operator]
            .into_iter()
            .map(|role| {
                let password = passwords::random();
                let set: Result<(), SetError> = state.passwords.set(role, &password);
                set.with_context(|| format!("keep a first password for the {role}"))?;
                Ok((role, password))
            })
            .collect()
    }

    /// Whether everybody has to sign in and nobody can: no password is set.
    pub fn lacks_passwords(&self) -> bool {
        self.0.as_ref().is_some_and(|state| !state.has_password()) && self.mode() == Mode::Password
    }
}

impl AuthState {
    fn has_password(&self) -> bool {
        self.passwords.is_set(Role::Viewer) || self.passwords.is_set(Role::Operator)
    }

    fn wrong_password(&self) -> SignInError {
        if self.has_password() { SignInError::WrongPassword } else { SignInError::NoPassword }
    }

    /// Opens a session: its secret, and how long it lasts.
    fn open_session(&self, role: Role) -> (String, Duration) {
        let age = Duration::from_secs(u64::from(self.session_days.load(Ordering::Relaxed)) * 24 * 3_600);
        let (secret, written) = self.sessions.add(role, self.passwords.version(role), now(), age);
        if let Err(error) = written {
            tracing::warn!("{error:#}; whoever signs in now has to do so again after the next start");
        }
        self.refresh();
        (secret, age)
    }
}

impl LoginState {
    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Option<(Digest, Instant)>> {
        self.link.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn is_link(&self, secret: &str, now: Instant) -> bool {
        let digest = Digest::of(secret);
        self.link().as_ref().is_some_and(|(link, until)| *link == digest && now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::Config;
    use crate::util::state_dir::Store;

    fn auth() -> (tempfile::TempDir, Auth) {
        let folder = tempfile::tempdir().unwrap();
        let auth = Auth::open(&Config::default(), &Store::open(Some(folder.path()))).unwrap();
        (folder, auth)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    async fn with(auth: &Auth, from: IpAddr, password: &str) -> Result<SignedIn, SignInError> {
        auth.sign_in(from, false, Credential::Password(password.into())).await
    }

    /// The `Cookie` header of a browser that was given a cookie.
    fn sent(signed_in: &SignedIn) -> String {
        signed_in.cookie.as_ref().unwrap().split(';').next().unwrap().into()
    }

    #[tokio::test]
    async fn first_passwords_sign_in_until_the_browser_signs_out() {
        let (_folder, auth) = auth();
        assert_eq!(with(&auth, HERE, "").await, Err(SignInError::NoPassword));
        assert!(auth.lacks_passwords());
        let passwords = auth.first_passwords().unwrap();
        assert!(!auth.lacks_passwords() && auth.first_passwords().unwrap().is_empty());
        let mut headers = Vec::new();
        for (role, password) in passwords {
            let signed_in = with(&auth, HERE, &password).await.unwrap();
            assert_eq!(signed_in.role, role);
            headers.push(sent(&signed_in));
            let principal = auth.identify(None, headers.last().map(String::as_str)).unwrap();
            assert_eq!(principal.role, role);
            assert!(!headers.iter().any(|header| header.contains(&principal.id)));
        }
        assert_eq!(auth.identify(None, None), None);
        assert_eq!(auth.identify(Some("pht_x"), Some(&headers[1])), None, "a wrong token should not be passed over");
        assert!(auth.sign_out(Some(&headers[1]), true).await.contains("Max-Age=0"));
        assert_eq!(auth.identify(None, Some(&headers[1])), None);
        assert!(auth.identify(None, Some(&headers[0])).is_some());
    }

    #[tokio::test]
    async fn an_address_that_guesses_is_stopped_even_with_the_right_password_and_others_are_not() {
        let (_folder, auth) = auth();
        let passwords = auth.first_passwords().unwrap();
        let [(_, viewer), (_, operator)] = &passwords[..] else { panic!("there should be two") };
        let now = Instant::now();
        let with = async |auth: &Auth, from, password: &str| {
            auth.sign_in_at(now, from, false, Credential::Password(password.into())).await
        };
        // The viewer's own password, in between, gives no attempt more.
        for guess in ["a", "b", viewer, "c", viewer, "d", "e"] {
            let outcome = with(&auth, HERE, guess).await;
            assert_eq!(outcome.is_ok(), guess == viewer, "{outcome:?}");
        }
        let refused = with(&auth, HERE, operator).await.unwrap_err();
        assert!(matches!(refused, SignInError::TooOften(_)), "{refused}");
        assert!((1..=10).contains(&refused.retry_after().unwrap()));
        assert!(with(&auth, THERE, operator).await.is_ok());
        for _ in 0..3 {
            assert_eq!(with(&auth, THERE, "wrong").await, Err(SignInError::WrongPassword));
            assert!(with(&auth, THERE, operator).await.is_ok());
        }
    }

    #[tokio::test]
    async fn the_link_signs_the_operator_in_for_an_hour() {
        let (_folder, auth) = auth();
        let credential = |text: &str| Credential::Link(text.into());
        assert_eq!(auth.sign_in(HERE, false, credential("")).await, Err(SignInError::WrongLink));
        let link = auth.link().unwrap();
        let signed_in = auth.sign_in(HERE, true, credential(&link)).await.unwrap();
        assert_eq!(signed_in.role, Role::Operator);
        assert!(signed_in.cookie.unwrap().ends_with("; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure"));
        let login = &auth.0.as_ref().unwrap().login;
        assert!(login.is_link(&link, Instant::now() + LINK_LIFETIME - Duration::from_secs(60)));
        assert!(!login.is_link(&link, Instant::now() + LINK_LIFETIME));
        auth.link().unwrap();
        assert!(!login.is_link(&link, Instant::now()));
    }

    #[tokio::test]
    async fn nobody_has_to_sign_in_where_nobody_has_to() {
        let config = Config { mode: Mode::None, ..Config::default() };
        let auth = Auth::open(&config, &Store::open(Some(std::path::Path::new("/proc/self/porthole")))).unwrap();
        assert_eq!(auth.identify(None, None).unwrap().role, Role::Operator);
        assert_eq!(with(&auth, HERE, "").await, Ok(SignedIn { role: Role::Operator, cookie: None }));
        assert_eq!((auth.link(), auth.lacks_passwords()), (None, false));
        assert!(auth.first_passwords().unwrap().is_empty());
    }
}
