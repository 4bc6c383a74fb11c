//! The software encoder: Cisco's OpenH264, linked statically.

mod codec;
mod decode;
#[cfg(test)]
mod frame_sizes;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::complexity::ComplexityMeter;
use super::rate::{Coded, Layer, QP_MAX, RateControl};
use super::threads::ThreadPolicy;
use super::{Config, Error, PictureTap};
use crate::media::convert::{Converter, Planes};
use crate::media::h264;
use crate::media::{EncodedFrame, RawFrame, Timestamp, VideoFormat};
use codec::{Codec, CodecLayout, Picture, Slices};

pub use decode::{StreamDecoder, decode};

/// The name in the status and in errors.
pub(super) const NAME: &str = "openh264";

/// An OpenH264 encoder. The size of its pictures may change.
pub struct OpenH264 {
    /// The library and the size of its pictures; `None` before the first one, and when it has to be opened anew.
    codec: Option<((usize, usize), Codec)>,
    converter: Converter,
    meter: ComplexityMeter,
    rate: RateControl,
    threads: ThreadPolicy,
    /// Whether NAL units have to be small.
    small_nals: bool,
    /// Whether there are two temporal layers.
    layered: bool,
    /// The highest bitrate so far, which the level of the stream has to allow.
    highest: u32,
    /// What the source declares.
    format: VideoFormat,
    /// When the last frame was captured.
    last: Option<Timestamp>,
}

impl OpenH264 {
    /// An encoder for frames of `format`.
    pub fn open(config: &Config, format: &VideoFormat) -> Self {
        let pixels = format.width as usize * format.height as usize;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            codec: None,
            converter: Converter::new(),
            meter: ComplexityMeter::default(),
            rate: RateControl::new(config.bitrate, pixels, interval(format.fps)),
            threads: ThreadPolicy::new(config.threads, cores),
            small_nals: false,
            layered: false,
            highest: config.bitrate,
            format: *format,
            last: None,
        }
    }
}

impl super::Encoder for OpenH264 {
    fn encode_tapped(
        &mut self,
        frame: &RawFrame,
        key: bool,
        tap: &mut PictureTap<'_>,
    ) -> Result<Option<EncodedFrame>, Error> {
        let elapsed =
            self.last.replace(frame.captured).map_or(Duration::ZERO, |last| frame.captured.saturating_since(last));
        let planes = self.converter.video(frame)?;
        tap(&planes);
        let size = (planes.width, planes.height);
        let fresh = self.codec.as_ref().is_none_or(|(opened, _)| *opened != size);
        let key = key || fresh;
        let picture = self.meter.measure(planes.y, planes.width, planes.y_stride);
        let next = self.codec.as_ref().map_or(Layer::Key, |(_, codec)| codec.next_layer());
        let qp = self.rate.choose(elapsed, if key { Layer::Key } else { next }, picture).ok_or(Error::Backlog)?;
        let slices = if self.small_nals { Slices::Small } else { Slices::PerThread };
        let layout = CodecLayout { threads: self.threads.count(), slices, layered: self.layered };
        let open = || Codec::open(size, self.highest, &self.format, layout);
        let mut codec = match self.codec.take() {
            Some((_, codec)) if !fresh => codec,
            _ => open()?,
        };
        let started = Instant::now();
        let at = frame.captured.since_start();
        let (mut data, mut coded) = match encode(&mut codec, &planes, at, key, qp) {
            Err(error) if qp < QP_MAX => {
                // A sudden storm of noise exceeds the buffers of the library, which is of no use afterwards.
                tracing::debug!("{error}; encoding the frame with the coarsest quantiser instead");
                codec = open()?;
                encode(&mut codec, &planes, at, true, QP_MAX)?
            }
            other => other?,
        };
        while let Some(qp) = self.rate.coded(coded, picture) {
            (data, coded) = encode(&mut codec, &planes, at, true, qp)?;
        }
        if !self.threads.note(started.elapsed(), elapsed) {
            self.codec = Some((size, codec));
        }
        Ok(Some(EncodedFrame::new(frame.captured, coded.layer == Layer::Key, Bytes::from(data))))
    }

