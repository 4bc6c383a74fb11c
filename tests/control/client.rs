//! A test viewer that uses the control channel: requests and responses, events, snapshots.

use std::collections::VecDeque;
use std::io::Read as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::common::{Event, LIMIT, Options, Viewer};

/// A viewer that keeps what it received while waiting for something else.
pub struct ControlClient {
    pub viewer: Viewer,
    /// Frame numbers of the decoded frames.
    pub numbers: Vec<u32>,
    /// Lost packets.
    pub lost: usize,
    requests: u32,
    messages: VecDeque<Value>,
    chunks: VecDeque<bytes::Bytes>,
}

/// A snapshot received in chunks.
pub struct Snapshot {
    pub transfer: u32,
    pub content: Vec<u8>,
}

/// The error code of a response; zero for a result.
pub fn code(answer: &Value) -> i64 {
    if answer.get("result").is_some() { 0 } else { answer["error"]["code"].as_i64().unwrap_or(i64::MIN) }
}

impl ControlClient {
    pub async fn connect(options: &Options) -> Result<Self> {
        let viewer = Viewer::connect(options).await?;
        let (numbers, messages, chunks) = Default::default();
        Ok(Self { viewer, numbers, lost: 0, requests: 0, messages, chunks })
    }

    /// Receives the next event.
    pub async fn receive(&mut self, limit: Duration) -> Result<()> {
        match self.viewer.event(limit).await? {
            Event::Message(text) => self.messages.push_back(serde_json::from_str(&text).context(text)?),
            Event::Binary(chunk) => self.chunks.push_back(chunk),
            Event::Frame(frame) => {
                self.numbers.extend(frame.image.and_then(|image| image.code).map(|code| code.frame));
            }
            Event::Lost(count) => self.lost += count,
            Event::Ended => anyhow::bail!("the session has ended"),
            _ => {}
        }
        Ok(())
    }

    /// The next message that `wanted` accepts; others stay queued.
    async fn message(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(message) = self.messages.iter().position(&wanted).and_then(|at| self.messages.remove(at)) {
                return Ok(message);
            }
            let waited = self.receive(deadline.saturating_duration_since(Instant::now())).await;
            waited.with_context(|| format!("messages so far: {:?}", self.messages))?;
        }
    }

    /// The next response.
    pub async fn answer(&mut self) -> Result<Value> {
        self.message(|message| message.get("id").is_some()).await
    }

    /// Sends a request and waits for the response.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.requests += 1;
        let id = format!("request {}", self.requests);
        self.viewer.send(&json!({ "id": id, "method": method, "params": params }).to_string()).await?;
        self.message(|message| message["id"] == id).await.context(method.to_owned())
    }

    /// The params of the next event of this name.
    pub async fn event(&mut self, name: &str) -> Result<Value> {
        let mut message = self.message(|message| message["method"] == name).await.with_context(|| name.to_owned())?;
        Ok(message["params"].take())
    }

    /// Takes a snapshot and checks it against its description.
    pub async fn snapshot(&mut self) -> Result<Snapshot> {
        let answer = self.call("snapshot", json!({})).await?;
        ensure!(code(&answer) == 0, "{answer}");
        let description = &answer["result"];
        let transfer = description["transfer"].as_u64().context("no transfer")? as u32;
        let (mut content, mut index) = (Vec::new(), 0u16);
        let deadline = Instant::now() + LIMIT;
        loop {
            let Some(chunk) = self.chunks.pop_front() else {
                let waited = self.receive(deadline.saturating_duration_since(Instant::now())).await;
                waited.with_context(|| format!("piece {index} of {description}"))?;
                continue;
            };
            ensure!(chunk.len() > 12 && chunk.len() <= 16_384, "a message of {} bytes", chunk.len());
            let number = |at: usize| u16::from_be_bytes([chunk[at], chunk[at + 1]]);
            let of = u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
            let data = 12 + usize::from(chunk[9]);
            ensure!(of == transfer && number(4) == index && chunk[8] == 1 && number(10) == 0, "{:?}", &chunk[..12]);
            ensure!(&chunk[12..data] == b"image/jpeg", "{:?}", &chunk[12..data]);
            content.extend_from_slice(&chunk[data..]);
            index += 1;
            if index == number(6) {
                break;
            }
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &content);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(
            description["bytes"] == content.len() && description["sha256"] == digest,
            "{} bytes, {digest}: {description}",
            content.len()
        );
        ensure!(
            jpeg_size(&content).map(|(width, height)| json!([width, height]))
                == Some(json!([description["width"], description["height"]]))
        );
        Ok(Snapshot { transfer, content })
    }
}

/// The size of a JPEG file, from its frame header (ITU-T T.81 section B.2.2).
pub fn jpeg_size(jpeg: &[u8]) -> Option<(u16, u16)> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return None };
        let number = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
        if (0xc0..=0xc2).contains(&marker) {
            return Some((number(7)?, number(5)?));
        }
        rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
    }
}

/// Status, media type and body of `url`.
pub fn get(url: &str, authorization: &str) -> Result<(u16, String, Vec<u8>)> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT)).build().into();
    let request = agent.get(url);
    let request = if authorization.is_empty() { request } else { request.header("authorization", authorization) };
    let mut answer = request.call()?;
    let kind =
        answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = Vec::new();
    answer.body_mut().as_reader().read_to_end(&mut body)?;
    Ok((answer.status().as_u16(), kind, body))
}
