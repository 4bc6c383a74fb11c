//! The index of a file that has ended (`sidx`): where its key frames are, and how long it is.
//!
//! It takes the place of a `free` box of the same length in the header, so that nothing has to be moved.

use std::time::Duration;

use shiguredo_mp4::Encode;
use shiguredo_mp4::boxes::{SidxBox, SidxReference};

use super::{Fragment, MOVIE_RATE, VIDEO_RATE, VIDEO_TRACK, of_ticks, ticks};

/// The room for the index: for a key frame every five seconds of an hour. Of more only every second one is listed, or every
/// third...
pub const INDEX_BYTES: usize = 9 * 1024;

/// The most references: an index has 32 bytes and 12 for each, and 8 are the least for the `free` box after it.
const MAX_REFERENCES: usize = (INDEX_BYTES - 32 - 8) / 12;

/// The largest size in a reference.
const MAX_SIZE: u64 = 0x7fff_ffff;

/// A part of the file that begins with a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    offset: u64,
    /// Ticks of the video's clock.
    time: u64,
}

/// What the index of a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIndex {
    parts: Vec<Part>,
    /// How many fragments with a key frame there are for each part.
    every: usize,
    keys: usize,
    /// The length of the file in bytes.
    end: u64,
    /// Ticks of the video's clock.
    length: u64,
}

impl FileIndex {
    /// Of a file without fragments whose header has so many bytes.
    pub fn new(header: u64) -> Self {
        Self { parts: Vec::new(), every: 1, keys: 0, end: header, length: 0 }
    }

    /// Notes a fragment at the end of the file.
    pub fn push(&mut self, fragment: &Fragment) {
        self.note(fragment.data.len() as u64, fragment.start, fragment.end, fragment.key);
    }

    /// Notes a fragment of so many bytes at the end of the file.
    pub(super) fn note(&mut self, bytes: u64, start: Duration, end: Duration, key: bool) {
        if key {
            if self.keys.is_multiple_of(self.every) {
                self.parts.push(Part { offset: self.end, time: ticks(start, VIDEO_RATE) });
            }
            self.keys += 1;
            if self.parts.len() > MAX_REFERENCES {
                self.every *= 2;
                let mut at = 0;
                self.parts.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
            }
        }
        self.end += bytes;
        self.length = ticks(end, VIDEO_RATE);
    }

    /// The length of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// How long the video is.
    pub fn length(&self) -> Duration {
        of_ticks(self.length)
    }

    /// Whether there is nothing but the header.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// The length as it goes into the header.
    pub fn length_field(&self) -> [u8; 4] {
        let milliseconds = self.length().as_millis() * u128::from(MOVIE_RATE) / 1_000;
        u32::try_from(milliseconds).unwrap_or(0).to_be_bytes()
    }

    /// The index, of [`INDEX_BYTES`] bytes; `None` if there can be none.
    pub fn block(&self) -> Option<Vec<u8>> {
        let first = self.parts.first()?;
        let ends = self.parts.iter().skip(1).copied().chain([Part { offset: self.end, time: self.length }]);
        let reference = |(part, next): (&Part, Part)| {
            let size = Some(next.offset - part.offset).filter(|size| *size <= MAX_SIZE)?;
            Some(SidxReference {
                reference_type: false,
                referenced_size: size as u32,
                subsegment_duration: next.time.saturating_sub(part.time) as u32,
                starts_with_sap: true,
                sap_type: 1,
                sap_delta_time: 0,
            })
        };
        let references = self.parts.iter().zip(ends).map(reference).collect::<Option<Vec<_>>>()?;
        let padding = INDEX_BYTES - 32 - 12 * references.len();
        let sidx = SidxBox {
            reference_id: VIDEO_TRACK,
            timescale: VIDEO_RATE,
            earliest_presentation_time: first.time,
            first_offset: padding as u64,
            references,
        };
        let mut block = sidx.encode_to_vec().ok().filter(|sidx| sidx.len() + padding == INDEX_BYTES)?;
        block.extend(free(padding));
        Some(block)
    }
}

/// A box of so many bytes, at least eight, that players skip.
pub(super) fn free(bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    data[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
    data[4..8].copy_from_slice(b"free");
    data
}
