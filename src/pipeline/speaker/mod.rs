//! The speaker's pipeline: one thread opens the speaker while somebody talks, decodes what they say and plays it, or plays what is
//! announced. While nobody talks it sleeps, and the device is closed.
//!
//! The counterpart of the microphone's in `audio`. Who may talk is decided in `server::floor`; nothing waits for the thread.

mod announcement;
mod input;
mod talker;
#[cfg(test)]
mod tests;

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::capture::audio::speaker::{PcmSink, Speaker};
use crate::media::Timestamp;
use crate::model::metrics::{Metrics, TalkDrop};
use crate::model::status;
use crate::model::status::PipelineState;
use crate::pipeline::ducking::Ducking;
use crate::util::backoff::Backoff;
use crate::util::broadcast::{Demand, Linger, Wake};
use crate::util::thread::{MediaThread, set_nice};

pub use announcement::{Announcement, AnnouncementError, AnnouncementState, MAX_FILE_BYTES};
use input::{AnnouncementSlot, TalkInput};
pub use input::{SpeakerInput, Talk};
use talker::Talker;

/// How long the speaker stays open after somebody has talked: until they press again in the middle of a conversation.
const LINGER: Duration = Duration::from_secs(2);

/// The longest wait for the speaker before the thread checks whether it should stop. It is also the longest time that the
/// speaker goes on after the privacy switch was turned on.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A speaker that takes no sound for this long is reopened.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait when `auto` finds no speaker; plugging one in ends the wait.
const RESCAN_INTERVAL: Duration = Duration::from_secs(10);

/// The nice value of the thread, as that of the microphone: a sound card has only 20 ms left when it asks for more.
const NICE: i32 = -10;

/// Stops the thread when dropped.
#[derive(Debug)]
pub struct Guard {
    demand: Demand,
    _thread: MediaThread,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.demand.stop();
    }
}

/// Starts the pipeline of `speaker`, whose device is not `off`.
///
/// # Errors
///
/// When the thread cannot be created.
pub fn start(
    speaker: Speaker,
    ducking: Ducking,
    metrics: &Metrics,
    publisher: &status::StatusPublisher,
) -> anyhow::Result<(SpeakerInput, Guard)> {
    start_with(Box::new(speaker), ducking, metrics, publisher)
}

/// What the thread opens: the configured speaker, or one of the tests.
trait OpenSink: Send {
    /// Opens it; `None` if there is none.
    fn open(&mut self) -> anyhow::Result<Option<Box<dyn PcmSink>>>;
    /// The name of what would be opened.
    fn source(&self) -> Option<String>;
    /// Allows another one to be opened if the last one is unplugged.
    fn forget_if_unplugged(&mut self);
}

impl OpenSink for Speaker {
    fn open(&mut self) -> anyhow::Result<Option<Box<dyn PcmSink>>> {
        Ok(Speaker::open(self)?)
    }

    fn source(&self) -> Option<String> {
        Speaker::source(self)
    }

    fn forget_if_unplugged(&mut self) {
        Speaker::forget_if_unplugged(self);
    }
}

fn start_with(
    opener: Box<dyn OpenSink>,
    ducking: Ducking,
    metrics: &Metrics,
    publisher: &status::StatusPublisher,
) -> anyhow::Result<(SpeakerInput, Guard)> {
    let demand = Demand::default();
    demand.set_blocked(publisher.snapshot().privacy);
    let (input, packets, announced) = input::new(demand.clone(), metrics.clone());
    let pipeline = Pipeline {
        opener,
        packets,
        announced,
        ducking,
        demand: demand.clone(),
        metrics: metrics.clone(),
        publisher: publisher.clone(),
        backoff: Backoff::default(),
        talker: None,
    };
    let thread = MediaThread::spawn("speaker".into(), move || {
        set_nice(NICE);
        pipeline.run();
    })?;
    Ok((input, Guard { demand, _thread: thread }))
}

struct Pipeline {
    opener: Box<dyn OpenSink>,
    packets: Receiver<TalkInput>,
    announced: AnnouncementSlot,
    ducking: Ducking,
    demand: Demand,
    metrics: Metrics,
    publisher: status::StatusPublisher,
    backoff: Backoff,
    /// Who is being played.
    talker: Option<Talker>,
}

/// Why playing ended without an error.
enum End {
    /// Nobody talks any more, or nobody shall be heard.
    Over,
    /// There is no speaker, and the configuration names none.
    NoSpeaker,
}

impl Pipeline {
    /// The retry loop of the speaker.
    fn run(mut self) {
        let mut logged = false;
        loop {
            match self.demand.wait_or_wake() {
                Wake::Demand => {}
                Wake::Device => {
                    self.note_new_device();
                    continue;
                }
                Wake::Stopped => return,
            }
            if self.demand.blocked_since().is_some() {
                self.demand.wait_while_blocked(None);
                self.forget_talk();
                continue;
            }
            self.opener.forget_if_unplugged();
            match self.play() {
                Ok(End::Over) => self.publisher.speaker(|speaker| speaker.state = PipelineState::Idle),
                Ok(End::NoSpeaker) => {
                    if !std::mem::replace(&mut logged, true) {
                        tracing::info!("no speaker found; one that is plugged in will be used");
                    }
                    self.publisher.speaker(|speaker| {
                        (speaker.state, speaker.source, speaker.fault) = (PipelineState::Off, None, None);
                    });
                    self.fail_announcement(AnnouncementState::NoSpeaker);
                    self.pause(RESCAN_INTERVAL);
                }
                Err(error) => {
                    let (pause, log) = self.backoff.failed(Instant::now());
                    if log {
                        tracing::warn!("what is said cannot be heard: {error:#}");
                    }
                    self.publisher.speaker(|speaker| {
                        speaker.state = PipelineState::Fault;
                        speaker.fault = Some(format!("{error:#}"));
                    });
                    self.fail_announcement(AnnouncementState::Failed(format!("{error:#}")));
                    self.pause(pause);
                }
            }
            self.forget_talk();
        }
    }

