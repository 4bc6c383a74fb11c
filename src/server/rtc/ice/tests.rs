//! Tests of what a viewer is offered.

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::model::metrics::Metrics;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("should be an address")
}

/// Without the foundations and priorities.
fn lines(candidates: &[Candidate]) -> Vec<String> {
    let words = |line: String| line.split(' ').skip(2).map(String::from).collect::<Vec<_>>();
    candidates
        .iter()
        .map(|candidate| {
            let mut words = words(candidate.to_string());
            words.remove(1);
            words.join(" ")
        })
        .collect()
}

#[test]
fn sockets_then_forwarded_addresses_then_those_of_nats() {
    let locals = [
        LocalEndpoint { udp: address("192.168.1.20:8189"), tcp: Some(8189) },
        LocalEndpoint { udp: address("[2001:db8::20]:8189"), tcp: None },
    ];
    let ip = |text: &str| text.parse::<IpAddr>().expect("should be an address");
    let advertised = [(ip("203.0.113.5"), None), (ip("203.0.113.6"), Some(9000)), (ip("2001:db8::99"), None)];
    let mapped = [
        (address("192.168.1.20:8189"), address("203.0.113.5:8189")),
        (address("192.168.1.20:8189"), address("203.0.113.5:40000")),
    ];
    let candidates = build_candidates(&locals, &advertised, &mapped);
    assert_eq!(
        lines(&candidates),
        [
            "udp 192.168.1.20 8189 typ host",
            "tcp 192.168.1.20 8189 typ host tcptype passive",
            "udp 2001:db8::20 8189 typ host",
            "udp 203.0.113.5 8189 typ host",
            "tcp 203.0.113.5 8189 typ host tcptype passive",
            "udp 203.0.113.6 9000 typ host",
            "tcp 203.0.113.6 9000 typ host tcptype passive",
            "udp 2001:db8::99 8189 typ host",
            "udp 203.0.113.5 40000 typ srflx raddr 192.168.1.20 rport 8189",
        ],
        "each address once"
    );
    let mut priorities: Vec<u32> = candidates.iter().map(Candidate::priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    assert_eq!(priorities.len(), candidates.len(), "no two have the same priority");
}

#[test]
fn loopback_comes_last_unless_there_is_nothing_else() {
    // As the request arrived: from a reverse proxy on the board, or from a browser there.
    let loopback = LocalEndpoint { udp: address("127.0.0.1:8189"), tcp: Some(8189) };
    let lan = LocalEndpoint { udp: address("192.168.1.20:8189"), tcp: Some(8189) };
    let mapped = [(address("192.168.1.20:8189"), address("203.0.113.5:40000"))];
    let candidates = build_candidates(&[loopback, lan], &[], &mapped);
    let ips: Vec<String> = candidates.iter().map(|candidate| candidate.address.ip().to_string()).collect();
    assert_eq!(ips, ["192.168.1.20", "192.168.1.20", "203.0.113.5", "127.0.0.1", "127.0.0.1"]);
    let loopback_best = candidates[3..].iter().map(Candidate::priority).max();
    assert!(candidates[..3].iter().all(|candidate| Some(candidate.priority()) > loopback_best), "{candidates:#?}");

    let alone = build_candidates(&[loopback], &[], &[]);
    assert_eq!(lines(&alone), ["udp 127.0.0.1 8189 typ host", "tcp 127.0.0.1 8189 typ host tcptype passive"]);
    assert_eq!(alone[0].priority(), 2_130_706_431);
}

#[test]
fn without_sockets_there_is_nothing_to_offer() {
    assert_eq!(build_candidates(&[], &[("203.0.113.5".parse().expect("should be an address"), None)], &[]), []);
}

#[tokio::test]
async fn the_address_of_the_request_is_offered_whatever_the_filters_say() {
    let config = Config {
        udp_port: 0,
        exclude_interfaces: vec!["*".into()],
        advertise: vec![
            Advertised { host: "203.0.113.5".into(), port: Some(9000) },
            Advertised { host: "localhost".into(), port: Some(9001) },
        ],
        ..Config::default()
    };
    let mux = Mux::start(config.udp_port, config.tcp, tokio::runtime::Handle::current(), Metrics::new())
        .expect("should start");
    let ice = Ice::new(&config, mux.clone());
    let local_addr: IpAddr = "::ffff:127.0.0.1".parse().expect("should be an address");
    let offered = ice.candidates(local_addr).await;
    let [forwarded, .., last, tcp] = offered.as_slice() else { panic!("{offered:?}") };
    let port = mux.locals().first().expect("should listen").udp.port();
    assert!(last.contains(" udp ") && last.contains(&format!(" 127.0.0.1 {port} typ host")), "{offered:?}");
    assert!(tcp.contains(" tcp ") && tcp.contains(" 127.0.0.1 "), "{offered:?}");
    assert!(forwarded.contains(" udp 2130706431 203.0.113.5 9000 "), "{offered:?}");
    assert!(offered.iter().any(|line| line.contains(" 127.0.0.1 9001 ") || line.contains(" ::1 9001 ")), "{offered:?}");
    // What one viewer came in on, another one that came in elsewhere is not offered.
    mux.ensure("127.0.0.2".parse().expect("should be an address"));
    let others = ice.candidates("127.0.0.2".parse().expect("should be an address")).await;
    assert!(others.iter().all(|line| !line.contains(&format!(" 127.0.0.1 {port} "))), "{others:?}");
}
