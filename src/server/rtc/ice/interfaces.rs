//! The addresses of this host that viewers are offered: pure functions of its interfaces and the configuration.
//!
//! Changes are reported by `ice::netlink`.

use std::io;
use std::net::IpAddr;

use crate::server::rtc::config::{Config, VIRTUAL_INTERFACES};

/// Addresses that are offered at most: each costs a viewer connectivity checks, of which a browser makes 100 (RFC 8445
/// section 6.1.2.5). A board on Ethernet and Wi-Fi has about ten, most of them temporary IPv6 addresses.
const MAX_ADDRESSES: usize = 16;

/// Whether an interface leads to containers or virtual machines on this host.
pub fn is_virtual(interface: &str) -> bool {
    VIRTUAL_INTERFACES.iter().any(|pattern| glob_matches(pattern, interface))
}

/// An address with its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name, such as `eth0`.
    pub name: String,
    /// One of its addresses.
    pub address: IpAddr,
    /// Whether it is up and has a carrier.
    pub up: bool,
}

/// The interfaces of this host, one entry for each address.
///
/// # Errors
///
/// If the kernel does not list them.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let interfaces = if_addrs::get_if_addrs()?.into_iter();
    Ok(interfaces
        .map(|interface| Interface { up: interface.is_oper_up(), address: interface.ip(), name: interface.name })
        .collect())
}

/// The addresses to offer to viewers, the most useful first.
pub fn offered_addresses(interfaces: &[Interface], config: &Config) -> Vec<IpAddr> {
    let named = |patterns: &[String], name: &str| patterns.iter().any(|pattern| glob_matches(pattern, name));
    let mut found: Vec<IpAddr> = Vec::new();
    for Interface { name, address, up } in interfaces {
        let selected = (config.interfaces.is_empty() || named(&config.interfaces, name))
            && !named(&config.exclude_interfaces, name)
            && (config.networks.is_empty() || config.networks.iter().any(|network| network.contains(address)));
        if *up && selected && is_reachable(*address) && !found.contains(address) {
            found.push(*address);
        }
    }
    // A self-assigned address works only on a direct cable (RFC 3927).
    found.sort_by_key(|address| matches!(address, IpAddr::V4(v4) if v4.is_link_local()));
    found.truncate(MAX_ADDRESSES);
    found
}

/// Loopback reaches nobody else, and a link-local IPv6 address is ambiguous without its interface, which a candidate
/// cannot name.
fn is_reachable(address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.is_loopback() && !address.is_unspecified() && !address.is_multicast() && !link_local
}

/// Whether a name matches a pattern, in which `*` stands for any characters or none.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The earliest match of each part leaves the most for those after it.
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typical_host() -> Vec<Interface> {
        let interface = |name: &str, address: &str, up| Interface {
            name: name.into(),
            address: address.parse().expect("should be an address"),
            up,
        };
        vec![
            interface("lo", "127.0.0.1", true),
            interface("lo", "::1", true),
            interface("usb0", "169.254.7.7", true),
            interface("eth0", "192.168.1.20", true),
            interface("eth0", "2001:db8::20", true),
            interface("eth0", "fe80::1", true),
            interface("eth1", "192.168.2.20", false),
            interface("wlan0", "10.0.0.5", true),
            interface("docker0", "172.17.0.1", true),
            interface("br-3f2a", "172.18.0.1", true),
        ]
    }

    fn offered(config: &Config) -> Vec<String> {
        offered_addresses(&typical_host(), config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_address_that_another_machine_may_reach_is_offered() {
        assert_eq!(offered(&Config::default()), ["192.168.1.20", "2001:db8::20", "10.0.0.5", "169.254.7.7"]);
    }

    #[test]
    fn filters_by_name_and_network() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let only = Config { interfaces: names(&["wlan*", "docker0"]), ..Config::default() };
        assert_eq!(offered(&only), ["10.0.0.5"], "what is excluded stays out");
        let all = Config { exclude_interfaces: Vec::new(), ..only };
        assert_eq!(offered(&all), ["10.0.0.5", "172.17.0.1"]);
        let without = Config { exclude_interfaces: names(&["*"]), ..Config::default() };
        assert_eq!(offered(&without), [""; 0]);
        let networks = ["192.168.0.0/16", "2001:db8::/32"].map(|text| text.parse().expect("should be a network"));
        assert_eq!(
            offered(&Config { networks: networks.into(), ..Config::default() }),
            ["192.168.1.20", "2001:db8::20"]
        );
    }

    #[test]
    fn offered_addresses_are_limited() {
        let many: Vec<Interface> = (0..=255)
            .map(|last| Interface { name: "eth0".into(), address: [10, 0, 0, last].into(), up: true })
            .collect();
        assert_eq!(offered_addresses(&many, &Config::default()).len(), MAX_ADDRESSES);
    }

    #[test]
    fn the_machines_own_loopback_is_among_its_interfaces() {
        let interfaces = interfaces().expect("should be listed");
        assert!(interfaces.iter().any(|interface| interface.address.is_loopback()), "{interfaces:?}");
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name) in [
            ("eth0", "eth0"),
            ("*", "eth0"),
            ("*", ""),
            ("e*0", "eth0"),
            ("eth*", "eth"),
            ("*t*0*", "eth0"),
            ("e**0", "eth0"),
        ] {
            assert!(glob_matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("eth", "eth0"), ("eth*", "wlan0"), ("*1", "eth0"), ("ab*ba", "aba"), ("", "eth0")] {
            assert!(!glob_matches(pattern, name), "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_was_made_from(parts in prop::collection::vec("[a-zä0-9-]{0,4}", 1..5), fill in "[a-zß0-9]{0,4}") {
            prop_assert!(glob_matches(&parts.join("*"), &parts.join(&fill)));
        }

        #[test]
        fn no_pattern_panics(pattern in "\\PC*", name in "\\PC*") {
            glob_matches(&pattern, &name);
        }
    }
}
