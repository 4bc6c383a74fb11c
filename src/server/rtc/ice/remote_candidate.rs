//! The viewers' candidates: which of them connectivity checks are sent to. Pure.
//!
//! A candidate is an address named by a stranger, and checks are sent to it before anybody there has agreed: without
//! limits a viewer could flood a third party (RFC 8445 section 19.5.1). So a session accepts a few, over UDP, with
//! addresses and ports where a viewer can be. A viewer whose candidates are rejected still connects if its own checks
//! reach one of ours. A server that we publish to is named by the configuration: at its own address it may be at any port.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Addresses of one viewer that checks are sent to: a browser names one to three for each of its networks. At 50 checks
/// a second of 100 bytes each, a session can cause at most 80 kB/s, for 12 s.
pub const MAX_CANDIDATES: usize = 16;

/// The lowest port of a viewer: those below are for servers (RFC 6335 section 6), and a NAT does not map other ports to
/// them (RFC 4787 section 4.2.2).
const MIN_PORT: u16 = 1024;

/// The port below [`MIN_PORT`] at which servers of media are, too, because firewalls let it through: that of HTTPS. STUN's, 3478,
/// is above it.
const SERVER_PORT: u16 = 443;

/// Which ports below [`MIN_PORT`] candidates may have.
#[derive(Debug, Clone, Copy, Default)]
enum LowPorts {
    /// None.
    #[default]
    None,
    /// Those of a server: any at the address of its HTTP server.
    Server(Option<IpAddr>),
}

impl LowPorts {
    fn allows(self, address: SocketAddr) -> bool {
        match self {
            Self::None => false,
            Self::Server(server) => address.port() == SERVER_PORT || server == Some(address.ip()),
        }
    }
}

/// The address of a viewer's candidate that checks may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteCandidate {
    /// The address.
    pub address: SocketAddr,
}

/// Why a candidate is rejected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CandidateError {
    /// It is no candidate as of RFC 8839.
    #[error("not a candidate")]
    Malformed,
    /// It is a host name, of another component, or not UDP.
    #[error("a host name, TCP, or another component")]
    Unsupported,
    /// No viewer can be there.
    #[error("not an address that a viewer can have")]
    Implausible,
}

impl FromStr for RemoteCandidate {
    type Err = CandidateError;

    /// Parses the value of a viewer's `a=candidate`, with or without `candidate:`. Extensions are ignored, as RFC 8839 asks.
    fn from_str(value: &str) -> Result<Self, CandidateError> {
        Self::parse(value, LowPorts::None)
    }
}

impl RemoteCandidate {
    /// Parses a candidate.
    fn parse(value: &str, low_ports: LowPorts) -> Result<Self, CandidateError> {
        let value = value.strip_prefix("candidate:").unwrap_or(value);
        let mut fields = value.split_ascii_whitespace();
        let mut field = || fields.next().ok_or(CandidateError::Malformed);
        let (foundation, component, protocol, priority) = (field()?, field()?, field()?, field()?);
        let (ip, port, typ, kind) = (field()?, field()?, field()?, field()?);
        let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        if foundation.len() > 32 || !foundation.bytes().all(ice_char) || typ != "typ" {
            return Err(CandidateError::Malformed);
        }
        let _: u32 = priority.parse().map_err(|_| CandidateError::Malformed)?;
        let port = port.parse().map_err(|_| CandidateError::Malformed)?;
        if !["host", "srflx", "relay"].contains(&kind) {
            return Err(CandidateError::Malformed);
        }
        // A browser hides its own addresses behind .local names. They are not resolved: the browser reaches ours. Browsers
        // do not listen on TCP, and RTCP has no component of its own.
        let ip: IpAddr = ip.parse().map_err(|_| CandidateError::Unsupported)?;
        if component != "1" || !protocol.eq_ignore_ascii_case("udp") {
            return Err(CandidateError::Unsupported);
        }
        let address = SocketAddr::new(ip.to_canonical(), port);
        if !is_plausible(address, low_ports) {
            return Err(CandidateError::Implausible);
        }
        Ok(Self { address })
    }
}

