//! The UDP socket of one local address, shared by all sessions. Senders never wait for it.
//!
//! Which session a received datagram belongs to is decided in `demux`.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::MAX_DATAGRAM;
use super::demux::Demux;
use super::path::{Path, Transport};
use super::send_stats::SendStats;
use crate::model::metrics::{DropLog, IgnoreReason};
use crate::util::lock::{Mutex, MutexGuard};

/// The kernel's buffers in bytes, as far as `net.core.wmem_max` and `rmem_max` allow: key frames of 150 kB for six
/// viewers at once, which take a tenth of a second at 100 Mbit/s. The usual default holds 90 packets.
const KERNEL_BUFFER: usize = 1 << 20;

/// Datagrams queued while the kernel's buffer is full: a key frame of 100 packets for each of 20 viewers.
const QUEUE_CAPACITY: usize = 2_048;

/// A datagram queued for longer is too late for any viewer, which will NACK what it still needs.
const MAX_QUEUE_AGE: Duration = Duration::from_millis(200);

/// Pause after a receive error, which concerns the interface and not one datagram.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Between two log lines about datagrams that could not be sent.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The socket of one local address.
#[derive(Debug)]
pub struct LocalUdpSocket {
    socket: UdpSocket,
    address: SocketAddr,
    /// The one path through this socket.
    path: Path,
    queue: Mutex<VecDeque<QueuedDatagram>>,
    /// Whether datagrams are queued; later ones queue behind them, to keep the order.
    has_queued: AtomicBool,
    queued: Notify,
    closed: CancellationToken,
    send_errors: DropLog,
}

/// The socket as its own path holds it: the path does not keep it open.
#[derive(Debug)]
struct UdpTransport(Weak<LocalUdpSocket>);

impl Transport for UdpTransport {
    fn is_open(&self) -> bool {
        self.0.upgrade().is_some_and(|local| local.is_open())
    }

    fn send(&self, to: SocketAddr, datagram: &[u8], stats: &SendStats) -> bool {
        let Some(local) = self.0.upgrade().filter(|local| local.is_open()) else { return false };
        local.send(to, datagram, stats);
        true
    }
}

#[derive(Debug)]
struct QueuedDatagram {
    to: SocketAddr,
    datagram: Bytes,
    queued_at: Instant,
    stats: SendStats,
}

