//! Reports when interfaces or addresses of this host were added, removed or changed, by kernel messages (netlink,
//! `NETLINK_ROUTE`).
//!
//! What changed does not belong here: the caller reads all addresses anew.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::net::UnixDatagram;
use tokio_util::sync::CancellationToken;

/// The multicast group of messages on interfaces (`RTMGRP_LINK` of `linux/rtnetlink.h`).
const LINKS: u32 = 0x1;

/// That of IPv4 addresses (`RTMGRP_IPV4_IFADDR`).
const IPV4_ADDRESSES: u32 = 0x10;

/// That of IPv6 addresses (`RTMGRP_IPV6_IFADDR`).
const IPV6_ADDRESSES: u32 = 0x100;

/// How long messages are gathered for one report: an interface that comes up sends about ten of them, and nobody
/// notices this delay.
const BURST: Duration = Duration::from_millis(100);

/// The interval of polling where the messages are not available: a viewer's browser takes as long to notice that
/// packets stopped.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Messages read without a pause at most: more than any change sends, and a bound for a flood.
const DRAIN_LIMIT: usize = 1024;

/// Calls `changed` soon after each change or burst of changes, until `end`. Where this process may not receive the
/// messages (some containers), that is logged once and `changed` is called every few seconds.
pub async fn watch(end: CancellationToken, changed: impl Fn() + Send) {
    let notified = async {
        match open(LINKS | IPV4_ADDRESSES | IPV6_ADDRESSES) {
            Ok(messages) => notify_changes(&messages, &changed).await,
            Err(error) => error,
        }
    };
    let watching = async {
        let error = notified.await;
        tracing::warn!("watch for changed network addresses: {error}; polling every {POLL_INTERVAL:?} instead");
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            poll.tick().await;
            changed();
        }
    };
    tokio::select! {
        biased;
        () = end.cancelled() => {}
        never = watching => never,
    }
}

/// A socket that is subscribed to these multicast groups. Tokio has no netlink sockets, but reads them like any
/// datagram socket.
fn open(groups: u32) -> io::Result<UnixDatagram> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // The routing protocol has number 0, the default.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    UnixDatagram::from_std(socket.into())
}

/// Combines messages into calls of `changed`, until reading fails.
async fn notify_changes(messages: &UnixDatagram, changed: &(impl Fn() + Send)) -> io::Error {
    loop {
        let round = async {
            messages.readable().await?;
            if drain(messages)? {
                tokio::time::sleep(BURST).await;
                // What arrived meanwhile is part of the burst.
                drain(messages)?;
                changed();
            }
            Ok(())
        };
        if let Err(error) = round.await {
            return error;
        }
    }
}

/// Reads and discards all queued messages; whether there were any.
fn drain(messages: &UnixDatagram) -> io::Result<bool> {
    let mut any = false;
    for _ in 0..DRAIN_LIMIT {
        // The kernel truncates what is longer than the buffer.
        match messages.try_recv(&mut [0; 16]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The socket buffer overflowed: there were changes too.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => any = true,
            Err(error) => return Err(error),
            Ok(_) => any = true,
        }
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::sync::Notify;

    use super::*;

    /// Longer than anything that works takes, on a machine that is busy with other tests.
    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn the_kernel_reports_changes() {
        // The other test, in a network that is its own: what it changes there is nobody's.
        let program = std::env::current_exe().expect("should know itself");
        let test =
            concat!(module_path!(), "::in_a_network_of_its_own").split_once("::").expect("should be in a crate").1;
        let mut command = Command::new("unshare");
        // Root needs no user namespace, and may be in a place where there are none.
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--net", "--"]).arg(program).args(["--exact", test, "--ignored"]);
        let output = command.output().expect("should run unshare of util-linux");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && stdout.contains("1 passed"),
            "{stdout}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[tokio::test]
    #[ignore = "it changes the network; the_kernel_reports_changes runs it where that does no harm"]
    async fn in_a_network_of_its_own() {
        for (groups, change) in [
            (LINKS, "link set lo up"),
            (IPV4_ADDRESSES, "address add 192.0.2.1/32 dev lo"),
            (IPV6_ADDRESSES, "address add 2001:db8::1/128 dev lo"),
            (IPV4_ADDRESSES, "address delete 192.0.2.1/32 dev lo"),
            (LINKS, "link set lo down"),
        ] {
            let messages = open(groups).expect("should open the messages");
            let changed = Notify::new();
            let status = Command::new("ip").args(change.split(' ')).status().expect("should run ip of iproute2");
            assert!(status.success(), "ip {change}: {status}");
            let notify = || changed.notify_one();
            tokio::select! {
                error = notify_changes(&messages, &notify) => panic!("ip {change}: {error}"),
                notified = tokio::time::timeout(LIMIT, changed.notified()) => assert!(notified.is_ok(), "ip {change}: not notified"),
            }
        }
    }
}
