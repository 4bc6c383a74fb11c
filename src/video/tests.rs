//! The pipeline with cameras of the tests' own, which are plugged in and out, fall silent, and encode by themselves.

mod asked;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::*;
use crate::broadcast::Subscriber;
use crate::h264;
use crate::inventory::{Control, Setting};
use crate::media::{RawFrame, Timestamp};
use crate::status::{State, Status};

/// Longer than anything that works takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

const SMALL: VideoFormat = VideoFormat { pixel: PixelFormat::I420, width: 320, height: 180, stride: 320, fps: 30.0 };
const LARGE: VideoFormat = VideoFormat { width: 640, height: 360, stride: 640, ..SMALL };
const OWN: VideoFormat = VideoFormat { pixel: PixelFormat::H264, stride: 0, ..SMALL };

/// What a camera does next.
enum Step {
    Picture(RawFrame),
    Fail(camera::Error),
}

/// The machine's USB port: cameras that were plugged in, in the order in which they will be opened.
#[derive(Default)]
struct Port {
    plugged: Mutex<VecDeque<Plugged>>,
    key_requests: AtomicUsize,
    /// What each camera was opened with.
    opened: Mutex<Vec<camera::Config>>,
    /// What the next one shall be.
    wish: Mutex<camera::Config>,
    /// The controls of each of them.
    controls: Mutex<Vec<Control>>,
    /// The bitrate of one that encodes by itself.
    bitrate: AtomicUsize,
}

struct Plugged {
    format: VideoFormat,
    steps: Receiver<Step>,
    port: Arc<Port>,
}

impl Port {
    /// Plugs a camera in; its pictures and its end are sent to it.
    fn plug(self: &Arc<Self>, format: VideoFormat) -> SyncSender<Step> {
        let (send, steps) = sync_channel(64);
        self.plugged.lock().expect("port").push_back(Plugged { format, steps, port: self.clone() });
        send
    }

    fn first(&self) -> Result<Box<dyn VideoSource>, camera::Error> {
        match self.plugged.lock().expect("port").pop_front() {
            Some(camera) => {
                self.opened.lock().expect("port").push(self.wish.lock().expect("port").clone());
                Ok(Box::new(camera))
            }
            None => Err(camera::Error::NotFound { device: "/dev/video0".into() }),
        }
    }
}

impl Open for Arc<Port> {
    fn probe(&mut self) -> Result<(), camera::Error> {
        Ok(())
    }

    fn wish(&mut self, config: &camera::Config) {
        *self.wish.lock().expect("port") = config.clone();
    }

    fn open(&mut self) -> Result<Box<dyn VideoSource>, camera::Error> {
        self.first()
    }

    fn identity(&self) -> Option<String> {
        None
    }
}

impl VideoSource for Plugged {
    fn format(&self) -> VideoFormat {
        self.format
    }

    fn label(&self) -> &str {
        "camera of the tests"
    }

    fn is_pattern(&self) -> bool {
        false
    }

