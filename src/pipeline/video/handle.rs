//! Requests to a running pipeline: a snapshot, the controls, another size, frame rate or bitrate.
//!
//! A request goes through a short queue to the capture thread, which answers it (`requests`). Permissions belong to
//! `server::dispatch`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::PipelineContext;
use super::request_queue::{
    CaptureRequest, Captured, EnqueueError, Error, MAX_QUEUED, ReplySender, RequestQueue, VideoSettings,
    VideoSettingsPatch,
};
use crate::media::convert;
use crate::media::convert::StillImage;
use crate::media::encoder;
use crate::media::{EncodedFrame, RawFrame};
use crate::model::inventory::{Control, Setting};
use crate::model::status;
use crate::pipeline::mjpeg::{MjpegOutput, MjpegReader, MjpegVariant, Source};
use crate::util::broadcast::{Broadcast, RecvError};

/// How long a request waits for its reply: the slowest cameras take 5 s from opening to the first frame.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A JPEG image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jpeg {
    /// The file.
    pub data: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Sends requests to a camera; a cheap handle.
#[derive(Debug, Clone)]
pub struct Handle {
    name: Arc<str>,
    frames: Broadcast<EncodedFrame>,
    requests: RequestQueue,
    /// The status, and the camera's index in it.
    publisher: status::StatusPublisher,
    index: usize,
    /// One snapshot at a time: a frame holds one of the camera's few buffers until it is copied.
    snapshot_permit: Arc<Semaphore>,
    mjpeg: MjpegOutput,
    source: Source,
}

impl Handle {
    pub(super) fn new(ctx: &PipelineContext) -> Self {
        let handle = Self {
            name: ctx.label.camera.as_str().into(),
            frames: ctx.frames.clone(),
            requests: ctx.requests.clone(),
            publisher: ctx.publisher.clone(),
            index: ctx.index,
            snapshot_permit: Arc::new(Semaphore::new(1)),
            mjpeg: ctx.mjpeg.clone(),
            source: ctx.source(),
        };
        handle.publish_settings(handle.settings());
        handle
    }

    /// Reads the camera's frames as JPEGs, `fps` a second at most; the camera is opened if nobody watches.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when too many other sizes and qualities are being read.
    pub fn mjpeg(&self, variant: MjpegVariant, fps: Option<f64>) -> Result<MjpegReader, Error> {
        let reader = self.mjpeg.read(&self.source, variant, fps);
        reader.map_err(|error| Error::Busy(format!("{}: {error}", self.name)))
    }

    /// The newest frame in the camera's full size, as a JPEG; the camera is opened if nobody watches. An MJPEG camera's own
    /// JPEG is used as it is; from an H.264 camera it is the next key frame, decoded.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when the frame cannot be converted, [`Error::Unavailable`] and [`Error::Busy`].
    pub async fn snapshot(&self) -> Result<Jpeg, Error> {
        let one = self.snapshot_permit.clone().acquire_owned();
        let one = timeout(REQUEST_TIMEOUT, one).await.ok().and_then(Result::ok).ok_or_else(|| self.busy())?;
        // Held from the request to the key frame, so that the camera is not closed in between.
        let _interest = self.frames.demand().register();
        let frame = match self.request(CaptureRequest::Frame).await? {
            Captured::Raw(frame) => CapturedFrame::Raw(frame),
            Captured::Encoded => CapturedFrame::Encoded(self.key_frame().await?),
        };
        let jpeg = tokio::task::spawn_blocking(move || {
            let still = frame.into_snapshot()?;
            // The camera's buffer is released here.
            drop(one);
            still.into_jpeg().map_err(encoder::Error::from)
        });
        let jpeg = jpeg.await;
        // The switch may have been turned on while it was made.
        self.check_privacy()?;
        match jpeg {
            Ok(Ok(convert::EncodedJpeg { width, height, data })) => Ok(Jpeg { data: data.into(), width, height }),
            Ok(Err(error)) => Err(Error::Refused(format!("{}: no snapshot: {error}", self.name))),
            Err(stopped) => Err(Error::Unavailable(format!("{}: no snapshot: {stopped}", self.name))),
        }
    }

    /// The next key frame of the stream.
    async fn key_frame(&self) -> Result<EncodedFrame, Error> {
        let mut frames = self.frames.subscribe();
        self.frames.request_refresh();
        let key = async {
            loop {
                match frames.recv().await {
                    Ok(frame) if frame.placeholder => return Err(self.without_video()),
                    Ok(frame) if frame.key => return Ok(frame),
                    // Frames before the key frame do not matter.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(self.stopping()),
                }
            }
        };
        timeout(REQUEST_TIMEOUT, key).await.unwrap_or_else(|_| Err(self.timed_out("key frame")))
    }

