//! The peers of one session: the datagrams received from them, when and on which path they were last received, and the
//! path for sending to each.
//!
//! Which session a datagram belongs to is decided in `demux`; the sockets are in `udp` and `tcp`.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::datagrams::Datagrams;
use super::dtls_guard::{self, DtlsGuard, Verdict};
use super::path::Path;
use super::send_stats::SendStats;
use super::stun::{self, StunClass, TransactionId};
use crate::model::metrics::IgnoreReason;
use crate::util::lock::{Mutex, MutexGuard};

/// Received datagrams that the session has not read yet. A viewer sends some 20 a second, and 50 more if it sends audio.
const INBOX_CAPACITY: usize = 256;

/// Addresses of one session. A browser has a few interfaces, each with UDP, TCP and the addresses its NAT maps; the TCP
/// connections to each of our addresses count separately.
pub const MAX_PEERS: usize = 64;

/// Connectivity checks that are not answered yet; the library answers at once.
const MAX_PENDING_CHECKS: usize = 64;

/// Requests of ours that are not answered yet: the library sends up to 50 a second while a viewer connects.
const MAX_PENDING_REQUESTS: usize = 256;

/// A path without authentic datagrams for this long may be replaced by another. Both sides check each pair every 2.5 s
/// or so (RFC 7675).
pub const PATH_TIMEOUT: Duration = Duration::from_secs(5);

/// A remote address of the session.
#[derive(Debug)]
struct Peer {
    /// The path for sending to it.
    path: Path,
    /// When an authentic check or response was last received on that path.
    last_on_path: Instant,
    /// When one was last received at all; `None` if we have only sent.
    last_received: Option<Instant>,
}

#[derive(Debug, Default)]
struct Peers {
    known: HashMap<SocketAddr, Peer>,
    pending_checks: VecDeque<(TransactionId, Path)>,
    /// Our own requests, whose responses are authentic: nobody else knows their transaction IDs.
    pending_requests: VecDeque<TransactionId>,
    /// When anything was last received from a known address.
    last_heard: Option<Instant>,
}

type Inbox = (mpsc::Sender<(Bytes, SocketAddr)>, Mutex<mpsc::Receiver<(Bytes, SocketAddr)>>);

/// One session's peers.
#[derive(Debug)]
pub struct MuxPeerSet {
    inbox: Inbox,
    peers: Mutex<Peers>,
    dtls: Mutex<DtlsGuard>,
    /// Cancelled when the DTLS handshake cannot succeed any more.
    pub(super) handshake_failed: CancellationToken,
    stats: SendStats,
    /// Cancelled when the session is closed.
    pub(super) closed: CancellationToken,
}

impl MuxPeerSet {
    pub(super) fn new(stats: SendStats) -> Self {
        let (sender, receiver) = mpsc::channel(INBOX_CAPACITY);
        Self {
            inbox: (sender, Mutex::new(receiver)),
            peers: Mutex::default(),
            dtls: Mutex::default(),
            handshake_failed: CancellationToken::new(),
            stats,
            closed: CancellationToken::new(),
        }
    }

    /// Notes that an authentic datagram of `peer` was received on `path`. A peer may use several paths at once, as it
    /// checks each of our addresses; it selects one by nominating it in a check (`selects_path`).
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

    /// Notes that something was received from a known address.
    pub(super) fn note_heard(&self, now: Instant) {
        self.lock().last_heard = Some(now);
    }

    /// Whether nothing has been received from a known address for so long.
    pub(super) fn is_silent(&self, duration: Duration, now: Instant) -> bool {
        self.lock().last_heard.is_none_or(|heard| now.saturating_duration_since(heard) >= duration)
    }

    /// Adds a peer unless it is known. Returns the peer that was evicted for it: the one that was received from least
    /// recently.
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

    /// Removes a peer.
    pub(super) fn remove_peer(&self, peer: SocketAddr) {
        self.lock().known.remove(&peer);
    }

    /// Whether this is the path for sending to the peer.
    pub(super) fn is_reached_by(&self, peer: SocketAddr, path: &Path) -> bool {
        self.lock().known.get(&peer).is_some_and(|known| known.path.is_same(path))
    }

    /// Removes and returns all peers.
    pub(super) fn clear(&self) -> Vec<SocketAddr> {
        let mut peers = self.lock();
        peers.pending_checks.clear();
        peers.pending_requests.clear();
        peers.known.drain().map(|(peer, _)| peer).collect()
    }

