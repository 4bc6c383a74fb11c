//! What every request passes before the routes are asked, and what every answer gets on its way out.
//!
//! The addresses and their rules are in `rules`, whose page a request comes from is found out in `origin`. What a request
//! asks for is the routes' business.

use warp::http::request::Parts;
use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Config;
use super::answer::{Answer, Early, no_content, problem};
use super::origin::Origin;
use super::rules::{self, Rule};
use super::whep;

/// Decides which requests are let in.
pub struct Gate {
    origins: Vec<String>,
}

/// What is known of a request once it stands in the gate; the answer is dressed by it.
pub struct Visit {
    rule: Option<&'static Rule>,
    origin: Origin,
    /// Whether pages of other origins may use anything at all.
    open: bool,
}

impl Gate {
    /// A gate as the configuration wants it.
    pub fn new(config: &Config) -> Self {
        Self { origins: config.origins.clone() }
    }

    /// Looks at a request, and answers it when it is not to be let in.
    pub fn admit(&self, request: &Parts) -> (Visit, Result<(), Early>) {
        let rule = rules::find(request.uri.path());
        let origins: &[String] = if rule.is_some_and(Rule::is_signalling) { &self.origins } else { &[] };
        let origin = Origin::of(&request.headers, host(request).as_ref(), origins);
        let visit = Visit { rule, origin, open: !origins.is_empty() };
        let admitted = visit.judge(request);
        (visit, admitted)
    }
}

impl Visit {
    fn judge(&self, request: &Parts) -> Result<(), Early> {
        let Some(rule) = self.rule else {
            let detail = "there is nothing at this address; the page is at /, signalling at /whep";
            return Err(problem(StatusCode::NOT_FOUND, detail).into());
        };
        if request.method == Method::OPTIONS {
            return Err(self.options(rule).into());
        }
        let Some(_access) = rule.access(request.method.as_str()) else {
            let allow = rule.allow();
            let mut response =
                problem(StatusCode::METHOD_NOT_ALLOWED, &format!("this address knows {allow}, not {}", request.method));
            set(response.headers_mut(), header::ALLOW, &allow);
            return Err(response.into());
        };
        if !matches!(request.method, Method::GET | Method::HEAD) && self.origin == Origin::Foreign {
            let detail = "another site's page may not do this; list its origin in [http] origins to let it watch, and behind a \
                          proxy pass on the Host that the browser asked for";
            return Err(problem(StatusCode::FORBIDDEN, detail).into());
        }
        Ok(())
    }

    /// What can be done here; asked by browsers before a page of another origin may do it.
    fn options(&self, rule: &Rule) -> Answer {
        let mut response = no_content();
        let headers = response.headers_mut();
        set(headers, header::ALLOW, &rule.allow());
        if rule.is_endpoint() {
            headers.insert("accept-post", HeaderValue::from_static(whep::SDP));
        } else if rule.is_signalling() {
            headers.insert("accept-patch", HeaderValue::from_static(whep::FRAGMENT));
        }
        self.origin.allow_requests(headers);
        response
    }

    /// Adds the headers that every answer has.
    pub fn dress(&self, headers: &mut HeaderMap) {
        self.origin.allow(headers);
        if self.open {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// The host that a request asks for: that of an absolute address, which comes first, or of the header `Host`.
fn host(request: &Parts) -> Option<Authority> {
    let mut named = request.headers.get_all(header::HOST).iter();
    let header = named.next().map(|value| value.to_str().ok()?.parse().ok());
    match (request.uri.authority(), header, named.next()) {
        (Some(authority), ..) => Some(authority.clone()),
        (None, Some(host), None) => host,
        _ => None,
    }
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    headers.insert(name, HeaderValue::from_str(value).expect("method names should be a header value"));
}
