//! A viewer outside, who stays for the whole scenario and tells what it sees and hears from the moment that it is asked:
//! which picture, whether it moves, tone or silence. How a viewer connects is `tests/viewer`'s business, how a picture is
//! judged `frame_content`'s.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::client::{Event, Image, Options, Viewer};
use crate::frame_content::{Scene, means, moved};
use crate::guest::TONE_HZ;

/// How long the viewer waits for what it shall see or hear: as long as the emulated processor may take to negotiate, on a
/// machine that is busy with other things.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Packets of sound in a row that make a judgement: 200 ms. What was heard once may be the edge of something else.
const PACKETS: usize = 10;

/// Pictures of a camera among which movement is looked for: a second and more.
const FRAMES: usize = 20;

/// The share of the energy at the tone's pitch from which on sound is the tone: what the codec adds is a few percent.
const TONE_SHARE: f64 = 0.9;

/// The amplitude up to which sound is silence: a hundredth of the tone's, and above the noise that the codec may leave.
const SILENCE_PEAK: u16 = 80;

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AudioContent {
    /// The tone that the board's sound card hears.
    Tone,
    /// Nothing.
    Silence,
    /// Anything else.
    Other,
}

impl AudioContent {
    /// Judges a packet of interleaved stereo at 48 kHz.
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

/// A viewer in one session. The end of the session fails the test.
pub struct Observer {
    runtime: Runtime,
    viewer: Viewer,
    /// What has been seen and heard so far, for the message of a failure.
    scenes: BTreeMap<Scene, usize>,
    audio: BTreeMap<AudioContent, usize>,
    /// What the last picture had in the places of the bars.
    last: [[i32; 3]; 8],
}

impl Observer {
    /// Watches the camera called `camera` on the page at `base`.
    pub fn connect(base: &str, camera: &str) -> Observer {
        let runtime = Runtime::new().expect("a runtime should start");
        let options = Options { camera: Some(camera.to_owned()), ..Options::new(base) };
        let viewer = runtime.block_on(Viewer::connect(&options));
        let viewer = viewer.unwrap_or_else(|error| panic!("camera {camera}: the viewer should connect: {error:#}"));
        Observer { runtime, viewer, scenes: BTreeMap::new(), audio: BTreeMap::new(), last: Default::default() }
    }

    /// Waits until it sees `scene`, and tells when that picture arrived.
    pub fn expect_scene(&mut self, scene: Scene) -> Instant {
        self.wait_for_scene(scene).1
    }

    /// Waits until it sees `scene` in this size.
    pub fn expect_scene_of_size(&mut self, scene: Scene, size: (usize, usize)) {
        let (image, _) = self.wait_for_scene(scene);
        assert_eq!((image.width, image.height), size, "the picture's size");
    }

    /// Waits for so many pictures of `scene` as show a movement; most of them have to differ from the one before.
    pub fn expect_motion(&mut self, scene: Scene) {
        let frames: Vec<Image> = (0..FRAMES).map(|_| self.wait_for_scene(scene).0).collect();
        let changes = frames.windows(2).filter(|pair| moved(&pair[0], &pair[1])).count();
        assert!(changes >= frames.len() / 2, "{changes} changes in {} pictures", frames.len());
    }

    /// Waits for so many pictures as show a second and more; none of them may be anything else.
    pub fn expect_only(&mut self, scene: Scene) {
        for _ in 0..FRAMES {
            self.wait(&format!("to see nothing but {scene:?}"), |observer, event| {
                let shown = Scene::of(&observer.note(event)?.0);
                assert_eq!(shown, scene, "in the places of the bars: {:?}", observer.last);
                Some(())
            });
        }
    }

    /// Waits until it hears `noise` for a while.
    pub fn expect_audio(&mut self, content: AudioContent) {
        let mut in_a_row = 0;
        self.wait(&format!("to hear {content:?}"), |observer, event| {
            let Event::Audio(audio) = event else { return None };
            let received = AudioContent::of(&audio.samples);
            *observer.audio.entry(received).or_default() += 1;
            in_a_row = if received == content { in_a_row + 1 } else { 0 };
            (in_a_row == PACKETS).then_some(())
        });
    }

    /// Leaves the page.
    pub fn leave(self) {
        self.runtime.block_on(self.viewer.leave()).expect("the viewer should leave");
    }

    fn wait_for_scene(&mut self, scene: Scene) -> (Image, Instant) {
        self.wait(&format!("to see {scene:?}"), |observer, event| {
            observer.note(event).filter(|(image, _)| Scene::of(image) == scene)
        })
    }

    /// Remembers what a picture shows; other events hold none.
    fn note(&mut self, event: Event) -> Option<(Image, Instant)> {
        let Event::Frame(frame) = event else { return None };
        let image = frame.image?;
        *self.scenes.entry(Scene::of(&image)).or_default() += 1;
        self.last = means(&image);
        Some((image, frame.arrived))
    }

    /// Looks at each event from now on until `look` finds something.
    fn wait<T>(&mut self, what: &str, mut check: impl FnMut(&mut Observer, Event) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        // What came in while nobody asked is the past.
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
            panic!("{what}: {why}; seen {scenes:?}, heard {audio:?}, last in the places of the bars {last:?}");
        }
    }
}

/// The share of a packet's energy that lies at `pitch`, in hertz; 1 is a pure tone, silence has 0.
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
