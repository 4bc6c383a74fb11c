//! A path that carries a limited bitrate: datagrams wait in its queue for their turn, and those that find it full are lost.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta};

/// What the queue holds, in time at the path's bitrate: more than comes before the sender has noticed it, so that the delay
/// grows and nothing is lost.
const QUEUE: Duration = Duration::from_secs(2);

/// What the headers of IP and UDP take, in bytes.
const HEADERS: usize = 28;

/// What one call may return: several datagrams that the kernel has put together.
const MOST: usize = 65_536;

/// What is on its way to one socket.
#[derive(Debug)]
pub struct Narrow {
    waiting: VecDeque<(Instant, RecvMeta, Vec<u8>)>,
    /// When the last of them has arrived.
    busy_until: Instant,
    arrival: Pin<Box<Sleep>>,
    buffer: Vec<u8>,
}

impl Narrow {
    pub fn new() -> Self {
        let now = Instant::now();
        Self { waiting: VecDeque::new(), busy_until: now, arrival: Box::pin(sleep_until(now)), buffer: vec![0; MOST] }
    }

    /// Receives what arrives from `socket` over a path of `bitrate` bit/s; `passes` tells which datagrams there are.
    pub fn poll_recv(
        &mut self,
        socket: &dyn AsyncUdpSocket,
        bitrate: usize,
        mut passes: impl FnMut(&[u8]) -> bool,
        cx: &mut Context<'_>,
        (bufs, meta): (&mut [IoSliceMut<'_>], &mut [RecvMeta]),
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut sent = [RecvMeta::default()];
            let polled = socket.poll_recv(cx, &mut [IoSliceMut::new(&mut self.buffer)], &mut sent);
            match polled {
                Poll::Pending | Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
            let [sent] = sent;
            let now = Instant::now();
            for datagram in self.buffer[..sent.len].chunks(sent.stride.max(1)) {
                let begin = self.busy_until.max(now);
                if begin - now > QUEUE || !passes(datagram) {
                    continue;
                }
                let bits = (datagram.len() + HEADERS) * 8;
                self.busy_until = begin + Duration::from_secs_f64(bits as f64 / bitrate as f64);
                let mut one = sent;
                (one.len, one.stride) = (datagram.len(), datagram.len());
                self.waiting.push_back((self.busy_until, one, datagram.to_vec()));
            }
        }
        let Some((due, ..)) = self.waiting.front() else { return Poll::Pending };
        self.arrival.as_mut().reset(*due);
        if self.arrival.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let (Some((_, arrived, datagram)), Some(buffer)) = (self.waiting.pop_front(), bufs.first_mut()) else {
            return Poll::Pending;
        };
        buffer[..datagram.len()].copy_from_slice(&datagram);
        meta[0] = arrived;
        Poll::Ready(Ok(1))
    }
}
