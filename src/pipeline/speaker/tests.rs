//! The pipeline with a speaker that notes what it plays, and how often it was opened.

use std::f32::consts::TAU;
use std::sync::Arc;

use bytes::Bytes;

use super::announcement::tests::tone;
use super::*;
use crate::capture::audio::speaker::SinkRequest;
use crate::media::playout::TalkPacket;
use crate::model::status::Status;
use crate::util::lock::Mutex;

/// What the speaker has done.
#[derive(Debug, Default)]
struct Log {
    /// What there is to open: nothing, a device that fails, or one that works.
    device: Device,
    opened: usize,
    closed: usize,
    /// When something louder than silence was played, and how loud.
    heard: Vec<(Instant, f32)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Device {
    None,
    Broken,
    #[default]
    Working,
}

/// Opens speakers that play in real time.
#[derive(Clone, Default)]
struct FakeSpeaker(Arc<Mutex<Log>>);

struct FakeSink {
    log: Arc<Mutex<Log>>,
    begun: Timestamp,
    frames: u32,
}

impl OpenSink for FakeSpeaker {
    fn open(&mut self) -> anyhow::Result<Option<Box<dyn PcmSink>>> {
        let mut log = self.0.lock();
        log.opened += 1;
        match log.device {
            Device::None => Ok(None),
            Device::Broken => anyhow::bail!("the speaker is broken"),
            Device::Working => Ok(Some(Box::new(FakeSink { log: self.0.clone(), begun: Timestamp::now(), frames: 0 }))),
        }
    }

    fn source(&self) -> Option<String> {
        (self.0.lock().device != Device::None).then(|| "fake".into())
    }

    fn forget_if_unplugged(&mut self) {}
}

impl PcmSink for FakeSink {
    fn label(&self) -> &str {
        "fake"
    }

    fn ready(&mut self, wait: Duration) -> Result<Option<SinkRequest>, crate::capture::audio::Error> {
        let due = self.begun.saturating_add(Duration::from_millis(20) * self.frames);
        let left = due.saturating_since(Timestamp::now());
        std::thread::sleep(left.min(wait));
        Ok((left <= wait).then_some(SinkRequest { samples: 960, due }))
    }

    fn play(&mut self, samples: &[f32], stretch: f64) -> Result<(), crate::capture::audio::Error> {
        assert!((stretch - 1.0).abs() < 0.01);
        self.frames += 1;
        let loudest = samples.iter().copied().fold(0.0, f32::max);
        if loudest > 0.05 {
            self.log.lock().heard.push((Instant::now(), loudest));
        }
        Ok(())
    }

    fn underruns(&self) -> u64 {
        0
    }
}

impl Drop for FakeSink {
    fn drop(&mut self) {
        self.log.lock().closed += 1;
    }
}

/// A running pipeline.
struct Rig {
    speaker: FakeSpeaker,
    input: SpeakerInput,
    guard: Guard,
    publisher: status::StatusPublisher,
    metrics: Metrics,
    ducking: Ducking,
    encoder: opus::Encoder,
}

impl Rig {
    fn new(device: Device) -> Self {
        let speaker = FakeSpeaker::default();
        speaker.0.lock().device = device;
        let (metrics, ducking) = (Metrics::new(), Ducking::default());
        let publisher = status::StatusPublisher::new(Status::default());
        let started = start_with(Box::new(speaker.clone()), ducking.clone(), &metrics, &publisher);
        let (input, guard) = started.expect("should start");
        let encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).expect("encoder");
        Self { speaker, input, guard, publisher, metrics, ducking, encoder }
    }

    /// The packet with this number of a loud tone that begins now.
    fn packet(&mut self, number: u16) -> TalkPacket {
        let sample = |at: usize| 0.4 * (TAU * 440.0 * at as f32 / 48_000.0).sin();
        let samples: Vec<f32> = (0..960).map(|at| sample(usize::from(number) * 960 + at)).collect();
        let payload = Bytes::from(self.encoder.encode_vec_float(&samples, 1_200).expect("should be encoded"));
        let timestamp = u32::from(number) * 960;
        TalkPacket { sequence: number, timestamp, arrived: Timestamp::now(), is_redundant: false, payload }
    }

