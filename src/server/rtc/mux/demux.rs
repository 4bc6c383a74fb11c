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

use super::stun::{self, Check, Credentials, StunClass, TransactionId};
use super::virtual_socket::{MuxPeerSet, Path};
use crate::model::metrics::{IgnoreReason, Metrics};

/// Requests of our own that wait for their responses: one for each local address and STUN server, and some to spare.
const MAX_REQUESTS: usize = 64;

/// The table of all viewers.
pub struct Demux {
    places: Mutex<RoutingTable>,
    requests: Mutex<HashMap<TransactionId, (SocketAddr, oneshot::Sender<Bytes>)>>,
    crypto: Arc<dyn RTCCryptoProvider>,
    metrics: Metrics,
}

#[derive(Default)]
struct RoutingTable {
    names: HashMap<String, (Weak<MuxPeerSet>, String)>,
    peers: HashMap<SocketAddr, Weak<MuxPeerSet>>,
}

impl Demux {
    pub(super) fn new(crypto: Arc<dyn RTCCryptoProvider>, metrics: Metrics) -> Self {
        Self { places: Mutex::default(), requests: Mutex::default(), crypto, metrics }
    }

    /// Admits checks with these credentials to a viewer.
    pub(super) fn admit(&self, viewer: &Arc<MuxPeerSet>, credentials: Credentials) {
        let Credentials { ufrag, password } = credentials;
        self.lock().names.insert(ufrag, (Arc::downgrade(viewer), password));
    }

    /// Admits no more checks to a viewer but those with the user name `ufrag`.
    pub(super) fn admit_only(&self, viewer: &Arc<MuxPeerSet>, ufrag: &str) {
        self.lock().names.retain(|name, (owner, _)| name == ufrag || !owner.ptr_eq(&Arc::downgrade(viewer)));
    }

    /// Forgets a viewer.
    pub(super) fn release(&self, viewer: &Arc<MuxPeerSet>) {
        let mut places = self.lock();
        let this = Arc::downgrade(viewer);
        places.names.retain(|_, (owner, _)| !owner.ptr_eq(&this));
        for peer in viewer.clear() {
            if places.peers.get(&peer).is_some_and(|owner| owner.ptr_eq(&this)) {
                places.peers.remove(&peer);
            }
        }
    }

    /// Gives what came in to whom it belongs, who is told; what belongs to nobody is counted and dropped.
    pub(super) fn arrived(&self, datagram: &[u8], from: SocketAddr, path: &Path) -> Option<Arc<MuxPeerSet>> {
        let given = match stun::kind(datagram) {
            StunClass::Request(id) => self.checked(datagram, from, id, path),
            StunClass::Response(id) if self.answered(id, from, datagram) => return None,
            StunClass::Response(_) => self.known(datagram, from, path, false),
            StunClass::Other => self.known(datagram, from, path, true),
        };
        given.inspect_err(|why| self.ignore(*why)).ok()
    }

    /// Counts a datagram that is given to nobody.
    pub(super) fn ignore(&self, why: IgnoreReason) {
        self.metrics.ignored(why);
    }

    /// Enters an address that a viewer speaks to first, unless it belongs to somebody.
    pub(super) fn meet(&self, viewer: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path) {
        let mut places = self.lock();
        if viewer.gone.is_cancelled() {
            return;
        }
        let taken = places.peers.get(&peer).is_some_and(|owner| owner.strong_count() > 0);
        if !taken {
            places.peers.insert(peer, Arc::downgrade(viewer));
        }
        places.enter(viewer, peer, path, Instant::now());
    }

    /// The connection that an address of a viewer was reached by is closed: what comes from there is nobody's.
    pub(super) fn part(&self, viewer: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path) {
        let mut places = self.lock();
        let owned = places.peers.get(&peer).is_some_and(|owner| owner.ptr_eq(&Arc::downgrade(viewer)));
        if owned && viewer.reaches(peer, path) {
            places.peers.remove(&peer);
        }
    }

    /// Waits for the response to a request of ours; `None` when too many are under way.
    pub(super) fn expect(&self, id: TransactionId, to: SocketAddr) -> Option<Expected<'_>> {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= MAX_REQUESTS {
            return None;
        }
        let (sender, response) = oneshot::channel();
        requests.insert(id, (to, sender));
        Some(Expected { table: self, id, response })
    }

    /// A check: whoever signs with a viewer's password is that viewer.
    fn checked(
        &self,
        datagram: &[u8],
        from: SocketAddr,
        id: TransactionId,
        path: &Path,
    ) -> Result<Arc<MuxPeerSet>, IgnoreReason> {
        let mut check = Check::parse(datagram).ok_or(IgnoreReason::Unknown)?;
        let ufrag = check.ufrag().ok_or(IgnoreReason::Unknown)?;
        let found = self.lock().names.get(&ufrag).cloned();
        let (viewer, password) = found.ok_or(IgnoreReason::Unknown)?;
        let viewer = viewer.upgrade().ok_or(IgnoreReason::Unknown)?;
        if !check.is_genuine(&password, self.crypto.crypto()) {
            return Err(IgnoreReason::Forged);
        }
        let now = Instant::now();
        self.claim(&viewer, from, path, now)?;
        viewer.hear(from, path, check.nominates(), now);
        viewer.asked(id, path);
        viewer.deliver(datagram, from)?;
        Ok(viewer)
    }

    /// Anything else: it belongs to whom the address belongs.
    fn known(
        &self,
        datagram: &[u8],
        from: SocketAddr,
        path: &Path,
        chosen: bool,
    ) -> Result<Arc<MuxPeerSet>, IgnoreReason> {
        let viewer = self.lock().peers.get(&from).and_then(Weak::upgrade).ok_or(IgnoreReason::Unknown)?;
        viewer.hear(from, path, chosen, Instant::now());
        viewer.deliver(datagram, from)?;
        Ok(viewer)
    }

    /// Gives an address to a viewer, unless another one lives there.
    fn claim(&self, viewer: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path, now: Instant) -> Result<(), IgnoreReason> {
        let mut places = self.lock();
        if viewer.gone.is_cancelled() {
            return Err(IgnoreReason::Unknown);
        }
        let owner = places.peers.get(&peer).and_then(Weak::upgrade);
        match owner {
            Some(owner) if Arc::ptr_eq(&owner, viewer) => {}
            Some(owner) if owner.hears(peer, now) => return Err(IgnoreReason::Taken),
            other => {
                if let Some(former) = other {
                    former.forget(peer);
                }
                places.peers.insert(peer, Arc::downgrade(viewer));
            }
        }
        places.enter(viewer, peer, path, now);
        Ok(())
    }

    /// Whether it is the response to a request of our own.
    fn answered(&self, id: TransactionId, from: SocketAddr, datagram: &[u8]) -> bool {
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
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoutingTable {
    /// Makes a peer known to its viewer, for which another one may have to be forgotten.
    fn enter(&mut self, viewer: &Arc<MuxPeerSet>, peer: SocketAddr, path: &Path, now: Instant) {
        let Some(forgotten) = viewer.meet(peer, path, now) else { return };
        if self.peers.get(&forgotten).is_some_and(|owner| owner.ptr_eq(&Arc::downgrade(viewer))) {
            self.peers.remove(&forgotten);
        }
    }
}

/// A request that waits for its response; forgotten when dropped.
pub struct Expected<'t> {
    table: &'t Demux,
    id: TransactionId,
    /// Where the response comes in.
    pub(super) response: oneshot::Receiver<Bytes>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.table.requests.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
