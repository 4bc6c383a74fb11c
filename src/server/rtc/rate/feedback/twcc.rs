//! The transport-wide feedback of draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.

use super::{Bytes, FeedbackError, MAX_STATUSES, PacketArrival, PacketStatus, Parsed};

/// The feedback message type.
pub const FORMAT: u8 = 15;

/// Microseconds in a unit of the reference time.
const REFERENCE_UNIT: i64 = 64_000;

/// Microseconds after which the reference time of 24 bits wraps: 12.4 days.
const PERIOD: i64 = (1 << 24) * REFERENCE_UNIT;

/// Microseconds in a unit of a receive delta.
const DELTA_UNIT: i64 = 250;

/// Whether a packet arrived, and how long its receive delta is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Lost,
    /// A delta of one byte, never negative.
    Small,
    /// A signed delta of two bytes.
    Large,
}

impl Symbol {
    fn new(bits: u16) -> Result<Self, FeedbackError> {
        match bits & 3 {
            0 => Ok(Self::Lost),
            1 => Ok(Self::Small),
            2 => Ok(Self::Large),
            _ => Err(FeedbackError::Symbol),
        }
    }
}

/// Parses what follows the RTCP header.
pub(super) fn parse(body: &[u8]) -> Result<Parsed, FeedbackError> {
    let mut bytes = Bytes(body);
    // The SSRCs of the sender and of a media stream: the feedback is for all streams.
    bytes.take::<8>()?;
    let base = bytes.u16()?;
    let count = usize::from(bytes.u16()?);
    let [high, middle, low, _feedback_count] = bytes.take()?;
    if count > MAX_STATUSES {
        return Err(FeedbackError::TooMany(count));
    }
    let reference = i64::from(u32::from_be_bytes([0, high, middle, low])) * REFERENCE_UNIT;
    let symbols = symbols(&mut bytes, count)?;
    let mut time = reference;
    let mut statuses = Vec::with_capacity(count);
    for (offset, symbol) in symbols.into_iter().enumerate() {
        let delta = match symbol {
            Symbol::Lost => None,
            Symbol::Small => Some(i64::from(bytes.take::<1>()?[0])),
            Symbol::Large => Some(i64::from(bytes.take().map(i16::from_be_bytes)?)),
        };
        let arrival = delta.map_or(PacketArrival::Lost, |delta| {
            time += delta * DELTA_UNIT;
            PacketArrival::At(time)
        });
        statuses.push(PacketStatus { number: base.wrapping_add(offset as u16), arrival });
    }
    Ok(Parsed { statuses, reference, period: PERIOD })
}

/// The status chunks, expanded to `count` symbols. The last chunk may have more than are needed.
fn symbols(bytes: &mut Bytes<'_>, count: usize) -> Result<Vec<Symbol>, FeedbackError> {
    let mut symbols = Vec::with_capacity(count);
    while symbols.len() < count {
        let missing = count - symbols.len();
        let chunk = bytes.u16()?;
        if chunk & 0x8000 == 0 {
            let length = usize::from(chunk & 0x1fff);
            let symbol = Symbol::new(chunk >> 13)?;
            symbols.extend(std::iter::repeat_n(symbol, length.min(missing)));
        } else if chunk & 0x4000 == 0 {
            for bit in (0..14).rev().take(missing) {
                symbols.push(Symbol::new(chunk >> bit & 1)?);
            }
        } else {
            for pair in (0..7).rev().take(missing) {
                symbols.push(Symbol::new(chunk >> (pair * 2))?);
            }
        }
    }
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feedback(
        base: u16,
        count: u16,
        chunks: &[u16],
        deltas: &[u8],
    ) -> Result<Vec<(u16, PacketArrival)>, FeedbackError> {
        let mut body = vec![0; 8];
        body.extend(base.to_be_bytes());
        body.extend(count.to_be_bytes());
        body.extend([0, 0, 2, 9]);
        body.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
        body.extend(deltas);
        Ok(parse(&body)?.statuses.into_iter().map(|status| (status.number, status.arrival)).collect())
    }

    #[test]
    fn runs_and_vectors_are_expanded() {
        // Two small deltas as a run; a vector of bits: arrived, lost, arrived; a vector of pairs: large, lost.
        let chunks = [0x2002, 0b1010_1000_0000_0000, 0b1110_0000_0000_0000];
        let read = feedback(65_534, 18, &chunks, &[4, 8, 0, 1, 0xff, 0xfc]).expect("valid");
        let at = |units: i64| PacketArrival::At(128_000 + units * 250);
        assert_eq!(read[..5], [(65_534, at(4)), (65_535, at(12)), (0, at(12)), (1, PacketArrival::Lost), (2, at(13))]);
        assert_eq!(read[16..], [(14, at(9)), (15, PacketArrival::Lost)]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(feedback(0, 1, &[], &[]), Err(FeedbackError::Truncated), "no chunk");
        assert_eq!(feedback(0, 2, &[0x2002], &[1]), Err(FeedbackError::Truncated), "a delta is missing");
        assert_eq!(feedback(0, 1, &[0x6001], &[]), Err(FeedbackError::Symbol));
        assert_eq!(feedback(0, 9_000, &[0x1fff, 0x1fff], &[]), Err(FeedbackError::TooMany(9_000)));
        assert_eq!(feedback(0, 0, &[], &[]), Ok(vec![]));
        assert_eq!(feedback(0, 1, &[0, 0, 0], &[]), Err(FeedbackError::Truncated), "runs of no packets");
    }
}
