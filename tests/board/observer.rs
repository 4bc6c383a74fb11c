//! A viewer outside the board that stays connected for a whole scenario and classifies what it receives from each call
//! on: scene, motion, tone or silence. `tests/viewer` has the client, `frame_content` the classification of frames.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::frame_content::{Scene, means, moved};
use crate::guest::TONE_HZ;
use test_viewer::{Event, Image, Options, Viewer};

/// Limit for an expected scene or sound: as long as the emulated processor may take to negotiate on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Audio packets needed: 200 ms, because a single one may be a transition.
const PACKETS: usize = 10;

/// Frames checked for motion: more than a second.
const FRAMES: usize = 20;

/// The minimum share of energy at the tone's pitch; the codec adds a few percent elsewhere.
const TONE_SHARE: f64 = 0.9;

/// The maximum amplitude of silence: a hundredth of the tone's, and above codec noise.
const SILENCE_PEAK: u16 = 80;

/// The content of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AudioContent {
    /// The tone played to the board's sound card.
    Tone,
    /// Silence.
    Silence,
    /// Anything else.
    Other,
}

impl AudioContent {
    /// Classifies a packet of interleaved stereo at 48 kHz.
    pub fn of(samples: &[i16]) -> AudioContent {
        if share_of_tone(samples, TONE_HZ.into()) > TONE_SHARE {
            AudioContent::Tone
        } else if samples.iter().all(|sample| sample.unsigned_abs() <= SILENCE_PEAK) {
            AudioContent::Silence
        } else {
            AudioContent::Other
        }
    }
}

/// A viewer in one session. If the session ends, the test fails.
pub struct Observer {
    runtime: Runtime,
    viewer: Viewer,
    /// What was received so far, for the message of a failure.
    scenes: BTreeMap<Scene, usize>,
    audio: BTreeMap<AudioContent, usize>,
    /// The bar colours of the last frame.
    last: [[i32; 3]; 8],
}

impl Observer {
    /// Watches the camera `camera` on the page at `base`.
    pub fn connect(base: &str, camera: &str) -> Observer {
        let runtime = Runtime::new().expect("a runtime should start");
        let options = Options { camera: Some(camera.to_owned()), ..Options::new(base) };
        let viewer = runtime.block_on(Viewer::connect(&options));
        let viewer = viewer.unwrap_or_else(|error| panic!("camera {camera}: the viewer should connect: {error:#}"));
        Observer { runtime, viewer, scenes: BTreeMap::new(), audio: BTreeMap::new(), last: Default::default() }
    }

    /// Waits for `scene`; returns the arrival time of that frame.
    pub fn expect_scene(&mut self, scene: Scene) -> Instant {
        self.wait_for_scene(scene).1
    }

    /// Waits for `scene` at this size.
    pub fn expect_scene_of_size(&mut self, scene: Scene, size: (usize, usize)) {
        let (image, _) = self.wait_for_scene(scene);
        assert_eq!((image.width, image.height), size, "the frame's size");
    }

    /// Waits for enough frames of `scene` to show motion; most must differ from their predecessor.
    pub fn expect_motion(&mut self, scene: Scene) {
        let frames: Vec<Image> = (0..FRAMES).map(|_| self.wait_for_scene(scene).0).collect();
        let changes = frames.windows(2).filter(|pair| moved(&pair[0], &pair[1])).count();
        assert!(changes >= frames.len() / 2, "{changes} changes in {} frames", frames.len());
    }

    /// Waits for more than a second of frames; all must show `scene`.
    pub fn expect_only(&mut self, scene: Scene) {
        for _ in 0..FRAMES {
            self.wait(&format!("to see nothing but {scene:?}"), |observer, event| {
                let shown = Scene::of(&observer.note(event)?.0);
                assert_eq!(shown, scene, "bar colours: {:?}", observer.last);
                Some(())
            });
        }
    }

    /// Waits for several packets of `content`. Silence has to last: they must follow each other. Those of a tone need not: on
    /// a busy machine the emulated processor is too slow to encode all audio, and where some was lost
    /// (`porthole_audio_gaps_total`) there is a packet with a cut in it.
    pub fn expect_audio(&mut self, content: AudioContent) {
        let mut count = 0;
        self.wait(&format!("to hear {content:?}"), |observer, event| {
            let Event::Audio(audio) = event else { return None };
            let received = AudioContent::of(&audio.samples);
            *observer.audio.entry(received).or_default() += 1;
            if received == content {
                count += 1;
            } else if content == AudioContent::Silence {
                count = 0;
            }
            (count == PACKETS).then_some(())
        });
    }

    /// Disconnects.
    pub fn leave(self) {
        self.runtime.block_on(self.viewer.leave()).expect("the viewer should leave");
    }

    fn wait_for_scene(&mut self, scene: Scene) -> (Image, Instant) {
        self.wait(&format!("to see {scene:?}"), |observer, event| {
            observer.note(event).filter(|(image, _)| Scene::of(image) == scene)
        })
    }

    /// Records the content of a frame; other events have none.
    fn note(&mut self, event: Event) -> Option<(Image, Instant)> {
        let Event::Frame(frame) = event else { return None };
        let image = frame.image?;
        *self.scenes.entry(Scene::of(&image)).or_default() += 1;
        self.last = means(&image);
        Some((image, frame.arrived))
    }

    /// Passes each event from now on to `check` until it returns a value.
    fn wait<T>(&mut self, what: &str, mut check: impl FnMut(&mut Observer, Event) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        // Drops events from before the call.
        while let Ok(event) = self.viewer.events.try_recv() {
            assert!(!matches!(event, Event::Ended), "{what}: the board had ended the session");
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let why = match self.runtime.block_on(self.viewer.event(left)) {
                Ok(Event::Ended) => "the board ended the session".to_owned(),
                Ok(event) => match check(self, event) {
                    Some(found) => return found,
                    None => continue,
                },
                Err(_) => format!("not within {LIMIT:?}"),
            };
            let Observer { scenes, audio, last, .. } = self;
            panic!("{what}: {why}; scenes {scenes:?}, audio {audio:?}, last bar colours {last:?}");
        }
    }
}

/// The share of a packet's energy at `pitch`, in hertz: 1 for a pure tone, 0 for silence.
fn share_of_tone(samples: &[i16], pitch: f64) -> f64 {
    let left: Vec<f64> = samples.chunks(2).map(|pair| f64::from(pair[0])).collect();
    let energy: f64 = left.iter().map(|sample| sample * sample).sum();
    let along = |wave: fn(f64) -> f64| -> f64 {
        let turn = TAU * pitch / 48_000.0;
        left.iter().enumerate().map(|(n, sample)| sample * wave(turn * n as f64)).sum()
    };
    let (sine, cosine) = (along(f64::sin), along(f64::cos));
    if energy == 0.0 { 0.0 } else { 2.0 * (sine * sine + cosine * cosine) / (energy * left.len() as f64) }
}
