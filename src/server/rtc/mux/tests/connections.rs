//! Viewers that come by TCP.

use std::io::{Read as _, Write as _};

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
async fn connected(board: &TestHost, line: &VirtualSocket) -> (TcpStream, SocketAddr) {
    let mut stream = board.tcp(1);
    let address = stream.local_addr().expect("address");
    stream.write_all(&framed(&check("ours", "secret", true))).expect("write");
    next(line).await;
    (stream, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_connection_carries_datagrams_both_ways_and_ends_with_its_viewer() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let mut stream = board.tcp(1);
    let address = stream.local_addr().expect("address");
    let question = check("ours", "secret", true);
    // Frames come in pieces, and several at once.
    let frames = [framed(&question), framed(MEDIA)].concat();
    for piece in [&frames[..1], &frames[1..5], &frames[5..]] {
        stream.write_all(piece).expect("write");
    }
    assert_eq!(next(&line).await, (question.clone().into(), address));
    assert_eq!(next(&line).await, (Bytes::from_static(MEDIA), address));
    line.send(address, &response(&question));
    line.send(address, MEDIA);
    let read = |stream: &mut TcpStream| tokio::task::block_in_place(|| read_frame(stream));
    assert_eq!(read(&mut stream).expect("a frame"), response(&question));
    assert_eq!(read(&mut stream).expect("a frame"), MEDIA);
    until("both are counted", || board.metrics.packets_sent.get() == 2).await;
    line.close();
    assert!(read(&mut stream).is_err(), "the connection should be closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_begins_with_no_check_is_closed() {
    let board = TestHost::new(&[1]);
    let _line = board.line("ours");
    let long = [&[0xff, 0xff][..], &[0; 100]].concat();
    let forged = check("ours", "guess", false);
    for first in [framed(MEDIA), framed(b""), framed(&check("theirs", "secret", false)), framed(&forged), long] {
        let mut stream = board.tcp(1);
        stream.write_all(&first).expect("write");
        let ended = tokio::task::block_in_place(|| read_frame(&mut stream));
        assert!(ended.is_err(), "{first:?} was answered: {ended:?}");
    }
    assert_eq!((board.ignored(IgnoreReason::Unknown), board.ignored(IgnoreReason::Forged)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_ends_its_way() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let (stream, address) = connected(&board, &line).await;
    drop(stream);
    until("what is sent to it is dropped", || {
        line.send(address, MEDIA);
        board.dropped() > 0
    })
    .await;
    // Nor is anything sent to its port by UDP: that may be somebody else's.
    let bystander = UdpSocket::bind(address).expect("bind");
    bystander.set_nonblocking(true).expect("non-blocking");
    line.send(address, MEDIA);
    bystander.send_to(MEDIA, board.udp(1)).expect("send");
    until("the bystander is nobody", || board.ignored(IgnoreReason::Unknown) == 1).await;
    assert!(bystander.recv_from(&mut [0; 100]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_reads_slowly_loses_whole_frames() {
    let board = TestHost::new(&[1]);
    let line = board.line("ours");
    let (mut stream, address) = connected(&board, &line).await;
    let mut number = 0u32;
    let mut datagram = [7; 1_200];
    until("frames are dropped", || {
        datagram[12..16].copy_from_slice(&number.to_be_bytes());
        number += 1;
        line.send(address, &datagram);
        board.dropped() > 100
    })
    .await;
    // What comes is whole and in order, with gaps.
    let mut last = None;
    let sent = board.metrics.packets_sent.get();
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
    let board = TestHost::new(&[1]);
    let streams: Vec<TcpStream> = (0..100).map(|_| board.tcp(1)).collect();
    until("some are refused", || board.ignored(IgnoreReason::Connection) == 100 - 64).await;
    drop(streams);
    let line = board.line("ours");
    until("there is room again", || {
        let mut stream = board.tcp(1);
        // One too many is closed before or while it speaks.
        let _ = stream.write_all(&framed(&check("ours", "secret", false)));
        std::task::Poll::is_ready(&line.poll_receive(false, &mut Context::from_waker(std::task::Waker::noop())))
    })
    .await;
}
