//! Tests of requests to a running pipeline: snapshots, controls and settings.

use std::sync::mpsc::SyncSender;

use super::request_queue::VideoSettings;
use super::*;
use crate::capture::camera::ControlsOutcome;
use crate::model::inventory::{Control, ControlKind, Flag, Setting, Value};

/// A control of a camera of the tests.
fn control(id: u32, name: &str, kind: ControlKind, default: Value, value: Value) -> Control {
    let (default, value) = (Some(default), Some(value));
    let (title, class) = (name.into(), "Camera Controls".into());
    let (flags, menu) = (Vec::new(), Vec::new());
    Control { id, name: name.into(), title, class, kind, min: 0, max: 100, step: 1, default, value, flags, menu }
}

/// An exposure time that an automatic mode has in hand, a brightness, and a focus that the device refuses to move.
fn controls() -> Vec<Control> {
    let mut exposure = control(1, "exposure_time", ControlKind::Integer, Value::Number(10), Value::Number(10));
    exposure.flags.push(Flag::Inactive);
    vec![
        exposure,
        control(2, "exposure_auto", ControlKind::Boolean, Value::Switch(true), Value::Switch(true)),
        control(3, "brightness", ControlKind::Integer, Value::Number(50), Value::Number(50)),
        control(4, "focus", ControlKind::Integer, Value::Number(0), Value::Number(0)),
    ]
}

/// Sets controls like a driver.
pub fn set(controls: &mut [Control], settings: &[Setting]) -> ControlsOutcome {
    let before = controls.to_vec();
    let mut refused = Vec::new();
    for Setting { control: name, value } in settings {
        let knob = controls.iter_mut().find(|knob| knob.name == *name).expect("judged before");
        if name == "focus" {
            refused.push("focus: the motor is stuck".into());
            continue;
        }
        knob.value = Some(value.clone());
        if name == "exposure_auto" {
            let flags = if *value == Value::Switch(true) { vec![Flag::Inactive] } else { Vec::new() };
            controls[0].flags = flags;
        }
    }
    let named = |control: &Control| settings.iter().any(|setting| setting.control == control.name);
    let told = controls.iter().zip(before).filter(|(now, before)| named(now) || *now != before);
    ControlsOutcome { controls: told.map(|(now, _)| now.clone()).collect(), refused }
}

fn setting(control: &str, value: Value) -> Setting {
    Setting { control: control.into(), value }
}

