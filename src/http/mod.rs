//! HTTP.

use std::net::{Ipv6Addr, SocketAddr};

/// Where the page and the signalling endpoint are served.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The address to listen on. `[::]` stands for every IPv4 and IPv6 address; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)) }
    }
}
