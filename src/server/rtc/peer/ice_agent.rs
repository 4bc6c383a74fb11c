//! The ICE agent of one session (RFC 8445): it answers the viewer's checks, checks the viewer's addresses, and follows
//! the path that the viewer nominates. Pure: time is an argument.
//!
//! It has a single candidate of its own. From which of our addresses a datagram leaves is decided in `mux`, which also
//! bounds the addresses of a viewer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::crypto::RTCCryptoProvider;
use rtc::stun::message::{CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_BINDING, Message, TransactionId};

use super::ice_generation::Generation;
use super::ice_message::{self, CheckRequest, IceRole};
use crate::server::rtc::mux::Credentials;

/// How often the selected path is checked, and after how long without a sign of the other side the connection has failed
/// (RFC 7675).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    interval: Duration,
    timeout: Duration,
}

impl Consent {
    /// For a viewer: a NAT forgets a UDP mapping after 30 s at the earliest (RFC 4787 section 4.3), and a viewer's
    /// resources must be freed within 30 s.
    pub const VIEWER: Self = Self { interval: Duration::from_secs(2), timeout: Duration::from_secs(15) };

    /// For a server that we publish to. It does not come back by itself, so a restart is noticed early; five lost checks in
    /// a row are no accident.
    pub const SERVER: Self = Self { interval: Duration::from_secs(1), timeout: Duration::from_secs(5) };
}

/// How many round trips the selected path may leave checks unanswered, while the viewer is heard on another one, until
/// that is used.
const PROBE_ROUND_TRIPS: u32 = 4;

/// The least and the most time for that: the round trip of a slow mobile network.
const PROBE_TIMEOUT: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// The interval of checks on the selected path meanwhile.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// How long the selected path is not probed again after it has answered: a viewer checks all its paths now and then.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// Checks of ours that are not answered yet.
const MAX_PENDING: usize = 256;

/// The path that is used.
struct Selected {
    address: SocketAddr,
    /// Of which ICE session.
    generation: u32,
    last_received: Instant,
    next_consent: Instant,
    /// Since when it is probed, as the viewer is heard on another path.
    probed_since: Option<Instant>,
    /// When it last answered while it was probed.
    last_proof: Option<Instant>,
    /// The last round trip time.
    rtt: Duration,
}

/// A check of ours that is not answered yet.
struct Pending {
    id: TransactionId,
    to: SocketAddr,
    generation: u32,
    nominates: bool,
    sent: Instant,
}

/// One viewer's agent.
pub struct IceAgent {
    crypto: Arc<dyn RTCCryptoProvider>,
    role: IceRole,
    consent: Consent,
    current: Generation,
    /// The ICE session before the last restart, whose path is used until the current one has one.
    former: Option<Generation>,
    selected: Option<Selected>,
    pending: VecDeque<Pending>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    failed: bool,
}

impl IceAgent {
    /// An agent, which nominates the path if it is the controlling one (RFC 8445 section 6.1.1).
    pub fn new(
        crypto: Arc<dyn RTCCryptoProvider>,
        ours: Credentials,
        theirs: Credentials,
        is_controlling: bool,
        consent: Consent,
    ) -> Self {
        let tie_breaker = rand::random();
        let role = if is_controlling { IceRole::Controlling(tie_breaker) } else { IceRole::Controlled(tie_breaker) };
        let current = Generation::new(0, ours, theirs);
        let (pending, transmits) = (VecDeque::new(), VecDeque::new());
        Self { crypto, role, consent, current, former: None, selected: None, pending, transmits, failed: false }
    }

    /// Checks a candidate of the viewer.
    pub fn add_candidate(&mut self, address: SocketAddr, now: Instant) {
        self.current.pair(address, now);
    }

    /// Begins another ICE session. The path of the former one stays in use until the viewer nominates one of this
    /// (RFC 8445 section 9).
    pub fn restart(&mut self, ours: Credentials, theirs: Credentials, now: Instant) {
        let number = self.current.number + 1;
        let former = std::mem::replace(&mut self.current, Generation::new(number, ours, theirs));
        self.former = Some(former);
        if let Some(selected) = &mut self.selected {
            selected.last_received = now;
        }
    }

