//! Checks every request before it is handled: rate limit, `Host`, `Origin`, authentication and role.
//!
//! Paths and required roles are in `route`, headers added to every response in `security_headers`. Requests are
//! handled in `router`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::forwarded;
use super::forwarded::Client;
use super::origin::Origin;
use super::request::RequestHead;
use super::response::{ErrorResponse, HttpResponse, no_content, problem, retryable_problem, text};
use super::route::{Access, PathRoutes, Route};
use super::security_headers;
use super::security_headers::ResponseHeaders;
use super::{Config, Tls, hostnames, login, whep};
use crate::model::metrics::{Metrics, RejectReason};
use crate::server::auth::{Auth, Principal, Role};
use crate::server::rtc::Advertised;
use crate::util::address_rate::AddressRateLimit;
use crate::util::lock::{Mutex, RwLock};
use crate::util::token_bucket::Rate;

/// Rate limit of requests per address: burst, and then per second. A page load takes about 20, so 20 browsers behind
/// one router can load it at the same moment; a hundred a second cost a slow device a twentieth of one core.
const REQUEST_RATE: Rate = Rate::new(400, 100);

/// Rate limit of offers per address: burst, and then per second. Each costs a slow device about 20 ms for keys and
/// sockets. As many viewers behind one router may lose their connection at once and reconnect; after that, whoever
/// keeps asking uses at most a fifth of one core.
const OFFER_RATE: Rate = Rate::new(100, 10);

/// The challenge of Basic authentication (RFC 7617 section 2).
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"porthole\", charset=\"UTF-8\"");

/// Decides which requests are allowed.
pub struct Middleware {
    settings: RwLock<Arc<Settings>>,
    /// Whether HTTPS is enabled.
    encrypted: bool,
    requests: Mutex<AddressRateLimit>,
    offers: Mutex<AddressRateLimit>,
    auth: Auth,
    metrics: Metrics,
}

/// Settings that can change at runtime.
struct Settings {
    /// Accepted host names, in lower case.
    hosts: HashSet<String>,
    origins: Vec<String>,
    trusted: Vec<IpNet>,
    /// Whether HTTP is redirected to HTTPS.
    redirect: bool,
}

impl Settings {
    fn new(config: &Config, advertised: &[Advertised]) -> Arc<Self> {
        let known = config.hosts.iter().chain(advertised.iter().map(|advertised| &advertised.host));
        Arc::new(Self {
            hosts: hostnames::local_hostnames()
                .into_iter()
                .chain(known.map(|name| name.to_ascii_lowercase()))
                .collect(),
            origins: config.origins.clone(),
            trusted: config.trusted_proxies.clone(),
            redirect: config.redirect,
        })
    }
}

impl Middleware {
    /// Middleware for this configuration. The names in `advertised` are accepted as host names as well.
    pub fn new(config: &Config, advertised: &[Advertised], auth: Auth, metrics: Metrics) -> Self {
        let limit = |rate| Mutex::new(AddressRateLimit::new(rate));
        Self {
            settings: RwLock::new(Settings::new(config, advertised)),
            encrypted: config.tls != Tls::Off,
            requests: limit(REQUEST_RATE),
            offers: limit(OFFER_RATE),
            auth,
            metrics,
        }
    }

    /// Applies another configuration from the next request on. TLS stays as it is.
    pub fn reconfigure(&self, config: &Config, advertised: &[Advertised]) {
        *self.settings.write() = Settings::new(config, advertised);
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().clone()
    }

    /// Checks a request. Returns the error response if it is rejected. Either way the response headers have to be
    /// applied to the response.
    pub fn check(&self, request: &RequestHead) -> (ResponseHeaders, Result<AllowedRequest, ErrorResponse>) {
        let settings = self.settings();
        let (client, host) = forwarded::of(&request.arrival, &request.headers, &settings.trusted);
        // Pages of other origins may use the signalling endpoint and the page's own files, and nothing else.
        let shared = request.routes.as_ref().is_some_and(PathRoutes::is_shared);
        let origins: &[String] = if shared { &settings.origins } else { &[] };
        let image = request.routes.as_ref().is_some_and(PathRoutes::is_image);
        let origin_of = if image { Origin::of_image } else { Origin::of };
        let origin = origin_of(&request.headers, host.as_ref(), origins);
        let response_headers =
            ResponseHeaders { origin: origin.clone(), open: !origins.is_empty(), secure: client.secure };
        let sender = Sender { client, host, origin };
        (response_headers, self.authorize_request(&settings, &sender, request))
    }

    fn authorize_request(
        &self,
        settings: &Settings,
        sender: &Sender,
        request: &RequestHead,
    ) -> Result<AllowedRequest, ErrorResponse> {
        let Sender { client, host, origin } = sender;
        self.check_rate(&self.requests, client.address)?;
        if !request.routes.as_ref().is_some_and(PathRoutes::is_health) {
            let host = self.check_host(settings, host.as_ref())?;
            if settings.redirect && self.encrypted && !client.secure {
                return Err(redirect_to_https(host, request).into());
            }
        }
        let Some(routes) = &request.routes else {
            let detail = "nothing at this path; the page is at /, signalling at /whep";
            return Err(problem(StatusCode::NOT_FOUND, detail).into());
        };
        if request.method == Method::OPTIONS {
            return Err(options_response(routes, origin).into());
        }
        let Some(route) = routes.of(&request.method) else {
            return Err(method_not_allowed(routes, &request.method).into());
        };
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if !reads && *origin == Origin::Foreign {
            self.count_rejection(RejectReason::Origin);
            let detail = "pages of other sites may not do this; list its origin in [http] origins to let it watch, and \
                          behind a proxy pass on the Host that the browser asked for";
            return Err(problem(StatusCode::FORBIDDEN, detail).into());
        }
        let principal = self.identify(origin, request);
        if let Access::Role(role) = route.access() {
            self.authorize(principal.as_ref(), role, request)?;
        }
        if route.is_offer() {
            self.check_rate(&self.offers, client.address)?;
        }
        Ok(AllowedRequest { route: route.clone(), client: *client, principal })
    }

