//! The pictures of one viewer: those of the camera that it watches and, when it goes over to another one, the old ones
//! until the new one's first key frame is there. No network.
//!
//! All of them have one clock, and their times never go back, so that they are one stream for the viewer's decoder.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::media::h264::Profile;
use crate::media::{EncodedFrame, Timestamp};
use crate::model::metrics::{DropPoint, Metrics};
use crate::server::rtc::CameraStream;
use crate::server::rtc::sdp::h264;
use crate::server::rtc::source::PROFILE_WAIT;
use crate::util::broadcast::{Broadcast, RecvError, Subscriber};

/// The least distance of two pictures' times. The first picture of a camera may have been taken before the last one of the
/// camera before, and players drop what goes back in time.
const TICK: Duration = Duration::from_millis(1);

/// What comes next.
#[derive(Debug)]
pub enum SwitchEvent {
    /// A picture to send.
    Frame {
        /// The picture.
        frame: EncodedFrame,
        /// The camera whose first one it is.
        begins: Option<usize>,
    },
    /// Whether the chosen camera can be shown, in words where it can't.
    Judged(Result<(), String>),
    /// No more will come.
    Closed,
}

/// What one viewer sees.
pub struct CameraSwitcher {
    feeds: Arc<[CameraStream]>,
    /// What the session was negotiated for.
    format: Profile,
    metrics: Metrics,
    /// Whom the viewer's requests for key frames go to.
    watched: watch::Sender<Broadcast<EncodedFrame>>,
    /// The camera that is watched, or will be again after a pause.
    camera: usize,
    /// `None` while it is paused, or before the first picture.
    playing: Option<KeyframeReader>,
    coming: Option<PendingSwitch>,
    last: Timestamp,
}

/// A camera that the viewer goes over to.
struct PendingSwitch {
    feed: CameraStream,
    reader: KeyframeReader,
    /// Whether another camera is watched until this one's first picture.
    beside: bool,
    /// Until when what its pictures demand of a decoder is waited for; `None` when that was judged.
    judge_by: Option<Instant>,
}

impl CameraSwitcher {
    /// Begins with the camera of `feed`, for which the session was negotiated as `format`. `watched` follows the camera that
    /// is watched.
    pub fn new(
        feeds: &Arc<[CameraStream]>,
        feed: CameraStream,
        format: Profile,
        watched: watch::Sender<Broadcast<EncodedFrame>>,
        metrics: Metrics,
    ) -> Self {
        let (feeds, camera, last) = (feeds.clone(), feed.index, Timestamp::default());
        let coming = Some(PendingSwitch::alone(feed));
        Self { feeds, format, metrics, watched, camera, playing: None, coming, last }
    }

    /// Waits for what comes next. Cancelling loses nothing.
    pub async fn next(&mut self) -> SwitchEvent {
        tokio::select! {
            biased;
            next = coming(&mut self.coming, self.format, &self.metrics) => match next {
                SwitchEvent::Frame { frame, begins } => self.go_over(frame, begins),
                SwitchEvent::Judged(Err(reason)) => {
                    self.coming = None;
                    SwitchEvent::Judged(Err(reason))
                }
                other => other,
            },
            frame = playing(&mut self.playing, &self.metrics) => match frame {
                Some(frame) => SwitchEvent::Frame { frame: self.in_order(frame), begins: None },
                None => SwitchEvent::Closed,
            },
        }
    }

    /// Goes over to another camera, or stays with the one that is watched. `None` while it is not known whether it can be
    /// shown; [`SwitchEvent::Judged`] tells.
    pub fn choose(&mut self, camera: usize) -> Option<Result<(), String>> {
        if let Some(coming) = self.coming.as_ref().filter(|coming| coming.feed.index == camera) {
            return coming.judge_by.is_none().then_some(Ok(()));
        }
        if self.playing.is_some() {
            // A later choice takes back one that has not been followed yet.
            self.coming = None;
            if camera == self.camera {
                return Some(Ok(()));
            }
        }
        let Some(feed) = self.feeds.iter().find(|feed| feed.index == camera) else {
            return Some(Err(format!("there is no camera {camera}; there are {}", self.feeds.len())));
        };
        let known = *feed.profile.borrow();
        let verdict = known.map(|stream| h264::fits(stream, self.format));
        if matches!(verdict, Some(Err(_))) {
            return verdict;
        }
        if self.playing.is_some() {
            let judge_by = known.is_none().then(|| Instant::now() + PROFILE_WAIT);
            self.coming = Some(PendingSwitch { beside: true, judge_by, ..PendingSwitch::alone(feed.clone()) });
            return verdict;
        }
        // Its first picture shows what it demands; while it is paused, not even that is looked at.
        self.camera = camera;
        if self.coming.is_some() {
            self.coming = Some(PendingSwitch::alone(feed.clone()));
        }
        Some(Ok(()))
    }