    /// The camera's controls with their current values; the camera is opened if nobody watches.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Busy`].
    pub async fn controls(&self) -> Result<Vec<Control>, Error> {
        self.request(CaptureRequest::Controls).await
    }

    /// Sets controls, and keeps them so when the camera is opened anew. The answer has those that were named and those that
    /// changed with them. All are judged before one is set.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; [`Error::Refused`] tells what could not be set of several.
    pub async fn set_controls(&self, settings: Vec<Setting>) -> Result<Vec<Control>, Error> {
        self.request(|reply| CaptureRequest::Set(settings, reply)).await
    }

    /// Sets the named controls, or all, to what the driver calls their defaults.
    ///
    /// # Errors
    ///
    /// As for [`set_controls`](Self::set_controls).
    pub async fn reset_controls(&self, names: Option<Vec<String>>) -> Result<Vec<Control>, Error> {
        self.request(|reply| CaptureRequest::Reset(names, reply)).await
    }

    /// Changes the video settings until the program ends. The bitrate changes within the stream; for another size or
    /// rate, an open camera is reopened.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the program stops.
    pub async fn set(&self, patch: VideoSettingsPatch) -> Result<VideoSettings, Error> {
        let settings = self.requests.update(patch).ok_or_else(|| self.stopping())?;
        self.publish_settings(settings);
        // A camera that could not be opened as it should have been may be now.
        self.frames.demand().wake();
        Ok(settings)
    }

    /// The requested settings.
    pub fn settings(&self) -> VideoSettings {
        self.requests.settings()
    }

    /// Publishes the bitrate, which no camera reports; size and rate are published as negotiated.
    fn publish_settings(&self, settings: VideoSettings) {
        self.publisher.camera(self.index, |camera| camera.bitrate = Some(settings.bitrate));
    }

    async fn request<T>(&self, request: impl FnOnce(ReplySender<T>) -> CaptureRequest) -> Result<T, Error> {
        self.check_privacy()?;
        let (reply, replied) = oneshot::channel();
        // First, so that the thread sees demand.
        let _interest = self.frames.demand().register();
        self.requests.enqueue(request(reply)).map_err(|error| match error {
            EnqueueError::Full => self.busy(),
            EnqueueError::Closed => self.stopping(),
        })?;
        match timeout(REQUEST_TIMEOUT, replied).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(self.stopping()),
            Err(_) => Err(self.timed_out("frame")),
        }
    }

    fn check_privacy(&self) -> Result<(), Error> {
        match self.frames.demand().blocked_since() {
            Some(_) => Err(Error::Unavailable(format!("{}: {PRIVACY_MESSAGE}", self.name))),
            None => Ok(()),
        }
    }

    /// Viewers see the placeholder.
    fn without_video(&self) -> Error {
        let fault = self.publisher.snapshot().cameras.get(self.index).and_then(|camera| camera.fault.clone());
        let reason = fault.unwrap_or_else(|| "the camera delivers no video".into());
        Error::Unavailable(format!("{}: no snapshot: {reason}", self.name))
    }

    fn busy(&self) -> Error {
        Error::Busy(format!("{}: {MAX_QUEUED} requests wait for this camera already; try again in a moment", self.name))
    }

    fn timed_out(&self, what: &str) -> Error {
        Error::Unavailable(format!("{}: no {what} within {} s", self.name, REQUEST_TIMEOUT.as_secs()))
    }

    fn stopping(&self) -> Error {
        Error::Unavailable(format!("{}: porthole is stopping", self.name))
    }
}

/// Why a camera that the privacy switch keeps closed serves no requests.
pub(super) const PRIVACY_MESSAGE: &str =
    "blocked by the privacy switch; the command privacy.set or a button on the device turns it off";

/// A captured frame, raw or encoded.
enum CapturedFrame {
    Raw(RawFrame),
    Encoded(EncodedFrame),
}

impl CapturedFrame {
    /// Copies it out of the camera's buffer.
    fn into_snapshot(self) -> Result<StillImage, encoder::Error> {
        let frame = match self {
            Self::Raw(frame) => frame,
            Self::Encoded(frame) => encoder::decode(&frame)?,
        };
        Ok(StillImage::of(&frame)?)
    }
}