    fn check_rate(&self, limit: &Mutex<AddressRateLimit>, address: IpAddr) -> Result<(), ErrorResponse> {
        limit.lock().try_acquire(address, Instant::now()).map_err(|wait| {
            self.count_rejection(RejectReason::Rate);
            let seconds = seconds(wait);
            let detail = format!("too many requests from {address}; try again in {seconds} s");
            retryable_problem(StatusCode::TOO_MANY_REQUESTS, seconds, &detail).into()
        })
    }

    /// Accepts only our own host names: another name that resolves to this device may belong to an attacker's page (DNS
    /// rebinding).
    fn check_host<'h>(&self, settings: &Settings, host: Option<&'h Authority>) -> Result<&'h Authority, ErrorResponse> {
        let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
            self.count_rejection(RejectReason::Host);
            return Err(problem(StatusCode::BAD_REQUEST, "the request has no Host, or more than one").into());
        };
        let name = host.host().trim_end_matches('.').to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        if bare.parse::<IpAddr>().is_ok() || settings.hosts.contains(&name) {
            return Ok(host);
        }
        self.count_rejection(RejectReason::Host);
        let detail = format!("{name:?} is not a host name of this device; to accept it, add it to [http] hosts");
        Err(problem(StatusCode::MISDIRECTED_REQUEST, &detail).into())
    }

    /// Cookies are accepted from our own page only; pages of other origins have to send a token. Where programs can set no
    /// header, the token may be in the query.
    fn identify(&self, origin: &Origin, request: &RequestHead) -> Option<Principal> {
        let own = matches!(origin, Origin::None | Origin::Own);
        let headers = &request.headers;
        let token = login::token(headers).or_else(|| request.query_token().map(Cow::from));
        self.auth.identify(token.as_deref(), login::cookie(headers).filter(|_| own))
    }

    /// Who asks for the STUN and TURN servers, if known.
    pub fn principal(&self, request: &RequestHead) -> Option<Principal> {
        let settings = self.settings();
        let (_, host) = forwarded::of(&request.arrival, &request.headers, &settings.trusted);
        self.identify(&Origin::of(&request.headers, host.as_ref(), &settings.origins), request)
    }

    fn authorize(&self, principal: Option<&Principal>, role: Role, request: &RequestHead) -> Result<(), ErrorResponse> {
        match principal {
            Some(principal) if principal.role >= role => Ok(()),
            Some(principal) => {
                self.count_rejection(RejectReason::Role);
                let detail = format!("this requires the role {role}; you are signed in as {}", principal.role);
                Err(problem(StatusCode::FORBIDDEN, &detail).into())
            }
            None => {
                self.count_rejection(RejectReason::Nobody);
                let detail = "sign in on the page, or send a token as Authorization: Bearer";
                let mut response = problem(StatusCode::UNAUTHORIZED, detail);
                let headers = response.headers_mut();
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                if request.may_be_asked_for_a_password() {
                    headers.append(header::WWW_AUTHENTICATE, BASIC);
                }
                Err(response.into())
            }
        }
    }

    /// Counts a rejected request or connection.
    pub fn count_rejection(&self, reason: RejectReason) {
        self.metrics.count_rejected(reason);
    }
}

/// A request that passed all checks, and who sent it.
pub struct AllowedRequest {
    /// The route of its path and method.
    pub route: Route,
    /// The client that sent it.
    pub client: Client,
    /// The principal that sent it, if known.
    pub principal: Option<Principal>,
}

/// Where a request comes from, and the host that it names.
struct Sender {
    client: Client,
    host: Option<Authority>,
    origin: Origin,
}

/// Redirects to HTTPS on the same port.
fn redirect_to_https(host: &Authority, request: &RequestHead) -> HttpResponse {
    let query = request.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
    let mut response = text(StatusCode::PERMANENT_REDIRECT, "this page is served over https only\n");
    set(response.headers_mut(), header::LOCATION, &format!("https://{host}{}{query}", request.path));
    response
}

/// The response to `OPTIONS`, including CORS preflight requests.
fn options_response(routes: &PathRoutes, origin: &Origin) -> HttpResponse {
    let mut response = no_content();
    let headers = response.headers_mut();
    set(headers, header::ALLOW, &routes.allow());
    if routes.takes_offers() {
        headers.insert(security_headers::ACCEPT_POST, HeaderValue::from_static(whep::SDP));
    } else if routes.takes_candidates() {
        headers.insert(security_headers::ACCEPT_PATCH, HeaderValue::from_static(whep::FRAGMENT));
    }
    origin.allow_preflight(headers);
    response
}

fn method_not_allowed(routes: &PathRoutes, method: &Method) -> HttpResponse {
    let allow = routes.allow();
    let detail = format!("this path supports {allow}, not {method}");
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, &detail);
    set(response.headers_mut(), header::ALLOW, &allow);
    response
}

/// In whole seconds, for `Retry-After`.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().max(1.0) as u64
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("methods, hosts and paths of a request should be header values");
    headers.insert(name, value);
}
