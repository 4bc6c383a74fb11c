//! The timecode: draws and reads a frame's number and capture time as black and white cells in the image, so that tests
//! and benchmarks can measure latency and loss on decoded frames. The JavaScript reader (`tests/page/code.mjs`)
//! implements this description. The rest of the test pattern, and frame timing, do not belong here.
//!
//! # Layout
//!
//! - Cell: a square of `c` pixels, `c = 8 * max(1, min(width / 640, height / 360))` with integer divisions: 8 at
//!   320x180 and 640x360, 16 at 1280x720, 24 at 1920x1080. Multiples of 8 align the edges with the transform blocks of
//!   H.264.
//! - Position: 4 rows of 28 cells. The top left corner is at pixel (2c, 2c), with a border of one black cell. A frame
//!   smaller than 32c x 8c (256x64) has no timecode.
//! - Levels: white is luma 235, black is luma 16, with neutral chroma (128). In RGB both are greys, so a reader may use
//!   any one channel as the luma.
//! - Columns 0 and 1 of every row are the reference: column 0 is white, column 1 is black.
//! - Columns 2 to 27 hold 104 bits, 26 per row, row by row from the left; a white cell is 1. The bits are 13 bytes,
//!   most significant bit first, all numbers big-endian:
//!
//!   | bytes | content |
//!   |---|---|
//!   | 0 | camera: see [`camera_hash`] |
//!   | 1 to 6 | capture time since the Unix epoch in tenths of a millisecond, 48 bits |
//!   | 7 to 10 | frame number, 32 bits, wraps |
//!   | 11, 12 | CRC-16/IBM-3740 (polynomial 0x1021, initial 0xffff, not reflected, no final xor) of bytes 0 to 10 |
//!
//!   The bits that change with every frame are at the end, so that most macroblocks of the timecode are skipped.
//!
//! # Reading
//!
//! A cell's value is the mean of the square of `c/2` pixels at its centre (starting at `c/4`), which is clear of coding
//! noise at the edges. The threshold is halfway between the mean of the four white and the mean of the four black
//! reference cells; if these are less than 64 apart, there is no timecode. A value above the threshold is 1. The result
//! is valid if the CRC matches.

use crc::{CRC_16_IBM_3740, Crc};

use crate::media::Timestamp;

/// Luma of a white cell: the top of the limited range (ITU-R BT.601).
pub const WHITE: u8 = 235;

/// Luma of a black cell: the bottom of the limited range (ITU-R BT.601).
pub const BLACK: u8 = 16;

/// The number of rows of cells.
const ROWS: usize = 4;

/// The number of columns of cells: two of the reference and 26 of data.
const COLUMNS: usize = REFERENCE + DATA_COLUMNS;

/// The number of reference columns: one white, one black.
const REFERENCE: usize = 2;

/// The number of data columns: a quarter of the 104 bits.
const DATA_COLUMNS: usize = 26;

/// The number of bytes covered by the CRC: camera, capture time, frame number.
const PAYLOAD: usize = 11;

/// The number of bytes of the timecode: the payload and its CRC.
const BYTES: usize = PAYLOAD + 2;

/// The number of bits of the capture time: 891 years in tenths of a millisecond.
const CAPTURED_BITS: u32 = 48;

/// The minimum difference between white and black luma: less than a third of the 219 drawn, as a margin for coding
/// losses and dimmed screens. In frames without a timecode, two columns rarely differ as much.
const CONTRAST: u32 = 64;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

/// The timecode of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timecode {
    /// The frame number, which increases by one per frame and wraps at 2^32; missing numbers are lost frames.
    pub frame: u32,
    /// The capture time in tenths of a millisecond since the Unix epoch, modulo 2^48.
    pub captured: u64,
    /// The camera: [`camera_hash`] of its name.
    pub camera: u8,
}

