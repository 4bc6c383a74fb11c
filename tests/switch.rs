//! A viewer's own picture, steered over the control channel: another camera in the same track, pauses, sound, and how long
//! the browser holds pictures back. What is checked is what comes in by RTP.

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use common::{Event, LIMIT, Options, Porthole, Viewer};
use porthole::camera::code::camera_id;
use serde_json::{Value, json};

/// Two cameras of different sizes and rates, and a tone.
const TWO: &str = r#"
[http]
listen = "127.0.0.1:0"
[[camera]]
name = "door"
device = "pattern"
width = 320
height = 180
fps = 30
bitrate = 300000
[[camera]]
name = "yard"
device = "pattern"
width = 640
height = 360
fps = 25
bitrate = 500000
[audio]
device = "tone"
"#;

/// What the cameras' pictures are like.
const SIZES: [(&str, (usize, usize)); 2] = [("door", (320, 180)), ("yard", (640, 360))];

/// The whole of the control channel's part of a test: requests by number, and what came in beside the answers.
struct Steering {
    viewer: Viewer,
    requests: u64,
    /// Frames that came while an answer was waited for.
    frames: Vec<Seen>,
    events: Vec<Value>,
    answers: HashMap<u64, Value>,
    sounds: usize,
}

/// A picture as it came.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    arrived: Instant,
    ssrc: u32,
    timestamp: u32,
    key: bool,
    size: (usize, usize),
    camera: u8,
    delay: Vec<u8>,
}

impl Steering {
    async fn begin(porthole: &Porthole) -> Result<Self> {
        let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
        Ok(Self { viewer, requests: 0, frames: Vec::new(), events: Vec::new(), answers: HashMap::new(), sounds: 0 })
    }

