//! One candidate of ours, and its SDP line (RFC 8839 section 5.1, RFC 6544 section 4.5).
//!
//! Which candidates there are is decided in `ice`; viewers' candidates are in `ice::remote_candidate`.

use std::fmt;
use std::net::SocketAddr;

use crc::{CRC_32_ISO_HDLC, Crc};

/// RTP and RTCP share one component: all our answers have `a=rtcp-mux`.
const COMPONENT: u32 = 1;

/// The direction preference of a passive TCP candidate (RFC 6544 section 4.2): host, and server-reflexive.
const PASSIVE_PREFERENCE: [u32; 2] = [4, 2];

/// The transport protocol of a candidate. Our TCP candidates are always passive: browsers cannot listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP with RFC 4571 framing.
    Tcp,
}

/// The type of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateType {
    /// An address of this host, or one that leads to it as if it were.
    Host,
    /// The address that a STUN server saw for the local address `base`.
    Reflexive {
        /// Our address behind the NAT.
        base: SocketAddr,
    },
}

/// A candidate of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// UDP or TCP.
    pub protocol: Protocol,
    /// The address that a viewer sends to.
    pub address: SocketAddr,
    /// The type.
    pub kind: CandidateType,
    /// Its index among our candidates; the best is 0.
    pub index: u16,
    /// Whether it is worse than any other, whatever its type.
    pub last_resort: bool,
}

impl Candidate {
    /// Its priority (RFC 8445 section 5.1.2.1): the last resort after all others, UDP before TCP, host before
    /// server-reflexive, and within a type by index.
    pub fn priority(&self) -> u32 {
        // RFC 8445 section 5.1.2.2 has 126 and 100. UDP wins over TCP where both work (RFC 6544 section 4.2), so TCP is below any UDP.
        let kind = match (self.protocol, self.kind) {
            (Protocol::Udp, _) if self.last_resort => 2,
            (Protocol::Tcp, _) if self.last_resort => 1,
            (Protocol::Udp, CandidateType::Host) => 126,
            (Protocol::Udp, CandidateType::Reflexive { .. }) => 100,
            (Protocol::Tcp, CandidateType::Host) => 90,
            (Protocol::Tcp, CandidateType::Reflexive { .. }) => 80,
        };
        let index = u32::from(self.index);
        let local = match (self.protocol, self.kind) {
            (Protocol::Udp, _) => 0xffff - index,
            // The upper three of the 16 bits are the direction preference.
            (Protocol::Tcp, CandidateType::Host) => (PASSIVE_PREFERENCE[0] << 13) | 0x1fff_u32.saturating_sub(index),
            (Protocol::Tcp, CandidateType::Reflexive { .. }) => {
                (PASSIVE_PREFERENCE[1] << 13) | 0x1fff_u32.saturating_sub(index)
            }
        };
        (kind << 24) | (local << 8) | (256 - COMPONENT)
    }

    /// Equal for candidates that will work or fail together (RFC 8445 section 5.1.1.3): of the same type, protocol and
    /// base address. A checksum, so that it reveals nothing.
    fn foundation(&self) -> u32 {
        let (kind, base) = match self.kind {
            CandidateType::Host => ("host", self.address.ip()),
            CandidateType::Reflexive { base } => ("srflx", base.ip()),
        };
        Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(format!("{kind} {base} {:?}", self.protocol).as_bytes())
    }
}

