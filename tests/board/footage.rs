//! Footage of a camera with its own encoder: vivid's colour bars as JPEGs and as an H.264 stream, with a moving square,
//! for the driver v4l2loopback. Scenarios play it.

use openh264::OpenH264API;
use openh264::encoder::{Encoder, EncoderConfig, IntraFramePeriod, Profile};
use openh264::formats::YUVSlices;
use turbojpeg::{Image, Subsamp};

use crate::frame_content::BARS;

/// Frame size: vivid's smallest.
pub const SIZE: (usize, usize) = (320, 180);

/// Frames in the looped stream: 2 s at the scenarios' frame rate.
const FRAMES: usize = 20;

/// Key frame interval, in frames.
const KEY_EVERY: usize = 10;

/// The bars from left to right in RGB: at 75 %, as in `BARS`.
const RGB: [[u8; 3]; 8] =
    [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191], [0, 0, 0]];

/// One JPEG per frame.
pub fn jpeg() -> Vec<Vec<u8>> {
    let (width, height) = SIZE;
    let encode_frame = |number| {
        let point = |x: usize, y: usize| if in_square(number, x, y) { [255; 3] } else { RGB[8 * x / width] };
        let pixels: Vec<u8> = points(width, height).flat_map(|(x, y)| point(x, y)).collect();
        let image =
            Image { pixels: pixels.as_slice(), width, pitch: 3 * width, height, format: turbojpeg::PixelFormat::RGB };
        turbojpeg::compress(image, 90, Subsamp::Sub2x1).expect("bars should compress").to_vec()
    };
    (0..FRAMES).map(encode_frame).collect()
}

/// One access unit per frame. Like many cameras, it sends its parameter sets only once, before the first key frame.
pub fn h264() -> Vec<Vec<u8>> {
    let (width, height) = SIZE;
    let settings = EncoderConfig::new()
        .profile(Profile::Baseline)
        .skip_frames(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_EVERY as u32));
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), settings).expect("the codec should open");
    let mut encode_frame = |number| {
        let luma = |(x, y)| if in_square(number, x, y) { 235 } else { BARS[8 * x / width][0] as u8 };
        let chroma = |plane: usize| -> Vec<u8> {
            points(width / 2, height / 2).map(|(x, _)| BARS[16 * x / width][plane] as u8).collect()
        };
        let y: Vec<u8> = points(width, height).map(luma).collect();
        let (u, v) = (chroma(1), chroma(2));
        let planes = YUVSlices::new((&y, &u, &v), SIZE, (width, width / 2, width / 2));
        let stream = encoder.encode(&planes).expect("bars should encode");
        let mut unit = Vec::new();
        for layer in (0..stream.num_layers()).filter_map(|layer| stream.layer(layer)) {
            for nal in (0..layer.nal_count()).filter_map(|nal| layer.nal_unit(nal)) {
                if number == 0 || !is_parameter_set(nal) {
                    unit.extend_from_slice(nal);
                }
            }
        }
        unit
    };
    (0..FRAMES).map(&mut encode_frame).collect()
}

fn points(width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)))
}

/// Whether a point is in the white square, which moves with each frame and is never in the lower half.
fn in_square(number: usize, x: usize, y: usize) -> bool {
    let left = 32 + 64 * (number % 4);
    (left..left + 32).contains(&x) && (32..64).contains(&y)
}

/// Whether a NAL unit with its start code is a sequence or picture parameter set (ITU-T H.264 table 7-1).
fn is_parameter_set(nal: &[u8]) -> bool {
    let kind = nal.iter().skip_while(|byte| **byte == 0).nth(1).map(|header| header & 0x1f);
    matches!(kind, Some(7 | 8))
}
