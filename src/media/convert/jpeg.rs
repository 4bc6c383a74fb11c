//! Decodes JPEG to I420 with libjpeg-turbo, without the detour over RGB where there is a way round it.
//!
//! The JPEGs are those of Motion JPEG cameras: baseline YCbCr or grey, mostly 4:2:2, often without the Huffman tables
//! (the library has the standard ones). What the library cannot return as YCbCr (RGB, CMYK, an odd subsampling) is decoded
//! to RGB, which takes about twice the time.

use std::fmt;
use std::time::Duration;

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, Subsamp, YuvImage};

use super::layout::{Layout, YuvPlane};
use super::range::{CHROMA, LUMA, to_limited_range, to_limited_range_in_place};
use super::{Error, PlaneBuffers, Planes, average, rgb};
use crate::media::{RawFrame, Timestamp};

/// Start of image.
const SOI: &[u8] = &[0xff, 0xd8];

/// End of image.
pub(super) const EOI: &[u8] = &[0xff, 0xd9];

/// The one warning of the library after which the frame is complete nevertheless. Many cameras pad the scan.
const HARMLESS: &str = "extraneous bytes before marker 0xd9";

/// How the library's warnings begin: it has decoded the frame, and put something in place of what was damaged.
const WARNINGS: [&str; 5] = [
    "Corrupt JPEG data",
    "Premature end of JPEG file",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
    "Warning:",
];

/// A camera that has delivered only damaged frames for this long always does. Before that a damaged frame is an accident on
/// the bus, and the frame before it is the better one to show.
const DAMAGE_PATIENCE: Duration = Duration::from_millis(500);

/// The maximum number of scans of a progressive JPEG. Encoders use about ten. Each covers the whole frame, so a small
/// file with many thousands would block the encode thread for minutes.
const SCAN_LIMIT: u32 = 64;

/// The maximum number of pixels: that of the largest H.264 frame, 36,864 macroblocks (ITU-T H.264 table A-1, level 5.2).
/// The header of a few bytes must not make this allocate gigabytes.
const MAX_PIXELS: usize = 36_864 * 16 * 16;

/// Whether the bytes begin and end as a JPEG does; padding after the end is allowed. A cheap test for frames that the
/// USB bus cut off, before any decoding.
pub fn is_complete_jpeg(data: &[u8]) -> bool {
    let end = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let data = &data[..end];
    is_jpeg(data) && (data.ends_with(EOI) || data.windows(2).rev().any(|pair| pair == EOI))
}

/// Whether the bytes begin as a JPEG does.
pub fn is_jpeg(data: &[u8]) -> bool {
    data.starts_with(SOI)
}

/// Width and height in the header of a JPEG; `None` if it has none.
pub fn jpeg_size(data: &[u8]) -> Option<(u32, u32)> {
    // Frame headers are 0xc0 to 0xcf but for tables (0xc4, 0xcc) and a reserved one (0xc8). Precision, height, width.
    let (_, header) =
        segments(data).find(|(marker, _)| matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc))?;
    let &[_, height_1, height_0, width_1, width_0, ..] = header else { return None };
    Some((u16::from_be_bytes([width_1, width_0]).into(), u16::from_be_bytes([height_1, height_0]).into()))
}

/// The segments before the first scan: marker, and content without its length (ITU-T T.81 section B.1.1.4).
pub(super) fn segments(data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = data.strip_prefix(SOI).unwrap_or_default();
    std::iter::from_fn(move || {
        // Fill bytes before a marker.
        while let [0xff, 0xff, ..] = rest {
            rest = &rest[1..];
        }
        let &[0xff, marker, high, low, ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = rest.get(4..2 + length)?;
        rest = &rest[2 + length..];
        (marker != 0xda).then_some((marker, content))
    })
}

/// The decoder, created for the first frame and reused after each good frame.
#[derive(Default)]
pub(super) struct JpegDecoder {
    decoder: Option<Decompressor>,
    /// The samples as they are in the JPEG.
    decoded: Vec<u8>,
    line: Vec<u8>,
    /// When the last undamaged frame was captured; before there was one, the first damaged one.
    undamaged: Option<Timestamp>,
    /// Damaged frames that were shown nevertheless.
    damaged_shown: u64,
}

impl fmt::Debug for JpegDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jpeg").field("decoded", &self.decoded.len()).finish_non_exhaustive()
    }
}

impl JpegDecoder {
    /// Damaged frames that were shown nevertheless, since the start.
    pub fn damaged_shown(&self) -> u64 {
        self.damaged_shown
    }

