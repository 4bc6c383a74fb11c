//! Tests of the JPEG thread with frames that are offered by hand.

use std::time::{Duration, Instant};

use super::*;
use crate::media::convert::{JpegEncoder, JpegPlanes, jpeg_size};
use crate::media::{Colorimetry, EncodedFrame, PixelFormat, VideoFormat};
use crate::model::metrics::{CameraLabel, DropLabels, DropPoint, Metrics};
use crate::util::broadcast::Broadcast;
use crate::util::heartbeat::Heartbeat;
use crate::util::thread::MediaThread;

/// Longer than anything that works takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

const RAW: VideoFormat =
    VideoFormat { pixel: PixelFormat::I420, width: 320, height: 180, stride: 320, fps: 30.0, color: Colorimetry::SRGB };

struct Rig {
    output: MjpegOutput,
    source: Source,
    thread: Option<MediaThread>,
}

impl Rig {
    fn new() -> Self {
        let source = Source {
            frames: Broadcast::<EncodedFrame>::new(8),
            metrics: Metrics::new(),
            label: CameraLabel { camera: "camera".into() },
        };
        let output = MjpegOutput::default();
        let mut thread = MjpegThread::new(output.clone(), source.clone(), Heartbeat::default());
        let thread = Some(MediaThread::spawn("jpeg".into(), move || thread.run()).expect("thread"));
        Self { output, source, thread }
    }

    fn read(&self, variant: MjpegVariant) -> MjpegReader {
        self.output.read(&self.source, variant, None).expect("read")
    }

    /// Offers frames until `reader` gets one.
    async fn frame(&self, reader: &mut MjpegReader, frame: &RawFrame) -> MjpegFrame {
        let mut wait = std::pin::pin!(reader.next());
        let deadline = Instant::now() + LIMIT;
        loop {
            self.output.offer(frame, false);
            match tokio::time::timeout(Duration::from_millis(5), &mut wait).await {
                Ok(read) => return read.expect("a frame"),
                Err(_) => assert!(Instant::now() < deadline, "no frame"),
            }
        }
    }

    fn count(&self, family: fn(&Metrics) -> u64) -> u64 {
        family(&self.source.metrics)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.output.close();
        self.thread = None;
    }
}

fn encoded(metrics: &Metrics) -> u64 {
    metrics.mjpeg_encoded.get_or_create(&CameraLabel { camera: "camera".into() }).get()
}

fn passed(metrics: &Metrics) -> u64 {
    metrics.mjpeg_passed.get_or_create(&CameraLabel { camera: "camera".into() }).get()
}

fn sent(metrics: &Metrics) -> u64 {
    metrics.mjpeg_sent.get_or_create(&CameraLabel { camera: "camera".into() }).get()
}

fn grey(format: VideoFormat) -> RawFrame {
    let bytes = (format.width * format.height * 3 / 2) as usize;
    RawFrame::new(Timestamp::now(), format, vec![128; bytes].into())
}

/// A frame of an MJPEG camera.
fn camera_jpeg(width: usize, height: usize) -> RawFrame {
    let data = vec![90; width * height * 3 / 2];
    let jpeg = JpegEncoder::default().encode(&JpegPlanes { width, height, data }, 90).expect("jpeg");
    let format =
        VideoFormat { pixel: PixelFormat::Mjpeg, width: width as u32, height: height as u32, stride: 0, ..RAW };
    RawFrame::new(Timestamp::now(), format, jpeg.into())
}

