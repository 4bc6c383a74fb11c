//! A camera's own JPEG as a file that every image viewer accepts: cameras leave out the end of the image and the Huffman
//! tables, and the samples stay as they are.

use std::sync::LazyLock;

use super::Error;
use super::jpeg::{EOI, is_complete_jpeg, is_jpeg, segments};
use super::jpeg_encoder::{JpegEncoder, JpegPlanes};

/// The marker of a segment with Huffman tables (ITU-T T.81 table B.1).
const DHT: u8 = 0xc4;

/// The segments with the tables that cameras leave out, those of ITU-T T.81 annex K.3, which our encoder uses as well.
static TABLES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let grey = JpegPlanes { width: 16, height: 16, data: vec![128; 16 * 16 * 3 / 2] };
    let jpeg = JpegEncoder::default().encode(&grey, 90).expect("a grey block should be encodable");
    let tables = segments(&jpeg).filter(|(marker, _)| *marker == DHT);
    tables
        .flat_map(|(_, content)| [&[0xff, DHT][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat())
        .collect()
});

/// Copies a camera's JPEG, and adds its end and the Huffman tables where they are missing.
///
/// # Errors
///
/// [`Error::Jpeg`] if it is none.
pub fn standalone(data: &[u8]) -> Result<Vec<u8>, Error> {
    let scan = scan_start(data).filter(|_| is_jpeg(data)).ok_or_else(|| Error::Jpeg("it has no scan".into()))?;
    let tables = if has_huffman_tables(data) { &[][..] } else { &TABLES };
    let end = if is_complete_jpeg(data) { &[][..] } else { EOI };
    let mut jpeg = Vec::with_capacity(data.len() + tables.len() + end.len());
    for part in [&data[..scan], tables, &data[scan..], end] {
        jpeg.extend_from_slice(part);
    }
    Ok(jpeg)
}

/// Where the first scan begins; `None` if a segment before it is cut off.
fn scan_start(data: &[u8]) -> Option<usize> {
    let last = segments(data).last().map_or(data.get(..2)?, |(_, content)| content);
    let mut at = last.as_ptr_range().end.addr() - data.as_ptr().addr();
    // Fill bytes before a marker.
    while data.get(at..at + 2)? == [0xff, 0xff] {
        at += 1;
    }
    (data[at..].starts_with(&[0xff, 0xda])).then_some(at)
}

/// Whether a JPEG defines Huffman tables before its first scan (ITU-T T.81 section B.2).
fn has_huffman_tables(data: &[u8]) -> bool {
    segments(data).any(|(marker, _)| marker == DHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::convert::Converter;
    use crate::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};

    /// A JPEG with some detail in every plane.
    fn wedge() -> Vec<u8> {
        let data = (0..64 * 48 * 3 / 2).map(|at| (at % 64 * 3) as u8).collect();
        JpegEncoder::default().encode(&JpegPlanes { width: 64, height: 48, data }, 95).expect("jpeg")
    }

    /// Removes the segments with Huffman tables.
    fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let (mut bare, mut rest) = (jpeg[..2].to_vec(), &jpeg[2..]);
        while rest[1] != 0xda {
            let (segment, others) = rest.split_at(2 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            if segment[1] != DHT {
                bare.extend_from_slice(segment);
            }
            rest = others;
        }
        bare.extend_from_slice(rest);
        bare
    }

    fn luma(jpeg: &[u8]) -> Vec<u8> {
        let format = VideoFormat {
            pixel: PixelFormat::Mjpeg,
            width: 64,
            height: 48,
            stride: 0,
            fps: 30.0,
            color: Colorimetry::SRGB,
        };
        let frame = RawFrame::new(Timestamp::default(), format, jpeg.to_vec().into());
        Converter::new().i420(&frame).expect("decodes").y.to_vec()
    }

    #[test]
    fn a_complete_jpeg_is_kept_byte_for_byte() {
        assert_eq!(standalone(&wedge()).expect("jpeg"), wedge());
    }

    #[test]
    fn missing_huffman_tables_are_added() {
        let whole = wedge();
        let bare = without_tables(&whole);
        assert!(bare.len() < whole.len() && !has_huffman_tables(&bare));
        let again = standalone(&bare).expect("jpeg");
        assert!(has_huffman_tables(&again));
        assert_eq!(luma(&again), luma(&whole));
        // Fill bytes before the scan are legal.
        let scan = scan_start(&bare).expect("scan");
        let filled = [&bare[..scan], &[0xff, 0xff], &bare[scan..]].concat();
        assert_eq!(luma(&standalone(&filled).expect("jpeg")), luma(&whole));
    }

    #[test]
    fn a_missing_end_is_added() {
        let whole = wedge();
        assert_eq!(standalone(&whole[..whole.len() - 2]).expect("jpeg"), whole);
    }

    #[test]
    fn what_is_no_jpeg_is_rejected() {
        for bytes in
            [&[][..], &[0xff, 0xd8], &[0xff, 0xd8, 0xff, 0xff, 0xff, 0xff], &[0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff]]
        {
            assert!(matches!(standalone(bytes), Err(Error::Jpeg(_))), "{bytes:?}");
            assert!(!has_huffman_tables(bytes), "{bytes:?}");
        }
        assert!(standalone(&[&[0, 0][..], &wedge()].concat()).is_err());
    }
}