    /// The address that media is sent to.
    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected.as_ref().map(|selected| selected.address)
    }

    /// Whether a check of the viewer, or the answer to one of ours, has come from `from`.
    pub fn has_heard(&self, from: SocketAddr) -> bool {
        let mut pairs = [Some(&self.current), self.former.as_ref()].into_iter().flatten().flat_map(|of| &of.pairs);
        pairs.any(|pair| pair.address == from && pair.last_received.is_some())
    }

    /// Whether the viewer is no longer heard.
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    /// Handles a STUN message that was received from `from`. What is malformed or not authentic is ignored.
    pub fn handle(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some(mut message) = ice_message::parse(datagram) else { return };
        if message.typ.method != METHOD_BINDING {
            return;
        }
        match message.typ.class {
            CLASS_REQUEST => self.handle_request(&mut message, from, now),
            CLASS_SUCCESS_RESPONSE => self.handle_response(&mut message, from, now),
            _ => {}
        }
    }

    /// Notes that something authentic other than a check was received from `from`. An address that has not answered
    /// yet is checked, and used once it does: a viewer sends on the path that it uses, so its NAT has begun to map another
    /// port.
    pub fn note_authentic(&mut self, from: SocketAddr, now: Instant) {
        if self.selected.is_none() {
            return;
        }
        let nominates = matches!(self.role, IceRole::Controlling(_));
        let Some(pair) = self.current.pair(from, now).filter(|pair| !pair.succeeded && pair.is_due(now)) else {
            return;
        };
        pair.note_check(now);
        pair.nominated = !nominates;
        self.check(self.current.number, from, nominates, now);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let consent = self.selected.as_ref().map(|selected| selected.next_consent);
        let checks = self.is_checking().then(|| self.current.next_check()).flatten();
        [consent, checks].into_iter().flatten().min().filter(|_| !self.failed)
    }

    /// Sends the checks that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.failed {
            return;
        }
        if self.is_checking() {
            for (address, nominates) in self.current.due(now) {
                self.check(self.current.number, address, nominates, now);
            }
        }
        let Some(selected) = &mut self.selected else { return };
        if now.saturating_duration_since(selected.last_received) > self.consent.timeout {
            self.failed = true;
        } else if selected.is_silent(now) {
            self.leave_silent_path(now);
        } else if selected.next_consent <= now {
            let interval = if selected.probed_since.is_some() { PROBE_INTERVAL } else { self.consent.interval };
            selected.next_consent = now + interval;
            let (generation, address) = (selected.generation, selected.address);
            self.check(generation, address, false, now);
        }
    }

    /// Whether the current ICE session has no path yet.
    fn is_checking(&self) -> bool {
        self.selected.as_ref().is_none_or(|selected| selected.generation != self.current.number)
    }

    fn handle_request(&mut self, message: &mut Message, from: SocketAddr, now: Instant) {
        let Some(username) = ice_message::username(message) else { return };
        let crypto = self.crypto.clone();
        let generations = [Some(&mut self.current), self.former.as_mut()];
        let Some(generation) = generations.into_iter().flatten().find(|of| of.names_us(&username)) else { return };
        let password = generation.ours.password.clone();
        if !ice_message::is_authentic(message, &password, crypto.crypto()) {
            return;
        }
        let id = message.transaction_id;
        if ice_message::conflicts(message, self.role) {
            let refusal = ice_message::role_conflict(id, &password, crypto.crypto());
            self.transmits.extend(refusal.map(|refusal| (from, refusal)));
            return;
        }
        let number = generation.number;
        let nominates = ice_message::nominates(message) && matches!(self.role, IceRole::Controlled(_));
        let Some(pair) = generation.pair(from, now) else { return };
        pair.last_received = Some(now);
        pair.nominated |= nominates;
        let succeeded = pair.succeeded;
        let success = ice_message::success(id, from, &password, crypto.crypto());
        self.transmits.extend(success.map(|success| (from, success)));
        self.note_heard(number, from, now);
        match (succeeded, nominates) {
            // A triggered check (section 7.3.1.4).
            (false, _) => self.check(number, from, false, now),
            (true, true) => self.select(number, from, now),
            (true, false) => self.probe_selected(number, from, now),
        }
    }

    fn handle_response(&mut self, message: &mut Message, from: SocketAddr, now: Instant) {
        let id = message.transaction_id;
        // Only the address that was asked can answer (section 7.2.5.2.1).
        let Some(at) = self.pending.iter().position(|pending| pending.id == id && pending.to == from) else { return };
        let generation = self.pending[at].generation;
        let Some(of) = self.generation(generation) else { return };
        let password = of.theirs.password.clone();
        if !ice_message::is_authentic(message, &password, self.crypto.crypto()) {
            return;
        }
        let Some(pending) = self.pending.remove(at) else { return };
        let Some(pair) = self.generation(generation).and_then(|of| of.find(from)) else { return };
        pair.succeeded = true;
        pair.last_received = Some(now);
        let nominated = pair.nominated;
        self.note_heard(generation, from, now);
        if let Some(selected) = self.selected.as_mut().filter(|selected| selected.is(generation, from)) {
            selected.rtt = now.saturating_duration_since(pending.sent);
            if selected.probed_since.take().is_some() {
                selected.last_proof = Some(now);
                selected.next_consent = now + self.consent.interval;
            }
            return;
        }
        match self.role {
            IceRole::Controlled(_) if nominated => self.select(generation, from, now),
            IceRole::Controlling(_) if pending.nominates => self.select(generation, from, now),
            IceRole::Controlling(_) if self.is_checking() => self.nominate(generation, from, now),
            _ => self.probe_selected(generation, from, now),
        }
    }

    /// Nominates a path that has answered.
    fn nominate(&mut self, generation: u32, address: SocketAddr, now: Instant) {
        let Some(pair) = self.generation(generation).and_then(|of| of.find(address)) else { return };
        pair.nominating = true;
        pair.note_check(now);
        self.check(generation, address, true, now);
    }

    /// Uses a path.
    fn select(&mut self, generation: u32, address: SocketAddr, now: Instant) {
        // A late check of an ICE session that has been replaced changes nothing.
        let is_newest = self.selected.as_ref().is_none_or(|selected| generation >= selected.generation);
        if !is_newest || self.selected.as_ref().is_some_and(|selected| selected.is(generation, address)) {
            return;
        }
        tracing::debug!("the path to the viewer is {address}");
        // What was nominated before no longer counts, even if it answers only now.
        if let Some(of) = self.generation(generation) {
            of.pairs.iter_mut().for_each(|pair| (pair.nominated, pair.nominating) = (false, false));
        }
        let next_consent = now + self.consent.interval;
        self.selected = Some(Selected {
            address,
            generation,
            last_received: now,
            next_consent,
            probed_since: None,
            last_proof: None,
            rtt: Duration::ZERO,
        });
    }

    /// Checks at once whether the selected path still works, as the viewer was heard on another one: the address that a
    /// NAT maps may have changed, which the viewer itself does not notice.
    fn probe_selected(&mut self, generation: u32, heard: SocketAddr, now: Instant) {
        let Some(selected) = &mut self.selected else { return };
        let is_other = selected.generation == generation && selected.address != heard;
        let recently = selected.last_proof.is_some_and(|last| now.saturating_duration_since(last) < PROBE_PAUSE);
        if is_other && !recently && selected.probed_since.is_none() {
            selected.probed_since = Some(now);
            selected.next_consent = now;
        }
    }

    /// Uses the path on which the viewer was last heard since the selected one is probed.
    fn leave_silent_path(&mut self, now: Instant) {
        let Some(selected) = &mut self.selected else { return };
        let Some(since) = selected.probed_since.take() else { return };
        selected.next_consent = now + self.consent.interval;
        let (generation, silent) = (selected.generation, selected.address);
        let Some(of) = self.generation(generation) else { return };
        let heard = of.pairs.iter().filter(|pair| pair.address != silent && pair.succeeded);
        let latest = heard.filter(|pair| pair.last_received >= Some(since)).max_by_key(|pair| pair.last_received);
        if let Some(address) = latest.map(|pair| pair.address) {
            self.select(generation, address, now);
        }
    }

    /// Notes an authentic message.
    fn note_heard(&mut self, generation: u32, from: SocketAddr, now: Instant) {
        if let Some(selected) = self.selected.as_mut().filter(|selected| selected.is(generation, from)) {
            selected.last_received = now;
        }
    }

    fn check(&mut self, generation: u32, address: SocketAddr, nominates: bool, now: Instant) {
        let (role, crypto) = (self.role, self.crypto.clone());
        let Some(of) = self.generation(generation) else { return };
        let username = format!("{}:{}", of.theirs.ufrag, of.ours.ufrag);
        let id = TransactionId(rand::random());
        let request = CheckRequest { id, username: &username, password: &of.theirs.password, role, nominates };
        let Some(message) = request.write(crypto.crypto()) else { return };
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(Pending { id, to: address, generation, nominates, sent: now });
        self.transmits.push_back((address, message));
    }

    fn generation(&mut self, number: u32) -> Option<&mut Generation> {
        let generations = [Some(&mut self.current), self.former.as_mut()];
        generations.into_iter().flatten().find(|generation| generation.number == number)
    }
}

impl Selected {
    /// Whether it has not answered for so long that another path is used.
    fn is_silent(&self, now: Instant) -> bool {
        let [least, most] = PROBE_TIMEOUT;
        let limit = (self.rtt * PROBE_ROUND_TRIPS).clamp(least, most);
        self.probed_since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }

    fn is(&self, generation: u32, address: SocketAddr) -> bool {
        self.generation == generation && self.address == address
    }
}

#[cfg(test)]
mod tests;