/// Lets a camera film while something is asked.
async fn filming<T>(camera: &SyncSender<CameraStep>, format: VideoFormat, asked: impl Future<Output = T>) -> T {
    let film = async {
        loop {
            let _ = camera.try_send(raw(format));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        answer = asked => answer,
        never = film => never,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_opens_the_camera_and_has_its_size() {
    let rig = Rig::new();
    let camera = rig.port.plug(LARGE);
    let handle = rig.output.handle.clone();
    let jpeg = filming(&camera, LARGE, handle.snapshot()).await.expect("a picture");
    assert_eq!((jpeg.width, jpeg.height), (640, 360));
    assert!(crate::media::convert::is_complete_jpeg(&jpeg.data));
    assert_eq!((rig.encoded(), rig.output.frames.demand().guards()), (0, 0), "nobody watches");
    let again = filming(&camera, LARGE, async { tokio::join!(handle.snapshot(), handle.snapshot()) }).await;
    assert!(matches!(&again, (Ok(one), Ok(other)) if one.data == jpeg.data && other.data == jpeg.data));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_error_says_why_there_is_none() {
    let rig = Rig::new();
    let away = rig.output.handle.snapshot().await.expect_err("no camera");
    assert!(matches!(&away, Error::Unavailable(message) if message.contains("/dev/video0")), "{away}");
    assert!(matches!(rig.output.handle.controls().await, Err(Error::Unavailable(_))));

    // What it sends as H.264 is nothing that can be decoded.
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let broken = async {
        loop {
            let _ = camera.try_send(access_unit(Some(HIGH)));
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::select! {
        answer = rig.output.handle.snapshot() => answer.expect_err("nothing to be seen"),
        never = broken => never,
    };
    assert!(matches!(&refused, Error::Refused(message) if message.contains("decode a frame")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_of_an_h264_camera_is_its_next_key_frame() {
    let mut encoder = encoder::open(&encoder::Config { threads: 1, ..Default::default() }, &SMALL).expect("encoder");
    let mut unit = |key| {
        let CameraStep::Frame(frame) = raw(SMALL) else { panic!("it should be a picture") };
        encoder.encode(&frame, key).expect("encode").expect("picture").data
    };
    let (key, other) = (unit(true), unit(false));
    let rig = Rig::new();
    let camera = rig.port.plug(OWN);
    let film = async {
        loop {
            for data in [&other, &other, &key] {
                let _ = camera.try_send(CameraStep::Frame(RawFrame::new(Timestamp::now(), OWN, data.clone())));
                tokio::task::yield_now().await;
            }
        }
    };
    let jpeg = tokio::select! {
        answer = rig.output.handle.snapshot() => answer.expect("a picture"),
        never = film => never,
    };
    assert_eq!((jpeg.width, jpeg.height), (320, 180));
    assert!(crate::media::convert::is_complete_jpeg(&jpeg.data));
    assert_eq!((rig.metrics.encoders.get(), rig.output.frames.demand().guards()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_queue_are_refused_as_busy() {
    let rig = Rig::new();
    // It is open, and gives no picture.
    let camera = rig.port.plug(SMALL);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let handle = rig.output.handle.clone();
        asked.spawn(async move { handle.controls().await });
    }
    for _ in 0..4 {
        let answer = asked.join_next().await.expect("some were asked").expect("no panic");
        assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
    }
    camera.send(raw(SMALL)).expect("camera");
    while let Some(answer) = asked.join_next().await {
        assert!(answer.expect("no panic").is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn size_change_reopens_the_camera_and_bitrate_change_does_not() {
    let rig = Rig::new();
    let camera = rig.port.plug(SMALL);
    let mut viewer = rig.output.frames.subscribe();
    camera.send(raw(SMALL)).expect("camera");
    assert!(next(&mut viewer).await.key);
    let (handle, before) = (&rig.output.handle, rig.camera());
    let requested = handle
        .set(VideoSettingsPatch { bitrate: Some(300_000), ..VideoSettingsPatch::default() })
        .await
        .expect("running");
    assert_eq!(requested, VideoSettings { size: (1280, 720), fps: 30, bitrate: 300_000 });
    assert_eq!((before.bitrate, rig.camera().bitrate), (Some(500_000), Some(300_000)));
    camera.send(raw(SMALL)).expect("camera");
    assert!(!next(&mut viewer).await.key, "the stream goes on");
    let mut told = rig.port.bitrate.subscribe();
    let told = tokio::time::timeout(LIMIT, told.wait_for(|bitrate| *bitrate == 300_000)).await;
    assert!(told.is_ok(), "the camera was not told");

    let larger = rig.port.plug(LARGE);
    let requested =
        handle.set(VideoSettingsPatch { size: Some((640, 360)), fps: Some(15), bitrate: None }).await.expect("running");
    assert_eq!(
        (requested, handle.settings()),
        (VideoSettings { size: (640, 360), fps: 15, bitrate: 300_000 }, requested)
    );
    larger.send(raw(LARGE)).expect("camera");
    assert!(next(&mut viewer).await.key, "the other size begins");
    rig.until("larger", |camera| camera.width == Some(640)).await;
    let opened = rig.port.opened.lock().clone();
    let sizes: Vec<_> =
        opened.iter().map(|config| (config.width.target(), config.fps.target(), config.bitrate)).collect();
    assert_eq!(sizes, [(1280, 30, 2_000_000), (640, 15, 300_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn controls_are_validated_together_then_set_and_kept() {
    let rig = Rig::new();
    *rig.port.controls.lock() = controls();
    let camera = rig.port.plug(SMALL);
    let handle = &rig.output.handle;
    let _interest = rig.output.frames.demand().register();
    camera.send(raw(SMALL)).expect("camera");
    rig.until("live", |camera| camera.state == PipelineState::Live && !camera.controls.is_empty()).await;

    let wrong = handle.set_controls(vec![setting("brightness", Value::Number(1)), setting("zoom", Value::Number(1))]);
    assert!(matches!(wrong.await, Err(Error::NoControl(message)) if message.starts_with("zoom: no such control")));
    let wrong =
        handle.set_controls(vec![setting("brightness", Value::Number(1)), setting("focus", Value::Number(101))]);
    let Err(Error::Value { control, message }) = wrong.await else { panic!("it should be judged") };
    assert_eq!((control.as_str(), message.as_str()), ("focus", "focus = 101: out of range; 0 to 100 in steps of 1"));
    assert_eq!(*rig.port.controls.lock(), controls(), "nothing was set");

    let set = vec![setting("Exposure Auto", Value::Text("off".into())), setting("brightness", Value::Text("7".into()))];
    let changed = handle.set_controls(set).await.expect("set");
    let told: Vec<_> = changed.iter().map(|control| (control.name.as_str(), control.value.clone())).collect();
    let expected = [
        ("exposure_time", Some(Value::Number(10))),
        ("exposure_auto", Some(Value::Switch(false))),
        ("brightness", Some(Value::Number(7))),
    ];
    assert_eq!(told, expected, "one changed with another");
    assert_eq!(rig.camera().controls, *rig.port.controls.lock(), "the status tells");
    let refused = handle.set_controls(vec![setting("focus", Value::Number(5))]).await;
    assert_eq!(refused, Err(Error::Refused("focus: the motor is stuck".into())));

    // When it is opened anew, it is as it was set.
    drop(camera);
    rig.until("away", |camera| camera.state == PipelineState::Fault).await;
    let other = rig.port.plug(SMALL);
    rig.wake();
    other.send(raw(SMALL)).expect("camera");
    rig.until("live again", |camera| camera.state == PipelineState::Live).await;
    let kept = rig.port.opened.lock().last().expect("opened").controls.clone();
    assert_eq!(kept, [setting("exposure_auto", Value::Switch(false)), setting("brightness", Value::Number(7))]);
    assert_eq!(handle.controls().await.expect("open").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_sets_defaults_where_possible() {
    let rig = Rig::new();
    *rig.port.controls.lock() = controls();
    let camera = rig.port.plug(SMALL);
    let handle = &rig.output.handle;
    let _interest = rig.output.frames.demand().register();
    camera.send(raw(SMALL)).expect("camera");
    let set = vec![
        setting("exposure_auto", Value::Switch(false)),
        setting("exposure_time", Value::Number(80)),
        setting("brightness", Value::Number(7)),
    ];
    handle.set_controls(set).await.expect("set");
    let changed = handle.reset_controls(Some(vec!["brightness".into()])).await.expect("one");
    assert_eq!((changed.len(), &changed[0].value), (1, &Some(Value::Number(50))));
    let changed = handle.reset_controls(None).await.expect("all");
    let names: Vec<_> = changed.iter().map(|control| control.name.as_str()).collect();
    assert_eq!(names, ["exposure_time", "exposure_auto"], "those that stood otherwise");
    assert_eq!(*rig.port.controls.lock(), controls());
    assert!(matches!(handle.reset_controls(Some(vec!["zoom".into()])).await, Err(Error::NoControl(_))));
}
