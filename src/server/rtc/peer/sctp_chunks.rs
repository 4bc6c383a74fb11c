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
    pub const HEARTBEAT: u8 = 4;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
    pub const RECONFIG: u8 = 130;
    pub const FORWARD_TSN: u8 = 192;
}

/// Parameter types whose length the library takes from their content (RFC 6525 section 4.4, RFC 4895 section 3.3, RFC 3758
/// section 3.1).
pub mod parameter {
    pub const OUTGOING_RESET_REQUEST: usize = 13;
    pub const RECONFIG_RESPONSE: usize = 16;
    pub const REQUESTED_HMAC_ALGORITHM: usize = 0x8004;
    pub const FORWARD_TSN_SUPPORTED: usize = 0xC000;
}

/// What precedes the parameters of an INIT and the blocks of a SACK.
const INIT_LEN: usize = 16;
const SACK_LEN: usize = 12;

/// The header of a parameter or a cause: type and length.
const HEADER: usize = 4;

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

/// Whether the library reads a chunk to its end. It takes what it leaves for further chunks (rtc-sctp 0.21.1,
/// `Packet::unmarshal`), which nothing has checked then.
pub fn is_read_whole(kind: u8, value: &[u8]) -> bool {
    let read = match kind {
        chunk::INIT | chunk::INIT_ACK => value.get(INIT_LEN..).and_then(|parameters| {
            // The library does not read an empty parameter at the end.
            read_parameters(parameters, usize::MAX, HEADER + 1).map(|read| INIT_LEN + read)
        }),
        chunk::SACK => halves(value, 8).map(|[gaps, duplicates]| SACK_LEN + 4 * (gaps + duplicates)),
        chunk::HEARTBEAT => read_parameters(value, 1, HEADER),
        chunk::RECONFIG => read_parameters(value, 2, HEADER),
        chunk::ABORT | chunk::ERROR => read_causes(value),
        chunk::COOKIE_ACK | chunk::SHUTDOWN_ACK | chunk::SHUTDOWN_COMPLETE => Some(0),
        // These it reads to their end, and refuses a packet with any other.
        _ => return true,
    };
    read.is_some_and(|read| read.next_multiple_of(4) == value.len().next_multiple_of(4))
}

/// The parameters of a chunk: type and value. What follows a malformed one is left out.
pub fn parameters(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [kind, length] = halves(rest, 0)?;
        let value = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The bytes that the library reads of parameters, of which there may be so many; it stops where fewer than `least` bytes are
/// left. `None` if it would read one otherwise than it says.
fn read_parameters(parameters: &[u8], most: usize, least: usize) -> Option<usize> {
    let (mut read, mut end) = (0, 0);
    for _ in 0..most {
        let left = parameters.len().saturating_sub(read);
        let Some([kind, length]) = halves(parameters, read).filter(|_| left >= least) else { break };
        let as_it_says = match kind {
            parameter::RECONFIG_RESPONSE => length == 12,
            parameter::REQUESTED_HMAC_ALGORITHM => length.is_multiple_of(2),
            parameter::FORWARD_TSN_SUPPORTED => length == HEADER,
            _ => true,
        };
        if !as_it_says || !(HEADER..=left).contains(&length) {
            return None;
        }
        end = read + length;
        read = end.next_multiple_of(4);
    }
    Some(end)
}

/// The bytes that the library reads of the causes of an ABORT or ERROR chunk, one after another without padding. `None` if one does
/// not end within it, with which the library fails (rtc-sctp 0.21.1, `ErrorCause::unmarshal`), or is shorter than its header.
fn read_causes(causes: &[u8]) -> Option<usize> {
    let mut read = 0;
    while let Some([_, length]) = halves(causes, read) {
        if length < HEADER || read + length > causes.len() {
            return None;
        }
        read += length;
    }
    Some(read)
}

/// The 32 bits at an offset; `None` beyond the end.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The two numbers of 16 bits each at an offset.
pub fn halves(bytes: &[u8], at: usize) -> Option<[usize; 2]> {
    word(bytes, at).map(|word| [word >> 16, word & 0xffff].map(|half| half as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter or cause, without padding.
    fn parameter(kind: u16, length: u16, bytes: usize) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), &vec![7; bytes]].concat()
    }

    /// A chunk that nothing has checked, if the library reads what stands before it otherwise than the guard.
    const HIDDEN: [u8; 8] = [chunk::FORWARD_TSN, 0, 0, 8, 0x24, 0xff, 0xff, 0xf8];

    #[test]
    fn what_the_library_takes_for_another_chunk_does_not_pass() {
        let init = |parameters: &[u8]| [&[1; 16], parameters].concat();
        let sack = |gaps: u16, bytes: usize| [&[0; 8][..], &gaps.to_be_bytes(), &[0; 2], &vec![9; bytes]].concat();
        let supported = parameter(0x8008, 6, 2);
        let forward = parameter(0xC000, 4, 0);
        let padded = [&supported[..], &[0; 2]].concat();
        let reset = parameter(13, 18, 14);
        let response = parameter(16, 12, 8);
        let padded_reset = [&reset[..], &[0; 2]].concat();
        for (kind, value, passes) in [
            (chunk::INIT, init(&[]), true),
            (chunk::INIT, init(&[&forward[..], &supported].concat()), true),
            (chunk::INIT_ACK, init(&[&padded[..], &parameter(7, 12, 8)].concat()), true),
            (chunk::INIT, init(&padded), true),
            // The library stops before it, and fails.
            (chunk::INIT, init(&[&padded[..], &forward].concat()), false),
            (chunk::INIT, init(&[&padded[..], &[0; 2]].concat()), false),
            (chunk::INIT, init(&[parameter(0xC000, 12, 0), HIDDEN.to_vec()].concat()), false),
            (chunk::INIT, init(&parameter(0x8008, 5_000, 8)), false),
            (chunk::INIT_ACK, init(&[parameter(7, 2, 0), HIDDEN.to_vec()].concat()), false),
            (chunk::INIT, init(&[])[..15].to_vec(), false),
            (chunk::SACK, sack(0, 0), true),
            (chunk::SACK, sack(2, 8), true),
            (chunk::SACK, sack(1, 8), false),
            (chunk::SACK, [sack(0, 0), HIDDEN.to_vec()].concat(), false),
            (chunk::HEARTBEAT, parameter(1, 9, 5), true),
            (chunk::HEARTBEAT, [parameter(1, 8, 4), HIDDEN.to_vec()].concat(), false),
            (chunk::RECONFIG, reset.clone(), true),
            (chunk::RECONFIG, [&padded_reset[..], &response].concat(), true),
            (chunk::RECONFIG, [&response[..], &response, &HIDDEN].concat(), false),
            (chunk::RECONFIG, [parameter(16, 20, 8), HIDDEN.to_vec()].concat(), false),
            (chunk::ERROR, Vec::new(), true),
            (chunk::ABORT, [parameter(12, 9, 5), parameter(12, 8, 4)].concat(), true),
            (chunk::ERROR, [parameter(12, 8, 4), vec![0; 2]].concat(), false),
            (chunk::COOKIE_ACK, Vec::new(), true),
            (chunk::COOKIE_ACK, HIDDEN.to_vec(), false),
            (chunk::SHUTDOWN_ACK, HIDDEN.to_vec(), false),
            (chunk::SHUTDOWN_COMPLETE, HIDDEN.to_vec(), false),
            (chunk::DATA, vec![0; 13], true),
        ] {
            assert_eq!(is_read_whole(kind, &value), passes, "{kind}: {value:?}");
        }
    }
}
