//! Signing browsers in and out, and the tokens of programs.
//!
//! Credentials are checked in `auth`; which request needs which role is decided in `middleware`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Context;
use super::forwarded::Client;
use super::response::{ErrorResponse, HttpResponse, no_content, problem, response};
use crate::model::metrics::{SignIn, SignInOutcome};
use crate::server::auth::{AddError, Credential, Mode, Principal, Role, SignedIn, Token, basic};

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
struct LoginStatus {
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

/// The token of an `Authorization` header. One that has none yields an empty token, which is never valid.
pub fn token(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    Some(basic::secret(headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default()))
}

/// The `Cookie` header.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::COOKIE)?.to_str().ok()
}

/// Requires a role. The middleware has already checked it; this second check keeps handlers safe from a mistake in the
/// roles of routes.
pub fn require(principal: Option<Principal>, role: Role) -> Result<Principal, ErrorResponse> {
    match principal {
        Some(principal) if principal.role >= role => Ok(principal),
        Some(_) => Err(problem(StatusCode::FORBIDDEN, &format!("this requires the role {role}")).into()),
        None => Err(unauthorized("sign in first").into()),
    }
}

impl Context {
    /// Whether the sender of a request that has taken a while still has access: it may have been revoked since the head of
    /// the request was checked.
    pub(super) fn check_access(&self, principal: Option<&Principal>) -> Result<(), ErrorResponse> {
        match principal {
            Some(principal) if !self.0.auth.has_access(&principal.id) => {
                Err(unauthorized("your access was revoked; sign in again").into())
            }
            _ => Ok(()),
        }
    }

    /// As [`check_access`](Self::check_access), for the owner of a session that has just been made: access that was revoked
    /// before the session existed has ended no session.
    pub(super) fn check_session_access(&self, owner: &Principal) -> Result<(), ErrorResponse> {
        self.check_access(Some(owner)).inspect_err(|_| self.0.sessions.end_sessions_of(&owner.id))
    }

    /// `GET /api/session`.
    pub(super) fn login_status(&self, headers: &HeaderMap) -> HttpResponse {
        let principal = self.0.auth.identify(token(headers).as_deref(), cookie(headers));
        self.signed_in_as(principal.map(|principal| principal.role))
    }

    fn signed_in_as(&self, role: Option<Role>) -> HttpResponse {
        json(StatusCode::OK, &LoginStatus { role, mode: self.0.auth.mode() })
    }

    /// `DELETE /api/session`.
    pub(super) async fn sign_out(&self, headers: &HeaderMap, client: Client) -> HttpResponse {
        let cleared = self.0.auth.sign_out(cookie(headers), client.secure).await;
        cleared.iter().fold(self.signed_in_as(None), |response, cookie| set_cookie(response, cookie))
    }

    /// `POST /api/session`.
    pub(super) async fn sign_in(&self, headers: &HeaderMap, body: &Bytes, client: Client) -> HttpResponse {
        let credential = match parse(headers, body) {
            Ok(LoginRequest::Password(password)) => Credential::Password(password),
            Ok(LoginRequest::Link(link)) => Credential::Link(link),
            Err(rejection) => return rejection(r#"{ "password": "..." } or { "link": "..." }"#),
        };
        let signed_in = self.0.auth.sign_in(client.address, client.secure, credential).await;
        let outcome = match &signed_in {
            Ok(_) => SignInOutcome::Ok,
            Err(error) => error.outcome(),
        };
        self.0.metrics.sign_ins.get_or_create(&SignIn { outcome }).inc();
        match signed_in {
            Ok(SignedIn { role, cookie }) => {
                let response = self.signed_in_as(Some(role));
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

    /// `GET /api/tokens`.
    pub(super) fn tokens(&self) -> HttpResponse {
        match self.0.auth.tokens() {
            Some(tokens) => json(StatusCode::OK, &tokens.iter().map(TokenInfo::from).collect::<Vec<_>>()),
            None => tokens_disabled(),
        }
    }

    /// `POST /api/tokens`.
    pub(super) async fn add_token(&self, by: &Principal, headers: &HeaderMap, body: &Bytes) -> HttpResponse {
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

    /// `DELETE /api/tokens/{name}`.
    pub(super) async fn revoke_token(&self, by: &Principal, name: &str) -> HttpResponse {
        match self.0.auth.revoke_token(name).await {
            Some(Ok(true)) => {
                tracing::info!("the token {name} was revoked by {}", by.id);
                no_content()
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
    fn a_token_that_cannot_be_read_is_never_valid() {
        for (value, expected) in [("Bearer pht_abc", "pht_abc"), ("Bearer \u{e9}", "")] {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            assert_eq!(token(&headers).as_deref(), Some(expected));
        }
        assert_eq!(token(&HeaderMap::new()), None);
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
