//! Opens listening sockets, and says what to do where that fails.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Opens a listener. `another` says how to choose another port, for the message.
///
/// # Errors
///
/// When the address is in use or not one of this device; the message says what to do.
pub async fn bind(listen: SocketAddr, another: &str) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(listen).await {
        Err(error) if lacks_ipv6(listen, &error) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, listen.port())).await,
        bound => bound,
    };
    bound.map_err(|error| bind_error(listen, another, &error))
}

/// Checks that a listener could be opened, except that its port may be in use: porthole itself may be running.
///
/// # Errors
///
/// When the address is not one of this device, or its port is reserved; the message says what to do.
pub fn check(listen: SocketAddr, another: &str) -> anyhow::Result<()> {
    match std::net::TcpListener::bind(listen) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse || lacks_ipv6(listen, &error) => Ok(()),
        bound => bound.map(drop).map_err(|error| bind_error(listen, another, &error)),
    }
}

/// Whether the kernel has no IPv6 and so cannot bind `[::]`; every address is then every IPv4 address.
fn lacks_ipv6(listen: SocketAddr, error: &io::Error) -> bool {
    listen.ip().is_unspecified() && error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn bind_error(listen: SocketAddr, another: &str, error: &io::Error) -> anyhow::Error {
    let port = listen.port();
    let next = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use; stop the other program (ss -ltnp 'sport = :{port}') or {another}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{} is not an address of this device; see `ip address`", listen.ip())
        }
        io::ErrorKind::PermissionDenied => format!("port {port} is reserved for root; choose one above 1023"),
        _ => error.to_string(),
    };
    anyhow::anyhow!("listen on {listen}: {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_the_way_out() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "x").await.expect("a free port");
        let address = first.local_addr().expect("an address");
        let error = bind(address, "choose another with --listen").await.expect_err("in use").to_string();
        let port = address.port();
        let expected = format!("port {port} is in use; stop the other program (ss -ltnp 'sport = :{port}') or choose");
        assert!(error.contains(&expected) && error.ends_with("another with --listen"), "{error}");
        assert!(check(address, "x").is_ok());
        let elsewhere = check(SocketAddr::from(([192, 0, 2, 1], 1)), "x").expect_err("not ours").to_string();
        assert!(elsewhere.ends_with("192.0.2.1 is not an address of this device; see `ip address`"), "{elsewhere}");
    }
}
