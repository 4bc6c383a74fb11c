//! Which local addresses a viewer is offered, and the candidate lines that say so.

#![allow(dead_code, reason = "the sessions take their candidates from it with the one port of all viewers")]

pub mod addresses;
mod answers;
pub mod candidate;
mod names;
pub mod remote;
pub mod turn;
mod watch;

use std::net::IpAddr;

use super::mux::Local;

/// More addresses than this cost sockets and connectivity checks, and no board has more useful ones.
const MOST: usize = 8;

/// Every address of this machine that another one can reach.
pub fn addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!("list network interfaces: {error}");
        Vec::new()
    });
    interfaces.into_iter().map(|interface| interface.ip()).filter(reachable).take(MOST).collect()
}

/// Loopback reaches nobody else, and a link-local IPv6 address means nothing without its interface, which a candidate
/// cannot name.
fn reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// The candidates of a viewer whose request came in on `via`, which it is known to reach: that address comes first. Other
/// machines' loopback is not offered.
pub fn candidates(locals: &[Local], via: IpAddr) -> Vec<String> {
    let via = via.to_canonical();
    let ip = |local: &&Local| local.udp.ip();
    let (first, rest): (Vec<_>, Vec<_>) = locals.iter().partition(|local| ip(local) == via);
    let offered = first.into_iter().chain(rest.into_iter().filter(|local| !ip(local).is_loopback()));
    let mut lines = Vec::new();
    for (preference, local) in (0..=u16::MAX).rev().zip(offered) {
        // RFC 8445 section 5.1.2.1; of TCP, RFC 6544 section 4.2, with the direction preference of passive.
        let priority = |kind: u32, preference: u32| (kind << 24) + (preference << 8) + 255;
        let (ip, port, foundation) = (local.udp.ip(), local.udp.port(), u16::MAX - preference + 1);
        let preference = u32::from(preference);
        lines.push(format!("{foundation} 1 udp {} {ip} {port} typ host", priority(126, preference)));
        if let Some(tcp) = local.tcp {
            let priority = priority(90, (4 << 13) + (preference & 0x1fff));
            lines.push(format!("{foundation}t 1 tcp {priority} {ip} {tcp} typ host tcptype passive"));
        }
    }
    lines
}

/// The answer with these candidates in its first section, which is the transport of all (RFC 9143), and no others.
pub fn with_candidates(sdp: &str, candidates: &[String]) -> String {
    let mut text = String::new();
    let mut sections = 0;
    let end = |text: &mut String, sections: usize| {
        if sections == 1 {
            candidates.iter().for_each(|candidate| text.push_str(&format!("a=candidate:{candidate}\r\n")));
            text.push_str("a=end-of-candidates\r\n");
        }
    };
    for line in sdp.lines().filter(|line| !line.starts_with("a=candidate:") && *line != "a=end-of-candidates") {
        if line.starts_with("m=") {
            end(&mut text, sections);
            sections += 1;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    end(&mut text, sections);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(ip: &str) -> Local {
        Local { udp: std::net::SocketAddr::new(ip.parse().expect("address"), 8189), tcp: Some(8189) }
    }

    #[test]
    fn the_address_of_the_request_comes_first_and_other_machines_are_not_offered_loopback() {
        let locals = [local("192.0.2.1"), local("127.0.0.1")];
        let lines = candidates(&locals, "::ffff:127.0.0.1".parse().expect("address"));
        assert_eq!(lines[0], "1 1 udp 2130706431 127.0.0.1 8189 typ host");
        assert_eq!(lines[1], "1t 1 tcp 1520435199 127.0.0.1 8189 typ host tcptype passive");
        assert_eq!(lines.len(), 4);
        let lines = candidates(&locals, "192.0.2.1".parse().expect("address"));
        assert!(lines.iter().all(|line| line.contains(" 192.0.2.1 ")), "{lines:?}");
    }

    #[test]
    fn only_our_candidates_are_in_the_answer() {
        let sdp = "v=0\r\nm=video 9 X 1\r\na=candidate:1 1 udp 1 127.0.0.1 5 typ host\r\na=end-of-candidates\r\n\
                   m=audio 9 X 1\r\na=mid:1\r\n";
        let answer = with_candidates(sdp, &["ours".into()]);
        let expected =
            "v=0\r\nm=video 9 X 1\r\na=candidate:ours\r\na=end-of-candidates\r\nm=audio 9 X 1\r\na=mid:1\r\n";
        assert_eq!(answer, expected);
    }
}