    fn next(&mut self, wait: Duration) -> Result<Option<RawFrame>, camera::Error> {
        match self.steps.recv_timeout(wait) {
            Ok(Step::Picture(frame)) => Ok(Some(frame)),
            Ok(Step::Fail(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(unplugged()),
        }
    }

    fn request_key(&mut self) {
        self.port.key_requests.fetch_add(1, Ordering::Relaxed);
    }

    fn controls(&mut self) -> Vec<Control> {
        self.port.controls.lock().expect("port").clone()
    }

    fn changed_controls(&mut self) -> Vec<Control> {
        Vec::new()
    }

    fn set_controls(&mut self, settings: &[Setting]) -> camera::SetControls {
        asked::set(&mut self.port.controls.lock().expect("port"), settings)
    }

    fn set_bitrate(&mut self, bitrate: u32) -> bool {
        self.port.bitrate.store(bitrate as usize, Ordering::Relaxed);
        true
    }

    fn dropped(&self) -> camera::Dropped {
        camera::Dropped::default()
    }
}

fn unplugged() -> camera::Error {
    camera::Error::Unplugged { device: "/dev/video0".into() }
}

/// A running pipeline of a camera that is named by its number, so that it is never looked for before it is wanted.
struct Rig {
    port: Arc<Port>,
    output: Output,
    metrics: Metrics,
    board: status::Board,
    _guard: Guard,
}

impl Rig {
    fn new() -> Self {
        let port = Arc::new(Port::default());
        let camera = camera::Config {
            device: camera::Device::Usb { vendor: 1, product: 1, serial: None },
            ..camera::Config::default()
        };
        let metrics = Metrics::new();
        let board = status::Board::new(Status { cameras: vec![status::Camera::default()], ..Status::default() });
        let config =
            Config { camera, encoder: encoder::Config { bitrate: 500_000, ..Default::default() }, keep_open: false };
        let (output, guard) = start_with(config, 0, &metrics, &board, port.clone()).expect("start");
        Self { port, output, metrics, board, _guard: guard }
    }

    fn camera(&self) -> status::Camera {
        self.board.snapshot().cameras.remove(0)
    }

    async fn until(&self, what: &str, met: impl Fn(&status::Camera) -> bool) -> status::Camera {
        let mut watch = self.board.watch();
        let found = tokio::time::timeout(LIMIT, watch.wait_for(|status| met(&status.cameras[0]))).await;
        found.unwrap_or_else(|_| panic!("not {what}: {:?}", self.camera())).expect("board").cameras[0].clone()
    }

    async fn until_profile(&self, profile: Option<Profile>) {
        let mut watch = self.output.profile.clone();
        let found = tokio::time::timeout(LIMIT, watch.wait_for(|known| *known == profile)).await;
        found.unwrap_or_else(|_| panic!("not {profile:?}: {:?}", self.output.profile.borrow())).expect("pipeline");
    }

    async fn until_encoders(&self, count: i64) {
        let deadline = Instant::now() + LIMIT;
        while self.metrics.encoders.get() != count {
            assert!(Instant::now() < deadline, "{} encoders, not {count}", self.metrics.encoders.get());
            tokio::task::yield_now().await;
        }
    }

    /// Lets the retry loop try now, as a new viewer does.
    fn nudge(&self) {
        drop(self.output.frames.demand().register());
    }

    fn encoded(&self) -> u64 {
        self.metrics.encoded.get_or_create(&metrics::Camera { camera: "camera".into() }).get()
    }

    fn dropped(&self, at: metrics::Drop) -> u64 {
        self.metrics.dropped.get_or_create(&metrics::At { at }).get()
    }
}

async fn next(viewer: &mut Subscriber<EncodedFrame>) -> EncodedFrame {
    tokio::time::timeout(LIMIT, viewer.recv()).await.expect("no frame").expect("no frame")
}

fn raw(format: VideoFormat) -> Step {
    let bytes = (format.width * format.height * 3 / 2) as usize;
    Step::Picture(RawFrame::new(Timestamp::now(), format, vec![90; bytes].into()))
}

/// A camera's own access unit: parameter sets of a profile and an IDR, or a P slice.
fn own(profile: Option<Profile>) -> Step {
    let mut units: Vec<Vec<u8>> = Vec::new();
    match profile {
        Some(Profile { idc, constraints, level }) => {
            units.extend([vec![0x67, idc, constraints, level, 1], vec![0x68, 1], vec![0x65, 0x88]]);
        }
        None => units.push(vec![0x41, 0x98]),
    }
    let data: Vec<u8> = units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect();
    Step::Picture(RawFrame::new(Timestamp::now(), OWN, data.into()))
}

const HIGH: Profile = Profile { idc: 100, constraints: 0, level: 40 };

fn has_idr(frame: &EncodedFrame) -> bool {
    h264::nals(&frame.data).any(|nal| h264::nal_type(nal) == h264::IDR)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_stays_through_unplug_and_replug_and_each_change_begins_with_a_key_frame() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    for number in 0..5 {
        camera.send(raw(SMALL)).expect("camera");
        let frame = next(&mut viewer).await;
        assert_eq!(frame.key, number == 0, "{number}");
    }
    let live = rig.until("live", |camera| camera.state == State::Live).await;
    assert_eq!((live.since, live.fault), (None, None));

    camera.send(Step::Fail(unplugged())).expect("camera");
    let mut last = Timestamp::default();
    for number in 0..3 {
        let placeholder = next(&mut viewer).await;
        assert_eq!((placeholder.key, has_idr(&placeholder)), (number == 0, number == 0), "{number}");
        assert!(placeholder.captured > last);
        last = placeholder.captured;
    }
    let fault = rig.until("in fault", |camera| camera.state == State::Fault).await;
    assert!(fault.since.is_some() && fault.fault.is_some(), "{fault:?}");

    let camera = rig.port.plug(LARGE);
    rig.nudge();
    camera.send(raw(LARGE)).expect("camera");
    rig.until("live again", |camera| camera.state == State::Live && camera.width == Some(640)).await;
    // A placeholder may have been under way still.
    let frame = loop {
        let frame = next(&mut viewer).await;
        assert!(frame.captured > last, "time goes back");
        last = frame.captured;
        if frame.key {
            break frame;
        }
    };
    assert!(has_idr(&frame));
    let now = rig.camera();
    assert_eq!((now.state, now.since, now.fault), (State::Live, None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_placeholder_and_its_encoder_go_with_the_last_viewer() {
    let rig = Rig::new();
    let mut viewer = rig.output.frames.subscribe();
    let first = next(&mut viewer).await;
    assert!(first.key, "an absent camera");
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    rig.until_encoders(1).await;
    // Many attempts make the pause before the next one long.
    for _ in 0..6 {
        rig.nudge();
        next(&mut viewer).await;
    }
    drop(viewer);
    rig.until_encoders(0).await;
    assert_eq!(rig.camera().state, State::Fault);
    let encoded = rig.encoded();
    // Somebody who waits for the answer, and does not watch yet, is shown nothing.
    let _interest = rig.output.frames.demand().register();
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    assert_eq!(rig.encoded(), encoded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_camera_is_told_from_one_that_starts() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    rig.until("starting", |camera| camera.state == State::Starting).await;
    // It takes its time for the first picture; nothing is shown meanwhile.
    let early = tokio::time::timeout(Duration::from_secs(2), viewer.recv()).await;
    assert!(early.is_err(), "a placeholder while the camera starts");
    camera.send(raw(SMALL)).expect("camera");
    assert!(next(&mut viewer).await.key);
    let fault = rig.until("silent", |camera| camera.state == State::Fault).await;
    assert!(fault.fault.is_some_and(|words| words.contains("no picture for 5 s")));
    assert!(next(&mut viewer).await.key, "the placeholder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_barred_camera_is_closed_whoever_watches_and_opened_when_the_bar_is_gone() {
    let rig = Rig::new();
    let demand = rig.output.frames.demand().clone();
    let camera = rig.port.plug(LARGE);
    let mut viewer = rig.output.frames.subscribe();
    camera.send(raw(LARGE)).expect("camera");
    assert!(next(&mut viewer).await.key);
    rig.until("live", |camera| camera.state == State::Live).await;

    demand.bar(true);
    let closed = rig.until("closed", |camera| camera.state == State::Idle).await;
    assert_eq!((closed.fault, rig.metrics.captures.get()), (None, 0));
    camera.send(raw(LARGE)).expect_err("nobody should hold the camera any more");
    // Another one that is plugged in, and a viewer who comes, change nothing.
    let camera = rig.port.plug(SMALL);
    let mut late = rig.output.frames.subscribe();
    demand.nudge();
    for _ in 0..3 {
        next(&mut viewer).await;
    }
    rig.output.frames.request_refresh();
    assert!(next(&mut late).await.captured > Timestamp::default(), "who comes late sees the placeholder too");
    assert_eq!((rig.port.plugged.lock().expect("port").len(), rig.metrics.captures.get()), (1, 0));

    demand.bar(false);
    camera.send(raw(SMALL)).expect("camera");
    rig.until("live", |camera| camera.state == State::Live && camera.width == Some(SMALL.width)).await;

    // While nobody watches, there is nothing to show and nothing to open.
    demand.bar(true);
    drop((viewer, late));
    rig.until_encoders(0).await;
    demand.bar(false);
    rig.until("closed", |camera| camera.state == State::Idle).await;
    assert_eq!(rig.metrics.captures.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_of_the_camera_passes_in_order_and_requests_reach_it() {
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let interest = rig.output.frames.demand().register();
    camera.send(own(Some(HIGH))).expect("camera");
    // Nobody watches yet, but who is about to is told.
    rig.until_profile(Some(HIGH)).await;
    assert_eq!((rig.encoded(), rig.dropped(metrics::Drop::Unwatched)), (0, 1));
    let mut viewer = rig.output.frames.subscribe();
    drop(interest);
    let started = Instant::now();
    rig.output.frames.request_refresh();
    while rig.port.key_requests.load(Ordering::Relaxed) < 3 {
        assert!(started.elapsed() < LIMIT, "the camera was not asked");
        rig.output.frames.request_refresh();
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() >= Duration::from_millis(500), "asked 3 times in {:?}", started.elapsed());
    camera.send(own(Some(HIGH))).expect("camera");
    for _ in 0..20 {
        camera.send(own(None)).expect("camera");
    }
    let mut keys = Vec::new();
    let mut last = Timestamp::default();
    for _ in 0..21 {
        let frame = next(&mut viewer).await;
        assert!(frame.captured > last);
        last = frame.captured;
        keys.push(frame.key);
    }
    assert_eq!(keys, [vec![true], vec![false; 20]].concat());
    assert!(!rig.output.frames.refresh_requested(), "the request was met");
    assert_eq!((rig.metrics.encoders.get(), rig.camera().encoder), (0, Some("camera")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_encodes_by_itself_goes_and_comes_back_as_another() {
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let mut viewer = rig.output.frames.subscribe();
    camera.send(own(Some(HIGH))).expect("camera");
    assert!(next(&mut viewer).await.key);
    rig.until_profile(Some(HIGH)).await;
    drop(camera);
    let placeholder = next(&mut viewer).await;
    assert!(placeholder.key && placeholder.data.len() > 100);
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    rig.until_encoders(1).await;

    let camera = rig.port.plug(OWN);
    rig.nudge();
    let main = Profile { idc: 77, ..HIGH };
    // Broken off in the middle of something: of no use before the first IDR.
    camera.send(own(None)).expect("camera");
    camera.send(own(Some(main))).expect("camera");
    rig.until_profile(Some(main)).await;
    let key = loop {
        let frame = next(&mut viewer).await;
        if frame.data.len() < 100 {
            break frame;
        }
    };
    assert!(key.key, "the first picture of the camera");
    rig.until_encoders(0).await;
    assert_eq!(rig.dropped(metrics::Drop::AwaitingKey), 1);
}
