//! The names and addresses of this device.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// This device's own names in lower case, the host name first: with and without the mDNS domain, and `localhost`.
pub fn local_hostnames() -> Vec<String> {
    let mut names = Vec::new();
    // A device without a host name is reached by its address.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_ascii_lowercase();
    if !host.is_empty() && host != "localhost" && host != "(none)" {
        let short = host.split('.').next().unwrap_or(&host).to_owned();
        let local = format!("{short}.local");
        names.extend([host, short, local]);
    }
    names.push("localhost".into());
    names.dedup();
    names
}

/// The current addresses of this device.
pub fn addresses() -> Vec<IpAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!("read this device's addresses: {error}");
        Vec::new()
    });
    let mut addresses: Vec<IpAddr> = found.iter().map(|interface| interface.ip()).collect();
    addresses.extend([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    #[test]
    fn local_hostnames_include_localhost() {
        assert!(super::local_hostnames().contains(&"localhost".to_owned()));
        assert!(super::local_hostnames().iter().all(|name| *name == name.to_ascii_lowercase()));
        let addresses = super::addresses();
        assert!(addresses.contains(&"127.0.0.1".parse().unwrap()) && addresses.contains(&"::1".parse().unwrap()));
    }
}
