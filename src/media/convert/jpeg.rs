//! Decodes JPEG to I420 with libjpeg-turbo, without the detour over RGB.
//!
//! The JPEGs are those of Motion JPEG cameras: baseline YCbCr or grey, mostly 4:2:2, often without the Huffman tables
//! (the library has the standard ones).

use std::fmt;

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Subsamp, YuvImage};

use super::layout::Layout;
use super::range::{CHROMA, LUMA, to_limited_range, to_limited_range_in_place};
use super::{Error, PlaneBuffers, Planes, average};

/// Start of image.
const SOI: &[u8] = &[0xff, 0xd8];

/// End of image.
const EOI: &[u8] = &[0xff, 0xd9];

/// The one warning of the library after which the frame is complete nevertheless. Many cameras pad the scan.
const HARMLESS: &str = "extraneous bytes before marker 0xd9";

/// The maximum number of scans of a progressive JPEG. Encoders use about ten. Each covers the whole frame, so a small
/// file with many thousands would block the encode thread for minutes.
const SCAN_LIMIT: u32 = 64;

/// Whether the bytes begin and end as a JPEG does; padding after the end is allowed. A cheap test for frames that the
/// USB bus cut off, before any decoding.
pub fn is_complete_jpeg(data: &[u8]) -> bool {
    let end = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let data = &data[..end];
    data.starts_with(SOI) && (data.ends_with(EOI) || data.windows(2).rev().any(|pair| pair == EOI))
}

/// The decoder, created for the first frame and reused after each good frame.
#[derive(Default)]
pub(super) struct JpegDecoder {
    decoder: Option<Decompressor>,
    /// The planes as they are in the JPEG.
    decoded: Vec<u8>,
    line: Vec<u8>,
}

impl fmt::Debug for JpegDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jpeg").field("decoded", &self.decoded.len()).finish_non_exhaustive()
    }
}

impl JpegDecoder {
    pub fn decode<'m>(
        &mut self,
        data: &[u8],
        layout: &Layout,
        memory: &'m mut PlaneBuffers,
    ) -> Result<Planes<'m>, Error> {
        if !is_complete_jpeg(data) {
            return Err(Error::Jpeg("it has no beginning or no end".into()));
        }
        // Put back only after a success: after a rejected header, the library (3.1) continues where it stopped and
        // corrupts the next frame as well.
        let mut decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None => new_decoder().map_err(library)?,
        };
        let header = decoder.read_header(data).map_err(library)?;
        check(&header, layout)?;
        let planes =
            YuvImage { pixels: (), width: layout.width, align: 1, height: layout.height, subsamp: header.subsamp };
        let luma = planes.y_width() * planes.y_height();
        let chroma = planes.uv_width() * planes.uv_height();
        let gray = header.subsamp == Subsamp::Gray;
        self.decoded.resize(luma + if gray { 0 } else { 2 * chroma }, 0);
        let target = YuvImage {
            pixels: self.decoded.as_mut_slice(),
            width: layout.width,
            align: 1,
            height: layout.height,
            subsamp: header.subsamp,
        };
        match decoder.decompress_to_yuv(data, target) {
            Err(turbojpeg::Error::TurboJpegError(complaint)) if complaint.contains(HARMLESS) => {}
            answer => answer.map_err(library)?,
        }
        self.decoder = Some(decoder);

        let (width, height) = layout.even();
        let (y, u, v) = memory.resize(width, height);
        for (line, target) in self.decoded.chunks_exact(planes.y_width()).zip(y.chunks_exact_mut(width)) {
            to_limited_range(&line[..width], target, LUMA);
        }
        if gray {
            u.fill(128);
            v.fill(128);
            return Ok(memory.planes(width, height));
        }
        let (cb, cr) = self.decoded[luma..].split_at(chroma);
        for (from, to) in [(cb, u), (cr, v)] {
            subsample(from, planes.uv_width(), header.subsamp, to, width / 2, &mut self.line);
        }
        Ok(memory.planes(width, height))
    }
}

fn new_decoder() -> turbojpeg::Result<Decompressor> {
    let mut decoder = Decompressor::new()?;
    decoder.set_scan_limit(SCAN_LIMIT)?;
    Ok(decoder)
}

fn check(header: &DecompressHeader, layout: &Layout) -> Result<(), Error> {
    if (header.width, header.height) != (layout.width, layout.height) {
        return Err(Error::JpegSize {
            jpeg_width: header.width,
            jpeg_height: header.height,
            width: layout.width as u32,
            height: layout.height as u32,
        });
    }
    if !matches!(header.colorspace, Colorspace::YCbCr | Colorspace::Gray) {
        return Err(Error::Jpeg(format!("its colours are {:?}, not YCbCr", header.colorspace)));
    }
    if header.subsamp == Subsamp::Unknown {
        return Err(Error::Jpeg("its chroma subsampling is not known".into()));
    }
    Ok(())
}

fn library(error: turbojpeg::Error) -> Error {
    Error::Jpeg(error.to_string())
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
}