impl Timecode {
    /// The timecode of frame number `frame` of camera `camera`, captured at `at`.
    pub fn new(frame: u32, at: Timestamp, camera: u8) -> Self {
        let tenths = (at.unix().as_micros() / 100) as u64;
        Self { frame, captured: tenths & ((1 << CAPTURED_BITS) - 1), camera }
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[0] = self.camera;
        bytes[1..7].copy_from_slice(&self.captured.to_be_bytes()[2..]);
        bytes[7..PAYLOAD].copy_from_slice(&self.frame.to_be_bytes());
        let crc = CRC.checksum(&bytes[..PAYLOAD]);
        bytes[PAYLOAD..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0u64, |n, b| (n << 8) | u64::from(*b));
        (number(PAYLOAD..BYTES) == u64::from(CRC.checksum(&bytes[..PAYLOAD]))).then(|| Self {
            camera: bytes[0],
            captured: number(1..7),
            frame: number(7..PAYLOAD) as u32,
        })
    }
}

/// The number that identifies a camera in the timecode: the low byte of the CRC-16/IBM-3740 of its name in UTF-8.
pub fn camera_hash(name: &str) -> u8 {
    CRC.checksum(name.as_bytes()) as u8
}

/// The side of a cell in pixels, or `None` if a frame of this size is too small for a timecode.
pub fn cell(width: usize, height: usize) -> Option<usize> {
    let cell = 8 * (width / 640).min(height / 360).max(1);
    (width >= (COLUMNS + 4) * cell && height >= (ROWS + 4) * cell).then_some(cell)
}

/// Draws `code` into the luma plane of a frame of `width` x `height` pixels with `stride` bytes per row. Does nothing
/// if the frame is too small for a timecode, or the plane too short for the frame.
pub fn draw(luma: &mut [u8], width: usize, height: usize, stride: usize, code: &Timecode) {
    let Some(cell) = cell(width, height).filter(|_| holds(luma.len(), width, height, stride)) else {
        return;
    };
    let bytes = code.to_bytes();
    let edge = (COLUMNS + 2) * cell;
    let mut lines = luma.chunks_mut(stride).skip(cell).map(|line| &mut line[cell..cell + edge]);
    lines.by_ref().take(cell).for_each(|line| line.fill(BLACK));
    for row in 0..ROWS {
        for line in lines.by_ref().take(cell) {
            line.fill(BLACK);
            line[cell..2 * cell].fill(WHITE);
            let data = line[(1 + REFERENCE) * cell..].chunks_mut(cell).take(DATA_COLUMNS);
            for (column, pixels) in data.enumerate() {
                if bit(&bytes, row * DATA_COLUMNS + column) {
                    pixels.fill(WHITE);
                }
            }
        }
    }
    lines.take(cell).for_each(|line| line.fill(BLACK));
}

/// Reads the timecode from the luma plane of a decoded frame; `None` if there is none or it is damaged.
pub fn read(luma: &[u8], width: usize, height: usize, stride: usize) -> Option<Timecode> {
    let cell = cell(width, height).filter(|_| holds(luma.len(), width, height, stride))?;
    let value = |row: usize, column: usize| {
        let (top, left) = ((2 + row) * cell + cell / 4, (2 + column) * cell + cell / 4);
        let side = cell / 2;
        let line = |y: usize| luma[y * stride + left..][..side].iter().map(|p| u32::from(*p)).sum::<u32>();
        (top..top + side).map(line).sum::<u32>() / (side * side) as u32
    };
    let reference = |column| (0..ROWS).map(|row| value(row, column)).sum::<u32>() / ROWS as u32;
    let (white, black) = (reference(0), reference(1));
    if white < black + CONTRAST {
        return None;
    }
    let threshold = (white + black) / 2;
    let mut bytes = [0; BYTES];
    for index in 0..ROWS * DATA_COLUMNS {
        let one = value(index / DATA_COLUMNS, REFERENCE + index % DATA_COLUMNS) > threshold;
        bytes[index / 8] |= u8::from(one) << (7 - index % 8);
    }
    Timecode::from_bytes(&bytes)
}

fn bit(bytes: &[u8; BYTES], index: usize) -> bool {
    bytes[index / 8] >> (7 - index % 8) & 1 == 1
}

