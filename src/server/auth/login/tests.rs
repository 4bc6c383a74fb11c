//! Tests of signing in.

use std::task::{Context, Poll, Waker};

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

#[tokio::test]
async fn a_password_with_each_request_has_access_until_it_is_changed_and_counts_like_signing_in() {
    let (_folder, auth) = auth();
    let state = auth.0.as_ref().unwrap();
    assert_eq!(auth.authenticate(HERE, "correct horse").await, Err(SignInError::NoPassword));
    state.passwords.set(Role::Viewer, "correct horse").unwrap();
    state.passwords.set(Role::Operator, "battery staple").unwrap();
    auth.refresh();
    let (ended, viewer) = (std::sync::Arc::new(Mutex::new(Vec::new())), auth.authenticate(HERE, "correct horse").await);
    let (told, viewer) = (ended.clone(), viewer.unwrap());
    auth.on_revoked(move |id| told.lock().push(id.to_owned()));
    assert_eq!(auth.authenticate(THERE, "correct horse").await.as_ref(), Ok(&viewer));
    assert_eq!(auth.authenticate(THERE, "battery staple").await.unwrap().role, Role::Operator);
    assert!(viewer.role == Role::Viewer && auth.has_access(&viewer.id) && state.sessions.all().is_empty());
    let token = auth.add_token("player", Role::Viewer).await.unwrap().unwrap();
    for _ in 0..20 {
        assert_eq!(auth.authenticate(HERE, "pht_wrong").await, Err(SignInError::WrongToken));
        assert_eq!(auth.authenticate(HERE, "").await, Err(SignInError::NoSecret));
        assert_eq!(auth.authenticate(HERE, &token).await.unwrap().role, Role::Viewer, "tokens are not limited");
        assert_eq!(auth.authenticate(HERE, "correct horse").await.as_ref(), Ok(&viewer), "a right one is not either");
    }
    while auth.authenticate(HERE, "wrong").await == Err(SignInError::WrongPassword) {}
    assert!(matches!(auth.authenticate(HERE, "correct horse").await, Err(SignInError::TooOften(_))));
    assert!(matches!(with(&auth, HERE, "correct horse").await, Err(SignInError::TooOften(_))));
    state.passwords.set(Role::Viewer, "another horse").unwrap();
    assert!(!auth.has_access(&viewer.id));
    assert_eq!(
        auth.authenticate(THERE, "correct horse").await,
        Err(SignInError::WrongPassword),
        "it is not remembered"
    );
    auth.refresh();
    assert_eq!(*ended.lock(), [viewer.id]);
}

#[tokio::test]
async fn a_right_password_is_verified_once_for_all_connections() {
    let (_folder, auth) = auth();
    let state = auth.0.as_ref().unwrap();
    state.passwords.set(Role::Viewer, "correct horse").unwrap();
    state.passwords.set(Role::Operator, "battery staple").unwrap();
    for password in ["correct horse", "battery staple"] {
        auth.authenticate(HERE, password).await.unwrap();
    }
    // More than may try or wait at once, and each is answered without waiting for a hash.
    for _ in 0..40 {
        let again = std::pin::pin!(auth.authenticate(HERE, "correct horse"));
        let again = again.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(again, Poll::Ready(Ok(Principal { role: Role::Viewer, .. }))), "{again:?}");
    }
    assert_eq!(state.login.known.lock().len(), 2);
    state.passwords.set(Role::Viewer, "another horse").unwrap();
    auth.authenticate(HERE, "another horse").await.unwrap();
    assert_eq!(state.login.known.lock().len(), 2, "the one from before the change is forgotten");
}
