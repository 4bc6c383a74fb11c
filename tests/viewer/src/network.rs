//! A simulated network: tokio's runtime with sockets that corrupt every n-th RTP packet on arrival, note which packets
//! arrive, receive no more than a bitrate, continue from another port, as behind a NAT that forgets, or are gone.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

use super::narrow::Narrow;

/// What may wait in the kernel while a busy machine does not run the viewer: seconds of video, where the default is a quarter of
/// one. It is less where `net.core.rmem_max` is.
const KERNEL_BUFFER: usize = 4 << 20;

/// The network of one viewer; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Network(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// One in so many RTP packets is lost; 0 means none.
    lose_one_in: usize,
    arrived: AtomicUsize,
    /// The bitrate of the way to the viewer, in bit/s; 0 while it is not limited.
    bitrate: AtomicUsize,
    moved: AtomicBool,
    gone: AtomicBool,
    /// The numbers of the RTP packets that have arrived, by source.
    numbers: Mutex<HashMap<u32, Vec<u16>>>,
}

impl Network {
    /// A network that loses one in so many RTP packets.
    pub fn lossy(one_in: usize) -> Self {
        Self(Arc::new(State { lose_one_in: one_in, ..State::default() }))
    }

    /// From now on the way to the viewer carries so many bit/s.
    pub fn set_bitrate(&self, bitrate: usize) {
        self.0.bitrate.store(bitrate, Ordering::Relaxed);
    }

    /// From now on the viewer sends and receives on another port.
    pub fn change_port(&self) {
        self.0.moved.store(true, Ordering::Relaxed);
    }

    /// From now on nothing arrives any more, and nothing leaves.
    pub fn vanish(&self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }

    fn is_gone(&self) -> bool {
        self.0.gone.load(Ordering::Relaxed)
    }

    /// Packets of all sources that have not arrived although a later one has.
    pub fn missing(&self) -> usize {
        let numbers = self.0.numbers.lock().expect("not poisoned");
        let gaps = |numbers: &Vec<u16>| -> usize {
            numbers.windows(2).map(|pair| usize::from(pair[1].wrapping_sub(pair[0]).wrapping_sub(1))).sum()
        };
        numbers.values().map(gaps).sum()
    }

    /// Whether an arriving datagram is lost.
    fn arrives(&self, datagram: &[u8]) -> bool {
        if self.is_gone() {
            return false;
        }
        // Version 2 in the top two bits is RTP or RTCP (RFC 7983 section 7).
        let Some(header) = datagram.first_chunk::<12>().filter(|header| header[0] >> 6 == 2) else { return true };
        if !(192..=223).contains(&header[1]) {
            let source = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            let number = u16::from_be_bytes([header[2], header[3]]);
            self.0.numbers.lock().expect("not poisoned").entry(source).or_default().push(number);
        }
        let one_in = self.0.lose_one_in;
        one_in == 0 || self.0.arrived.fetch_add(1, Ordering::Relaxed) % one_in != one_in - 1
    }
}

#[derive(Debug)]
struct Socket {
    network: Network,
    first: Arc<dyn AsyncUdpSocket>,
    /// The one after [`Network::change_port`].
    second: Arc<dyn AsyncUdpSocket>,
    narrow: Mutex<Narrow>,
}

impl Socket {
    fn has_moved(&self) -> bool {
        self.network.0.moved.load(Ordering::Relaxed)
    }
}

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.first.local_addr()
    }

    /// Without it the driver's buffers have no room for what the kernel puts together.
    fn max_gro_segments(&self) -> usize {
        self.first.max_gro_segments()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.network.is_gone() {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        let socket = if self.has_moved() { &self.second } else { &self.first };
        socket.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let bitrate = self.network.0.bitrate.load(Ordering::Relaxed);
        if bitrate > 0 {
            let passes = |datagram: &[u8]| self.network.arrives(datagram);
            let mut narrow = self.narrow.lock().expect("not poisoned");
            return narrow.poll_recv(self.first.as_ref(), bitrate, passes, cx, (bufs, meta));
        }
        // The NAT no longer forwards what comes to the first port.
        let first = self.first.poll_recv(cx, bufs, meta);
        let polled = if first.is_ready() && !self.has_moved() { first } else { self.second.poll_recv(cx, bufs, meta) };
        if let Poll::Ready(Ok(count)) = polled {
            for (buffer, meta) in bufs.iter_mut().zip(meta.iter()).take(count) {
                // Several datagrams may have come together.
                for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                    if !self.network.arrives(datagram) {
                        // 255 matches no protocol.
                        datagram[0] = 255;
                    }
                }
            }
        }
        polled
    }
}

impl Runtime for Network {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER)?;
        let second = std::net::UdpSocket::bind((socket.local_addr()?.ip(), 0))?;
        second.set_nonblocking(true)?;
        let (first, second) = (TokioRuntime.wrap_udp_socket(socket)?, TokioRuntime.wrap_udp_socket(second)?);
        Ok(Arc::new(Socket { network: self.clone(), first, second, narrow: Mutex::new(Narrow::new()) }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }
}
