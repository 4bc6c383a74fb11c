//! The UDP sockets below a peer connection: they never wait, and they measure when a picture left.
//!
//! webrtc-rs asks its runtime for sockets; this runtime is tokio's with such a socket around each.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

use super::clock::RtpClock;
use crate::media::Timestamp;
use crate::metrics::{Drop, Metrics};

/// Tokio's runtime with measured sockets, for one viewer.
#[derive(Debug)]
pub struct MeasuredRuntime {
    /// The clock of the viewer's video stream, to tell the age of a picture from its packets.
    pub video: RtpClock,
    /// Where packets, bytes, drops and ages are counted.
    pub metrics: Metrics,
}

#[derive(Debug)]
struct MeasuredSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    video: RtpClock,
    metrics: Metrics,
}

impl MeasuredSocket {
    fn sent(&self, datagram: &[u8]) {
        self.metrics.packets_sent.inc();
        self.metrics.bytes_sent.inc_by(datagram.len() as u64);
        if let Some(timestamp) = last_packet_of_picture(datagram, self.video.ssrc) {
            self.metrics.socket_seconds.observe(self.video.age(timestamp, Timestamp::now()).as_secs_f64());
        }
    }
}

/// The RTP timestamp when the datagram is the last packet of a picture of this stream: SRTP leaves the header (RFC 3550
/// section 5.1) in the clear, and H.264 sets the marker bit on the last packet (RFC 6184 section 5.1).
fn last_packet_of_picture(datagram: &[u8], ssrc: u32) -> Option<u32> {
    let header = datagram.first_chunk::<12>()?;
    let is_rtp = header[0] >> 6 == 2;
    let marker = header[1] & 0x80 != 0;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    (is_rtp && marker && word(8) == ssrc).then(|| word(4))
}

impl AsyncUdpSocket for MeasuredSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        match self.inner.poll_send(cx, transmit) {
            // A full socket buffer: what waits in line would be late anyway, so the packet is dropped and the viewer
            // asks for it again (NACK) if it still wants it.
            Poll::Pending => {
                self.metrics.drop_at(Drop::Socket, 1);
                Poll::Ready(Ok(transmit.contents.len()))
            }
            Poll::Ready(Ok(sent)) => {
                self.sent(transmit.contents);
                Poll::Ready(Ok(sent))
            }
            Poll::Ready(Err(error)) => {
                self.metrics.drop_at(Drop::Socket, 1);
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

impl Runtime for MeasuredRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        Ok(Arc::new(MeasuredSocket { inner, video: self.video, metrics: self.metrics.clone() }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_packet_of_the_stream_tells_a_timestamp() {
        let packet = [0x90, 0x80 | 102, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5, 0xff];
        assert_eq!(last_packet_of_picture(&packet, 5), Some(9));
        assert_eq!(last_packet_of_picture(&packet, 6), None, "another stream");
        let mut middle = packet;
        middle[1] = 102;
        assert_eq!(last_packet_of_picture(&middle, 5), None, "no marker");
        assert_eq!(last_packet_of_picture(&packet[..11], 5), None, "too short");
        assert_eq!(last_packet_of_picture(&[0; 20], 0), None, "STUN");
    }
}
