//! Seeds of the fuzzers: realistic input for each target, generated each time, so that the repository has no binaries.

use turbojpeg::{Compressor, Image, Subsamp};

/// Every subsampling that the JPEG library supports.
pub const SUBSAMPLINGS: [Subsamp; 7] =
    [Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::None, Subsamp::Gray, Subsamp::Sub1x2, Subsamp::Sub4x1, Subsamp::Sub1x4];

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "raw" => raw(),
        "mjpeg" => mjpeg(),
        "annexb" => annexb(),
        "stream" => stream(),
        _ => Vec::new(),
    }
}

/// Writes a target's seeds as files into the folder `PORTHOLE_SEEDS` before the fuzzer reads it.
#[cfg(fuzzing)]
pub fn write(target: &str) {
    let Some(folder) = std::env::var_os("PORTHOLE_SEEDS").map(std::path::PathBuf::from) else { return };
    for (number, seed) in of(target).into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("the folder for seeds should be writable");
    }
}

/// Each format, contiguous and with separate planes, at an even and an odd size, encoded for `targets::raw`.
fn raw() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for format in 0..9u8 {
        for (width, height, padding) in [(16u8, 8u8, 0u8), (33, 7, 5)] {
            for apart in [0, 1] {
                let mut seed = vec![format, width, height, padding, apart, padding];
                seed.extend((0..usize::from(width) * usize::from(height) * 4 + 200).map(|at| (at * 7) as u8));
                seeds.push(seed);
            }
        }
    }
    seeds
}

fn mjpeg() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = SUBSAMPLINGS.into_iter().map(|subsamp| jpeg(64, 48, subsamp)).collect();
    seeds.push(jpeg(31, 17, Subsamp::Sub2x1));
    seeds.push(without_huffman_tables(&seeds[1]));
    seeds
}

/// A stream with everything that cameras insert between frames: start codes of both lengths, padding, a delimiter.
fn annexb() -> Vec<Vec<u8>> {
    let sps = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40];
    let pps = [0, 0, 1, 0x68, 0xce, 0x3c, 0x80];
    let idr = [0, 0, 1, 0x65, 0xb8, 0, 0, 3, 0, 4];
    let delimiter = [0, 0, 0, 1, 9, 0xf0];
    let slice = [0, 0, 0, 1, 0x41, 0x9a, 0x24, 0, 0, 0];
    vec![
        [&sps[..], &pps, &idr].concat(),
        [&delimiter[..], &slice, &delimiter, &sps, &pps, &idr].concat(),
        [&[1, 2, 3][..], &slice, &slice].concat(),
    ]
}

/// The three formats, declared and detected, with garbage before, between and after the frames.
fn stream() -> Vec<Vec<u8>> {
    let images = [jpeg(16, 16, Subsamp::Sub2x2), without_huffman_tables(&jpeg(16, 8, Subsamp::Gray))];
    let jpegs = [&images[0][..], &images[1], b"rubbish", &images[1], &images[0][..99], &images[0]].concat();
    let units = annexb().concat();
    let rubbish = [b"starting\n", &units[..]].concat();
    let forms: [(u8, &[u8]); 6] = [(0, &jpegs), (1, &jpegs), (0, &units), (2, &units), (2, &rubbish), (3, &units)];
    forms
        .into_iter()
        .zip([0, 6, 40, 255].into_iter().cycle())
        .map(|((form, data), step)| [&[form, step], data].concat())
        .collect()
}

/// A smooth colour gradient as JPEG.
pub fn jpeg(width: usize, height: usize, subsamp: Subsamp) -> Vec<u8> {
    let pixels: Vec<u8> = (0..height)
        .flat_map(|line| {
            (0..width).flat_map(move |column| {
                [(column * 255 / width) as u8, (line * 255 / height) as u8, 255 - (column * 200 / width) as u8]
            })
        })
        .collect();
    let image =
        Image { pixels: pixels.as_slice(), width, pitch: width * 3, height, format: turbojpeg::PixelFormat::RGB };
    let mut compressor = Compressor::new().expect("should start");
    compressor.set_quality(90).expect("should set");
    compressor.set_subsamp(subsamp).expect("should set");
    compressor.compress_to_vec(image).expect("should compress")
}

/// The JPEG without the standard Huffman tables, as many cameras send it (marker DHT, ITU-T T.81 section B.2.4.2).
pub fn without_huffman_tables(jpeg: &[u8]) -> Vec<u8> {
    let mut left = jpeg[..2].to_vec();
    let mut rest = &jpeg[2..];
    while let [0xff, marker, high, low, ..] = *rest {
        let (segment, after) = rest.split_at(2 + usize::from(u16::from_be_bytes([high, low])));
        if marker != 0xc4 {
            left.extend(segment);
        }
        rest = after;
        if marker == 0xda {
            // The rest is the scan.
            break;
        }
    }
    left.extend(rest);
    left
}
