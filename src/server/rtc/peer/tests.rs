//! Tests of a whole connection with another one as its viewer.

use std::time::Duration;

use super::*;

const VIEWER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);
const BOARD: ([u8; 4], u16) = ([192, 0, 2, 2], 5_000);

fn peer(identity: &DtlsIdentity, [ours, theirs]: [&str; 2], is_client: bool) -> Peer {
    let credentials = |name: &str| Credentials { ufrag: name.to_owned(), password: format!("the password of {name}") };
    let description = PeerDescription {
        ours: credentials(ours),
        theirs: credentials(theirs),
        is_controlling: is_client,
        consent: Consent::VIEWER,
        fingerprint: identity.fingerprint.to_string(),
        is_dtls_client: is_client,
        data: None,
        inbound: InboundMedia::Nothing,
    };
    Peer::new(identity, description).expect("a connection")
}

#[test]
fn a_handshake_is_answered_where_a_check_came_from_and_nowhere_else() {
    let identity =
        DtlsIdentity::generate(rtc::crypto::default_provider().expect("cryptography")).expect("a certificate");
    let (mut board, mut viewer) =
        (peer(&identity, ["board", "viewer"], false), peer(&identity, ["viewer", "board"], true));
    let now = Instant::now();
    viewer.add_candidate(BOARD.into(), now);
    let mut hello = None;
    while hello.is_none() {
        viewer.handle_timeout(now);
        let sent: Vec<_> = std::iter::from_fn(|| viewer.poll_transmit()).collect();
        assert!(!sent.is_empty(), "the viewer sends no handshake");
        for (_, datagram) in sent {
            if Protocol::of(&datagram) == Protocol::Dtls {
                hello.get_or_insert(datagram);
            } else {
                board.handle(&datagram, VIEWER.into(), now);
            }
        }
        while let Some((_, datagram)) = board.poll_transmit() {
            viewer.handle(&datagram, BOARD.into(), now);
        }
    }
    let hello = hello.expect("the first datagram of the handshake");

    let mut unchecked = peer(&identity, ["board", "viewer"], false);
    unchecked.handle(&hello, VIEWER.into(), now);
    for seconds in 0..20 {
        unchecked.handle_timeout(now + Duration::from_secs(seconds));
        assert_eq!(unchecked.poll_transmit(), None, "after {seconds} s");
    }
    board.handle(&hello, VIEWER.into(), now);
    let answer = board.poll_transmit().expect("an answer");
    assert_eq!((answer.0, Protocol::of(&answer.1)), (VIEWER.into(), Protocol::Dtls));
}
