//! Routes for signing browsers in and out, and for the tokens of programs.
//!
//! Credentials are checked in `auth`; which request needs which role is decided in `middleware`.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::response::{HttpResponse, problem, response, text};
use super::{Client, Context, read};
use crate::model::metrics::{SignIn, SignInOutcome};
use crate::server::auth::{AddError, Credential, Mode, Principal, Role, SignInError, SignedIn, Token};

/// Maximum size of a body: the longest password with every byte escaped has 6 KiB.
const MAX_BODY: u64 = 8 * 1024;

const JSON: &str = "application/json";

/// Body of a request to sign in.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum LoginRequest {
    Password(String),
    Link(String),
}

/// Who is signed in, for the page.
#[derive(Serialize)]
struct SessionInfo {
    role: Option<Role>,
    mode: Mode,
}

/// Body of a request for a new token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    name: String,
    role: Role,
}

/// A new token, with its secret.
#[derive(Serialize)]
struct CreatedToken<'a> {
    name: &'a str,
    role: Role,
    token: String,
}

/// Description of a token; times are in seconds since the Unix epoch.
#[derive(Serialize)]
struct TokenInfo<'a> {
    name: &'a str,
    role: Role,
    created: u64,
    last_used: Option<u64>,
}

impl<'a> From<&'a Token> for TokenInfo<'a> {
    fn from(token: &'a Token) -> Self {
        let Token { name, role, created, used, .. } = token;
        Self { name, role: *role, created: *created, last_used: *used }
    }
}

/// `GET`, `POST` and `DELETE /api/session`, `GET` and `POST /api/tokens`, `DELETE /api/tokens/{name}`.
pub fn routes(context: Context) -> BoxedFilter<(HttpResponse,)> {
    let with = warp::any().map(move || context.clone());
    let body = warp::body::content_length_limit(MAX_BODY).and(warp::body::bytes());
    let headers = warp::header::headers_cloned();
    let client = warp::ext::optional::<Client>().map(|client: Option<Client>| {
        // Requests without a known address share one rate limit.
        client.unwrap_or(Client { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), secure: false })
    });
    let principal = warp::ext::optional::<Principal>();
    let session = warp::path!("api" / "session").boxed();
    let tokens = warp::path!("api" / "tokens").boxed();

    let session_info =
        session.clone().and(read()).and(headers).and(with.clone()).map(|headers: HeaderMap, context: Context| {
            let role = context.0.auth.identify(bearer(&headers), cookie(&headers)).map(|principal| principal.role);
            context.session(StatusCode::OK, role)
        });
    let sign_in = session.clone().and(warp::post()).and(headers).and(body).and(client).and(with.clone()).then(
        |headers: HeaderMap, body: Bytes, client: Client, context: Context| async move {
            context.sign_in(&headers, &body, client).await
        },
    );
    let sign_out = session.and(warp::delete()).and(headers).and(client).and(with.clone()).then(
        |headers: HeaderMap, client: Client, context: Context| async move {
            let cleared = context.0.auth.sign_out(cookie(&headers), client.secure).await;
            set_cookie(context.session(StatusCode::OK, None), &cleared)
        },
    );
    let list = tokens.clone().and(read()).and(principal).and(with.clone()).map(
        |principal: Option<Principal>, context: Context| match require_operator(principal) {
            Ok(_) => context.tokens(),
            Err(rejection) => *rejection,
        },
    );
    let add = tokens.and(warp::post()).and(principal).and(headers).and(body).and(with.clone()).then(
        |principal: Option<Principal>, headers: HeaderMap, body: Bytes, context: Context| async move {
            match require_operator(principal) {
                Ok(principal) => context.add_token(&principal, &headers, &body).await,
                Err(rejection) => *rejection,
            }
        },
    );
    let revoke = warp::path!("api" / "tokens" / String).and(warp::delete()).and(principal).and(with).then(
        |name: String, principal: Option<Principal>, context: Context| async move {
            match require_operator(principal) {
                Ok(principal) => context.revoke_token(&principal, &name).await,
                Err(rejection) => *rejection,
            }
        },
    );
    session_info.or(sign_in).unify().or(sign_out).unify().or(list).unify().or(add).unify().or(revoke).unify().boxed()
}

/// The token of an `Authorization` header (RFC 6750 section 2.1). Another scheme yields an empty token, which is never
/// valid.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

/// The `Cookie` header.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::COOKIE)?.to_str().ok()
}

/// Requires the operator role. The middleware has already checked it; this second check keeps the tokens safe from a
/// mistake in the route table.
fn require_operator(principal: Option<Principal>) -> Result<Principal, Box<HttpResponse>> {
    match principal {
        Some(principal) if principal.role == Role::Operator => Ok(principal),
        Some(_) => Err(Box::new(problem(StatusCode::FORBIDDEN, "only the operator may do this"))),
        None => Err(Box::new(unauthorized("sign in first"))),
    }
}

impl Context {
    fn session(&self, status: StatusCode, role: Option<Role>) -> HttpResponse {
        json(status, &SessionInfo { role, mode: self.0.auth.mode() })
    }

