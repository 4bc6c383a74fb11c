//! The headers that every answer gets on its way out: what a browser may not do with it.

use warp::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::origin::Origin;

/// What OPTIONS says of POST (draft-ietf-wish-whep, W3C Linked Data Platform).
pub const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What can be sent with PATCH (RFC 5789 section 3.1).
pub const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// What is no page loads nothing, and stands in no frame. The page says itself what it needs.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// What the page shows is here; it needs nothing of the device that shows it.
const PERMISSIONS: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";

/// What an answer's headers depend on.
pub struct ResponseHeaders {
    /// The page that the request came from.
    pub origin: Origin,
    /// Whether the answer could be another for another page.
    pub open: bool,
    /// Whether nobody on the way could read it.
    pub secure: bool,
}

impl ResponseHeaders {
    /// Adds the headers; what a route has said itself stays.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let mut default = |name: HeaderName, value: &'static str| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        default(header::CACHE_CONTROL, "no-store");
        default(header::CONTENT_SECURITY_POLICY, POLICY);
        default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        default(header::REFERRER_POLICY, "no-referrer");
        default(header::X_FRAME_OPTIONS, "SAMEORIGIN");
        default(HeaderName::from_static("permissions-policy"), PERMISSIONS);
        let other = matches!(self.origin, Origin::Configured(_));
        let readers = if other { "cross-origin" } else { "same-origin" };
        default(HeaderName::from_static("cross-origin-resource-policy"), readers);
        // Browsers heed it on encrypted pages only, and complain of it on others.
        if self.secure {
            default(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        }
        self.origin.allow(headers);
        if self.open {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}
