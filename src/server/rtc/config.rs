//! What holds for all viewers: how many there may be, which addresses and servers they are offered, and how long their
//! browsers hold pictures back.

use std::fmt;

use ipnet::IpNet;

/// Interfaces that lead to containers and virtual machines on this one, not to the network where the viewers are.
pub const VIRTUAL_INTERFACES: [&str; 9] =
    ["docker*", "br-*", "veth*", "virbr*", "lxc*", "lxd*", "cni*", "podman*", "flannel*"];

/// What holds for all viewers.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Viewers at once; the next one is refused.
    pub max_viewers: usize,
    /// The least and the most time that a browser shall hold pictures back before it shows them, in milliseconds, in
    /// steps of 10 (`playout-delay` header extension).
    pub playout_delay: (u16, u16),
    /// The one UDP port of all viewers, on every address that they are offered; 0 takes free ones.
    pub udp_port: u16,
    /// Whether viewers whose network blocks UDP may use TCP on the same port number.
    pub tcp: bool,
    /// Patterns of the interfaces that viewers are offered addresses of, with `*` for any letters; empty stands for all.
    pub interfaces: Vec<String>,
    /// Patterns of the interfaces that they are not offered addresses of.
    pub exclude_interfaces: Vec<String>,
    /// Networks that offered addresses are in; empty stands for all.
    pub networks: Vec<IpNet>,
    /// More addresses under which this machine is reached from outside.
    pub advertise: Vec<Advertised>,
    /// STUN and TURN servers, for this machine and for its viewers.
    pub ice_servers: Vec<IceServer>,
}

/// An address at which a router or a name leads to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// An IP address or a host name.
    pub host: String,
    /// The port that is forwarded, where it is another than ours.
    pub port: Option<u16>,
}

/// A STUN or TURN server, or several under the same credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` and `turns:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// The user name of TURN.
    pub username: Option<String>,
    /// The password of that user.
    pub credential: Option<String>,
    /// The secret shared with the TURN server, of which each viewer's own credentials are made (TURN REST API).
    pub secret: Option<String>,
}

impl fmt::Debug for IceServer {
    /// Without the secrets: what is printed may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).field("username", &self.username).finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_viewers: 20,
            playout_delay: (0, 0),
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
