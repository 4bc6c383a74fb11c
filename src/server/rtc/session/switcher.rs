//! The video frames of one viewer: those of its current camera and rendition and, during a switch to another one, still the
//! old one's until the first key frame of the new one. No network.
//!
//! All frames share one clock and their timestamps never go back, so the viewer's decoder sees a single stream.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::keyframe_budget::KeyframeBudget;
use super::keyframe_reader::{FrameReadError, KeyframeReader, now};
use super::nal_limit::NalTooLarge;
use crate::media::h264::Profile;
use crate::media::{EncodedFrame, MonotonicTimestamps};
use crate::model::metrics::Metrics;
use crate::model::status::Rendition;
use crate::server::rtc::CameraStream;
use crate::server::rtc::camera_rate::ViewerDemand;
use crate::server::rtc::sdp::formats::H264Format;
use crate::server::rtc::sdp::h264;
use crate::server::rtc::source::PROFILE_WAIT;
use crate::util::broadcast::Broadcast;

/// What the switcher yields.
#[derive(Debug)]
pub enum SwitchEvent {
    /// A frame to send.
    Frame {
        /// The frame.
        frame: EncodedFrame,
        /// The camera, if this is its first frame.
        first_of: Option<usize>,
    },
    /// The outcome of a pending switch.
    Resolved(Result<(), SwitchError>),
    /// The camera's NAL units do not fit this session's packets.
    NalTooLarge(NalTooLarge),
    /// No more frames will come.
    Closed,
}

/// What becomes of a request to switch to a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchStart {
    /// The camera is shown from its next key frame on, or already.
    Accepted,
    /// The camera's H.264 profile is not known yet.
    Pending,
    /// The camera can't be shown.
    Rejected(SwitchError),
}

impl SwitchStart {
    fn when(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Pending }
    }
}

/// Why a camera can't be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// There is none with this index.
    #[error("there is no camera {camera}; there are {count}")]
    NoSuchCamera {
        /// The index that was asked for.
        camera: usize,
        /// How many cameras there are.
        count: usize,
    },
    /// The session's decoder does not take the camera's H.264 profile.
    #[error("{0}")]
    Incompatible(String),
}

/// Selects the frames that one viewer is sent.
pub struct CameraSwitcher {
    cameras: Arc<[CameraStream]>,
    /// The H.264 format that was negotiated.
    format: H264Format,
    metrics: Metrics,
    /// Where the viewer's key frame requests go.
    current_video: watch::Sender<Broadcast<EncodedFrame>>,
    keyframes: Arc<KeyframeBudget>,
    /// What the viewer can take.
    demand: ViewerDemand,
    /// The camera that is shown, or will be after a pause.
    camera: usize,
    /// The rendition to show of cameras that have it.
    wanted: Rendition,
    /// `None` while paused, or before the first frame.
    current: Option<KeyframeReader>,
    pending: Option<PendingSwitch>,
    timestamps: MonotonicTimestamps,
}

/// A switch that waits for its first key frame.
struct PendingSwitch {
    stream: CameraStream,
    reader: KeyframeReader,
    /// Whether it is refused if the viewer cannot decode it: another camera is shown meanwhile. Without one it is worth a
    /// try, and the renditions of one camera have the same profile.
    is_refusable: bool,
    /// Until when to wait for its H.264 profile; `None` once that was checked.
    profile_deadline: Option<Instant>,
}

impl CameraSwitcher {
    /// Starts with a camera, for which the session was negotiated as `format`. `current_video` follows the current
    /// camera. Key frames are requested as far as the budget allows. The cameras' encoders follow `demand`.
    pub fn new(
        cameras: &Arc<[CameraStream]>,
        stream: CameraStream,
        format: H264Format,
        current_video: watch::Sender<Broadcast<EncodedFrame>>,
        keyframes: Arc<KeyframeBudget>,
        demand: ViewerDemand,
        metrics: Metrics,
    ) -> Self {
        let (cameras, camera, timestamps) = (cameras.clone(), stream.index, MonotonicTimestamps::default());
        let wanted = Rendition::Main;
        let reader = KeyframeReader::new(&stream, wanted, format.mode, keyframes.clone(), demand);
        let pending = Some(PendingSwitch { stream, reader, is_refusable: false, profile_deadline: None });
        Self {
            cameras,
            format,
            metrics,
            current_video,
            keyframes,
            demand,
            camera,
            wanted,
            current: None,
            pending,
            timestamps,
        }
    }

    /// Reports what the viewer can take now.
    pub fn report(&mut self, demand: ViewerDemand, now: std::time::Instant) {
        self.demand = demand;
        self.readers().for_each(|reader| reader.share.report(demand, now));
    }

    /// What the viewer could take, as it was reported last.
    pub fn demand(&self) -> ViewerDemand {
        self.demand
    }

    /// The configured bitrate of the camera that is shown, in bit/s; `None` while paused.
    pub fn bitrate_limit(&self) -> Option<u32> {
        self.readers().next().map(|reader| reader.share.limit())
    }