    /// The frame in the size of `layout`, to which a larger JPEG is cropped: encoders work in blocks of 16 lines, and some
    /// cameras write the size of all blocks into the header.
    pub fn decode<'m>(
        &mut self,
        frame: &RawFrame,
        layout: &Layout,
        memory: &'m mut PlaneBuffers,
    ) -> Result<Planes<'m>, Error> {
        let data: &[u8] = &frame.data;
        if !is_jpeg(data) {
            return Err(Error::Jpeg("it has no beginning".into()));
        }
        // Put back only after a success: after a rejected header, the library (3.1) continues where it stopped and
        // corrupts the next frame as well.
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => new_decoder().map_err(library)?,
        };
        let header = decoder.read_header(data).map_err(library)?;
        check(&header, layout)?;
        let planar =
            matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray) && header.subsamp != Subsamp::Unknown;
        let decoded = if planar {
            self.decode_planes(&mut decoder, data, &header)
        } else {
            self.decode_pixels(&mut decoder, data, &header)
        };
        match decoded {
            Err(turbojpeg::Error::TurboJpegError(complaint))
                if WARNINGS.iter().any(|begin| complaint.starts_with(begin)) && !complaint.contains(HARMLESS) =>
            {
                let since = *self.undamaged.get_or_insert(frame.captured);
                if frame.captured.saturating_since(since) < DAMAGE_PATIENCE {
                    return Err(Error::Jpeg(complaint));
                }
                self.damaged_shown += 1;
            }
            Err(turbojpeg::Error::TurboJpegError(complaint)) if complaint.contains(HARMLESS) => {
                (self.undamaged, self.decoder) = (Some(frame.captured), Some(decoder));
            }
            decoded => {
                decoded.map_err(library)?;
                (self.undamaged, self.decoder) = (Some(frame.captured), Some(decoder));
            }
        }
        if planar {
            Ok(self.convert_planes(&header, layout, memory))
        } else {
            if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
                cmyk_to_rgb(&mut self.decoded, is_inverted(data));
            }
            rgb::rgb24(YuvPlane { data: &self.decoded, stride: header.width * 3 }, layout, memory)
        }
    }

    fn decode_planes(
        &mut self,
        decoder: &mut Decompressor,
        data: &[u8],
        header: &DecompressHeader,
    ) -> turbojpeg::Result<()> {
        let planes = plane_sizes(header);
        let chroma = if header.subsamp == Subsamp::Gray { 0 } else { planes.uv_width() * planes.uv_height() };
        self.decoded.resize(planes.y_width() * planes.y_height() + 2 * chroma, 0);
        let YuvImage { width, align, height, subsamp, .. } = planes;
        let target = YuvImage { pixels: self.decoded.as_mut_slice(), width, align, height, subsamp };
        decoder.decompress_to_yuv(data, target)
    }

    /// Decodes to RGB, or what has four components to CMYK.
    fn decode_pixels(
        &mut self,
        decoder: &mut Decompressor,
        data: &[u8],
        header: &DecompressHeader,
    ) -> turbojpeg::Result<()> {
        let format = match header.colorspace {
            Colorspace::CMYK | Colorspace::YCCK => turbojpeg::PixelFormat::CMYK,
            _ => turbojpeg::PixelFormat::RGB,
        };
        let (width, height, pitch) = (header.width, header.height, header.width * format.size());
        self.decoded.resize(pitch * height, 0);
        decoder.decompress(data, Image { pixels: self.decoded.as_mut_slice(), width, pitch, height, format })
    }

    fn convert_planes<'m>(
        &mut self,
        header: &DecompressHeader,
        layout: &Layout,
        memory: &'m mut PlaneBuffers,
    ) -> Planes<'m> {
        let planes = plane_sizes(header);
        let (width, height) = layout.even();
        let (y, u, v) = memory.resize(width, height);
        for (line, target) in self.decoded.chunks_exact(planes.y_width()).zip(y.chunks_exact_mut(width)) {
            to_limited_range(&line[..width], target, LUMA);
        }
        if header.subsamp == Subsamp::Gray {
            u.fill(128);
            v.fill(128);
            return memory.planes(width, height);
        }
        let (luma, chroma) = (planes.y_width() * planes.y_height(), planes.uv_width() * planes.uv_height());
        let (cb, cr) = self.decoded[luma..].split_at(chroma);
        for (from, to) in [(cb, u), (cr, v)] {
            subsample(from, planes.uv_width(), header.subsamp, to, width / 2, &mut self.line);
        }
        memory.planes(width, height)
    }
}

pub(super) fn new_decoder() -> turbojpeg::Result<Decompressor> {
    let mut decoder = Decompressor::new()?;
    decoder.set_scan_limit(SCAN_LIMIT)?;
    Ok(decoder)
}

/// The planes of a JPEG without padding.
fn plane_sizes(header: &DecompressHeader) -> YuvImage<()> {
    YuvImage { pixels: (), width: header.width, align: 1, height: header.height, subsamp: header.subsamp }
}

