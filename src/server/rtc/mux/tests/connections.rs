//! Viewers that come by TCP.

use std::io::{Read as _, Write as _};

use socket2::{Domain, Socket, Type};

use super::*;

fn framed(datagram: &[u8]) -> Vec<u8> {
    let mut frame = (datagram.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(datagram);
    frame
}

fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// A connection that the viewer's first check has come by, and its address.
async fn connected(host: &TestHost, socket: &VirtualSocket) -> (TcpStream, SocketAddr) {
    let mut stream = host.tcp(1);
    let address = stream.local_addr().expect("address");
    stream.write_all(&framed(&check("ours", "secret", true))).expect("write");
    next(socket).await;
    (stream, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_connection_carries_datagrams_both_ways_and_ends_with_its_viewer() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let mut stream = host.tcp(1);
    let address = stream.local_addr().expect("address");
    let request = check("ours", "secret", true);
    // Frames come in pieces, and several at once.
    let frames = [framed(&request), framed(MEDIA)].concat();
    for piece in [&frames[..1], &frames[1..5], &frames[5..]] {
        stream.write_all(piece).expect("write");
    }
    assert_eq!(next(&socket).await, (request.clone().into(), address));
    assert_eq!(next(&socket).await, (Bytes::from_static(MEDIA), address));
    socket.send(address, &response(&request));
    socket.send(address, MEDIA);
    let read = |stream: &mut TcpStream| tokio::task::block_in_place(|| read_frame(stream));
    assert_eq!(read(&mut stream).expect("a frame"), response(&request));
    assert_eq!(read(&mut stream).expect("a frame"), MEDIA);
    until("both are counted", || host.metrics.packets_sent.get() == 2).await;
    socket.close();
    assert!(read(&mut stream).is_err(), "the connection should be closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_begins_with_no_check_is_closed() {
    let host = TestHost::new(&[1]);
    let _socket = host.socket("ours");
    let long = [&[0xff, 0xff][..], &[0; 100]].concat();
    let forged = check("ours", "guess", false);
    for first in [framed(MEDIA), framed(b""), framed(&check("theirs", "secret", false)), framed(&forged), long] {
        let mut stream = host.tcp(1);
        stream.write_all(&first).expect("write");
        let ended = tokio::task::block_in_place(|| read_frame(&mut stream));
        assert!(ended.is_err(), "{first:?} was answered: {ended:?}");
    }
    assert_eq!((host.ignored(IgnoreReason::Unknown), host.ignored(IgnoreReason::Forged)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_ends_its_path() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let (stream, address) = connected(&host, &socket).await;
    drop(stream);
    until("what is sent to it is dropped", || {
        socket.send(address, MEDIA);
        host.dropped() > 0
    })
    .await;
    // Nor is anything sent to its port by UDP: that may be somebody else's.
    let bystander = UdpSocket::bind(address).expect("bind");
    bystander.set_nonblocking(true).expect("non-blocking");
    socket.send(address, MEDIA);
    // A machine that stands still may drop a frame as too old before it sees the end of the connection.
    until("the bystander is nobody", || {
        bystander.send_to(MEDIA, host.udp(1)).expect("send");
        host.ignored(IgnoreReason::Unknown) > 0
    })
    .await;
    assert!(bystander.recv_from(&mut [0; 100]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_reads_slowly_loses_whole_frames() {
    let host = TestHost::new(&[1]);
    let socket = host.socket("ours");
    let (mut stream, address) = connected(&host, &socket).await;
    let mut number = 0u32;
    let mut datagram = [7; 1_200];
    until("frames are dropped", || {
        datagram[12..16].copy_from_slice(&number.to_be_bytes());
        number += 1;
        socket.send(address, &datagram);
        host.dropped() > 100
    })
    .await;
    // What comes is whole and in order, with gaps.
    let mut last = None;
    let sent = host.metrics.packets_sent.get();
    for _ in 0..sent {
        let frame = tokio::task::block_in_place(|| read_frame(&mut stream)).expect("a frame");
        assert_eq!(frame.len(), datagram.len());
        let number = u32::from_be_bytes([frame[12], frame[13], frame[14], frame[15]]);
        assert!(last.is_none_or(|last| last < number), "{last:?} before {number}");
        last = Some(number);
    }
    assert!(sent + 100 < u64::from(number), "{sent} of {number} frames");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_one_address_are_limited() {
    let host = TestHost::new(&[1]);
    let streams: Vec<TcpStream> = (0..100).map(|_| host.tcp(1)).collect();
    until("some are refused", || host.ignored(IgnoreReason::Connection) == 100 - 64).await;
    drop(streams);
    let socket = host.socket("ours");
    until("there is room again", || {
        let mut stream = host.tcp(1);
        // One too many is closed before or while it speaks.
        let _ = stream.write_all(&framed(&check("ours", "secret", false)));
        socket.try_receive().is_some()
    })
    .await;
}

/// A connection from another address of this host, given by its last byte.
fn tcp_from(host: &TestHost, last: u8) -> TcpStream {
    let local = host.local(1);
    let to = SocketAddr::new(local.udp.ip(), local.tcp.expect("a TCP port"));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.bind(&SocketAddr::new(ip(last), 0).into()).expect("bind");
    socket.connect(&to.into()).expect("connect");
    socket.set_read_timeout(Some(LIMIT)).expect("limit");
    socket.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_addresses_cannot_hold_all_places() {
    let host = TestHost::new(&[1]);
    let busy = ["a", "b", "c", "d", "e"].map(|ufrag| host.socket(ufrag));
    let mut held = Vec::new();
    // With checks of real sessions, and without any.
    for (checks, count) in [(true, 260_usize), (false, 80)] {
        for number in 0..count {
            let of = number % 5;
            let mut stream = tcp_from(&host, 11 + of as u8);
            if checks {
                // One that was displaced, or had no place, is closed already.
                let _ = stream.write_all(&framed(&check(["a", "b", "c", "d", "e"][of], "secret", false)));
                let _ = tokio::time::timeout(LIMIT, busy[of].receive()).await;
            }
            held.push(stream);
        }
        let socket = host.socket("ours");
        let mut stream = host.tcp(1);
        let request = check("ours", "secret", true);
        stream.write_all(&framed(&request)).expect("write");
        let (datagram, address) = next(&socket).await;
        assert_eq!(datagram, request);
        socket.send(address, MEDIA);
        let read = tokio::task::block_in_place(|| read_frame(&mut stream)).expect("its connection should stay open");
        assert_eq!(read, MEDIA);
        socket.close();
    }
}
