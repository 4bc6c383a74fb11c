//! Which page a request comes from (`Origin`, RFC 6454; `Sec-Fetch-Site`, Fetch Metadata), and the CORS headers of the
//! response. Whether the request is allowed is decided in `middleware`.

use warp::http::uri::Authority;
use warp::http::{HeaderMap, HeaderValue, header};

/// The methods that pages of other origins may use.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, POST, PATCH, DELETE");

/// The request headers that they may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, If-Match");

/// The response headers that they may read.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("Location, ETag, Link, Accept-Patch, Retry-After, WWW-Authenticate");

/// How long a browser may cache a preflight response, in seconds: an hour saves it a request for each candidate, and
/// changes of the configuration still take effect soon enough.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// The page that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No page: a program, or a browser that navigates by itself.
    None,
    /// Our own page.
    Own,
    /// A configured origin that may use the signalling endpoint; the value for CORS headers.
    Configured(HeaderValue),
    /// Any other page.
    Foreign,
}

impl Origin {
    /// The origin of a request to `host`. `configured` are origins in lower case; `*` allows all.
    pub fn of(headers: &HeaderMap, host: Option<&Authority>, configured: &[String]) -> Self {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        // The browser compared the address that it knows with the page's; behind a proxy ours may differ.
        let (same, cross) = (site == Some(b"same-origin"), matches!(site, Some(b"same-site" | b"cross-site")));
        let Some(value) = headers.get(header::ORIGIN) else { return if cross { Self::Foreign } else { Self::None } };
        let one = headers.get_all(header::ORIGIN).iter().count() == 1;
        let Some(origin) = value.to_str().ok().filter(|_| one) else { return Self::Foreign };
        if same || (!cross && host.is_some_and(|host| is_of(origin, host))) {
            Self::Own
        } else if configured.iter().any(|known| known == "*") {
            Self::Configured(HeaderValue::from_static("*"))
        } else if configured.iter().any(|known| known.eq_ignore_ascii_case(origin)) {
            Self::Configured(value.clone())
        } else {
            Self::Foreign
        }
    }

