//! What is sent to a client on its connection: answers, and packets between them. Nothing waits for a client: what does not fit
//! into the socket is kept here, a frame at most, and while it is, no more is added but answers.

use std::io;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// How much may wait before requests are left unread, in bytes: several times a large key frame.
const MAX_WAITING: usize = 1 << 20;

/// What is kept of the buffer's memory while nothing waits, in bytes: a usual frame.
const KEPT: usize = 64 * 1024;

/// What waits to be sent.
#[derive(Debug)]
pub struct Output {
    waiting: Vec<u8>,
    /// How much of it was sent.
    sent: usize,
    /// When something was sent last, or nothing waited.
    progress: Instant,
}

impl Output {
    /// Nothing waits.
    pub fn new(now: Instant) -> Self {
        Self { waiting: Vec::new(), sent: 0, progress: now }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another answer may be added.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// The end of what waits, to be added to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// For how long nothing could be sent that waits.
    pub fn stalled(&self, now: Instant) -> Duration {
        if self.is_empty() { Duration::ZERO } else { now.saturating_duration_since(self.progress) }
    }

    /// When something was sent last, if something waits.
    pub fn waiting_since(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.progress)
    }

    /// Sends as much as the socket takes; returns how many bytes.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn send(&mut self, stream: &TcpStream, now: Instant) -> io::Result<usize> {
        let mut count = 0;
        while self.sent < self.waiting.len() {
            match stream.try_write(&self.waiting[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.sent += written;
                    count += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.note_sent(count, now);
        Ok(count)
    }

    fn note_sent(&mut self, count: usize, now: Instant) {
        if self.sent == self.waiting.len() {
            self.waiting.clear();
            self.waiting.shrink_to(KEPT);
            self.sent = 0;
        }
        if count > 0 || self.is_empty() {
            self.progress = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_waits_and_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connect");
        let (stream, _) = listener.accept().await.expect("accept");
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut output = Output::new(start);
        stream.writable().await.expect("writable");
        output.buffer().extend_from_slice(b"abc");
        assert_eq!(output.send(&stream, start + second).expect("sent"), 3);
        assert!(output.is_empty() && output.waiting_since().is_none());
        // More than the buffers of both ends take.
        output.buffer().resize(32 << 20, 7);
        while output.send(&stream, start + 2 * second).expect("sent") > 0 {}
        assert!(!output.is_empty() && !output.has_room());
        assert_eq!(output.send(&stream, start + 5 * second).expect("nothing"), 0);
        assert_eq!(output.stalled(start + 9 * second), 7 * second);
        let mut read = 0;
        while !output.is_empty() {
            let mut buffer = vec![0; 1 << 20];
            tokio::select! {
                ready = client.readable() => {
                    ready.expect("readable");
                    read += client.try_read(&mut buffer).unwrap_or(0);
                }
                ready = stream.writable() => {
                    ready.expect("writable");
                    output.send(&stream, start + 10 * second).expect("sent");
                }
            }
        }
        assert!(read > 0 && output.buffer().capacity() <= 2 * KEPT);
        assert_eq!(output.stalled(start + 99 * second), Duration::ZERO);
    }
}
