//! Tests of the smaller rendition.

use std::time::Duration;

use super::super::*;
use super::rig::{CameraStep, LARGE, LIMIT, OWN, Rig, SMALL, access_unit, next, raw, unplugged};
use crate::media::encoder::decode;
use crate::media::{Colorimetry, RawFrame, Timestamp};
use crate::model::metrics::{CameraLabel, DropPoint};
use crate::util::broadcast::Subscriber;

/// The width and height of a key frame.
fn size(frame: &EncodedFrame) -> (u32, u32) {
    let RawFrame { format, .. } = decode(frame).expect("a key frame");
    (format.width, format.height)
}

fn small_encoded(rig: &Rig) -> u64 {
    rig.metrics.small_encoded.get_or_create(&CameraLabel { camera: "camera".into() }).get()
}

/// Sends one frame after another until the viewer has got one.
async fn shown(
    camera: &std::sync::mpsc::SyncSender<CameraStep>,
    format: VideoFormat,
    viewer: &mut Subscriber<EncodedFrame>,
) -> EncodedFrame {
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "no frame");
        camera.send(raw(format)).expect("camera");
        if let Ok(frame) = tokio::time::timeout(Duration::from_millis(50), viewer.recv()).await {
            return frame.expect("pipeline");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_half_the_size_starts_with_a_key_frame_and_is_encoded_only_for_subscribers() {
    let rig = Rig::new();
    let camera = rig.port.plug(LARGE);
    let small = rig.output.small.frames.clone();
    let mut viewer = rig.output.frames.subscribe();
    for number in 0..3 {
        camera.send(raw(LARGE)).expect("camera");
        assert_eq!(next(&mut viewer).await.key, number == 0);
    }
    assert_eq!((small_encoded(&rig), *rig.output.small.source.borrow()), (0, Some(LARGE)));
    rig.until_encoders(1).await;

    let mut small_viewer = small.subscribe();
    let first = shown(&camera, LARGE, &mut small_viewer).await;
    assert!(first.key && !first.placeholder);
    assert_eq!(size(&first), (320, 180));
    rig.until_encoders(2).await;
    let second = shown(&camera, LARGE, &mut small_viewer).await;
    assert!(!second.key && second.captured > first.captured);
    small.request_refresh();
    let deadline = Instant::now() + LIMIT;
    while !shown(&camera, LARGE, &mut small_viewer).await.key {
        assert!(Instant::now() < deadline, "no key frame");
    }
    assert!(!small.refresh_requested());
    drop(small_viewer);
    let before = small_encoded(&rig);
    for _ in 0..3 {
        camera.send(raw(LARGE)).expect("camera");
        next(&mut viewer).await;
    }
    rig.until_encoders(1).await;
    assert!(small_encoded(&rig) <= before + 1, "one may have been under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_alone_is_watched_nothing_else_is_encoded() {
    let rig = Rig::new();
    let color = Colorimetry { full_range: true, ..Colorimetry::BT709 };
    let format = VideoFormat { color, ..LARGE };
    let camera = rig.port.plug(format);
    let mut small_viewer = rig.output.small.frames.subscribe();
    let first = shown(&camera, format, &mut small_viewer).await;
    assert_eq!(size(&first), (320, 180), "its subscriber alone opens the camera");
    let sps = crate::media::h264::nals(&first.data).next().expect("sps");
    let due = Colorimetry { matrix: Colorimetry::MATRIX_BT601, full_range: false, ..color };
    assert_eq!(crate::media::h264::color::read(sps), Some(due), "the colours are those of all video");
    rig.until_encoders(1).await;
    assert_eq!((rig.encoded(), rig.dropped(DropPoint::Unwatched)), (0, 0));

    // Somebody who comes gets a key frame of the camera's own size at once.
    let mut viewer = rig.output.frames.subscribe();
    let own = shown(&camera, format, &mut viewer).await;
    assert!(own.key);
    assert_eq!(size(&own), (640, 360));
    drop((viewer, small_viewer));
    rig.until_encoders(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_viewers_see_the_placeholder_too() {
    let rig = Rig::new();
    let camera = rig.port.plug(LARGE);
    let mut small_viewer = rig.output.small.frames.subscribe();
    let live = shown(&camera, LARGE, &mut small_viewer).await;
    camera.send(CameraStep::Fail(unplugged())).expect("camera");
    // The camera's last frames may be under way still.
    let placeholder = loop {
        let frame = next(&mut small_viewer).await;
        if frame.placeholder {
            break frame;
        }
    };
    assert!(placeholder.key && placeholder.captured > live.captured);
    assert_eq!(size(&placeholder), (320, 180));
    assert!(!next(&mut small_viewer).await.key, "one stream");
    assert_eq!(rig.encoded(), 0, "nobody watches the camera's own size");

    let other = VideoFormat { width: 480, stride: 480, height: 270, ..LARGE };
    let camera = rig.port.plug(other);
    rig.wake();
    let back = loop {
        let frame = shown(&camera, other, &mut small_viewer).await;
        if !frame.placeholder {
            break frame;
        }
    };
    assert!(back.key && back.captured > placeholder.captured);
    assert_eq!(size(&back), (240, 134));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_none_of_tiny_frames_and_of_a_camera_that_encodes_itself() {
    for (format, step) in [(SMALL, raw(SMALL)), (OWN, access_unit(Some(super::rig::HIGH)))] {
        let rig = Rig::new();
        let camera = rig.port.plug(format);
        let mut viewer = rig.output.frames.subscribe();
        let mut small_viewer = rig.output.small.frames.subscribe();
        camera.send(step).expect("camera");
        assert!(next(&mut viewer).await.key);
        assert_eq!((*rig.output.small.source.borrow(), small_encoded(&rig)), (None, 0));
        assert_eq!(small_viewer.try_recv().map(|frame| frame.is_some()), Ok(false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_bitrate_follows_the_cameras_and_what_its_viewers_can_take() {
    let rig = Rig::new();
    let camera = rig.port.plug(LARGE);
    let bitrate = rig.output.small.bitrate.clone();
    assert_eq!(bitrate.limit(), 125_000, "a quarter of 500 kbit/s");
    rig.output.handle.set(VideoSettingsPatch { bitrate: Some(8_000_000), ..Default::default() }).await.expect("set");
    let mut small_viewer = rig.output.small.frames.subscribe();
    let mut number = 0u64;
    let mut bytes = async || {
        let mut sizes = Vec::new();
        for _ in 0..60 {
            let luma = (0..LARGE.width * LARGE.height).map(|at| (u64::from(at) * 7 + number * 5) as u8);
            let data: Vec<u8> =
                luma.chain(std::iter::repeat_n(128, (LARGE.width * LARGE.height / 2) as usize)).collect();
            let captured = Timestamp::from_start(Duration::from_millis(1 + number * 33));
            camera.send(CameraStep::Frame(RawFrame::new(captured, LARGE, data.into()))).expect("camera");
            sizes.push(next(&mut small_viewer).await.data.len());
            number += 1;
        }
        // In the first second the encoder gets there.
        sizes[30..].iter().sum::<usize>()
    };
    let rich = bytes().await;
    assert_eq!(bitrate.limit(), 500_000);
    bitrate.want(Some(100_000));
    let poor = bytes().await;
    assert!(poor * 2 < rich, "{rich}, {poor} bytes a second");
}
