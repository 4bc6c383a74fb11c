//! The head of a request, as warp's filters extract it, with what its path was decoded to.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::path::FullPath;

use super::connection_handle::ConnectionHandle;
use super::forwarded::Arrival;
use super::response::{ErrorResponse, problem};
use super::route::PathRoutes;

/// A request without its body.
pub struct RequestHead {
    /// How it arrived.
    pub arrival: Arrival,
    pub method: Method,
    /// The path, spelled as in the request.
    pub path: String,
    /// What is at the path, if anything.
    pub routes: Option<PathRoutes>,
    /// The query, spelled as in the request.
    pub query: Option<String>,
    /// The names and values in the query.
    pub parameters: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// The connection, for responses that last.
    pub connection: ConnectionHandle,
}

/// Extracts a request's head and decodes its route.
pub fn head() -> BoxedFilter<(RequestHead,)> {
    let query = warp::query::raw().map(Some).or(warp::any().map(|| None)).unify();
    warp::ext::get::<Arrival>()
        .and(warp::ext::get::<ConnectionHandle>())
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::query())
        .and(warp::header::headers_cloned())
        .map(|arrival, connection, method, path: FullPath, query, parameters: Vec<_>, headers| {
            // CONNECT names a host instead of a path.
            let known = if method == Method::CONNECT { None } else { PathRoutes::decode(path.as_str()) };
            let action = first(&parameters, "action").filter(|_| path.as_str() == "/");
            let routes = action.and_then(PathRoutes::of_action).or(known);
            RequestHead { arrival, method, path: path.as_str().into(), routes, query, parameters, headers, connection }
        })
        .boxed()
}

impl RequestHead {
    /// The token in the query, on routes where it may be there. It must not be logged.
    pub fn query_token(&self) -> Option<&str> {
        let allowed = self.routes.as_ref().is_some_and(PathRoutes::is_for_players);
        self.parameter("token").filter(|_| allowed)
    }

    /// Whether to ask for a user name and a password, which programs such as VLC and ffmpeg send only then. Browsers would ask
    /// their users, who sign in on the page instead.
    pub fn may_be_asked_for_a_password(&self) -> bool {
        let agent = self.headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
        let is_browser = agent.starts_with(b"Mozilla/") || self.headers.contains_key(header::ORIGIN);
        !is_browser && self.routes.as_ref().is_some_and(PathRoutes::is_for_players)
    }

    /// The first value of a name in the query. A route ignores other names: clients and proxies add their own, such as a
    /// number that keeps a response out of caches.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        first(&self.parameters, name)
    }

    /// A number in the query; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// The answer to a number that is out of range, or none. `unit` follows the range in it.
    pub fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        unit: &str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, ErrorResponse> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        match text.parse::<T>().ok().filter(|value| range.contains(value)) {
            Some(value) => Ok(Some(value)),
            None => {
                let detail = format!("{name}={text:?} is not {:.3} to {:.0}{unit}", range.start(), range.end());
                Err(problem(StatusCode::BAD_REQUEST, &detail).into())
            }
        }
    }
}

fn first<'p>(parameters: &'p [(String, String)], name: &str) -> Option<&'p str> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