    /// A device was plugged in while nobody talks. If it is the first speaker, the page has to know: it offers no talking
    /// without one.
    fn note_new_device(&mut self) {
        let state = self.publisher.snapshot().speaker.state;
        if state != PipelineState::Off {
            return;
        }
        if let Some(source) = self.opener.source() {
            self.publisher.speaker(|speaker| (speaker.state, speaker.source) = (PipelineState::Idle, Some(source)));
        }
    }

    /// Waits for `pause`, or until a device is plugged in, another talk begins, or the thread has to stop.
    fn pause(&mut self, pause: Duration) {
        if self.demand.pause(pause) {
            self.backoff.reset();
        }
    }

    /// Opens the speaker and plays until nobody talks any more.
    fn play(&mut self) -> anyhow::Result<End> {
        let Some(mut sink) = self.opener.open()? else { return Ok(End::NoSpeaker) };
        let demand = self.demand.clone();
        let mut linger = Linger::new(&demand, LINGER, Instant::now());
        let mut last_taken = Instant::now();
        let (mut is_live, mut underruns, mut samples) = (false, 0, Vec::new());
        while !linger.is_over(Instant::now()) {
            let request = sink.ready(POLL_INTERVAL)?;
            self.receive()?;
            let now = Timestamp::now();
            if demand.guards() > 0 || self.talker.as_ref().is_some_and(|talker| !talker.is_empty()) {
                self.ducking.note_heard(now);
            }
            let Some(request) = request else {
                let stalled = last_taken.elapsed() >= STALL_TIMEOUT;
                anyhow::ensure!(!stalled, "{}: took no sound for {} s", sink.label(), STALL_TIMEOUT.as_secs());
                continue;
            };
            last_taken = Instant::now();
            samples.clear();
            let stretch = match &mut self.talker {
                Some(talker) => talker.fill(&mut samples, request),
                None => {
                    samples.resize(request.samples, 0.0);
                    1.0
                }
            };
            if demand.blocked_since().is_some() {
                // The privacy switch was turned on meanwhile. What the card has not played yet is dropped with it.
                break;
            }
            sink.play(&samples, stretch)?;
            self.talker.iter().for_each(Talker::note_played);
            self.count();
            let total = sink.underruns();
            self.metrics.speaker_underruns.inc_by(total - std::mem::replace(&mut underruns, total));
            if !std::mem::replace(&mut is_live, true) {
                self.report_live(sink.as_ref());
            }
        }
        Ok(End::Over)
    }

    /// Takes what was announced, and the packets that have arrived.
    fn receive(&mut self) -> anyhow::Result<()> {
        if let Some((id, announcement)) = self.announced.take()
            && self.talker.as_ref().is_none_or(|talker| talker.id < id)
        {
            self.forget_talk();
            self.talker = Some(Talker::announcement(id, announcement));
        }
        while let Ok(TalkInput { id, packet }) = self.packets.try_recv() {
            if self.talker.as_ref().is_some_and(|talker| talker.id > id) {
                // Of somebody who has lost the floor.
                continue;
            }
            if self.talker.as_ref().is_none_or(|talker| talker.id < id) {
                self.forget_talk();
                self.talker = Some(Talker::viewer(id)?);
            }
            if let Some(talker) = &mut self.talker {
                talker.insert(packet);
            }
        }
        Ok(())
    }

    /// Counts what has become of the packets since the last time.
    fn count(&mut self) {
        let Some(talker) = &mut self.talker else { return };
        let (counts, before) = talker.counts();
        self.metrics.talk_played.inc_by(counts.played - before.played);
        self.metrics.talk_recovered.inc_by(counts.recovered - before.recovered);
        self.metrics.talk_concealed.inc_by(counts.concealed - before.concealed);
        for (why, count) in [
            (TalkDrop::Late, counts.late - before.late),
            (TalkDrop::Skipped, counts.skipped - before.skipped),
            (TalkDrop::Malformed, counts.malformed - before.malformed),
        ] {
            self.metrics.count_talk_drop(why, count);
        }
    }

    /// Forgets what was said and not played.
    fn forget_talk(&mut self) {
        self.count();
        if let Some(mut talker) = self.talker.take() {
            talker.fail(AnnouncementState::Cut);
            tracing::debug!("somebody has talked: {:?}", talker.counts().0);
        }
    }

    /// Says that what was announced cannot be heard. It is not tried again: late it would be worth nothing.
    fn fail_announcement(&mut self, state: AnnouncementState) {
        let announced = self.announced.take().map(|(id, announcement)| Talker::announcement(id, announcement));
        announced.iter().chain(&self.talker).for_each(|talker| talker.fail(state.clone()));
    }

    fn report_live(&mut self, sink: &dyn PcmSink) {
        let is = if self.backoff.recovered() { "is back" } else { "is open" };
        tracing::info!("speaker {is}: {}", sink.label());
        self.publisher.speaker(|speaker| {
            speaker.source = Some(sink.label().into());
            speaker.state = PipelineState::Live;
            speaker.fault = None;
        });
    }
}
