//! Tests of the video pipeline, with fake cameras that are unplugged, stall, or encode H.264 themselves.

mod requests;
mod rig;
mod small;
mod stream_fault;

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::*;
use crate::media::{RawFrame, Timestamp};
use crate::model::status::PipelineState;
use crate::util::broadcast::Subscriber;
use rig::{CameraStep, HIGH, LARGE, LIMIT, OWN, Rig, SMALL, access_unit, has_idr, next, raw, unplugged};

#[tokio::test(flavor = "multi_thread")]
async fn viewer_survives_unplug_and_replug_and_each_change_starts_with_a_key_frame() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    for number in 0..5 {
        camera.send(raw(SMALL)).expect("camera");
        let frame = next(&mut viewer).await;
        assert_eq!(frame.key, number == 0, "{number}");
    }
    let live = rig.until("live", |camera| camera.state == PipelineState::Live).await;
    assert_eq!((live.since, live.fault), (None, None));

    camera.send(CameraStep::Fail(unplugged())).expect("camera");
    let mut last = Timestamp::default();
    for number in 0..3 {
        let placeholder = next(&mut viewer).await;
        assert_eq!((placeholder.key, has_idr(&placeholder)), (number == 0, number == 0), "{number}");
        assert!(placeholder.captured > last);
        last = placeholder.captured;
    }
    let fault = rig.until("in fault", |camera| camera.state == PipelineState::Fault).await;
    assert!(fault.since.is_some() && fault.fault.is_some(), "{fault:?}");

    let camera = rig.port.plug(LARGE);
    rig.wake();
    camera.send(raw(LARGE)).expect("camera");
    rig.until("live again", |camera| camera.state == PipelineState::Live && camera.width == Some(640)).await;
    // A placeholder may have been under way still.
    let frame = loop {
        let frame = next(&mut viewer).await;
        assert!(frame.captured > last, "time goes back");
        last = frame.captured;
        if frame.key {
            break frame;
        }
    };
    assert!(has_idr(&frame));
    let now = rig.camera();
    assert_eq!((now.state, now.since, now.fault), (PipelineState::Live, None, None));
}

/// Whether the next frame of a camera is a key frame, and whether it is one that no other needs.
async fn encoded(camera: &SyncSender<CameraStep>, viewer: &mut Subscriber<EncodedFrame>) -> (bool, bool) {
    camera.send(raw(SMALL)).expect("camera");
    let frame = next(viewer).await;
    (frame.key, frame.disposable)
}

