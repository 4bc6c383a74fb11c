//! The sockets of all local addresses, which come and go with the addresses.
//!
//! Which addresses viewers are offered is decided in `ice`.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::demux::Demux;
use super::{tcp, udp};

/// Addresses that requests were received on and that are not listed, such as 127.0.0.1: each holds two sockets.
const MAX_REQUEST_ADDRESSES: usize = 16;

/// Attempts to find a free UDP port whose TCP port is free too.
const PORT_ATTEMPTS: usize = 16;

/// A bound address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalEndpoint {
    /// The address and port of the UDP socket.
    pub udp: SocketAddr,
    /// The TCP port of the same address.
    pub tcp: Option<u16>,
}

/// Settings that all sockets share.
pub struct SocketConfig {
    /// The port; 0 picks free ones.
    pub port: u16,
    /// Whether there is TCP.
    pub tcp: bool,
    /// Serves the sockets.
    pub runtime: Handle,
    pub demux: Arc<Demux>,
    pub connections: tcp::TcpConnections,
    /// Closes all sockets.
    pub stop: CancellationToken,
}

/// The sockets of all addresses.
#[derive(Default)]
pub struct SocketSet {
    /// The listed addresses.
    listed: Vec<IpAddr>,
    /// The addresses that requests were received on.
    requested: Vec<IpAddr>,
    bound: Vec<BoundAddress>,
    /// The addresses that could not be bound, which was logged.
    unbound: HashSet<IpAddr>,
}

struct BoundAddress {
    udp: Arc<udp::LocalUdpSocket>,
    tcp: Option<u16>,
    _close: DropGuard,
}

impl SocketSet {
    /// Opens sockets for new addresses and closes those of addresses no longer listed, except for those that requests
    /// were received on, as long as they can be bound.
    pub fn set_addresses(&mut self, addresses: Vec<IpAddr>, config: &SocketConfig) {
        let mut listed = Vec::new();
        for address in addresses.into_iter().map(|address| address.to_canonical()) {
            if is_usable(address) && !listed.contains(&address) {
                listed.push(address);
            }
        }
        self.listed = listed;
        let listed = &self.listed;
        self.requested.retain(|address| listed.contains(address) || UdpSocket::bind((*address, 0)).is_ok());
        self.bound.retain(|bound| {
            let ip = bound.udp.address().ip();
            listed.contains(&ip) || self.requested.contains(&ip)
        });
        self.unbound.retain(|address| listed.contains(address));
        self.bind_missing(config);
    }

    /// Binds an address that a request was received on; whether it is open now.
    pub fn bind_for_request(&mut self, address: IpAddr, config: &SocketConfig) -> bool {
        let address = address.to_canonical();
        if self.get(address).is_some() {
            return true;
        }
        let new = !self.requested.contains(&address);
        if !is_usable(address) || (new && self.requested.len() >= MAX_REQUEST_ADDRESSES) {
            return false;
        }
        match bind(address, config) {
            Ok(bound) => self.bound.push(bound),
            Err(error) => {
                tracing::debug!("bind {address}, which a request was received on: {error}");
                return false;
            }
        }
        if new {
            self.requested.push(address);
        }
        true
    }

    /// Binds listed addresses that are not open; whether all are open now.
    pub fn bind_missing(&mut self, config: &SocketConfig) -> bool {
        for address in self.listed.clone() {
            if self.get(address).is_none() {
                self.bind_listed(address, config);
            }
        }
        self.unbound.is_empty()
    }

    /// The open addresses.
    pub fn locals(&self) -> Vec<LocalEndpoint> {
        self.bound.iter().map(|bound| LocalEndpoint { udp: bound.udp.address(), tcp: bound.tcp }).collect()
    }

    /// The socket of an address.
    pub fn get(&self, address: IpAddr) -> Option<&Arc<udp::LocalUdpSocket>> {
        self.bound.iter().map(|bound| &bound.udp).find(|udp| udp.address().ip() == address)
    }

    /// Any socket with the same reach: loopback addresses reach this host only.
    pub fn any_like(&self, address: IpAddr) -> Option<&Arc<udp::LocalUdpSocket>> {
        let family = |ip: IpAddr| (ip.is_ipv6(), ip.is_loopback());
        self.bound.iter().map(|bound| &bound.udp).find(|udp| family(udp.address().ip()) == family(address))
    }

    fn bind_listed(&mut self, address: IpAddr, config: &SocketConfig) {
        match bind(address, config) {
            Ok(bound) => {
                if self.unbound.remove(&address) {
                    tracing::info!("bind {address}: succeeded now");
                }
                tracing::debug!("listening on {}", bound.udp.address());
                self.bound.push(bound);
            }
            Err(error) => {
                if self.unbound.insert(address) {
                    tracing::info!("bind {address}: {error}; retrying");
                }
            }
        }
    }
}

/// Whether a socket can be bound to it: a link-local IPv6 address is ambiguous without its interface.
fn is_usable(address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.is_unspecified() && !address.is_multicast() && !link_local
}

fn bind(address: IpAddr, config: &SocketConfig) -> io::Result<BoundAddress> {
    let _entered = config.runtime.enter();
    let attempts = if config.port == 0 { PORT_ATTEMPTS } else { 1 };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let closed = config.stop.child_token();
        let close = closed.clone().drop_guard();
        let udp = udp::LocalUdpSocket::open(address, config.port, closed.clone(), config.demux.clone())?;
        if !config.tcp {
            return Ok(BoundAddress { udp, tcp: None, _close: close });
        }
        match tcp::open(udp.address(), closed, config.demux.clone(), config.connections.clone()) {
            Ok(()) => return Ok(BoundAddress { tcp: Some(udp.address().port()), udp, _close: close }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < attempts => {}
            Err(error) => return Err(error),
        }
    }
}
