//! The layout of a driver's buffers: which of our pixel formats the driver chose, and whether a buffer holds a complete
//! frame.
//!
//! The ioctls do not belong here, nor does processing frames beyond telling complete from damaged ones.

use bytes::Bytes;

use super::color;
use crate::device::v4l2::{FieldOrder, FourCc, Lease, NegotiatedFormat};
use crate::media::convert::{is_complete_jpeg, jpeg_size, min_len, min_lens, row_bytes};
use crate::media::h264;
use crate::media::{ChromaPlanes, PixelFormat, RawFrame, Timestamp, VideoFormat};

/// A pixel format of V4L2 that we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The V4L2 name.
    pub fourcc: FourCc,
    /// Our pixel format.
    pub pixel: PixelFormat,
    /// The number of memory planes of a frame.
    pub planes: usize,
}

impl Known {
    const fn new(fourcc: &[u8; 4], pixel: PixelFormat, planes: usize) -> Self {
        Self { fourcc: FourCc::new(fourcc), pixel, planes }
    }

    /// The entry of a V4L2 format; `None` if it is not supported.
    pub fn of(fourcc: FourCc) -> Option<Self> {
        KNOWN.into_iter().find(|known| known.fourcc == fourcc)
    }
}

/// The supported pixel formats. Of two for the same pixels the first is preferred: with each plane in its own memory,
/// the driver reports the stride of every plane, which is otherwise derived from that of the first. Some drivers call
/// Motion JPEG `JPEG`.
const KNOWN: [Known; 16] = [
    Known::new(b"YM12", PixelFormat::I420, 3),
    Known::new(b"YU12", PixelFormat::I420, 1),
    Known::new(b"YM21", PixelFormat::Yv12, 3),
    Known::new(b"YV12", PixelFormat::Yv12, 1),
    Known::new(b"NM12", PixelFormat::Nv12, 2),
    Known::new(b"NV12", PixelFormat::Nv12, 1),
    Known::new(b"NM21", PixelFormat::Nv21, 2),
    Known::new(b"NV21", PixelFormat::Nv21, 1),
    Known::new(b"GREY", PixelFormat::Grey, 1),
    Known::new(b"YUYV", PixelFormat::Yuyv, 1),
    Known::new(b"UYVY", PixelFormat::Uyvy, 1),
    Known::new(b"RGB3", PixelFormat::Rgb24, 1),
    Known::new(b"BGR3", PixelFormat::Bgr24, 1),
    Known::new(b"MJPG", PixelFormat::Mjpeg, 1),
    Known::new(b"JPEG", PixelFormat::Mjpeg, 1),
    Known::new(b"H264", PixelFormat::H264, 1),
];

/// The side of the largest block that a JPEG is made of, in pixels.
const JPEG_BLOCK: u32 = 16;

/// The rank of a format among those for the same pixels.
pub fn preference(fourcc: FourCc) -> usize {
    KNOWN.iter().position(|known| known.fourcc == fourcc).unwrap_or(KNOWN.len())
}

/// The layout of every frame of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferLayout {
    /// The format; the caller fills in the frame rate.
    pub format: VideoFormat,
    /// The V4L2 name.
    pub fourcc: FourCc,
    /// Stride in bytes of the chroma planes in memory of their own; `None` if they follow the luma.
    chroma_stride: Option<u32>,
    /// The minimum length of each memory plane in bytes.
    min_lens: Vec<usize>,
}

