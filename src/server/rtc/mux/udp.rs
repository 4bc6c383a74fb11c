//! The UDP socket of one local address, shared by all sessions. Senders never wait for it.
//!
//! Which session a received datagram belongs to is decided in `demux`.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::MAX_DATAGRAM;
use super::datagrams::{DatagramRun, Datagrams};
use super::demux::Demux;
use super::path::{Path, Transport};
use super::send_queue::{QueuedRun, SendQueue};
use super::send_stats::SendStats;
use crate::media::Timestamp;
use crate::model::metrics::IgnoreReason;
use crate::util::drop_log::DropLog;

/// The kernel's buffers in bytes, as far as `net.core.wmem_max` and `rmem_max` allow: key frames of 150 kB for six
/// viewers at once, which take a tenth of a second at 100 Mbit/s. The usual default holds 90 packets.
const KERNEL_BUFFER: usize = 1 << 20;

/// The most that the kernel puts together of one peer's datagrams (GRO).
const RECEIVE_BUFFER: usize = 65_535;

/// Buffers that are filled with one system call.
const RECEIVE_BATCH: usize = 8;

/// Pause after a receive error, which concerns the interface and not one datagram.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Between two log lines about datagrams that could not be sent.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The socket of one local address.
#[derive(Debug)]
pub struct LocalUdpSocket {
    socket: UdpSocket,
    /// What the kernel can do: segmentation (GSO), and receiving many datagrams at once (GRO).
    state: UdpSocketState,
    address: SocketAddr,
    /// The one path through this socket.
    path: Path,
    queue: SendQueue,
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

    fn send(&self, to: SocketAddr, datagrams: Datagrams<'_>, stats: &SendStats) -> bool {
        let Some(local) = self.0.upgrade().filter(|local| local.is_open()) else { return false };
        local.send(to, datagrams, stats);
        true
    }
}

