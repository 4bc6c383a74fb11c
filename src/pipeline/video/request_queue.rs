//! Requests to the capture thread, why they fail, their queue, and the requested video settings.
//!
//! Who asks is in `handle`, who answers in `requests`.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Config;
use crate::media::RawFrame;
use crate::model::inventory::{Control, Setting};
use crate::util::lock::{Mutex, MutexGuard};

/// Requests that may be queued for the capture thread, which serves them after every frame: enough for a handful of viewers
/// at once. Above that a request fails as busy.
pub(super) const MAX_QUEUED: usize = 8;

/// A change of the video settings; `None` leaves a setting as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VideoSettingsPatch {
    /// Width and height in pixels; the camera delivers the closest it has.
    pub size: Option<(u32, u32)>,
    /// Frames per second; the camera delivers the closest it has.
    pub fps: Option<u32>,
    /// Bitrate in bit/s.
    pub bitrate: Option<u32>,
}

/// The requested video settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoSettings {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames per second.
    pub fps: u32,
    /// Bitrate in bit/s.
    pub bitrate: u32,
}

/// Why a request fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The camera has no such control.
    #[error("{0}")]
    NoControl(String),
    /// The value is invalid for the control; nothing was set.
    #[error("{message}")]
    Value {
        /// The control's name as given.
        control: String,
        /// What is wrong, and what would be valid.
        message: String,
    },
    /// The device rejected it.
    #[error("{0}")]
    Refused(String),
    /// The camera delivers no frames at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// Too many requests at once.
    #[error("{0}")]
    Busy(String),
}

/// The reply to a request for a frame.
#[derive(Debug)]
pub(super) enum Captured {
    /// The frame, in one of the camera's buffers.
    Raw(RawFrame),
    /// The camera works, and delivers H.264 that has to be decoded.
    Encoded,
}

/// Where a reply goes.
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, Error>>;

/// A request to the capture thread.
#[derive(Debug)]
pub(super) enum CaptureRequest {
    /// The next frame.
    Frame(ReplySender<Captured>),
    /// The controls.
    Controls(ReplySender<Vec<Control>>),
    /// Set these controls.
    Set(Vec<Setting>, ReplySender<Vec<Control>>),
    /// Reset these controls, or all, to their defaults.
    Reset(Option<Vec<String>>, ReplySender<Vec<Control>>),
}

impl CaptureRequest {
    /// Replies with an error.
    pub(super) fn fail(self, error: Error) {
        // A requester that is gone needs no reply.
        match self {
            Self::Frame(reply) => drop(reply.send(Err(error))),
            Self::Controls(reply) | Self::Set(_, reply) | Self::Reset(_, reply) => drop(reply.send(Err(error))),
        }
    }

    /// Whether nobody waits for the reply any more.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Frame(reply) => reply.is_closed(),
            Self::Controls(reply) | Self::Set(_, reply) | Self::Reset(_, reply) => reply.is_closed(),
        }
    }
}

/// The queued requests and the requested settings; shared by the handles and the threads.
#[derive(Debug, Clone)]
pub(super) struct RequestQueue(Arc<Mutex<QueueState>>);

#[derive(Debug)]
struct QueueState {
    waiting: VecDeque<CaptureRequest>,
    settings: VideoSettings,
    closed: bool,
}

/// Why a request is not queued.
pub(super) enum EnqueueError {
    /// [`MAX_QUEUED`] requests are pending.
    Full,
    /// The capture thread has ended.
    Closed,
}

impl RequestQueue {
    /// An empty queue, and the settings of the configuration.
    pub fn new(config: &Config) -> Self {
        let camera = &config.camera;
        let size = (camera.width.target(), camera.height.target());
        let settings = VideoSettings { size, fps: camera.fps.target(), bitrate: config.encoder.bitrate };
        Self(Arc::new(Mutex::new(QueueState { waiting: VecDeque::new(), settings, closed: false })))
    }

    /// The oldest request.
    pub fn pop(&self) -> Option<CaptureRequest> {
        self.lock().waiting.pop_front()
    }

    /// The requested settings.
    pub fn settings(&self) -> VideoSettings {
        self.lock().settings
    }

    /// Rejects all requests, pending and future: the capture thread has ended.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        // Dropped outside the lock, because that wakes the requesters.
        drop(waiting);
    }

    /// Adds a request.
    pub fn enqueue(&self, request: CaptureRequest) -> Result<(), EnqueueError> {
        let mut state = self.lock();
        if state.closed {
            return Err(EnqueueError::Closed);
        }
        state.waiting.retain(|waiting| !waiting.is_abandoned());
        if state.waiting.len() >= MAX_QUEUED {
            return Err(EnqueueError::Full);
        }
        state.waiting.push_back(request);
        Ok(())
    }

    /// Changes the requested settings; `None` when the capture thread has ended.
    pub fn update(&self, patch: VideoSettingsPatch) -> Option<VideoSettings> {
        let mut state = self.lock();
        let settings = &mut state.settings;
        settings.size = patch.size.unwrap_or(settings.size);
        settings.fps = patch.fps.unwrap_or(settings.fps);
        settings.bitrate = patch.bitrate.unwrap_or(settings.bitrate);
        let settings = *settings;
        (!state.closed).then_some(settings)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock()
    }
}
