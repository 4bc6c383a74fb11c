//! Tests of the motion detection of a camera with frames that are offered by hand.

use std::time::{Duration, Instant};

use super::*;
use crate::media::encoder;
use crate::media::{Colorimetry, PixelFormat, VideoFormat};
use crate::model::metrics::{CameraLabel, Metrics};
use crate::model::protocol::MotionPhase;
use crate::model::status::{CameraStatus, Status, StatusPublisher};
use crate::pipeline::mjpeg::Source;
use crate::util::broadcast::Subscriber;
use crate::util::heartbeat::Heartbeat;
use crate::util::thread::MediaThread;

const FORMAT: VideoFormat =
    VideoFormat { pixel: PixelFormat::I420, width: 320, height: 180, stride: 320, fps: 5.0, color: Colorimetry::SRGB };

/// Longer than anything that works takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A running detection.
struct Rig {
    handle: MotionHandle,
    source: Source,
    publisher: StatusPublisher,
    events: Subscriber<MotionEvent>,
    number: u64,
    _thread: MediaThread,
}

impl Rig {
    fn new() -> Self {
        let config = Config { enabled: true, ..Config::default() };
        let handle = MotionHandle::new(&config);
        let source =
            Source { frames: Broadcast::new(4), metrics: Metrics::new(), label: CameraLabel { camera: "door".into() } };
        let cameras = vec![CameraStatus { motion: Some(Default::default()), ..Default::default() }];
        let publisher = StatusPublisher::new(Status { cameras, ..Status::default() });
        let heartbeat = Heartbeat::default();
        let mut thread = MotionThread::new(handle.clone(), &config, source.clone(), publisher.clone(), 0, heartbeat);
        let thread = MediaThread::spawn("mot-door".into(), move || thread.run()).expect("thread");
        let events = handle.events().subscribe();
        Self { handle, source, publisher, events, number: 0, _thread: thread }
    }

    /// Has the thread do a job, and waits until it has.
    fn run(&self, job: Job) {
        self.handle.lock().job = Some(job);
        self.handle.0.changed.notify_one();
        let deadline = Instant::now() + LIMIT;
        loop {
            let state = self.handle.lock();
            if state.job.is_none() && !state.busy {
                return;
            }
            drop(state);
            assert!(Instant::now() < deadline, "the thread does not come to an end");
            std::thread::yield_now();
        }
    }

    /// The next frame, a fifth of a second after the last one: a square at a place from 0 to 1 in front of a wall, or none.
    fn frame(&mut self, place: Option<f32>) -> RawFrame {
        self.number += 1;
        let left = place.map_or(usize::MAX, |place| (place * 280.0) as usize);
        let luma = (0..320 * 180).map(|at| {
            let (x, y) = (at % 320, at / 320);
            if (left..left.saturating_add(40)).contains(&x) && (70..110).contains(&y) {
                200
            } else {
                80 + (x / 8 % 4) as u8
            }
        });
        let data: Vec<u8> = luma.chain(std::iter::repeat_n(128, 320 * 180 / 2)).collect();
        RawFrame::new(Timestamp::from_start(Duration::from_millis(self.number * 200)), FORMAT, data.into())
    }

    fn show(&mut self, place: Option<f32>) {
        let frame = self.frame(place);
        self.run(Job::Frame(frame));
    }

    /// An empty scene, in front of which something then moves.
    fn move_something(&mut self) {
        (0..20).for_each(|_| self.show(None));
        (0..15).for_each(|step| self.show(Some(step as f32 / 14.0)));
    }

    fn told(&mut self) -> Option<MotionEvent> {
        self.events.try_recv().expect("events")
    }

    fn is_moving(&self) -> bool {
        self.publisher.snapshot().cameras[0].motion.as_ref().is_some_and(|motion| motion.moving)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.handle.close();
    }
}

