//! Splits a stream of JPEGs into frames (ITU-T T.81 annex B).
//!
//! Segments are skipped by their length, so that the thumbnail that some cameras embed in the header is not mistaken
//! for a frame. Decoding does not belong here.

use memchr::memchr;

/// Scans a growing stream, without looking at any byte twice.
#[derive(Debug, Default)]
pub struct JpegSplitter {
    /// Where to continue.
    at: usize,
    /// Whether that is inside entropy-coded data, which has no length.
    in_scan: bool,
    /// Whether there has been any.
    scanned: bool,
    /// Width and height, once the frame header was parsed.
    size: Option<(u32, u32)>,
}

/// What [`JpegSplitter::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum JpegParse {
    /// A frame of this length, which may lack its end; the caller removes it.
    Frame {
        /// Its length in bytes.
        length: usize,
        /// Width and height in pixels.
        size: (u32, u32),
    },
    /// This many bytes belong to no complete frame; the caller removes them.
    Garbage(usize),
    /// Nothing is complete yet.
    Nothing,
}

/// Start of image, and the first byte of the marker that always follows.
const BEGIN: [u8; 3] = [0xff, 0xd8, 0xff];

impl JpegSplitter {
    /// Looks for the end of the frame at the start of `data`, which has grown since the last call, or had the last
    /// result removed.
    pub fn next(&mut self, data: &[u8]) -> JpegParse {
        if self.at == 0 {
            let head = &data[..data.len().min(BEGIN.len())];
            if !BEGIN.starts_with(head) {
                return self.garbage(data, 1);
            }
            if head.len() < BEGIN.len() {
                return JpegParse::Nothing;
            }
            self.at = 2;
        }
        loop {
            if self.in_scan {
                let Some(found) = data.get(self.at..).and_then(|rest| memchr(0xff, rest)) else {
                    // Further if the scan header is not complete.
                    self.at = self.at.max(data.len());
                    return JpegParse::Nothing;
                };
                self.at += found;
                match data.get(self.at + 1) {
                    None => return JpegParse::Nothing,
                    // A stuffed byte, a restart marker, a fill byte.
                    Some(0 | 0xd0..=0xd7) => self.at += 2,
                    Some(0xff) => self.at += 1,
                    Some(_) => self.in_scan = false,
                }
                continue;
            }
            let (Some(&begin), Some(&marker)) = (data.get(self.at), data.get(self.at + 1)) else {
                return JpegParse::Nothing;
            };
            match (begin, marker) {
                (0xff, 0xff) => self.at += 1,
                (0xff, 0x01 | 0xd0..=0xd7) => self.at += 2,
                (0xff, 0xd9) => {
                    let length = self.at + 2;
                    let Some(size) = self.size else { return self.garbage(data, length) };
                    *self = Self::default();
                    return JpegParse::Frame { length, size };
                }
                // The frame was cut off, or its end was left out, and the next one has begun. What was scanned is a picture.
                (0xff, 0xd8) => match (self.scanned, self.size) {
                    (true, Some(size)) => {
                        let length = self.at;
                        *self = Self::default();
                        return JpegParse::Frame { length, size };
                    }
                    _ => return self.garbage(data, self.at),
                },
                (0xff, 0xc0..=0xfe) => match self.segment(data, marker) {
                    Segment::Whole(length) => {
                        self.at += 2 + length;
                        self.in_scan = marker == 0xda;
                        self.scanned |= self.in_scan;
                    }
                    Segment::Cut => return JpegParse::Nothing,
                    Segment::Wrong => return self.garbage(data, self.at),
                },
                _ => return self.garbage(data, self.at),
            }
        }
    }

    /// Nothing more comes: the size of the frame at the start of the buffer, if there is something to see of it.
    pub fn finish(&mut self) -> Option<(u32, u32)> {
        let Self { scanned, size, .. } = std::mem::take(self);
        size.filter(|_| scanned)
    }

