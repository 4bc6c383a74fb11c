//! The two UDP sockets of a track that is sent by UDP: for its packets, and for the reports on them.
//!
//! They are connected to the address of the client's TCP connection, so that nothing is sent to anybody else, and nothing of
//! anybody else is received.

use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};

use tokio::net::UdpSocket;

/// How often two free ports that follow each other are looked for.
const ATTEMPTS: usize = 64;

/// The sockets of a track.
#[derive(Debug)]
pub struct UdpPair {
    /// For packets.
    pub rtp: UdpSocket,
    /// For reports.
    pub rtcp: UdpSocket,
    /// Our ports.
    pub ports: (u16, u16),
}

impl UdpPair {
    /// Opens sockets at the address `local`, which send to these ports of `client`; the ports in the addresses are ignored.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or there are no free ports.
    pub fn open(local: SocketAddr, client: SocketAddr, client_ports: (u16, u16)) -> io::Result<Self> {
        let (rtp, rtcp, ports) = bind(local)?;
        let connected = |socket: StdSocket, port| {
            socket.connect(with_port(client, port))?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        Ok(Self { rtp: connected(rtp, client_ports.0)?, rtcp: connected(rtcp, client_ports.1)?, ports })
    }
}

/// Two sockets whose ports follow each other, the first of which is even (RFC 3550 section 11).
fn bind(local: SocketAddr) -> io::Result<(StdSocket, StdSocket, (u16, u16))> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let one = StdSocket::bind(with_port(local, 0))?;
        let port = one.local_addr()?.port();
        match StdSocket::bind(with_port(local, port ^ 1)) {
            Ok(other) if port % 2 == 0 => return Ok((one, other, (port, port + 1))),
            Ok(other) => return Ok((other, one, (port - 1, port))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_are_a_pair_and_only_the_clients() {
        let here: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let client = StdSocket::bind("127.0.0.1:0").expect("bind");
        let port = client.local_addr().expect("an address").port();
        let pair = UdpPair::open(here, here, (port, port)).expect("open");
        let (rtp, rtcp) = pair.ports;
        assert_eq!((rtp % 2, rtcp), (0, rtp + 1));
        pair.rtp.send(b"abc").await.expect("sent");
        let mut buffer = [0; 8];
        let (length, from) = client.recv_from(&mut buffer).expect("received");
        assert_eq!((&buffer[..length], from), (&b"abc"[..], with_port(here, rtp)));
        let stranger = StdSocket::bind("127.0.0.1:0").expect("bind");
        stranger.send_to(b"no", with_port(here, rtcp)).expect("sent");
        client.send_to(b"yes", with_port(here, rtcp)).expect("sent");
        let length = pair.rtcp.recv(&mut buffer).await.expect("received");
        assert_eq!(&buffer[..length], b"yes");
    }
}
