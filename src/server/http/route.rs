//! Every route of the server: its path and method, who may use it, and its limits.
//!
//! A path is decoded here, once, and byte for byte: no route can be reached by another spelling of its path, under
//! another rule or none. `router` calls the handlers.

use std::time::Duration;

use warp::http::Method;

use super::assets;
use super::assets::Asset;
use crate::pipeline::speaker::MAX_FILE_BYTES;
use crate::server::auth::Role;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Anybody with this role or a higher one.
    Role(Role),
}

/// What the body of a request has to observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// Its maximum size in bytes.
    pub max: usize,
    /// Whether its length has to be declared in `Content-Length`.
    pub length_required: bool,
    /// How long it may take to arrive.
    pub time: Duration,
}

/// A method of a path, with the parameters in the path. HEAD is handled as GET.
#[derive(Debug, Clone)]
pub enum Route {
    /// `GET` a file of the page.
    Asset(&'static Asset),
    /// `GET /healthz`.
    Health,
    /// `GET /api/session`: who is signed in.
    LoginStatus,
    /// `POST /api/session`.
    SignIn,
    /// `DELETE /api/session`.
    SignOut,
    /// `GET /api/tokens`.
    ListTokens,
    /// `POST /api/tokens`.
    AddToken,
    /// `DELETE /api/tokens/{name}`.
    RevokeToken(String),
    /// `GET /api/status`.
    Status,
    /// `GET /api/events`.
    Events,
    /// `POST /api/command`.
    Command,
    /// `POST /api/say`.
    Say,
    /// `GET /snapshot.jpg` of the camera in the query, or `/?action=snapshot`, which may number the camera.
    Snapshot(Option<usize>),
    /// `GET /stream.mjpg` of the camera in the query, or `/?action=stream`, which may number the camera.
    Mjpeg(Option<usize>),
    /// `GET /api/recordings`.
    Recordings,
    /// `DELETE /api/recordings/{id}`.
    DeleteRecording(u64),
    /// `PUT` and `DELETE /api/recordings/{id}/protected`: whether it is protected.
    ProtectRecording(u64, bool),
    /// `GET /recordings/{id}.mp4`.
    Recording(u64),
    /// `GET /recordings/{id}.jpg`.
    RecordingPicture(u64),
    /// `GET /metrics`.
    Metrics,
    /// `GET /whep` or `/whep/{camera}`: whether there is such a camera.
    ProbeCamera(Option<String>),
    /// `POST /whep` or `/whep/{camera}`.
    Offer(Option<String>),
    /// `POST /webrtc`, camera-streamer's signalling.
    CameraStreamer,
    /// `GET /whep/session/{id}`: whether there is such a session.
    ProbeSession(String),
    /// `PATCH /whep/session/{id}`: candidates, or an ICE restart.
    PatchSession(String),
    /// `DELETE /whep/session/{id}`.
    EndSession(String),
}

impl Route {
    /// Who may use it.
    pub fn access(&self) -> Access {
        match self {
            Self::Asset(_) | Self::Health | Self::LoginStatus | Self::SignIn | Self::SignOut => Access::Public,
            Self::Status
            | Self::Events
            | Self::Snapshot(_)
            | Self::Mjpeg(_)
            | Self::Metrics
            // Unless the configuration says so, these need more: `recordings` checks that.
            | Self::Recordings
            | Self::Recording(_)
            | Self::RecordingPicture(_)
            // Each command has its own required role.
            | Self::Command
            | Self::ProbeCamera(_)
            | Self::Offer(_)
            | Self::CameraStreamer
            | Self::ProbeSession(_)
            | Self::PatchSession(_)
            | Self::EndSession(_) => Access::Role(Role::Viewer),
            Self::ListTokens
            | Self::AddToken
            | Self::RevokeToken(_)
            | Self::Say
            | Self::DeleteRecording(_)
            | Self::ProtectRecording(..) => Access::Role(Role::Operator),
        }
    }

    /// The limits on its body. A browser's offer has 6 KiB, and so has the longest password with every byte escaped. On the
    /// slowest mobile network an offer takes a second, and the largest sound file 20 s at 5 Mbit/s.
    pub fn body_limit(&self) -> BodyLimit {
        let usual = BodyLimit { max: 64 * 1024, length_required: false, time: Duration::from_secs(10) };
        match self {
            Self::SignIn | Self::AddToken => BodyLimit { max: 8 * 1024, length_required: true, ..usual },
            Self::Say => BodyLimit { max: MAX_FILE_BYTES, time: Duration::from_secs(20), ..usual },
            _ => usual,
        }
    }

