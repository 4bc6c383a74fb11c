//! A path to a peer: the UDP socket or the TCP connection on which datagrams to it leave.
//!
//! Which path a peer is reached by is decided in `peer_set`; the sockets themselves are in `udp` and `tcp`.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

use super::datagrams::Datagrams;
use super::send_stats::SendStats;

/// What a path sends through.
pub trait Transport: Debug + Send + Sync {
    /// Whether it still sends.
    fn is_open(&self) -> bool;

    /// Sends datagrams, or drops them and counts the drops. Returns `false` if nothing was sent or counted, because another
    /// path may lead to the peer.
    fn send(&self, to: SocketAddr, datagrams: Datagrams<'_>, stats: &SendStats) -> bool;
}

/// A path to a peer; a cheap handle.
#[derive(Debug, Clone)]
pub struct Path(Arc<dyn Transport>);

impl Path {
    /// A new path, which equals only its own clones.
    pub fn new(transport: impl Transport + 'static) -> Self {
        Self(Arc::new(transport))
    }

    /// Whether both are the same path.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it still sends.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Sends datagrams; see [`Transport::send`].
    pub fn send(&self, to: SocketAddr, datagrams: Datagrams<'_>, stats: &SendStats) -> bool {
        self.0.send(to, datagrams, stats)
    }
}
