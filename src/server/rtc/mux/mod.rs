//! One UDP port, and the TCP port with the same number, for all sessions: a socket for each local address, and a
//! virtual socket for each session, on which it sends and receives as if it had its own.
//!
//! Incoming datagrams are routed by the username of connectivity checks, then by source address. Outgoing ones leave by
//! the socket that the peer has chosen in its checks, so a session need not know the addresses of this host and does not
//! notice when they change.
//!
//! Which addresses there are, and which a viewer is offered, is decided in `ice`.

mod datagrams;
mod demux;
pub mod dtls_guard;
mod path;
mod peer_set;
mod send_queue;
mod send_stats;
mod sockets;
mod sources;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod virtual_socket;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use rtc::crypto::RTCCryptoProvider;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use datagrams::Datagrams;
use demux::Demux;
use path::Path;
pub use send_stats::SendStats;
pub use sockets::LocalEndpoint;
use sockets::{SocketConfig, SocketSet};
pub use stun::Credentials;
use stun::StunClass;
pub use virtual_socket::VirtualSocket;

use crate::model::metrics::Metrics;
use crate::util::lock::{Mutex, MutexGuard};

/// The longest datagram that is accepted; no path has a larger MTU than Ethernet.
const MAX_DATAGRAM: usize = 2_000;

/// How soon binding an address is retried: duplicate address detection takes a second or two (RFC 4862).
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long the kernel's choice of source address for a new peer is cached. The library checks such a peer 50 times a
/// second.
const SOURCE_ADDR_TTL: Duration = Duration::from_secs(1);

/// Peers in that cache.
const MAX_CACHED_PEERS: usize = 256;

/// The address whose port an instance holds from its start: loopback, but not the address that programs on this host use.
const RESERVATION: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

/// The first retransmission timeout, which doubles each time (RFC 8489 section 6.2.1).
const INITIAL_RTO: Duration = Duration::from_millis(500);

/// The sockets for all sessions; a cheap handle.
#[derive(Clone)]
pub struct Mux(Arc<Inner>);

struct Inner {
    config: SocketConfig,
    sockets: Mutex<SocketSet>,
    /// Whether a task is retrying addresses that could not be bound.
    retrying: Mutex<bool>,
    /// The local address from which the kernel would send to a peer.
    source_addr_cache: Mutex<HashMap<IpAddr, (Instant, Option<IpAddr>)>>,
    /// Keeps the port from other instances; see [`reserve`].
    _reservation: Option<UdpSocket>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.config.stop.cancel();
    }
}

