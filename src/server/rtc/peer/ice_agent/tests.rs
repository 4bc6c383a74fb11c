//! Tests of the agent with a viewer that is played by hand: time and datagrams are arguments.

use rtc::crypto::default_provider;
use rtc::stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_USE_CANDIDATE};
use rtc::stun::message::CLASS_ERROR_RESPONSE;

use super::super::ice_generation::MAX_PAIRS;
use super::*;

fn credentials(name: &str) -> Credentials {
    Credentials { ufrag: name.into(), password: format!("the password of {name}") }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An agent and its viewer.
struct Pair {
    agent: IceAgent,
    now: Instant,
    ours: Credentials,
    theirs: Credentials,
    /// The addresses that answer our checks.
    reachable: Vec<SocketAddr>,
    /// Every check of ours: where it went, and whether it nominated.
    checks: Vec<(SocketAddr, bool)>,
    /// Nominations of ours that get lost on their way.
    lost_nominations: usize,
    /// Every response of ours: where it went, and whether it was an error.
    responses: Vec<(SocketAddr, bool)>,
}

impl Pair {
    fn new(viewer_is_lite: bool) -> Self {
        Self::with(viewer_is_lite, Consent::VIEWER)
    }

    fn with(is_controlling: bool, consent: Consent) -> Self {
        let (ours, theirs) = (credentials("ours"), credentials("theirs"));
        let crypto = default_provider().expect("crypto");
        let agent = IceAgent::new(crypto, ours.clone(), theirs.clone(), is_controlling, consent);
        let (reachable, checks, responses) = (Vec::new(), Vec::new(), Vec::new());
        Self { agent, now: Instant::now(), ours, theirs, reachable, checks, lost_nominations: 0, responses }
    }

    /// One that has chosen the path to the address with this port.
    fn connected(port: u16) -> Self {
        let mut pair = Self::new(false);
        pair.reachable.push(address(port));
        pair.check(port, true);
        assert_eq!(pair.agent.selected(), Some(address(port)));
        pair
    }

    /// The viewer checks us from the address with this port.
    fn check(&mut self, port: u16, nominates: bool) {
        let (ours, theirs) = (self.ours.clone(), self.theirs.clone());
        self.check_as(&ours, &theirs, IceRole::Controlling(1), port, nominates);
    }

    fn check_as(&mut self, ours: &Credentials, theirs: &Credentials, role: IceRole, port: u16, nominates: bool) {
        let username = format!("{}:{}", ours.ufrag, theirs.ufrag);
        let id = TransactionId(rand::random());
        let request = CheckRequest { id, username: &username, password: &ours.password, role, nominates };
        let message = request.write(self.agent.crypto.clone().crypto()).expect("a check");
        self.agent.handle(&message, address(port), self.now);
        self.exchange();
    }

    /// Answers what the agent sends, if it reaches the viewer.
    fn exchange(&mut self) {
        while let Some((to, message)) = self.agent.poll_transmit() {
            let parsed = ice_message::parse(&message).expect("a message");
            if parsed.typ.class != CLASS_REQUEST {
                self.responses.push((to, parsed.typ.class == CLASS_ERROR_RESPONSE));
                continue;
            }
            let nominates = parsed.contains(ATTR_USE_CANDIDATE);
            self.checks.push((to, nominates));
            if nominates && self.lost_nominations > 0 {
                self.lost_nominations -= 1;
                continue;
            }
            if self.reachable.contains(&to) {
                let crypto = self.agent.crypto.clone();
                let response = ice_message::success(parsed.transaction_id, to, &self.theirs.password, crypto.crypto());
                self.agent.handle(&response.expect("a response"), to, self.now);
            }
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.agent.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.agent.handle_timeout(self.now);
            self.exchange();
        }
        self.now = end;
    }
}

#[test]
fn the_path_that_is_nominated_and_answers_is_used() {
    let mut pair = Pair::new(false);
    pair.reachable.push(address(5_000));
    pair.check(5_000, false);
    assert_eq!(pair.responses, [(address(5_000), false)]);
    assert_eq!(pair.agent.selected(), None, "not nominated");
    pair.check(6_000, true);
    assert_eq!(pair.agent.selected(), None, "it does not answer");
    pair.check(5_000, true);
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    assert!(pair.checks.iter().all(|(_, nominates)| !nominates), "the controlled agent nominates nothing");
}

#[test]
fn a_candidate_is_checked_until_it_answers_or_the_time_is_up() {
    let mut pair = Pair::new(false);
    pair.agent.add_candidate(address(5_000), pair.now);
    pair.pass(Duration::from_secs(1));
    let fast = pair.checks.len();
    assert!((49..=52).contains(&fast), "{fast}");
    pair.pass(Duration::from_secs(60));
    assert!((100..=115).contains(&(pair.checks.len() - fast)), "{}", pair.checks.len());
    assert_eq!(pair.agent.poll_timeout(), None);
    assert!(!pair.agent.is_failed());
}

#[test]
fn a_later_nomination_moves_the_path() {
    let mut pair = Pair::connected(5_000);
    pair.reachable.push(address(6_000));
    pair.check(6_000, true);
    assert_eq!(pair.agent.selected(), Some(address(6_000)));
    pair.check(5_000, true);
    assert_eq!(pair.agent.selected(), Some(address(5_000)), "and back");
    pair.check(7_000, true);
    assert_eq!(pair.agent.selected(), Some(address(5_000)), "not to one that does not answer");
}

#[test]
fn a_viewer_whose_nat_maps_another_port_is_followed() {
    let mut pair = Pair::connected(5_000);
    pair.pass(Duration::from_secs(10));
    // The viewer knows nothing of it, so it nominates nothing.
    pair.reachable = vec![address(6_000)];
    pair.check(6_000, false);
    pair.pass(milliseconds(150));
    assert_eq!(pair.agent.selected(), Some(address(5_000)), "it may still answer");
    pair.pass(milliseconds(100));
    assert_eq!(pair.agent.selected(), Some(address(6_000)));
    for _ in 0..30 {
        pair.pass(Duration::from_secs(1));
    }
    assert!(!pair.agent.is_failed());
}

#[test]
fn a_viewer_is_followed_also_before_it_checks_the_path() {
    let mut pair = Pair::connected(5_000);
    pair.reachable = vec![address(6_000)];
    pair.agent.note_authentic(address(6_000), pair.now);
    assert_eq!(pair.agent.selected(), Some(address(5_000)), "it has not answered");
    pair.exchange();
    assert_eq!(pair.agent.selected(), Some(address(6_000)));
    let checks = pair.checks.len();
    for _ in 0..100 {
        pair.agent.note_authentic(address(7_000), pair.now);
        pair.exchange();
    }
    assert_eq!(pair.checks.len(), checks + 1, "what comes at once has it checked once");
    // A check may get lost.
    pair.reachable.push(address(7_000));
    pair.pass(milliseconds(100));
    pair.agent.note_authentic(address(7_000), pair.now);
    pair.exchange();
    assert_eq!(pair.agent.selected(), Some(address(7_000)));
}

#[test]
fn checks_of_another_path_alone_do_not_move_a_path_that_works() {
    let mut pair = Pair::connected(5_000);
    pair.reachable.push(address(6_000));
    for _ in 0..100 {
        pair.check(6_000, false);
        pair.pass(milliseconds(50));
        assert_eq!(pair.agent.selected(), Some(address(5_000)));
    }
    let probes = pair.checks.iter().filter(|(to, _)| *to == address(5_000)).count();
    assert!(probes < 15, "{probes}");
}

#[test]
fn a_restart_keeps_the_path_until_another_one_is_nominated() {
    let mut pair = Pair::connected(5_000);
    let (former_ours, former_theirs) = (pair.ours.clone(), pair.theirs.clone());
    (pair.ours, pair.theirs) = (credentials("newer"), credentials("their newer"));
    pair.agent.restart(pair.ours.clone(), pair.theirs.clone(), pair.now);
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    pair.responses.clear();
    pair.check_as(&former_ours, &former_theirs, IceRole::Controlling(1), 5_000, true);
    assert_eq!(pair.responses, [(address(5_000), false)], "its checks are still answered");
    pair.check(5_000, false);
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    pair.reachable.push(address(6_000));
    pair.check(6_000, true);
    assert_eq!(pair.agent.selected(), Some(address(6_000)));
    pair.check_as(&former_ours, &former_theirs, IceRole::Controlling(1), 5_000, true);
    assert_eq!(pair.agent.selected(), Some(address(6_000)), "a late check of the former session changes nothing");
}

#[test]
fn without_an_answer_the_connection_fails_after_the_time_of_consent() {
    let mut pair = Pair::connected(5_000);
    pair.pass(Duration::from_secs(60));
    assert!(!pair.agent.is_failed());
    pair.reachable.clear();
    pair.pass(Duration::from_secs(14));
    assert!(!pair.agent.is_failed());
    pair.pass(Duration::from_secs(5));
    assert!(pair.agent.is_failed());
    assert_eq!(pair.agent.poll_timeout(), None);
}

#[test]
fn server_is_chosen_a_path_to_and_missed_after_five_seconds() {
    let mut pair = Pair::with(true, Consent::SERVER);
    pair.reachable.push(address(5_000));
    pair.agent.add_candidate(address(5_000), pair.now);
    // It may be a full agent, which checks too, but the path is for us to choose.
    let (ours, theirs) = (pair.ours.clone(), pair.theirs.clone());
    pair.check_as(&ours, &theirs, IceRole::Controlled(1), 6_000, false);
    pair.check_as(&ours, &theirs, IceRole::Controlled(1), 5_000, false);
    pair.pass(milliseconds(100));
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    assert!(pair.responses.iter().all(|(_, is_error)| !is_error), "the roles agree");
    pair.pass(Duration::from_secs(60));
    assert!(!pair.agent.is_failed());
    pair.reachable.clear();
    pair.pass(Duration::from_secs(4));
    assert!(!pair.agent.is_failed());
    pair.pass(Duration::from_secs(3));
    assert!(pair.agent.is_failed());
}

#[test]
fn what_is_forged_changes_nothing() {
    let mut pair = Pair::connected(5_000);
    pair.reachable.push(address(6_000));
    pair.responses.clear();
    let stranger = Credentials { password: "a guess".into(), ..pair.ours.clone() };
    pair.check_as(&stranger, &pair.theirs.clone(), IceRole::Controlling(1), 6_000, true);
    let other = credentials("another");
    pair.check_as(&pair.ours.clone(), &other, IceRole::Controlling(1), 6_000, true);
    assert_eq!((pair.agent.selected(), pair.responses.len()), (Some(address(5_000)), 0));
    // A response to a check that was never sent.
    let crypto = pair.agent.crypto.clone();
    let response =
        ice_message::success(TransactionId(rand::random()), address(5_000), &pair.theirs.password, crypto.crypto());
    pair.agent.handle(&response.expect("a response"), address(6_000), pair.now);
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    for length in 0..30 {
        pair.agent.handle(&vec![0; length], address(6_000), pair.now);
    }
}

#[test]
fn a_viewer_that_cannot_nominate_is_controlled() {
    let mut pair = Pair::new(true);
    pair.reachable.push(address(5_000));
    pair.agent.add_candidate(address(4_000), pair.now);
    pair.agent.add_candidate(address(5_000), pair.now);
    pair.pass(milliseconds(100));
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    assert!(pair.checks.contains(&(address(5_000), true)));
    assert!(!pair.checks.contains(&(address(4_000), true)));
}

#[test]
fn nomination_that_is_lost_is_repeated() {
    let mut pair = Pair::new(true);
    pair.agent.add_candidate(address(5_000), pair.now);
    pair.reachable.push(address(5_000));
    pair.lost_nominations = 3;
    pair.pass(milliseconds(30));
    assert_eq!(pair.agent.selected(), None);
    pair.pass(milliseconds(100));
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
    let checks = pair.checks.len();
    pair.pass(milliseconds(500));
    assert_eq!(pair.checks.len(), checks, "not any more");
}

#[test]
fn an_agent_with_our_own_role_is_told_so() {
    let mut pair = Pair::new(false);
    let (ours, theirs) = (pair.ours.clone(), pair.theirs.clone());
    pair.check_as(&ours, &theirs, IceRole::Controlled(1), 5_000, false);
    assert_eq!(pair.responses, [(address(5_000), true)]);
    let crypto = pair.agent.crypto.clone();
    let request = CheckRequest {
        id: TransactionId(rand::random()),
        username: "a:b",
        password: "c",
        role: IceRole::Controlling(7),
        nominates: false,
    };
    let message = request.write(crypto.crypto()).expect("a check");
    let value = ice_message::parse(&message).expect("parsed").get(ATTR_ICE_CONTROLLING).expect("the role");
    assert_eq!(value, 7u64.to_be_bytes());
}

#[test]
fn addresses_are_bounded() {
    let mut pair = Pair::connected(5_000);
    for port in 6_000..6_200 {
        pair.check(port, false);
    }
    assert!(pair.agent.current.pairs.len() <= MAX_PAIRS);
    assert!(pair.agent.pending.len() <= MAX_PENDING);
    pair.check(5_000, false);
    assert_eq!(pair.agent.selected(), Some(address(5_000)));
}