impl BufferLayout {
    /// The layout for the driver's reply, if it is a supported format and the `requested` one.
    ///
    /// # Errors
    ///
    /// What is wrong with the reply.
    pub fn of(reply: &NegotiatedFormat, requested: Option<PixelFormat>) -> Result<Self, String> {
        let &NegotiatedFormat { fourcc, width, height, field, .. } = reply;
        let known = Known::of(fourcc)
            .filter(|known| requested.is_none_or(|requested| requested == known.pixel))
            .ok_or_else(|| format!("the driver insists on {fourcc}"))?;
        if let FieldOrder::Split(order) = field {
            return Err(format!(
                "the driver delivers separate fields (field order {order}); choose a progressive input"
            ));
        }
        if width == 0 || height == 0 {
            return Err(format!("the driver answered {width}x{height}; is the input connected?"));
        }
        if reply.strides.len() != known.planes {
            let (have, need) = (reply.strides.len(), known.planes);
            return Err(format!("the driver answered {fourcc} with {have} planes of memory instead of {need}"));
        }
        let stride = |plane: usize, row: u32| match reply.strides[plane] {
            // Some drivers leave the stride zero, which means no padding.
            0 => row,
            bytes => bytes.max(row),
        };
        let pixel = known.pixel;
        let row = row_bytes(pixel, width);
        let format = VideoFormat {
            pixel,
            width,
            height,
            stride: if pixel.is_compressed() { 0 } else { stride(0, row) },
            fps: 0.0,
            color: color::of_driver(reply.color),
        };
        let len = min_len(&format).ok_or_else(|| format!("the driver answered {reply:?}"))?;
        if known.planes == 1 {
            return Ok(Self { format, fourcc, chroma_stride: None, min_lens: vec![len] });
        }
        let chroma_row = if known.planes == 2 { row } else { width.div_ceil(2) };
        let chroma_stride = stride(1, chroma_row);
        if (1..known.planes).any(|plane| stride(plane, chroma_row) != chroma_stride) {
            return Err(format!("the driver answered {fourcc} with chroma planes of different strides: {reply:?}"));
        }
        let min_lens = min_lens(&format, chroma_stride).ok_or_else(|| format!("the driver answered {reply:?}"))?;
        let min_lens = min_lens[..known.planes].to_vec();
        Ok(Self { format, fourcc, chroma_stride: Some(chroma_stride), min_lens })
    }

    /// Whether a buffer holds a complete frame, as far as its length, first and last bytes show.
    pub fn is_complete(&self, lease: &Lease) -> bool {
        let mut planes = self.min_lens.iter().enumerate();
        planes.all(|(plane, &least)| lease.plane(plane).len() >= least)
            && match self.format.pixel {
                PixelFormat::Mjpeg => is_complete_jpeg(lease.plane(0)),
                PixelFormat::H264 => h264::nals(lease.plane(0)).next().is_some(),
                _ => true,
            }
    }

    /// Whether a buffer begins with a JPEG, if that is the format.
    pub fn is_jpeg(&self, lease: &Lease) -> bool {
        self.format.pixel == PixelFormat::Mjpeg && jpeg_size(lease.plane(0)).is_some()
    }

    /// The frame in a buffer: without a copy, unless the camera encoded it. Encoded frames are kept by the dozen for
    /// viewers that lag; they are small, and the driver's few buffers must not wait for viewers.
    pub fn frame(&self, lease: Lease, captured: Timestamp, gap: bool) -> RawFrame {
        if self.format.pixel == PixelFormat::H264 {
            let data = Bytes::copy_from_slice(lease.plane(0));
            return RawFrame { gap, ..RawFrame::new(captured, self.format, data) };
        }
        let mut planes = lease.into_planes().into_iter();
        let mut plane = || planes.next().unwrap_or_default();
        let data = plane();
        let format = jpeg_format(self.format, &data);
        let frame = RawFrame { gap, ..RawFrame::new(captured, format, data) };
        let Some(stride) = self.chroma_stride else { return frame };
        let second = plane();
        let third = if self.min_lens.len() > 2 { plane() } else { Bytes::new() };
        RawFrame { chroma: Some(ChromaPlanes { second, third, stride }), ..frame }
    }
}

