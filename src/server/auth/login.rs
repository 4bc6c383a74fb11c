//! Signing browsers in and out: what is checked before a password is verified, and the session that is created
//! afterwards.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::hash_worker::{Busy, PasswordVerifier};
use super::passwords::Verified;
use super::secret::{self, Digest};
use super::sessions::{AllInUse, Entry};
use super::{Auth, AuthState, Mode, Role, cookie, now};
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
    /// After how many seconds to try again (`Retry-After`).
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooOften(wait) => Some(seconds(*wait)),
            Self::Busy => Some(seconds(BUSY_RETRY_AFTER)),
            Self::WrongPassword | Self::NoPassword | Self::WrongLink => None,
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
    link: Mutex<Option<SignInLink>>,
}

impl Default for LoginState {
    fn default() -> Self {
        let attempts = Mutex::new(AddressRateLimit::new(ATTEMPT_RATE));
        Self { attempts, verifier: PasswordVerifier::default(), link: Mutex::default() }
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
                match state.login.verifier.verify(state.passwords.clone(), password).await {
                    Ok(Some(Verified { role, version })) => (role, Some(version)),
                    Ok(None) => return Err(state.wrong_password()),
                    Err(Busy) => {
                        state.login.attempts().refund(from);
                        return Err(SignInError::Busy);
                    }
                }
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
        match role {
            Role::Operator => state.login.attempts().reset(from),
            // Otherwise the viewer's password could be used to guess the operator's without limit.
            Role::Viewer => state.login.attempts().refund(from),
        }
        tracing::info!("the {role} signed in from {}", from.to_canonical());
        Ok(SignedIn { role, cookie: Some(state.cookie.set(&secret, age, secure)) })
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
mod tests {
    use super::*;
    use crate::server::auth::{Config, Passwords};
    use crate::util::state_dir::StateDir;

    fn auth() -> (tempfile::TempDir, Auth) {
        let folder = tempfile::tempdir().unwrap();
        let auth = Auth::open(&Config::default(), &StateDir::open(Some(folder.path()))).unwrap();
        (folder, auth)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    async fn with(auth: &Auth, from: IpAddr, password: &str) -> Result<SignedIn, SignInError> {
        auth.sign_in(from, false, Credential::Password(password.into())).await
    }

    /// The `Cookie` header that a browser sends after signing in.
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
        let cleared = auth.sign_out(Some(&headers[1]), true).await;
        assert!(matches!(&cleared[..], [cookie] if cookie.contains("=; Path=/; Max-Age=0;")), "{cleared:?}");
        assert_eq!(auth.identify(None, Some(&headers[1])), None);
        assert!(auth.identify(None, Some(&headers[0])).is_some());
    }

    #[tokio::test]
    async fn a_cookie_of_an_earlier_version_is_valid_and_cleared() {
        let (_folder, auth) = auth();
        let link = auth.link().unwrap();
        let signed_in = auth.sign_in(HERE, true, Credential::Link(link)).await.unwrap();
        let header = sent(&signed_in);
        let (_, secret) = header.split_once('=').unwrap();
        let earlier = format!("porthole_session={secret}");
        assert!(auth.identify(None, Some(&earlier)).is_some());
        assert_eq!(auth.sign_out(Some("porthole_session=of-another-program"), true).await.len(), 1);
        let cleared = auth.sign_out(Some(&earlier), true).await;
        assert!(cleared.iter().any(|cookie| cookie.starts_with("porthole_session=;")), "{cleared:?}");
        assert_eq!(auth.identify(None, Some(&earlier)), None);
    }

    #[tokio::test]
    async fn two_programs_on_one_host_do_not_sign_each_other_out() {
        let ((_folder, one), (_another, other)) = (auth(), auth());
        let mut jar = std::collections::BTreeMap::new();
        for auth in [&one, &other] {
            let link = auth.link().unwrap();
            let header = sent(&auth.sign_in(HERE, false, Credential::Link(link)).await.unwrap());
            let (name, value) = header.split_once('=').unwrap();
            jar.insert(name.to_owned(), value.to_owned());
        }
        let header = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        assert!([&one, &other].iter().all(|auth| auth.identify(None, Some(&header)).is_some()), "{header}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_password_set_during_the_first_start_stays() {
        let (folder, auth) = auth();
        let starting = tokio::task::spawn_blocking({
            let auth = auth.clone();
            move || auth.first_passwords().unwrap()
        });
        let other = Passwords::open(StateDir::open(Some(folder.path()))).unwrap();
        tokio::task::block_in_place(|| other.set(Role::Operator, "battery staple")).unwrap();
        starting.await.unwrap();
        assert_eq!(with(&auth, HERE, "battery staple").await.unwrap().role, Role::Operator);
    }

    #[tokio::test]
    async fn too_many_attempts_block_one_address_even_with_the_right_password() {
        let (_folder, auth) = auth();
        let passwords = auth.first_passwords().unwrap();
        let [(_, viewer), (_, operator)] = &passwords[..] else { panic!("there should be two") };
        let now = Instant::now();
        let with = async |auth: &Auth, from, password: &str| {
            auth.sign_in_at(now, from, false, Credential::Password(password.into())).await
        };
        // The viewer's own password in between allows no further attempt.
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
        assert!(login.is_link(&link, None, Instant::now() + LINK_LIFETIME - Duration::from_secs(60)));
        assert!(!login.is_link(&link, None, Instant::now() + LINK_LIFETIME));
        let newer = auth.link().unwrap();
        assert!(!login.is_link(&link, None, Instant::now()));
        // Whoever sets a password keeps out those who have seen the terminal, too.
        auth.0.as_ref().unwrap().passwords.set(Role::Operator, "battery staple").unwrap();
        assert_eq!(auth.sign_in(HERE, false, credential(&newer)).await, Err(SignInError::WrongLink));
    }

    #[tokio::test]
    async fn a_password_changed_while_it_is_compared_opens_no_session() {
        let (_folder, auth) = auth();
        let state = auth.0.as_ref().unwrap();
        state.passwords.set(Role::Viewer, "correct horse").unwrap();
        let Verified { role, version } = state.passwords.verify("correct horse").unwrap();
        state.passwords.set(Role::Viewer, "another horse").unwrap();
        let entry = Entry { role, password: Some(version), from: HERE };
        assert_eq!(state.open_session(entry), Err(SignInError::WrongPassword));
        assert!(state.sessions.all().is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_sign_ins_during_a_change_none_stays_valid() {
        let (_folder, auth) = auth();
        let set = |password: &str| auth.0.as_ref().unwrap().passwords.set(Role::Viewer, password).unwrap();
        for round in 0..3 {
            set("correct horse");
            // As many as wait in the queue, each from its own address.
            let attempts: Vec<_> = (0..10)
                .map(|host| {
                    let (auth, from) = (auth.clone(), IpAddr::from([192, 0, round, host]));
                    tokio::spawn(async move { with(&auth, from, "correct horse").await })
                })
                .collect();
            let password = format!("another horse {round}");
            tokio::task::block_in_place(|| set(&password));
            for attempt in attempts {
                let answer = attempt.await.unwrap();
                let cookie = answer.as_ref().ok().map(sent);
                assert_eq!(auth.identify(None, cookie.as_deref()), None, "round {round}: {answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn without_authentication_everybody_is_an_operator() {
        let config = Config { mode: Mode::None, ..Config::default() };
        let auth = Auth::open(&config, &StateDir::open(Some(std::path::Path::new("/proc/self/porthole")))).unwrap();
        assert_eq!(auth.identify(None, None).unwrap().role, Role::Operator);
        assert_eq!(with(&auth, HERE, "").await, Ok(SignedIn { role: Role::Operator, cookie: None }));
        assert_eq!((auth.link(), auth.lacks_passwords()), (None, false));
        assert!(auth.first_passwords().unwrap().is_empty());
    }
}
