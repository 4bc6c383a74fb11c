//! A session: the tracks that a client has set up, and what is sent on them while they play.
//!
//! Requests are in `requests`, packets in `track`. A session is in the table of all viewers like those of browsers, and counts as
//! one that can take the configured bitrate: nothing is known of its network.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::target::TrackKind;
use super::track::{RtspTrack, TrackPacket};
use super::udp::UdpPair;
use crate::media::{AudioPacket, EncodedFrame, Timestamp};
use crate::model::metrics::{DropPoint, Metrics};
use crate::model::status::Rendition;
use crate::server::rtc::{
    AudioReceiver, CameraStream, KeyframeBudget, KeyframeReader, PacketizationMode, ViewerDemand,
};
use crate::server::sessions::SessionGuard;
use crate::util::broadcast::Demand;
use crate::util::connection_limit::BusyGuard;
use crate::util::pending::{or_pending, reached};

/// How long PLAY waits for the first frame, of which its answer tells the time: a camera that is opened for it takes about two
/// seconds.
const FIRST_FRAME_WAIT: Duration = Duration::from_secs(5);

/// How old a key frame that was kept for whoever joins may be. Players show what they get at its own pace, so an older one would
/// put the picture behind for good, and before the sound.
const MAX_KEPT_AGE: Duration = Duration::from_millis(250);

/// Between two sender reports of a track.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What happens next in a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// There is a frame to send.
    Video(EncodedFrame),
    /// There is a packet of audio to send.
    Audio(AudioPacket),
    /// Sender reports are due.
    Report,
    /// A socket has room again.
    Writable,
    /// The client has reported by UDP: it is there.
    Heard,
    /// Nothing will be sent any more.
    Closed,
}

/// A session.
pub struct RtspSession {
    camera: CameraStream,
    /// The session's record in the table.
    guard: SessionGuard,
    metrics: Metrics,
    keyframes: Arc<KeyframeBudget>,
    video: Option<RtspTrack>,
    audio: Option<RtspTrack>,
    playback: Option<Playback>,
    /// Whether it has begun to play.
    has_played: bool,
    /// The last key frame that was sent, for DESCRIBE.
    key_frame: Option<Bytes>,
    _busy: BusyGuard,
}

/// What is being sent.
struct Playback {
    /// The frames, if the video was set up.
    video: Option<KeyframeReader>,
    /// The audio, if it was set up.
    audio: AudioReceiver,
    /// When the first frame was captured, or the first audio if there is no video. Audio from before it is not sent, and none
    /// until it is known.
    start: Option<Timestamp>,
    /// What was received before the answer to PLAY was sent.
    first: Option<SessionEvent>,
    /// Whether the last frame sent is a placeholder.
    is_placeholder: bool,
    /// When the last audio sent was captured.
    sound_at: Timestamp,
    next_report: Instant,
}

impl RtspSession {
    /// A session of this camera that keeps its connection busy, and requests key frames as far as that one's budget allows.
    pub fn new(
        camera: CameraStream,
        guard: SessionGuard,
        metrics: Metrics,
        keyframes: Arc<KeyframeBudget>,
        busy: BusyGuard,
    ) -> Self {
        Self {
            camera,
            guard,
            metrics,
            keyframes,
            video: None,
            audio: None,
            playback: None,
            has_played: false,
            key_frame: None,
            _busy: busy,
        }
    }

    /// Its ID.
    pub fn id(&self) -> &str {
        self.guard.handle().id()
    }

    /// Cancelled when it is ended.
    pub fn end(&self) -> &CancellationToken {
        self.guard.handle().end()
    }

    /// The camera that it shows.
    pub fn camera(&self) -> &CameraStream {
        &self.camera
    }

    /// Sets a track up, or again in another way.
    pub fn set_track(&mut self, kind: TrackKind, track: RtspTrack) {
        match kind {
            TrackKind::Video => self.video = Some(track),
            TrackKind::Audio => self.audio = Some(track),
        }
    }

    /// The channels of the track that is not of this kind.
    pub fn channels_besides(&self, kind: TrackKind) -> Option<(u8, u8)> {
        let other = if kind == TrackKind::Video { &self.audio } else { &self.video };
        other.as_ref().and_then(RtspTrack::channels)
    }

    /// The last key frame that was sent, if it is of this camera and no placeholder.
    pub fn key_frame(&self, camera: &CameraStream) -> Option<Bytes> {
        self.key_frame.clone().filter(|_| self.camera.index == camera.index)
    }

    /// Whether it is playing.
    pub fn is_playing(&self) -> bool {
        self.playback.is_some()
    }