/// The format of a frame from a stream in `format`. A JPEG's own header counts, whatever the driver promised; but encoders
/// work in blocks, and some cameras write the size of all blocks into the header, so that a few columns or lines more than
/// promised are to be cropped.
fn jpeg_format(format: VideoFormat, data: &[u8]) -> VideoFormat {
    let size = (format.pixel == PixelFormat::Mjpeg).then(|| jpeg_size(data)).flatten();
    let Some((width, height)) = size else { return format };
    let padded = |jpeg: u32, promised: u32| (promised..promised.saturating_add(JPEG_BLOCK)).contains(&jpeg);
    if padded(width, format.width) && padded(height, format.height) {
        return format;
    }
    VideoFormat { width, height, ..format }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(fourcc: &[u8; 4], strides: &[u32]) -> NegotiatedFormat {
        NegotiatedFormat {
            fourcc: FourCc::new(fourcc),
            width: 641,
            height: 481,
            field: FieldOrder::Progressive,
            strides: strides.to_vec(),
            color: Default::default(),
        }
    }

    fn layout(fourcc: &[u8; 4], strides: &[u32]) -> BufferLayout {
        BufferLayout::of(&reply(fourcc, strides), None).expect("should take")
    }

    #[test]
    fn every_pixel_format_has_a_fourcc() {
        for pixel in PixelFormat::ALL {
            assert!(KNOWN.iter().any(|known| known.pixel == pixel && known.planes == 1), "{pixel:?}");
        }
    }

    #[test]
    fn format_set_by_the_driver_is_accepted() {
        let taken = layout(b"YUYV", &[0]).format;
        assert_eq!((taken.pixel, taken.width, taken.stride), (PixelFormat::Yuyv, 641, 642 * 2));
        assert_eq!(layout(b"NV12", &[704]).format.stride, 704);
        assert_eq!(layout(b"NV12", &[3]).format.stride, 642, "a line is never shorter than its pixels");
        for compressed in [b"MJPG", b"H264"] {
            assert_eq!(layout(compressed, &[641]).format.stride, 0);
        }
    }

    #[test]
    fn separate_planes_have_their_own_strides_and_lengths() {
        let two = layout(b"NM12", &[704, 0]);
        assert_eq!((two.format.stride, two.chroma_stride), (704, Some(642)));
        assert_eq!(two.min_lens, [704 * 480 + 642, 642 * 240 + 642]);
        let three = layout(b"YM21", &[0, 384, 384]);
        assert_eq!((three.format.pixel, three.format.stride), (PixelFormat::Yv12, 641));
        assert_eq!(
            (three.chroma_stride, &three.min_lens),
            (Some(384), &vec![641 * 481, 384 * 240 + 321, 384 * 240 + 321])
        );
    }

    #[test]
    fn unusable_buffer_layout_is_rejected_with_the_reason() {
        let refused =
            |reply: &NegotiatedFormat, requested| BufferLayout::of(reply, requested).expect_err("should refuse");
        let yuyv = reply(b"YUYV", &[0]);
        assert_eq!(refused(&reply(b"BA81", &[0]), None), "the driver insists on BA81");
        assert_eq!(refused(&yuyv, Some(PixelFormat::Mjpeg)), "the driver insists on YUYV");
        assert_eq!(
            refused(&NegotiatedFormat { height: 0, ..yuyv.clone() }, None),
            "the driver answered 641x0; is the input connected?"
        );
        let halves = NegotiatedFormat { field: FieldOrder::Split(7), ..yuyv.clone() };
        assert!(refused(&halves, None).contains("separate fields (field order 7)"));
        let planes = "the driver answered NM12 with 1 planes of memory instead of 2";
        assert_eq!(refused(&reply(b"NM12", &[0]), None), planes);
        assert!(refused(&reply(b"YUYV", &[]), None).contains("0 planes"));
        assert!(refused(&reply(b"YM12", &[0, 384, 512]), None).contains("different strides"));
        for (width, height) in [(u32::MAX, u32::MAX), (1, 1)] {
            for (fourcc, planes) in [(b"YUYV", 1), (b"NM12", 2), (b"MJPG", 1)] {
                let senseless = NegotiatedFormat { width, height, ..reply(fourcc, &vec![u32::MAX; planes]) };
                assert!(refused(&senseless, None).contains("the driver answered"), "{senseless:?}");
            }
        }
    }

    #[test]
    fn size_in_the_header_of_a_jpeg_counts_unless_it_is_padding() {
        let promised = VideoFormat { width: 1920, height: 1080, ..layout(b"MJPG", &[0]).format };
        let jpeg = |width: u16, height: u16| {
            let [w, h] = [width, height].map(u16::to_be_bytes);
            [&[0xff, 0xd8, 0xff, 0xc0, 0, 8, 8][..], &h, &w, &[3]].concat()
        };
        for (width, height, taken) in [
            (1920, 1080, (1920, 1080)),
            (1920, 1088, (1920, 1080)),
            (1920, 1096, (1920, 1096)),
            (1280, 720, (1280, 720)),
            (1920, 1072, (1920, 1072)),
        ] {
            let format = jpeg_format(promised, &jpeg(width, height));
            assert_eq!((format.width, format.height), taken, "{width}x{height}");
        }
        assert_eq!(jpeg_format(promised, &[0xff, 0xd8]), promised);
    }
}
