//! MJPEG streams: `multipart/x-mixed-replace` with one JPEG after another, which browsers show in an `<img>`, and which
//! VLC, ffmpeg, OctoPrint and Klipper's front ends play.
//!
//! A part is made when the connection has room for it, of the newest frame then. Making JPEGs belongs to
//! `pipeline::mjpeg`, sessions to `dispatch`.

use std::convert::Infallible;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use warp::Reply as _;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::Context;
use super::api::protocol_problem;
use super::connection_handle::ConnectionHandle;
use super::reader_limit::{MAX_READERS, ReaderPermit};
use super::request::RequestHead;
use super::response::{ErrorResponse, no_content, problem, retryable_problem};
use crate::model::metrics::RejectReason;
use crate::pipeline::mjpeg::{MjpegFrame, MjpegVariant};
use crate::server::auth::Principal;
use crate::server::dispatch::MjpegStream;
use crate::util::connection_limit::BusyGuard;

/// The media type with the boundary between the parts.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("multipart/x-mixed-replace; boundary=porthole-frame");

/// The boundary as it stands between parts. It follows a part at once: some browsers show a part only then.
const BOUNDARY: &[u8] = b"--porthole-frame\r\n";

/// Widths that can be asked for, in pixels: from a thumbnail to more than any camera has.
const WIDTHS: RangeInclusive<u32> = 16..=8192;

/// JPEG qualities.
const QUALITIES: RangeInclusive<u8> = 1..=100;

/// Frame rates: from one in a minute to that of the fastest cameras.
const RATES: RangeInclusive<f64> = 1.0 / 60.0..=240.0;

/// How long a stream that has ended may take to send what is under way; a client that has stopped reading never would.
const END_GRACE: Duration = Duration::from_secs(1);

/// After how many seconds a client may ask again that has too many streams.
const RETRY_AFTER: u64 = 5;

impl Context {
    /// `GET /stream.mjpg` and `/?action=stream`.
    pub(super) fn mjpeg(
        &self,
        head: &RequestHead,
        camera: Option<&str>,
        client: IpAddr,
        principal: &Principal,
    ) -> Result<Response, ErrorResponse> {
        let variant = MjpegVariant {
            width: number(head, "width", " pixels", WIDTHS)?,
            quality: number(head, "quality", "", QUALITIES)?,
        };
        let fps = number(head, "fps", " frames a second", RATES)?;
        let dispatcher = &self.0.dispatcher;
        if head.method == Method::HEAD {
            dispatcher.check_camera(principal, camera).map_err(|error| protocol_problem(&error))?;
            let mut response = no_content().into_response();
            *response.status_mut() = StatusCode::OK;
            set_headers(response.headers_mut());
            return Ok(response);
        }
        let Some(permit) = self.0.readers.try_acquire(client) else {
            self.0.metrics.count_rejected(RejectReason::Readers);
            let detail = format!("{client} reads {MAX_READERS} streams already; close one of them");
            return Err(retryable_problem(StatusCode::TOO_MANY_REQUESTS, RETRY_AFTER, &detail).into());
        };
        let end = head.connection.stop().child_token();
        let stream = dispatcher
            .mjpeg(principal, client, camera, variant, fps, end.clone())
            .map_err(|error| Box::new(protocol_problem(&error)))?;
        // Access that was revoked before the session existed has ended no session.
        self.check_access(Some(principal))?;
        let body = Body::new(stream, &head.connection, permit, end);
        let mut response = warp::reply::stream(stream::unfold(body, Body::next)).into_response();
        set_headers(response.headers_mut());
        Ok(response)
    }
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    // nginx would collect frames.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// A number in the query; `None` if it is not there.
fn number<T: FromStr + PartialOrd + Display>(
    head: &RequestHead,
    name: &str,
    unit: &str,
    range: RangeInclusive<T>,
) -> Result<Option<T>, ErrorResponse> {
    let Some(text) = head.parameter(name) else { return Ok(None) };
    match text.parse::<T>().ok().filter(|value| range.contains(value)) {
        Some(value) => Ok(Some(value)),
        None => {
            let detail = format!("{name}={text:?} is not {:.3} to {:.0}{unit}", range.start(), range.end());
            Err(problem(StatusCode::BAD_REQUEST, &detail).into())
        }
    }
}

/// The body of a stream's response.
struct Body {
    stream: MjpegStream,
    begun: bool,
    _busy: BusyGuard,
    _permit: ReaderPermit,
    _done: DropGuard,
}

impl Body {
    fn new(stream: MjpegStream, connection: &ConnectionHandle, permit: ReaderPermit, end: CancellationToken) -> Self {
        let done = CancellationToken::new();
        tokio::spawn(close_when_ended(connection.clone(), end, done.clone()));
        Self { stream, begun: false, _busy: connection.busy(), _permit: permit, _done: done.drop_guard() }
    }

    /// The next part, when the connection has room for it.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let frame = self.stream.next().await?;
        let first = !std::mem::replace(&mut self.begun, true);
        Some((Ok(part(&frame, first)), self))
    }
}

/// Closes the connection of a stream that has ended and is still sending.
async fn close_when_ended(connection: ConnectionHandle, end: CancellationToken, done: CancellationToken) {
    tokio::select! {
        () = done.cancelled() => return,
        () = end.cancelled() => {}
    }
    if timeout(END_GRACE, done.cancelled()).await.is_err() {
        connection.close();
    }
}

/// One JPEG with its header, and the boundary after it.
fn part(frame: &MjpegFrame, first: bool) -> Bytes {
    let unix = frame.captured.unix();
    let mut head = String::with_capacity(128);
    // The time of capture, as mjpg-streamer has it.
    let (length, seconds, micros) = (frame.data.len(), unix.as_secs(), unix.subsec_micros());
    write!(head, "Content-Type: image/jpeg\r\nContent-Length: {length}\r\nX-Timestamp: {seconds}.{micros:06}\r\n\r\n")
        .expect("writing to a string should not fail");
    let mut part = BytesMut::with_capacity(head.len() + length + 2 * BOUNDARY.len() + 2);
    if first {
        part.put_slice(BOUNDARY);
    }
    for piece in [head.as_bytes(), &frame.data, b"\r\n", BOUNDARY] {
        part.put_slice(piece);
    }
    part.freeze()
}
