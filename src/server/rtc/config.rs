//! Settings for all sessions: how many there may be, which addresses and servers viewers are offered, and how long
//! browsers buffer.

use std::fmt;

use ipnet::IpNet;

use crate::server::sessions::PlayoutDelay;

/// Interfaces to containers and virtual machines on this host, not to the network where the viewers are.
pub const VIRTUAL_INTERFACES: [&str; 9] =
    ["docker*", "br-*", "veth*", "virbr*", "lxc*", "lxd*", "cni*", "podman*", "flannel*"];

/// Settings for all sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sessions at once; the next one is refused.
    pub max_viewers: usize,
    /// How long a browser shall buffer before playout, in steps of 10 ms (`playout-delay` header extension).
    pub playout_delay: PlayoutDelay,
    /// The one UDP port for all viewers, on every address that they are offered; 0 picks free ones.
    pub udp_port: u16,
    /// Whether viewers whose network blocks UDP may use TCP on the same port number.
    pub tcp: bool,
    /// Patterns of the interfaces whose addresses viewers are offered, with `*` as a wildcard; empty means all.
    pub interfaces: Vec<String>,
    /// Patterns of the interfaces whose addresses they are not offered.
    pub exclude_interfaces: Vec<String>,
    /// Networks that offered addresses must be in; empty means all.
    pub networks: Vec<IpNet>,
    /// More addresses at which this host is reached from outside.
    pub advertise: Vec<Advertised>,
    /// STUN and TURN servers, for this host and for its viewers.
    pub ice_servers: Vec<IceServer>,
}

/// An address at which a router forwards to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// An IP address or a host name.
    pub host: String,
    /// The forwarded port, if it differs from ours.
    pub port: Option<u16>,
}

/// A STUN or TURN server, or several with the same credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The user name of TURN.
    pub username: Option<String>,
    /// The password of that user.
    pub credential: Option<String>,
    /// The secret shared with the TURN server, from which each viewer's credentials are derived (TURN REST API).
    pub secret: Option<String>,
}

impl fmt::Debug for IceServer {
    /// Without the secrets, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).field("username", &self.username).finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_viewers: 20,
            playout_delay: PlayoutDelay::default(),
            udp_port: 8189,
            tcp: true,
            interfaces: Vec::new(),
            exclude_interfaces: VIRTUAL_INTERFACES.map(String::from).into(),
            networks: Vec::new(),
            advertise: Vec::new(),
            ice_servers: Vec::new(),
        }
    }
}
