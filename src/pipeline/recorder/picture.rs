//! The picture of a recording: its first key frame as a small JPEG.

use crate::media::EncodedFrame;
use crate::media::convert::{Converter, JpegEncoder, JpegPlanes};
use crate::media::encoder;
use crate::media::scale::{Scaler, scaled_size};

/// Its width in pixels: enough for a list on a phone.
const WIDTH: usize = 320;

/// Its JPEG quality: about 10 kB.
const QUALITY: u8 = 75;

/// The picture of a key frame.
///
/// # Errors
///
/// When the frame cannot be decoded.
pub fn of(frame: &EncodedFrame) -> anyhow::Result<Vec<u8>> {
    let mut planes = JpegPlanes::default();
    planes.fill(&mut Converter::new(), &encoder::decode(frame)?)?;
    let (width, height) = scaled_size(planes.width, planes.height, WIDTH);
    if (width, height) != (planes.width, planes.height) {
        let mut scaled = JpegPlanes { width, height, data: Vec::new() };
        Scaler::default().scale(&planes, &mut scaled)?;
        planes = scaled;
    }
    Ok(JpegEncoder::default().encode(&planes, QUALITY)?)
}
