//! The test pattern's timecode after a real encoder and decoder, at the size and bitrate at which it is hardest to
//! read.

use std::time::Duration;

use openh264::OpenH264API;
use openh264::decoder::Decoder;
use openh264::encoder::{BitRate, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, RateControlMode};
use openh264::formats::{YUVSlices, YUVSource};
use porthole::capture::camera::pattern::TestPattern;
use porthole::capture::camera::timecode;
use porthole::capture::camera::timecode::Timecode;
use porthole::capture::camera::{Config, Constraint};
use porthole::media::{RawFrame, Timestamp};

/// Starts near a byte wrap, so that many cells change during the run.
const FIRST: u32 = 0x00ff_ff80;

fn encoder(bitrate: u32) -> Encoder {
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Bitrate)
        .bitrate(BitRate::from_bps(bitrate))
        .max_frame_rate(FrameRate::from_hz(30.0))
        .skip_frames(false)
        .scene_change_detect(false)
        .intra_frame_period(IntraFramePeriod::from_num_frames(10_000));
    Encoder::with_api_config(OpenH264API::from_source(), config).expect("an encoder")
}

/// The timecode read from each of `count` decoded frames, and the mean bitrate in bit/s.
fn through_h264(width: u32, height: u32, bitrate: u32, count: u32) -> (Vec<Option<Timecode>>, usize) {
    let pattern = TestPattern::open(&Config {
        name: "yard".into(),
        width: Constraint::exact(width),
        height: Constraint::exact(height),
        fps: Constraint::exact(30),
        ..Config::default()
    });
    let (mut encoder, mut decoder) = (encoder(bitrate), Decoder::new().expect("a decoder"));
    let (mut read, mut bytes) = (Vec::new(), 0);
    for number in 0..count {
        let frame = pattern.render(FIRST + number, at(number));
        let stamp = openh264::Timestamp::from_millis(u64::from(number) * 1000 / 30);
        let unit = encoder.encode_at(&slices(&frame), stamp).expect("encodes").to_vec();
        bytes += unit.len();
        if let Some(image) = decoder.decode(&unit).expect("decodes") {
            let (width, height) = image.dimensions();
            read.push(timecode::read(image.y(), width, height, image.strides().0));
        }
    }
    (read, bytes * 8 * 30 / count as usize)
}

fn at(number: u32) -> Timestamp {
    Timestamp::from_start(Duration::from_micros(u64::from(number) * 1_000_000 / 30))
}

fn slices(frame: &RawFrame) -> YUVSlices<'_> {
    let (width, height) = (frame.format.width as usize, frame.format.height as usize);
    let (y, chroma) = frame.data.split_at(width * height);
    let (u, v) = chroma.split_at(chroma.len() / 2);
    YUVSlices::new((y, u, v), (width, height), (width, width / 2, width / 2))
}

fn assert_every_frame_is_read(width: u32, height: u32, bitrate: u32, count: u32) {
    let (read, rate) = through_h264(width, height, bitrate, count);
    assert_eq!(read.len(), count as usize, "decoded frames");
    for (number, code) in (0..).zip(read) {
        let expected = Timecode::new(FIRST + number, at(number), timecode::camera_hash("yard"));
        assert_eq!(code, Some(expected), "frame {number} at {width}x{height} and {rate} bit/s");
    }
    assert!(rate < bitrate as usize * 2, "the encoder did not hold the rate: {rate} bit/s");
}

#[test]
fn the_timecode_survives_320x180_at_100_kbit() {
    assert_every_frame_is_read(320, 180, 100_000, 300);
}

#[test]
fn the_timecode_survives_1280x720_at_600_kbit() {
    assert_every_frame_is_read(1280, 720, 600_000, 60);
}
