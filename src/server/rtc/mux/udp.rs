//! The UDP socket of one local address, which all viewers share: it is never waited for by those who send.
//!
//! Whose the datagrams are that come in stands in `table`.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::MAX_DATAGRAM;
use super::demux::Demux;
use super::send_stats::SendStats;
use super::virtual_socket::Path;
use crate::model::metrics::{DropLog, IgnoreReason};

/// The kernel's buffers in bytes, as far as `net.core.wmem_max` and `rmem_max` allow: key frames of 150 kB for six viewers
/// at once, which take a tenth of a second at 100 Mbit/s. The usual default holds 90 packets.
const KERNEL_BUFFER: usize = 1 << 20;

/// Datagrams that wait for room in the kernel's buffer: a key frame of 100 packets for each of 20 viewers.
const WAITING: usize = 2_048;

/// What has waited for longer is late for any viewer, who will ask again (NACK) for what it still wants.
const STALE: Duration = Duration::from_millis(200);

/// After an error of receiving, which concerns the interface and not one datagram.
const RECOVER: Duration = Duration::from_millis(100);

/// Between two lines about datagrams that could not be sent.
const TELL: Duration = Duration::from_secs(10);

/// The socket of one local address.
#[derive(Debug)]
pub struct LocalUdpSocket {
    socket: UdpSocket,
    address: SocketAddr,
    queue: Mutex<VecDeque<Waiting>>,
    /// Whether datagrams wait; who sends then waits behind them, so that the order is kept.
    waiting: AtomicBool,
    room: Notify,
    closed: CancellationToken,
    faults: DropLog,
}

#[derive(Debug)]
struct Waiting {
    to: SocketAddr,
    datagram: Bytes,
    since: Instant,
    gauge: SendStats,
}

