//! Announcements: a sound file in the body of a request is played on the board's speaker.
//!
//! Decoding and playing belong to `pipeline::speaker`, and who has the floor to `floor`.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use warp::http::{HeaderMap, StatusCode};

use super::Context;
use super::response::{ErrorResponse, HttpResponse, problem, response, retryable_problem};
use super::route::Route;
use super::whep;
use crate::media::sound_file::SoundFileError;
use crate::model::protocol::shell;
use crate::pipeline::speaker::AnnouncementError;
use crate::server::dispatch::{AnnounceError, Caller, RETRY_MS};
use crate::server::floor::FloorError;

impl Context {
    /// Permission to receive the body of a request for `route`, to be kept until it has been handled: sound files, which are
    /// large, are received one at a time.
    pub(super) fn admit_body(&self, route: &Route) -> Result<Option<OwnedSemaphorePermit>, ErrorResponse> {
        match route {
            Route::Say => Ok(Some(self.0.dispatcher.admit_announcement().map_err(|error| failure(&error))?)),
            _ => Ok(None),
        }
    }

    /// `POST /api/say`.
    pub(super) async fn say(&self, headers: &HeaderMap, body: &Bytes, caller: &Caller) -> HttpResponse {
        if !is_sound(&whep::media_type(headers)) {
            let detail =
                "send a WAV, FLAC or Ogg Opus file with its Content-Type, such as audio/wav, audio/flac or audio/ogg";
            return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        }
        match self.0.dispatcher.announce(caller, body.clone()).await {
            Ok(length) => response(StatusCode::OK, "application/json", shell::length_json(length).to_string().into()),
            Err(error) => failure(&error),
        }
    }
}

/// Whether a sound may have this media type. Which one it is can be seen in the file, and is called by many names; but forms of
/// other sites can send none of these.
fn is_sound(media_type: &str) -> bool {
    media_type.starts_with("audio/") || matches!(media_type, "application/ogg" | "application/octet-stream")
}

fn failure(error: &AnnounceError) -> HttpResponse {
    let status = match error {
        AnnounceError::File(AnnouncementError::File(SoundFileError::Damaged(_)) | AnnouncementError::Empty) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        AnnounceError::File(AnnouncementError::File(SoundFileError::Format | SoundFileError::Unsupported(_))) => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        AnnounceError::File(AnnouncementError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        AnnounceError::Busy => StatusCode::TOO_MANY_REQUESTS,
        AnnounceError::Floor(_) | AnnounceError::NoSpeaker | AnnounceError::Cut => StatusCode::CONFLICT,
        AnnounceError::Speaker(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let detail = error.to_string();
    match error {
        AnnounceError::Busy | AnnounceError::Floor(FloorError::Taken(_)) => {
            retryable_problem(status, RETRY_MS.div_ceil(1_000), &detail)
        }
        _ => problem(status, &detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_has_a_type_that_no_form_has() {
        for media_type in
            ["audio/wav", "audio/x-wav", "audio/flac", "audio/ogg", "application/ogg", "application/octet-stream"]
        {
            assert!(is_sound(media_type), "{media_type}");
        }
        for media_type in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/json",
            "video/mp4",
        ] {
            assert!(!is_sound(media_type), "{media_type}");
        }
    }
}