    /// The origin of a request for an image. Browsers name none in it; they do in `Referer`, if the page lets them.
    pub fn of_image(headers: &HeaderMap, host: Option<&Authority>, configured: &[String]) -> Self {
        let origin = Self::of(headers, host, configured);
        if headers.contains_key(header::ORIGIN) || !matches!(origin, Self::None | Self::Foreign) {
            return origin;
        }
        let page = headers.get(header::REFERER).and_then(|referer| page_origin(referer.to_str().ok()?));
        let Some(page) = page.filter(|page| !host.is_some_and(|host| is_of(page, host))) else { return origin };
        let known = configured.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(&page));
        match HeaderValue::from_str(&page) {
            Ok(page) if known => Self::Configured(page),
            _ => origin,
        }
    }

    /// Adds the CORS headers that let a page of another origin read the response.
    pub fn allow(&self, headers: &mut HeaderMap) {
        if let Self::Configured(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }

    /// Adds the CORS headers of a preflight response.
    pub fn allow_preflight(&self, headers: &mut HeaderMap) {
        if matches!(self, Self::Configured(_)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}

/// The origin of a page's URL.
fn page_origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (!authority.is_empty() && !authority.contains('@')).then(|| format!("{scheme}://{authority}"))
}

/// Whether `origin` is that of pages on `host`. The scheme is not compared, because a proxy may terminate TLS.
fn is_of(origin: &str, host: &Authority) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Ok(origin) = authority.parse::<Authority>() else { return false };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = origin.port_u16().unwrap_or(usual);
    let same_port = host.port_u16().map_or(port == usual, |asked| asked == port);
    same_port && origin.host().eq_ignore_ascii_case(host.host()) && !authority.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The origin of a request to `host` with these headers.
    fn of(host: &str, headers: &[(&'static str, &str)], configured: &[&str]) -> Origin {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
        Origin::of(&map, Some(&host.parse().unwrap()), &configured)
    }

    #[test]
    fn own_page_is_recognised_by_address_or_by_sec_fetch_site() {
        for (host, origin) in [
            ("cam:8080", "http://cam:8080"),
            ("Cam:8080", "http://cam:8080"),
            ("cam", "http://cam"),
            ("cam", "https://cam"),
            ("cam:443", "https://cam"),
            ("cam", "https://cam:443"),
            ("[fd00::1]:8080", "http://[fd00::1]:8080"),
        ] {
            assert_eq!(of(host, &[("origin", origin)], &[]), Origin::Own, "{host} {origin}");
        }
        // A proxy that reaches us by another address.
        let headers = [("origin", "https://cam.example.org"), ("sec-fetch-site", "same-origin")];
        assert_eq!(of("127.0.0.1:8080", &headers, &[]), Origin::Own);
    }

    #[test]
    fn other_pages_are_foreign() {
        for (host, origin) in [
            ("cam:8080", "http://cam"),
            ("cam:8080", "http://cam:8081"),
            ("cam", "http://cam:8080"),
            ("cam", "http://cam:443"),
            ("cam", "http://cam.evil.example"),
            ("cam", "http://x@cam"),
            ("cam", "ftp://cam"),
            ("cam", "cam"),
            ("cam", "null"),
            ("cam", ""),
        ] {
            assert_eq!(of(host, &[("origin", origin)], &[]), Origin::Foreign, "{host} {origin}");
        }
        for site in ["same-site", "cross-site"] {
            assert_eq!(of("cam", &[("sec-fetch-site", site)], &[]), Origin::Foreign);
            assert_eq!(of("cam", &[("origin", "http://cam"), ("sec-fetch-site", site)], &[]), Origin::Foreign);
        }
        assert_eq!(of("cam", &[("origin", "http://cam"), ("origin", "http://evil")], &[]), Origin::Foreign);
    }

    #[test]
    fn programs_and_navigations_have_no_origin() {
        assert_eq!(of("cam", &[], &["*"]), Origin::None);
        assert_eq!(of("cam", &[("sec-fetch-site", "none")], &[]), Origin::None);
    }

    #[test]
    fn page_of_an_image_is_known_by_its_referer() {
        let of_image = |headers: &[(&'static str, &str)], configured: &[&str]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_str(value).unwrap());
            }
            let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
            Origin::of_image(&map, Some(&"cam:8080".parse().unwrap()), &configured)
        };
        let printer = Origin::Configured(HeaderValue::from_static("http://printer"));
        let page = ("referer", "http://printer/webcam?x#y");
        for headers in
            [&[page][..], &[page, ("sec-fetch-site", "same-site")], &[page, ("sec-fetch-site", "cross-site")]]
        {
            assert_eq!(of_image(headers, &["http://printer"]), printer, "{headers:?}");
            assert_eq!(of_image(headers, &["*"]), printer, "{headers:?}");
        }
        assert_eq!(of_image(&[page], &[]), Origin::None);
        assert_eq!(of_image(&[page], &["http://printer:81"]), Origin::None);
        assert_eq!(of_image(&[page, ("sec-fetch-site", "cross-site")], &["http://other"]), Origin::Foreign);
        // Our own page, and what cannot be a page.
        assert_eq!(of_image(&[("referer", "http://cam:8080/")], &["*"]), Origin::None);
        for referer in ["", "printer", "http://", "http://x@printer/", "/webcam"] {
            assert_eq!(of_image(&[("referer", referer)], &["*"]), Origin::None, "{referer}");
        }
        // An origin that is named counts more.
        let both = [page, ("origin", "http://evil")];
        assert_eq!(of_image(&both, &["http://printer"]), Origin::Foreign);
    }

    #[test]
    fn configured_origins_get_cors_headers() {
        let page = "https://example.org";
        let origin = of("cam", &[("origin", page), ("sec-fetch-site", "cross-site")], &[page]);
        assert_eq!(origin, Origin::Configured(HeaderValue::from_static("https://example.org")));
        let mut headers = HeaderMap::new();
        origin.allow(&mut headers);
        origin.allow_preflight(&mut headers);
        assert_eq!(headers["access-control-allow-origin"], page);
        assert_eq!(headers["access-control-allow-methods"], ALLOWED_METHODS);
        assert!(headers.get("access-control-allow-credentials").is_none());
        assert_eq!(of("cam", &[("origin", "http://a")], &["*"]), Origin::Configured(HeaderValue::from_static("*")));
        assert_eq!(of("cam", &[("origin", "https://example.org:444")], &[page]), Origin::Foreign);
        let mut headers = HeaderMap::new();
        Origin::Foreign.allow(&mut headers);
        assert!(headers.is_empty());
    }
}