    async fn sign_in(&self, headers: &HeaderMap, body: &Bytes, client: Client) -> HttpResponse {
        let credential = match parse(headers, body) {
            Ok(LoginRequest::Password(password)) => Credential::Password(password),
            Ok(LoginRequest::Link(link)) => Credential::Link(link),
            Err(rejection) => return rejection(r#"{ "password": "..." } or { "link": "..." }"#),
        };
        let signed_in = self.0.auth.sign_in(client.address, client.secure, credential).await;
        let outcome = match &signed_in {
            Ok(_) => SignInOutcome::Ok,
            Err(SignInError::WrongPassword | SignInError::NoPassword | SignInError::WrongLink) => SignInOutcome::Wrong,
            Err(SignInError::TooOften(_)) => SignInOutcome::TooOften,
            Err(SignInError::Busy) => SignInOutcome::Busy,
        };
        self.0.metrics.sign_ins.get_or_create(&SignIn { outcome }).inc();
        match signed_in {
            Ok(SignedIn { role, cookie }) => {
                let response = self.session(StatusCode::OK, Some(role));
                cookie.iter().fold(response, |response, cookie| set_cookie(response, cookie))
            }
            Err(error) => {
                let mut response = match outcome {
                    SignInOutcome::TooOften => problem(StatusCode::TOO_MANY_REQUESTS, &error.to_string()),
                    SignInOutcome::Busy => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
                    SignInOutcome::Ok | SignInOutcome::Wrong => {
                        tracing::info!("sign-in from {} rejected: {error}", client.address.to_canonical());
                        unauthorized(&error.to_string())
                    }
                };
                if let Some(seconds) = error.retry_after() {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        }
    }

    fn tokens(&self) -> HttpResponse {
        match self.0.auth.tokens() {
            Some(tokens) => json(StatusCode::OK, &tokens.iter().map(TokenInfo::from).collect::<Vec<_>>()),
            None => tokens_disabled(),
        }
    }

    async fn add_token(&self, by: &Principal, headers: &HeaderMap, body: &Bytes) -> HttpResponse {
        let TokenRequest { name, role } = match parse(headers, body) {
            Ok(request) => request,
            Err(rejection) => return rejection(r#"{ "name": "...", "role": "viewer" } or "operator""#),
        };
        match self.0.auth.add_token(&name, role).await {
            Some(Ok(token)) => {
                tracing::info!("the token {name} ({role}) was created by {}", by.id);
                json(StatusCode::CREATED, &CreatedToken { name: &name, role, token })
            }
            Some(Err(error)) => {
                let status = match error {
                    AddError::Name(_) => StatusCode::BAD_REQUEST,
                    AddError::Exists(_) | AddError::Full => StatusCode::CONFLICT,
                    AddError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                problem(status, &error.to_string())
            }
            None => tokens_disabled(),
        }
    }

    async fn revoke_token(&self, by: &Principal, name: &str) -> HttpResponse {
        match self.0.auth.revoke_token(name).await {
            Some(Ok(true)) => {
                tracing::info!("the token {name} was revoked by {}", by.id);
                let mut response = text(StatusCode::NO_CONTENT, "");
                response.headers_mut().remove(header::CONTENT_TYPE);
                response
            }
            Some(Ok(false)) => problem(StatusCode::NOT_FOUND, "no token of this name; GET /api/tokens lists them"),
            Some(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
            None => tokens_disabled(),
        }
    }
}

/// Parses a JSON body. The error makes a response from a description of the expected body. The media type keeps out
/// HTML forms of other sites, which can only send text.
fn parse<T: for<'de> Deserialize<'de>>(
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<T, impl FnOnce(&str) -> HttpResponse + use<T>> {
    let status = if super::whep::media_type(headers) != JSON {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    } else {
        match serde_json::from_slice(body) {
            Ok(read) => return Ok(read),
            Err(_) => StatusCode::BAD_REQUEST,
        }
    };
    // The response repeats neither the body nor the parser's message about it: it may contain a password.
    Err(move |expected: &str| problem(status, &format!("send {expected} with Content-Type: application/json")))
}

fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    let text = serde_json::to_vec(body).expect("names, roles and times should be printable as JSON");
    response(status, JSON, text.into())
}

fn set_cookie(mut response: HttpResponse, cookie: &str) -> HttpResponse {
    let value = HeaderValue::from_str(cookie).expect("a cookie in base64 should be a header value");
    response.headers_mut().append(header::SET_COOKIE, value);
    response
}

fn unauthorized(detail: &str) -> HttpResponse {
    let mut response = problem(StatusCode::UNAUTHORIZED, detail);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn tokens_disabled() -> HttpResponse {
    problem(StatusCode::NOT_FOUND, "tokens are disabled: the configuration has [auth] mode = \"none\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_carries_a_token() {
        for (value, expected) in [
            ("Bearer pht_abc", "pht_abc"),
            ("bearer  pht_abc ", "pht_abc"),
            ("Basic YTpi", ""),
            ("pht_abc", ""),
            ("", ""),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(bearer(&headers), Some(expected), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn errors_do_not_repeat_the_body() {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(JSON))]);
        for body in
            [r#"{"password":"secret""#, r#"{"passwort":"secret"}"#, r#"["secret"]"#, "secret", r#"{"password":1}"#]
        {
            let rejection = parse::<LoginRequest>(&headers, &Bytes::from(body)).err().unwrap()("x");
            assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
            assert!(!String::from_utf8_lossy(rejection.body()).contains("secret"), "{body}");
        }
        let rejection =
            parse::<LoginRequest>(&HeaderMap::new(), &Bytes::from(r#"{"password":"a"}"#)).err().unwrap()("x");
        assert_eq!(rejection.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(parse::<LoginRequest>(&headers, &Bytes::from(r#"{"link":"a"}"#)).is_ok());
    }
}
