//! A viewer of two cameras with a control channel; it keeps what arrives while waiting for responses.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::common::{Event, LIMIT, Options, Porthole, Viewer};

/// Two cameras of different sizes and frame rates, and a tone.
#[allow(dead_code)]
pub const TWO: &str = r#"
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

/// Sends numbered requests and collects frames, events and responses.
pub struct ControlClient {
    pub viewer: Viewer,
    requests: u64,
    /// Frames received so far.
    pub frames: Vec<ReceivedFrame>,
    pub events: Vec<Value>,
    answers: HashMap<u64, Value>,
    pub audio_packets: usize,
    /// Packets may be lost, and pictures that need them are skipped, instead of ending the test.
    pub may_lose: bool,
}

/// A received frame.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedFrame {
    pub arrived: Instant,
    pub ssrc: u32,
    pub timestamp: u32,
    pub key: bool,
    pub size: (usize, usize),
    pub camera: u8,
    pub number: u32,
    pub delay: Vec<u8>,
}

impl ControlClient {
    pub async fn begin(porthole: &Porthole) -> Result<Self> {
        Self::begin_with(&Options::new(&porthole.base)).await
    }

    pub async fn begin_with(options: &Options) -> Result<Self> {
        let viewer = Viewer::connect(options).await?;
        Ok(Self {
            viewer,
            requests: 0,
            frames: Vec::new(),
            events: Vec::new(),
            answers: HashMap::new(),
            audio_packets: 0,
            may_lose: false,
        })
    }

    /// Handles the next event.
    pub async fn step(&mut self, limit: Duration) -> Result<()> {
        match self.viewer.event(limit).await? {
            Event::Frame(frame) if self.may_lose && frame.image.is_none() => {}
            Event::Lost(_) if self.may_lose => {}
            Event::Frame(frame) => {
                let image = frame.image.context("a frame that cannot be decoded")?;
                let code = image
                    .code
                    .with_context(|| format!("a frame of {}x{} without a timecode", image.width, image.height))?;
                self.frames.push(ReceivedFrame {
                    arrived: frame.arrived,
                    ssrc: frame.ssrc,
                    timestamp: frame.timestamp,
                    key: frame.key,
                    size: (image.width, image.height),
                    camera: code.camera,
                    number: code.frame,
                    delay: frame.playout_delay.unwrap_or_default().to_vec(),
                });
            }
            Event::Audio(_) => self.audio_packets += 1,
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

    /// The next frame.
    pub async fn frame(&mut self) -> Result<ReceivedFrame> {
        let before = self.frames.len();
        let deadline = Instant::now() + LIMIT;
        while self.frames.len() == before {
            self.step(deadline.saturating_duration_since(Instant::now())).await?;
        }
        Ok(self.frames[before].clone())
    }

    /// Sends a request without waiting.
    pub async fn send_request(&mut self, method: &str, params: Value) -> Result<u64> {
        self.requests += 1;
        let id = self.requests;
        self.viewer.send(&json!({ "id": id, "method": method, "params": params }).to_string()).await?;
        Ok(id)
    }

    pub async fn answer(&mut self, id: u64) -> Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.step(deadline.saturating_duration_since(Instant::now())).await?;
        }
    }

    /// Sends a request and returns its result.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send_request(method, params).await?;
        let answer = self.answer(id).await?;
        answer.get("result").cloned().with_context(|| format!("{method}: {answer}"))
    }

    /// What is sent to all viewers while this one's next 30 frames arrive, in bit/s of their own time.
    #[allow(dead_code)]
    pub async fn bitrate(&mut self, porthole: &Porthole) -> Result<f64> {
        let first = self.frame().await?.timestamp;
        let before = porthole.metric("porthole_sent_bytes_total").await?;
        let mut last = first;
        for _ in 0..30 {
            last = self.frame().await?.timestamp;
        }
        let bytes = porthole.metric("porthole_sent_bytes_total").await? - before;
        Ok(bytes * 8.0 * 90_000.0 / f64::from(last.wrapping_sub(first)))
    }
}