impl LocalUdpSocket {
    /// Binds the socket and serves it until `closed`.
    pub fn open(ip: IpAddr, port: u16, closed: CancellationToken, demux: Arc<Demux>) -> io::Result<Arc<Self>> {
        let socket = std::net::UdpSocket::bind((ip, port))?;
        socket.set_nonblocking(true)?;
        let options = SockRef::from(&socket);
        options.set_send_buffer_size(KERNEL_BUFFER)?;
        options.set_recv_buffer_size(KERNEL_BUFFER)?;
        let state = UdpSocketState::new((&socket).into())?;
        let socket = UdpSocket::from_std(socket)?;
        let address = socket.local_addr()?;
        let local = Arc::new_cyclic(|local: &Weak<Self>| Self {
            address,
            path: Path::new(UdpTransport(local.clone())),
            socket,
            state,
            queue: SendQueue::default(),
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

    /// Sends datagrams, or drops them and counts that.
    pub fn send(&self, to: SocketAddr, datagrams: Datagrams<'_>, stats: &SendStats) {
        let mut left = datagrams.count();
        for run in datagrams.runs(self.state.max_gso_segments()) {
            left -= run.count;
            self.send_run(to, run, datagrams.frame.filter(|_| left == 0), stats);
        }
    }

    fn send_run(&self, to: SocketAddr, run: DatagramRun<'_>, last_of: Option<Timestamp>, stats: &SendStats) {
        let queued = || QueuedRun::new(to, run, last_of, stats);
        if self.queue.has_queued() && self.queue.push_behind_others(queued()).is_none() {
            return;
        }
        match self.try_send(to, run) {
            Ok(()) => sent(run, last_of, stats),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.queue.push(queued()),
            Err(error) => self.note_send_error(&error, to, run.count, stats),
        }
    }

    /// Sends a run with one system call, or with one for each datagram where the kernel or the network card refuses.
    fn try_send(&self, to: SocketAddr, run: DatagramRun<'_>) -> io::Result<()> {
        let send = |contents, segment_size| {
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            let send = || self.state.try_send((&self.socket).into(), &transmit);
            self.socket.try_io(Interest::WRITABLE, send)
        };
        if run.count == 1 {
            return send(run.contents, None);
        }
        match send(run.contents, Some(run.length)) {
            // The state has noted that there is no segmentation.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && self.state.max_gso_segments() == 1 => {
                run.each().try_for_each(|datagram| send(datagram, None))
            }
            result => result,
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

    /// Sends queued datagrams when the socket is writable.
    async fn drain(&self) {
        loop {
            let next = self.queue.next().await;
            match self.send_queued(&next).await {
                Ok(()) => sent(next.run(), next.last_of, &next.stats),
                Err(error) => self.note_send_error(&error, next.to, next.run().count, &next.stats),
            }
        }
    }

    async fn send_queued(&self, queued: &QueuedRun) -> io::Result<()> {
        loop {
            self.socket.writable().await?;
            match self.try_send(queued.to, queued.run()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    fn note_send_error(&self, error: &io::Error, to: SocketAddr, datagrams: usize, stats: &SendStats) {
        stats.dropped(datagrams);
        if let Some(count) = self.send_errors.note(datagrams as u64, Instant::now()) {
            tracing::debug!(
                "send from {} to {to}: {error}; {count} datagrams dropped since the last message",
                self.address
            );
        }
    }

    async fn receive(&self, demux: &Demux) {
        // Only the pages that are used take memory.
        let mut buffers: Vec<Vec<u8>> = (0..RECEIVE_BATCH).map(|_| vec![0; RECEIVE_BUFFER]).collect();
        let mut meta = [RecvMeta::default(); RECEIVE_BATCH];
        loop {
            let received = {
                let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect::<Vec<_>>();
                let receive = || self.state.recv((&self.socket).into(), &mut slices, &mut meta);
                self.socket.async_io(Interest::READABLE, receive).await
            };
            match received {
                Ok(count) => {
                    for (buffer, meta) in buffers.iter().zip(&meta).take(count) {
                        self.route(&buffer[..meta.len.min(RECEIVE_BUFFER)], meta, demux);
                    }
                }
                Err(error) => {
                    tracing::debug!("receive on {}: {error}", self.address);
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    /// Routes the datagrams of one peer that the kernel has put together.
    fn route(&self, received: &[u8], meta: &RecvMeta, demux: &Demux) {
        for datagram in received.chunks(meta.stride.max(1)) {
            if datagram.len() > MAX_DATAGRAM {
                demux.ignore(IgnoreReason::Oversized);
            } else {
                demux.route(datagram, meta.addr, &self.path);
            }
        }
    }
}

fn sent(run: DatagramRun<'_>, last_of: Option<Timestamp>, stats: &SendStats) {
    stats.sent(run.count, run.contents.len());
    if let Some(captured) = last_of {
        stats.frame_sent(captured);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metrics::{DropLabels, DropPoint, Metrics};

    fn local() -> (Arc<LocalUdpSocket>, SendStats, CancellationToken) {
        let metrics = Metrics::new();
        let demux = Arc::new(Demux::new(super::super::stun::tests::crypto(), metrics.clone()));
        let closed = CancellationToken::new();
        let local =
            LocalUdpSocket::open("127.0.0.1".parse().expect("address"), 0, closed.clone(), demux).expect("open");
        (local, SendStats { metrics }, closed)
    }

    fn one(datagram: &[u8]) -> DatagramRun<'_> {
        DatagramRun { contents: datagram, length: datagram.len(), count: 1 }
    }

    fn send(local: &LocalUdpSocket, to: SocketAddr, datagram: &[u8], stats: &SendStats) {
        local.send(to, Datagrams::new(datagram, &[datagram.len() as u16], None), stats);
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
        local.queue.push(QueuedRun::new(to, one(&[1]), None, &stats));
        send(&local, to, &[2], &stats);
        assert_eq!(stats.metrics.packets_sent.get(), 0);
        for number in [1, 2] {
            let mut byte = [0];
            peer.recv_from(&mut byte).await.expect("a datagram");
            assert_eq!(byte, [number]);
        }
        while local.queue.has_queued() {
            tokio::task::yield_now().await;
        }
        send(&local, to, &[3], &stats);
        assert_eq!(stats.metrics.packets_sent.get(), 3, "nothing waits, so it is sent at once");
        assert_eq!(dropped(&stats), 0);
    }

    #[tokio::test]
    async fn datagrams_of_any_lengths_arrive_one_by_one() {
        let (local, stats, _closed) = local();
        let peer = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        local.socket.writable().await.expect("room");
        let lengths = [30, 100, 100, 100, 40, 7];
        let contents: Vec<u8> = lengths.iter().flat_map(|length| vec![*length as u8; usize::from(*length)]).collect();
        let datagrams = Datagrams::new(&contents, &lengths, Some(Timestamp::now()));
        local.send(peer.local_addr().expect("address"), datagrams, &stats);
        for length in lengths {
            let mut buffer = [0; 200];
            let (received, _) = peer.recv_from(&mut buffer).await.expect("a datagram");
            assert_eq!((received, buffer[0]), (usize::from(length), length as u8));
        }
        assert_eq!((stats.metrics.packets_sent.get(), stats.metrics.bytes_sent.get()), (6, 377));
        assert_eq!(dropped(&stats), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_dropped_and_counted() {
        let (local, stats, closed) = local();
        local.socket.writable().await.expect("room");
        send(&local, "192.0.2.1:9".parse().expect("address"), &[1], &stats);
        assert_eq!((dropped(&stats), stats.metrics.packets_sent.get()), (1, 0), "loopback leads nowhere");
        closed.cancel();
        assert!(!local.is_open());
    }
}
