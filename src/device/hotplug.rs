//! Hot-plug: notifies when a device is plugged in that may be a camera or a microphone. It listens to the kernel's
//! uevents (netlink, `NETLINK_KOBJECT_UEVENT`) and to udev's, which repeats each event once it has set the node's
//! permissions.
//!
//! Which device it is does not belong here: whoever waits for one scans for it, and also does so periodically without
//! any event, because some hosts do not let us receive them.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};

use crate::util::thread::MediaThread;

/// The multicast group of the kernel's uevents.
const KERNEL: u32 = 1;

/// The multicast group on which udev forwards events after its rules have run (systemd's `libudev-monitor`).
const UDEV: u32 = 2;

/// How long messages are coalesced into one wake-up: a camera sends about ten of them, and this delay is not
/// noticeable.
const BURST: Duration = Duration::from_millis(50);

/// The maximum message size: the kernel's limit is 2 KiB (`UEVENT_BUFFER_SIZE`), and udev adds properties of its own.
const MESSAGE_LIMIT: usize = 16 * 1024;

/// The maximum number of messages that are read in a row: more than a fully populated hub sends, and a bound for a
/// flood.
const DRAIN_LIMIT: usize = 1024;

/// Stops listening when dropped.
#[derive(Debug)]
pub struct Guard {
    /// The thread ends, and is joined, when the other end of its pipe is closed.
    _stop: PipeWriter,
    _thread: MediaThread,
}

/// Calls `wake` soon after a device, or a burst of devices, was plugged in. If the host does not let this program
/// receive uevents (some containers), that is logged once, there is no guard, and `wake` is never called.
pub fn start(wake: impl Fn() + Send + 'static) -> Option<Guard> {
    open(KERNEL | UDEV)
        .context("open the kernel's hot-plug messages")
        .and_then(|messages| listen_on(messages, wake).context("listen to the kernel's hot-plug messages"))
        .inspect_err(|error| {
            tracing::warn!(
                "{error:#}; a camera or microphone that is plugged in is found by scanning every few seconds"
            );
        })
        .ok()
}

fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

fn listen_on(messages: OwnedFd, wake: impl Fn() + Send + 'static) -> io::Result<Guard> {
    let (stop, _stop) = io::pipe()?;
    let _thread = MediaThread::spawn("hotplug".into(), move || {
        if let Err(error) = listen(&messages, &stop, wake) {
            tracing::warn!("read the kernel's hot-plug messages: {error}; from now on devices are scanned for instead");
        }
    })?;
    Ok(Guard { _stop, _thread })
}

/// Coalesces messages into wake-ups, until the other end of `stop` is closed.
fn listen(messages: &OwnedFd, stop: &PipeReader, wake: impl Fn()) -> io::Result<()> {
    while !is_closed(stop, Some(messages), None)? {
        if drain(messages)? {
            if is_closed(stop, None, Some(BURST))? {
                break;
            }
            // Messages that arrived meanwhile belong to the same burst.
            drain(messages)?;
            wake();
        }
    }
    Ok(())
}

/// Reads the pending messages; returns whether any of them is relevant.
fn drain(messages: &OwnedFd) -> io::Result<bool> {
    let mut plugged = false;
    for _ in 0..DRAIN_LIMIT {
        match receive(messages)? {
            Some(is_relevant) => plugged |= is_relevant,
            None => break,
        }
    }
    Ok(plugged)
}

/// Waits for the stop signal (`true`), or for a message or the timeout.
fn is_closed(stop: &PipeReader, messages: Option<&OwnedFd>, limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.map(|limit| Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() });
    let mut waits = vec![PollFd::new(stop, PollFlags::IN)];
    waits.extend(messages.map(|messages| PollFd::new(messages, PollFlags::IN)));
    match poll(&mut waits, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(waits.first().is_some_and(|stop| !stop.revents().is_empty())),
        Err(error) => Err(error.into()),
    }
}

