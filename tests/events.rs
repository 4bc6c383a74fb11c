//! Server-sent events of the running program: what they tell, how many readers there may be, and how they end.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Options, Porthole, SMALL, Viewer, request, token};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A reader of events.
struct Reader {
    stream: TcpStream,
    received: String,
    head: String,
}

impl Reader {
    async fn open(porthole: &Porthole, headers: &str) -> Result<Self> {
        let authority = porthole.base.split_once("://").context("no scheme")?.1.trim_end_matches('/');
        let mut stream = TcpStream::connect(authority).await?;
        stream.write_all(format!("GET /api/events HTTP/1.0\r\nHost: {authority}\r\n{headers}\r\n").as_bytes()).await?;
        let mut reader = Self { stream, received: String::new(), head: String::new() };
        reader.head = reader.until("\r\n\r\n").await?.to_ascii_lowercase();
        Ok(reader)
    }

    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The next event: its name and its parameters.
    async fn event(&mut self) -> Result<(String, Value)> {
        loop {
            let text = self.until("\n\n").await?;
            if text.starts_with(':') {
                continue;
            }
            let (name, data) = text.split_once('\n').with_context(|| text.clone())?;
            let name = name.strip_prefix("event: ").with_context(|| text.clone())?;
            let data = data.strip_prefix("data: ").with_context(|| text.clone())?;
            return Ok((name.to_owned(), serde_json::from_str(data)?));
        }
    }

    /// The parameters of the next event of this name that meets a condition.
    async fn find(&mut self, name: &str, met: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let (found, parameters) = self.event().await?;
            if found == name && met(&parameters) {
                return Ok(parameters);
            }
        }
    }

    async fn until(&mut self, end: &str) -> Result<String> {
        loop {
            if let Some((found, rest)) = self.received.split_once(end) {
                let (found, rest) = (found.to_owned(), rest.to_owned());
                self.received = rest;
                return Ok(found);
            }
            let mut buffer = vec![0; 64 * 1024];
            let count = timeout(LIMIT, self.stream.read(&mut buffer)).await.context("nothing arrives")??;
            ensure!(count > 0, "the stream has ended");
            self.received.push_str(std::str::from_utf8(&buffer[..count])?);
        }
    }

    /// Waits for the end.
    async fn finish(mut self) -> Result<()> {
        let mut rest = Vec::new();
        let _ = timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.context("the stream goes on")?;
        Ok(())
    }
}

async fn call(porthole: &Porthole, method: &str, params: Value) -> Result<Value> {
    let body = json!({ "id": 1, "method": method, "params": params }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_of_cameras_viewers_privacy_and_photos() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut reader = Reader::open(&porthole, "").await?;
    ensure!(reader.status() == 200 && reader.head.contains("content-type: text/event-stream"), "{}", reader.head);
    let (name, status) = reader.event().await?;
    ensure!(name == "status" && status["privacy"] == false && status["cameras"][0]["state"] == "idle", "{status:#}");
    let (name, viewers) = reader.event().await?;
    ensure!(name == "viewers" && viewers["count"] == 0, "{viewers:#}");
    // Reading events opens no camera.
    ensure!(porthole.metric("porthole_cameras_open").await? == 0.0);
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    reader.find("viewers", |viewers| viewers["count"] == 1).await?;
    reader.find("camera.changed", |camera| camera["state"] == "live" && camera["camera"] == "camera").await?;
    call(&porthole, "photo.take", json!({})).await?;
    reader.find("notice", |notice| notice["code"] == "photo.taken").await?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    reader.find("notice", |notice| notice["code"] == "privacy.on").await?;
    reader.find("status", |status| status["privacy"] == true).await?;
    viewer.leave().await?;
    reader.find("viewers", |viewers| viewers["count"] == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_limited_and_end_with_their_access_and_the_program() -> Result<()> {
    let state = tempfile::tempdir()?;
    let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n");
    let porthole = Porthole::start_with(&config, &[("STATE_DIRECTORY", state.path().into())])?;
    let header = |name: &str| {
        let secret = token(state.path(), &["add", name, "--role", "viewer"])?;
        anyhow::Ok(format!("Authorization: Bearer {secret}\r\n"))
    };
    let (one, other) = (header("one")?, header("other")?);
    ensure!(Reader::open(&porthole, "").await?.status() == 401);
    let mut readers = Vec::new();
    for _ in 0..11 {
        readers.push(Reader::open(&porthole, &one).await?);
    }
    let mut survivor = Reader::open(&porthole, &other).await?;
    let refused = Reader::open(&porthole, &one).await?;
    ensure!(refused.status() == 429 && refused.head.contains("retry-after: 5"), "{}", refused.head);
    token(state.path(), &["revoke", "one"])?;
    for reader in readers {
        reader.finish().await?;
    }
    survivor.find("viewers", |_| true).await?;
    porthole.signal("TERM")?;
    let (code, _, log) = tokio::task::spawn_blocking(move || porthole.wait()).await??;
    ensure!(code == Some(0), "{log}");
    survivor.finish().await?;
    Ok(())
}
