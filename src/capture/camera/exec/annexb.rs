//! Splits an H.264 stream in Annex B format into access units (ITU-T H.264 section 7.4.1.2.3).
//!
//! Only the beginning of the next access unit shows that one is complete, so a stream through a pipe would be one frame
//! late, and its last frame would never come. A unit that looks complete can therefore be released when nothing more
//! arrives; should the rest come nevertheless, that is reported.

use crate::media::h264;
use crate::media::h264::nal_type;

/// `nal_unit_type` of supplemental enhancement information (table 7-1).
const SEI: u8 = 6;

/// Units whose end was seen before one is released without: they show how many slices a frame has.
const OBSERVED: u32 = 2;

/// Scans a growing stream, without looking at any byte twice.
#[derive(Debug, Default)]
pub struct AccessUnits {
    /// Where to look for the next start code.
    at: usize,
    /// The coded slices of the access unit at the start of the buffer so far.
    slices: usize,
    /// The most slices that a unit had so far.
    most_slices: usize,
    /// Units whose end was seen.
    seen: u32,
    /// Whether the unit before was released without its end.
    released: bool,
}

/// What [`AccessUnits::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum AnnexBParse {
    /// A complete access unit of this length; the caller removes it.
    Unit(usize),
    /// This many bytes belong to no access unit; the caller removes them.
    Garbage(usize),
    /// This many bytes belong to the unit that was released too early; the caller removes them.
    Late(usize),
    /// Nothing is complete yet.
    Nothing,
}

impl AccessUnits {
    /// Looks for the end of the access unit at the start of `data`, which has grown since the last call, or had the
    /// last result removed.
    pub fn next(&mut self, data: &[u8]) -> AnnexBParse {
        loop {
            let Some(found) = memchr::memmem::find(&data[self.at.min(data.len())..], &[0, 0, 1]) else {
                if self.released && self.slices == 0 && !is_start(data) {
                    return AnnexBParse::Late(data.len() - zeros_at_end(data));
                }
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
            if self.slices == 0 && begin > 0 && !is_start(data) {
                self.at = 0;
                return if self.released { AnnexBParse::Late(begin) } else { AnnexBParse::Garbage(begin) };
            }
            if self.slices > 0 && begins_access_unit(unit) {
                self.most_slices = self.most_slices.max(self.slices);
                self.seen = self.seen.saturating_add(1);
                (self.at, self.slices, self.released) = (0, 0, false);
                return AnnexBParse::Unit(begin);
            }
            if self.slices == 0 && self.released && is_slice(unit) && !begins_access_unit(unit) {
                return self.late_slice(data, code + 3);
            }
            self.slices += usize::from(is_slice(unit));
            self.at = code + 3;
        }
    }

    /// A slice that is not the first of a frame, and whose frame was released without it. Its end may not have arrived yet;
    /// then the rest of it is late as well.
    fn late_slice(&mut self, data: &[u8], from: usize) -> AnnexBParse {
        self.at = 0;
        self.most_slices += 1;
        let next = memchr::memmem::find(&data[from..], &[0, 0, 1]).map(|found| from + found);
        AnnexBParse::Late(next.unwrap_or_else(|| data.len() - zeros_at_end(data)))
    }

    /// Whether the access unit at the start of the buffer looks complete: it has as many slices as any before it.
    pub fn looks_complete(&self) -> bool {
        self.seen >= OBSERVED && self.slices > 0 && self.slices >= self.most_slices
    }

    /// Whether the buffer begins with at least a part of an access unit that can be shown.
    pub fn has_slices(&self) -> bool {
        self.slices > 0
    }

    /// The caller takes the whole buffer as an access unit.
    pub fn release(&mut self) {
        (self.at, self.slices, self.released) = (0, 0, true);
    }
}

/// Whether the data begin with a start code, as far as they show; any number of zeros may precede it.
fn is_start(data: &[u8]) -> bool {
    match data.iter().position(|byte| *byte != 0) {
        Some(zeros) => zeros >= 2 && data[zeros] == 1,
        None => true,
    }
}

/// Zeros at the end of the data may belong to a start code.
fn zeros_at_end(data: &[u8]) -> usize {
    data.iter().rev().take(3).take_while(|byte| **byte == 0).count()
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
                    AnnexBParse::Garbage(length) | AnnexBParse::Late(length) => {
                        garbage += buffer.drain(..length).count()
                    }
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

    /// A stream whose first units have ended, with `unit` at the start of the buffer.
    fn settled(stream: &[&[u8]], unit: &[u8]) -> (AccessUnits, Vec<u8>) {
        let mut follow = AccessUnits::default();
        let mut buffer = [&stream.concat(), unit].concat();
        while let AnnexBParse::Unit(length) = follow.next(&buffer) {
            assert!(!follow.looks_complete());
            buffer.drain(..length);
        }
        assert_eq!(buffer, unit);
        (follow, buffer)
    }

    #[test]
    fn unit_with_all_its_slices_looks_complete_without_the_next() {
        let (mut follow, _) = settled(&[SPS, PPS, IDR, P], P);
        assert!(follow.looks_complete());
        follow.release();
        // The next one begins as if nothing had happened.
        assert_eq!(follow.next(&[P, P].concat()), AnnexBParse::Unit(P.len()));
        assert_eq!(follow.next(P), AnnexBParse::Nothing);
        assert!(follow.looks_complete());

        let (follow, _) = settled(&[SPS, PPS, IDR, IDR_REST, P, P_REST], P);
        assert!(!follow.looks_complete(), "one of two slices");
        let (follow, _) = settled(&[SPS, PPS, IDR, IDR_REST, P, P_REST], &[P, P_REST].concat());
        assert!(follow.looks_complete());
        let (follow, _) = settled(&[SPS, PPS, IDR], P);
        assert!(!follow.looks_complete(), "too few were seen");
    }

    #[test]
    fn rest_of_a_released_unit_is_late() {
        let (mut follow, _) = settled(&[SPS, PPS, IDR, P], P);
        follow.release();
        let rest = [1, 2, 3];
        assert_eq!(follow.next(&rest), AnnexBParse::Late(3), "the end of a slice");
        let stream = [&rest[..], P].concat();
        assert_eq!(follow.next(&stream), AnnexBParse::Late(3));
        // Another slice of the same frame; from now on two are waited for.
        let stream = [P_REST, P, P_REST, P].concat();
        assert_eq!(follow.next(&stream), AnnexBParse::Late(P_REST.len() + 1), "with a zero of the next start code");
        assert_eq!(follow.next(P), AnnexBParse::Nothing);
        assert!(!follow.looks_complete());
        assert_eq!(follow.next(&[P, P_REST, P].concat()), AnnexBParse::Unit(P.len() + P_REST.len()));
    }
}