    /// The bitrate with which that camera is encoded now, in bit/s; `None` while paused.
    pub fn bitrate(&self) -> Option<u32> {
        self.readers().next().map(|reader| reader.share.bitrate())
    }

    /// The camera that is shown; `None` while paused.
    pub fn stream(&self) -> Option<&CameraStream> {
        self.readers().next().and_then(|_| self.camera_stream(self.camera))
    }

    /// The rendition that is shown, or will be first; `None` while paused.
    pub fn rendition(&self) -> Option<Rendition> {
        self.readers().next().map(|reader| reader.rendition)
    }

    /// The bitrate that the encoder of what is sent has now or will have soon, whichever is less, in bit/s; `None` while
    /// paused, and where a camera encodes itself.
    pub fn target_bitrate(&self) -> Option<u32> {
        self.readers().next().filter(|reader| reader.share.is_followed()).map(|reader| self.bitrate_soon(reader))
    }

    /// The bitrate of the camera's own size if this viewer is sent it, in bit/s; `None` while paused. It is what the encoder
    /// has or will have soon, whichever is less.
    pub fn main_bitrate(&self) -> Option<u32> {
        let reader = self.readers().next()?;
        match reader.rendition {
            Rendition::Main => Some(self.bitrate_soon(reader)),
            Rendition::Small => self.stream().map(|stream| stream.rate.bitrate_with(self.demand)),
        }
    }

    fn bitrate_soon(&self, reader: &KeyframeReader) -> u32 {
        let now = reader.share.bitrate();
        let is_enough = self.demand.available.is_none_or(|available| available >= now);
        if is_enough { now } else { now.min(reader.share.bitrate_with(self.demand)) }
    }

    fn camera_stream(&self, camera: usize) -> Option<&CameraStream> {
        self.cameras.iter().find(|stream| stream.index == camera)
    }

    fn readers(&self) -> impl Iterator<Item = &KeyframeReader> {
        self.current.iter().chain(self.pending.as_ref().map(|pending| &pending.reader))
    }

    /// Waits for the next event. Cancel safe.
    pub async fn next(&mut self) -> SwitchEvent {
        tokio::select! {
            biased;
            next = pending_event(&mut self.pending, self.format, &self.metrics) => match next {
                SwitchEvent::Frame { frame, first_of } => self.complete_switch(frame, first_of),
                SwitchEvent::Resolved(Err(error)) => {
                    self.pending = None;
                    SwitchEvent::Resolved(Err(error))
                }
                other => other,
            },
            frame = current_frame(&mut self.current, &self.metrics) => match frame {
                Ok(frame) => {
                    // A switch waits for a key frame of another camera.
                    if frame.key && self.pending.is_none() {
                        self.keyframes.note_sent();
                    }
                    SwitchEvent::Frame { frame: self.monotonic(frame), first_of: None }
                }
                Err(FrameReadError::NalTooLarge(error)) => SwitchEvent::NalTooLarge(error),
                Err(FrameReadError::Closed) => SwitchEvent::Closed,
            },
        }
    }

    /// Switches to a camera, or stays with the current one. While the outcome is [`SwitchStart::Pending`], it follows as
    /// [`SwitchEvent::Resolved`].
    pub fn request_switch(&mut self, camera: usize) -> SwitchStart {
        if let Some(pending) = self.pending.as_ref().filter(|pending| pending.stream.index == camera) {
            return SwitchStart::when(pending.profile_deadline.is_none());
        }
        if self.current.is_some() {
            // A later request cancels one that has not been completed yet.
            self.pending = None;
            if camera == self.camera {
                return SwitchStart::Accepted;
            }
        }
        let Some(stream) = self.camera_stream(camera).cloned() else {
            return SwitchStart::Rejected(SwitchError::NoSuchCamera { camera, count: self.cameras.len() });
        };
        let profile = *stream.profile.borrow();
        if let Err(error) = check_profile(profile, self.format.profile) {
            return SwitchStart::Rejected(error);
        }
        if self.current.is_some() {
            let profile_deadline = profile.is_none().then(|| Instant::now() + PROFILE_WAIT);
            self.pending = Some(PendingSwitch { is_refusable: true, profile_deadline, ..self.immediate(stream) });
            return SwitchStart::when(profile.is_some());
        }
        // Nothing is shown yet, so the first frame may decide the profile; while paused, do not even wait for that.
        self.camera = camera;
        if self.pending.is_some() {
            self.pending = Some(self.immediate(stream));
        }
        SwitchStart::Accepted
    }

    /// Has the viewer sent this rendition of its camera from its next key frame on, if the camera has it. To be called again
    /// from time to time, because cameras change.
    pub fn set_rendition(&mut self, wanted: Rendition) {
        self.wanted = wanted;
        let shown = self.current.as_ref().map(|reader| reader.rendition);
        let Some(pending) = &mut self.pending else {
            if let Some((shown, stream)) = shown.zip(self.stream())
                && stream.rendition(wanted).0 != shown
            {
                self.pending = Some(self.immediate(stream.clone()));
            }
            return;
        };
        let (rendition, ..) = pending.stream.rendition(wanted);
        if pending.reader.rendition == rendition {
            return;
        }
        if pending.stream.index == self.camera && shown == Some(rendition) {
            // It has changed its mind.
            self.pending = None;
            return;
        }
        pending.reader =
            KeyframeReader::new(&pending.stream, wanted, self.format.mode, self.keyframes.clone(), self.demand);
    }

