//! Test fixtures: fake cameras that are plugged in and fed by hand, and a running pipeline for them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::super::*;
use super::requests;
use crate::media::h264;
use crate::media::{Colorimetry, RawFrame, Timestamp};
use crate::model::inventory::{Control, Setting};
use crate::model::status::Status;
use crate::util::broadcast::Subscriber;
use crate::util::lock::Mutex;

/// Longer than anything that works takes on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) const SMALL: VideoFormat =
    VideoFormat { pixel: PixelFormat::I420, width: 320, height: 180, stride: 320, fps: 30.0, color: Colorimetry::SRGB };
pub(super) const LARGE: VideoFormat = VideoFormat { width: 640, height: 360, stride: 640, ..SMALL };
pub(super) const OWN: VideoFormat = VideoFormat { pixel: PixelFormat::H264, stride: 0, ..SMALL };

/// What a camera does next.
pub(super) enum CameraStep {
    Frame(RawFrame),
    Fail(camera::Error),
}

/// The machine's USB port: cameras that were plugged in, in the order in which they will be opened.
#[derive(Default)]
pub(super) struct Port {
    pub(super) plugged: Mutex<VecDeque<Plugged>>,
    pub(super) key_requests: AtomicUsize,
    /// What each camera was opened with.
    pub(super) opened: Mutex<Vec<camera::Config>>,
    /// The controls of each of them.
    pub(super) controls: Mutex<Vec<Control>>,
    /// How long their first frame may take.
    pub(super) start_timeout: Mutex<Option<Duration>>,
    /// The bitrate of one that encodes by itself.
    pub(super) bitrate: watch::Sender<u32>,
}

pub(super) struct Plugged {
    format: VideoFormat,
    steps: Receiver<CameraStep>,
    pub(super) port: Arc<Port>,
}

impl Port {
    /// Plugs a camera in; its pictures and its end are sent to it.
    pub(super) fn plug(self: &Arc<Self>, format: VideoFormat) -> SyncSender<CameraStep> {
        let (send, steps) = sync_channel(64);
        self.plugged.lock().push_back(Plugged { format, steps, port: self.clone() });
        send
    }

    fn open(&self, config: &camera::Config) -> Result<OpenedCamera, camera::Error> {
        match self.plugged.lock().pop_front() {
            Some(camera) => {
                self.opened.lock().push(config.clone());
                Ok(OpenedCamera { source: Box::new(camera), identity: None })
            }
            None => Err(camera::Error::NotFound { device: "/dev/video0".into() }),
        }
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
            Ok(CameraStep::Frame(frame)) => Ok(Some(frame)),
            Ok(CameraStep::Fail(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(unplugged()),
        }
    }

    fn start_timeout(&self) -> Duration {
        self.port.start_timeout.lock().unwrap_or(camera::STALL_TIMEOUT)
    }

    fn request_keyframe(&mut self) {
        self.port.key_requests.fetch_add(1, Ordering::Relaxed);
    }

    fn controls(&mut self) -> Vec<Control> {
        self.port.controls.lock().clone()
    }

    fn set_controls(&mut self, settings: &[Setting]) -> camera::ControlsOutcome {
        requests::set(&mut self.port.controls.lock(), settings)
    }

    fn set_bitrate(&mut self, bitrate: u32) -> bool {
        self.port.bitrate.send_replace(bitrate);
        true
    }

    fn dropped(&self) -> camera::Dropped {
        camera::Dropped::default()
    }
}

pub(super) fn unplugged() -> camera::Error {
    camera::Error::Unplugged { device: "/dev/video0".into() }
}

/// A running pipeline of a camera that is named by its number, so that it is never looked for before it is wanted.
pub(super) struct Rig {
    pub(super) port: Arc<Port>,
    pub(super) output: PipelineHandles,
    pub(super) metrics: Metrics,
    pub(super) publisher: status::StatusPublisher,
    _guard: Guard,
}

impl Rig {
    pub(super) fn new() -> Self {
        let port = Arc::new(Port::default());
        let camera = camera::Config {
            device: camera::DeviceSelector::Usb { vendor: 1, product: 1, serial: None },
            ..camera::Config::default()
        };
        let metrics = Metrics::new();
        let publisher = status::StatusPublisher::new(Status {
            cameras: vec![status::CameraStatus::default()],
            ..Status::default()
        });
        let config =
            Config { camera, encoder: encoder::Config { bitrate: 500_000, ..Default::default() }, ..Config::default() };
        let usb = port.clone();
        let open = Box::new(move |config: &camera::Config| usb.open(config));
        let (output, guard) = start_with(config, 0, &metrics, &publisher, None, open).expect("start");
        Self { port, output, metrics, publisher, _guard: guard }
    }