    /// Whether the rate limit of offers applies, besides that of requests.
    pub fn is_offer(&self) -> bool {
        matches!(self, Self::Offer(_) | Self::CameraStreamer)
    }

    /// Whether it is an image, which pages embed without telling their origin in `Origin`.
    fn is_image(&self) -> bool {
        matches!(self, Self::Snapshot(_) | Self::Mjpeg(_))
    }

    /// Whether pages of configured other origins may use it: what they need to watch, including the modules of the
    /// page.
    fn is_shared(&self) -> bool {
        matches!(
            self,
            Self::Asset(_)
                | Self::Snapshot(_)
                | Self::Mjpeg(_)
                | Self::ProbeCamera(_)
                | Self::Offer(_)
                | Self::CameraStreamer
                | Self::ProbeSession(_)
                | Self::PatchSession(_)
                | Self::EndSession(_)
        )
    }
}

/// The routes of one path, each with its method.
#[derive(Debug, Clone)]
pub struct PathRoutes(Vec<(Method, Route)>);

impl PathRoutes {
    /// Decodes a path, spelled exactly as in the request; `None` if there is nothing at it.
    pub fn decode(path: &str) -> Option<Self> {
        const GET: Method = Method::GET;
        const POST: Method = Method::POST;
        const PUT: Method = Method::PUT;
        const DELETE: Method = Method::DELETE;
        if let Some(asset) = assets::find(path) {
            return Some(Self(vec![(GET, Route::Asset(asset))]));
        }
        let mut segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        // Some players end the endpoint in a slash.
        if segments.len() > 1 && matches!(segments[0], "whep" | "webrtc") && segments.last() == Some(&"") {
            segments.pop();
        }
        let routes = match segments[..] {
            ["healthz"] => vec![(GET, Route::Health)],
            ["api", "session"] => {
                vec![(GET, Route::LoginStatus), (POST, Route::SignIn), (DELETE, Route::SignOut)]
            }
            ["api", "tokens"] => vec![(GET, Route::ListTokens), (POST, Route::AddToken)],
            ["api", "tokens", name] => vec![(DELETE, Route::RevokeToken(parameter(name)?))],
            ["api", "status"] => vec![(GET, Route::Status)],
            ["api", "events"] => vec![(GET, Route::Events)],
            ["api", "command"] => vec![(POST, Route::Command)],
            ["api", "say"] => vec![(POST, Route::Say)],
            ["snapshot.jpg"] => vec![(GET, Route::Snapshot(None))],
            ["stream.mjpg"] => vec![(GET, Route::Mjpeg(None))],
            ["api", "recordings"] => vec![(GET, Route::Recordings)],
            ["api", "recordings", id] => vec![(DELETE, Route::DeleteRecording(recording_id(id)?))],
            ["api", "recordings", id, "protected"] => {
                let id = recording_id(id)?;
                vec![(PUT, Route::ProtectRecording(id, true)), (DELETE, Route::ProtectRecording(id, false))]
            }
            ["recordings", file] => vec![(GET, recording_file(file)?)],
            ["metrics"] => vec![(GET, Route::Metrics)],
            ["webrtc"] => vec![(POST, Route::CameraStreamer)],
            ["whep"] => vec![(GET, Route::ProbeCamera(None)), (POST, Route::Offer(None))],
            ["whep", "session", id] => session(parameter(id)?),
            // Some players look for the session below the endpoint, whatever `Location` says.
            ["whep", id] if is_session_id(id) => session(id.to_owned()),
            ["whep", camera, id] if parameter(camera).is_some() && is_session_id(id) => session(id.to_owned()),
            ["whep", camera] => {
                let camera = Some(parameter(camera)?);
                vec![(GET, Route::ProbeCamera(camera.clone())), (POST, Route::Offer(camera))]
            }
            _ => return None,
        };
        Some(Self(routes))
    }

    /// What an action in the query of `/` asks for, by the names of mjpg-streamer: `stream` and `snapshot`, with the number
    /// of a camera as in `stream_1`. `None` for any other action.
    pub fn of_action(action: &str) -> Option<Self> {
        let (name, number) = match action.split_once('_') {
            Some((name, number)) => (name, Some(number.parse().ok()?)),
            None => (action, None),
        };
        let route = match name {
            "stream" => Route::Mjpeg(number),
            "snapshot" => Route::Snapshot(number),
            _ => return None,
        };
        Some(Self(vec![(Method::GET, route)]))
    }

