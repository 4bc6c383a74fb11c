//! A viewer outside, who stays for the whole scenario and tells what it sees and hears from the moment that it is asked:
//! which picture, whether it moves, tone or silence. How a viewer connects is `tests/viewer`'s business, how a picture is
//! judged `frame_content`'s.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::client::{Event, Options, Picture, Viewer};
use crate::frame_content::{Scene, means, moved};
use crate::guest::TONE_HZ;

/// How long the viewer waits for what it shall see or hear: as long as the emulated processor may take to negotiate, on a
/// machine that is busy with other things.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Packets of sound in a row that make a judgement: 200 ms. What was heard once may be the edge of something else.
const PACKETS: usize = 10;

/// Pictures of a camera among which movement is looked for: a second and more.
const PICTURES: usize = 20;

/// The share of the energy at the tone's pitch from which on sound is the tone: what the codec adds is a few percent.
const TONE_SHARE: f64 = 0.9;

/// The amplitude up to which sound is silence: a hundredth of the tone's, and above the noise that the codec may leave.
const SILENCE_PEAK: u16 = 80;

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noise {
    /// The tone that the board's sound card hears.
    Tone,
    /// Nothing.
    Silence,
    /// Anything else.
    Other,
}

impl Noise {
    /// Judges a packet of interleaved stereo at 48 kHz.
    pub fn of(samples: &[i16]) -> Noise {
        if share_of_tone(samples, TONE_HZ.into()) > TONE_SHARE {
            Noise::Tone
        } else if samples.iter().all(|sample| sample.unsigned_abs() <= SILENCE_PEAK) {
            Noise::Silence
        } else {
            Noise::Other
        }
    }
}

/// A viewer in one session. The end of the session fails the test.
pub struct Eyewitness {
    runtime: Runtime,
    viewer: Viewer,
    /// What has been seen and heard so far, for the message of a failure.
    seen: BTreeMap<Scene, usize>,
    heard: BTreeMap<Noise, usize>,
    /// What the last picture had in the places of the bars.
    last: [[i32; 3]; 8],
}

impl Eyewitness {
    /// Watches the camera called `camera` on the page at `base`.
    pub fn connect(base: &str, camera: &str) -> Eyewitness {
        let runtime = Runtime::new().expect("a runtime should start");
        let options = Options { camera: Some(camera.to_owned()), ..Options::new(base) };
        let viewer = runtime.block_on(Viewer::connect(&options));
        let viewer = viewer.unwrap_or_else(|error| panic!("camera {camera}: the viewer should connect: {error:#}"));
        Eyewitness { runtime, viewer, seen: BTreeMap::new(), heard: BTreeMap::new(), last: Default::default() }
    }

    /// Waits until it sees `scene`, and tells when that picture arrived.
    pub fn sees(&mut self, scene: Scene) -> Instant {
        self.picture(scene).1
    }

    /// Waits until it sees `scene` in this size.
    pub fn sees_sized(&mut self, scene: Scene, size: (usize, usize)) {
        let (picture, _) = self.picture(scene);
        assert_eq!((picture.width, picture.height), size, "the picture's size");
    }

    /// Waits for so many pictures of `scene` as show a movement; most of them have to differ from the one before.
    pub fn sees_movement(&mut self, scene: Scene) {
        let pictures: Vec<Picture> = (0..PICTURES).map(|_| self.picture(scene).0).collect();
        let changes = pictures.windows(2).filter(|pair| moved(&pair[0], &pair[1])).count();
        assert!(changes >= pictures.len() / 2, "{changes} changes in {} pictures", pictures.len());
    }

    /// Waits for so many pictures as show a second and more; none of them may be anything else.
    pub fn sees_nothing_but(&mut self, scene: Scene) {
        for _ in 0..PICTURES {
            self.wait(&format!("to see nothing but {scene:?}"), |witness, event| {
                let seen = Scene::of(&witness.note(event)?.0);
                assert_eq!(seen, scene, "in the places of the bars: {:?}", witness.last);
                Some(())
            });
        }
    }

    /// Waits until it hears `noise` for a while.
    pub fn hears(&mut self, noise: Noise) {
        let mut in_a_row = 0;
        self.wait(&format!("to hear {noise:?}"), |witness, event| {
            let Event::Sound(sound) = event else { return None };
            let heard = Noise::of(&sound.samples);
            *witness.heard.entry(heard).or_default() += 1;
            in_a_row = if heard == noise { in_a_row + 1 } else { 0 };
            (in_a_row == PACKETS).then_some(())
        });
    }

    /// Leaves the page.
    pub fn leave(self) {
        self.runtime.block_on(self.viewer.leave()).expect("the viewer should leave");
    }

    fn picture(&mut self, scene: Scene) -> (Picture, Instant) {
        self.wait(&format!("to see {scene:?}"), |witness, event| {
            witness.note(event).filter(|(picture, _)| Scene::of(picture) == scene)
        })
    }

    /// Remembers what a picture shows; other events hold none.
    fn note(&mut self, event: Event) -> Option<(Picture, Instant)> {
        let Event::Frame(frame) = event else { return None };
        let picture = frame.picture?;
        *self.seen.entry(Scene::of(&picture)).or_default() += 1;
        self.last = means(&picture);
        Some((picture, frame.arrived))
    }

    /// Looks at each event from now on until `look` finds something.
    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Eyewitness, Event) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        // What came in while nobody asked is the past.
        while let Ok(event) = self.viewer.events.try_recv() {
            assert!(!matches!(event, Event::Ended), "{what}: the board had ended the session");
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let why = match self.runtime.block_on(self.viewer.event(left)) {
                Ok(Event::Ended) => "the board ended the session".to_owned(),
                Ok(event) => match look(self, event) {
                    Some(found) => return found,
                    None => continue,
                },
                Err(_) => format!("not within {LIMIT:?}"),
            };
            let Eyewitness { seen, heard, last, .. } = self;
            panic!("{what}: {why}; seen {seen:?}, heard {heard:?}, last in the places of the bars {last:?}");
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