    /// Pauses the video. A switch whose profile is not checked yet is accepted unchecked; then this is `true`.
    pub fn pause(&mut self) -> bool {
        self.current = None;
        let Some(pending) = self.pending.take() else { return false };
        self.camera = pending.stream.index;
        pending.profile_deadline.is_some()
    }

    /// Resumes with the current camera.
    pub fn resume(&mut self) {
        if self.current.is_none()
            && self.pending.is_none()
            && let Some(stream) = self.camera_stream(self.camera)
        {
            self.pending = Some(self.immediate(stream.clone()));
        }
    }

    /// Requests a key frame.
    pub fn request_keyframe(&self) {
        self.keyframes.request(&self.current_video.borrow(), now());
    }

    /// Passes a request for a key frame on that the budget did not allow before, if it does at `now`.
    pub fn pass_on_due_request(&self, now: std::time::Instant) {
        if self.readers().next().is_some() && self.keyframes.take_due(now) {
            self.readers().for_each(|reader| reader.video.request_refresh());
        }
    }

    /// A switch to a camera, or to another rendition of it, that is not refused.
    fn immediate(&self, stream: CameraStream) -> PendingSwitch {
        let keyframes = self.keyframes.clone();
        let reader = KeyframeReader::new(&stream, self.wanted, self.format.mode, keyframes, self.demand);
        PendingSwitch { stream, reader, is_refusable: false, profile_deadline: None }
    }

    /// The first frame of the new camera or rendition is there.
    fn complete_switch(&mut self, frame: EncodedFrame, first_of: Option<usize>) -> SwitchEvent {
        self.keyframes.note_sent();
        let mut first_of = first_of;
        if let Some(PendingSwitch { stream, reader, .. }) = self.pending.take() {
            if self.current.is_some() && self.camera == stream.index {
                first_of = None;
            }
            self.camera = stream.index;
            self.current_video.send_replace(reader.video.clone());
            self.current = Some(reader);
        }
        SwitchEvent::Frame { frame: self.monotonic(frame), first_of }
    }

    fn monotonic(&mut self, mut frame: EncodedFrame) -> EncodedFrame {
        frame.captured = self.timestamps.next(frame.captured);
        frame
    }
}

impl PendingSwitch {
    /// Its H.264 profile, or `None` if that is not known in time.
    async fn profile(&mut self) -> Option<Profile> {
        let Some(profile_deadline) = self.profile_deadline else { return std::future::pending().await };
        let known = self.stream.profile.wait_for(Option::is_some);
        tokio::time::timeout_at(profile_deadline, known).await.ok()?.ok().and_then(|profile| *profile)
    }
}

/// The next event of the pending switch; pending forever if there is none.
async fn pending_event(pending: &mut Option<PendingSwitch>, format: H264Format, metrics: &Metrics) -> SwitchEvent {
    let Some(pending) = pending else { return std::future::pending().await };
    if pending.profile_deadline.is_some() {
        let profile = pending.profile().await;
        pending.profile_deadline = None;
        return SwitchEvent::Resolved(check_profile(profile, format.profile));
    }
    let frame = match pending.reader.next(metrics).await {
        Ok(frame) => frame,
        Err(FrameReadError::NalTooLarge(error)) if pending.is_refusable => {
            return SwitchEvent::Resolved(Err(SwitchError::Incompatible(error.to_string())));
        }
        Err(FrameReadError::NalTooLarge(error)) => return SwitchEvent::NalTooLarge(error),
        Err(FrameReadError::Closed) => return SwitchEvent::Closed,
    };
    // The profile may have changed since it was checked. If there is no other camera to show, it is worth a try: decoders
    // often take more than they offer.
    let profile = pending.is_refusable.then(|| *pending.stream.profile.borrow()).flatten();
    match check_profile(profile, format.profile) {
        Ok(()) => SwitchEvent::Frame { frame, first_of: Some(pending.stream.index) },
        Err(error) => SwitchEvent::Resolved(Err(error)),
    }
}

/// Whether a session that was negotiated for `format` can show frames of this profile; an unknown one is let through.
fn check_profile(profile: Option<Profile>, format: Profile) -> Result<(), SwitchError> {
    profile.map_or(Ok(()), |profile| h264::fits(profile, format)).map_err(SwitchError::Incompatible)
}

/// The next frame of the current camera; pending forever if there is none.
async fn current_frame(
    current: &mut Option<KeyframeReader>,
    metrics: &Metrics,
) -> Result<EncodedFrame, FrameReadError> {
    match current {
        Some(reader) => reader.next(metrics).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