    /// Talks in real time until the condition is met.
    fn talk_until(&mut self, talk: &Talk, met: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        let mut number = 0;
        while !met(self) {
            assert!(begun.elapsed() < Duration::from_secs(30), "in time");
            let packet = self.packet(number);
            talk.push(packet);
            number += 1;
            let next = begun + Duration::from_millis(20) * u32::from(number);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Waits until the condition is met.
    fn until(&self, met: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !met(self) {
            assert!(begun.elapsed() < Duration::from_secs(30), "in time");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn heard(&self) -> usize {
        self.speaker.0.lock().heard.len()
    }

    /// Checks that no more than what was due within 50 ms has been heard since this moment. A busy machine may take longer for that,
    /// but plays no more.
    fn check_silent_since(&self, moment: Instant) {
        let log = self.speaker.0.lock();
        let heard = log.heard.iter().filter(|(at, _)| *at > moment).count();
        assert!(heard <= 2, "{heard} frames of 20 ms after {moment:?}: {:?}", log.heard);
    }

    fn state(&self) -> PipelineState {
        self.publisher.snapshot().speaker.state
    }
}

#[test]
fn the_speaker_is_open_only_while_somebody_talks() {
    let mut rig = Rig::new(Device::Working);
    assert_eq!(rig.speaker.0.lock().opened, 0, "nobody talks");
    let talk = rig.input.begin();
    rig.talk_until(&talk, |rig| rig.heard() >= 20);
    assert_eq!((rig.state(), rig.speaker.0.lock().opened), (PipelineState::Live, 1));
    assert!(rig.ducking.is_active(Timestamp::now()), "the microphone is turned down");
    assert_eq!(rig.publisher.snapshot().speaker.source.as_deref(), Some("fake"));
    drop(talk);
    let again = rig.input.begin();
    rig.talk_until(&again, |rig| rig.heard() >= 30);
    assert_eq!(rig.speaker.0.lock().opened, 1, "it was still open");
    drop(again);
    rig.until(|rig| rig.speaker.0.lock().closed == 1);
    rig.until(|rig| rig.state() == PipelineState::Idle);
    assert!(!rig.ducking.is_active(Timestamp::now()));
    assert!(rig.metrics.talk_played.get() >= 28, "{}", rig.metrics.talk_played.get());
}

#[test]
fn nothing_is_heard_after_the_privacy_switch_was_turned_on() {
    let mut rig = Rig::new(Device::Working);
    let talk = rig.input.begin();
    rig.talk_until(&talk, |rig| rig.heard() >= 10);
    rig.guard.demand.set_blocked(true);
    let blocked = Instant::now();
    rig.talk_until(&talk, |rig| rig.speaker.0.lock().closed == 1);
    rig.talk_until(&talk, |_| blocked.elapsed() > Duration::from_millis(200));
    rig.check_silent_since(blocked);
    // What was said meanwhile is not heard later either.
    let before = rig.heard();
    drop(talk);
    rig.guard.demand.set_blocked(false);
    let other = rig.input.begin();
    rig.until(|rig| rig.speaker.0.lock().opened == 2);
    rig.talk_until(&other, |rig| rig.heard() > before);
}

#[test]
fn a_speaker_that_fails_is_a_fault_and_used_when_it_is_back() {
    let mut rig = Rig::new(Device::Broken);
    let talk = rig.input.begin();
    rig.until(|rig| rig.state() == PipelineState::Fault);
    assert_eq!(rig.publisher.snapshot().speaker.fault.as_deref(), Some("the speaker is broken"));
    rig.speaker.0.lock().device = Device::Working;
    rig.guard.demand.wake();
    rig.talk_until(&talk, |rig| rig.heard() >= 5);
    let status = rig.publisher.snapshot().speaker;
    assert_eq!((status.state, status.fault), (PipelineState::Live, None));
}

#[test]
fn a_speaker_that_is_plugged_in_while_nobody_talks_is_no_longer_off() {
    let rig = Rig::new(Device::None);
    let talk = rig.input.begin();
    rig.until(|rig| rig.state() == PipelineState::Off);
    drop(talk);
    rig.speaker.0.lock().device = Device::Working;
    rig.guard.demand.wake();
    rig.until(|rig| rig.state() == PipelineState::Idle);
    assert_eq!(rig.publisher.snapshot().speaker.source.as_deref(), Some("fake"));
}

#[test]
fn who_takes_the_floor_is_heard_and_who_lost_it_is_not() {
    let mut rig = Rig::new(Device::Working);
    let (first, second) = (rig.input.begin(), rig.input.begin());
    rig.talk_until(&second, |rig| rig.heard() >= 5);
    let played = rig.metrics.talk_played.get();
    rig.talk_until(&first, |rig| {
        rig.speaker.0.lock().heard.last().is_some_and(|(at, _)| at.elapsed().as_millis() > 300)
    });
    assert!(rig.metrics.talk_played.get() <= played + 10, "{} after {played}", rig.metrics.talk_played.get());
}

#[test]
fn an_announcement_is_heard_to_its_end_and_closes_the_speaker() {
    let rig = Rig::new(Device::Working);
    let announcement = Arc::new(tone(24_000));
    let progress = announcement.watch();
    assert_eq!((announcement.length(), &*progress.borrow()), (Duration::from_millis(500), &AnnouncementState::Waiting));
    let talk = rig.input.announce(&announcement);
    rig.until(|_| *progress.borrow() != AnnouncementState::Waiting);
    assert!(rig.ducking.is_active(Timestamp::now()), "the microphone is turned down");
    rig.until(|_| *progress.borrow() == AnnouncementState::Played);
    assert_eq!(rig.heard(), 25, "frames of 20 ms");
    drop((talk, announcement));
    rig.until(|rig| rig.speaker.0.lock().closed == 1);
    assert_eq!(rig.heard(), 25);
}

#[test]
fn an_announcement_that_nobody_keeps_is_silent_at_once() {
    let mut rig = Rig::new(Device::Working);
    let announcement = Arc::new(tone(48_000 * 20));
    let talk = rig.input.announce(&announcement);
    rig.until(|rig| rig.heard() >= 10);
    let cut = Instant::now();
    drop((talk, announcement));
    // Somebody talks after it.
    let other = rig.input.begin();
    rig.until(|_| cut.elapsed() > Duration::from_millis(200));
    rig.check_silent_since(cut);
    let before = rig.heard();
    rig.talk_until(&other, |rig| rig.heard() > before + 5);
    assert_eq!(rig.speaker.0.lock().opened, 1);
}

#[test]
fn the_privacy_switch_ends_an_announcement() {
    let rig = Rig::new(Device::Working);
    let announcement = Arc::new(tone(48_000 * 20));
    let (progress, _talk) = (announcement.watch(), rig.input.announce(&announcement));
    rig.until(|rig| rig.heard() >= 10);
    rig.guard.demand.set_blocked(true);
    let blocked = Instant::now();
    rig.until(|rig| rig.speaker.0.lock().closed == 1);
    rig.check_silent_since(blocked);
    rig.guard.demand.set_blocked(false);
    rig.until(|_| *progress.borrow() == AnnouncementState::Cut);
}

#[test]
fn an_announcement_without_a_speaker_fails_and_is_not_heard_later() {
    for (device, failed) in [
        (Device::Broken, AnnouncementState::Failed("the speaker is broken".into())),
        (Device::None, AnnouncementState::NoSpeaker),
    ] {
        let rig = Rig::new(device);
        let announcement = Arc::new(tone(48_000));
        let (progress, talk) = (announcement.watch(), rig.input.announce(&announcement));
        rig.until(|_| progress.borrow().is_over());
        assert_eq!(*progress.borrow(), failed);
        drop((talk, announcement));
        rig.speaker.0.lock().device = Device::Working;
        let again = Arc::new(tone(9_600));
        let (progress, _talk) = (again.watch(), rig.input.announce(&again));
        rig.until(|_| *progress.borrow() == AnnouncementState::Played);
        assert_eq!(rig.heard(), 10);
    }
}