fn width(width: u32) -> MjpegVariant {
    MjpegVariant { width: Some(width), quality: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_same_size_share_one_jpeg() {
    let rig = Rig::new();
    let mut readers: Vec<MjpegReader> = (0..10).map(|_| rig.read(width(160))).collect();
    // Wider than the camera: its full size, which is one variant with that of the reader who asks for nothing.
    let mut full = [rig.read(width(9999)), rig.read(MjpegVariant::default())];
    // Polled once each, so that all of them are ready.
    let mut pending: Vec<_> = readers.iter_mut().chain(&mut full).map(|reader| Box::pin(reader.next())).collect();
    for next in &mut pending {
        assert!(tokio::time::timeout(Duration::ZERO, next.as_mut()).await.is_err());
    }
    rig.output.offer(&grey(RAW), false);
    let mut sizes = Vec::new();
    for next in pending {
        let frame = tokio::time::timeout(LIMIT, next).await.expect("in time").expect("frame");
        sizes.push(jpeg_size(&frame.data).expect("size"));
    }
    assert_eq!(sizes, [vec![(160, 90); 10], vec![(320, 180); 2]].concat());
    assert_eq!((rig.count(encoded), rig.count(sent)), (2, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn jpegs_of_the_camera_are_passed_on_unless_a_change_is_wanted() {
    let rig = Rig::new();
    let frame = camera_jpeg(320, 180);
    let mut own = rig.read(MjpegVariant::default());
    assert_eq!(rig.frame(&mut own, &frame).await.data, frame.data);
    let mut wide = rig.read(width(320));
    assert_eq!(rig.frame(&mut wide, &frame).await.data, frame.data);
    assert_eq!((rig.count(encoded), rig.count(passed) >= 2), (0, true));
    drop((own, wide));
    let mut small = rig.read(width(100));
    let scaled = rig.frame(&mut small, &frame).await;
    assert_eq!(jpeg_size(&scaled.data), Some((100, 56)));
    let mut coarse = rig.read(MjpegVariant { width: None, quality: Some(10) });
    let coarse = rig.frame(&mut coarse, &frame).await;
    assert!(coarse.data != frame.data && jpeg_size(&coarse.data) == Some((320, 180)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_encoded_for_a_reader_that_is_not_ready() {
    let rig = Rig::new();
    assert!(!rig.output.offer(&grey(RAW), false), "nobody reads");
    let mut reader = rig.read(MjpegVariant::default());
    let stopped = rig.read(width(160));
    assert!(rig.source.frames.demand().guards() == 2);
    rig.frame(&mut reader, &grey(RAW)).await;
    let before = rig.count(encoded);
    for _ in 0..20 {
        assert!(rig.output.offer(&grey(RAW), false));
    }
    assert_eq!(rig.count(encoded), before);
    // The next frame is a new one, and those in between are counted.
    let late = grey(RAW);
    let frame = rig.frame(&mut reader, &late).await;
    assert_eq!(frame.captured, late.captured);
    let missed = rig.source.metrics.dropped.get_or_create(&DropLabels { at: DropPoint::Mjpeg }).get();
    assert!(missed >= 20, "{missed}");
    drop((reader, stopped));
    assert_eq!((rig.source.frames.demand().guards(), rig.source.metrics.mjpeg_readers.get()), (0, 0));
    assert!(!rig.output.has_readers());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_variants_is_bounded() {
    let rig = Rig::new();
    let readers: Vec<MjpegReader> = (1..=4).map(|number| rig.read(width(number * 20))).collect();
    let error = rig.output.read(&rig.source, width(100), None).expect_err("too many").to_string();
    assert!(error.ends_with("(width=20; width=40; width=60; width=80)"), "{error}");
    let _one_of_them = rig.read(width(80));
    drop(readers);
    let _another = rig.read(width(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_of_the_camera_is_read_while_the_privacy_switch_is_on() {
    let rig = Rig::new();
    let (mut reader, mut late) = (rig.read(MjpegVariant::default()), rig.read(MjpegVariant::default()));
    rig.frame(&mut reader, &grey(RAW)).await;
    rig.source.frames.demand().set_blocked(true);
    // The newest JPEG is one of the camera, and another frame is still under way.
    rig.output.offer(&grey(RAW), false);
    assert!(tokio::time::timeout(Duration::from_millis(100), late.next()).await.is_err());
    let deadline = Instant::now() + LIMIT;
    loop {
        rig.output.offer(&grey(RAW), true);
        if let Ok(frame) = tokio::time::timeout(Duration::from_millis(5), reader.next()).await {
            assert!(frame.expect("a frame").placeholder);
            break;
        }
        assert!(Instant::now() < deadline, "no placeholder");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_cannot_be_decoded_become_a_placeholder() {
    let rig = Rig::new();
    let mut reader = rig.read(MjpegVariant::default());
    let damaged = RawFrame { data: vec![0; 100].into(), ..camera_jpeg(320, 180) };
    let frame = rig.frame(&mut reader, &damaged).await;
    assert!(frame.placeholder && jpeg_size(&frame.data) == Some((320, 180)));
    let frame = rig.frame(&mut reader, &camera_jpeg(320, 180)).await;
    assert!(!frame.placeholder);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_end_with_the_pipeline() {
    let rig = Rig::new();
    let mut reader = rig.read(MjpegVariant::default());
    let output = rig.output.clone();
    let (ended, ()) = tokio::join!(reader.next(), async { output.close() });
    assert!(ended.is_none());
    let mut late = rig.read(MjpegVariant::default());
    assert!(late.next().await.is_none());
}