impl LocalUdpSocket {
    /// Binds the socket and serves it until `closed`.
    pub fn open(ip: IpAddr, port: u16, closed: CancellationToken, demux: Arc<Demux>) -> io::Result<Arc<Self>> {
        let socket = std::net::UdpSocket::bind((ip, port))?;
        socket.set_nonblocking(true)?;
        let options = SockRef::from(&socket);
        options.set_send_buffer_size(KERNEL_BUFFER)?;
        options.set_recv_buffer_size(KERNEL_BUFFER)?;
        let socket = UdpSocket::from_std(socket)?;
        let address = socket.local_addr()?;
        let local = Arc::new_cyclic(|local: &Weak<Self>| Self {
            address,
            path: Path::new(UdpTransport(local.clone())),
            socket,
            queue: Mutex::default(),
            has_queued: AtomicBool::new(false),
            queued: Notify::new(),
            closed,
            send_errors: DropLog::every(LOG_INTERVAL),
        });
        let task = local.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = task.closed.cancelled() => {}
                () = task.drain() => {}
                () = task.receive(&demux) => {}
            }
        });
        Ok(local)
    }

    /// Its address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The path to a peer through this socket.
    pub fn path(&self) -> Path {
        self.path.clone()
    }

    /// Whether it still sends and receives.
    pub fn is_open(&self) -> bool {
        !self.closed.is_cancelled()
    }

    /// Sends a datagram, or drops it and counts that.
    pub fn send(&self, to: SocketAddr, datagram: &[u8], stats: &SendStats) {
        if self.has_queued.load(Ordering::Acquire) && self.enqueue(to, datagram, stats, true) {
            return;
        }
        match self.socket.try_send_to(datagram, to) {
            Ok(_) => stats.sent(datagram),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.enqueue(to, datagram, stats, false);
            }
            Err(error) => self.note_send_error(&error, to, stats),
        }
    }

    /// Sends a datagram as soon as the socket is writable.
    ///
    /// # Errors
    ///
    /// Errors of the kernel: no route, for example.
    pub async fn send_when_writable(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send_to(datagram, to).await
    }

    /// Queues a datagram, or drops it if the queue is full. `false` if it was to queue behind others that have been
    /// sent meanwhile.
    fn enqueue(&self, to: SocketAddr, datagram: &[u8], stats: &SendStats, behind_others: bool) -> bool {
        let mut queue = self.lock();
        if behind_others && !self.has_queued.load(Ordering::Acquire) {
            return false;
        }
        if queue.len() >= QUEUE_CAPACITY {
            stats.dropped();
            return true;
        }
        let (datagram, stats) = (Bytes::copy_from_slice(datagram), stats.clone());
        queue.push_back(QueuedDatagram { to, datagram, queued_at: Instant::now(), stats });
        self.has_queued.store(true, Ordering::Release);
        drop(queue);
        self.queued.notify_one();
        true
    }

    /// Sends queued datagrams when the socket is writable.
    async fn drain(&self) {
        loop {
            self.queued.notified().await;
            while let Some(next) = self.next() {
                if next.queued_at.elapsed() > MAX_QUEUE_AGE {
                    next.stats.dropped();
                    continue;
                }
                match self.socket.send_to(&next.datagram, next.to).await {
                    Ok(_) => next.stats.sent(&next.datagram),
                    Err(error) => self.note_send_error(&error, next.to, &next.stats),
                }
            }
        }
    }

    fn next(&self) -> Option<QueuedDatagram> {
        let mut queue = self.lock();
        let next = queue.pop_front();
        if next.is_none() {
            self.has_queued.store(false, Ordering::Release);
        }
        next
    }

    fn note_send_error(&self, error: &io::Error, to: SocketAddr, stats: &SendStats) {
        stats.dropped();
        if let Some(count) = self.send_errors.note(1, Instant::now()) {
            tracing::debug!(
                "send from {} to {to}: {error}; {count} datagrams dropped since the last message",
                self.address
            );
        }
    }

    async fn receive(&self, demux: &Demux) {
        // One byte more than is accepted: a datagram that fills it was longer.
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        loop {
            match self.socket.recv_from(&mut buffer).await {
                Ok((length, _)) if length > MAX_DATAGRAM => demux.ignore(IgnoreReason::Oversized),
                Ok((length, from)) => {
                    demux.route(&buffer[..length], from, &self.path);
                }
                Err(error) => {
                    tracing::debug!("receive on {}: {error}", self.address);
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<QueuedDatagram>> {
        self.queue.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::{DropLabels, DropPoint, Metrics};
    use crate::server::rtc::rtp_clock::{RtpClock, VIDEO_RATE};

    fn local() -> (Arc<LocalUdpSocket>, SendStats, CancellationToken) {
        let metrics = Metrics::new();
        let demux = Arc::new(Demux::new(super::super::stun::tests::crypto(), metrics.clone()));
        let closed = CancellationToken::new();
        let local =
            LocalUdpSocket::open("127.0.0.1".parse().expect("address"), 0, closed.clone(), demux).expect("open");
        (local, SendStats { video: RtpClock::random(VIDEO_RATE), metrics }, closed)
    }

    fn dropped(stats: &SendStats) -> u64 {
        stats.metrics.dropped.get_or_create(&DropLabels { at: DropPoint::Socket }).get()
    }

    // On one thread, queued datagrams are sent while the test awaits, and not before.
    #[tokio::test]
    async fn later_datagrams_queue_behind_earlier_ones() {
        let (local, stats, _closed) = local();
        let peer = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let to = peer.local_addr().expect("address");
        local.socket.writable().await.expect("room");
        local.enqueue(to, &[1], &stats, false);
        local.send(to, &[2], &stats);
        assert_eq!(stats.metrics.packets_sent.get(), 0);
        for number in [1, 2] {
            let mut byte = [0];
            peer.recv_from(&mut byte).await.expect("a datagram");
            assert_eq!(byte, [number]);
        }
        while local.has_queued.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        local.send(to, &[3], &stats);
        assert_eq!(stats.metrics.packets_sent.get(), 3, "nothing waits, so it is sent at once");
        assert_eq!(dropped(&stats), 0);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_length_and_age() {
        let (local, stats, _closed) = local();
        let peer = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let to = peer.local_addr().expect("address");
        let queued_at = Instant::now().checked_sub(2 * MAX_QUEUE_AGE).expect("the machine should run for longer");
        let stale = QueuedDatagram { to, datagram: Bytes::from_static(&[1]), queued_at, stats: stats.clone() };
        local.lock().push_back(stale);
        for _ in 0..QUEUE_CAPACITY {
            local.enqueue(to, &[2], &stats, false);
        }
        assert_eq!((local.lock().len(), dropped(&stats)), (QUEUE_CAPACITY, 1));
        let mut byte = [0];
        peer.recv_from(&mut byte).await.expect("a datagram");
        assert_eq!(byte, [2], "the stale one should be gone");
        assert_eq!(dropped(&stats), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_dropped_and_counted() {
        let (local, stats, closed) = local();
        local.socket.writable().await.expect("room");
        local.send("192.0.2.1:9".parse().expect("address"), &[1], &stats);
        assert_eq!((dropped(&stats), stats.metrics.packets_sent.get()), (1, 0), "loopback leads nowhere");
        closed.cancel();
        assert!(!local.is_open());
    }
}
