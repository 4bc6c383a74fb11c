//! The files of `web/`, embedded in the binary, so that the page works without any other server.

use bytes::Bytes;
use warp::http::{HeaderValue, StatusCode, header};

use super::response::{HttpResponse, response};

/// A file: its path below `/`, its media type and its content.
pub type Asset = (&'static str, &'static str, &'static [u8]);

/// Every file of the page, listed by the build script; index.html has the empty path.
const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page loads nothing from elsewhere and may not be framed by another site.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// The embedded file at a path.
pub fn find(path: &str) -> Option<&'static Asset> {
    let path = path.strip_prefix('/')?;
    ASSETS.iter().find(|asset| asset.0 == path)
}

/// The response with an embedded file.
pub fn file((_, media_type, content): &'static Asset) -> HttpResponse {
    let mut response = response(StatusCode::OK, media_type, Bytes::from_static(content));
    let headers = response.headers_mut();
    // After an update of the device, browsers must not use the old page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let (.., content) = ASSETS.iter().find(|asset| asset.0 == path).expect("an asset");
        std::str::from_utf8(content).expect("UTF-8")
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
    fn the_page_preloads_every_module_once_and_those_for_the_offer_first() {
        let page = text("");
        let place = |module: &str| {
            let link = format!("<link rel=\"modulepreload\" href=\"{module}\">");
            assert!(page.matches(&link).count() <= 1, "{module} is preloaded twice");
            page.find(&link)
        };
        for (module, ..) in ASSETS.iter().filter(|asset| asset.0.ends_with(".js")) {
            let script = page.contains(&format!("<script type=\"module\" src=\"{module}\">"));
            assert_eq!(place(module).is_some(), !script, "{module}");
        }
        assert!(place("whep.js") < place("elements.js"));
    }
}