    /// The route of a method; `None` if the path does not support it.
    pub fn of(&self, method: &Method) -> Option<&Route> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.iter().find(|(known, _)| known == method).map(|(_, route)| route)
    }

    /// The value of the `Allow` header.
    pub fn allow(&self) -> String {
        let mut allow = String::from("OPTIONS");
        for (method, _) in &self.0 {
            allow.push_str(", ");
            allow.push_str(method.as_str());
            if method == Method::GET {
                allow.push_str(", HEAD");
            }
        }
        allow
    }

    /// Whether pages of configured other origins may use the path.
    pub fn is_shared(&self) -> bool {
        self.0.iter().any(|(_, route)| route.is_shared())
    }

    /// Whether players use it that can set no header: images, and the signalling.
    pub fn is_for_players(&self) -> bool {
        self.is_image() || self.takes_candidates() || self.0.iter().any(|(_, route)| route.is_offer())
    }

    /// Whether it is an image.
    pub fn is_image(&self) -> bool {
        self.0.iter().any(|(_, route)| route.is_image())
    }

    /// Whether it is the health check, which monitors call without knowing our host names or our certificate.
    pub fn is_health(&self) -> bool {
        self.0.iter().any(|(_, route)| matches!(route, Route::Health))
    }

    /// Whether offers are posted to it.
    pub fn takes_offers(&self) -> bool {
        self.0.iter().any(|(_, route)| matches!(route, Route::Offer(_)))
    }

    /// Whether it is a session, which candidates are sent to.
    pub fn takes_candidates(&self) -> bool {
        self.0.iter().any(|(_, route)| matches!(route, Route::PatchSession(_)))
    }
}

/// The routes of a session.
fn session(id: String) -> Vec<(Method, Route)> {
    vec![
        (Method::GET, Route::ProbeSession(id.clone())),
        (Method::PATCH, Route::PatchSession(id.clone())),
        (Method::DELETE, Route::EndSession(id)),
    ]
}

/// The ID of a recording: a number without leading zeros.
fn recording_id(segment: &str) -> Option<u64> {
    let id = segment.parse::<u64>().ok()?;
    (id.to_string() == segment).then_some(id)
}

/// The file of a recording, or its picture.
fn recording_file(segment: &str) -> Option<Route> {
    let (id, kind) = segment.split_once('.')?;
    let id = recording_id(id)?;
    match kind {
        "mp4" => Some(Route::Recording(id)),
        "jpg" => Some(Route::RecordingPicture(id)),
        _ => None,
    }
}

