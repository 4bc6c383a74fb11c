//! Snapshots as binary messages: a header, the media type and a chunk of the content.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The longest message: what data channels carry between all implementations (RFC 8831 section 6.6).
pub const MAX_MESSAGE: usize = 16 * 1024;

/// The header's length.
pub const HEADER: usize = 12;

/// The header's version.
const VERSION: u8 = 1;

/// A content split into messages; an iterator over them.
#[derive(Debug, Clone)]
pub struct Transfer {
    id: u32,
    media_type: &'static str,
    content: Bytes,
    /// The index of the next chunk.
    next: u16,
    count: u16,
}

impl Transfer {
    /// Splits a content; `None` when it is too long for the header, at about a gigabyte.
    pub fn new(id: u32, media_type: &'static str, content: Bytes) -> Option<Self> {
        // Empty content still has one message, which marks its end.
        let count = content.len().div_ceil(chunk_len(media_type)).max(1);
        Some(Self { id, media_type, content, next: 0, count: u16::try_from(count).ok()? })
    }

    /// Whether the last message was returned.
    pub fn is_done(&self) -> bool {
        self.next == self.count
    }
}

impl Iterator for Transfer {
    type Item = BytesMut;

    fn next(&mut self) -> Option<BytesMut> {
        if self.is_done() {
            return None;
        }
        let piece = self.content.split_to(self.content.len().min(chunk_len(self.media_type)));
        let mut message = BytesMut::with_capacity(HEADER + self.media_type.len() + piece.len());
        message.put_u32(self.id);
        message.put_u16(self.next);
        message.put_u16(self.count);
        message.put_u8(VERSION);
        message.put_u8(self.media_type.len() as u8);
        message.put_u16(0);
        message.put_slice(self.media_type.as_bytes());
        message.put_slice(&piece);
        self.next += 1;
        Some(message)
    }
}

/// The bytes of content per message.
fn chunk_len(media_type: &str) -> usize {
    MAX_MESSAGE - HEADER - media_type.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(length: usize) -> Vec<BytesMut> {
        let content: Bytes = (0..length).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
        Transfer::new(0x0102_0304, "image/jpeg", content).unwrap().collect()
    }

    #[test]
    fn the_chunks_together_are_the_content() {
        for (length, count) in [(0, 1), (1, 1), (16_362, 1), (16_363, 2), (500_000, 31)] {
            let messages = messages(length);
            assert_eq!(messages.len(), count, "{length}");
            let mut content = Vec::new();
            for (index, message) in messages.iter().enumerate() {
                assert!(message.len() <= MAX_MESSAGE);
                assert_eq!(message[..4], [1, 2, 3, 4]);
                assert_eq!(message[4..8], [0, index as u8, 0, count as u8]);
                assert_eq!(message[8..12], [1, 10, 0, 0]);
                assert_eq!(&message[12..22], b"image/jpeg");
                content.extend_from_slice(&message[22..]);
            }
            assert!(content.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
            assert_eq!(content.len(), length);
        }
    }

    #[test]
    fn content_beyond_the_headers_range_is_rejected() {
        let most = chunk_len("a") * usize::from(u16::MAX);
        let content = Bytes::from(vec![0; most + 1]);
        assert!(Transfer::new(1, "a", content.slice(..most)).is_some());
        assert!(Transfer::new(1, "a", content).is_none());
    }
}
