//! The local addresses that sockets are bound to, as they come and go.
//!
//! Which addresses viewers are offered is not decided here.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::demux::Demux;
use super::{tcp, udp};

/// Addresses that requests came in on and that are in no list, such as 127.0.0.1: each holds two sockets.
const MAX_REQUEST_ADDRESSES: usize = 16;

/// How often a free UDP port is tried whose TCP port may be taken.
const TRIES: usize = 16;

/// Where viewers are listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalEndpoint {
    /// The address and port of the UDP socket.
    pub udp: SocketAddr,
    /// The TCP port of the same address.
    pub tcp: Option<u16>,
}

/// What all sockets share.
pub struct SocketConfig {
    /// The port of all; 0 takes free ones.
    pub port: u16,
    /// Whether there is TCP.
    pub tcp: bool,
    pub table: Arc<Demux>,
    pub counts: Arc<tcp::Counts>,
    /// Closes all.
    pub stop: CancellationToken,
}

/// The sockets of all addresses.
#[derive(Default)]
pub struct SocketSet {
    /// Those that were listed.
    listed: Vec<IpAddr>,
    /// Those that requests came in on.
    came_in: Vec<IpAddr>,
    open: Vec<Open>,
    /// Those that could not be bound, which was logged.
    missing: HashSet<IpAddr>,
}

struct Open {
    udp: Arc<udp::LocalUdpSocket>,
    tcp: Option<u16>,
    _close: DropGuard,
}

impl SocketSet {
    /// Opens what is new in the list and closes what is no longer in it, but for addresses that requests came in on, as
    /// long as they can be used.
    pub fn list(&mut self, addresses: Vec<IpAddr>, setting: &SocketConfig) {
        let mut listed = Vec::new();
        for address in addresses.into_iter().map(|address| address.to_canonical()) {
            if is_usable(address) && !listed.contains(&address) {
                listed.push(address);
            }
        }
        self.listed = listed;
        let listed = &self.listed;
        self.came_in.retain(|address| listed.contains(address) || UdpSocket::bind((*address, 0)).is_ok());
        self.open.retain(|open| {
            let ip = open.udp.address().ip();
            listed.contains(&ip) || self.came_in.contains(&ip)
        });
        self.missing.retain(|address| listed.contains(address));
        self.open_missing(setting);
    }

    /// Opens an address that a request came in on; whether it is open now.
    pub fn came_in(&mut self, address: IpAddr, setting: &SocketConfig) -> bool {
        let address = address.to_canonical();
        if self.at(address).is_some() {
            return true;
        }
        let new = !self.came_in.contains(&address);
        if !is_usable(address) || (new && self.came_in.len() >= MAX_REQUEST_ADDRESSES) {
            return false;
        }
        match open(address, setting) {
            Ok(open) => self.open.push(open),
            Err(error) => {
                tracing::debug!("{address}, which a request came in on, cannot be used: {error}");
                return false;
            }
        }
        if new {
            self.came_in.push(address);
        }
        true
    }

    /// Opens what could not be opened yet; whether nothing is missing now.
    pub fn open_missing(&mut self, setting: &SocketConfig) -> bool {
        for address in self.listed.clone() {
            if self.at(address).is_none() {
                self.open_listed(address, setting);
            }
        }
        self.missing.is_empty()
    }

    /// What is open.
    pub fn locals(&self) -> Vec<LocalEndpoint> {
        self.open.iter().map(|open| LocalEndpoint { udp: open.udp.address(), tcp: open.tcp }).collect()
    }

    /// The socket of an address.
    pub fn at(&self, address: IpAddr) -> Option<&Arc<udp::LocalUdpSocket>> {
        self.open.iter().map(|open| &open.udp).find(|udp| udp.address().ip() == address)
    }

    /// Any socket that reaches where the routes of `address` lead: loopback leads to this machine only.
    pub fn like(&self, address: IpAddr) -> Option<&Arc<udp::LocalUdpSocket>> {
        let kind = |ip: IpAddr| (ip.is_ipv6(), ip.is_loopback());
        self.open.iter().map(|open| &open.udp).find(|udp| kind(udp.address().ip()) == kind(address))
    }

    fn open_listed(&mut self, address: IpAddr, setting: &SocketConfig) {
        match open(address, setting) {
            Ok(open) => {
                if self.missing.remove(&address) {
                    tracing::info!("{address} can be used now");
                }
                tracing::debug!("viewers are listened to on {}", open.udp.address());
                self.open.push(open);
            }
            Err(error) => {
                if self.missing.insert(address) {
                    tracing::info!("{address} cannot be used yet: {error}; it is tried again");
                }
            }
        }
    }
}

/// Whether a socket can be bound to it: a link-local IPv6 address means nothing without its interface.
fn is_usable(address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.is_unspecified() && !address.is_multicast() && !link_local
}

fn open(address: IpAddr, setting: &SocketConfig) -> io::Result<Open> {
    let tries = if setting.port == 0 { TRIES } else { 1 };
    let mut tried = 0;
    loop {
        tried += 1;
        let closed = setting.stop.child_token();
        let close = closed.clone().drop_guard();
        let udp = udp::LocalUdpSocket::open(address, setting.port, closed.clone(), setting.table.clone())?;
        if !setting.tcp {
            return Ok(Open { udp, tcp: None, _close: close });
        }
        match tcp::open(udp.address(), closed, setting.table.clone(), setting.counts.clone()) {
            Ok(()) => return Ok(Open { tcp: Some(udp.address().port()), udp, _close: close }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < tries => {}
            Err(error) => return Err(error),
        }
    }
}