#[test]
fn motion_is_told_when_it_begins_and_ends() {
    let mut rig = Rig::new();
    rig.move_something();
    let begun = rig.told().expect("motion");
    assert_eq!((begun.state, begun.camera.as_str()), (MotionPhase::Begun, "door"));
    assert!(begun.score > 60 && begun.area.y > 0.3 && begun.area.height < 0.4, "{begun:?}");
    assert!(rig.is_moving() && rig.told().is_none());
    let status = rig.publisher.snapshot().cameras[0].motion.clone().expect("status");
    assert_eq!((status.score, status.began), (Some(begun.score), Some(begun.time / 1000)));
    (0..15).for_each(|_| rig.show(None));
    let ended = rig.told().expect("end");
    assert_eq!(ended.state, MotionPhase::Ended);
    assert!(ended.score >= begun.score && ended.area.width > 0.6 && ended.time >= begun.time, "{ended:?}");
    assert!(!rig.is_moving());
    assert_eq!(rig.source.metrics.motion_events.get_or_create(&rig.source.label).get(), 1);
    assert_eq!(rig.source.metrics.motion_frames.get_or_create(&rig.source.label).get(), 50);
}

#[test]
fn nothing_begins_while_the_privacy_switch_is_on_and_what_is_known_is_forgotten() {
    let mut rig = Rig::new();
    rig.source.frames.demand().set_blocked(true);
    rig.move_something();
    assert!(rig.told().is_none() && !rig.is_moving());
    rig.source.frames.demand().set_blocked(false);
    rig.publisher.privacy(true);
    rig.run(Job::Forget);
    rig.move_something();
    assert!(rig.told().is_none() && !rig.is_moving());
    rig.publisher.privacy(false);
    rig.run(Job::Forget);
    // The scene has to be learned before anything moves in it.
    (0..6).for_each(|step| rig.show(Some(step as f32 / 5.0)));
    assert!(rig.told().is_none());
    rig.move_something();
    assert_eq!(rig.told().expect("motion").state, MotionPhase::Begun);
    // Motion ends with the switch.
    rig.publisher.privacy(true);
    assert!(!rig.is_moving());
    rig.run(Job::Forget);
    assert_eq!(rig.told().expect("end").state, MotionPhase::Ended);
    assert!(rig.told().is_none());
}

#[test]
fn key_frames_of_a_camera_that_encodes_itself_are_decoded() {
    let mut rig = Rig::new();
    let mut encoder = encoder::open(&encoder::Config { threads: 1, ..Default::default() }, &FORMAT).expect("encoder");
    for step in 0..40 {
        let place = (step >= 25).then(|| (step - 25) as f32 / 14.0);
        let key = encoder.encode(&rig.frame(place), true).expect("encode").expect("frame");
        rig.run(Job::KeyFrame(key));
    }
    assert_eq!(rig.told().expect("motion").state, MotionPhase::Begun);
}

#[test]
fn few_frames_are_taken_and_none_while_the_thread_is_at_work() {
    let config = Config { enabled: true, ..Config::default() };
    let handle = MotionHandle::new(&config);
    let frame = RawFrame::new(Timestamp::default(), FORMAT, vec![0; 320 * 180 * 3 / 2].into());
    handle.offer(&frame);
    assert!(matches!(handle.lock().job.take(), Some(Job::Frame(_))));
    handle.offer(&frame);
    assert!(handle.lock().job.is_none(), "none is due yet");
    handle.lock().busy = true;
    handle.lock().frames = Pace::new(None);
    handle.offer(&frame);
    assert!(handle.lock().job.is_none(), "the thread is at work");
    handle.lock().busy = false;
    handle.offer(&frame);
    handle.forget();
    handle.offer(&frame);
    assert!(matches!(handle.lock().job, Some(Job::Forget)), "what is to be forgotten is");

    let off = MotionHandle::new(&Config::default());
    off.offer(&frame);
    off.forget();
    assert!(off.lock().job.is_none());
}