    /// Whether it has begun to play, and may be paused now.
    pub fn has_played(&self) -> bool {
        self.has_played
    }

    /// Whether it is playing on its connection alone, so that a client that is gone is noticed by what it does not read.
    pub fn is_playing_on_connection(&self) -> bool {
        self.is_playing() && self.tracks().all(|track| track.udp().is_none())
    }

    fn tracks(&self) -> impl Iterator<Item = &RtspTrack> {
        self.video.iter().chain(&self.audio)
    }

    /// Starts to play, and waits for what is sent first.
    pub async fn play(&mut self) {
        self.guard.set_connected();
        self.has_played = true;
        let mut playback = self.playback();
        playback.first = timeout(FIRST_FRAME_WAIT, playback.receive(&self.metrics)).await.ok();
        playback.start = match &playback.first {
            Some(SessionEvent::Video(frame)) => Some(frame.captured),
            Some(SessionEvent::Audio(packet)) => Some(packet.captured),
            _ => None,
        };
        playback.next_report = Instant::now();
        self.playback = Some(playback);
    }

    /// Subscribes to what was set up.
    fn playback(&self) -> Playback {
        let audio = self.camera.audio.as_ref().filter(|_| self.audio.is_some());
        let is_udp = self.audio.as_ref().is_some_and(|track| track.udp().is_some());
        let mut receiver = AudioReceiver::new(audio, true);
        // Whether any is lost there is not known.
        receiver.protect(audio.filter(|_| is_udp));
        let video = self.video.is_some().then(|| {
            let demand =
                ViewerDemand { available: None, is_settled: true, is_limited: false, owner: self.guard.owner() };
            let mode = PacketizationMode::NonInterleaved;
            let mut reader = KeyframeReader::new(&self.camera, Rendition::Main, mode, self.keyframes.clone(), demand);
            reader.skip_kept_before(MAX_KEPT_AGE);
            reader
        });
        Playback {
            video,
            audio: receiver,
            start: None,
            first: None,
            is_placeholder: false,
            sound_at: Timestamp::default(),
            next_report: Instant::now(),
        }
    }

    /// Stops playing until the next [`play`](Self::play); the tracks stay.
    pub fn pause(&mut self) {
        self.playback = None;
        for track in self.video.iter_mut().chain(&mut self.audio) {
            track.discard_unsent();
        }
    }

    /// `RTP-Info` of the answer to PLAY: what the first packet of each track will be, and when it was captured, by which players
    /// align the tracks. `None` while nothing is there to be sent.
    pub fn rtp_info(&self, base: &str) -> Option<String> {
        let start = self.playback.as_ref()?.start?;
        let entries: Vec<String> = self.tracks().map(|track| track.rtp_info(base, start)).collect();
        Some(entries.join(","))
    }

    /// Waits for what happens next. Cancel safe.
    pub async fn next(&mut self) -> SessionEvent {
        let Self { video, audio, playback, metrics, .. } = self;
        let tracks = [video.as_ref(), audio.as_ref()];
        if let Some(playback) = playback.as_mut() {
            // Before anything else is sent, so that players align the tracks from the start.
            if playback.next_report <= Instant::now() {
                return SessionEvent::Report;
            }
            if let Some(first) = playback.first.take() {
                return first;
            }
        }
        let is_backed_up = tracks.into_iter().flatten().any(RtspTrack::is_backed_up);
        let [one, other] = tracks;
        tokio::select! {
            biased;
            () = reached(playback.as_ref().map(|playback| playback.next_report)) => SessionEvent::Report,
            () = or_pending(one.map(RtspTrack::writable)) => SessionEvent::Writable,
            () = or_pending(other.map(RtspTrack::writable)) => SessionEvent::Writable,
            // Nothing is taken that would have to wait.
            event = or_pending(playback.as_mut().map(|playback| playback.receive(metrics))), if !is_backed_up => event,
            () = heard(one) => SessionEvent::Heard,
            () = heard(other) => SessionEvent::Heard,
        }
    }

    /// Does what an event asks for. What goes on the connection is added to `out`.
    pub fn handle(&mut self, event: SessionEvent, out: &mut Vec<u8>) {
        match event {
            SessionEvent::Video(frame) => self.send_video(&frame, out),
            SessionEvent::Audio(packet) => self.send_audio(&packet, out),
            SessionEvent::Report => self.send_reports(out),
            SessionEvent::Writable => self.send_unsent(),
            SessionEvent::Heard | SessionEvent::Closed => {}
        }
    }

