//! What the URL of a request names: a camera, and one of its tracks. Pure.
//!
//! `/` and `/NAME` are all that a camera sends, `/NAME/trackID=0` its video and `/NAME/trackID=1` its audio. A name has no `=`.

use rtsp_types::Url;

/// One of the streams of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackKind {
    /// Its video.
    Video,
    /// Its audio.
    Audio,
}

impl TrackKind {
    /// What names it at the end of a URL.
    pub fn control(self) -> &'static str {
        match self {
            Self::Video => "trackID=0",
            Self::Audio => "trackID=1",
        }
    }

    /// The payload type of its packets, from the dynamic range (RFC 3551 section 6).
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Video => 96,
            Self::Audio => 97,
        }
    }

    fn of(control: &str) -> Option<Self> {
        [Self::Video, Self::Audio].into_iter().find(|kind| kind.control() == control)
    }
}

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTarget {
    /// The name of the camera; `None` for the first one.
    pub camera: Option<String>,
    /// The track; `None` for all of them.
    pub track: Option<TrackKind>,
    /// Whether the audio is wanted as well.
    pub audio: bool,
}

impl StreamTarget {
    /// What `url` names; `None` if there can be no such thing.
    pub fn of(url: &Url) -> Option<Self> {
        let (mut path, mut query) = (url.path().trim_matches('/'), url.query().unwrap_or_default());
        // Some players put a track behind the query.
        let track = match query.rsplit_once('/') {
            Some((rest, control)) => {
                query = rest;
                Some(TrackKind::of(control)?)
            }
            None => {
                let (rest, control) = path.rsplit_once('/').unwrap_or(("", path));
                let track = TrackKind::of(control);
                path = if track.is_some() { rest } else { path };
                track
            }
        };
        if path.contains(['/', '=']) {
            return None;
        }
        let camera = Some(path).filter(|path| !path.is_empty()).map(str::to_owned);
        let audio = !query.split('&').any(|parameter| parameter == "audio=off");
        Some(Self { camera, track, audio })
    }
}

/// The URL of all that a camera sends, as the client must use it: with the host by which the client reached us, and a slash at
/// the end, to which it appends a track.
pub fn base(url: &Url, camera: &str) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("rtsp://{host}{port}/{camera}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_url_names_a_camera_and_a_track() {
        for (text, camera, track, audio) in [
            ("rtsp://board", None, None, true),
            ("rtsp://board:8554/", None, None, true),
            ("rtsp://user:secret@board:8554/door", Some("door"), None, true),
            ("rtsp://board/door/", Some("door"), None, true),
            ("rtsp://board/door?audio=off", Some("door"), None, false),
            ("rtsp://board/?a=b&audio=off", None, None, false),
            ("rtsp://board/door/trackID=0", Some("door"), Some(TrackKind::Video), true),
            ("rtsp://board/trackID=1", None, Some(TrackKind::Audio), true),
            ("rtsp://board/door?audio=off/trackID=0", Some("door"), Some(TrackKind::Video), false),
            ("rtsp://board/door/trackID=0?audio=off", Some("door"), Some(TrackKind::Video), false),
        ] {
            let expected = StreamTarget { camera: camera.map(str::to_owned), track, audio };
            assert_eq!(StreamTarget::of(&url(text)), Some(expected), "{text}");
        }
        for text in ["rtsp://board/a/b", "rtsp://board/door/trackID=2", "rtsp://board/door?a/b", "rtsp://board/a=b"] {
            assert_eq!(StreamTarget::of(&url(text)), None, "{text}");
        }
    }

    #[test]
    fn the_base_has_the_clients_name_of_the_board_and_no_secret() {
        for (text, expected) in [
            ("rtsp://user:secret@board:8554/?audio=off", "rtsp://board:8554/door/"),
            ("rtsp://192.0.2.1/door/trackID=1", "rtsp://192.0.2.1/door/"),
            ("rtsp://[2001:db8::1]:80/", "rtsp://[2001:db8::1]:80/door/"),
        ] {
            assert_eq!(base(&url(text), "door"), expected);
        }
    }
}