    pub(super) fn camera(&self) -> status::CameraStatus {
        self.publisher.snapshot().cameras.remove(0)
    }

    pub(super) async fn until(&self, what: &str, met: impl Fn(&status::CameraStatus) -> bool) -> status::CameraStatus {
        let mut watch = self.publisher.watch();
        let found = tokio::time::timeout(LIMIT, watch.wait_for(|status| met(&status.cameras[0]))).await;
        found.unwrap_or_else(|_| panic!("not {what}: {:?}", self.camera())).expect("board").cameras[0].clone()
    }

    pub(super) async fn until_profile(&self, profile: Option<Profile>) {
        let mut watch = self.output.profile.clone();
        let found = tokio::time::timeout(LIMIT, watch.wait_for(|known| *known == profile)).await;
        found.unwrap_or_else(|_| panic!("not {profile:?}: {:?}", self.output.profile.borrow())).expect("pipeline");
    }

    pub(super) async fn until_encoders(&self, count: i64) {
        let deadline = Instant::now() + LIMIT;
        while self.metrics.encoders.get() != count {
            assert!(Instant::now() < deadline, "{} encoders, not {count}", self.metrics.encoders.get());
            tokio::task::yield_now().await;
        }
    }

    /// Lets the retry loop try now, as a new viewer does.
    pub(super) fn wake(&self) {
        drop(self.output.frames.demand().register());
    }

    pub(super) fn encoded(&self) -> u64 {
        self.metrics.encoded.get_or_create(&metrics::CameraLabel { camera: "camera".into() }).get()
    }

    pub(super) fn dropped(&self, at: metrics::DropPoint) -> u64 {
        self.metrics.dropped.get_or_create(&metrics::DropLabels { at }).get()
    }
}

pub(super) async fn next(viewer: &mut Subscriber<EncodedFrame>) -> EncodedFrame {
    tokio::time::timeout(LIMIT, viewer.recv()).await.expect("no frame").expect("no frame")
}

pub(super) fn raw(format: VideoFormat) -> CameraStep {
    let bytes = (format.width * format.height * 3 / 2) as usize;
    CameraStep::Frame(RawFrame::new(Timestamp::now(), format, vec![90; bytes].into()))
}

/// A camera's own access unit: parameter sets of a profile and an IDR, or a P slice.
pub(super) fn access_unit(profile: Option<Profile>) -> CameraStep {
    let mut units: Vec<Vec<u8>> = Vec::new();
    match profile {
        Some(Profile { idc, constraints, level }) => {
            units.extend([vec![0x67, idc, constraints, level, 1], vec![0x68, 1], vec![0x65, 0x88]]);
        }
        None => units.push(vec![0x41, 0x98]),
    }
    let data: Vec<u8> = units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect();
    CameraStep::Frame(RawFrame::new(Timestamp::now(), OWN, data.into()))
}

pub(super) const HIGH: Profile = Profile { idc: 100, constraints: 0, level: 40 };

pub(super) fn has_idr(frame: &EncodedFrame) -> bool {
    h264::nals(&frame.data).any(|nal| h264::nal_type(nal) == h264::IDR)
}
