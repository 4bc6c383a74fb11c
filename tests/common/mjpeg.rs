//! A reader of MJPEG streams, which sees each part as it arrives.

use anyhow::{Context as _, Result, ensure};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{LIMIT, Porthole};

/// One part of a stream.
#[derive(Debug)]
pub struct Part {
    /// When the frame was captured, in microseconds since the Unix epoch.
    pub captured: u64,
    /// The JPEG file.
    pub jpeg: Vec<u8>,
}

/// A stream that is being read.
pub struct Reader {
    stream: TcpStream,
    received: Vec<u8>,
    /// The head of the response, in lower case.
    pub head: String,
    boundary: String,
}

/// Opens a stream at this path, from an address of this host and with additional headers, each ending in CRLF. HTTP/1.0,
/// so that the parts are not in chunks.
pub async fn open_from(porthole: &Porthole, from: [u8; 4], path: &str, headers: &str) -> Result<Reader> {
    let authority = porthole.base.split_once("://").context("no scheme")?.1.trim_end_matches('/');
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(from), 0))?;
    // A small window, as of a slow network.
    socket.set_recv_buffer_size(32 * 1024)?;
    let mut stream = timeout(LIMIT, socket.connect(authority.parse()?)).await??;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n{headers}\r\n").as_bytes()).await?;
    let mut reader = Reader { stream, received: Vec::new(), head: String::new(), boundary: String::new() };
    let head = reader.until(b"\r\n\r\n").await?;
    reader.head = String::from_utf8(head)?.to_ascii_lowercase();
    let boundary = reader.head.split_once("boundary=").map(|(_, rest)| rest.lines().next().unwrap_or_default());
    reader.boundary = boundary.unwrap_or_default().to_owned();
    Ok(reader)
}

/// Opens a stream at this path.
pub async fn open(porthole: &Porthole, path: &str) -> Result<Reader> {
    let reader = open_from(porthole, [127, 0, 0, 1], path, "").await?;
    ensure!(reader.status() == 200 && !reader.boundary.is_empty(), "{}", reader.head);
    Ok(reader)
}

impl Reader {
    /// The status of the response.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The next part.
    pub async fn part(&mut self) -> Result<Part> {
        let line = self.until(b"\r\n").await?;
        ensure!(line == format!("--{}", self.boundary).into_bytes(), "no boundary: {line:?}");
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?)?;
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.with_context(|| format!("no {name}: {head}"))
        };
        ensure!(header("Content-Type")? == "image/jpeg", "{head}");
        let length: usize = header("Content-Length")?.parse()?;
        let (seconds, micros) = header("X-Timestamp")?.split_once('.').context("no fraction")?;
        let captured = seconds.parse::<u64>()? * 1_000_000 + micros.parse::<u64>()?;
        while self.received.len() < length + 2 {
            self.receive().await?;
        }
        let jpeg: Vec<u8> = self.received.drain(..length).collect();
        ensure!(self.until(b"\r\n").await?.is_empty(), "the part is longer than its Content-Length");
        Ok(Part { captured, jpeg })
    }

    /// Reads until the server ends the stream; returns how many bytes came.
    pub async fn finish(mut self) -> Result<usize> {
        let mut rest = self.received.len();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match timeout(LIMIT, self.stream.read(&mut buffer)).await.context("the stream goes on")? {
                Ok(0) | Err(_) => return Ok(rest),
                Ok(count) => rest += count,
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|bytes| bytes == end) {
                let found = self.received.drain(..at).collect();
                self.received.drain(..end.len());
                return Ok(found);
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let count = timeout(LIMIT, self.stream.read(&mut buffer)).await.context("nothing arrives")??;
        ensure!(count > 0, "the stream has ended");
        self.received.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

/// Width and height of a JPEG.
pub fn size(jpeg: &[u8]) -> Result<(u32, u32)> {
    porthole::media::convert::jpeg_size(jpeg).context("it has no size")
}
