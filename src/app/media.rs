//! The media pipelines: what captures pictures and sound, and what plays and shows what viewers send.

use anyhow::Context as _;

use crate::capture::audio::speaker::Speaker;
use crate::capture::audio::{DeviceContext, Microphone};
use crate::capture::camera;
use crate::config::Config;
use crate::device::systemd::{ThreadHealth, WatchedThread};
use crate::media::{AudioPacket, EncodedFrame};
use crate::model::metrics::Metrics;
use crate::model::status::StatusPublisher;
use crate::pipeline::ducking::Ducking;
use crate::pipeline::motion::MotionHandle;
use crate::pipeline::screen::ScreenInput;
use crate::pipeline::speaker::SpeakerInput;
use crate::pipeline::{self, screen, video};
use crate::server::dispatch::CameraHandle;
use crate::server::rtc::{CameraRate, CameraStream, SmallStream};
use crate::util::broadcast::{Broadcast, Demand};

/// The devices as they are configured; nothing is open yet.
pub(super) struct MediaDevices {
    /// The cameras that are known.
    pub registry: camera::Registry,
    /// Which cameras are patterns.
    pub patterns: Vec<bool>,
    /// The microphone.
    pub microphone: Microphone,
    /// The speaker.
    pub speaker: Speaker,
    selectors: Vec<camera::CameraSelector>,
}

/// What the pipelines deliver and take.
pub(super) struct MediaPipelines {
    /// The streams of the cameras.
    pub streams: Vec<CameraStream>,
    /// Their settings.
    pub handles: Vec<CameraHandle>,
    /// Their motion detection.
    pub motions: Vec<MotionHandle>,
    /// The sound of the microphone, if there may be one.
    pub audio: Option<Broadcast<AudioPacket>>,
    /// What is played, if there may be a speaker.
    pub heard: Option<SpeakerInput>,
    /// What is shown, if there is a screen.
    pub shown: Option<ScreenInput>,
    /// The threads that have to turn.
    pub threads: Vec<WatchedThread>,
    /// Keeps them running.
    pub guards: MediaGuards,
}

/// Keeps the pipelines running; dropped, it stops them and joins their threads.
pub(super) struct MediaGuards {
    cameras: Vec<video::Guard>,
    _microphone: Option<pipeline::audio::Guard>,
    _speaker: Option<pipeline::speaker::Guard>,
    _screen: Option<screen::Guard>,
}

impl MediaDevices {
    /// The devices of a configuration.
    pub fn new(config: &Config) -> Self {
        let registry = camera::Registry::default();
        let selectors = registry.selectors(config.cameras.iter().map(|camera| &camera.camera));
        let patterns: Vec<bool> = selectors.iter().map(camera::CameraSelector::is_pattern).collect();
        let microphone = Microphone::new(config.audio.clone(), device_context(config, &patterns, &registry));
        let speaker = Speaker::new(config.speaker.clone(), device_context(config, &patterns, &registry));
        Self { registry, patterns, microphone, speaker, selectors }
    }

    /// Starts the pipelines. Whether the devices work is in the status.
    ///
    /// # Errors
    ///
    /// When a thread cannot be created.
    pub fn start(
        mut self,
        config: &Config,
        metrics: &Metrics,
        publisher: &StatusPublisher,
    ) -> anyhow::Result<MediaPipelines> {
        let ducking = Ducking::default();
        let (audio, microphone) = if self.microphone.is_off() {
            (None, None)
        } else {
            let far_end = self.speaker.far_end();
            let started = pipeline::audio::start(self.microphone, ducking.clone(), far_end, metrics, publisher);
            let (audio, guard) = started.context("start the microphone")?;
            (Some(audio), Some(guard))
        };
        let (heard, speaker) = if self.speaker.is_off() {
            (None, None)
        } else {
            let started = pipeline::speaker::start(self.speaker, ducking, metrics, publisher);
            let (heard, guard) = started.context("start the speaker")?;
            (Some(heard), Some(guard))
        };
        let (shown, screen) = screen::start(&config.screen, metrics, publisher).context("start the screen")?.unzip();
        let guards = MediaGuards { cameras: Vec::new(), _microphone: microphone, _speaker: speaker, _screen: screen };
        let (streams, handles, motions, threads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut started = MediaPipelines { streams, handles, motions, audio, heard, shown, threads, guards };
        for (index, (camera, selector)) in config.cameras.iter().cloned().zip(self.selectors).enumerate() {
            let name = camera.camera.name.clone();
            let (handles, guard) = video::start(camera, selector, index, metrics, publisher)
                .with_context(|| format!("start the camera {name}"))?;
            started.add_camera(name, index, handles);
            started.guards.cameras.push(guard);
        }
        Ok(started)
    }
}

impl MediaPipelines {
    fn add_camera(&mut self, name: String, index: usize, camera: video::PipelineHandles) {
        let video::PipelineHandles { frames, profile, bitrate, small, handle, motion, threads } = camera;
        self.motions.push(motion);
        self.threads.extend(threads.into_iter().map(|thread| watched_thread(thread, [&frames, &small.frames])));
        self.handles.push(CameraHandle { name: name.clone(), video: handle });
        let rate = CameraRate::new(bitrate);
        let video::SmallRendition { frames: video, bitrate, source } = small;
        let small = Some(SmallStream { video, rate: CameraRate::new(bitrate), source });
        self.streams.push(CameraStream { name, index, video: frames, profile, rate, small, audio: self.audio.clone() });
    }

    /// Everything that the privacy switch closes.
    pub fn sources(&self) -> Vec<Demand> {
        let videos = self.streams.iter().map(|stream| stream.video.demand().clone());
        let sounds = self.audio.iter().map(|audio| audio.demand().clone());
        let sounds = sounds.chain(self.heard.iter().map(|heard| heard.demand().clone()));
        videos.chain(sounds).chain(self.shown.iter().map(|shown| shown.demand().clone())).collect()
    }
}

/// What microphone and speaker may be by their names: those of the first camera's USB device.
fn device_context(config: &Config, patterns: &[bool], registry: &camera::Registry) -> DeviceContext {
    let (device, registry) = (config.cameras.first().map(|camera| camera.camera.device.clone()), registry.clone());
    DeviceContext {
        pattern: patterns.first() == Some(&true),
        camera: Box::new(move || camera::usb_device(&registry, device.as_ref()?)),
    }
}

/// A camera's thread, whose loop has to turn while somebody watches the camera.
fn watched_thread(thread: video::PipelineThread, renditions: [&Broadcast<EncodedFrame>; 2]) -> WatchedThread {
    let video::PipelineThread { name, heartbeat } = thread;
    let renditions = renditions.map(Broadcast::clone);
    let health = move || {
        let is_watched = renditions.iter().any(|frames| frames.subscribers() > 0);
        ThreadHealth { busy: is_watched && !heartbeat.is_waiting(), turns: heartbeat.turns() }
    };
    WatchedThread { name, health: Box::new(health) }
}