#[tokio::test(flavor = "multi_thread")]
async fn several_viewers_are_sent_two_layers_which_begin_and_end_with_a_key_frame_that_somebody_wants() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    for number in 0..6 {
        assert_eq!(encoded(&camera, &mut viewer).await, (number == 0, false), "alone: {number}");
    }
    let other = rig.output.frames.subscribe();
    assert_eq!(encoded(&camera, &mut viewer).await, (false, false), "it has asked for no key frame yet");
    rig.output.frames.request_refresh();
    // Requests are served some time after the last one.
    while encoded(&camera, &mut viewer).await != (true, false) {}
    for number in 1..8 {
        assert_eq!(encoded(&camera, &mut viewer).await, (false, number % 2 == 1), "two: {number}");
    }
    drop(other);
    assert_eq!(encoded(&camera, &mut viewer).await, (false, false));
    assert_eq!(encoded(&camera, &mut viewer).await, (false, true), "nobody has asked for a key frame");
    rig.output.frames.request_refresh();
    while !encoded(&camera, &mut viewer).await.0 {}
    for number in 0..6 {
        assert_eq!(encoded(&camera, &mut viewer).await, (false, false), "alone again: {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholder_and_encoder_end_with_the_last_viewer() {
    let rig = Rig::new();
    let mut viewer = rig.output.frames.subscribe();
    let first = next(&mut viewer).await;
    assert!(first.key, "an absent camera");
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    rig.until_encoders(1).await;
    // Many attempts make the pause before the next one long.
    for _ in 0..6 {
        rig.wake();
        next(&mut viewer).await;
    }
    drop(viewer);
    rig.until_encoders(0).await;
    assert_eq!(rig.camera().state, PipelineState::Fault);
    let encoded = rig.encoded();
    // Somebody who waits for the answer, and does not watch yet, is shown nothing.
    let _interest = rig.output.frames.demand().register();
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    assert_eq!(rig.encoded(), encoded);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_camera_is_distinguished_from_a_starting_one() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    rig.until("starting", |camera| camera.state == PipelineState::Starting).await;
    // It takes its time for the first picture; nothing is shown meanwhile.
    let early = tokio::time::timeout(Duration::from_secs(2), viewer.recv()).await;
    assert!(early.is_err(), "a placeholder while the camera starts");
    camera.send(raw(SMALL)).expect("camera");
    assert!(next(&mut viewer).await.key);
    let fault = rig.until("silent", |camera| camera.state == PipelineState::Fault).await;
    assert!(fault.fault.is_some_and(|message| message.contains("no frames for 5 s")));
    assert!(next(&mut viewer).await.key, "the placeholder");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_first_frame_is_awaited_behind_a_placeholder() {
    let rig = Rig::new();
    *rig.port.start_timeout.lock() = Some(camera::STALL_TIMEOUT * 6);
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    let first = next(&mut viewer).await;
    assert!(first.key, "the placeholder that says so");
    let long_after = first.captured.saturating_add(camera::STALL_TIMEOUT);
    while next(&mut viewer).await.captured < long_after {
        assert_eq!(rig.camera().state, PipelineState::Starting);
    }
    camera.send(raw(SMALL)).expect("the camera is still open");
    let live = rig.until("live", |camera| camera.state == PipelineState::Live).await;
    assert_eq!((live.fault, rig.port.opened.lock().len()), (None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_camera_is_closed_despite_viewers_and_reopened_afterwards() {
    let rig = Rig::new();
    let demand = rig.output.frames.demand().clone();
    let camera = rig.port.plug(LARGE);
    let mut viewer = rig.output.frames.subscribe();
    camera.send(raw(LARGE)).expect("camera");
    assert!(next(&mut viewer).await.key);
    rig.until("live", |camera| camera.state == PipelineState::Live).await;

    demand.set_blocked(true);
    let closed = rig.until("closed", |camera| camera.state == PipelineState::Idle).await;
    assert_eq!((closed.fault, rig.metrics.cameras_open.get()), (None, 0));
    camera.send(raw(LARGE)).expect_err("nobody should hold the camera any more");
    // Another one that is plugged in, and a viewer who comes, change nothing.
    let camera = rig.port.plug(SMALL);
    let mut late = rig.output.frames.subscribe();
    demand.wake();
    for _ in 0..3 {
        next(&mut viewer).await;
    }
    rig.output.frames.request_refresh();
    assert!(next(&mut late).await.captured > Timestamp::default(), "who comes late sees the placeholder too");
    assert_eq!((rig.port.plugged.lock().len(), rig.metrics.cameras_open.get()), (1, 0));

    demand.set_blocked(false);
    camera.send(raw(SMALL)).expect("camera");
    rig.until("live", |camera| camera.state == PipelineState::Live && camera.width == Some(SMALL.width)).await;

    // While nobody watches, there is nothing to show and nothing to open.
    demand.set_blocked(true);
    drop((viewer, late));
    rig.until_encoders(0).await;
    demand.set_blocked(false);
    rig.until("closed", |camera| camera.state == PipelineState::Idle).await;
    assert_eq!(rig.metrics.cameras_open.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_h264_is_passed_through_in_order_and_requests_reach_the_camera() {
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let interest = rig.output.frames.demand().register();
    camera.send(access_unit(Some(HIGH))).expect("camera");
    // Nobody watches yet, but who is about to is told.
    rig.until_profile(Some(HIGH)).await;
    assert_eq!((rig.encoded(), rig.dropped(metrics::DropPoint::Unwatched)), (0, 1));
    // The viewer who started the camera gets its first key frame, and what followed it, at once.
    let mut joined = rig.output.frames.subscribe_with_backlog();
    let deadline = Instant::now() + LIMIT;
    while !joined.has_backlog() {
        assert!(Instant::now() < deadline, "the frame was not kept");
        tokio::task::yield_now().await;
        joined = rig.output.frames.subscribe_with_backlog();
    }
    assert!(next(&mut joined).await.key);
    let mut viewer = rig.output.frames.subscribe();
    drop((interest, joined));
    let started = Instant::now();
    rig.output.frames.request_refresh();
    while rig.port.key_requests.load(Ordering::Relaxed) < 3 {
        assert!(started.elapsed() < LIMIT, "the camera was not asked");
        rig.output.frames.request_refresh();
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() >= Duration::from_millis(500), "asked 3 times in {:?}", started.elapsed());
    camera.send(access_unit(Some(HIGH))).expect("camera");
    for _ in 0..20 {
        camera.send(access_unit(None)).expect("camera");
    }
    let mut keys = Vec::new();
    let mut last = Timestamp::default();
    for _ in 0..21 {
        let frame = next(&mut viewer).await;
        assert!(frame.captured > last);
        last = frame.captured;
        keys.push(frame.key);
    }
    assert_eq!(keys, [vec![true], vec![false; 20]].concat());
    assert!(!rig.output.frames.refresh_requested(), "the request was met");
    assert_eq!((rig.metrics.encoders.get(), rig.camera().encoder), (0, Some("camera")));
    let mut late = rig.output.frames.subscribe_with_backlog();
    let mut kept = 0;
    while late.has_backlog() {
        assert_eq!(next(&mut late).await.key, kept == 0);
        kept += 1;
    }
    assert_eq!(kept, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_camera_is_unplugged_and_replaced_by_another() {
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let mut viewer = rig.output.frames.subscribe();
    camera.send(access_unit(Some(HIGH))).expect("camera");
    assert!(next(&mut viewer).await.key);
    rig.until_profile(Some(HIGH)).await;
    drop(camera);
    let placeholder = next(&mut viewer).await;
    assert!(placeholder.key && placeholder.data.len() > 100);
    rig.until_profile(Some(Profile::CONSTRAINED_BASELINE)).await;
    rig.until_encoders(1).await;

    let camera = rig.port.plug(OWN);
    rig.wake();
    let main = Profile { idc: 77, ..HIGH };
    // Broken off in the middle of something: of no use before the first IDR.
    camera.send(access_unit(None)).expect("camera");
    camera.send(access_unit(Some(main))).expect("camera");
    rig.until_profile(Some(main)).await;
    let key = loop {
        let frame = next(&mut viewer).await;
        if frame.data.len() < 100 {
            break frame;
        }
    };
    assert!(key.key, "the first picture of the camera");
    rig.until_encoders(0).await;
    assert_eq!(rig.dropped(metrics::DropPoint::AwaitingKey), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bitrate_follows_what_viewers_can_take_without_a_key_frame() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    let mut number = 0u64;
    // The bytes of the second of two seconds: in the first one the encoder gets there.
    let mut bytes = async || {
        let mut sizes = Vec::new();
        for _ in 0..60 {
            let luma = (0..SMALL.width * SMALL.height).map(|at| (u64::from(at) * 7 + number * 5) as u8);
            let data: Vec<u8> =
                luma.chain(std::iter::repeat_n(128, (SMALL.width * SMALL.height / 2) as usize)).collect();
            let captured = Timestamp::from_start(Duration::from_millis(1 + number * 33));
            camera.send(CameraStep::Frame(RawFrame::new(captured, SMALL, data.into()))).expect("camera");
            let frame = next(&mut viewer).await;
            assert_eq!(frame.key, number == 0, "frame {number}");
            number += 1;
            sizes.push(frame.data.len());
        }
        sizes[30..].iter().sum::<usize>()
    };
    let rich = bytes().await;
    rig.output.bitrate.want(Some(150_000));
    let poor = bytes().await;
    rig.output.bitrate.want(None);
    let again = bytes().await;
    assert!(poor * 2 < rich && poor * 2 < again, "{rich}, {poor}, {again} bytes a second");
}