    /// Takes in one thing that happens.
    async fn step(&mut self, limit: Duration) -> Result<()> {
        match self.viewer.event(limit).await? {
            Event::Frame(frame) => {
                let picture = frame.picture.context("a picture that cannot be decoded")?;
                self.frames.push(Seen {
                    arrived: frame.arrived,
                    ssrc: frame.ssrc,
                    timestamp: frame.timestamp,
                    key: frame.key,
                    size: (picture.width, picture.height),
                    camera: picture.code.context("a picture without a code")?.camera,
                    delay: frame.playout_delay.unwrap_or_default().to_vec(),
                });
            }
            Event::Sound(_) => self.sounds += 1,
            Event::Lost(packets) => bail!("{packets} packets lost"),
            Event::Ended => bail!("the session has ended"),
            Event::Message(text) => {
                let message: Value = serde_json::from_str(&text)?;
                match message["id"].as_u64() {
                    Some(id) => drop(self.answers.insert(id, message)),
                    None => self.events.push(message),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The next picture.
    async fn frame(&mut self) -> Result<Seen> {
        let before = self.frames.len();
        let deadline = Instant::now() + LIMIT;
        while self.frames.len() == before {
            self.step(deadline.saturating_duration_since(Instant::now())).await?;
        }
        Ok(self.frames[before].clone())
    }

    /// Asks for something without waiting.
    async fn ask(&mut self, method: &str, params: Value) -> Result<u64> {
        self.requests += 1;
        let id = self.requests;
        self.viewer.send(&json!({ "id": id, "method": method, "params": params }).to_string()).await?;
        Ok(id)
    }

    async fn answer(&mut self, id: u64) -> Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.step(deadline.saturating_duration_since(Instant::now())).await?;
        }
    }

    /// Asks for something, and takes the result.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.ask(method, params).await?;
        let answer = self.answer(id).await?;
        answer.get("result").cloned().with_context(|| format!("{method}: {answer}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_switches_between_cameras_of_different_sizes() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut viewer = Steering::begin(&porthole).await?;
    viewer.frame().await?;
    // The channel is open, and both cameras were.
    for (name, _) in [SIZES[1], SIZES[0]] {
        viewer.call("camera.select", json!({ "camera": name })).await?;
        while viewer.frame().await?.camera != camera_id(name) {}
    }
    viewer.frames.clear();
    viewer.events.clear();
    let mut took = Vec::new();
    for number in 1..=50 {
        let (name, size) = SIZES[number % 2];
        let asked = Instant::now();
        let id = viewer.ask("camera.select", json!({ "camera": name })).await?;
        let begins = loop {
            let frame = viewer.frame().await?;
            if frame.camera == camera_id(name) {
                break frame;
            }
        };
        took.push(begins.arrived.saturating_duration_since(asked));
        ensure!(begins.key && begins.size == size, "{number}: {begins:?}");
        let answer = viewer.answer(id).await?;
        ensure!(answer["result"]["camera"] == *name, "{answer}");
        // A few pictures of it, so that the next key frame is not asked for at once.
        for _ in 0..4 {
            let frame = viewer.frame().await?;
            ensure!((frame.camera, frame.size, frame.key) == (camera_id(name), size, false), "{number}: {frame:?}");
        }
    }
    took.sort_unstable();
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    ensure!(slowest < Duration::from_millis(300), "a switch took {slowest:?}, the middle one {median:?}: {took:?}");
    let mut longest = Duration::ZERO;
    for pair in viewer.frames.windows(2) {
        ensure!(pair[0].ssrc == pair[1].ssrc, "another stream");
        let ticks = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        ensure!(ticks > 0 && ticks < 90_000 / 5, "{ticks} ticks between two pictures");
        longest = longest.max(pair[1].arrived.saturating_duration_since(pair[0].arrived));
    }
    ensure!(longest < Duration::from_millis(200), "the picture stood still for {longest:?}");
    let selected = viewer.events.iter().filter(|event| event["params"]["selected"] == true).count();
    ensure!(selected >= 49, "{selected} events of 50 that the other camera is seen");
    // Whom nobody watches is closed.
    porthole
        .until_status("the other camera is closed", |status| {
            status["cameras"][1]["state"] == "idle" && status["cameras"][0]["watched"] == 1
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_of_one_viewer_is_not_that_of_another() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut one = Steering::begin(&porthole).await?;
    let mut other = Steering::begin(&porthole).await?;
    one.frame().await?;
    other.frame().await?;
    one.call("camera.select", json!({ "camera": "yard" })).await?;
    while one.frame().await?.camera != camera_id("yard") {}
    let watched = |status: &Value| status["cameras"][0]["watched"] == 1 && status["cameras"][1]["watched"] == 1;
    porthole.until_status("one watches each", watched).await?;
    other.frames.clear();
    for _ in 0..10 {
        let frame = other.frame().await?;
        ensure!(frame.camera == camera_id("door"), "{frame:?}");
    }
    let id = one.ask("camera.select", json!({ "camera": "cellar" })).await?;
    let answer = one.answer(id).await?;
    ensure!(answer["error"]["code"] == -32001, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_mute_are_the_viewers_own() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut viewer = Steering::begin(&porthole).await?;
    viewer.frame().await?;
    while viewer.sounds == 0 {
        viewer.step(LIMIT).await?;
    }
    viewer.call("video.pause", json!({})).await?;
    // Nobody watches any more, so the camera is closed; the sound goes on.
    porthole.until_status("the camera is closed", |status| status["cameras"][0]["state"] == "idle").await?;
    let sounds = viewer.sounds;
    while viewer.sounds < sounds + 20 {
        viewer.step(LIMIT).await?;
    }
    let paused = viewer.frames.len();
    while viewer.sounds < sounds + 50 {
        viewer.step(LIMIT).await?;
    }
    ensure!(viewer.frames.len() == paused, "pictures during a pause");
    viewer.call("video.resume", json!({})).await?;
    let first = if viewer.frames.len() > paused { viewer.frames[paused].clone() } else { viewer.frame().await? };
    ensure!(first.key, "{first:?}");

    viewer.call("audio.mute", json!({ "muted": true })).await?;
    porthole.until_status("the microphone is closed", |status| status["audio"]["state"] == "idle").await?;
    let (sounds, frames) = (viewer.sounds, viewer.frames.len());
    while viewer.frames.len() < frames + 60 {
        viewer.frame().await?;
    }
    // What was under way has come by now.
    let silent = viewer.sounds;
    while viewer.frames.len() < frames + 120 {
        viewer.frame().await?;
    }
    ensure!(
        viewer.sounds == silent,
        "{} packets of sound while muted, {} before",
        viewer.sounds - silent,
        silent - sounds
    );
    viewer.call("audio.mute", json!({ "muted": false })).await?;
    while viewer.sounds == silent {
        viewer.step(LIMIT).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_goes_with_the_pictures_and_a_key_frame_comes_when_asked() -> Result<()> {
    let porthole = Porthole::start(TWO)?;
    let mut viewer = Steering::begin(&porthole).await?;
    ensure!(viewer.frame().await?.delay == [0, 0, 0]);
    let smooth = viewer.call("latency.set", json!({ "mode": "smooth" })).await?;
    ensure!(smooth == json!({ "mode": "smooth", "min": 200, "max": 1000 }), "{smooth}");
    // 20 and 100 times 10 ms, in 12 bits each.
    while viewer.frame().await?.delay != [0x01, 0x40, 0x64] {}
    viewer.call("latency.set", json!({ "mode": "low" })).await?;
    while viewer.frame().await?.delay != [0, 0, 0] {}

    let before = viewer.frames.len();
    viewer.call("video.keyframe", json!({})).await?;
    let asked = |frames: &[Seen]| frames.iter().any(|frame| frame.key);
    while !asked(&viewer.frames[before..]) {
        viewer.frame().await?;
    }
    ensure!(viewer.frames.len() - before < 60, "a key frame came by itself, if at all");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_the_viewer_cannot_decode_is_refused_and_the_old_one_goes_on() -> Result<()> {
    let encoder = "ffmpeg -nostdin -loglevel error -re -f lavfi -i color=c=gray:s=320x180:r=15 -c:v libx264 \
                   -pix_fmt yuv420p -g 15 -profile:v high -f h264 -";
    let own = format!("[[camera]]\nname = \"own\"\ndevice = '''exec:{encoder}'''\nfps = 15\n");
    let porthole = Porthole::start(&format!("{TWO}{own}"))?;
    let mut viewer = Steering::begin(&porthole).await?;
    viewer.frame().await?;
    // At first it has not told what it encodes, then it has.
    for _ in 0..2 {
        let id = viewer.ask("camera.select", json!({ "camera": "own" })).await?;
        let answer = viewer.answer(id).await?;
        let words = answer["error"]["message"].as_str().unwrap_or_default();
        ensure!(answer["error"]["code"] == -32003 && words.contains("as high ("), "{answer}");
        for _ in 0..5 {
            let frame = viewer.frame().await?;
            ensure!(frame.camera == camera_id("door"), "{frame:?}");
        }
    }
    let selected = viewer.call("camera.list", json!({})).await?["selected"].clone();
    ensure!(selected == "door", "{selected}");
    Ok(())
}
