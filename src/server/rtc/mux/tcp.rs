//! ICE over TCP (RFC 6544) for viewers whose network blocks UDP: a listener for each local address, and connections that
//! carry one datagram in each frame (RFC 4571).
//!
//! To a session a connection looks like datagrams from the peer's address; which session they belong to is
//! decided in `demux`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::MAX_DATAGRAM;
use super::datagrams::Datagrams;
use super::demux::Demux;
use super::path::{Path, Transport};
use super::peer_set::MuxPeerSet;
use super::send_stats::SendStats;
use super::stun::{self, StunClass};
use crate::media::Timestamp;
use crate::model::metrics::IgnoreReason;
use crate::util::connection_limit::{ConnectionLimiter, ConnectionPermit};

/// Connections of viewers at once. A browser opens one from each of its interfaces to each of our addresses and keeps the
/// best, so this is enough for 16 viewers, and few enough for a process that may have 1,024 descriptors.
const MAX_CONNECTIONS: usize = 192;

/// Connections at once that have not sent a check yet; a browser's do so within a round trip. They have places of their
/// own, so that whoever is no viewer cannot take a viewer's.
const MAX_UNCHECKED: usize = 64;

/// From the connection to its first check. A browser sends that at once.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without a frame for this long is closed; a browser checks each of its connections at least every 15 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(40);

/// Frames queued for writing: a key frame of 150 packets, and what follows within [`MAX_QUEUE_AGE`].
const QUEUE_CAPACITY: usize = 512;

/// A frame queued for longer is dropped: on a network slower than the stream, the viewer shall miss frames instead of
/// falling further behind.
const MAX_QUEUE_AGE: Duration = Duration::from_millis(500);

/// Unsent bytes in the kernel's buffer (`TCP_NOTSENT_LOWAT`): what is in there can no longer be dropped.
const NOTSENT_LOWAT: u32 = 32 << 10;

/// Pause after an accept error, which means a lack of descriptors or of memory.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// The queue of frames to one connection.
#[derive(Debug)]
struct TcpTransport(mpsc::Sender<Frame>);

#[derive(Debug)]
struct Frame {
    /// The length and the datagram.
    framed: Bytes,
    /// The capture time of the video frame that ends with it.
    last_of: Option<Timestamp>,
    queued_at: Instant,
    stats: SendStats,
}

impl Transport for TcpTransport {
    fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Always `true`: no other path leads to the peer of a closed connection. It will open a new one, from another port.
    fn send(&self, _to: SocketAddr, datagrams: Datagrams<'_>, stats: &SendStats) -> bool {
        let mut left = datagrams.count();
        for datagram in datagrams.each() {
            left -= 1;
            let (Ok(length), Ok(slot)) = (u16::try_from(datagram.len()), self.0.try_reserve()) else {
                stats.dropped(1);
                continue;
            };
            let mut framed = BytesMut::with_capacity(2 + datagram.len());
            framed.put_u16(length);
            framed.put_slice(datagram);
            let last_of = datagrams.frame.filter(|_| left == 0);
            slot.send(Frame { framed: framed.freeze(), last_of, queued_at: Instant::now(), stats: stats.clone() });
        }
        true
    }
}

/// The connections to all listeners; a cheap handle.
#[derive(Clone)]
pub struct TcpConnections {
    unchecked: ConnectionLimiter,
    viewers: ConnectionLimiter,
}

impl Default for TcpConnections {
    fn default() -> Self {
        Self { unchecked: ConnectionLimiter::new(MAX_UNCHECKED), viewers: ConnectionLimiter::new(MAX_CONNECTIONS) }
    }
}

/// Listens on an address and serves its connections until `closed`.
pub fn open(
    address: SocketAddr,
    closed: CancellationToken,
    demux: Arc<Demux>,
    connections: TcpConnections,
) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = closed.cancelled() => {}
            () = accept(&listener, &closed, &demux, &connections) => {}
        }
    });
    Ok(())
}

