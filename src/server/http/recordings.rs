//! Recordings: the list, their files with ranges, their pictures, and for operators deleting and protecting them.
//!
//! A recording is named by its number, never by a path. The files belong to `pipeline::recorder`.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use warp::Reply as _;
use warp::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::Context;
use super::long_lived::{LongLived, too_many};
use super::range;
use super::range::RequestedRange;
use super::request::RequestHead;
use super::response::{ErrorResponse, HttpResponse, no_content, problem, response};
use crate::model::metrics::RejectReason;
use crate::pipeline::recorder::{Library, RecordingError, StoredRecording};
use crate::server::auth::{Principal, Role};

/// The most recordings that may be asked for with `limit`: whoever wants more asks again, or for all of them without.
const MAX_LISTED: usize = 1_000;

/// How much is read at once: what is sent in a few milliseconds, and little memory for each reader.
const CHUNK: u64 = 64 * 1024;

/// The list.
#[derive(Serialize)]
struct RecordingList {
    recordings: Vec<RecordingEntry>,
}

/// A recording in the list.
#[derive(Serialize)]
struct RecordingEntry {
    id: u64,
    camera: String,
    /// Seconds since the Unix epoch.
    start: i64,
    /// Seconds; null while it is being written.
    length: Option<f64>,
    cause: &'static str,
    bytes: u64,
    protected: bool,
    running: bool,
    file: String,
    picture: String,
}

impl From<StoredRecording> for RecordingEntry {
    fn from(StoredRecording { name, bytes, is_running }: StoredRecording) -> Self {
        let id = name.number;
        Self {
            id,
            start: name.start,
            length: name.length.map(|length| length.as_secs_f64()),
            cause: name.cause.name(),
            bytes,
            protected: name.protected,
            running: is_running,
            // Browsers take what they have played lately for unchanged, whatever its headers say.
            file: match is_running {
                true => format!("/recordings/{id}.mp4?bytes={bytes}"),
                false => format!("/recordings/{id}.mp4"),
            },
            picture: format!("/recordings/{id}.jpg"),
            camera: name.camera,
        }
    }
}

/// Which recordings are listed.
struct ListRange<'r> {
    camera: Option<&'r str>,
    /// The recordings before the one with this ID.
    before: Option<u64>,
    /// The newest of them.
    limit: usize,
}

impl<'r> ListRange<'r> {
    fn of(head: &'r RequestHead) -> Result<Self, ErrorResponse> {
        let before = head.number("before", "", 1..=u64::MAX)?;
        let limit = head.number("limit", " recordings", 1..=MAX_LISTED)?.unwrap_or(usize::MAX);
        Ok(Self { camera: head.parameter("camera"), before, limit })
    }

    fn contains(&self, recording: &StoredRecording) -> bool {
        let name = &recording.name;
        self.camera.is_none_or(|camera| name.camera == camera) && self.before.is_none_or(|before| name.number < before)
    }
}

impl Context {
    /// `GET /api/recordings`.
    pub(super) async fn recordings(
        &self,
        head: &RequestHead,
        principal: &Principal,
    ) -> Result<HttpResponse, ErrorResponse> {
        self.check_may_see(principal)?;
        let range = ListRange::of(head)?;
        let mut listed = self.library(|library| Ok(library.list()?)).await?;
        listed.retain(|recording| range.contains(recording));
        let newest = listed.split_off(listed.len().saturating_sub(range.limit));
        let list = RecordingList { recordings: newest.into_iter().map(RecordingEntry::from).collect() };
        let body = serde_json::to_vec_pretty(&list).expect("the list should be printable as JSON");
        Ok(response(StatusCode::OK, "application/json", body.into()))
    }

    /// `GET /recordings/{id}.jpg`.
    pub(super) async fn recording_picture(
        &self,
        id: u64,
        principal: &Principal,
    ) -> Result<HttpResponse, ErrorResponse> {
        self.check_may_see(principal)?;
        let jpeg = self.library(move |library| library.picture(id)).await?;
        Ok(response(StatusCode::OK, "image/jpeg", jpeg.into()))
    }

