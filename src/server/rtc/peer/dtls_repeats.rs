//! Tells what the viewer repeats of its DTLS handshake (RFC 6347 section 4.2.4) from what is new. Pure.
//!
//! Whoever repeats a flight has not received the answer, which must then be sent again. The library (rtc-dtls 0.21.1,
//! `DTLSConn::wait`) does not: any message stops its timer, so that after a repeated one nothing is sent again any more,
//! and the handshake never ends.

use crate::server::rtc::mux::dtls_guard::records;

/// The content type of handshake messages (RFC 5246 section 6.2.1).
const HANDSHAKE: u8 = 22;

/// The header of a message (RFC 6347 section 4.2.2): type, length, number, offset and length of the fragment.
const HEADER_LEN: usize = 12;

/// The fragments remembered: a handshake has fewer than twenty.
const MAX_FRAGMENTS: usize = 128;

/// A message or a part of it: its number, and the offset and the length of the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fragment(u16, u32, u32);

/// The messages that have come, and which of them are answered.
#[derive(Debug, Default)]
pub struct DtlsRepeats {
    /// In the order in which they came first.
    seen: Vec<Fragment>,
    /// How many of them our last flight answers.
    answered: usize,
}

impl DtlsRepeats {
    /// Whether a datagram only repeats what is answered already.
    pub fn is_repeat(&mut self, datagram: &[u8]) -> bool {
        let (mut is_repeat, mut count) = (true, 0);
        for record in records(datagram) {
            if record.content != HANDSHAKE || record.epoch > 0 {
                is_repeat = false;
                continue;
            }
            for fragment in fragments(record.payload) {
                count += 1;
                is_repeat &= self.seen[..self.answered].contains(&fragment);
                if !self.seen.contains(&fragment) && self.seen.len() < MAX_FRAGMENTS {
                    self.seen.push(fragment);
                }
            }
        }
        is_repeat && count > 0
    }

    /// Notes that a flight was sent in answer to all that has come.
    pub fn note_answered(&mut self) {
        self.answered = self.seen.len();
    }
}

/// The messages, or fragments of messages, of a record, up to one that is cut off.
fn fragments(payload: &[u8]) -> impl Iterator<Item = Fragment> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER_LEN>()?;
        let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]);
        let fragment = Fragment(u16::from_be_bytes([header[4], header[5]]), number(6), number(9));
        rest = rest.get(HEADER_LEN + fragment.2 as usize..)?;
        Some(fragment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rtc::mux::dtls_guard::tests::record;

    /// A message, of which the content does not matter.
    fn message(number: u16, length: usize) -> Vec<u8> {
        let mut message = vec![2, 0, 0, length as u8];
        message.extend(number.to_be_bytes());
        message.extend([0, 0, 0, 0, 0, length as u8]);
        message.resize(HEADER_LEN + length, 7);
        message
    }

    fn handshake(epoch: u16, numbers: &[u16]) -> Vec<u8> {
        record(HANDSHAKE, epoch, &numbers.iter().flat_map(|number| message(*number, 20)).collect::<Vec<_>>())
    }

    #[test]
    fn what_was_answered_is_a_repeat_and_nothing_else() {
        let mut repeats = DtlsRepeats::default();
        let flight = [handshake(0, &[0, 1]), handshake(0, &[2])].concat();
        assert!(!repeats.is_repeat(&flight) && !repeats.is_repeat(&flight), "it is not answered yet");
        repeats.note_answered();
        assert!(repeats.is_repeat(&flight) && repeats.is_repeat(&handshake(0, &[1])));
        assert!(!repeats.is_repeat(&handshake(0, &[2, 3])), "a part of it is new");
        assert!(!repeats.is_repeat(&[flight.clone(), record(20, 0, &[1])].concat()), "keys are changed");
        assert!(!repeats.is_repeat(&handshake(1, &[0])), "it is encrypted");
        repeats.note_answered();
        assert!(repeats.is_repeat(&handshake(0, &[3])));
    }

    #[test]
    fn a_part_of_a_message_is_no_repeat_of_another_part() {
        let part = |offset: u8| {
            let mut message = message(1, 20);
            message[8] = offset;
            record(HANDSHAKE, 0, &message)
        };
        let mut repeats = DtlsRepeats::default();
        assert!(!repeats.is_repeat(&part(0)));
        // The library answers the message before this one once more.
        repeats.note_answered();
        assert!(!repeats.is_repeat(&part(20)) && repeats.is_repeat(&part(0)));
    }

    #[test]
    fn no_number_of_fragments_grows_the_memory() {
        let mut repeats = DtlsRepeats::default();
        for number in 0..1_000 {
            repeats.is_repeat(&handshake(0, &[number]));
        }
        repeats.note_answered();
        assert_eq!(repeats.seen.len(), MAX_FRAGMENTS);
        assert!(repeats.is_repeat(&handshake(0, &[0])) && !repeats.is_repeat(&handshake(0, &[999])));
    }

    #[test]
    fn what_cannot_be_read_is_no_repeat() {
        let mut repeats = DtlsRepeats::default();
        let flight = handshake(0, &[0, 1]);
        repeats.is_repeat(&flight);
        repeats.note_answered();
        for length in 0..flight.len() {
            assert!(!repeats.is_repeat(&flight[..length]), "{length} bytes");
        }
        assert!(!repeats.is_repeat(&record(HANDSHAKE, 0, &message(0, 20)[..31])), "a message is cut off");
    }
}
