//! The line of one viewer: what came in for it, where its peers were heard, and by which way something goes out to them.
//!
//! Whose a datagram is stands in `table`; the sockets stand in `udp` and `tcp`.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::path::Path;
use super::send_stats::SendStats;
use super::stun::{self, StunClass, TransactionId};
use crate::model::metrics::IgnoreReason;

/// Datagrams that came in and wait for the viewer's stack, for each IP version: the stack takes up to 64 at a time, and
/// a viewer that speaks sends 50 a second and its reports.
const INBOX_CAPACITY: usize = 256;

/// Addresses from which one viewer is heard. A browser has a few interfaces, and on each UDP, TCP and what its NAT makes
/// of them; the TCP connections to each of our addresses count singly.
pub const MAX_PEERS: usize = 64;

/// Checks that came in and are not answered yet; the stack answers at once.
const MAX_PENDING_CHECKS: usize = 64;

/// A way on which nothing came in for so long may be left for another. Both sides check each pair every 2.5 s or so
/// (RFC 7675).
pub const PATH_TIMEOUT: Duration = Duration::from_secs(5);

/// An address of the viewer.
#[derive(Debug)]
struct Peer {
    /// Where to send to it.
    path: Path,
    /// When it was last heard on that way.
    last_on_path: Instant,
    /// When it was last heard; `None` while only we have spoken.
    last_received: Option<Instant>,
}

#[derive(Debug, Default)]
struct Peers {
    known: HashMap<SocketAddr, Peer>,
    pending_checks: VecDeque<(TransactionId, Path)>,
}

type Inbox = (mpsc::Sender<(Bytes, SocketAddr)>, Mutex<mpsc::Receiver<(Bytes, SocketAddr)>>);

/// One viewer's part of the sockets.
#[derive(Debug)]
pub struct MuxPeerSet {
    inboxes: [Inbox; 2],
    peers: Mutex<Peers>,
    stats: SendStats,
    /// Cancelled when the viewer is gone.
    pub(super) closed: CancellationToken,
}

impl MuxPeerSet {
    pub(super) fn new(stats: SendStats) -> Self {
        let inbox = || {
            let (sender, receiver) = mpsc::channel(INBOX_CAPACITY);
            (sender, Mutex::new(receiver))
        };
        Self { inboxes: [inbox(), inbox()], peers: Mutex::default(), stats, closed: CancellationToken::new() }
    }

    /// Notes that `peer` was heard on `path`. A peer may be heard on several ways at once, for it checks each of our
    /// addresses: the one it uses is where it sends more than checks, or says so in one (`chosen`).
    pub(super) fn note_received(&self, peer: SocketAddr, path: &Path, selects_path: bool, now: Instant) {
        let mut peers = self.lock();
        let Some(known) = peers.known.get_mut(&peer) else { return };
        known.last_received = Some(now);
        if known.path.is_same(path) {
            known.last_on_path = now;
        } else if selects_path
            || !known.path.is_open()
            || now.saturating_duration_since(known.last_on_path) > PATH_TIMEOUT
        {
            known.path = path.clone();
            known.last_on_path = now;
        }
    }

    /// Enters a peer, unless it is known; the peer that was forgotten for it, the one not heard for longest.
    pub(super) fn insert_peer(&self, peer: SocketAddr, path: &Path, now: Instant) -> Option<SocketAddr> {
        let mut peers = self.lock();
        if peers.known.contains_key(&peer) {
            return None;
        }
        let full = peers.known.len() >= MAX_PEERS;
        let oldest = full.then(|| peers.known.iter().min_by_key(|(_, peer)| peer.last_received).map(|(peer, _)| *peer));
        let evicted = oldest.flatten();
        if let Some(oldest) = evicted {
            peers.known.remove(&oldest);
        }
        peers.known.insert(peer, Peer { path: path.clone(), last_on_path: now, last_received: None });
        evicted
    }

    /// Forgets a peer.
    pub(super) fn remove_peer(&self, peer: SocketAddr) {
        self.lock().known.remove(&peer);
    }

    /// Whether a peer is reached by this way.
    pub(super) fn is_reached_by(&self, peer: SocketAddr, path: &Path) -> bool {
        self.lock().known.get(&peer).is_some_and(|known| known.path.is_same(path))
    }

    /// All peers, which are forgotten.
    pub(super) fn clear(&self) -> Vec<SocketAddr> {
        let mut peers = self.lock();
        peers.pending_checks.clear();
        peers.known.drain().map(|(peer, _)| peer).collect()
    }

    /// Whether a peer was heard not long before `now`.
    pub(super) fn is_recent(&self, peer: SocketAddr, now: Instant) -> bool {
        let last_received = self.lock().known.get(&peer).and_then(|peer| peer.last_received);
        !self.closed.is_cancelled()
            && last_received.is_some_and(|last_received| now.saturating_duration_since(last_received) <= PATH_TIMEOUT)
    }

    /// Remembers on which way a check came, which is where its answer goes.
    pub(super) fn note_check(&self, id: TransactionId, path: &Path) {
        let mut peers = self.lock();
        if peers.pending_checks.len() >= MAX_PENDING_CHECKS {
            peers.pending_checks.pop_front();
        }
        peers.pending_checks.push_back((id, path.clone()));
    }

    /// Gives a datagram to the viewer's stack.
    pub(super) fn deliver(&self, datagram: &[u8], from: SocketAddr) -> Result<(), IgnoreReason> {
        let (inbox, _) = &self.inboxes[usize::from(from.is_ipv6())];
        inbox.try_send((Bytes::copy_from_slice(datagram), from)).map_err(|_| IgnoreReason::Full)
    }

    /// The next datagram of an IP version; none ever again when the viewer is gone.
    pub(super) fn poll_receive(&self, ipv6: bool, cx: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        let (_, inbox) = &self.inboxes[usize::from(ipv6)];
        match ready!(inbox.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx)) {
            Some(received) => Poll::Ready(received),
            None => Poll::Pending,
        }
    }

    /// Sends by the way on which the peer was heard, an answer by the way of its question; `false` when there is none.
    pub(super) fn send(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        let path = {
            let mut peers = self.lock();
            let answered = match stun::classify(datagram) {
                StunClass::Response(id) => peers.pending_checks.iter().position(|(pending, _)| *pending == id),
                StunClass::Request(_) | StunClass::Other => None,
            };
            let path = answered.and_then(|at| peers.pending_checks.remove(at)).map(|(_, path)| path);
            path.or_else(|| peers.known.get(&to).map(|peer| peer.path.clone()))
        };
        path.is_some_and(|path| path.send(to, datagram, &self.stats))
    }

    /// Sends by a way that was found for a peer not heard of yet, or whose own way is closed.
    pub(super) fn send_on(&self, path: &Path, to: SocketAddr, datagram: &[u8]) {
        let mut peers = self.lock();
        if let Some(known) = peers.known.get_mut(&to).filter(|known| !known.path.is_open()) {
            known.path = path.clone();
        }
        drop(peers);
        if !path.send(to, datagram, &self.stats) {
            self.stats.dropped();
        }
    }

    /// Counts a datagram for which there is no way.
    pub(super) fn count_dropped(&self) {
        self.stats.dropped();
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
