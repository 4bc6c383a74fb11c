//! Which local addresses a viewer is offered.

#[allow(dead_code, reason = "the sessions take their candidates from it with the one port of all viewers")]
pub mod candidate;

use std::net::{IpAddr, SocketAddr};

/// More host candidates than this cost sockets and connectivity checks, and no board has more useful addresses.
const MOST: usize = 8;

/// The addresses to bind for a viewer whose request came in on `via`: every address of this machine that another one
/// can reach, and `via` itself, which the viewer is known to reach.
pub fn addresses(via: IpAddr) -> Vec<SocketAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!("list network interfaces: {error}; offering {via} alone");
        Vec::new()
    });
    let mut addresses = vec![via];
    addresses.extend(interfaces.into_iter().map(|interface| interface.ip()).filter(reachable));
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        let address = SocketAddr::new(address.to_canonical(), 0);
        if !address.ip().is_unspecified() && !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique.truncate(MOST);
    unique
}

/// Loopback reaches nobody else, and a link-local IPv6 address means nothing without its interface, which a candidate
/// cannot name.
fn reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_request_comes_first_and_in_its_ipv4_form() {
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().expect("address");
        assert_eq!(addresses(mapped)[0].to_string(), "127.0.0.1:0");
    }

    #[test]
    fn other_machines_are_not_offered_loopback() {
        assert!(addresses("192.0.2.1".parse().expect("address")).iter().all(|address| !address.ip().is_loopback()));
    }
}
