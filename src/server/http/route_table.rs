//! Every route of the server: its path, its methods, and who may use them.
//!
//! A path is decoded here once. One that does not match byte for byte is answered with 404, so that no route can be
//! reached by another spelling of its path, under another rule or none.

use std::fmt::Write as _;

use super::assets;
use super::assets::Asset;
use crate::server::auth::Role;

/// Who may use a method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Anybody with this role or a higher one.
    Role(Role),
}

/// A route of the server, with what its path names.
#[derive(Debug, Clone)]
pub enum Route {
    /// A file of the page.
    Asset(&'static Asset),
    /// `/healthz`.
    Health,
    /// `/api/session`: who is signed in.
    Login,
    /// `/api/tokens`.
    Tokens,
    /// `/api/tokens/{name}`.
    Token(String),
    /// `/api/status`.
    Status,
    /// `/api/command`.
    Command,
    /// `/snapshot.jpg`.
    Snapshot,
    /// `/metrics`.
    Metrics,
    /// `/whep`, or `/whep/{camera}` with the camera's name.
    Endpoint(Option<String>),
    /// `/whep/session/{id}`.
    Session(String),
}

const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);

impl Route {
    /// Finds the route of a path, spelled exactly as in the request.
    pub fn find(path: &str) -> Option<Self> {
        if let Some(asset) = assets::find(path) {
            return Some(Self::Asset(asset));
        }
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let route = match segments[..] {
            ["healthz"] => Self::Health,
            ["api", "session"] => Self::Login,
            ["api", "tokens"] => Self::Tokens,
            ["api", "tokens", name] => Self::Token(parameter(name)?),
            ["api", "status"] => Self::Status,
            ["api", "command"] => Self::Command,
            ["snapshot.jpg"] => Self::Snapshot,
            ["metrics"] => Self::Metrics,
            ["whep"] => Self::Endpoint(None),
            ["whep", camera] => Self::Endpoint(Some(parameter(camera)?)),
            ["whep", "session", id] => Self::Session(parameter(id)?),
            _ => return None,
        };
        Some(route)
    }

    /// Its methods besides OPTIONS, and HEAD where there is GET.
    fn methods(&self) -> &'static [(&'static str, Access)] {
        match self {
            Self::Asset(_) | Self::Health => &[("GET", Access::Public)],
            Self::Login => &[("GET", Access::Public), ("POST", Access::Public), ("DELETE", Access::Public)],
            Self::Tokens => &[("GET", OPERATOR), ("POST", OPERATOR)],
            Self::Token(_) => &[("DELETE", OPERATOR)],
            Self::Status | Self::Snapshot | Self::Metrics => &[("GET", VIEWER)],
            // Each command has its own required role.
            Self::Command => &[("POST", VIEWER)],
            Self::Endpoint(_) => &[("GET", VIEWER), ("POST", VIEWER)],
            Self::Session(_) => &[("GET", VIEWER), ("PATCH", VIEWER), ("DELETE", VIEWER)],
        }
    }

    /// Who may use `method`; `None` if the route does not support it.
    pub fn access(&self, method: &str) -> Option<Access> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.methods().iter().find(|(known, _)| *known == method).map(|(_, access)| *access)
    }

    /// The value of the `Allow` header.
    pub fn allow(&self) -> String {
        let mut allow = String::from("OPTIONS");
        for (method, _) in self.methods() {
            let head = if *method == "GET" { ", HEAD" } else { "" };
            let _ = write!(allow, ", {method}{head}");
        }
        allow
    }

    /// Whether pages of configured other origins may use it: what they need to watch, including the modules of the page.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Asset(_) | Self::Endpoint(_) | Self::Session(_))
    }

    /// Whether it is the health check, which monitors call without knowing our host names or our certificate.
    pub fn is_health(&self) -> bool {
        matches!(self, Self::Health)
    }
}

/// A name in a path: letters, digits, `-`, `_` and, except at its start, `.`.
fn parameter(segment: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let valid = !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(allowed);
    valid.then(|| segment.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_origins_may_use_only_what_they_need_to_watch() {
        for path in ["/whep", "/whep/door", "/whep/session/0af", "/whep.js", "/control.js"] {
            assert!(Route::find(path).is_some_and(|route| route.is_shared()), "{path}");
        }
        for path in ["/healthz", "/api/session", "/api/tokens", "/api/status", "/metrics"] {
            assert!(Route::find(path).is_some_and(|route| !route.is_shared()), "{path}");
        }
    }

    #[test]
    fn paths_match_byte_for_byte() {
        for path in [
            "/",
            "/viewer.js",
            "/healthz",
            "/whep",
            "/whep/front_door-2",
            "/whep/session/0af",
            "/api/tokens/door.1",
            "/api/status",
        ] {
            assert!(Route::find(path).is_some(), "{path}");
        }
        for path in [
            "",
            "*",
            "//",
            "/.",
            "/..",
            "/./",
            "//whep",
            "/whep/",
            "/whep//",
            "/whep/./session",
            "/whep/..",
            "/whep/%61",
            "/whep/session/",
            "/whep/session/a/b",
            "/WHEP",
            "/api",
            "/api/",
            "/api/status/",
            "/api//status",
            "/api/./status",
            "/api%2fstatus",
            "/api/%73tatus",
            "/%61pi/status",
            "/api/tokens/",
            "/api/tokens/a/b",
            "/api/tokens/..",
            "/api/tokens/.a",
            "/x/../api/status",
            "/viewer.js/",
            "//viewer.js",
            "/viewer%2ejs",
            "/metrics/",
            "/metrics;x",
            "/index.html",
        ] {
            assert!(Route::find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn each_method_has_its_role() {
        let access = |path: &str, method: &str| Route::find(path).unwrap().access(method);
        assert_eq!(access("/", "HEAD"), Some(Access::Public));
        assert_eq!(access("/", "POST"), None);
        assert_eq!(access("/healthz", "GET"), Some(Access::Public));
        assert_eq!(access("/api/status", "GET"), Some(VIEWER));
        assert_eq!(access("/metrics", "HEAD"), Some(VIEWER));
        assert_eq!(access("/whep/front", "POST"), Some(VIEWER));
        assert_eq!(access("/whep/session/1", "PATCH"), Some(VIEWER));
        assert_eq!(access("/whep/session/1", "POST"), None);
        assert_eq!(access("/api/tokens", "POST"), Some(OPERATOR));
        assert_eq!(access("/api/tokens/door", "DELETE"), Some(OPERATOR));
        assert_eq!(Route::find("/whep").unwrap().allow(), "OPTIONS, GET, HEAD, POST");
    }
}