    fn send_video(&mut self, frame: &EncodedFrame, out: &mut Vec<u8>) {
        let (Some(track), Some(playback)) = (&mut self.video, &mut self.playback) else { return };
        // It was captured before the privacy switch was turned on, and the client was too slow for it.
        if !frame.placeholder && blocked_since(self.camera.video.demand()).is_some() {
            self.metrics.count_drop(DropPoint::ViewerLag, 1);
            return playback.video.iter_mut().for_each(KeyframeReader::resume_at_key_frame);
        }
        playback.start.get_or_insert(frame.captured);
        playback.is_placeholder = frame.placeholder;
        if frame.key {
            self.keyframes.note_sent();
            self.key_frame = (!frame.placeholder).then(|| frame.data.clone());
        }
        let payloads = frame.payloads.non_interleaved(&frame.data);
        for (at, payload) in payloads.iter().enumerate() {
            let head = TrackPacket { marker: at + 1 == payloads.len(), captured: frame.captured };
            track.send(head, |packet| payload.write(packet), out, &self.metrics);
        }
    }

    fn send_audio(&mut self, packet: &AudioPacket, out: &mut Vec<u8>) {
        let (Some(track), Some(playback)) = (&mut self.audio, &mut self.playback) else { return };
        if playback.video.is_none() {
            playback.start.get_or_insert(packet.captured);
        }
        let is_early = playback.start.is_none_or(|start| packet.captured < start);
        let since = self.camera.audio.as_ref().and_then(|audio| blocked_since(audio.demand()));
        let is_withheld = since.is_some_and(|since| packet.captured < since);
        if is_early || is_withheld {
            return playback.audio.note_gap();
        }
        playback.sound_at = packet.captured;
        let head = TrackPacket { marker: packet.gap, captured: packet.captured };
        track.send(head, |out| out.extend_from_slice(&packet.data), out, &self.metrics);
    }

    /// Sends what the sockets had no room for, unless it is of before the privacy switch was turned on.
    fn send_unsent(&mut self) {
        let Some(playback) = &mut self.playback else { return };
        if let Some(track) = &mut self.video {
            let is_withheld = !playback.is_placeholder && blocked_since(self.camera.video.demand()).is_some();
            if is_withheld && track.discard_unsent() {
                self.metrics.count_drop(DropPoint::ViewerLag, 1);
                playback.video.iter_mut().for_each(KeyframeReader::resume_at_key_frame);
            }
            track.flush();
        }
        if let Some(track) = &mut self.audio {
            let since = self.camera.audio.as_ref().and_then(|audio| blocked_since(audio.demand()));
            let is_withheld = since.is_some_and(|since| playback.sound_at < since);
            if is_withheld && track.discard_unsent() {
                playback.audio.note_gap();
            }
            track.flush();
        }
    }

    fn send_reports(&mut self, out: &mut Vec<u8>) {
        let (present, now) = (Timestamp::now(), Instant::now());
        self.tracks().for_each(|track| track.report(present, out));
        let Some(playback) = &mut self.playback else { return };
        playback.next_report = now + REPORT_INTERVAL;
        if let Some(video) = playback.video.as_ref().filter(|_| self.keyframes.take_due(now)) {
            video.video.request_refresh();
        }
    }
}

impl Playback {
    /// What is to be sent next. Cancel safe.
    async fn receive(&mut self, metrics: &Metrics) -> SessionEvent {
        let Self { video, audio, start, .. } = self;
        let holds_audio = video.is_some() && start.is_none();
        tokio::select! {
            biased;
            packet = audio.next(), if !holds_audio => SessionEvent::Audio(packet),
            frame = next_video(video, metrics) => frame.map_or(SessionEvent::Closed, SessionEvent::Video),
        }
    }
}

/// When the producer was blocked, if it is.
fn blocked_since(demand: &Demand) -> Option<Timestamp> {
    demand.blocked_since().map(Timestamp::of_instant)
}

/// The next frame; `None` if no more will come, pending forever if the video was not set up.
async fn next_video(video: &mut Option<KeyframeReader>, metrics: &Metrics) -> Option<EncodedFrame> {
    match video {
        Some(video) => video.next(metrics).await.ok(),
        None => std::future::pending().await,
    }
}

/// Waits for a report of the client by UDP.
async fn heard(track: Option<&RtspTrack>) {
    let pair: Option<&UdpPair> = track.and_then(RtspTrack::udp);
    // What it says does not matter, so the rest may be cut off.
    let mut report = [0; 16];
    match pair {
        // An error tells that the client did not listen to a report of ours; the next wait goes on.
        Some(pair) if pair.rtcp.recv(&mut report).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
