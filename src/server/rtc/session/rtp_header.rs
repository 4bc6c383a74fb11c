//! Writes RTP headers with extensions (RFC 3550 section 5.1, RFC 8285) without allocating for each packet. Pure.

use rtc::rtp::header::{EXTENSION_PROFILE_ONE_BYTE, EXTENSION_PROFILE_TWO_BYTE};

use crate::server::rtc::sdp::formats::MAX_ONE_BYTE_ID;

/// The header without extensions.
const FIXED: usize = 12;

/// What stands before the extensions.
const PREFIX: usize = 4;

/// Room for the extensions of a packet, in bytes: those of the first packet of a frame take 28 at most.
const MAX_EXTENSIONS: usize = 32;

/// The fields of a header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtpHeader {
    /// The payload type.
    pub payload_type: u8,
    /// Whether it ends a frame, or begins a talkspurt.
    pub marker: bool,
    /// Whether the payload ends with padding.
    pub padding: bool,
    /// The sequence number.
    pub number: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
}

impl RtpHeader {
    /// Begins a packet with the header; what was in `packet` is dropped.
    pub fn write(&self, extensions: &HeaderExtensions, packet: &mut Vec<u8>) {
        packet.clear();
        let extended = extensions.length > 0;
        packet.push(0x80 | u8::from(self.padding) << 5 | u8::from(extended) << 4);
        packet.push(u8::from(self.marker) << 7 | self.payload_type & 0x7f);
        packet.extend(self.number.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        if extended {
            let profile = if extensions.two_bytes { EXTENSION_PROFILE_TWO_BYTE } else { EXTENSION_PROFILE_ONE_BYTE };
            let padded = extensions.padded();
            packet.extend(profile.to_be_bytes());
            packet.extend((padded as u16 / 4).to_be_bytes());
            packet.extend_from_slice(&extensions.bytes[..padded]);
        }
    }
}

/// Numbers the packets of a stream, and counts them as sender reports do.
#[derive(Debug, Clone)]
pub struct PacketCounter {
    next: u16,
    packets: u32,
    octets: u32,
}

impl PacketCounter {
    /// A counter that begins with a random number.
    pub fn random() -> Self {
        Self { next: initial_sequence(), packets: 0, octets: 0 }
    }

    /// The number of the next packet.
    pub fn next_number(&self) -> u16 {
        self.next
    }

    /// Counts a packet with so many bytes of payload.
    pub fn count(&mut self, payload_bytes: usize) {
        self.next = self.next.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
    }

    /// Packets and bytes of payload so far, modulo 2^32 (RFC 3550 section 6.4.1).
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }
}

/// The number before that of the first packet: random, as RFC 3550 section 5.1 asks, and below 2^15. Receivers start to
/// count the wraps of the sequence number with the first packet that arrives. If the first ones are lost, and the number
/// wraps meanwhile, they and we would differ in the SRTP index for good (RFC 3711 section 3.3.1).
pub fn initial_sequence() -> u16 {
    rand::random::<u16>() % (1 << 15)
}

/// The extensions of one header.
#[derive(Debug, Clone, Copy)]
pub struct HeaderExtensions {
    bytes: [u8; MAX_EXTENSIONS],
    length: usize,
    two_bytes: bool,
}

impl HeaderExtensions {
    /// None so far; `ids` are those that the stream may have. The two-byte form is taken if the one-byte form cannot carry
    /// one of them (RFC 8285 section 4.2), which is negotiated only where the two may be mixed.
    pub fn new(ids: impl IntoIterator<Item = u8>) -> Self {
        let two_bytes = ids.into_iter().any(|id| id > MAX_ONE_BYTE_ID);
        Self { bytes: [0; MAX_EXTENSIONS], length: 0, two_bytes }
    }

