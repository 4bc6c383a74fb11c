//! The multiplexer with real sockets on loopback, where every address of 127.0.0.0/8 is this machine's.

mod connections;

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use bytes::Bytes;

use super::stun::tests::{check, response};
use super::*;
use crate::model::metrics::{DropPoint, IgnoreLabels, IgnoreReason};
use crate::server::rtc::rtp_clock::{RtpClock, VIDEO_RATE};

/// Longer than anything that works takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Something that is neither STUN nor the last packet of a picture.
const MEDIA: &[u8] = &[0x80, 96, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5, 7, 7, 7];

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

struct TestHost {
    mux: Mux,
    metrics: Metrics,
}

impl TestHost {
    /// A multiplexer on some addresses of loopback, told by their last byte.
    fn new(addresses: &[u8]) -> Self {
        let metrics = Metrics::new();
        let mux = Mux::start(0, true, metrics.clone()).expect("start");
        mux.set_addresses(addresses.iter().map(|last| ip(*last)).collect());
        assert_eq!(mux.locals().len(), addresses.len());
        Self { mux, metrics }
    }

    /// The line of a viewer whose credentials are `ufrag` and `secret`.
    fn line(&self, ufrag: &str) -> VirtualSocket {
        let line = self.mux.line(SendStats { video: RtpClock::random(VIDEO_RATE), metrics: self.metrics.clone() });
        line.admit(Credentials { ufrag: ufrag.into(), password: "secret".into() });
        line
    }

    fn local(&self, last: u8) -> LocalEndpoint {
        let locals = self.mux.locals();
        *locals.iter().find(|local| local.udp.ip() == ip(last)).expect("a local address")
    }

    fn udp(&self, last: u8) -> SocketAddr {
        self.local(last).udp
    }

    fn tcp(&self, last: u8) -> TcpStream {
        let local = self.local(last);
        let stream = TcpStream::connect((local.udp.ip(), local.tcp.expect("a TCP port"))).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("limit");
        stream
    }

    fn ignored(&self, why: IgnoreReason) -> u64 {
        self.metrics.ignored.get_or_create(&IgnoreLabels { why }).get()
    }

    fn dropped(&self) -> u64 {
        self.metrics.dropped.get_or_create(&crate::model::metrics::DropLabels { at: DropPoint::Socket }).get()
    }
}

/// A socket of a viewer.
fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    socket.set_read_timeout(Some(LIMIT)).expect("limit");
    socket
}

/// What comes in for a peer next, and from where.
fn received(peer: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (length, from) = tokio::task::block_in_place(|| peer.recv_from(&mut buffer)).expect("a datagram in time");
    (buffer[..length].to_vec(), from)
}

