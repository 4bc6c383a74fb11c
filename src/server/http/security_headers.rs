//! Security headers of every response: what a browser may not do with it.

use warp::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::origin::Origin;

/// Media types for POST in the response to OPTIONS (draft-ietf-wish-whep, W3C Linked Data Platform).
pub const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// Media types for PATCH (RFC 5789 section 3.1).
pub const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Responses other than the page load nothing and may not be framed. The page has its own policy.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Of the capabilities of the device that displays it the page needs only microphone and camera, to talk; the browser asks for them.
const PERMISSIONS: &str = "camera=(self), display-capture=(), geolocation=(), microphone=(self), payment=(), usb=()";

/// What the headers of a response depend on.
pub struct ResponseHeaders {
    /// The page that the request came from.
    pub origin: Origin,
    /// Whether the response may differ between origins.
    pub open: bool,
    /// Whether the connection is encrypted all the way.
    pub secure: bool,
}

impl ResponseHeaders {
    /// Adds the headers; those that a route has set stay.
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
        // Browsers honour it on HTTPS only, and log an error otherwise.
        if self.secure {
            default(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        }
        self.origin.allow(headers);
        if self.open {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}
