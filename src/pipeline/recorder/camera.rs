//! The task that records one camera: receives frames and audio as a viewer does, motion, commands, and what becomes of the
//! storage.
//!
//! What each of them means is in `machine`.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::machine::RecordingMachine;
use super::storage::StorageHealth;
use super::{RateHold, RecorderSource};
use crate::media::{AudioPacket, EncodedFrame, Timestamp};
use crate::model::protocol::{MotionEvent, MotionPhase};
use crate::model::status::Status;
use crate::util::broadcast::{Broadcast, RecvError, Subscriber};
use crate::util::pending::or_pending;

/// How often it is looked whether something is due without a frame.
const TICK: Duration = Duration::from_millis(500);

/// A command of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordCommand {
    /// An event begins.
    Start,
    /// It ends.
    Stop,
}

/// The task's state.
pub struct CameraRecorder {
    pub source: RecorderSource,
    pub machine: RecordingMachine,
    pub commands: mpsc::Receiver<RecordCommand>,
    pub status: watch::Receiver<Status>,
    pub health: watch::Receiver<StorageHealth>,
    pub stop: CancellationToken,
    /// How often this camera's files could not be written.
    pub failures: u64,
}

/// What is received while it is needed.
struct Streams {
    video: Subscriber<EncodedFrame>,
    audio: Option<Subscriber<AudioPacket>>,
    /// Keeps the bitrate from following slow viewers.
    _rate: RateHold,
}

/// What the task has waited for.
enum RecorderEvent {
    Stop,
    Status,
    Command(RecordCommand),
    Motion(Result<MotionEvent, RecvError>),
    Health,
    Video(Result<EncodedFrame, RecvError>),
    Audio(Result<AudioPacket, RecvError>),
    Tick,
}

impl CameraRecorder {
    /// Records until it is stopped.
    pub async fn run(mut self) {
        let (mut streams, mut tick) = (None, interval(TICK));
        let mut motion = self.source.motion.as_ref().map(Broadcast::subscribe);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_private = self.status.borrow_and_update().privacy;
            if is_private {
                self.machine.forget();
            }
            let is_needed = self.machine.needs_frames() && !is_private;
            if !is_needed {
                streams = None;
            } else if streams.is_none() {
                streams = Some(self.subscribe());
            }
            let event = self.next(&mut streams, &mut motion, &mut tick).await;
            if matches!(event, RecorderEvent::Stop) {
                return self.machine.forget();
            }
            if matches!(event, RecorderEvent::Motion(Err(RecvError::Closed))) {
                motion = None;
            }
            self.handle(event, &mut streams, is_private);
        }
    }

    /// Begins to receive: like a viewer, it has the camera opened.
    fn subscribe(&mut self) -> Streams {
        let video = self.source.video.subscribe();
        self.machine.interrupt();
        self.source.video.request_refresh();
        let audio = self.source.audio.as_ref().map(|audio| audio.subscribe());
        Streams { video, audio, _rate: (self.source.hold_rate)() }
    }

    async fn next(
        &mut self,
        streams: &mut Option<Streams>,
        motion: &mut Option<Subscriber<MotionEvent>>,
        tick: &mut Interval,
    ) -> RecorderEvent {
        let (video, audio) = match streams {
            Some(Streams { video, audio, .. }) => (Some(video), audio.as_mut()),
            None => (None, None),
        };
        let is_receiving = video.is_some();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => RecorderEvent::Stop,
            Ok(()) = self.status.changed() => RecorderEvent::Status,
            Some(command) = self.commands.recv() => RecorderEvent::Command(command),
            motion = or_pending(motion.as_mut().map(Subscriber::recv)) => RecorderEvent::Motion(motion),
            Ok(()) = self.health.changed() => RecorderEvent::Health,
            packet = or_pending(audio.map(Subscriber::recv)) => RecorderEvent::Audio(packet),
            frame = or_pending(video.map(Subscriber::recv)) => RecorderEvent::Video(frame),
            _ = tick.tick(), if is_receiving => RecorderEvent::Tick,
        }
    }

    fn handle(&mut self, event: RecorderEvent, streams: &mut Option<Streams>, is_private: bool) {
        match event {
            RecorderEvent::Stop | RecorderEvent::Status => {}
            RecorderEvent::Command(RecordCommand::Start) if is_private => {}
            RecorderEvent::Command(RecordCommand::Start) => self.machine.start(),
            RecorderEvent::Command(RecordCommand::Stop) => self.machine.stop(Timestamp::now()),
            RecorderEvent::Motion(Ok(motion)) => match motion.state {
                MotionPhase::Begun if is_private => {}
                MotionPhase::Begun => self.machine.motion_begun(),
                MotionPhase::Ended => self.machine.motion_ended(Timestamp::now()),
            },
            // What was missed is older than what is still to come.
            RecorderEvent::Motion(Err(_)) => {}
            RecorderEvent::Health => self.check_health(),
            // The switch was turned on, and the status has not told so yet.
            RecorderEvent::Video(Ok(_)) if self.source.video.demand().blocked_since().is_some() => {
                self.machine.interrupt()
            }
            RecorderEvent::Video(Ok(frame)) => {
                self.machine.push_video(frame);
                self.request_key();
            }
            RecorderEvent::Video(Err(RecvError::Lagged(count))) => {
                self.machine.missed(count);
                self.request_key();
            }
            RecorderEvent::Audio(Ok(packet)) => self.machine.push_audio(packet),
            // What is missing is a gap by its times.
            RecorderEvent::Audio(Err(RecvError::Lagged(_))) => {}
            // The program is stopping.
            RecorderEvent::Video(Err(RecvError::Closed)) => self.stop.cancel(),
            RecorderEvent::Audio(Err(RecvError::Closed)) => streams.iter_mut().for_each(|streams| streams.audio = None),
            RecorderEvent::Tick => {
                self.machine.tick(Timestamp::now());
                self.request_key();
            }
        }
    }

    fn request_key(&mut self) {
        if self.machine.take_key_request(Timestamp::now()) {
            self.source.video.request_refresh();
        }
    }

    fn check_health(&mut self) {
        let health = self.health.borrow_and_update();
        let failures = health.failures.get(self.source.index).copied().unwrap_or(0);
        if failures != std::mem::replace(&mut self.failures, failures) {
            self.machine.failed(Instant::now());
        } else if health.fault.is_none() {
            self.machine.recovered();
        }
    }
}
