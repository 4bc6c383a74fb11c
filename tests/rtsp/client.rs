//! An RTSP client that sees each answer and each packet as it arrives, and may break every rule.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::common::{LIMIT, Porthole};

/// The transport of a client that wants everything on its connection, for the video and for the audio.
pub const INTERLEAVED: [&str; 2] = ["RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP/TCP;unicast;interleaved=2-3"];

/// A connection.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// Packets that came before an answer.
    packets: VecDeque<Packet>,
    number: u32,
    /// The server's URL, with a slash at the end.
    pub base: String,
    /// Headers of all requests.
    pub headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A packet between answers.
#[derive(Debug)]
pub struct Packet {
    pub channel: u8,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The ID of the session.
    pub fn session(&self) -> Result<&str> {
        let value = self.header("session").with_context(|| format!("no session: {self:?}"))?;
        Ok(value.split(';').next().unwrap_or_default())
    }
}

impl Packet {
    /// The RTP timestamp.
    pub fn time(&self) -> u32 {
        u32::from_be_bytes(self.bytes[4..8].try_into().expect("four bytes"))
    }

    /// Whether it ends a frame, or begins a talkspurt.
    pub fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }
}

/// The URL of the server, with a slash at the end.
pub fn url(porthole: &Porthole) -> Result<String> {
    Ok(format!("rtsp://{}", porthole.wait_for_output("rtsp://")?))
}

impl Client {
    /// Connects from an address of this host, with a small window as of a slow network.
    pub async fn from(porthole: &Porthole, address: [u8; 4]) -> Result<Self> {
        let base = url(porthole)?;
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::from(address), 0))?;
        socket.set_recv_buffer_size(16 * 1024)?;
        let server = base.trim_start_matches("rtsp://").trim_end_matches('/').parse()?;
        let stream = timeout(LIMIT, socket.connect(server)).await??;
        let (received, packets) = (Vec::new(), VecDeque::new());
        Ok(Self { stream, received, packets, number: 0, base, headers: Vec::new() })
    }

    /// Connects.
    pub async fn new(porthole: &Porthole) -> Result<Self> {
        Self::from(porthole, [127, 0, 0, 1]).await
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends a request and waits for its answer. A path without a scheme is one of the server's.
    pub async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.number += 1;
        let number = self.number;
        let url = if path == "*" || path.contains("://") { path.to_owned() } else { format!("{}{path}", self.base) };
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let lines: String =
            own.chain(headers.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.send(format!("{method} {url} RTSP/1.0\r\nCSeq: {number}\r\n{lines}\r\n").as_bytes()).await?;
        let answer = self.answer().await?;
        ensure!(answer.header("cseq") == Some(&number.to_string()), "the answer to another request: {answer:?}");
        Ok(answer)
    }

    /// The next answer. Packets before it are kept.
    pub async fn answer(&mut self) -> Result<Answer> {
        loop {
            if self.peek().await? == b'$' {
                let packet = self.read_packet().await?;
                self.packets.push_back(packet);
                continue;
            }
            let head = loop {
                match self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    Some(end) => break String::from_utf8(self.received.drain(..end + 4).collect())?,
                    None => self.receive().await?,
                }
            };
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
            let mut answer = Answer { status, head, body: String::new() };
            let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
            while self.received.len() < length {
                self.receive().await?;
            }
            answer.body = String::from_utf8(self.received.drain(..length).collect())?;
            return Ok(answer);
        }
    }

    /// The next packet.
    pub async fn packet(&mut self) -> Result<Packet> {
        match self.packets.pop_front() {
            Some(packet) => Ok(packet),
            None => self.read_packet().await,
        }
    }

    /// The next packet on this channel.
    pub async fn packet_on(&mut self, channel: u8) -> Result<Packet> {
        loop {
            let packet = self.packet().await?;
            if packet.channel == channel {
                return Ok(packet);
            }
        }
    }

    /// The packets of the next whole frame of video.
    pub async fn frame(&mut self) -> Result<Vec<Packet>> {
        let mut packets = Vec::new();
        loop {
            let packet = self.packet_on(0).await?;
            let ends = packet.marker();
            packets.push(packet);
            if ends {
                return Ok(packets);
            }
        }
    }

    async fn read_packet(&mut self) -> Result<Packet> {
        ensure!(self.peek().await? == b'$', "no packet: {}", self.received.escape_ascii());
        while self.received.len() < 4 {
            self.receive().await?;
        }
        let (channel, length) =
            (self.received[1], usize::from(u16::from_be_bytes([self.received[2], self.received[3]])));
        while self.received.len() < 4 + length {
            self.receive().await?;
        }
        Ok(Packet { channel, bytes: self.received.drain(..4 + length).skip(4).collect() })
    }

    async fn peek(&mut self) -> Result<u8> {
        while self.received.is_empty() {
            self.receive().await?;
        }
        Ok(self.received[0])
    }

    async fn receive(&mut self) -> Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        let count = timeout(LIMIT, self.stream.read(&mut buffer)).await.context("nothing arrives")??;
        ensure!(count > 0, "the connection was closed");
        self.received.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Waits until the server has closed the connection.
    pub async fn until_closed(&mut self) -> Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        // What was not read may make it a reset.
        while timeout(LIMIT, self.stream.read(&mut buffer)).await.context("it stays open")?.is_ok_and(|count| count > 0)
        {
        }
        Ok(())
    }

    /// Sets both tracks of a camera up; the ID of its session.
    pub async fn set_up(&mut self, path: &str, transports: [&str; 2]) -> Result<String> {
        let separator = if path.is_empty() || path.ends_with('/') { "" } else { "/" };
        let mut session: Option<String> = None;
        for (track, transport) in transports.into_iter().enumerate() {
            let headers: Vec<(&str, &str)> =
                session.iter().map(|id| ("Session", id.as_str())).chain([("Transport", transport)]).collect();
            let answer = self.request("SETUP", &format!("{path}{separator}trackID={track}"), &headers).await?;
            ensure!(answer.status == 200, "{answer:?}");
            session = Some(answer.session()?.to_owned());
        }
        session.context("no track")
    }

    /// Plays both tracks of a camera on the connection; the answer to PLAY.
    pub async fn play(&mut self, path: &str) -> Result<Answer> {
        let session = self.set_up(path, INTERLEAVED).await?;
        self.headers.push(("Session".into(), session));
        let answer = self.request("PLAY", path, &[("Range", "npt=0.000-")]).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer)
    }
}