pub(super) fn check(header: &DecompressHeader, layout: &Layout) -> Result<(), Error> {
    if header.width < layout.width || header.height < layout.height {
        return Err(Error::JpegSize {
            jpeg_width: header.width,
            jpeg_height: header.height,
            width: layout.width as u32,
            height: layout.height as u32,
        });
    }
    if header.width * header.height > MAX_PIXELS {
        let (width, height) = (header.width, header.height);
        return Err(Error::Jpeg(format!("{width}x{height} is larger than any H.264 frame")));
    }
    Ok(())
}

pub(super) fn library(error: turbojpeg::Error) -> Error {
    Error::Jpeg(error.to_string())
}

/// Takes a frame that is complete nevertheless for decoded.
pub(super) fn unless_harmless(decoded: turbojpeg::Result<()>) -> turbojpeg::Result<()> {
    match decoded {
        Err(turbojpeg::Error::TurboJpegError(complaint)) if complaint.contains(HARMLESS) => Ok(()),
        decoded => decoded,
    }
}

/// Whether the inks of a CMYK JPEG are stored inverted, as all do that carry Adobe's segment.
fn is_inverted(data: &[u8]) -> bool {
    segments(data).any(|(marker, content)| marker == 0xee && content.starts_with(b"Adobe"))
}

/// Converts pixels of four inks to three bytes each, in place.
fn cmyk_to_rgb(pixels: &mut Vec<u8>, inverted: bool) {
    let light = |ink: u8| u16::from(if inverted { ink } else { 255 - ink });
    for pixel in 0..pixels.len() / 4 {
        let black = light(pixels[pixel * 4 + 3]);
        for color in 0..3 {
            pixels[pixel * 3 + color] = (light(pixels[pixel * 4 + color]) * black / 255) as u8;
        }
    }
    pixels.truncate(pixels.len() / 4 * 3);
}

/// Brings a chroma plane of any subsampling to that of 4:2:0: the mean of the samples where there are more, a sample
/// again where there are fewer.
fn subsample(from: &[u8], stride: usize, subsamp: Subsamp, to: &mut [u8], width: usize, line: &mut Vec<u8>) {
    let last = (from.len() / stride).saturating_sub(1);
    line.resize(stride, 0);
    for (index, target) in to.chunks_exact_mut(width).enumerate() {
        let row = |row: usize| {
            let start = row.min(last) * stride;
            &from[start..start + stride]
        };
        match subsamp.height() {
            1 => average(row(index * 2), row(index * 2 + 1), line),
            2 => line.copy_from_slice(row(index)),
            _ => line.copy_from_slice(row(index / 2)),
        }
        match subsamp.width() {
            1 => {
                for (pair, target) in line.chunks_exact_mut(2).zip(target.iter_mut()) {
                    *target = (u16::from(pair[0]) + u16::from(pair[1])).div_ceil(2) as u8;
                }
                to_limited_range_in_place(target);
            }
            2 => to_limited_range(&line[..width], target, CHROMA),
            _ => {
                for (sample, targets) in line.iter().zip(target.chunks_mut(2)) {
                    targets.fill(*sample);
                }
                to_limited_range_in_place(target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_is_complete_with_padding_but_not_without_eoi() {
        assert!(is_complete_jpeg(&[0xff, 0xd8, 1, 2, 0xff, 0xd9]));
        assert!(is_complete_jpeg(&[0xff, 0xd8, 1, 2, 0xff, 0xd9, 0, 0, 0]));
        assert!(is_complete_jpeg(&[0xff, 0xd8, 1, 2, 0xff, 0xd9, 7, 7]));
        assert!(!is_complete_jpeg(&[0xff, 0xd8, 1, 2, 0xff]));
        assert!(!is_complete_jpeg(&[1, 2, 0xff, 0xd9]));
        assert!(!is_complete_jpeg(&[0, 0, 0]));
        assert!(!is_complete_jpeg(&[]));
    }

    #[test]
    fn size_is_read_from_the_header() {
        let jpeg = [&[0xff, 0xd8, 0xff, 0xe0, 0, 3, 7][..], &[0xff, 0xff, 0xc0, 0, 9, 8, 4, 56, 7, 128, 3, 0]].concat();
        assert_eq!(jpeg_size(&jpeg), Some((1920, 1080)));
        let scan_first = [0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0xc0, 0, 8, 8, 4, 56, 7, 128];
        for none in [&jpeg[..16], &scan_first, &[0xff, 0xd8, 0xff, 0xe0, 0, 0, 0xff], &[]] {
            assert_eq!(jpeg_size(none), None, "{none:?}");
        }
    }

    #[test]
    fn inks_become_light() {
        // Stored as Adobe does: 255 is no ink.
        let mut pixels = vec![255, 0, 0, 255, 255, 255, 255, 0, 200, 100, 50, 128];
        cmyk_to_rgb(&mut pixels, true);
        assert_eq!(pixels, [255, 0, 0, 0, 0, 0, 100, 50, 25]);
        let mut pixels = vec![0, 255, 255, 0];
        cmyk_to_rgb(&mut pixels, false);
        assert_eq!(pixels, [255, 0, 0]);
    }
}
