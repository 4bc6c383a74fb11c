//! The socket that the WebRTC library of one session sends and receives on, as if it had one of its own.
//!
//! Who its peers are and by which path each is reached is in `peer_set`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Mux;
use super::demux::Demux;
use super::peer_set::MuxPeerSet;
use super::send_stats::SendStats;
use super::stun::Credentials;

/// One session's socket; a cheap handle. It closes when the last handle is dropped.
#[derive(Clone)]
pub struct VirtualSocket(Arc<Inner>);

struct Inner {
    mux: Mux,
    peers: Arc<MuxPeerSet>,
}

impl std::fmt::Debug for VirtualSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VirtualSocket").field(&self.0.peers).finish()
    }
}

impl VirtualSocket {
    pub(super) fn new(mux: Mux, stats: SendStats) -> Self {
        Self(Arc::new(Inner { mux, peers: Arc::new(MuxPeerSet::new(stats)) }))
    }

    /// Routes checks that are signed with these credentials of ours to this session.
    pub fn register_ufrag(&self, credentials: Credentials) {
        self.demux().register_ufrag(&self.0.peers, credentials);
    }

    /// Stops routing checks with former credentials: after an ICE restart only `ufrag` counts.
    pub fn retain_ufrag(&self, ufrag: &str) {
        self.demux().retain_ufrag(&self.0.peers, ufrag);
    }

    /// Sends a datagram. It never blocks: what cannot be sent is dropped and counted.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let Inner { mux, peers } = self.0.as_ref();
        if peers.send(to, datagram) {
            return;
        }
        let Some(path) = mux.path_to(to.ip()) else { return peers.count_dropped() };
        self.demux().learn_peer(peers, to, &path);
        peers.send_on(&path, to, datagram);
    }

    /// The next datagram of one IP version.
    pub fn poll_receive(&self, ipv6: bool, cx: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        self.0.peers.poll_receive(ipv6, cx)
    }

    /// Resolves when the DTLS handshake cannot succeed any more, which the library does not report.
    pub async fn handshake_failed(&self) {
        self.0.peers.handshake_failed.cancelled().await;
    }

    /// Notes that the DTLS handshake is complete.
    pub fn note_connected(&self) {
        self.0.peers.note_connected();
    }

    /// Closes the socket: its datagrams are no longer routed, and its TCP connections are closed.
    pub fn close(&self) {
        self.0.close();
    }

    fn demux(&self) -> &Demux {
        self.0.mux.demux()
    }
}

impl Inner {
    fn close(&self) {
        self.peers.closed.cancel();
        self.mux.demux().remove(&self.peers);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