    /// Parses the segment at `self.at`; the size in a frame header is remembered.
    fn segment(&mut self, data: &[u8], marker: u8) -> Segment {
        let Some(&[high, low]) = data.get(self.at + 2..self.at + 4).and_then(|bytes| bytes.first_chunk()) else {
            return Segment::Cut;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Segment::Wrong;
        }
        // Frame headers are 0xc0 to 0xcf but for tables (0xc4, 0xcc) and a reserved one (0xc8).
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            // Length, precision, height, width.
            let Some(header) = data.get(self.at + 5..self.at + 9) else { return Segment::Cut };
            let number = |at: usize| u32::from(u16::from_be_bytes([header[at], header[at + 1]]));
            self.size = Some((number(2), number(0)));
        }
        Segment::Whole(length)
    }

    /// Everything before the next start of a frame at or after `from` is garbage.
    fn garbage(&mut self, data: &[u8], from: usize) -> JpegParse {
        *self = Self::default();
        let from = from.min(data.len());
        let next = memchr::memmem::find(&data[from..], &BEGIN).map(|found| from + found);
        // A start marker may be cut off at the very end.
        JpegParse::Garbage(next.unwrap_or_else(|| (data.len().saturating_sub(BEGIN.len() - 1)).max(from)))
    }
}

enum Segment {
    /// Its length, including the length field.
    Whole(usize),
    /// Its header is incomplete.
    Cut,
    /// It is invalid.
    Wrong,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of 64 x 48 with a preview in its header, stuffed bytes and restart markers.
    fn jpeg(tail: u8) -> Vec<u8> {
        let mut picture = vec![0xff, 0xd8];
        picture.extend([0xff, 0xe1, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0, 0]);
        picture.extend([0xff, 0xc4, 0, 3, 0]);
        picture.extend([0xff, 0xff, 0xc0, 0, 11, 8, 0, 48, 0, 64, 1, 1, 0x11, 0]);
        picture.extend([0xff, 0xda, 0, 3, 0, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, tail]);
        picture.extend([0xff, 0xd9]);
        picture
    }

    fn is_picture(data: &[u8]) -> bool {
        [jpeg(5), jpeg(6)].iter().any(|picture| picture == data)
    }

    fn split(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, usize) {
        let (mut pictures, mut garbage) = (Vec::new(), 0);
        let mut buffer = Vec::new();
        let mut follow = JpegSplitter::default();
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match follow.next(&buffer) {
                    JpegParse::Frame { length, size } => {
                        let picture: Vec<u8> = buffer.drain(..length).collect();
                        assert!(size == (64, 48) || !is_picture(&picture), "{size:?}");
                        pictures.push(picture);
                    }
                    JpegParse::Garbage(0) | JpegParse::Nothing => break,
                    JpegParse::Garbage(length) => garbage += buffer.drain(..length).count(),
                }
            }
        }
        (pictures, garbage)
    }

    #[test]
    fn frames_are_split_for_any_chunking() {
        let pictures = [jpeg(5), jpeg(6)];
        let stream = pictures.concat();
        for step in 1..=stream.len() {
            assert_eq!(split(&stream, step), (pictures.to_vec(), 0), "in pieces of {step}");
        }
    }

    #[test]
    fn scan_header_may_be_split_across_chunks() {
        let whole = jpeg(5);
        let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).expect("should have a scan");
        // Not that a header would have such bytes: but what has no scan yet must not be read as one.
        let mut odd = whole.clone();
        odd.splice(scan + 3..scan + 5, [4, 0xff, 0xd9]);
        for step in 1..=odd.len() {
            assert_eq!(split(&odd, step), (vec![odd.clone()], 0), "in pieces of {step}");
        }
    }

    #[test]
    fn frame_without_end_ends_where_the_next_begins() {
        let [whole, other] = [jpeg(5), jpeg(6)];
        for cut in 2..5 {
            let cut = &whole[..whole.len() - cut];
            let stream = [cut, cut, &other].concat();
            for step in 1..=stream.len() {
                let expected = vec![cut.to_vec(), cut.to_vec(), other.clone()];
                assert_eq!(split(&stream, step), (expected, 0), "{cut:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn truncated_or_invalid_jpeg_is_garbage() {
        let whole = jpeg(5);
        // Cut inside a segment's length, the next 64 KiB may be taken for the segment; what comes after them may not.
        let lost = 1 + 65_536 / whole.len();
        let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).expect("should have a scan");
        for cut in 3..scan {
            let stream = [b"hello".as_slice(), &whole[..cut], &whole.repeat(lost + 3)].concat();
            for step in [7, stream.len()] {
                let (pictures, garbage) = split(&stream, step);
                let good = pictures.iter().rev().take_while(|picture| **picture == whole).count();
                assert!(good >= 2 && garbage >= 5, "cut at {cut}, in pieces of {step}: {good} good ones");
            }
        }
    }
}
