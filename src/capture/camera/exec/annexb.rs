//! Splits an H.264 stream in Annex B format into access units (ITU-T H.264 section 7.4.1.2.3).
//!
//! An access unit is complete only when the next one begins, so a stream through a pipe is one frame late.

use crate::media::h264;
use crate::media::h264::nal_type;

/// `nal_unit_type` of supplemental enhancement information (table 7-1).
const SEI: u8 = 6;

/// Scans a growing stream, without looking at any byte twice.
#[derive(Debug, Default)]
pub struct AccessUnits {
    /// Where to look for the next start code.
    at: usize,
    /// Whether the access unit at the start of the buffer has a coded slice already.
    coded: bool,
}

/// What [`AccessUnits::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum AnnexBParse {
    /// A complete access unit of this length; the caller removes it.
    Unit(usize),
    /// This many bytes belong to no access unit; the caller removes them.
    Garbage(usize),
    /// Nothing is complete yet.
    Nothing,
}

impl AccessUnits {
    /// Looks for the end of the access unit at the start of `data`, which has grown since the last call, or had the
    /// last result removed.
    pub fn next(&mut self, data: &[u8]) -> AnnexBParse {
        loop {
            let Some(found) = memchr::memmem::find(&data[self.at.min(data.len())..], &[0, 0, 1]) else {
                // A start code may be cut off at the very end.
                self.at = data.len().saturating_sub(2).max(self.at);
                return AnnexBParse::Nothing;
            };
            let code = self.at + found;
            // The header, and the first byte of a slice's own.
            let Some(unit) = data.get(code + 3..).filter(|unit| unit.len() >= 2) else {
                self.at = code;
                return AnnexBParse::Nothing;
            };
            // A start code may have another zero.
            let begin = if code > 0 && data[code - 1] == 0 { code - 1 } else { code };
            if !self.coded && begin > 0 && !data.starts_with(&[0, 0]) {
                self.at = 0;
                return AnnexBParse::Garbage(begin);
            }
            if self.coded && begins_access_unit(unit) {
                *self = Self::default();
                return AnnexBParse::Unit(begin);
            }
            self.coded |= is_slice(unit);
            self.at = code + 3;
        }
    }
}

fn is_slice(unit: &[u8]) -> bool {
    // Slices with data partitions (2 to 4) are of the extended profile, which no camera and no browser has.
    matches!(nal_type(unit), 1 | h264::IDR)
}

/// Whether a NAL unit that follows a coded slice belongs to the next access unit.
fn begins_access_unit(unit: &[u8]) -> bool {
    match nal_type(unit) {
        SEI | h264::SPS | h264::PPS | h264::AUD | 14..=18 => true,
        // `first_mb_in_slice` is zero, which Exp-Golomb writes as a single 1: the first slice of a frame.
        _ => is_slice(unit) && unit[1] & 0x80 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0, 0, 0, 1, 0x67, 66, 0xc0];
    const PPS: &[u8] = &[0, 0, 0, 1, 0x68, 1];
    const AUD: &[u8] = &[0, 0, 0, 1, 0x09, 0xf0];
    const IDR: &[u8] = &[0, 0, 1, 0x65, 0x80, 7, 7];
    const IDR_REST: &[u8] = &[0, 0, 1, 0x65, 0x40, 8, 8];
    const P: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a, 9];
    const P_REST: &[u8] = &[0, 0, 1, 0x41, 0x10, 9];

    /// The access units of a stream that comes in pieces of `step` bytes, and how much garbage there was.
    fn split(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, usize) {
        let (mut units, mut garbage) = (Vec::new(), 0);
        let mut buffer = Vec::new();
        let mut follow = AccessUnits::default();
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match follow.next(&buffer) {
                    AnnexBParse::Unit(length) => units.push(buffer.drain(..length).collect()),
                    AnnexBParse::Garbage(length) => garbage += buffer.drain(..length).count(),
                    AnnexBParse::Nothing => break,
                }
            }
        }
        (units, garbage)
    }

    #[test]
    fn access_units_are_split_for_any_chunking() {
        let units = [[SPS, PPS, IDR, IDR_REST].concat(), [AUD, P, P_REST].concat(), P.to_vec(), P.to_vec()];
        let stream = units.concat();
        for step in 1..=stream.len() {
            // The last one has nothing behind it yet.
            assert_eq!(split(&stream, step), (units[..3].to_vec(), 0), "in pieces of {step}");
        }
    }

    #[test]
    fn bytes_before_the_first_start_code_are_garbage() {
        let stream = [b"starting\n".as_slice(), SPS, PPS, IDR, P, P].concat();
        for step in 1..=stream.len() {
            let (units, garbage) = split(&stream, step);
            assert_eq!((units, garbage), (vec![[SPS, PPS, IDR].concat(), P.to_vec()], 9), "in pieces of {step}");
        }
    }
}