async fn accept(listener: &TcpListener, closed: &CancellationToken, demux: &Arc<Demux>, connections: &TcpConnections) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("accept ICE-TCP: {error}");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let Some(unchecked) = connections.unchecked.try_acquire(peer.ip()) else {
            demux.ignore(IgnoreReason::Connection);
            continue;
        };
        let (closed, demux, viewers) = (closed.clone(), demux.clone(), connections.viewers.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = closed.cancelled() => {}
                ended = serve(stream, peer, &demux, unchecked, &viewers) => if let Err(error) = ended {
                    tracing::debug!("ICE-TCP from {peer}: {error}");
                },
            }
        });
    }
}

/// Serves a connection until its session is closed, it breaks, or it gives way to another.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    demux: &Demux,
    unchecked: ConnectionPermit,
    viewers: &ConnectionLimiter,
) -> io::Result<()> {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    let (mut read, write) = stream.into_split();
    let first = tokio::select! {
        biased;
        () = unchecked.evicted() => return Err(gave_way()),
        first = timeout(FIRST_FRAME_TIMEOUT, read_frame(&mut read)) => {
            first.map_err(|_| timed_out(FIRST_FRAME_TIMEOUT))??
        }
    };
    if !matches!(stun::classify(&first), StunClass::Request(_)) {
        demux.ignore(IgnoreReason::Unknown);
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the first frame is not a connectivity check"));
    }
    let (queue, mut frames) = mpsc::channel(QUEUE_CAPACITY);
    let path = Path::new(TcpTransport(queue));
    let Some(peers) = demux.route(&first, peer, &path) else {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the first frame is not a check of any session"));
    };
    // Dropped before the queue: once nothing can be sent any more, nothing is routed from there either.
    let _guard = RouteGuard { demux, peers: peers.clone(), peer, path: path.clone() };
    drop(unchecked);
    let Some(permit) = viewers.try_acquire(peer.ip()) else {
        demux.ignore(IgnoreReason::Connection);
        return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "no place for another connection of this address"));
    };
    tokio::select! {
        biased;
        () = peers.closed.cancelled() => Ok(()),
        () = permit.evicted() => Err(gave_way()),
        read = receive(read, peer, demux, &path) => read,
        written = write_frames(write, &mut frames) => written,
    }
}

fn gave_way() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "it gave way to a connection of another address")
}

/// Removes the path of a connection, however that ends.
struct RouteGuard<'t> {
    demux: &'t Demux,
    peers: Arc<MuxPeerSet>,
    peer: SocketAddr,
    path: Path,
}

impl Drop for RouteGuard<'_> {
    fn drop(&mut self) {
        self.demux.forget_path(&self.peers, self.peer, &self.path);
    }
}

async fn receive(mut from: impl AsyncRead + Unpin, peer: SocketAddr, demux: &Demux, path: &Path) -> io::Result<()> {
    loop {
        let frame = timeout(IDLE_TIMEOUT, read_frame(&mut from)).await.map_err(|_| timed_out(IDLE_TIMEOUT))??;
        demux.route(&frame, peer, path);
    }
}

fn timed_out(limit: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no frame within {} s", limit.as_secs()))
}

/// Reads one frame: a length of two bytes, then the datagram (RFC 4571 section 2).
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::from(from.read_u16().await?);
    if length > MAX_DATAGRAM {
        let message = format!("a frame of {length} bytes; the maximum is {MAX_DATAGRAM}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frames(mut to: impl AsyncWrite + Unpin, frames: &mut mpsc::Receiver<Frame>) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        if frame.queued_at.elapsed() > MAX_QUEUE_AGE {
            frame.stats.dropped(1);
            continue;
        }
        to.write_all(&frame.framed).await?;
        frame.stats.sent(1, frame.framed.len() - 2);
        if let Some(captured) = frame.last_of {
            frame.stats.frame_sent(captured);
        }
    }
    Ok(())
}