/// What comes in on a line next.
async fn next(line: &VirtualSocket) -> (Bytes, SocketAddr) {
    let next = std::future::poll_fn(|cx| line.poll_receive(false, cx));
    tokio::time::timeout(LIMIT, next).await.expect("a datagram in time")
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_are_told_apart_by_their_checks_and_then_by_their_addresses() {
    let board = TestHost::new(&[1]);
    let (one, other) = (board.line("one"), board.line("other"));
    let (peer_of_one, peer_of_other) = (peer(), peer());
    let to = board.udp(1);
    for (peer, ufrag) in [(&peer_of_one, "one"), (&peer_of_other, "other")] {
        peer.send_to(&check(ufrag, "secret", false), to).expect("send");
        peer.send_to(ufrag.as_bytes(), to).expect("send");
    }
    for (line, peer, ufrag) in [(&one, &peer_of_one, "one"), (&other, &peer_of_other, "other")] {
        let from = peer.local_addr().expect("address");
        assert_eq!(next(line).await.1, from);
        assert_eq!(next(line).await, (Bytes::copy_from_slice(ufrag.as_bytes()), from));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_viewer_is_counted_and_dropped() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let stranger = peer();
    for datagram in [MEDIA, &check("theirs", "secret", false), &check("ours", "guess", true)] {
        stranger.send_to(datagram, board.udp(1)).expect("send");
    }
    until("all is counted", || board.ignored(IgnoreReason::Unknown) == 2 && board.ignored(IgnoreReason::Forged) == 1)
        .await;
    stranger.send_to(&[0; MAX_DATAGRAM + 1], board.udp(1)).expect("send");
    until("it is counted", || board.ignored(IgnoreReason::Oversized) == 1).await;
    // A forged check makes no way for what follows it.
    let friend = peer();
    friend.send_to(&check("ours", "secret", false), board.udp(1)).expect("send");
    assert_eq!(next(&line).await.1, friend.local_addr().expect("address"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_nobody_empties_is_bounded() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let peer = peer();
    peer.send_to(&check("ours", "secret", false), board.udp(1)).expect("send");
    until("the queue is full", || {
        peer.send_to(MEDIA, board.udp(1)).expect("send");
        board.ignored(IgnoreReason::Full) > 0
    })
    .await;
    next(&line).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_the_way_of_its_question_and_the_rest_where_the_peer_has_chosen() {
    let board = TestHost::new(&[1, 2]);
    let line = board.line("ours");
    let peer = peer();
    let address = peer.local_addr().expect("address");
    let [first, second] = [check("ours", "secret", false), check("ours", "secret", false)];
    for (question, to) in [(&first, 1), (&second, 2)] {
        peer.send_to(question, board.udp(to)).expect("send");
        next(&line).await;
    }
    for (question, from) in [(&second, 2), (&first, 1)] {
        line.send(address, &response(question));
        assert_eq!(received(&peer), (response(question), board.udp(from)));
    }
    // Checks alone choose nothing.
    line.send(address, MEDIA);
    assert_eq!(received(&peer), (MEDIA.to_vec(), board.udp(1)));
    peer.send_to(&check("ours", "secret", true), board.udp(2)).expect("send");
    next(&line).await;
    line.send(address, MEDIA);
    assert_eq!(received(&peer).1, board.udp(2), "chosen by a check");
    peer.send_to(MEDIA, board.udp(1)).expect("send");
    next(&line).await;
    line.send(address, MEDIA);
    assert_eq!(received(&peer).1, board.udp(1), "chosen by speaking");
    let sent = board.metrics.packets_sent.get();
    assert_eq!((sent, board.metrics.bytes_sent.get() > 0, board.dropped()), (5, true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_send_first_is_answered_to_us() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let peer = peer();
    let question = check("theirs", "secret", false);
    line.send(peer.local_addr().expect("address"), &question);
    let (datagram, from) = received(&peer);
    assert_eq!((datagram, from), (question.clone(), board.udp(1)));
    peer.send_to(&response(&question), from).expect("send");
    assert_eq!(next(&line).await.0, response(&question));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_an_address_goes_the_next_packet_leaves_by_another() {
    let board = TestHost::new(&[1, 2]);
    let line = board.line("ours");
    let peer = peer();
    let address = peer.local_addr().expect("address");
    peer.send_to(&check("ours", "secret", true), board.udp(2)).expect("send");
    next(&line).await;
    let kept = board.udp(1);
    board.mux.set_addresses(vec![ip(1), ip(3)]);
    assert_eq!(board.udp(1), kept, "an address that stays keeps its sockets");
    line.send(address, MEDIA);
    assert_eq!(received(&peer), (MEDIA.to_vec(), kept));
    // The peer finds the new way and chooses it.
    peer.send_to(&check("ours", "secret", true), board.udp(3)).expect("send");
    next(&line).await;
    line.send(address, MEDIA);
    assert_eq!(received(&peer).1, board.udp(3));
    assert_eq!(board.dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_viewers_address_is_not_taken_over() {
    let board = TestHost::new(&[1]);
    let (one, other) = (board.line("one"), board.line("other"));
    let peer = peer();
    peer.send_to(&check("one", "secret", false), board.udp(1)).expect("send");
    next(&one).await;
    peer.send_to(&check("other", "secret", true), board.udp(1)).expect("send");
    until("it is refused", || board.ignored(IgnoreReason::Taken) == 1).await;
    peer.send_to(MEDIA, board.udp(1)).expect("send");
    assert_eq!(next(&one).await.0, MEDIA);
    // Once the viewer is gone, the address is free.
    one.close();
    peer.send_to(&check("other", "secret", true), board.udp(1)).expect("send");
    next(&other).await;
    peer.send_to(MEDIA, board.udp(1)).expect("send");
    assert_eq!(next(&other).await.0, MEDIA);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_we_only_spoke_to_can_be_another_viewer() {
    let board = TestHost::new(&[1]);
    let (one, other) = (board.line("one"), board.line("other"));
    let peer = peer();
    // A viewer may name any address as its own.
    one.send(peer.local_addr().expect("address"), MEDIA);
    received(&peer);
    peer.send_to(&check("other", "secret", false), board.udp(1)).expect("send");
    next(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_ice_restart_the_former_name_is_nobodys() {
    let board = TestHost::new(&[1]);
    let line = board.line("before");
    line.admit(Credentials { ufrag: "after".into(), password: "other".into() });
    let peer = peer();
    for (ufrag, password) in [("before", "secret"), ("after", "other")] {
        peer.send_to(&check(ufrag, password, false), board.udp(1)).expect("send");
        next(&line).await;
    }
    line.admit_only("after");
    peer.send_to(&check("before", "secret", false), board.udp(1)).expect("send");
    until("it is refused", || board.ignored(IgnoreReason::Unknown) == 1).await;
    peer.send_to(&check("after", "other", false), board.udp(1)).expect("send");
    next(&line).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_has_few_addresses_and_the_oldest_is_forgotten() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let peers: Vec<UdpSocket> = (0..=virtual_socket::MAX_PEERS).map(|_| peer()).collect();
    for peer in &peers {
        peer.send_to(&check("ours", "secret", false), board.udp(1)).expect("send");
        next(&line).await;
    }
    peers[0].send_to(MEDIA, board.udp(1)).expect("send");
    until("the first one is forgotten", || board.ignored(IgnoreReason::Unknown) == 1).await;
    peers[1].send_to(MEDIA, board.udp(1)).expect("send");
    assert_eq!(next(&line).await.0, MEDIA);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_ours_gets_its_response_and_no_other() {
    let board = TestHost::new(&[1]);
    let server = peer();
    let to = server.local_addr().expect("address");
    let question = check("a", "b", false);
    let (mux, asked) = (board.mux.clone(), question.clone());
    let request = tokio::spawn(async move { mux.request(ip(1), to, &asked, LIMIT).await });
    let (datagram, from) = received(&server);
    assert_eq!((&datagram, from), (&question, board.udp(1)));
    // Of another request, from another address, and then the right one.
    server.send_to(&response(&check("a", "b", false)), from).expect("send");
    peer().send_to(&response(&question), from).expect("send");
    until("both are nobody's", || board.ignored(IgnoreReason::Unknown) == 2).await;
    server.send_to(&response(&question), from).expect("send");
    assert_eq!(request.await.expect("no panic").expect("a response"), response(&question));

    let late = board.mux.request(ip(1), to, &question, Duration::from_millis(1)).await.expect_err("nobody answers");
    assert_eq!(late.kind(), io::ErrorKind::TimedOut, "{late}");
    let unknown = board.mux.request(ip(9), to, &question, LIMIT).await.expect_err("not listened on");
    assert!(unknown.to_string().contains("127.0.0.9"), "{unknown}");
    assert!(board.mux.request(ip(1), to, MEDIA, LIMIT).await.is_err(), "no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_request_is_listened_on_while_it_can_be_used() {
    let board = TestHost::new(&[2]);
    assert!(board.mux.ensure("::ffff:127.0.0.1".parse().expect("address")));
    assert!(board.mux.ensure(ip(1)), "twice is once");
    board.mux.set_addresses(vec![ip(3)]);
    let listened: Vec<IpAddr> = board.mux.locals().iter().map(|local| local.udp.ip()).collect();
    assert_eq!(listened, [ip(1), ip(3)]);
    for unusable in ["192.0.2.1", "0.0.0.0", "224.0.0.1", "fe80::1"] {
        assert!(!board.mux.ensure(unusable.parse().expect("address")), "{unusable}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_bound_yet_is_tried_again() {
    // Whoever holds the port on one address stands for the kernel that does not let it be used.
    let holder = UdpSocket::bind("127.0.0.9:0").expect("bind");
    let port = holder.local_addr().expect("address").port();
    let table = Arc::new(Demux::new(stun::tests::crypto(), Metrics::new()));
    let setting = SocketConfig { port, tcp: false, table, counts: Arc::default(), stop: CancellationToken::new() };
    let (addresses, retrying, ways) = (Mutex::default(), Mutex::default(), Mutex::default());
    let mux = Mux(Arc::new(Inner { setting, addresses, retrying, ways }));
    mux.set_addresses(vec![ip(9)]);
    assert_eq!(mux.locals(), []);
    drop(holder);
    until("it is bound", || mux.locals().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_program_the_ports_are_free() {
    let board = TestHost::new(&[1]);
    let local = board.local(1);
    drop(board);
    until("both can be bound", || UdpSocket::bind(local.udp).is_ok() && TcpListener::bind(local.udp).is_ok()).await;
}
