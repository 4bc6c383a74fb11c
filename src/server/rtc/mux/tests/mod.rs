//! The multiplexer with real sockets on loopback, where every address of 127.0.0.0/8 is this host's.

mod connections;

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use bytes::Bytes;

use super::stun::tests::{check, response};
use super::*;
use crate::model::metrics::{DropPoint, IgnoreLabels, IgnoreReason};

/// Longer than anything that works takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Something that is neither STUN nor the last packet of a frame.
const MEDIA: &[u8] = &[0x80, 96, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5, 7, 7, 7];

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

struct TestHost {
    mux: Mux,
    metrics: Metrics,
}

impl TestHost {
    /// A multiplexer on some loopback addresses, given by their last byte.
    fn new(addresses: &[u8]) -> Self {
        let metrics = Metrics::new();
        let mux = Mux::start(0, true, Handle::current(), metrics.clone()).expect("start");
        mux.set_addresses(addresses.iter().map(|last| ip(*last)).collect());
        assert_eq!(mux.locals().len(), addresses.len());
        Self { mux, metrics }
    }

    /// The line of a viewer whose credentials are `ufrag` and `secret`.
    fn socket(&self, ufrag: &str) -> VirtualSocket {
        let socket = self.mux.virtual_socket(SendStats { metrics: self.metrics.clone() });
        socket.register_ufrag(Credentials { ufrag: ufrag.into(), password: "secret".into() });
        socket
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

    fn ignored(&self, reason: IgnoreReason) -> u64 {
        self.metrics.ignored.get_or_create(&IgnoreLabels { why: reason }).get()
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
async fn next(socket: &VirtualSocket) -> (Bytes, SocketAddr) {
    tokio::time::timeout(LIMIT, socket.receive()).await.expect("a datagram in time")
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
async fn sessions_are_routed_by_checks_and_then_by_source_address() {
    let host = TestHost::new(&[1]);
    let (one, other) = (host.socket("one"), host.socket("other"));
    let (peer_of_one, peer_of_other) = (peer(), peer());
    let to = host.udp(1);
    for (peer, ufrag) in [(&peer_of_one, "one"), (&peer_of_other, "other")] {
        peer.send_to(&check(ufrag, "secret", false), to).expect("send");
        peer.send_to(ufrag.as_bytes(), to).expect("send");
    }
    for (socket, peer, ufrag) in [(&one, &peer_of_one, "one"), (&other, &peer_of_other, "other")] {
        let from = peer.local_addr().expect("address");
        assert_eq!(next(socket).await.1, from);
        assert_eq!(next(socket).await, (Bytes::copy_from_slice(ufrag.as_bytes()), from));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_no_session_are_counted_and_dropped() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let stranger = peer();
    for datagram in [MEDIA, &check("theirs", "secret", false), &check("ours", "guess", true)] {
        stranger.send_to(datagram, host.udp(1)).expect("send");
    }
    until("all is counted", || host.ignored(IgnoreReason::Unknown) == 2 && host.ignored(IgnoreReason::Forged) == 1)
        .await;
    stranger.send_to(&[0; MAX_DATAGRAM + 1], host.udp(1)).expect("send");
    until("it is counted", || host.ignored(IgnoreReason::Oversized) == 1).await;
    // A forged check makes no way for what follows it.
    let friend = peer();
    friend.send_to(&check("ours", "secret", false), host.udp(1)).expect("send");
    assert_eq!(next(&socket).await.1, friend.local_addr().expect("address"));
}

/// A receiver report.
fn report(source: u32) -> Vec<u8> {
    [&[0x81, 201, 0, 7][..], &source.to_be_bytes(), &[7; 24]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn rtcp_of_a_known_source_is_delivered_to_each_silent_session() {
    let host = TestHost::new(&[1]);
    let (one, other, third) = (host.socket("one"), host.socket("other"), host.socket("third"));
    // As two browsers do that only receive.
    one.learn_source(1);
    other.learn_source(1);
    third.learn_source(70_000);
    let moved = peer();
    let from = moved.local_addr().expect("address");
    // Media of a known source, and a source that nobody has.
    for datagram in [[&[0x80, 96, 0, 7][..], &1u32.to_be_bytes()].concat(), report(70_001)] {
        moved.send_to(&datagram, host.udp(1)).expect("send");
    }
    moved.send_to(&report(1), host.udp(1)).expect("send");
    for socket in [&one, &other] {
        assert_eq!(next(socket).await, (report(1).into(), from));
    }
    assert!(third.try_receive().is_none());
    assert_eq!(host.ignored(IgnoreReason::Unknown), 2);
    // A session has one source.
    one.learn_source(80_000);
    moved.send_to(&report(1), host.udp(1)).expect("send");
    assert_eq!(next(&other).await.1, from);
    assert!(one.try_receive().is_none());
    drop(other);
    moved.send_to(&report(1), host.udp(1)).expect("send");
    until("it is nobody's", || host.ignored(IgnoreReason::Unknown) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_read_is_bounded() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let peer = peer();
    peer.send_to(&check("ours", "secret", false), host.udp(1)).expect("send");
    until("the queue is full", || {
        peer.send_to(MEDIA, host.udp(1)).expect("send");
        host.ignored(IgnoreReason::Full) > 0
    })
    .await;
    next(&socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_takes_the_path_of_its_request_and_the_rest_the_selected_path() {
    let host = TestHost::new(&[1, 2]);
    let socket = host.socket("ours");
    let peer = peer();
    let address = peer.local_addr().expect("address");
    let [first, second] = [check("ours", "secret", false), check("ours", "secret", false)];
    for (request, to) in [(&first, 1), (&second, 2)] {
        peer.send_to(request, host.udp(to)).expect("send");
        next(&socket).await;
    }
    for (request, from) in [(&second, 2), (&first, 1)] {
        socket.send(address, &response(request));
        assert_eq!(received(&peer), (response(request), host.udp(from)));
    }
    // Checks alone choose nothing.
    socket.send(address, MEDIA);
    assert_eq!(received(&peer), (MEDIA.to_vec(), host.udp(1)));
    peer.send_to(&check("ours", "secret", true), host.udp(2)).expect("send");
    next(&socket).await;
    socket.send(address, MEDIA);
    assert_eq!(received(&peer).1, host.udp(2), "chosen by a check");
    // Anybody can send these from a forged address.
    for forged in [MEDIA, &response(&first), &[0]] {
        peer.send_to(forged, host.udp(1)).expect("send");
        next(&socket).await;
    }
    socket.send(address, MEDIA);
    assert_eq!(received(&peer).1, host.udp(2), "not changed without a check");
    peer.send_to(&check("ours", "secret", true), host.udp(1)).expect("send");
    next(&socket).await;
    socket.send(address, MEDIA);
    assert_eq!(received(&peer).1, host.udp(1), "chosen by another check");
    let sent = host.metrics.packets_sent.get();
    assert_eq!((sent, host.metrics.bytes_sent.get() > 0, host.dropped()), (6, true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_to_what_we_send_first_is_received() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let peer = peer();
    let request = check("theirs", "secret", false);
    socket.send(peer.local_addr().expect("address"), &request);
    let (datagram, from) = received(&peer);
    assert_eq!((datagram, from), (request.clone(), host.udp(1)));
    peer.send_to(&response(&request), from).expect("send");
    assert_eq!(next(&socket).await.0, response(&request));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_an_address_is_removed_the_next_packet_leaves_by_another() {
    let host = TestHost::new(&[1, 2]);
    let socket = host.socket("ours");
    let peer = peer();
    let address = peer.local_addr().expect("address");
    peer.send_to(&check("ours", "secret", true), host.udp(2)).expect("send");
    next(&socket).await;
    let kept = host.udp(1);
    host.mux.set_addresses(vec![ip(1), ip(3)]);
    assert_eq!(host.udp(1), kept, "an address that stays keeps its sockets");
    socket.send(address, MEDIA);
    assert_eq!(received(&peer), (MEDIA.to_vec(), kept));
    // The peer finds the new way and chooses it.
    peer.send_to(&check("ours", "secret", true), host.udp(3)).expect("send");
    next(&socket).await;
    socket.send(address, MEDIA);
    assert_eq!(received(&peer).1, host.udp(3));
    assert_eq!(host.dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_viewers_address_is_not_taken_over() {
    let host = TestHost::new(&[1]);
    let (one, other) = (host.socket("one"), host.socket("other"));
    let peer = peer();
    peer.send_to(&check("one", "secret", false), host.udp(1)).expect("send");
    next(&one).await;
    peer.send_to(&check("other", "secret", true), host.udp(1)).expect("send");
    until("it is refused", || host.ignored(IgnoreReason::Taken) == 1).await;
    peer.send_to(MEDIA, host.udp(1)).expect("send");
    assert_eq!(next(&one).await.0, MEDIA);
    // Once the viewer is gone, the address is free.
    one.close();
    peer.send_to(&check("other", "secret", true), host.udp(1)).expect("send");
    next(&other).await;
    peer.send_to(MEDIA, host.udp(1)).expect("send");
    assert_eq!(next(&other).await.0, MEDIA);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_we_only_sent_to_can_belong_to_another_session() {
    let host = TestHost::new(&[1]);
    let (one, other) = (host.socket("one"), host.socket("other"));
    let peer = peer();
    // A viewer may name any address as its own.
    one.send(peer.local_addr().expect("address"), MEDIA);
    received(&peer);
    peer.send_to(&check("other", "secret", false), host.udp(1)).expect("send");
    next(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_ice_restart_the_former_ufrag_is_not_routed() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("before");
    socket.register_ufrag(Credentials { ufrag: "after".into(), password: "other".into() });
    let peer = peer();
    for (ufrag, password) in [("before", "secret"), ("after", "other")] {
        peer.send_to(&check(ufrag, password, false), host.udp(1)).expect("send");
        next(&socket).await;
    }
    socket.retain_ufrag("after");
    peer.send_to(&check("before", "secret", false), host.udp(1)).expect("send");
    until("it is refused", || host.ignored(IgnoreReason::Unknown) == 1).await;
    peer.send_to(&check("after", "other", false), host.udp(1)).expect("send");
    next(&socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_few_addresses_and_the_oldest_is_evicted() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let peers: Vec<UdpSocket> = (0..=peer_set::MAX_PEERS).map(|_| peer()).collect();
    for peer in &peers {
        peer.send_to(&check("ours", "secret", false), host.udp(1)).expect("send");
        next(&socket).await;
    }
    peers[0].send_to(MEDIA, host.udp(1)).expect("send");
    until("the first one is forgotten", || host.ignored(IgnoreReason::Unknown) == 1).await;
    peers[1].send_to(MEDIA, host.udp(1)).expect("send");
    assert_eq!(next(&socket).await.0, MEDIA);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_ours_gets_its_response_and_no_other() {
    let host = TestHost::new(&[1]);
    let server = peer();
    let to = server.local_addr().expect("address");
    let request = check("a", "b", false);
    let (mux, asked) = (host.mux.clone(), request.clone());
    let pending = tokio::spawn(async move { mux.request(ip(1), to, &asked, LIMIT).await });
    let (datagram, from) = received(&server);
    assert_eq!((&datagram, from), (&request, host.udp(1)));
    // Of another request, from another address, and then the right one.
    server.send_to(&response(&check("a", "b", false)), from).expect("send");
    peer().send_to(&response(&request), from).expect("send");
    until("both are nobody's", || host.ignored(IgnoreReason::Unknown) == 2).await;
    server.send_to(&response(&request), from).expect("send");
    assert_eq!(pending.await.expect("no panic").expect("a response"), response(&request));

    let late = host.mux.request(ip(1), to, &request, Duration::from_millis(1)).await.expect_err("nobody answers");
    assert_eq!(late.kind(), io::ErrorKind::TimedOut, "{late}");
    let unknown = host.mux.request(ip(9), to, &request, LIMIT).await.expect_err("not listened on");
    assert!(unknown.to_string().contains("127.0.0.9"), "{unknown}");
    assert!(host.mux.request(ip(1), to, MEDIA, LIMIT).await.is_err(), "no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_request_stays_bound_while_it_can_be_used() {
    let host = TestHost::new(&[2]);
    assert!(host.mux.ensure("::ffff:127.0.0.1".parse().expect("address")));
    assert!(host.mux.ensure(ip(1)), "twice is once");
    host.mux.set_addresses(vec![ip(3)]);
    let listened: Vec<IpAddr> = host.mux.locals().iter().map(|local| local.udp.ip()).collect();
    assert_eq!(listened, [ip(1), ip(3)]);
    for unusable in ["192.0.2.1", "0.0.0.0", "224.0.0.1", "fe80::1"] {
        assert!(!host.mux.ensure(unusable.parse().expect("address")), "{unusable}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_bound_yet_is_retried() {
    // Whoever holds the port on one address stands for the kernel that does not let it be used.
    let holder = UdpSocket::bind("127.0.0.9:0").expect("bind");
    let port = holder.local_addr().expect("address").port();
    let demux = Arc::new(Demux::new(stun::tests::crypto(), Metrics::new()));
    let config = SocketConfig {
        port,
        tcp: false,
        runtime: Handle::current(),
        demux,
        connections: tcp::TcpConnections::default(),
        stop: CancellationToken::new(),
    };
    let (sockets, retrying, source_addr_cache) = (Mutex::default(), Mutex::default(), Mutex::default());
    let mux = Mux(Arc::new(Inner { config, sockets, retrying, source_addr_cache, _reservation: None }));
    mux.set_addresses(vec![ip(9)]);
    assert_eq!(mux.locals(), []);
    drop(holder);
    until("it is bound", || mux.locals().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_on_the_port_does_not_start() {
    // Neither has an address for viewers, as with `interfaces = ["lo"]` or before the network is up.
    let free = UdpSocket::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let first = Mux::start(free, false, Handle::current(), Metrics::new()).expect("start");
    let error = Mux::start(free, false, Handle::current(), Metrics::new()).err().expect("the port is in use");
    let error = format!("{error:#}");
    assert!(error.starts_with(&format!("bind UDP port {free}, which viewers are to use; stop")), "{error}");
    // Its own sockets are not in the way.
    assert!(first.ensure(ip(1)));
    drop(first);
    until("the port is free", || Mux::start(free, false, Handle::current(), Metrics::new()).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_program_the_ports_are_free() {
    let host = TestHost::new(&[1]);
    let local = host.local(1);
    drop(host);
    until("both can be bound", || UdpSocket::bind(local.udp).is_ok() && TcpListener::bind(local.udp).is_ok()).await;
}