impl Mux {
    /// Sockets on UDP `port`, and with `tcp` on the same TCP port; 0 picks free ones. They are served by `runtime`. There are
    /// none until `set_addresses`.
    ///
    /// # Errors
    ///
    /// If the port is in use.
    pub fn start(port: u16, tcp: bool, runtime: Handle, metrics: Metrics) -> anyhow::Result<Self> {
        let reservation = if port == 0 { None } else { reserve(port, tcp)? };
        let crypto = rtc::crypto::default_provider().map_err(|error| anyhow::anyhow!("find cryptography: {error}"))?;
        let demux = Arc::new(Demux::new(crypto, metrics));
        let config = SocketConfig {
            port,
            tcp,
            runtime,
            demux,
            connections: tcp::TcpConnections::default(),
            stop: CancellationToken::new(),
        };
        let (sockets, retrying, source_addr_cache) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { config, sockets, retrying, source_addr_cache, _reservation: reservation })))
    }

    /// Opens sockets for new addresses, closes those of addresses that are gone, and keeps the others. Addresses that
    /// cannot be bound yet are retried.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        let inner = &self.0;
        inner.sockets().set_addresses(addresses, &inner.config);
        lock(&inner.source_addr_cache).clear();
        self.retry();
    }

    /// Opens sockets for an address that a request was received on; they stay as long as it can be bound. Returns
    /// whether they are open.
    pub fn ensure(&self, address: IpAddr) -> bool {
        self.0.sockets().bind_for_request(address, &self.0.config)
    }

    /// The bound addresses and ports.
    pub fn locals(&self) -> Vec<LocalEndpoint> {
        self.0.sockets().locals()
    }

    /// Sends a STUN request from the socket of a local address, with retransmissions until the response arrives or
    /// `limit` has passed.
    ///
    /// # Errors
    ///
    /// If there is no such socket, no route to the server, or no response in time.
    pub async fn request(&self, from: IpAddr, to: SocketAddr, message: &[u8], limit: Duration) -> io::Result<Bytes> {
        let StunClass::Request(id) = stun::classify(message) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a STUN request"));
        };
        let local = self.0.sockets().get(from.to_canonical()).cloned();
        let no_socket = || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("not listening on {from}"));
        let local = local.ok_or_else(no_socket)?;
        let expected = self.0.config.demux.expect_response(id, to);
        let mut expected = expected.ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "too many requests"))?;
        let request = async {
            let mut wait = INITIAL_RTO;
            loop {
                local.send_when_writable(to, message).await?;
                if let Ok(response) = tokio::time::timeout(wait, &mut expected.response).await {
                    return response.map_err(|_| io::ErrorKind::BrokenPipe.into());
                }
                wait *= 2;
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no response from {to} within {limit:?}"));
        tokio::time::timeout(limit, request).await.map_err(|_| late())?
    }

    /// A virtual socket for one session.
    pub fn virtual_socket(&self, stats: SendStats) -> VirtualSocket {
        VirtualSocket::new(self.clone(), stats)
    }

    /// The path to a peer from which nothing was received yet: from the address that the kernel would choose.
    fn path_to(&self, peer: IpAddr) -> Option<Path> {
        let now = Instant::now();
        let mut source_addr_cache = lock(&self.0.source_addr_cache);
        let cached =
            source_addr_cache.get(&peer).filter(|(since, _)| now.saturating_duration_since(*since) < SOURCE_ADDR_TTL);
        let from = match cached {
            Some((_, from)) => *from,
            None => {
                let from = source_address(peer);
                if source_addr_cache.len() >= MAX_CACHED_PEERS {
                    source_addr_cache.clear();
                }
                source_addr_cache.insert(peer, (now, from));
                from
            }
        };
        drop(source_addr_cache);
        let from = from?;
        let sockets = self.0.sockets();
        // The kernel may choose an address that viewers are not offered.
        let local = sockets.get(from).or_else(|| sockets.any_like(from))?;
        Some(local.path())
    }

    /// The cryptography that messages are checked with.
    pub fn crypto(&self) -> Arc<dyn RTCCryptoProvider> {
        self.demux().crypto()
    }

    fn demux(&self) -> &Demux {
        &self.0.config.demux
    }

    /// Retries addresses that could not be bound, as long as there are any.
    fn retry(&self) {
        let mut retrying = lock(&self.0.retrying);
        if *retrying || self.0.sockets().bind_missing(&self.0.config) {
            return;
        }
        *retrying = true;
        let (weak, stop) = (Arc::downgrade(&self.0), self.0.config.stop.clone());
        tokio::spawn(async move {
            while tokio::time::timeout(BIND_RETRY_INTERVAL, stop.cancelled()).await.is_err() {
                let Some(inner) = weak.upgrade() else { return };
                let mut retrying = lock(&inner.retrying);
                if inner.sockets().bind_missing(&inner.config) {
                    *retrying = false;
                    return;
                }
            }
        });
    }
}

impl Inner {
    fn sockets(&self) -> MutexGuard<'_, SocketSet> {
        lock(&self.sockets)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Checks that the port is free on every address, and binds it on one that nobody uses: sockets for viewers are bound
/// only when an address is listed or requested, and until then a second instance would find the port free, start, and
/// serve nobody. `None` on a host without loopback.
fn reserve(port: u16, tcp: bool) -> anyhow::Result<Option<UdpSocket>> {
    probe(port, tcp)?;
    match UdpSocket::bind((RESERVATION, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(udp_taken(port, error)),
        bound => Ok(bound.ok()),
    }
}

/// The error if the UDP port cannot be bound.
fn udp_taken(port: u16, error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!(
        "bind UDP port {port}, which viewers are to use; stop the program that holds it (ss -lunp 'sport = :{port}') or set \
         [rtc] udp_port to another one"
    ))
}

/// Checks that the port is free on every address.
fn probe(port: u16, tcp: bool) -> anyhow::Result<()> {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    for ip in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
        if let Err(error) = UdpSocket::bind((ip, port)) {
            // Without IPv6 in the kernel, binding fails, but the port is not in use.
            if taken(&error) || ip.is_ipv4() {
                return Err(udp_taken(port, error));
            }
        }
        if tcp
            && let Err(error) = TcpListener::bind((ip, port))
            && (taken(&error) || ip.is_ipv4())
        {
            return Err(error).with_context(|| {
                format!(
                    "bind TCP port {port}, which viewers are to use whose network blocks UDP; stop the program that \
                     holds it (ss -ltnp 'sport = :{port}'), set [rtc] udp_port to another one, or tcp to false"
                )
            });
        }
    }
    Ok(())
}

/// The local address from which the kernel would send to `peer`; nothing is sent.
fn source_address(peer: IpAddr) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Any port will do; 9 is discard.
    socket.connect((peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}
