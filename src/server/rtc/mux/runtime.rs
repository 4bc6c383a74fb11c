//! The runtime that webrtc-rs asks for sockets: tokio's, except that it hands out the session's virtual socket.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

use super::VirtualSocket;

/// The addresses that the library binds: one for each IP version of this kernel. Nothing is sent from or received on
/// them.
pub fn bind_addresses() -> Vec<SocketAddr> {
    let addresses = [SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))];
    addresses.into_iter().filter(|address| std::net::UdpSocket::bind(address).is_ok()).collect()
}

/// Tokio's runtime with the virtual socket of one session.
#[derive(Debug)]
pub struct MuxRuntime(pub VirtualSocket);

/// One IP version of a virtual socket.
#[derive(Debug)]
struct MuxSocket {
    socket: VirtualSocket,
    local: SocketAddr,
    /// Whether the library has just read a datagram, and shall process it before it reads another.
    just_delivered: AtomicBool,
}

impl AsyncUdpSocket for MuxSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, _cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.socket.send(transmit.destination, transmit.contents);
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        // The library would read on at once, and process what follows from a datagram only after the last of them. A
        // viewer's first message on a pre-negotiated channel may directly follow the datagram that completes the SCTP
        // association; read before that is processed, it is discarded (rtc 0.21.1, DataChannelHandler::handle_read).
        if self.just_delivered.swap(false, Ordering::Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.socket.poll_receive(self.local.is_ipv6(), cx).map(|(datagram, from)| {
            let length = datagram.len().min(buf.len());
            buf[..length].copy_from_slice(&datagram[..length]);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (from, length, length.max(1));
            self.just_delivered.store(true, Ordering::Relaxed);
            Ok(1)
        })
    }
}

impl Runtime for MuxRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(MuxSocket {
            socket: self.0.clone(),
            local: socket.local_addr()?,
            just_delivered: AtomicBool::new(false),
        }))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        // A candidate must not make this host open connections: it may name any host and any port.
        let refused =
            io::Error::new(io::ErrorKind::PermissionDenied, format!("outgoing connections are not allowed: {remote}"));
        Box::pin(std::future::ready(Err(refused)))
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
