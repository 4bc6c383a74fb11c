//! Every path of the server, its methods, and who may use them: one table.
//!
//! A path that does not match the table byte for byte is answered with 404 before any route sees it. So no route can be
//! reached by another spelling of its path, under another rule or none.

use std::fmt::Write as _;

use super::assets;
use crate::server::auth::Role;

/// Who may use a method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Anybody with this role or a higher one.
    Role(Role),
}

/// A route.
#[derive(Debug)]
pub struct RouteSpec {
    /// Its path; `*` matches one segment of letters, digits, `-`, `_` and, except at its start, `.`.
    path: &'static str,
    /// Its methods besides OPTIONS, and HEAD where there is GET.
    methods: &'static [(&'static str, Access)],
}

const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);

/// All routes except the files of the page.
const ROUTES: &[RouteSpec] = &[
    RouteSpec { path: HEALTH, methods: &[("GET", Access::Public)] },
    RouteSpec {
        path: "/api/session",
        methods: &[("GET", Access::Public), ("POST", Access::Public), ("DELETE", Access::Public)],
    },
    RouteSpec { path: "/api/tokens", methods: &[("GET", OPERATOR), ("POST", OPERATOR)] },
    RouteSpec { path: "/api/tokens/*", methods: &[("DELETE", OPERATOR)] },
    RouteSpec { path: "/api/status", methods: &[("GET", VIEWER)] },
    // Each command has its own required role.
    RouteSpec { path: "/api/command", methods: &[("POST", VIEWER)] },
    RouteSpec { path: "/snapshot.jpg", methods: &[("GET", VIEWER)] },
    RouteSpec { path: "/metrics", methods: &[("GET", VIEWER)] },
    RouteSpec { path: "/whep", methods: ENDPOINT },
    RouteSpec { path: "/whep/*", methods: ENDPOINT },
    RouteSpec { path: "/whep/session/*", methods: &[("GET", VIEWER), ("PATCH", VIEWER), ("DELETE", VIEWER)] },
];

const HEALTH: &str = "/healthz";

const ENDPOINT: &[(&str, Access)] = &[("GET", VIEWER), ("POST", VIEWER)];

/// A file of the page.
static ASSET: RouteSpec = RouteSpec { path: "", methods: &[("GET", Access::Public)] };

/// Finds the route of a path, spelled exactly as in the request.
pub fn find(path: &str) -> Option<&'static RouteSpec> {
    if assets::has(path) {
        return Some(&ASSET);
    }
    ROUTES.iter().find(|route| route.matches(path))
}

impl RouteSpec {
    fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let all = self.path.split('/').all(|expected| {
            segments.next().is_some_and(|found| match expected {
                "*" => !found.is_empty() && !found.starts_with('.') && found.bytes().all(allowed),
                _ => found == expected,
            })
        });
        all && segments.next().is_none()
    }

    /// Who may use `method`; `None` if the route does not support it.
    pub fn access(&self, method: &str) -> Option<Access> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.methods.iter().find(|(known, _)| *known == method).map(|(_, access)| *access)
    }

    /// The value of the `Allow` header.
    pub fn allow(&self) -> String {
        let mut allow = String::from("OPTIONS");
        for (method, _) in self.methods {
            let head = if *method == "GET" { ", HEAD" } else { "" };
            let _ = write!(allow, ", {method}{head}");
        }
        allow
    }

    /// Whether pages of configured other origins may use it: what they need to watch, including the modules of the
    /// page.
    pub fn is_shared(&self) -> bool {
        self.is_signalling() || self.is_asset()
    }

    /// Whether it is part of WHEP.
    pub fn is_signalling(&self) -> bool {
        self.path.starts_with("/whep")
    }

    fn is_asset(&self) -> bool {
        self.path == ASSET.path
    }

    /// Whether it is a WHEP endpoint, which offers are posted to.
    pub fn is_endpoint(&self) -> bool {
        self.path == "/whep" || self.path == "/whep/*"
    }

    /// Whether it is the health check, which monitors call without knowing our host names or our certificate.
    pub fn is_health(&self) -> bool {
        self.path == HEALTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_origins_may_use_only_what_they_need_to_watch() {
        for path in ["/whep", "/whep/door", "/whep/session/0af", "/whep.js", "/control.js"] {
            assert!(find(path).is_some_and(RouteSpec::is_shared), "{path}");
        }
        for path in ["/healthz", "/api/session", "/api/tokens", "/api/status", "/metrics"] {
            assert!(find(path).is_some_and(|route| !route.is_shared()), "{path}");
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
            assert!(find(path).is_some(), "{path}");
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
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn each_method_has_its_role() {
        let access = |path: &str, method: &str| find(path).unwrap().access(method);
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
        assert_eq!(find("/whep").unwrap().allow(), "OPTIONS, GET, HEAD, POST");
    }
}
