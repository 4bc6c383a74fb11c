//! The files of `web/`, embedded in the binary, so that the page works without any other server.

use bytes::Bytes;
use warp::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::response::{HttpResponse, response};

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// Its path below `/`; index.html has the empty one.
    pub path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
    gzip: &'static [u8],
    /// The content's entity tag, a weak one: it is the same for both encodings.
    etag: &'static str,
    /// Whether other content would have another path.
    immutable: bool,
}

/// Every file of the page, listed by the build script.
const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page loads nothing from elsewhere and may not be framed by another site.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// The embedded file at a path.
pub fn find(path: &str) -> Option<&'static Asset> {
    let path = path.strip_prefix('/')?;
    ASSETS.iter().find(|asset| asset.path == path)
}

/// The response with an embedded file, as small as the request allows.
pub fn file(asset: &'static Asset, request: &HeaderMap) -> HttpResponse {
    let current = any(request, header::IF_NONE_MATCH, |tag| matches(tag, asset.etag));
    let compressed = !current && any(request, header::ACCEPT_ENCODING, accepts_gzip);
    let (status, content) = match (current, compressed) {
        (true, _) => (StatusCode::NOT_MODIFIED, &[][..]),
        (_, true) => (StatusCode::OK, asset.gzip),
        (_, false) => (StatusCode::OK, asset.content),
    };
    let mut response = response(status, asset.media_type, Bytes::from_static(content));
    let headers = response.headers_mut();
    if current {
        headers.remove(header::CONTENT_TYPE);
    }
    if compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // After an update of the device, browsers must not use the old page: they ask whether it is still the same.
    let caching = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    response
}

/// Whether a member of a header's list is what is looked for.
fn any(headers: &HeaderMap, name: HeaderName, wanted: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|member| wanted(member.trim()))
}

/// The weak comparison of RFC 9110 section 8.8.3.2. Our tags contain no commas.
fn matches(tag: &str, etag: &str) -> bool {
    tag == "*" || tag.trim_start_matches("W/") == etag.trim_start_matches("W/")
}

/// Whether a member of `Accept-Encoding` (RFC 9110 section 12.5.3) allows gzip.
fn accepts_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
    name.trim().eq_ignore_ascii_case("gzip") && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let asset = ASSETS.iter().find(|asset| asset.path == path).expect("an asset");
        std::str::from_utf8(asset.content).expect("UTF-8")
    }

    fn respond(path: &str, headers: &[(&str, &str)]) -> HttpResponse {
        let mut request = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            request.append(name, HeaderValue::from_str(value).expect("a header value"));
        }
        file(find(path).expect("an asset"), &request)
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let at = format!("{}/web/{folder}", env!("CARGO_MANIFEST_DIR"));
            for entry in std::fs::read_dir(at).expect("web/ should be readable").flatten() {
                let path = format!("{folder}{}", entry.file_name().into_string().expect("name"));
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(format!("{path}/"));
                } else if !path.starts_with("screenshots/") {
                    let path = if path == "index.html" { "/".to_owned() } else { format!("/{path}") };
                    assert!(find(&path).is_some(), "{path} is not served");
                }
            }
        }
        assert!(find("/screenshots/phone.png").is_none());
    }

    #[test]
    fn the_page_loads_a_few_files_that_never_change() {
        let page = text("");
        let loaded: Vec<&str> =
            page.split(['"']).filter(|word| word.ends_with(".js") || word.ends_with(".css")).collect();
        assert_eq!(loaded.len(), 3, "{loaded:?}");
        for path in loaded {
            let asset = find(&format!("/{path}")).expect("a file that the page loads");
            assert!(asset.immutable, "{path}");
            assert!(path.contains(asset.etag.trim_matches(['W', '/', '"'])), "{path} does not contain its hash");
        }
        let immutable = |asset: &&Asset| asset.immutable;
        assert_eq!(ASSETS.iter().filter(immutable).count(), 3);
        // The offer needs no more than the first script.
        assert!(page.find("bootstrap.") < page.find("viewer."));
        // 1 Mbit/s is 125 kB/s.
        let bytes: usize = ASSETS.iter().filter(immutable).map(|asset| asset.gzip.len()).sum();
        assert!(bytes < 70_000, "{bytes} bytes");
    }

    #[test]
    fn an_unchanged_file_is_not_sent_again() {
        let path = "/whep.js";
        let first = respond(path, &[]);
        assert_eq!(
            (first.status(), &first.headers()[header::CACHE_CONTROL]),
            (StatusCode::OK, &HeaderValue::from_static("no-cache"))
        );
        let etag = first.headers()[header::ETAG].to_str().expect("text").to_owned();
        for tags in [etag.as_str(), "*", &format!("\"x\", {etag}"), etag.trim_start_matches("W/")] {
            let second = respond(path, &[("if-none-match", tags), ("accept-encoding", "gzip")]);
            assert_eq!((second.status(), second.body().len()), (StatusCode::NOT_MODIFIED, 0), "{tags}");
            assert_eq!(second.headers()[header::ETAG], etag.as_str());
        }
        assert_eq!(respond(path, &[("if-none-match", "W/\"0\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn files_are_compressed_for_clients_that_accept_it() {
        let encoding = |accepted: &[(&str, &str)]| {
            let response = respond("/", accepted);
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
            (response.headers().get(header::CONTENT_ENCODING).is_some(), response.body().len())
        };
        let (plain, whole) = encoding(&[]);
        assert!(!plain);
        for accepted in ["gzip", "deflate, gzip;q=0.5, br", "br,GZIP"] {
            let (compressed, size) = encoding(&[("accept-encoding", accepted)]);
            assert!(compressed && size < whole / 2, "{accepted}: {size} of {whole} bytes");
        }
        for refused in ["", "br", "gzip;q=0", "gzip; q=0.000", "identity"] {
            assert_eq!(encoding(&[("accept-encoding", refused)]), (false, whole), "{refused}");
        }
    }
}
