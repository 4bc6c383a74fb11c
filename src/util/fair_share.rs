//! How places are shared out when there are too few for all: by address, so that nobody can lock others out by taking
//! every one. Pure. How requests are shared out over time is in `address_rate`.
//!
//! Every IPv6 host has a network of addresses to choose from, and a whole LAN shares one network. So addresses are
//! compared first, and a network counts too, with a far larger share than a single address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// How many places each address and each network holds.
#[derive(Debug)]
pub struct Shares {
    addresses: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
    /// How many places of a network count as one of an address.
    network_share: usize,
}

impl Shares {
    /// The shares of `holders`, one for each place that is taken.
    pub fn of(holders: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut addresses, mut networks) = (HashMap::<IpAddr, usize>::new(), HashMap::<IpAddr, usize>::new());
        for holder in holders {
            *addresses.entry(holder.to_canonical()).or_default() += 1;
            *networks.entry(network(holder)).or_default() += 1;
        }
        // With the square root, a network that holds every place counts as the same number of places as it counts
        // addresses: it is large compared to an address, and still not small enough to keep all of them.
        let network_share = addresses.values().sum::<usize>().isqrt().max(1);
        Self { addresses, networks, network_share }
    }

    /// The share of an address: what it holds itself, or its part of what its network holds, if that is more.
    pub fn share(&self, address: IpAddr) -> usize {
        let network = self.networks.get(&network(address)).copied().unwrap_or(0);
        self.own(address).max(network / self.network_share)
    }

    /// How many places an address holds itself.
    pub fn own(&self, address: IpAddr) -> usize {
        self.addresses.get(&address.to_canonical()).copied().unwrap_or(0)
    }
}

/// The address among `holders`, in order of arrival, that gives a place to `newcomer` when none is free; `None` if none
/// holds more than the newcomer would.
pub fn gives_way(holders: &[IpAddr], newcomer: IpAddr) -> Option<IpAddr> {
    let shares = Shares::of(holders.iter().copied());
    let mut most = None;
    for holder in holders {
        // Within a network only addresses count.
        let neighbours = network(*holder) == network(newcomer);
        let counted = |address| if neighbours { shares.own(address) } else { shares.share(address) };
        let held = (counted(*holder), shares.own(*holder));
        // With one less, the place would only change hands and back again.
        if held.0 > counted(newcomer) + 1 && most.is_none_or(|(most, _)| held > most) {
            most = Some((held, *holder));
        }
    }
    most.map(|(_, holder)| holder)
}

/// The /64 network of an IPv6 address; an IPv4 address itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("should be an address")
    }

    fn way(holders: &[(&str, usize)], newcomer: &str) -> Option<IpAddr> {
        let holders = holders.iter().flat_map(|(holder, places)| std::iter::repeat_n(ip(holder), *places));
        gives_way(&holders.collect::<Vec<_>>(), ip(newcomer))
    }

    /// So many addresses of one IPv6 network.
    fn neighbours(count: u128) -> Vec<IpAddr> {
        (0..count).map(|host| Ipv6Addr::from_bits(0x2001_0db8 << 96 | host).into()).collect()
    }

    #[test]
    fn the_address_with_the_most_gives_way() {
        let holders = [("192.0.2.1", 2), ("192.0.2.2", 3), ("192.0.2.3", 3)];
        assert_eq!(way(&holders, "192.0.2.4"), Some(ip("192.0.2.2")), "the first of those that hold as many");
        assert_eq!(way(&holders, "192.0.2.1"), None, "it would only reverse the imbalance");
        assert_eq!(way(&holders, "::ffff:192.0.2.3"), None);
    }

    #[test]
    fn a_neighbour_in_an_ipv6_network_gives_way() {
        assert_eq!(way(&[("2001:db8::1", 256)], "2001:db8::2"), Some(ip("2001:db8::1")));
        assert_eq!(way(&[("2001:db8::1", 100), ("2001:db8::2", 20)], "2001:db8::3"), Some(ip("2001:db8::1")));
        assert_eq!(way(&[("2001:db8::1", 1), ("2001:db8::2", 255)], "192.0.2.1"), Some(ip("2001:db8::2")));
    }

    #[test]
    fn a_busy_lan_has_a_far_larger_share_than_one_address() {
        let mut holders = neighbours(200);
        holders.extend([ip("192.0.2.1"); 56]);
        assert_eq!(gives_way(&holders, ip("2001:db8::ffff")), Some(ip("192.0.2.1")));
        assert_eq!(gives_way(&holders, ip("192.0.2.1")), None);
    }

    #[test]
    fn many_addresses_of_one_network_do_not_lock_out_others() {
        for places in [16, 64, 256] {
            let mut holders = neighbours(places);
            // Each newcomer takes the place of whoever gives way.
            for newcomer in 0..places as u8 / 2 {
                let newcomer = [192, 0, 2, newcomer].into();
                let Some(evicted) = gives_way(&holders, newcomer) else {
                    panic!("{places} places, {newcomer}");
                };
                assert!(evicted.is_ipv6());
                let at = holders.iter().position(|holder| *holder == evicted).expect("a holder");
                holders.remove(at);
                holders.push(newcomer);
            }
            assert_eq!(gives_way(&holders, ip("2001:db8::ffff")), None, "nor take a place of theirs back");
        }
    }
}
