//! Reads congestion control feedback from a viewer's RTCP: which packets arrived, and when on the viewer's clock.
//!
//! The format is in `twcc`; this file makes one continuous clock of its wrapping timestamps. What was sent is in `history`.

mod twcc;

/// Packets that one feedback may report on: four times what `history` remembers. More is an attack on memory.
const MAX_STATUSES: usize = 8_192;

/// RTCP's packet type for transport layer feedback (RFC 4585).
const TRANSPORT_FEEDBACK: u8 = 205;

/// What a feedback says about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketStatus {
    /// Its transport-wide number.
    pub number: u16,
    /// When it arrived.
    pub arrival: PacketArrival,
}

/// Whether and when a packet arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketArrival {
    /// It has not arrived.
    Lost,
    /// It has: microseconds on the viewer's clock, whose zero is arbitrary.
    At(i64),
}

/// Why a feedback was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// It ends early.
    #[error("congestion control feedback ends early")]
    Truncated,
    /// Its header contradicts itself or has another version.
    #[error("congestion control feedback has a malformed header")]
    Header,
    /// It uses a symbol that the format reserves.
    #[error("congestion control feedback has a reserved status symbol")]
    Symbol,
    /// It reports on more packets than any viewer can have outstanding.
    #[error("congestion control feedback reports on {0} packets, more than {MAX_STATUSES}")]
    TooMany(usize),
}

/// A parsed feedback, before its clock is unwrapped.
struct Parsed {
    statuses: Vec<PacketStatus>,
    /// The feedback's own time in microseconds; the arrivals are relative to the same zero.
    reference: i64,
    /// After how many microseconds the clock wraps.
    period: i64,
}

/// Whether an RTCP packet is congestion control feedback.
pub fn is_congestion_feedback(packet: &[u8]) -> bool {
    matches!(packet, [first, TRANSPORT_FEEDBACK, ..] if first & 0x1f == twcc::FORMAT)
}

/// Reads the feedback of one viewer.
#[derive(Debug, Default)]
pub struct FeedbackReader {
    /// The last reference time, unwrapped.
    last: Option<i64>,
}

impl FeedbackReader {
    /// A reader that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one RTCP packet (not a compound); `None` if it is another kind of packet.
    ///
    /// # Errors
    ///
    /// If it is congestion control feedback, but malformed. Nothing of it counts then.
    pub fn read(&mut self, packet: &[u8]) -> Result<Option<Vec<PacketStatus>>, FeedbackError> {
        let &[first, TRANSPORT_FEEDBACK, ..] = packet else { return Ok(None) };
        if first & 0x1f != twcc::FORMAT {
            return Ok(None);
        }
        let parsed = twcc::parse(body(packet)?)?;
        let shift = self.unwrap(parsed.reference, parsed.period).wrapping_sub(parsed.reference);
        let mut statuses = parsed.statuses;
        for status in &mut statuses {
            if let PacketArrival::At(time) = &mut status.arrival {
                *time = time.wrapping_add(shift);
            }
        }
        Ok(Some(statuses))
    }

    /// The reference time on a clock that does not wrap: the nearest one to the last. A feedback that was overtaken may
    /// be from before it.
    fn unwrap(&mut self, reference: i64, period: i64) -> i64 {
        let unwrapped = match self.last {
            Some(last) => {
                let ahead = reference.wrapping_sub(last).rem_euclid(period);
                last.wrapping_add(if ahead < period / 2 { ahead } else { ahead - period })
            }
            None => reference,
        };
        self.last = Some(unwrapped);
        unwrapped
    }
}

/// What follows the RTCP header, without padding.
fn body(packet: &[u8]) -> Result<&[u8], FeedbackError> {
    let header = packet.first_chunk::<4>().ok_or(FeedbackError::Truncated)?;
    if header[0] >> 6 != 2 {
        return Err(FeedbackError::Header);
    }
    let length = (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1) * 4;
    let packet = packet.get(4..length).ok_or(FeedbackError::Truncated)?;
    if header[0] & 0x20 == 0 {
        return Ok(packet);
    }
    let padding = usize::from(*packet.last().ok_or(FeedbackError::Header)?);
    if padding == 0 {
        return Err(FeedbackError::Header);
    }
    let kept = packet.len().checked_sub(padding).ok_or(FeedbackError::Header)?;
    Ok(&packet[..kept])
}

/// Takes bytes from the front of a slice.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FeedbackError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(FeedbackError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, FeedbackError> {
        self.take().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A transport-wide feedback of one packet that arrived at `reference` * 64 ms.
    fn transport(number: u16, reference: u32) -> Vec<u8> {
        let [_, high, middle, low] = reference.to_be_bytes();
        let number = number.to_be_bytes();
        let mut packet = vec![0x8f, TRANSPORT_FEEDBACK, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2];
        packet.extend([number[0], number[1], 0, 1, high, middle, low, 0, 0x20, 1, 0, 0]);
        packet
    }

    #[test]
    fn other_packets_are_none_of_its_business() {
        let mut reader = FeedbackReader::new();
        assert_eq!(reader.read(&[]), Ok(None));
        assert_eq!(reader.read(&[0x81, 201, 0, 1, 0, 0, 0, 1]), Ok(None), "a receiver report");
        assert_eq!(reader.read(&[0x81, TRANSPORT_FEEDBACK, 0, 1, 0, 0, 0, 1]), Ok(None), "a NACK");
    }

    #[test]
    fn the_clock_goes_on_where_the_reference_time_wraps() {
        let mut reader = FeedbackReader::new();
        let mut at =
            |reference| match reader.read(&transport(7, reference)).expect("valid").expect("feedback")[0].arrival {
                PacketArrival::At(time) => time,
                other => panic!("{other:?}"),
            };
        let before = at(0x00ff_ffff);
        assert_eq!(at(0) - before, 64_000);
        assert_eq!(at(0x00ff_ffff), before, "an overtaken feedback is from before the wrap");
    }

    #[test]
    fn lengths_and_padding_are_checked() {
        let mut reader = FeedbackReader::new();
        let whole = transport(1, 1);
        for end in 2..whole.len() {
            assert_eq!(reader.read(&whole[..end]), Err(FeedbackError::Truncated), "{end} bytes");
        }
        let mut padded = whole.clone();
        padded[0] |= 0x20;
        padded[3] += 1;
        padded.extend([0, 0, 0, 4]);
        assert!(reader.read(&padded).is_ok_and(|read| read.is_some_and(|statuses| statuses.len() == 1)));
        for padding in [0, 255] {
            *padded.last_mut().expect("not empty") = padding;
            assert_eq!(reader.read(&padded), Err(FeedbackError::Header), "padding of {padding}");
        }
        let mut version = whole;
        version[0] &= 0x3f;
        assert_eq!(reader.read(&version), Err(FeedbackError::Header));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic_or_grow(
            flags in 0u8..2,
            mut content in proptest::collection::vec(any::<u8>(), 0..1_500),
        ) {
            content.truncate(content.len() / 4 * 4);
            let length = (content.len() / 4) as u16;
            let mut packet = vec![0x80 | flags << 5 | twcc::FORMAT, TRANSPORT_FEEDBACK];
            packet.extend(length.to_be_bytes());
            packet.extend(content);
            let mut reader = FeedbackReader::new();
            for _ in 0..2 {
                if let Ok(Some(statuses)) = reader.read(&packet) {
                    prop_assert!(statuses.len() <= MAX_STATUSES);
                }
            }
        }
    }
}
