//! The demultiplexer: routes datagrams to sessions by ICE username fragment and by source address.
//!
//! A session is found by the username of a check, which must be signed with its password, and from then on by the
//! source address of that check; RTCP from elsewhere is offered to the sessions that it may belong to (`sources`). Sockets
//! are in `udp` and `tcp`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use rtc::crypto::RTCCryptoProvider;
use tokio::sync::oneshot;

use super::path::Path;
use super::peer_set::MuxPeerSet;
use super::sources::RtcpSources;
use super::stun::{self, Check, Credentials, StunClass, TransactionId};
use crate::model::metrics::{IgnoreReason, Metrics};
use crate::util::lock::{Mutex, MutexGuard};

/// Our own requests in flight: one for each local address and STUN server, with some to spare.
const MAX_REQUESTS: usize = 64;

/// Routes datagrams to all sessions.
pub struct Demux {
    table: Mutex<RoutingTable>,
    requests: Mutex<HashMap<TransactionId, (SocketAddr, oneshot::Sender<Bytes>)>>,
    crypto: Arc<dyn RTCCryptoProvider>,
    metrics: Metrics,
}

#[derive(Default)]
struct RoutingTable {
    ufrags: HashMap<String, (Weak<MuxPeerSet>, String)>,
    peers: HashMap<SocketAddr, Weak<MuxPeerSet>>,
    sources: RtcpSources,
}

impl Demux {
    pub(super) fn new(crypto: Arc<dyn RTCCryptoProvider>, metrics: Metrics) -> Self {
        Self { table: Mutex::default(), requests: Mutex::default(), crypto, metrics }
    }

    pub(super) fn crypto(&self) -> Arc<dyn RTCCryptoProvider> {
        self.crypto.clone()
    }

    /// Routes checks with these credentials to a session.
    pub(super) fn register_ufrag(&self, peers: &Arc<MuxPeerSet>, credentials: Credentials) {
        let Credentials { ufrag, password } = credentials;
        self.lock().ufrags.insert(ufrag, (Arc::downgrade(peers), password));
    }

    /// Routes to a session only checks for `ufrag`, and no longer those for its former username fragments.
    pub(super) fn retain_ufrag(&self, peers: &Arc<MuxPeerSet>, ufrag: &str) {
        self.lock().ufrags.retain(|known, (owner, _)| known == ufrag || !owner.ptr_eq(&Arc::downgrade(peers)));
    }

    /// Removes a session.
    pub(super) fn remove(&self, peers: &Arc<MuxPeerSet>) {
        let mut table = self.lock();
        let this = Arc::downgrade(peers);
        table.ufrags.retain(|_, (owner, _)| !owner.ptr_eq(&this));
        table.sources.remove(peers);
        for peer in peers.clear() {
            if table.peers.get(&peer).is_some_and(|owner| owner.ptr_eq(&this)) {
                table.peers.remove(&peer);
            }
        }
    }

    /// Routes a datagram, and returns the session it went to. One that belongs to no session is counted and dropped.
    pub(super) fn route(&self, datagram: &[u8], from: SocketAddr, path: &Path) -> Option<Arc<MuxPeerSet>> {
        let routed = match stun::classify(datagram) {
            StunClass::Request(id) => self.route_check(datagram, from, id, path),
            StunClass::Response(id) if self.complete_request(id, from, datagram) => return None,
            StunClass::Response(id) => self.route_by_addr(datagram, from, path, Some(id)),
            StunClass::Other => match self.route_by_addr(datagram, from, path, None) {
                Err(IgnoreReason::Unknown) => self.route_by_source(datagram, from),
                routed => routed,
            },
        };
        routed.inspect_err(|reason| self.ignore(*reason)).ok()
    }

    /// Has RTCP of this source delivered to a session that is silent, whatever address it comes from. The source must be
    /// authentic, and what is delivered so is not.
    pub(super) fn learn_source(&self, peers: &Arc<MuxPeerSet>, source: u32) {
        let mut table = self.lock();
        if !peers.closed.is_cancelled() {
            table.sources.insert(peers, source);
        }
    }

    /// Counts a datagram that is dropped.
    pub(super) fn ignore(&self, reason: IgnoreReason) {
        self.metrics.count_ignored(reason);
    }

    /// Adds an address that a session sends to first, unless it belongs to another session.
    pub(super) fn learn_peer(&self, peers: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path) {
        let mut table = self.lock();
        if peers.closed.is_cancelled() {
            return;
        }
        let taken = table.peers.get(&peer).is_some_and(|owner| owner.strong_count() > 0);
        if !taken {
            table.peers.insert(peer, Arc::downgrade(peers));
        }
        table.insert_peer(peers, peer, path, Instant::now());
    }

    /// Removes an address whose connection has closed: what comes from there next belongs to no session.
    pub(super) fn forget_path(&self, peers: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path) {
        let mut table = self.lock();
        let owned = table.peers.get(&peer).is_some_and(|owner| owner.ptr_eq(&Arc::downgrade(peers)));
        if owned && peers.is_reached_by(peer, path) {
            table.peers.remove(&peer);
        }
    }

