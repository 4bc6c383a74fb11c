//! The socket of one session, on which it sends and receives as if it had one of its own.
//!
//! Who its peers are and by which path each is reached is in `peer_set`.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::Mux;
use super::datagrams::Datagrams;
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

    /// Delivers RTCP of this source of the viewer to this session, whatever address it comes from, while nothing comes from
    /// the known ones.
    pub fn learn_source(&self, source: u32) {
        self.demux().learn_source(&self.0.peers, source);
    }

    /// Sends a datagram. It never blocks: what cannot be sent is dropped and counted.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let Ok(length) = u16::try_from(datagram.len()) else { return self.0.peers.count_dropped(1) };
        self.send_all(to, Datagrams::new(datagram, &[length], None));
    }

    /// Sends datagrams together, as [`Self::send`] does.
    pub fn send_all(&self, to: SocketAddr, datagrams: Datagrams<'_>) {
        let Inner { mux, peers } = self.0.as_ref();
        if datagrams.count() == 0 || peers.send(to, datagrams) {
            return;
        }
        let Some(path) = mux.path_to(to.ip()) else { return peers.count_dropped(datagrams.count()) };
        self.demux().learn_peer(peers, to, &path);
        peers.send_on(&path, to, datagrams);
    }

    /// The next datagram. Cancel safe.
    pub async fn receive(&self) -> (Bytes, SocketAddr) {
        std::future::poll_fn(|cx| self.0.peers.poll_receive(cx)).await
    }

    /// The next datagram, if one has been received.
    pub fn try_receive(&self) -> Option<(Bytes, SocketAddr)> {
        self.0.peers.try_receive()
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