impl fmt::Display for Candidate {
    /// The value of `a=candidate`, including `candidate:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        };
        let (foundation, priority) = (self.foundation(), self.priority());
        let (ip, port) = (self.address.ip(), self.address.port());
        write!(f, "candidate:{foundation} {COMPONENT} {protocol} {priority} {ip} {port} typ ")?;
        match self.kind {
            CandidateType::Host => write!(f, "host")?,
            CandidateType::Reflexive { base } => write!(f, "srflx raddr {} rport {}", base.ip(), base.port())?,
        }
        match self.protocol {
            Protocol::Udp => Ok(()),
            Protocol::Tcp => write!(f, " tcptype passive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::ice::candidate::unmarshal_candidate;

    use super::*;

    fn candidate(protocol: Protocol, address: &str, kind: CandidateType, index: u16) -> Candidate {
        let address = address.parse().expect("should be an address");
        Candidate { protocol, address, kind, index, last_resort: false }
    }

    fn behind_nat() -> CandidateType {
        CandidateType::Reflexive { base: "192.168.1.20:8189".parse().expect("should be an address") }
    }

    #[test]
    fn the_lines_are_as_the_rfcs_write_them() {
        let line = |protocol, address, kind| {
            let line = candidate(protocol, address, kind, 0).to_string();
            line.split_once(' ').expect("should have a foundation").1.to_owned()
        };
        assert_eq!(
            line(Protocol::Udp, "192.0.2.1:8189", CandidateType::Host),
            "1 udp 2130706431 192.0.2.1 8189 typ host"
        );
        assert_eq!(
            line(Protocol::Tcp, "[2001:db8::7]:8189", CandidateType::Host),
            "1 tcp 1520435199 2001:db8::7 8189 typ host tcptype passive"
        );
        assert_eq!(
            line(Protocol::Udp, "203.0.113.5:40000", behind_nat()),
            "1 udp 1694498815 203.0.113.5 40000 typ srflx raddr 192.168.1.20 rport 8189"
        );
    }

    #[test]
    fn udp_is_preferred_to_tcp_and_a_host_to_a_nat() {
        let order = [
            candidate(Protocol::Udp, "192.0.2.1:1", CandidateType::Host, 0),
            candidate(Protocol::Udp, "192.0.2.1:1", CandidateType::Host, u16::MAX),
            candidate(Protocol::Udp, "192.0.2.1:1", behind_nat(), 0),
            candidate(Protocol::Tcp, "192.0.2.1:1", CandidateType::Host, 0),
            candidate(Protocol::Tcp, "192.0.2.1:1", CandidateType::Host, 1),
            candidate(Protocol::Tcp, "192.0.2.1:1", behind_nat(), u16::MAX),
            Candidate { last_resort: true, ..candidate(Protocol::Udp, "127.0.0.1:1", CandidateType::Host, 0) },
            Candidate { last_resort: true, ..candidate(Protocol::Tcp, "127.0.0.1:1", CandidateType::Host, 0) },
        ];
        assert!(order.is_sorted_by(|better, worse| better.priority() > worse.priority()), "{order:#?}");
    }

    #[test]
    fn candidates_of_one_base_have_one_foundation() {
        let of = |protocol, address, kind| candidate(protocol, address, kind, 0).foundation();
        let host = of(Protocol::Udp, "192.0.2.1:1", CandidateType::Host);
        assert_eq!(host, of(Protocol::Udp, "192.0.2.1:2", CandidateType::Host));
        assert_ne!(host, of(Protocol::Tcp, "192.0.2.1:1", CandidateType::Host));
        assert_ne!(host, of(Protocol::Udp, "192.0.2.2:1", CandidateType::Host));
        assert_ne!(host, of(Protocol::Udp, "192.0.2.1:1", behind_nat()));
    }

    proptest! {
        /// The stack reads what we write, and reads the same.
        #[test]
        fn every_line_is_understood(ip: std::net::IpAddr, port: u16, base: SocketAddr, index: u16, flags: (bool, bool, bool)) {
            let (tcp, host, last_resort) = flags;
            let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
            let kind = if host { CandidateType::Host } else { CandidateType::Reflexive { base } };
            let ours = Candidate { protocol, address: SocketAddr::new(ip, port), kind, index, last_resort };
            let value = ours.to_string();
            let read = unmarshal_candidate(value.strip_prefix("candidate:").expect("should have its name"));
            let read = read.expect("should be understood");
            prop_assert_eq!(read.addr(), SocketAddr::new(ip, port));
            prop_assert_eq!(read.priority(), ours.priority());
            prop_assert_eq!(read.network_type().is_tcp(), tcp);
        }
    }
}
