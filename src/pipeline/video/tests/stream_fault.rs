//! Cameras whose frames arrive and cannot be shown.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::super::*;
use super::rig::{CameraStep, HIGH, LIMIT, OWN, Rig, SMALL, access_unit, next, raw};
use crate::media::{RawFrame, Timestamp};
use crate::model::metrics::DropPoint;
use crate::model::status::{FaultKind, PipelineState};
use crate::util::broadcast::Subscriber;

fn frame(format: VideoFormat, data: &[u8]) -> CameraStep {
    CameraStep::Frame(RawFrame::new(Timestamp::now(), format, data.to_vec().into()))
}

/// Whether a frame is one of the fake camera's own access units.
fn is_own(frame: &EncodedFrame) -> bool {
    [[0x65, 0x88], [0x41, 0x98]].iter().any(|slice| frame.data.ends_with(slice))
}

/// Feeds the camera until viewers see the placeholder; returns its first frame.
async fn until_placeholder(rig: &Rig, viewer: &mut Subscriber<EncodedFrame>, mut feed: impl FnMut()) -> EncodedFrame {
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "no placeholder: {:?}", rig.camera());
        feed();
        match tokio::time::timeout(Duration::from_millis(30), viewer.recv()).await {
            Ok(Ok(frame)) if !is_own(&frame) => return frame,
            _ => {}
        }
    }
}

fn send(camera: &SyncSender<CameraStep>, step: CameraStep) {
    camera.send(step).expect("camera");
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_cannot_be_shown_is_a_fault_with_a_placeholder_until_it_can() {
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let mut viewer = rig.output.frames.subscribe();
    send(&camera, access_unit(Some(HIGH)));
    assert!(next(&mut viewer).await.key);
    rig.until("live", |camera| camera.state == PipelineState::Live).await;

    // A slice of type B.
    let b = [0, 0, 1, 0x01, 0b1010_0000];
    let placeholder = until_placeholder(&rig, &mut viewer, || send(&camera, frame(OWN, &b))).await;
    assert!(placeholder.key);
    let fault = rig.camera();
    assert!(fault.fault.as_ref().is_some_and(|reason| reason.contains("it sends B-frames")), "{fault:?}");
    assert_eq!((fault.trouble, fault.since.is_some()), (Some(FaultKind::Encoder), true));
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    // Its key frames do not help it, and its frames do not stop the placeholder.
    for _ in 0..3 {
        send(&camera, access_unit(Some(HIGH)));
        send(&camera, frame(OWN, &b));
        assert!(!is_own(&next(&mut viewer).await));
    }
    assert_eq!(rig.camera().state, PipelineState::Fault);

    // Another sequence, without such frames.
    let main = Profile { idc: 77, ..HIGH };
    send(&camera, access_unit(None));
    send(&camera, access_unit(Some(main)));
    rig.until("live again", |camera| camera.state == PipelineState::Live && camera.fault.is_none()).await;
    loop {
        let shown = next(&mut viewer).await;
        if is_own(&shown) {
            assert!(shown.key, "a decoder that has shown the placeholder needs a key frame");
            break;
        }
    }
    send(&camera, access_unit(None));
    rig.until_profile(Some(main)).await;
    rig.until_encoders(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_no_codec_takes_are_a_fault_with_a_placeholder() {
    let tiny = VideoFormat { width: 2, height: 2, stride: 2, ..SMALL };
    let jpeg = VideoFormat { pixel: PixelFormat::Mjpeg, stride: 0, ..SMALL };
    for (format, data) in [(tiny, vec![90; 6]), (jpeg, vec![0xff, 0xd8, 7, 7, 0xff, 0xd9])] {
        let rig = Rig::new();
        let camera = rig.port.plug(format);
        let mut viewer = rig.output.frames.subscribe();
        let placeholder = until_placeholder(&rig, &mut viewer, || send(&camera, frame(format, &data))).await;
        assert!(placeholder.key, "{format:?}");
        assert_eq!(rig.camera().trouble, Some(FaultKind::Encoder));
        // The threads loop, or wait for something to do, which is what the watchdog asks.
        let hearts: Vec<_> = rig.output.threads.iter().map(|thread| &thread.heartbeat).collect();
        let before: Vec<_> = hearts.iter().map(|heart| heart.turns()).collect();
        assert!(next(&mut viewer).await.captured > placeholder.captured);
        let looped = || hearts.iter().zip(&before).all(|(heart, before)| heart.is_waiting() || heart.turns() > *before);
        for _ in 0..100 {
            if !looped() {
                next(&mut viewer).await;
            }
        }
        assert!(looped());

        let good = VideoFormat { pixel: PixelFormat::I420, ..SMALL };
        let dropped = rig.dropped(DropPoint::AwaitingKey);
        send(&camera, raw(good));
        send(&camera, raw(good));
        rig.until("live", |camera| camera.state == PipelineState::Live).await;
        assert_eq!(rig.dropped(DropPoint::AwaitingKey), dropped, "a new encoder starts with a key frame");
    }
}
