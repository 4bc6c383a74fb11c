//! MJPEG streams: `multipart/x-mixed-replace` with one JPEG after another, which browsers show in an `<img>`, and which
//! VLC, ffmpeg, OctoPrint and Klipper's front ends play.
//!
//! A part is made when the connection has room for it, of the newest frame then. Making JPEGs belongs to
//! `pipeline::mjpeg`, sessions to `dispatch`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use warp::Reply as _;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use super::Context;
use super::api::protocol_problem;
use super::long_lived::{LongLived, too_many};
use super::request::RequestHead;
use super::response::{ErrorResponse, no_content};
use crate::pipeline::mjpeg::{MjpegFrame, MjpegVariant};
use crate::server::auth::Principal;
use crate::server::dispatch::MjpegStream;

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
            width: head.number("width", " pixels", WIDTHS)?,
            quality: head.number("quality", "", QUALITIES)?,
        };
        let fps = head.number("fps", " frames a second", RATES)?;
        let dispatcher = &self.0.dispatcher;
        if head.method == Method::HEAD {
            dispatcher.check_camera(principal, camera).map_err(|error| protocol_problem(&error))?;
            let mut response = no_content().into_response();
            *response.status_mut() = StatusCode::OK;
            set_headers(response.headers_mut());
            return Ok(response);
        }
        let end = head.connection.stop().child_token();
        let permit = self.0.streams_read.try_acquire(client, &principal.id, end.clone());
        let permit = permit.map_err(|max| too_many(&self.0.metrics, client, max))?;
        let stream = dispatcher
            .mjpeg(principal, client, camera, variant, fps, end.clone())
            .map_err(|error| Box::new(protocol_problem(&error)))?;
        // Access that was revoked before the session existed has ended no session.
        self.check_access(Some(principal))?;
        let long_lived = LongLived::new(&head.connection, permit, end);
        let body = Body { stream, begun: false, _long_lived: long_lived };
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

/// The body of a stream's response.
struct Body {
    stream: MjpegStream,
    begun: bool,
    _long_lived: LongLived,
}

impl Body {
    /// The next part, when the connection has room for it.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let frame = self.stream.next().await?;
        let first = !std::mem::replace(&mut self.begun, true);
        Some((Ok(part(&frame, first)), self))
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
