//! The files of `web/`, embedded in the binary, so that the page works where there is nothing but the board.

use bytes::Bytes;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::http::{HeaderValue, StatusCode, header};

use super::read;
use super::response::{HttpResponse, answer};

/// A file: its path below `/`, its media type and its content.
type Asset = (&'static str, &'static str, &'static [u8]);

macro_rules! assets {
    ($($path:literal: $media_type:literal from $file:literal),* $(,)?) => {
        &[$(($path, $media_type, include_bytes!(concat!("../../../web/", $file)).as_slice())),*]
    };
}

/// Every file of the page.
const ASSETS: &[Asset] = assets![
    "": "text/html; charset=utf-8" from "index.html",
    "icon.svg": "image/svg+xml" from "icon.svg",
    "controls.css": "text/css; charset=utf-8" from "controls.css",
    "notice.css": "text/css; charset=utf-8" from "notice.css",
    "panel.css": "text/css; charset=utf-8" from "panel.css",
    "panes.css": "text/css; charset=utf-8" from "panes.css",
    "viewer.css": "text/css; charset=utf-8" from "viewer.css",
    "access.js": "text/javascript; charset=utf-8" from "access.js",
    "clock.js": "text/javascript; charset=utf-8" from "clock.js",
    "connection.js": "text/javascript; charset=utf-8" from "connection.js",
    "control.js": "text/javascript; charset=utf-8" from "control.js",
    "diagnosis.js": "text/javascript; charset=utf-8" from "diagnosis.js",
    "dials.js": "text/javascript; charset=utf-8" from "dials.js",
    "elements.js": "text/javascript; charset=utf-8" from "elements.js",
    "figures.js": "text/javascript; charset=utf-8" from "figures.js",
    "history.js": "text/javascript; charset=utf-8" from "history.js",
    "join.js": "text/javascript; charset=utf-8" from "join.js",
    "language.js": "text/javascript; charset=utf-8" from "language.js",
    "latency.js": "text/javascript; charset=utf-8" from "latency.js",
    "links.js": "text/javascript; charset=utf-8" from "links.js",
    "measuring.js": "text/javascript; charset=utf-8" from "measuring.js",
    "notice.js": "text/javascript; charset=utf-8" from "notice.js",
    "panel.js": "text/javascript; charset=utf-8" from "panel.js",
    "paths.js": "text/javascript; charset=utf-8" from "paths.js",
    "people.js": "text/javascript; charset=utf-8" from "people.js",
    "player.js": "text/javascript; charset=utf-8" from "player.js",
    "quality.js": "text/javascript; charset=utf-8" from "quality.js",
    "quiet.js": "text/javascript; charset=utf-8" from "quiet.js",
    "receive.js": "text/javascript; charset=utf-8" from "receive.js",
    "recorder.js": "text/javascript; charset=utf-8" from "recorder.js",
    "save.js": "text/javascript; charset=utf-8" from "save.js",
    "screen.js": "text/javascript; charset=utf-8" from "screen.js",
    "sdp.js": "text/javascript; charset=utf-8" from "sdp.js",
    "settings.js": "text/javascript; charset=utf-8" from "settings.js",
    "shortcuts.js": "text/javascript; charset=utf-8" from "shortcuts.js",
    "sign-in.js": "text/javascript; charset=utf-8" from "sign-in.js",
    "signalling.js": "text/javascript; charset=utf-8" from "signalling.js",
    "source.js": "text/javascript; charset=utf-8" from "source.js",
    "stage.js": "text/javascript; charset=utf-8" from "stage.js",
    "stats.js": "text/javascript; charset=utf-8" from "stats.js",
    "status.js": "text/javascript; charset=utf-8" from "status.js",
    "takes.js": "text/javascript; charset=utf-8" from "takes.js",
    "text-en.js": "text/javascript; charset=utf-8" from "text-en.js",
    "text-ko.js": "text/javascript; charset=utf-8" from "text-ko.js",
    "toasts.js": "text/javascript; charset=utf-8" from "toasts.js",
    "toolbar.js": "text/javascript; charset=utf-8" from "toolbar.js",
    "trickle.js": "text/javascript; charset=utf-8" from "trickle.js",
    "viewer.js": "text/javascript; charset=utf-8" from "viewer.js",
    "viewing.js": "text/javascript; charset=utf-8" from "viewing.js",
    "whep.js": "text/javascript; charset=utf-8" from "whep.js",
    "words.js": "text/javascript; charset=utf-8" from "words.js",
    "zoom.js": "text/javascript; charset=utf-8" from "zoom.js",
];

/// The page loads nothing from elsewhere and may not be framed by another site.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// Whether a path is that of a file.
pub fn has(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|path| ASSETS.iter().any(|asset| asset.0 == path))
}

/// The page and its files.
pub fn routes() -> BoxedFilter<(HttpResponse,)> {
    let mut routes: Option<BoxedFilter<(HttpResponse,)>> = None;
    for asset in ASSETS {
        let (path, ..) = *asset;
        let at = if path.is_empty() { warp::any().boxed() } else { warp::path(path).boxed() };
        let route = at.and(warp::path::end()).and(read()).map(|| file(asset)).boxed();
        routes = Some(match routes {
            Some(routes) => routes.or(route).unify().boxed(),
            None => route,
        });
    }
    routes.expect("the page should have files")
}

fn file((_, media_type, content): &'static Asset) -> HttpResponse {
    let mut response = answer(StatusCode::OK, media_type, Bytes::from_static(content));
    let headers = response.headers_mut();
    // An updated board must not be watched with yesterday's page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        for entry in std::fs::read_dir(folder).expect("web/ should be readable").flatten() {
            let name = entry.file_name().into_string().expect("name");
            let path = if name == "index.html" { "" } else { &name };
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            assert!(!is_file || ASSETS.iter().any(|asset| asset.0 == path), "{name} is not embedded");
        }
    }
}