/// Whether a plane of `len` bytes is long enough for a frame of this size.
fn holds(len: usize, width: usize, height: usize, stride: usize) -> bool {
    stride >= width && stride.checked_mul(height - 1).and_then(|n| n.checked_add(width)).is_some_and(|n| n <= len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    const CODE: Timecode = Timecode { frame: 0xdead_beef, captured: 0xa5a5_1234_5678, camera: 0x5c };
    const SIZES: [(usize, usize); 7] =
        [(256, 64), (320, 180), (640, 360), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)];

    fn drawn(width: usize, height: usize, stride: usize) -> Vec<u8> {
        let mut luma = vec![90; stride * height];
        draw(&mut luma, width, height, stride, &CODE);
        luma
    }

    #[test]
    fn cell_sizes_are_as_documented() {
        let sizes = SIZES.map(|(width, height)| cell(width, height));
        assert_eq!(sizes, [8, 8, 8, 8, 16, 24, 48].map(Some));
    }

    #[test]
    fn timecode_round_trips_at_every_size_and_stride() {
        for (width, height) in SIZES {
            for stride in [width, width + 64] {
                assert_eq!(read(&drawn(width, height, stride), width, height, stride), Some(CODE), "{width}x{height}");
            }
        }
    }

    #[test]
    fn timecode_survives_strong_noise() {
        let mut random = StdRng::seed_from_u64(2);
        for (width, height) in SIZES {
            let mut luma = drawn(width, height, width);
            luma.iter_mut().for_each(|p| *p = (i32::from(*p) + random.random_range(-80..=80)).clamp(0, 255) as u8);
            assert_eq!(read(&luma, width, height, width), Some(CODE), "{width}x{height}");
        }
    }

    #[test]
    fn one_wrong_cell_is_detected() {
        let mut luma = drawn(320, 180, 320);
        // Row 3, column 20 belongs to the frame number.
        for y in (2 + 3) * 8..(2 + 4) * 8 {
            luma[y * 320 + (2 + 20) * 8..][..8].iter_mut().for_each(|p| *p = WHITE + BLACK - *p);
        }
        assert_eq!(read(&luma, 320, 180, 320), None);
    }

    #[test]
    fn layout_is_as_documented() {
        // The bytes of the timecode and the positions of their cells, derived by hand from the description above.
        let luma = drawn(320, 180, 320);
        let cell_at = |row: usize, column: usize| luma[((2 + row) * 8 + 4) * 320 + (2 + column) * 8 + 4];
        let rows: Vec<String> = (0..4)
            .map(|row| (0..28).map(|column| if cell_at(row, column) == WHITE { '1' } else { '0' }).collect())
            .collect();
        let bits: String = rows.iter().map(|row| row.strip_prefix("10").unwrap()).collect();
        assert_eq!(&bits[..8], "01011100", "camera 5c");
        assert_eq!(&bits[8..24], "1010010110100101", "captured begins with a5a5");
        assert_eq!(&bits[56..88], "11011110101011011011111011101111", "frame deadbeef");
        let crc = u16::from_str_radix(&bits[88..], 2).unwrap();
        let payload = [0x5c, 0xa5, 0xa5, 0x12, 0x34, 0x56, 0x78, 0xde, 0xad, 0xbe, 0xef];
        assert_eq!(crc, CRC.checksum(&payload));
        assert_eq!(CRC.checksum(b"123456789"), 0x29b1, "the catalogue's check value");
    }

    #[test]
    fn frame_without_a_timecode_gives_none() {
        for level in [0, 16, 128, 255] {
            assert_eq!(read(&vec![level; 320 * 180], 320, 180, 320), None);
        }
    }

    #[test]
    fn frames_too_small_for_a_timecode_are_left_unchanged() {
        for (width, height) in [(0, 0), (1, 1), (248, 180), (320, 63), (160, 120)] {
            let mut luma = vec![7; width * height];
            draw(&mut luma, width, height, width, &CODE);
            assert!(luma.iter().all(|p| *p == 7), "{width}x{height}");
            assert_eq!(read(&luma, width, height, width), None);
        }
        // A plane shorter than its frame, and a stride shorter than a row.
        let mut short = vec![7; 320 * 179];
        draw(&mut short, 320, 180, 320, &CODE);
        assert!(short.iter().all(|p| *p == 7));
        assert_eq!(read(&short, 320, 180, 320), None);
        assert_eq!(read(&drawn(320, 180, 320), 320, 180, 300), None);
    }

    #[test]
    fn capture_time_is_the_unix_time_of_the_timestamp() {
        let at = Timestamp::from_start(std::time::Duration::from_micros(1_234_567));
        assert_eq!(u128::from(Timecode::new(1, at, 0).captured), at.unix().as_micros() / 100);
    }
}
