//! Reads the chunks of an SCTP packet (RFC 9260) before the library does. Pure.
//!
//! What they mean for a session is decided in `sctp_guard`.

/// The common header of a packet (RFC 9260 section 3.1).
pub const HEADER_LEN: usize = 12;

/// Chunk types (RFC 9260 section 3.2, RFC 6525 section 3.1, RFC 3758 section 3.2).
pub mod chunk {
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const SACK: u8 = 3;
    pub const ABORT: u8 = 6;
    pub const ERROR: u8 = 9;
    pub const RECONFIG: u8 = 130;
    pub const FORWARD_TSN: u8 = 192;
}

/// The chunks of a packet: type and value. What follows a malformed one is left to the library, which rejects the
/// packet.
pub fn chunks(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = packet.get(HEADER_LEN..).unwrap_or_default();
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((header[0], value))
    })
}

/// Whether each cause of an ABORT or ERROR chunk ends within it. The library fails with one that does not; it reads them one
/// after another without padding (rtc-sctp 0.21.1, `ErrorCause::unmarshal`).
pub fn fits_causes(mut causes: &[u8]) -> bool {
    while let Some(header) = causes.first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        match causes.get(length..) {
            // The library rejects one that is shorter than its header.
            Some(_) if length < header.len() => return true,
            Some(rest) => causes = rest,
            None => return false,
        }
    }
    true
}

/// The 32 bits at an offset; `None` beyond the end.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