    /// Shows nothing from now on. A choice that was not judged yet is taken as it is, which is `true`.
    pub fn pause(&mut self) -> bool {
        self.playing = None;
        let Some(coming) = self.coming.take() else { return false };
        self.camera = coming.feed.index;
        coming.judge_by.is_some()
    }

    /// Goes on with the camera that is watched.
    pub fn resume(&mut self) {
        if self.playing.is_none()
            && self.coming.is_none()
            && let Some(feed) = self.feeds.iter().find(|feed| feed.index == self.camera)
        {
            self.coming = Some(PendingSwitch::alone(feed.clone()));
        }
    }

    /// Asks for a key frame.
    pub fn request_key(&self) {
        self.watched.borrow().request_refresh();
    }

    /// The first picture of the camera that comes is there.
    fn go_over(&mut self, frame: EncodedFrame, begins: Option<usize>) -> SwitchEvent {
        if let Some(PendingSwitch { feed, reader, .. }) = self.coming.take() {
            self.camera = feed.index;
            self.playing = Some(reader);
            self.watched.send_replace(feed.video);
        }
        SwitchEvent::Frame { frame: self.in_order(frame), begins }
    }

    fn in_order(&mut self, mut frame: EncodedFrame) -> EncodedFrame {
        frame.captured = frame.captured.max(self.last.saturating_add(TICK));
        self.last = frame.captured;
        frame
    }
}

impl PendingSwitch {
    /// One that nothing is watched before.
    fn alone(feed: CameraStream) -> Self {
        let reader = KeyframeReader::new(&feed.video);
        Self { feed, reader, beside: false, judge_by: None }
    }

    /// What its pictures demand of a decoder, or `None` when that was not told in time.
    async fn demands(&mut self) -> Option<Profile> {
        let Some(judge_by) = self.judge_by else { return std::future::pending().await };
        let known = self.feed.profile.wait_for(Option::is_some);
        tokio::time::timeout_at(judge_by, known).await.ok()?.ok().and_then(|profile| *profile)
    }
}

/// What becomes of the camera that comes; never when there is none.
async fn coming(coming: &mut Option<PendingSwitch>, format: Profile, metrics: &Metrics) -> SwitchEvent {
    let Some(coming) = coming else { return std::future::pending().await };
    let fits = |profile: Option<Profile>| profile.map_or(Ok(()), |stream| h264::fits(stream, format));
    if coming.judge_by.is_some() {
        let profile = coming.demands().await;
        coming.judge_by = None;
        return SwitchEvent::Judged(fits(profile));
    }
    let Some(frame) = coming.reader.next(metrics).await else { return SwitchEvent::Closed };
    // It may be another one by now than the one that was judged. Where there is nothing else to be shown, a decoder that
    // takes more than it says is worth the try.
    let profile = coming.beside.then(|| *coming.feed.profile.borrow()).flatten();
    match fits(profile) {
        Ok(()) => SwitchEvent::Frame { frame, begins: Some(coming.feed.index) },
        Err(reason) => SwitchEvent::Judged(Err(reason)),
    }
}

/// The next picture of the camera that is watched; never when there is none.
async fn playing(playing: &mut Option<KeyframeReader>, metrics: &Metrics) -> Option<EncodedFrame> {
    match playing {
        Some(reader) => reader.next(metrics).await,
        None => std::future::pending().await,
    }
}

/// Reads one camera's pictures, from a key frame on.
struct KeyframeReader {
    video: Broadcast<EncodedFrame>,
    frames: Subscriber<EncodedFrame>,
    awaiting_key: bool,
}

impl KeyframeReader {
    fn new(video: &Broadcast<EncodedFrame>) -> Self {
        let frames = video.subscribe();
        video.request_refresh();
        Self { video: video.clone(), frames, awaiting_key: true }
    }

    /// The next picture that can be decoded; `None` when no more will come. Cancelling loses nothing.
    async fn next(&mut self, metrics: &Metrics) -> Option<EncodedFrame> {
        loop {
            match self.frames.recv().await {
                Ok(frame) if self.awaiting_key && !frame.key => metrics.drop_at(DropPoint::AwaitingKey, 1),
                Ok(frame) => {
                    self.awaiting_key = false;
                    return Some(frame);
                }
                Err(RecvError::Lagged(count)) => {
                    metrics.drop_at(DropPoint::ViewerLag, count);
                    self.awaiting_key = true;
                    self.video.request_refresh();
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