/// Reads one message; returns whether it is relevant, or `None` if there is none.
fn receive(socket: impl AsFd) -> io::Result<Option<bool>> {
    let mut message = [0; MESSAGE_LIMIT];
    match recvfrom(socket, &mut message, RecvFlags::empty()) {
        Ok((_, length, from)) => {
            let group = from.and_then(|from| SocketAddrNetlink::try_from(from).ok()).map(|from| from.groups());
            // Only the kernel and root can send to a multicast group; a message sent directly to this socket has group
            // 0.
            Ok(Some(group != Some(0) && message.get(..length).is_some_and(is_relevant)))
        }
        // The socket's buffer overflowed: a relevant message may be among those lost.
        Err(rustix::io::Errno::NOBUFS) => Ok(Some(true)),
        Err(rustix::io::Errno::INTR) => Ok(Some(false)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a message announces that a device which may be a camera or a microphone was added or became usable.
fn is_relevant(message: &[u8]) -> bool {
    let Some(properties) = properties(message) else { return false };
    let (mut added, mut relevant_subsystem) = (false, false);
    for property in properties.split(|byte| *byte == 0) {
        match property {
            b"ACTION=add" | b"ACTION=bind" | b"ACTION=change" | b"ACTION=move" | b"ACTION=online" => added = true,
            b"SUBSYSTEM=video4linux" | b"SUBSYSTEM=media" | b"SUBSYSTEM=sound" | b"SUBSYSTEM=usb" => {
                relevant_subsystem = true
            }
            _ => {}
        }
    }
    added && relevant_subsystem
}

/// The part of a message with the `NAME=value` properties, each terminated by NUL.
fn properties(message: &[u8]) -> Option<&[u8]> {
    match message.strip_prefix(b"libudev\0") {
        // udev's header (`struct udev_monitor_netlink_header`): after the prefix a magic number in network order, then
        // in the host's order the header's size, and where the properties begin and how long they are.
        Some(header) => {
            let number = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
            if number(0)? != 0xfeed_cafe_u32.to_be() {
                return None;
            }
            let begin = usize::try_from(number(8)?).ok()?;
            let length = usize::try_from(number(12)?).ok()?;
            message.get(begin..begin.checked_add(length)?)
        }
        // The kernel's first line is `action@path`.
        None => {
            let first = message.iter().position(|byte| *byte == 0)?;
            message.get(..first)?.contains(&b'@').then(|| message.get(first + 1..))?
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc::{RecvTimeoutError, sync_channel};

    use rustix::net::{SendFlags, getsockname, sendto};

    use super::*;

    /// What the kernel sends when `vivid` makes its node.
    const NODE: &[u8] = b"add@/devices/platform/vivid.0/video4linux/video0\0ACTION=add\0\
        DEVPATH=/devices/platform/vivid.0/video4linux/video0\0SUBSYSTEM=video4linux\0MAJOR=81\0MINOR=0\0DEVNAME=video0\0\
        SEQNUM=1044\0";

    /// What udev sends when it is done with that.
    fn udevs(properties: &[u8]) -> Vec<u8> {
        let mut message = b"libudev\0".to_vec();
        message.extend(0xfeed_cafe_u32.to_be_bytes());
        for number in [40, 40, properties.len() as u32, 0x1234, 0, 0, 0] {
            message.extend(number.to_ne_bytes());
        }
        message.truncate(40);
        message.extend(properties);
        message
    }

    fn after_first_line(message: &[u8]) -> &[u8] {
        &message[message.iter().position(|byte| *byte == 0).expect("should have lines") + 1..]
    }

    #[test]
    fn added_node_is_reported_by_kernel_and_udev_events() {
        assert!(is_relevant(NODE));
        assert!(is_relevant(&udevs(after_first_line(NODE))));
        assert!(is_relevant(b"bind@/devices/pci/usb1/1-2\0ACTION=bind\0SUBSYSTEM=usb\0DEVTYPE=usb_device\0"));
        assert!(is_relevant(b"change@/devices/x/sound/card1\0ACTION=change\0SUBSYSTEM=sound\0"));
    }

    #[test]
    fn removals_and_other_subsystems_are_ignored() {
        assert!(!is_relevant(b"remove@/devices/x/video0\0ACTION=remove\0SUBSYSTEM=video4linux\0"));
        assert!(!is_relevant(b"add@/devices/x/sda\0ACTION=add\0SUBSYSTEM=block\0"));
        assert!(!is_relevant(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=video4linux-not\0"));
    }

    #[test]
    fn malformed_message_is_ignored() {
        let whole = udevs(after_first_line(NODE));
        for length in 0..whole.len() {
            is_relevant(&whole[..length]);
            is_relevant(&NODE[..length.min(NODE.len())]);
        }
        let mut far = whole.clone();
        far[16..24].fill(0xff);
        assert!(!is_relevant(&far));
        let mut magic = whole;
        magic[8] = 0;
        assert!(!is_relevant(&magic));
        assert!(!is_relevant(b"no first line"));
        assert!(!is_relevant(b"no place\0ACTION=add\0SUBSYSTEM=usb\0"));
    }

    #[test]
    fn burst_of_events_is_coalesced_into_one_notification() {
        let (kernel, socket) = UnixDatagram::pair().expect("should make a pair");
        socket.set_nonblocking(true).expect("should not block");
        // All of them are there before anybody reads.
        for _ in 0..5 {
            kernel.send(NODE).expect("should send");
        }
        let (woken, wakes) = sync_channel(8);
        let guard =
            listen_on(socket.into(), move || woken.send(()).expect("should be notified")).expect("should start");
        let wake = || wakes.recv_timeout(Duration::from_secs(30));
        assert_eq!(wake(), Ok(()));
        kernel.send(b"remove@/x\0ACTION=remove\0SUBSYSTEM=sound\0").expect("should send");
        kernel.send(NODE).expect("should send");
        assert_eq!(wake(), Ok(()));
        drop(guard);
        assert_eq!(wake(), Err(RecvTimeoutError::Disconnected), "five messages were one wake, and the end is the end");
    }

    #[test]
    fn only_messages_from_root_are_accepted() {
        let socket = open(UDEV).expect("should open the messages");
        // In no group: nothing comes but what is sent to it alone.
        let other = open(0).expect("should open the messages");
        let address = getsockname(&other).expect("should have an address");
        let address = SocketAddrNetlink::try_from(address).expect("should be a netlink address");
        let sender = open(0).expect("should open the messages");
        match sendto(&sender, NODE, SendFlags::empty(), &SocketAddrNetlink::new(0, UDEV)) {
            Ok(_) => {
                let (woken, wakes) = sync_channel(8);
                let guard =
                    listen_on(socket, move || woken.send(()).expect("should be notified")).expect("should start");
                assert_eq!(wakes.recv_timeout(Duration::from_secs(30)), Ok(()));
                drop(guard);
                sendto(&sender, NODE, SendFlags::empty(), &address).expect("should send");
                assert_eq!(receive(&other).expect("should read"), Some(false), "it came to this socket alone");
            }
            Err(error) => assert_eq!(error, rustix::io::Errno::PERM, "who is not root cannot send"),
        }
    }
}