/// Whether a viewer can have this address at all.
fn is_plausible(address: SocketAddr, low_ports: LowPorts) -> bool {
    let ip = address.ip();
    let special = match ip {
        // 240.0.0.0/4 is reserved, and its last address means everybody (RFC 1112 section 4); 0.0.0.0/8 is this network.
        IpAddr::V4(v4) => v4.octets()[0] >= 240 || v4.octets()[0] == 0,
        // A link-local address is ambiguous without its interface.
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let is_port = address.port() >= MIN_PORT || (address.port() > 0 && low_ports.allows(address));
    is_port && !ip.is_unspecified() && !ip.is_multicast() && !special
}

/// The addresses that a session has accepted; those of a viewer by default.
#[derive(Debug, Default)]
pub struct RemoteCandidates {
    accepted: Vec<SocketAddr>,
    low_ports: LowPorts,
}

impl RemoteCandidates {
    /// Those of a server whose HTTP server has this address.
    pub fn of_server(address: Option<IpAddr>) -> Self {
        let low_ports = LowPorts::Server(address.map(|address| address.to_canonical()));
        Self { accepted: Vec::new(), low_ports }
    }

    /// The candidate, if it is accepted: it is valid, the session's limit is not reached, it is not one of our own
    /// addresses (`ours`), and it is loopback only if the viewer is on this host (`local_addr` is loopback).
    pub fn accept(&mut self, value: &str, local_addr: IpAddr, ours: &[SocketAddr]) -> Option<RemoteCandidate> {
        let remote = match RemoteCandidate::parse(value, self.low_ports) {
            Ok(remote) => remote,
            Err(reason) => {
                tracing::debug!("remote candidate rejected: {reason}");
                return None;
            }
        };
        let (address, accepted) = (remote.address, &mut self.accepted);
        let foreign_loopback = address.ip().is_loopback() && !local_addr.to_canonical().is_loopback();
        if foreign_loopback || ours.contains(&address) {
            tracing::debug!("remote candidate rejected: {address} is an address of this host");
            return None;
        }
        if !accepted.contains(&address) {
            if accepted.len() >= MAX_CANDIDATES {
                tracing::debug!("remote candidate rejected: the session has {MAX_CANDIDATES} already");
                return None;
            }
            accepted.push(address);
        }
        Some(remote)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Chromium writes it.
    const BROWSERS: &str = "candidate:842163049 1 udp 1677729535 203.0.113.7 40678 typ srflx raddr 0.0.0.0 rport 0 \
        generation 0 ufrag EsAw network-cost 999";

    fn read(value: &str) -> Result<String, CandidateError> {
        value.parse::<RemoteCandidate>().map(|remote| remote.address.to_string())
    }

    #[test]
    fn a_browsers_candidate_is_used() {
        assert_eq!(read(BROWSERS).as_deref(), Ok("203.0.113.7:40678"));
        let mapped = "1 1 UDP 1 ::ffff:192.0.2.1 5000 typ host";
        assert_eq!(read(mapped).as_deref(), Ok("192.0.2.1:5000"));
    }

    #[test]
    fn what_no_check_can_reach_is_left_out() {
        let at = |ip: &str, port: &str| read(&format!("candidate:1 1 udp 1 {ip} {port} typ host"));
        for (ip, port) in [
            ("0.0.0.0", "5000"),
            ("::", "5000"),
            ("224.0.0.251", "5353"),
            ("ff02::fb", "5353"),
            ("255.255.255.255", "5000"),
            ("::ffff:255.255.255.255", "5000"),
            ("fe80::1", "5000"),
            ("192.0.2.1", "0"),
            ("192.0.2.1", "53"),
            ("192.0.2.1", "1023"),
        ] {
            assert_eq!(at(ip, port), Err(CandidateError::Implausible), "{ip} {port}");
        }
        assert_eq!(at("f3e1c2.local", "5000"), Err(CandidateError::Unsupported));
        for value in ["1 1 tcp 1 192.0.2.1 9 typ host tcptype active", "1 2 udp 1 192.0.2.1 5000 typ host"] {
            assert_eq!(read(value), Err(CandidateError::Unsupported), "{value}");
        }
        for value in [
            "",
            "candidate:",
            "candidate:1 1 udp 1 192.0.2.1 5000",
            "candidate:1 1 udp 1 192.0.2.1 5000 type host",
            "candidate:1 1 udp -1 192.0.2.1 5000 typ host",
            "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
            "candidate:1 1 udp 1 192.0.2.1 5000 typ guest",
            "candidate:a=b 1 udp 1 192.0.2.1 5000 typ host",
        ] {
            assert_eq!(read(value), Err(CandidateError::Malformed), "{value}");
        }
    }

    #[test]
    fn a_session_takes_so_many_and_none_of_our_own() {
        let mut accepted = RemoteCandidates::default();
        let (away, here): (IpAddr, IpAddr) = ([192, 0, 2, 9].into(), [127, 0, 0, 1].into());
        let ours: SocketAddr = "192.0.2.9:8189".parse().expect("should be an address");
        let value = |ip: &str, port: usize| format!("candidate:1 1 udp 1 {ip} {port} typ host");
        assert_eq!(accepted.accept(&value("127.0.0.1", 5000), away, &[ours]), None);
        assert_eq!(accepted.accept(&value("192.0.2.9", 8189), away, &[ours]), None);
        assert!(accepted.accept(&value("127.0.0.1", 5000), here, &[ours]).is_some());
        assert!(
            (0..MAX_CANDIDATES - 1)
                .all(|number| accepted.accept(&value("198.51.100.1", 6000 + number), away, &[ours]).is_some())
        );
        assert_eq!(accepted.accept(&value("198.51.100.2", 5000), away, &[ours]), None);
        assert!(accepted.accept(&value("198.51.100.1", 6000), away, &[ours]).is_some(), "it has its place already");
    }

    #[test]
    fn server_may_be_at_the_port_of_https_and_at_any_of_its_own_address() {
        let (away, server) = ([192, 0, 2, 9].into(), Some([192, 0, 2, 1].into()));
        let accept = |mut accepted: RemoteCandidates, ip: &str, port: u16| {
            accepted.accept(&format!("1 1 udp 1 {ip} {port} typ host"), away, &[]).is_some()
        };
        for (ip, port, viewer, unknown, known) in [
            ("192.0.2.1", 443, false, true, true),
            ("192.0.2.1", 3478, true, true, true),
            ("192.0.2.1", 53, false, false, true),
            ("::ffff:192.0.2.1", 53, false, false, true),
            ("198.51.100.1", 443, false, true, true),
            ("198.51.100.1", 53, false, false, false),
            ("192.0.2.1", 0, false, false, false),
            ("127.0.0.1", 443, false, false, false),
        ] {
            assert_eq!(accept(RemoteCandidates::default(), ip, port), viewer, "{ip} {port}");
            assert_eq!(accept(RemoteCandidates::of_server(None), ip, port), unknown, "{ip} {port}");
            assert_eq!(accept(RemoteCandidates::of_server(server), ip, port), known, "{ip} {port}");
        }
    }

    proptest! {
        #[test]
        fn each_form_is_read(
            foundation in "[a-zA-Z0-9+/]{1,32}", priority: u32, ip: IpAddr, port in MIN_PORT..,
            kind in prop::sample::select(vec!["host", "srflx", "relay"]), extension in "( [a-z]{1,8} [a-z0-9]{1,8}){0,3}",
        ) {
            let value = format!("candidate:{foundation} 1 udp {priority} {ip} {port} typ {kind}{extension}");
            let address = SocketAddr::new(ip.to_canonical(), port);
            let read = value.parse::<RemoteCandidate>().map(|remote| remote.address);
            let is_plausible = is_plausible(address, LowPorts::None);
            prop_assert_eq!(read, if is_plausible { Ok(address) } else { Err(CandidateError::Implausible) });
        }

        #[test]
        fn no_candidate_panics(value in "(candidate:)?(\\PC{0,8} ?){0,12}") {
            if let Ok(remote) = value.parse::<RemoteCandidate>() {
                prop_assert!(is_plausible(remote.address, LowPorts::None));
            }
        }
    }
}