    /// Registers a request of ours whose response is awaited; `None` if too many are in flight.
    pub(super) fn expect_response(&self, id: TransactionId, to: SocketAddr) -> Option<PendingResponse<'_>> {
        let mut requests = self.requests.lock();
        if requests.len() >= MAX_REQUESTS {
            return None;
        }
        let (sender, response) = oneshot::channel();
        requests.insert(id, (to, sender));
        Some(PendingResponse { demux: self, id, response })
    }

    /// Routes a check: whoever signs with a session's password belongs to that session.
    fn route_check(
        &self,
        datagram: &[u8],
        from: SocketAddr,
        id: TransactionId,
        path: &Path,
    ) -> Result<Arc<MuxPeerSet>, IgnoreReason> {
        let mut check = Check::parse(datagram).ok_or(IgnoreReason::Unknown)?;
        let ufrag = check.ufrag().ok_or(IgnoreReason::Unknown)?;
        let found = self.lock().ufrags.get(&ufrag).cloned();
        let (peers, password) = found.ok_or(IgnoreReason::Unknown)?;
        let peers = peers.upgrade().ok_or(IgnoreReason::Unknown)?;
        if !check.is_authentic(&password, self.crypto.crypto()) {
            return Err(IgnoreReason::Forged);
        }
        let now = Instant::now();
        self.claim_peer(&peers, from, path, now)?;
        peers.note_received(from, path, check.nominates(), now);
        peers.note_check(id, path);
        peers.note_heard(now);
        peers.deliver(datagram, from)?;
        Ok(peers)
    }

    /// Routes anything else by its source address. Only the response to a request of the session says anything about the
    /// path: the rest may be forged by whoever knows the viewer's address.
    fn route_by_addr(
        &self,
        datagram: &[u8],
        from: SocketAddr,
        path: &Path,
        response_to: Option<TransactionId>,
    ) -> Result<Arc<MuxPeerSet>, IgnoreReason> {
        let peers = self.lock().peers.get(&from).and_then(Weak::upgrade).ok_or(IgnoreReason::Unknown)?;
        let now = Instant::now();
        if response_to.is_some_and(|id| peers.complete_request(id)) {
            peers.note_received(from, path, false, now);
        }
        peers.note_heard(now);
        peers.deliver(datagram, from)?;
        Ok(peers)
    }

    /// Delivers RTCP from an unknown address to the sessions that it may belong to, and returns one of them.
    fn route_by_source(&self, datagram: &[u8], from: SocketAddr) -> Result<Arc<MuxPeerSet>, IgnoreReason> {
        let sessions = self.lock().sources.find(datagram, Instant::now());
        let mut routed = Err(IgnoreReason::Unknown);
        for peers in sessions {
            routed = peers.deliver(datagram, from).map(|()| peers);
        }
        routed
    }

    /// Assigns an address to a session, unless it is in use by another one.
    fn claim_peer(
        &self,
        peers: &Arc<MuxPeerSet>,
        peer: SocketAddr,
        path: &Path,
        now: Instant,
    ) -> Result<(), IgnoreReason> {
        let mut table = self.lock();
        if peers.closed.is_cancelled() {
            return Err(IgnoreReason::Unknown);
        }
        let owner = table.peers.get(&peer).and_then(Weak::upgrade);
        match owner {
            Some(owner) if Arc::ptr_eq(&owner, peers) => {}
            Some(owner) if owner.is_recent(peer, now) => return Err(IgnoreReason::Taken),
            other => {
                if let Some(former) = other {
                    former.remove_peer(peer);
                }
                table.peers.insert(peer, Arc::downgrade(peers));
            }
        }
        table.insert_peer(peers, peer, path, now);
        Ok(())
    }

    /// Completes a request of ours; `false` if this is not its response.
    fn complete_request(&self, id: TransactionId, from: SocketAddr, datagram: &[u8]) -> bool {
        let mut requests = self.requests.lock();
        if requests.get(&id).is_none_or(|(to, _)| *to != from) {
            return false;
        }
        let Some((_, sender)) = requests.remove(&id) else { return false };
        // The requester may have given up.
        let _ = sender.send(Bytes::copy_from_slice(datagram));
        true
    }

    fn lock(&self) -> MutexGuard<'_, RoutingTable> {
        self.table.lock()
    }
}

impl RoutingTable {
    /// Adds a peer to its session, which may evict another one.
    fn insert_peer(&mut self, peers: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path, now: Instant) {
        let Some(evicted) = peers.insert_peer(peer, path, now) else { return };
        if self.peers.get(&evicted).is_some_and(|owner| owner.ptr_eq(&Arc::downgrade(peers))) {
            self.peers.remove(&evicted);
        }
    }
}

/// A request in flight; cancelled when dropped.
pub struct PendingResponse<'t> {
    demux: &'t Demux,
    id: TransactionId,
    /// Receives the response.
    pub(super) response: oneshot::Receiver<Bytes>,
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        self.demux.requests.lock().remove(&self.id);
    }
}