    fn tap(&mut self, frame: &RawFrame, tap: &mut PictureTap<'_>) -> Result<(), Error> {
        // It holds tens of megabytes.
        self.codec = None;
        tap(&self.converter.video(frame)?);
        Ok(())
    }

    fn load(&self) -> f64 {
        self.threads.share()
    }

    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error> {
        self.highest = self.highest.max(bitrate);
        self.rate.set_bitrate(bitrate);
        Ok(())
    }

    fn set_small_nals(&mut self, small: bool) {
        if std::mem::replace(&mut self.small_nals, small) != small {
            // The next frame is a key frame, which the viewer that asked for it needs.
            self.codec = None;
        }
    }

    fn set_layers(&mut self, layered: bool) {
        if std::mem::replace(&mut self.layered, layered) != layered {
            self.rate.set_layers(layered);
            // Changing the number of layers of an open one begins with a key frame all the same.
            self.codec = None;
        }
    }

    fn profile(&self) -> Option<h264::Profile> {
        Some(h264::Profile::CONSTRAINED_BASELINE)
    }

    fn damaged_shown(&self) -> u64 {
        self.converter.damaged_shown()
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// Encodes a picture once.
fn encode(codec: &mut Codec, planes: &Planes<'_>, at: Duration, key: bool, qp: u8) -> Result<(Vec<u8>, Coded), Error> {
    let Picture { data, layer } = codec.encode(planes, at.as_millis() as u64, (key, qp))?;
    if data.is_empty() {
        return Err(Error::Codec {
            encoder: NAME,
            reason: "returned no frame; reduce the size or the frame rate".into(),
        });
    }
    let bytes = data.len();
    Ok((data, Coded { layer, qp, bytes }))
}

/// The interval between frames at a rate, which a source may declare as anything.
fn interval(fps: f64) -> Duration {
    Duration::from_secs_f64(1.0 / fps.clamp(1.0, 240.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::encoder::Encoder as _;
    use crate::media::{Colorimetry, PixelFormat};

    fn frame(number: u64) -> RawFrame {
        let (width, height) = (320u32, 180u32);
        let mut data = vec![128u8; (width * height * 3 / 2) as usize];
        for (at, luma) in data[..(width * height) as usize].iter_mut().enumerate() {
            *luma = (at as u64 * 7 + number * 5) as u8;
        }
        let format =
            VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 30.0, color: Colorimetry::SRGB };
        RawFrame::new(Timestamp::from_start(Duration::from_millis(number * 33)), format, data.into())
    }

    /// The types of the NAL units of an access unit (ITU-T H.264 table 7-1).
    fn nal_types(data: &[u8]) -> Vec<u8> {
        data.windows(4).filter(|w| w[..3] == [0, 0, 1]).map(|w| w[3] & 0x1f).collect()
    }

    #[test]
    fn every_key_frame_has_sps_and_pps_and_only_requested_frames_are_key_frames() {
        for threads in [1, 2] {
            let config = Config { bitrate: 300_000, threads, ..Config::default() };
            let mut encoder = OpenH264::open(&config, &frame(0).format);
            for number in 0..40 {
                let asked = number == 0 || number == 25;
                let encoded = encoder.encode(&frame(number), asked).expect("encode").expect("picture");
                assert_eq!(encoded.key, asked, "frame {number}");
                let types = nal_types(&encoded.data);
                if asked {
                    assert_eq!(types[..3], [7, 8, 5], "frame {number}");
                    // profile_idc 66 with constraint_set0 and constraint_set1: constrained baseline.
                    let sps = encoded.data.windows(4).position(|w| w == [0, 0, 1, 0x67]).expect("sps");
                    assert_eq!(encoded.data[sps + 4], 66);
                    assert_eq!(encoded.data[sps + 5] & 0xc0, 0xc0);
                } else {
                    assert!(types.iter().all(|nal| *nal == 1), "frame {number}: {types:?}");
                }
            }
        }
    }

    #[test]
    fn no_other_frame_needs_every_second_one() {
        for (threads, small) in [(1, false), (2, false), (1, true)] {
            let mut encoder = OpenH264::open(&Config { threads, ..Config::default() }, &frame(0).format);
            encoder.set_small_nals(small);
            encoder.set_layers(true);
            let mut disposable = |number| {
                let encoded = encoder.encode(&frame(number), number == 0 || number == 7).expect("encode");
                encoded.expect("picture").disposable
            };
            let found: Vec<u64> = (0..12).filter(|number| disposable(*number)).collect();
            assert_eq!(found, [1, 3, 5, 8, 10], "{threads} threads, small: {small}");
            encoder.set_layers(false);
            let one_layer = [20, 21, 22].map(|number| {
                let encoded = encoder.encode(&frame(number), false).expect("encode").expect("picture");
                (encoded.key, encoded.disposable)
            });
            assert_eq!(one_layer, [(true, false), (false, false), (false, false)]);
        }
    }

    #[test]
    fn the_stream_says_what_its_colours_are() {
        let full = Colorimetry { full_range: true, ..Colorimetry::SRGB };
        let colors = [Colorimetry::SRGB, Colorimetry::BT709, full];
        for (color, threads) in colors.into_iter().flat_map(|color| [(color, 1), (color, 2)]) {
            let format = VideoFormat { color, ..frame(0).format };
            let mut encoder = OpenH264::open(&Config { threads, ..Config::default() }, &format);
            let encoded = encoder.encode(&RawFrame { format, ..frame(0) }, true).expect("encode").expect("picture");
            let sps = h264::nals(&encoded.data).next().expect("sps");
            let due = Colorimetry { matrix: Colorimetry::MATRIX_BT601, full_range: false, ..color };
            assert_eq!(h264::color::read(sps), Some(due));
        }
    }

    #[test]
    fn another_size_begins_with_a_key_frame() {
        let mut encoder = OpenH264::open(&Config::default(), &frame(0).format);
        let mut encode = |frame: &RawFrame| encoder.encode(frame, false).expect("encode").expect("picture");
        let mut small = frame(2);
        (small.format.width, small.format.stride, small.format.height) = (160, 160, 90);
        small.data = small.data.slice(..160 * 90 * 3 / 2);
        let keys = [&frame(0), &frame(1), &small, &small, &frame(3)].map(|frame| encode(frame).key);
        assert_eq!(keys, [true, false, true, false, true]);
    }

    #[test]
    fn bitrate_changes_within_the_stream() {
        let config = Config { bitrate: 2_000_000, threads: 1, ..Config::default() };
        let mut encoder = OpenH264::open(&config, &frame(0).format);
        encoder.encode(&frame(0), true).expect("encode");
        let second = |encoder: &mut OpenH264, from: u64| {
            let bytes = (from..from + 30).map(|number| {
                let encoded = encoder.encode(&frame(number), false).expect("encode").expect("picture");
                assert!(!encoded.key, "no key frame is needed for it");
                encoded.data.len()
            });
            bytes.sum::<usize>()
        };
        // The first second of each rate is that in which the codec gets there.
        second(&mut encoder, 1);
        let rich = second(&mut encoder, 31);
        encoder.set_bitrate(200_000).expect("fewer");
        second(&mut encoder, 61);
        let poor = second(&mut encoder, 91);
        encoder.set_bitrate(2_000_000).expect("more");
        second(&mut encoder, 121);
        let again = second(&mut encoder, 151);
        assert!(poor * 3 < rich && poor * 3 < again, "{rich}, {poor}, {again} bytes a second");
    }
}
