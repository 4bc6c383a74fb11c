//! A small WHIP endpoint (RFC 9725): it answers offers with a receiver of another implementation, or refuses them as it is
//! told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use test_viewer::{Network, Options, Receiver};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A section for data channels.
const DATA: &str =
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n";

/// What becomes of an offer.
#[derive(Clone)]
pub enum Reply {
    /// A receiver answers it.
    Accept,
    /// A receiver answers it, and the answer is sent as soon as it is told to.
    AcceptAfter(Arc<Notify>),
    /// A receiver answers it, and its answer brings data channels, which were not offered.
    AcceptWithData,
    /// This is sent instead, up to the end of the connection.
    Raw(String),
    /// Nothing is sent.
    Silence,
}

/// A request that was made.
#[derive(Debug)]
pub struct Request {
    /// `POST /whip`.
    pub line: String,
    /// The lines of the header, in lower case up to the colon.
    pub head: Vec<String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// An accepted offer.
pub struct Accepted {
    pub receiver: Receiver,
    /// The receiver's network.
    pub network: Network,
}

/// A running endpoint; it stops listening when dropped, and its receivers stay.
pub struct Endpoint {
    pub address: SocketAddr,
    pub requests: mpsc::UnboundedReceiver<Request>,
    pub accepted: mpsc::UnboundedReceiver<Accepted>,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

struct Shared {
    reply: Mutex<Reply>,
    lite: bool,
    tls: Option<TlsAcceptor>,
    requests: mpsc::UnboundedSender<Request>,
    accepted: mpsc::UnboundedSender<Accepted>,
}

impl Endpoint {
    /// An endpoint on a free port.
    pub async fn start(reply: Reply) -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), reply, false, None).await
    }

    pub async fn start_at(address: SocketAddr, reply: Reply, lite: bool, tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (request, requests) = mpsc::unbounded_channel();
        let (accept, accepted) = mpsc::unbounded_channel();
        let shared = Shared { reply: Mutex::new(reply), lite, tls, requests: request, accepted: accept };
        let shared = Arc::new(shared);
        let serving = shared.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        Ok(Self { address, requests, accepted, shared, listening })
    }

    /// The URL of its endpoint, whose query nobody else should see.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/whip?key=geheim", self.address)
    }

    /// What becomes of offers from now on.
    pub fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().expect("no holder should panic") = reply;
    }

    /// The next request within `limit`.
    pub async fn request(&mut self, limit: Duration) -> Result<Request> {
        let request = tokio::time::timeout(limit, self.requests.recv()).await;
        request.with_context(|| format!("no request within {limit:?}"))?.context("the endpoint should run")
    }

    /// The next offer that is accepted within `limit`.
    pub async fn accepted(&mut self, limit: Duration) -> Result<Accepted> {
        let accepted = tokio::time::timeout(limit, self.accepted.recv()).await;
        accepted.with_context(|| format!("no offer within {limit:?}"))?.context("the endpoint should run")
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream) -> Result<()> {
        match &self.tls {
            Some(tls) => self.exchange(tls.accept(stream).await?).await,
            None => self.exchange(stream).await,
        }
    }

    async fn exchange(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let request = read(&mut stream).await?;
        let (is_offer, offer) = (request.line.starts_with("POST "), request.body.clone());
        let _ = self.requests.send(request);
        let response = if is_offer {
            let reply = self.reply.lock().expect("no holder should panic").clone();
            match reply {
                Reply::Accept => self.accept(offer, "").await?,
                Reply::AcceptAfter(told) => {
                    let response = self.accept(offer, "").await?;
                    told.notified().await;
                    response
                }
                Reply::AcceptWithData => self.accept(offer, DATA).await?,
                Reply::Raw(response) => response,
                Reply::Silence => return std::future::pending().await,
            }
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()
        };
        stream.write_all(response.as_bytes()).await?;
        Ok(stream.shutdown().await?)
    }

    /// Has a receiver answer, to whose answer a third section may be added.
    async fn accept(&self, offer: String, section: &str) -> Result<String> {
        let network = Network::default();
        let options =
            Options { network: Some(network.clone()), lite: self.lite, ..Options::new("http://127.0.0.1:9/") };
        let receiver = Receiver::answer(&options, offer).await?;
        let mut answer = receiver.answer.clone();
        if !section.is_empty() {
            answer = answer.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1 2") + section;
        }
        let length = answer.len();
        let _ = self.accepted.send(Accepted { receiver, network });
        Ok(format!(
            "HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nLocation: session/1?key=geheim\r\nETag: \"1\"\r\n\
             Content-Length: {length}\r\n\r\n{answer}"
        ))
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Request> {
    let mut received = Vec::new();
    let head = loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        anyhow::ensure!(stream.read_buf(&mut received).await? > 0, "the request ends in its header");
    };
    let text = String::from_utf8(received[..head].to_vec())?;
    let mut lines = text.lines();
    let line = lines.next().context("no request line")?.trim_end_matches(" HTTP/1.1").to_owned();
    let lower = |line: &str| line.split_once(':').map(|(name, value)| format!("{}:{value}", name.to_lowercase()));
    let head_lines: Vec<String> = lines.filter_map(lower).collect();
    let mut request = Request { line, head: head_lines, body: String::new() };
    let length: usize = request.header("content-length").map_or(Ok(0), str::parse)?;
    let mut body = received.split_off(head);
    while body.len() < length {
        anyhow::ensure!(stream.read_buf(&mut body).await? > 0, "the request ends in its body");
    }
    request.body = String::from_utf8(body)?;
    Ok(request)
}