    /// `GET /recordings/{id}.mp4`: of one that is being written, what there is so far.
    pub(super) async fn recording(
        &self,
        id: u64,
        head: &RequestHead,
        client: IpAddr,
        principal: &Principal,
    ) -> Result<Response, ErrorResponse> {
        self.check_may_see(principal)?;
        let (file, recording) = self.library(move |library| library.read(id)).await?;
        let bytes = recording.bytes;
        // While it grows it is another one each time.
        let tag = (!recording.is_running).then(|| format!("\"{id}-{bytes}\""));
        let sent = |name: HeaderName| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let is_same = sent(header::IF_RANGE).is_none_or(|known| tag.as_deref() == Some(known));
        let (status, part) = match range::parse(sent(header::RANGE).filter(|_| is_same), bytes) {
            RequestedRange::Whole => (StatusCode::OK, 0..bytes),
            RequestedRange::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            RequestedRange::Unsatisfiable => return Err(unsatisfiable(bytes).into()),
        };
        let mut response = if head.method == Method::HEAD {
            no_content().into_response()
        } else {
            let end = head.connection.stop().child_token();
            let permit = self.0.recordings_read.try_acquire(client, &principal.id, end.clone());
            let permit = permit.map_err(|max| too_many(&self.0.metrics, client, max))?;
            // Access that was revoked before the permit existed has ended nothing.
            self.check_access(Some(principal))?;
            let long_lived = LongLived::new(&head.connection, permit, end.clone());
            let body = Body { file: Arc::new(file), rest: part.clone(), end, _long_lived: long_lived };
            warp::reply::stream(stream::unfold(body, Body::next)).into_response()
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: String| {
            headers.insert(name, HeaderValue::try_from(value).expect("numbers and names should be header values"));
        };
        set(header::CONTENT_LENGTH, (part.end - part.start).to_string());
        if status == StatusCode::PARTIAL_CONTENT {
            set(header::CONTENT_RANGE, format!("bytes {}-{}/{bytes}", part.start, part.end - 1));
        }
        if let Some(tag) = tag {
            set(header::ETAG, tag);
        }
        set(header::CONTENT_DISPOSITION, format!("inline; filename=\"{}\"", recording.name.file()));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // Whoever may not see it any more has no copy.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// `DELETE /api/recordings/{id}`.
    pub(super) async fn delete_recording(&self, id: u64, by: &Principal) -> Result<HttpResponse, ErrorResponse> {
        self.library(move |library| library.delete(id)).await?;
        tracing::info!("recording {id} deleted by {}", by.id);
        Ok(no_content())
    }

    /// `PUT` and `DELETE /api/recordings/{id}/protected`.
    pub(super) async fn protect_recording(
        &self,
        id: u64,
        on: bool,
        by: &Principal,
    ) -> Result<HttpResponse, ErrorResponse> {
        self.library(move |library| library.protect(id, on)).await?;
        tracing::info!("recording {id} {} by {}", if on { "protected" } else { "no longer protected" }, by.id);
        Ok(no_content())
    }

    /// Whether somebody may see recordings.
    fn check_may_see(&self, principal: &Principal) -> Result<(), ErrorResponse> {
        if principal.role == Role::Operator || self.0.recorder.viewers_may_see() {
            return Ok(());
        }
        self.0.metrics.count_rejected(RejectReason::Role);
        let detail = "recordings are for operators; [recording] allow = \"viewer\" in the configuration changes that";
        Err(problem(StatusCode::FORBIDDEN, detail).into())
    }

    /// Asks the library, which blocks.
    async fn library<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Library) -> Result<T, RecordingError> + Send + 'static,
    ) -> Result<T, ErrorResponse> {
        let library = self.0.recorder.library().clone();
        match spawn_blocking(move || ask(&library)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure(&error).into()),
            Err(error) => Err(problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()).into()),
        }
    }
}

fn failure(error: &RecordingError) -> HttpResponse {
    let status = match error {
        RecordingError::NotFound(_) => StatusCode::NOT_FOUND,
        RecordingError::Running(_) | RecordingError::Protected(_) => StatusCode::CONFLICT,
        RecordingError::Failed(error) => {
            tracing::warn!("{error:#}");
            let detail = "the directory of recordings cannot be used; the log has the reason";
            return problem(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
    };
    problem(status, &error.to_string())
}

fn unsatisfiable(bytes: u64) -> HttpResponse {
    let detail = format!("the recording has {bytes} bytes; ask for a range within them");
    let mut response = problem(StatusCode::RANGE_NOT_SATISFIABLE, &detail);
    let range = HeaderValue::try_from(format!("bytes */{bytes}")).expect("a number should be a header value");
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    response
}

/// The body of a response.
struct Body {
    file: Arc<File>,
    rest: Range<u64>,
    end: CancellationToken,
    _long_lived: LongLived,
}

impl Body {
    /// What comes next, when the connection has room for it.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.rest.is_empty() || self.end.is_cancelled() {
            return None;
        }
        let (file, at) = (self.file.clone(), self.rest.start);
        let length = CHUNK.min(self.rest.end - at);
        let read = spawn_blocking(move || {
            let mut chunk = vec![0; length as usize];
            // It was that long when the response began, and does not get shorter.
            file.read_exact_at(&mut chunk, at).map(|()| Bytes::from(chunk))
        });
        let chunk = read.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.rest.start += length;
        if chunk.is_err() {
            self.rest.start = self.rest.end;
        }
        Some((chunk, self))
    }
}
