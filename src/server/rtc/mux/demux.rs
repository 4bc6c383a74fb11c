//! Whose a datagram is: the table of ICE user names and of the addresses that viewers were heard from.
//!
//! A viewer is found by the user name of its checks, which must be signed with its password, and from then on by the
//! address that they came from. It knows no sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use rtc::crypto::RTCCryptoProvider;
use tokio::sync::oneshot;

use super::path::Path;
use super::peer_set::MuxPeerSet;
use super::stun::{self, Check, Credentials, StunClass, TransactionId};
use crate::model::metrics::{IgnoreReason, Metrics};

/// Requests of our own that wait for their responses: one for each local address and STUN server, and some to spare.
const MAX_REQUESTS: usize = 64;

/// The table of all viewers.
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
}

impl Demux {
    pub(super) fn new(crypto: Arc<dyn RTCCryptoProvider>, metrics: Metrics) -> Self {
        Self { table: Mutex::default(), requests: Mutex::default(), crypto, metrics }
    }

    /// Admits checks with these credentials to a viewer.
    pub(super) fn register_ufrag(&self, peers: &Arc<MuxPeerSet>, credentials: Credentials) {
        let Credentials { ufrag, password } = credentials;
        self.lock().ufrags.insert(ufrag, (Arc::downgrade(peers), password));
    }

    /// Admits no more checks to a viewer but those with the user name `ufrag`.
    pub(super) fn retain_ufrag(&self, peers: &Arc<MuxPeerSet>, ufrag: &str) {
        self.lock().ufrags.retain(|known, (owner, _)| known == ufrag || !owner.ptr_eq(&Arc::downgrade(peers)));
    }

    /// Forgets a viewer.
    pub(super) fn remove(&self, peers: &Arc<MuxPeerSet>) {
        let mut table = self.lock();
        let this = Arc::downgrade(peers);
        table.ufrags.retain(|_, (owner, _)| !owner.ptr_eq(&this));
        for peer in peers.clear() {
            if table.peers.get(&peer).is_some_and(|owner| owner.ptr_eq(&this)) {
                table.peers.remove(&peer);
            }
        }
    }

    /// Gives what came in to whom it belongs, who is told; what belongs to nobody is counted and dropped.
    pub(super) fn route(&self, datagram: &[u8], from: SocketAddr, path: &Path) -> Option<Arc<MuxPeerSet>> {
        let routed = match stun::classify(datagram) {
            StunClass::Request(id) => self.route_check(datagram, from, id, path),
            StunClass::Response(id) if self.complete_request(id, from, datagram) => return None,
            StunClass::Response(_) => self.route_by_addr(datagram, from, path, false),
            StunClass::Other => self.route_by_addr(datagram, from, path, true),
        };
        routed.inspect_err(|reason| self.ignore(*reason)).ok()
    }

    /// Counts a datagram that is given to nobody.
    pub(super) fn ignore(&self, reason: IgnoreReason) {
        self.metrics.ignored(reason);
    }

    /// Enters an address that a viewer speaks to first, unless it belongs to somebody.
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

    /// The connection that an address of a viewer was reached by is closed: what comes from there is nobody's.
    pub(super) fn forget_path(&self, peers: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path) {
        let mut table = self.lock();
        let owned = table.peers.get(&peer).is_some_and(|owner| owner.ptr_eq(&Arc::downgrade(peers)));
        if owned && peers.is_reached_by(peer, path) {
            table.peers.remove(&peer);
        }
    }

    /// Waits for the response to a request of ours; `None` when too many are under way.
    pub(super) fn expect_response(&self, id: TransactionId, to: SocketAddr) -> Option<PendingResponse<'_>> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_REQUESTS {
            return None;
        }
        let (sender, response) = oneshot::channel();
        requests.insert(id, (to, sender));
        Some(PendingResponse { demux: self, id, response })
    }

    /// A check: whoever signs with a viewer's password is that viewer.
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
        peers.deliver(datagram, from)?;
        Ok(peers)
    }

    /// Anything else: it belongs to whom the address belongs.
    fn route_by_addr(
        &self,
        datagram: &[u8],
        from: SocketAddr,
        path: &Path,
        selects_path: bool,
    ) -> Result<Arc<MuxPeerSet>, IgnoreReason> {
        let peers = self.lock().peers.get(&from).and_then(Weak::upgrade).ok_or(IgnoreReason::Unknown)?;
        peers.note_received(from, path, selects_path, Instant::now());
        peers.deliver(datagram, from)?;
        Ok(peers)
    }

    /// Gives an address to a viewer, unless another one lives there.
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

    /// Whether it is the response to a request of our own.
    fn complete_request(&self, id: TransactionId, from: SocketAddr, datagram: &[u8]) -> bool {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.get(&id).is_none_or(|(to, _)| *to != from) {
            return false;
        }
        let Some((_, sender)) = requests.remove(&id) else { return false };
        // Who asked may have given up meanwhile.
        let _ = sender.send(Bytes::copy_from_slice(datagram));
        true
    }

    fn lock(&self) -> MutexGuard<'_, RoutingTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoutingTable {
    /// Makes a peer known to its viewer, for which another one may have to be forgotten.
    fn insert_peer(&mut self, peers: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path, now: Instant) {
        let Some(evicted) = peers.insert_peer(peer, path, now) else { return };
        if self.peers.get(&evicted).is_some_and(|owner| owner.ptr_eq(&Arc::downgrade(peers))) {
            self.peers.remove(&evicted);
        }
    }
}

/// A request that waits for its response; forgotten when dropped.
pub struct PendingResponse<'t> {
    demux: &'t Demux,
    id: TransactionId,
    /// Where the response comes in.
    pub(super) response: oneshot::Receiver<Bytes>,
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        self.demux.requests.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
