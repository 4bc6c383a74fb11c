//! A reader of server-sent events (`GET /api/events`).

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{LIMIT, Porthole};

/// A reader of events.
pub struct EventReader {
    stream: TcpStream,
    received: String,
    pub head: String,
}

impl EventReader {
    pub async fn open(porthole: &Porthole, headers: &str) -> Result<Self> {
        let authority = porthole.base.split_once("://").context("no scheme")?.1.trim_end_matches('/');
        let mut stream = TcpStream::connect(authority).await?;
        stream.write_all(format!("GET /api/events HTTP/1.0\r\nHost: {authority}\r\n{headers}\r\n").as_bytes()).await?;
        let mut reader = Self { stream, received: String::new(), head: String::new() };
        reader.head = reader.until("\r\n\r\n").await?.to_ascii_lowercase();
        Ok(reader)
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The next event: its name and its parameters.
    pub async fn event(&mut self) -> Result<(String, Value)> {
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
    pub async fn find(&mut self, name: &str, met: impl Fn(&Value) -> bool) -> Result<Value> {
        let find = async {
            loop {
                let (found, parameters) = self.event().await?;
                if found == name && met(&parameters) {
                    return Ok(parameters);
                }
            }
        };
        // Comments come all the time.
        timeout(2 * LIMIT, find).await.with_context(|| format!("no such event: {name}"))?
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
    pub async fn finish(mut self) -> Result<()> {
        let mut rest = Vec::new();
        let _ = timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.context("the stream goes on")?;
        Ok(())
    }
}
