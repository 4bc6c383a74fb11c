//! Encrypted packets that are sent together.

use bytes::BytesMut;

use crate::media::Timestamp;
use crate::server::rtc::mux::Datagrams;

/// Packets to one viewer, one after the other in one buffer.
#[derive(Debug, Default)]
pub struct Packets {
    contents: Vec<u8>,
    lengths: Vec<u16>,
    frame: Option<Timestamp>,
}

impl Packets {
    /// Room for `count` packets of `bytes` in all.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { contents: Vec::with_capacity(bytes), lengths: Vec::with_capacity(count), frame: None }
    }

    /// Adds a packet.
    pub fn push(&mut self, packet: &BytesMut) {
        if let Ok(length) = u16::try_from(packet.len()) {
            self.contents.extend_from_slice(packet);
            self.lengths.push(length);
        }
    }

    /// Notes that the packets are the end of the frame with this capture time.
    pub fn end_frame(&mut self, captured: Timestamp) {
        self.frame = Some(captured);
    }

    /// The packets as they are sent.
    pub fn datagrams(&self) -> Datagrams<'_> {
        Datagrams::new(&self.contents, &self.lengths, self.frame)
    }
}