    /// Whether a datagram of the peer was received shortly before `now`.
    pub(super) fn is_recent(&self, peer: SocketAddr, now: Instant) -> bool {
        let last_received = self.lock().known.get(&peer).and_then(|peer| peer.last_received);
        !self.closed.is_cancelled()
            && last_received.is_some_and(|last_received| now.saturating_duration_since(last_received) <= PATH_TIMEOUT)
    }

    /// Whether a response is that to a pending request of ours, which is no longer pending then.
    pub(super) fn complete_request(&self, id: TransactionId) -> bool {
        let mut peers = self.lock();
        let at = peers.pending_requests.iter().position(|pending| *pending == id);
        at.and_then(|at| peers.pending_requests.remove(at)).is_some()
    }

    /// Remembers the path of a check, so that the response takes the same one.
    pub(super) fn note_check(&self, id: TransactionId, path: &Path) {
        let mut peers = self.lock();
        if peers.pending_checks.len() >= MAX_PENDING_CHECKS {
            peers.pending_checks.pop_front();
        }
        peers.pending_checks.push_back((id, path.clone()));
    }

    /// Notes that the DTLS handshake is complete.
    pub(super) fn note_connected(&self) {
        self.dtls.lock().note_connected();
    }

    /// Queues a datagram for the session.
    pub(super) fn deliver(&self, datagram: &[u8], from: SocketAddr) -> Result<(), IgnoreReason> {
        if dtls_guard::is_dtls(datagram) {
            let verdict = self.dtls.lock().check_received(datagram);
            self.note_verdict(verdict);
            if verdict == Verdict::Exceeded {
                return Err(IgnoreReason::Handshake);
            }
        }
        self.inbox.0.try_send((Bytes::copy_from_slice(datagram), from)).map_err(|_| IgnoreReason::Full)
    }

    /// The next datagram; pending forever once the session is closed.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<(Bytes, SocketAddr)> {
        match ready!(self.inbox.1.lock().poll_recv(cx)) {
            Some(received) => Poll::Ready(received),
            None => Poll::Pending,
        }
    }

    /// The next datagram, if there is one.
    pub(super) fn try_receive(&self) -> Option<(Bytes, SocketAddr)> {
        self.inbox.1.lock().try_recv().ok()
    }

    fn note_verdict(&self, verdict: Verdict) {
        if verdict != Verdict::Pass {
            self.handshake_failed.cancel();
        }
    }

    /// Sends on the peer's path, or a response on the path of its request; `false` if there is none.
    pub(super) fn send(&self, to: SocketAddr, datagrams: Datagrams<'_>) -> bool {
        let first = datagrams.each().next().unwrap_or_default();
        if dtls_guard::is_dtls(first) {
            self.note_verdict(self.dtls.lock().check_sent(first));
        }
        let path = {
            let mut peers = self.lock();
            let answered = match stun::classify(first) {
                StunClass::Response(id) => peers.pending_checks.iter().position(|(pending, _)| *pending == id),
                StunClass::Request(id) => {
                    if peers.pending_requests.len() >= MAX_PENDING_REQUESTS {
                        peers.pending_requests.pop_front();
                    }
                    peers.pending_requests.push_back(id);
                    None
                }
                StunClass::Other => None,
            };
            let path = answered.and_then(|at| peers.pending_checks.remove(at)).map(|(_, path)| path);
            path.or_else(|| peers.known.get(&to).map(|peer| peer.path.clone()))
        };
        path.is_some_and(|path| path.send(to, datagrams, &self.stats))
    }

    /// Sends on a path found for a new peer, or for one whose own path is closed.
    pub(super) fn send_on(&self, path: &Path, to: SocketAddr, datagrams: Datagrams<'_>) {
        let mut peers = self.lock();
        if let Some(known) = peers.known.get_mut(&to).filter(|known| !known.path.is_open()) {
            known.path = path.clone();
        }
        drop(peers);
        if !path.send(to, datagrams, &self.stats) {
            self.stats.dropped(datagrams.count());
        }
    }

    /// Counts datagrams without a path.
    pub(super) fn count_dropped(&self, datagrams: usize) {
        self.stats.dropped(datagrams);
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock()
    }
}