/// Whether it has the form of a session's ID, which no camera is called.
fn is_session_id(segment: &str) -> bool {
    segment.len() == 32 && segment.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
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
        for path in
            ["/whep", "/whep/door", "/whep/session/0af", "/whep.js", "/control.js", "/snapshot.jpg", "/stream.mjpg"]
        {
            assert!(PathRoutes::decode(path).is_some_and(|routes| routes.is_shared()), "{path}");
        }
        for path in [
            "/healthz",
            "/api/session",
            "/api/tokens",
            "/api/status",
            "/api/say",
            "/metrics",
            "/api/recordings",
            "/recordings/7.mp4",
        ] {
            assert!(PathRoutes::decode(path).is_some_and(|routes| !routes.is_shared()), "{path}");
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
            "/whep/",
            "/whep/door/",
            "/whep/session/0af/",
            "/api/tokens/door.1",
            "/api/status",
            "/api/recordings/7",
            "/api/recordings/7/protected",
            "/recordings/18446744073709551615.mp4",
            "/recordings/7.jpg",
        ] {
            assert!(PathRoutes::decode(path).is_some(), "{path}");
        }
        for path in [
            "",
            "*",
            "//",
            "/.",
            "/..",
            "/./",
            "//whep",
            "/whep//",
            "/whep/door//",
            "/whep/./session",
            "/whep/..",
            "/whep/%61",
            "/whep/session//",
            "/whep/session/a/b",
            "/whep/door/0af",
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
            "/recordings",
            "/recordings/",
            "/recordings/7",
            "/recordings/007.mp4",
            "/recordings/+7.mp4",
            "/recordings/-7.mp4",
            "/recordings/18446744073709551616.mp4",
            "/recordings/7.mp4.mp4",
            "/recordings/..%2f7.mp4",
            "/recordings/../7.mp4",
            "/recordings/7.mkv",
            "/api/recordings/x",
            "/api/recordings/7/",
            "/api/recordings/7/name",
        ] {
            assert!(PathRoutes::decode(path).is_none(), "{path}");
        }
    }

    #[test]
    fn each_method_has_its_role() {
        const VIEWER: Access = Access::Role(Role::Viewer);
        const OPERATOR: Access = Access::Role(Role::Operator);
        let access = |path: &str, method: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            PathRoutes::decode(path).unwrap().of(&method).map(Route::access)
        };
        assert_eq!(access("/", "HEAD"), Some(Access::Public));
        assert_eq!(access("/", "POST"), None);
        assert_eq!(access("/healthz", "GET"), Some(Access::Public));
        assert_eq!(access("/api/status", "GET"), Some(VIEWER));
        assert_eq!(access("/metrics", "HEAD"), Some(VIEWER));
        assert_eq!(access("/whep/front", "POST"), Some(VIEWER));
        assert_eq!(access("/whep/session/1", "PATCH"), Some(VIEWER));
        assert_eq!(access("/whep/session/1", "POST"), None);
        assert_eq!(access("/api/tokens", "POST"), Some(OPERATOR));
        assert_eq!(access("/api/say", "POST"), Some(OPERATOR));
        assert_eq!(access("/api/say", "GET"), None);
        assert_eq!(access("/api/tokens/door", "DELETE"), Some(OPERATOR));
        assert_eq!(access("/api/recordings/7", "DELETE"), Some(OPERATOR));
        assert_eq!(access("/api/recordings/7/protected", "PUT"), Some(OPERATOR));
        assert_eq!(access("/recordings/7.mp4", "DELETE"), None);
        let allow = |path: &str| PathRoutes::decode(path).unwrap().allow();
        assert_eq!(allow("/whep"), "OPTIONS, GET, HEAD, POST");
        assert_eq!(allow("/whep/session/1"), "OPTIONS, GET, HEAD, PATCH, DELETE");
        assert_eq!(allow("/api/tokens/door"), "OPTIONS, DELETE");
    }

    #[test]
    fn actions_are_those_of_mjpg_streamer() {
        let route =
            |action: &str| PathRoutes::of_action(action).map(|routes| routes.of(&Method::GET).cloned().unwrap());
        assert!(matches!(route("stream"), Some(Route::Mjpeg(None))));
        assert!(matches!(route("stream_1"), Some(Route::Mjpeg(Some(1)))));
        assert!(matches!(route("snapshot"), Some(Route::Snapshot(None))));
        assert!(matches!(route("snapshot_0"), Some(Route::Snapshot(Some(0)))));
        for action in ["", "command", "stream_", "stream_x", "stream_-1", "stream_1_1", "Stream"] {
            assert!(route(action).is_none(), "{action}");
        }
        assert_eq!(PathRoutes::of_action("stream").unwrap().of(&Method::POST).map(Route::access), None);
        assert_eq!(route("stream").map(|route| route.access()), Some(Access::Role(Role::Viewer)));
    }

    #[test]
    fn parameters_are_those_of_the_path() {
        let route = |path: &str, method: &Method| PathRoutes::decode(path).unwrap().of(method).cloned().unwrap();
        assert!(matches!(route("/whep", &Method::POST), Route::Offer(None)));
        assert!(matches!(route("/whep/door", &Method::POST), Route::Offer(Some(camera)) if camera == "door"));
        assert!(matches!(route("/whep/session/0af", &Method::DELETE), Route::EndSession(id) if id == "0af"));
        let id = "0123456789abcdef0123456789abcdef";
        for path in [format!("/whep/{id}"), format!("/whep/door/{id}"), format!("/whep/session/{id}/")] {
            assert!(matches!(route(&path, &Method::PATCH), Route::PatchSession(found) if found == id), "{path}");
            assert!(matches!(route(&path, &Method::DELETE), Route::EndSession(found) if found == id), "{path}");
        }
        assert!(matches!(route("/whep/", &Method::POST), Route::Offer(None)));
        assert!(matches!(route("/whep/door/", &Method::POST), Route::Offer(Some(camera)) if camera == "door"));
        assert!(matches!(route("/api/tokens/a.1", &Method::DELETE), Route::RevokeToken(name) if name == "a.1"));
    }
}