impl LocalUdpSocket {
    /// Binds the socket and serves it until `closed`.
    pub fn open(ip: IpAddr, port: u16, closed: CancellationToken, table: Arc<Demux>) -> io::Result<Arc<Self>> {
        let socket = std::net::UdpSocket::bind((ip, port))?;
        socket.set_nonblocking(true)?;
        let options = SockRef::from(&socket);
        options.set_send_buffer_size(KERNEL_BUFFER)?;
        options.set_recv_buffer_size(KERNEL_BUFFER)?;
        let socket = UdpSocket::from_std(socket)?;
        let local = Arc::new(Self {
            address: socket.local_addr()?,
            socket,
            queue: Mutex::default(),
            waiting: AtomicBool::new(false),
            room: Notify::new(),
            closed,
            faults: DropLog::every(TELL),
        });
        let served = local.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = served.closed.cancelled() => {}
                () = served.drain() => {}
                () = served.receive(&table) => {}
            }
        });
        Ok(local)
    }

    /// Its address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it still sends and receives.
    pub fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }

    /// Sends a datagram, or drops it and counts that.
    pub fn send(&self, to: SocketAddr, datagram: &[u8], gauge: &SendStats) {
        if self.waiting.load(Ordering::Acquire) && self.wait(to, datagram, gauge, true) {
            return;
        }
        match self.socket.try_send_to(datagram, to) {
            Ok(_) => gauge.sent(datagram),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(to, datagram, gauge, false);
            }
            Err(error) => self.failed(&error, to, gauge),
        }
    }

    /// Sends a datagram as soon as there is room.
    ///
    /// # Errors
    ///
    /// As the kernel says: no route, for example.
    pub async fn send_patiently(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send_to(datagram, to).await
    }

    /// Puts a datagram behind those that wait, or drops it when those are too many. `false` when it was to go behind
    /// others, and there are none any more.
    fn wait(&self, to: SocketAddr, datagram: &[u8], gauge: &SendStats, behind: bool) -> bool {
        let mut queue = self.lock();
        if behind && !self.waiting.load(Ordering::Acquire) {
            return false;
        }
        if queue.len() >= WAITING {
            gauge.dropped();
            return true;
        }
        let (datagram, gauge) = (Bytes::copy_from_slice(datagram), gauge.clone());
        queue.push_back(Waiting { to, datagram, since: Instant::now(), gauge });
        self.waiting.store(true, Ordering::Release);
        drop(queue);
        self.room.notify_one();
        true
    }

    /// Sends what waits when there is room for it.
    async fn drain(&self) {
        loop {
            self.room.notified().await;
            while let Some(next) = self.next() {
                if next.since.elapsed() > STALE {
                    next.gauge.dropped();
                    continue;
                }
                match self.socket.send_to(&next.datagram, next.to).await {
                    Ok(_) => next.gauge.sent(&next.datagram),
                    Err(error) => self.failed(&error, next.to, &next.gauge),
                }
            }
        }
    }

    fn next(&self) -> Option<Waiting> {
        let mut queue = self.lock();
        let next = queue.pop_front();
        if next.is_none() {
            self.waiting.store(false, Ordering::Release);
        }
        next
    }

    fn failed(&self, error: &io::Error, to: SocketAddr, gauge: &SendStats) {
        gauge.dropped();
        if let Some(count) = self.faults.note(1, Instant::now()) {
            tracing::debug!("send from {} to {to}: {error}; {count} datagrams since the last such line", self.address);
        }
    }

    async fn receive(self: &Arc<Self>, table: &Demux) {
        let path = Path::Udp(Arc::downgrade(self));
        // One byte more than is taken: what fills it was longer.
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        loop {
            match self.socket.recv_from(&mut buffer).await {
                Ok((length, _)) if length > MAX_DATAGRAM => table.ignore(IgnoreReason::Oversized),
                Ok((length, from)) => {
                    table.arrived(&buffer[..length], from, &path);
                }
                Err(error) => {
                    tracing::debug!("receive on {}: {error}", self.address);
                    tokio::time::sleep(RECOVER).await;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::{DropLabels, DropPoint, Metrics};
    use crate::server::rtc::rtp_clock::{RtpClock, VIDEO_RATE};

    fn local() -> (Arc<LocalUdpSocket>, SendStats, CancellationToken) {
        let metrics = Metrics::new();
        let table = Arc::new(Demux::new(super::super::stun::tests::crypto(), metrics.clone()));
        let closed = CancellationToken::new();
        let local =
            LocalUdpSocket::open("127.0.0.1".parse().expect("address"), 0, closed.clone(), table).expect("open");
        (local, SendStats { video: RtpClock::random(VIDEO_RATE), metrics }, closed)
    }

    fn dropped(gauge: &SendStats) -> u64 {
        gauge.metrics.dropped.get_or_create(&DropLabels { at: DropPoint::Socket }).get()
    }

    // One thread: what waits is sent when the test waits, and not before.
    #[tokio::test]
    async fn what_comes_after_what_waits_waits_behind_it() {
        let (local, gauge, _closed) = local();
        let peer = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let to = peer.local_addr().expect("address");
        local.socket.writable().await.expect("room");
        local.wait(to, &[1], &gauge, false);
        local.send(to, &[2], &gauge);
        assert_eq!(gauge.metrics.packets_sent.get(), 0);
        for number in [1, 2] {
            let mut byte = [0];
            peer.recv_from(&mut byte).await.expect("a datagram");
            assert_eq!(byte, [number]);
        }
        while local.waiting.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        local.send(to, &[3], &gauge);
        assert_eq!(gauge.metrics.packets_sent.get(), 3, "nothing waits, so it is sent at once");
        assert_eq!(dropped(&gauge), 0);
    }

    #[tokio::test]
    async fn no_more_wait_than_are_worth_waiting_for_and_none_for_long() {
        let (local, gauge, _closed) = local();
        let peer = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let to = peer.local_addr().expect("address");
        let since = Instant::now().checked_sub(2 * STALE).expect("the machine should run for longer");
        let stale = Waiting { to, datagram: Bytes::from_static(&[1]), since, gauge: gauge.clone() };
        local.lock().push_back(stale);
        for _ in 0..WAITING {
            local.wait(to, &[2], &gauge, false);
        }
        assert_eq!((local.lock().len(), dropped(&gauge)), (WAITING, 1));
        let mut byte = [0];
        peer.recv_from(&mut byte).await.expect("a datagram");
        assert_eq!(byte, [2], "the stale one should be gone");
        assert_eq!(dropped(&gauge), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_dropped_and_counted() {
        let (local, gauge, closed) = local();
        local.socket.writable().await.expect("room");
        local.send("192.0.2.1:9".parse().expect("address"), &[1], &gauge);
        assert_eq!((dropped(&gauge), gauge.metrics.packets_sent.get()), (1, 0), "loopback leads nowhere");
        closed.cancel();
        assert!(!local.is_open());
    }
}
