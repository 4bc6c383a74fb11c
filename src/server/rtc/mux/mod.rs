//! One UDP port, and the TCP port of the same number, for all viewers: a socket for each local address, and for each
//! viewer a line on which its stack sends and receives as if it had sockets of its own.
//!
//! What comes in is told apart by the user name of the connectivity checks, then by the address it comes from. What goes
//! out goes by the socket on which the peer was last heard, so that the stack need not know which addresses this machine
//! has, and does not notice when they change.
//!
//! It decides neither which addresses there are nor which a viewer is offered.

mod demux;
mod path;
mod peer_set;
pub mod runtime;
mod send_stats;
mod sockets;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod virtual_socket;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use demux::Demux;
use path::Path;
pub use send_stats::SendStats;
pub use sockets::LocalEndpoint;
use sockets::{SocketConfig, SocketSet};
pub use stun::Credentials;
use stun::StunClass;
pub use virtual_socket::VirtualSocket;

use crate::model::metrics::Metrics;

/// The longest datagram that is taken, which is what the stack's buffers hold; no path has a larger MTU than Ethernet.
const MAX_DATAGRAM: usize = 2_000;

/// How soon an address that cannot be bound is tried again: duplicate address detection takes a second or two (RFC 4862).
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long it is believed which way the kernel would take to a peer that was not heard yet. The stack checks such a
/// peer 50 times a second.
const SOURCE_ADDR_TTL: Duration = Duration::from_secs(1);

/// Peers whose way is remembered that long.
const MAX_CACHED_PEERS: usize = 256;

/// The first wait for a response, which doubles with each repetition (RFC 8489 section 6.2.1).
const INITIAL_RTO: Duration = Duration::from_millis(500);

/// The sockets of all viewers; a cheap handle.
#[derive(Clone)]
pub struct Mux(Arc<Inner>);

struct Inner {
    config: SocketConfig,
    sockets: Mutex<SocketSet>,
    /// Whether somebody tries missing addresses again.
    retrying: Mutex<bool>,
    /// Which local address the kernel would speak to a peer from.
    source_addr_cache: Mutex<HashMap<IpAddr, (Instant, Option<IpAddr>)>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.config.stop.cancel();
    }
}

impl Mux {
    /// Sockets for all viewers on UDP `port`, and with `tcp` on the TCP port of that number; 0 takes free ones. There are
    /// none until it is told of addresses.
    ///
    /// # Errors
    ///
    /// When the port is in use.
    pub fn start(port: u16, tcp: bool, metrics: Metrics) -> anyhow::Result<Self> {
        if port != 0 {
            probe(port, tcp)?;
        }
        let crypto = rtc::crypto::default_provider().map_err(|error| anyhow::anyhow!("find cryptography: {error}"))?;
        let demux = Arc::new(Demux::new(crypto, metrics));
        let config = SocketConfig { port, tcp, demux, counts: Arc::default(), stop: CancellationToken::new() };
        let (sockets, retrying, source_addr_cache) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { config, sockets, retrying, source_addr_cache })))
    }

    /// Opens sockets for new addresses, closes those of addresses that are gone, and keeps the others. An address that
    /// cannot be bound yet is tried again.
    pub fn set_addresses(&self, addresses: Vec<IpAddr>) {
        let inner = &self.0;
        inner.sockets().set_addresses(addresses, &inner.config);
        lock(&inner.source_addr_cache).clear();
        self.retry();
    }

    /// Opens sockets for an address that a request came in on, which stay as long as it can be used; whether they are
    /// open.
    pub fn ensure(&self, address: IpAddr) -> bool {
        self.0.sockets().bind_for_request(address, &self.0.config)
    }

    /// Where viewers are listened to.
    pub fn locals(&self) -> Vec<LocalEndpoint> {
        self.0.sockets().locals()
    }

    /// Sends a STUN request from the socket of a local address, again and again until its response is there or `limit`
    /// is over.
    ///
    /// # Errors
    ///
    /// When there is no such socket, no way to the server, or no response in time.
    pub async fn request(&self, from: IpAddr, to: SocketAddr, message: &[u8], limit: Duration) -> io::Result<Bytes> {
        let StunClass::Request(id) = stun::classify(message) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a STUN request"));
        };
        let local = self.0.sockets().get(from.to_canonical()).cloned();
        let no_socket = || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{from} is not listened on"));
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

    /// A line for one viewer.
    pub fn virtual_socket(&self, stats: SendStats) -> VirtualSocket {
        VirtualSocket::new(self.clone(), stats)
    }

    /// The way to a peer that was not heard of yet: from the address that the kernel would speak to it from.
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
        // An address that viewers are not offered may still be the one that the kernel would choose.
        let local = sockets.get(from).or_else(|| sockets.any_like(from))?;
        Some(local.path())
    }

    fn demux(&self) -> &Demux {
        &self.0.config.demux
    }

    /// Tries addresses that could not be bound again, as long as there are any.
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
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the port is free on every address.
fn probe(port: u16, tcp: bool) -> anyhow::Result<()> {
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    for ip in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
        if let Err(error) = UdpSocket::bind((ip, port)) {
            // Where the kernel has no IPv6, it cannot be bound, nor be in use.
            if taken(&error) || ip.is_ipv4() {
                return Err(error).with_context(|| {
                    format!(
                        "bind UDP port {port}, which viewers are to use; stop the program that holds it \
                         (ss -lunp 'sport = :{port}') or set [rtc] udp_port to another one"
                    )
                });
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

/// The local address that the kernel would speak to `peer` from; nothing is sent.
fn source_address(peer: IpAddr) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Any port will do; 9 is discard.
    socket.connect((peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}