    /// Adds an extension of 1 to 16 bytes; returns the place of its value in a packet.
    pub fn push<const N: usize>(&mut self, id: u8, value: [u8; N]) -> usize {
        if self.two_bytes {
            self.put([id, N as u8]);
        } else {
            self.put([id << 4 | (N as u8 - 1)]);
        }
        let at = FIXED + PREFIX + self.length;
        self.put(value);
        at
    }

    /// Makes the header longer by padding, so that it has `length` bytes, if there are extensions.
    pub fn pad_to(&mut self, length: usize) {
        if self.length > 0 {
            self.length = self.length.max(length.saturating_sub(FIXED + PREFIX)).min(MAX_EXTENSIONS);
        }
    }

    /// The length of the header with them, in bytes.
    pub fn header_bytes(&self) -> usize {
        if self.length == 0 { FIXED } else { FIXED + PREFIX + self.padded() }
    }

    fn padded(&self) -> usize {
        self.length.next_multiple_of(4)
    }

    fn put<const N: usize>(&mut self, value: [u8; N]) {
        self.bytes[self.length..][..N].copy_from_slice(&value);
        self.length += N;
    }
}

#[cfg(test)]
mod tests {
    use rtc::rtp::header::Header;
    use rtc::shared::marshal::{MarshalSize as _, Unmarshal as _};

    use super::*;

    fn read(header: RtpHeader, extensions: &HeaderExtensions) -> Header {
        let mut packet = vec![7; 100];
        header.write(extensions, &mut packet);
        assert_eq!((packet.len(), packet.len() % 4), (extensions.header_bytes(), 0));
        let read = Header::unmarshal(&mut &packet[..]).expect("should be read");
        assert_eq!(read.marshal_size(), packet.len());
        read
    }

    #[test]
    fn the_first_packets_do_not_wrap_the_sequence_number() {
        assert!((0..1_000).all(|_| initial_sequence() < 1 << 15));
    }

    #[test]
    fn extensions_with_any_id_are_read_back() {
        for ids in [[1, 14, 4], [14, 16, 3], [255, 3, 1], [20, 21, 22]] {
            let mut extensions = HeaderExtensions::new(ids);
            extensions.push(ids[0], *b"12345678");
            extensions.push(ids[1], *b"abc");
            extensions.push(ids[2], *b"xy");
            let values: [&[u8]; 3] = [b"12345678", b"abc", b"xy"];
            for padding in [0, 44] {
                extensions.pad_to(padding);
                let header = read(RtpHeader::default(), &extensions);
                for (id, value) in ids.into_iter().zip(values) {
                    assert_eq!(header.get_extension(id).as_deref(), Some(value), "{id}");
                }
            }
        }
    }

    #[test]
    fn fields_are_read_back_and_without_extensions_there_are_none() {
        let fields =
            RtpHeader { payload_type: 97, marker: true, padding: false, number: 65_535, timestamp: 1 << 31, ssrc: 7 };
        let mut none = HeaderExtensions::new([]);
        none.pad_to(40);
        let header = read(fields, &none);
        assert_eq!((header.payload_type, header.marker, header.extension), (97, true, false));
        assert_eq!((header.sequence_number, header.timestamp, header.ssrc), (65_535, 1 << 31, 7));
        assert!(!header.padding && read(RtpHeader { padding: true, ..fields }, &none).padding);
    }

    #[test]
    fn the_value_of_an_extension_is_where_it_is_said_to_be() {
        for ids in [[1, 2], [1, 20]] {
            let mut extensions = HeaderExtensions::new(ids);
            extensions.push(ids[0], [9; 8]);
            let at = extensions.push(ids[1], [0; 2]);
            let mut packet = Vec::new();
            RtpHeader::default().write(&extensions, &mut packet);
            packet[at..at + 2].copy_from_slice(b"ok");
            let header = Header::unmarshal(&mut &packet[..]).expect("should be read");
            assert_eq!(header.get_extension(ids[1]).as_deref(), Some(&b"ok"[..]));
        }
    }
}
