//! The retained messages that tell the state of this device. Pure.

use serde_json::json;

use super::topics::Topics;
use crate::model::status::{CameraStatus, PipelineState, Status};

/// The longest reason of a fault, in characters: Home Assistant stores attributes with each change.
const MAX_REASON: usize = 500;

/// Payloads that Home Assistant takes for granted where a discovery message names no others.
pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";
pub(super) const ON: &str = "ON";
pub(super) const OFF: &str = "OFF";

/// The topics and payloads for a status, without the availability of the device; `pictures` is whether there are pictures of
/// the cameras.
pub(super) fn states(topics: &Topics, status: &Status, pictures: bool) -> Vec<(String, String)> {
    let switch = |on: bool| (if on { ON } else { OFF }).to_owned();
    let reasons = fault_reasons(status);
    let reason: Option<String> = (!reasons.is_empty()).then(|| reasons.join("; ").chars().take(MAX_REASON).collect());
    let mut states = vec![
        (topics.watched(), switch(status.viewers > 0)),
        (topics.viewers(), status.viewers.to_string()),
        // The reason first, so that whoever is woken by the fault can read it.
        (topics.fault_reason(), json!({ "reason": reason }).to_string()),
        (topics.fault(), switch(reason.is_some())),
        (topics.privacy(), switch(status.privacy)),
    ];
    states.extend(status.cameras.iter().filter_map(|camera| {
        let motion = camera.motion.as_ref()?;
        Some((topics.motion(&camera.name), switch(motion.moving)))
    }));
    let recorded = status.recording.iter().flat_map(|recording| &recording.cameras);
    states.extend(recorded.map(|camera| (topics.recording(&camera.camera), switch(camera.recording))));
    if pictures {
        states.extend(status.cameras.iter().map(|camera| {
            let state = if has_pictures(status, camera) { ONLINE } else { OFFLINE };
            (topics.picture_availability(&camera.name), state.to_owned())
        }));
    }
    states
}

/// Whether a picture of the camera may be shown: the last one is not, while the privacy switch is on.
fn has_pictures(status: &Status, camera: &CameraStatus) -> bool {
    !status.privacy && camera.state != PipelineState::Fault
}

/// What is wrong, each with its place.
fn fault_reasons(status: &Status) -> Vec<String> {
    let mut reasons = Vec::new();
    // While cameras are closed on purpose, their faults are history.
    if !status.privacy {
        reasons.extend(status.cameras.iter().filter_map(camera_fault));
        if status.audio.state == PipelineState::Fault {
            reasons.push(named("microphone", status.audio.fault.as_deref()));
        }
    }
    if !status.privacy_kept {
        reasons.push("privacy switch: its state could not be stored, so a restart may undo it".into());
    }
    let unpublished = status.publish.iter().filter(|publication| publication.state == PipelineState::Fault);
    reasons.extend(
        unpublished
            .map(|publication| named(&format!("publishing {}", publication.camera), publication.fault.as_deref())),
    );
    let unrecorded = status.recording.as_ref().filter(|recording| recording.failed);
    reasons.extend(unrecorded.map(|recording| named("recording", recording.fault.as_deref())));
    let no_timelapse = status.timelapse.as_ref().filter(|timelapse| timelapse.failed);
    reasons.extend(no_timelapse.map(|timelapse| named("time-lapse", timelapse.fault.as_deref())));
    reasons
}

fn camera_fault(camera: &CameraStatus) -> Option<String> {
    let faulty = camera.trouble.is_some() || camera.state == PipelineState::Fault;
    faulty.then(|| named(&camera.name, camera.fault.as_deref()))
}

fn named(place: &str, fault: Option<&str>) -> String {
    let fault = fault.unwrap_or("not available");
    if fault.starts_with(&format!("{place}: ")) { fault.to_owned() } else { format!("{place}: {fault}") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::status::{
        Audio, CameraRecording, FaultKind, MotionStatus, PublishStatus, RecordingStatus, TimelapseStatus,
    };

    fn shown(status: &Status, pictures: bool) -> HashMap<String, String> {
        let topics = Topics::new("p", None, "d");
        states(&topics, status, pictures).into_iter().collect()
    }

    fn camera(name: &str, fault: Option<&str>) -> CameraStatus {
        let trouble = fault.map(|_| FaultKind::Away);
        let state = if fault.is_some() { PipelineState::Fault } else { PipelineState::Idle };
        CameraStatus { name: name.into(), fault: fault.map(Into::into), trouble, state, ..CameraStatus::default() }
    }

    #[test]
    fn viewers_and_privacy_are_told() {
        let status = Status { viewers: 3, privacy: true, ..Status::default() };
        let states = shown(&status, false);
        let expected = [("watched", "ON"), ("viewers", "3"), ("fault", "OFF"), ("privacy", "ON")];
        for (topic, payload) in expected {
            assert_eq!(states[&format!("p/d/{topic}")], payload, "{topic}");
        }
        assert_eq!(states["p/d/fault/reason"], r#"{"reason":null}"#);
        let states = shown(&Status::default(), false);
        assert_eq!((states["p/d/watched"].as_str(), states["p/d/viewers"].as_str()), ("OFF", "0"));
    }

    #[test]
    fn faults_have_their_reasons() {
        let cameras = vec![camera("a", Some("not \"plugged\" in")), camera("b", None), camera("c", Some("c: busy"))];
        let audio = Audio { state: PipelineState::Fault, ..Audio::default() };
        let mut status = Status { cameras, audio, ..Status::default() };
        let reason = |status: &Status| {
            let states = shown(status, false);
            let reason: serde_json::Value = serde_json::from_str(&states["p/d/fault/reason"]).unwrap();
            (states["p/d/fault"].clone(), reason["reason"].as_str().map(String::from))
        };
        let all = "a: not \"plugged\" in; c: busy; microphone: not available";
        assert_eq!(reason(&status), ("ON".into(), Some(all.into())));
        // What is closed on purpose has no fault, except that it may not stay closed.
        status.privacy = true;
        assert_eq!(reason(&status), ("OFF".into(), None));
        let (state, fault) = (PipelineState::Fault, Some("no token".into()));
        let refused = PublishStatus { camera: "a".into(), state, fault, ..PublishStatus::default() };
        status.publish = vec![PublishStatus::default(), refused];
        assert_eq!(reason(&status), ("ON".into(), Some("publishing a: no token".into())));
        status.publish.clear();
        let fault = Some("card: full".into());
        status.recording = Some(RecordingStatus { failed: true, fault, ..RecordingStatus::default() });
        assert_eq!(reason(&status), ("ON".into(), Some("recording: card: full".into())));
        status.recording = None;
        status.timelapse = Some(TimelapseStatus { failed: true, ..TimelapseStatus::default() });
        assert_eq!(reason(&status), ("ON".into(), Some("time-lapse: not available".into())));
        status.timelapse = None;
        status.privacy_kept = false;
        let (fault, unkept) = reason(&status);
        assert!(fault == "ON" && unkept.as_ref().is_some_and(|reason| reason.contains("restart")), "{unkept:?}");
    }

    #[test]
    fn motion_is_told_of_cameras_in_which_it_is_looked_for() {
        let moving = |moving| Some(MotionStatus { moving, ..MotionStatus::default() });
        let mut cameras = vec![camera("a", None), camera("b", None), camera("c", None)];
        (cameras[0].motion, cameras[1].motion) = (moving(true), moving(false));
        let states = shown(&Status { cameras, ..Status::default() }, false);
        assert_eq!([&states["p/d/camera/a/motion"], &states["p/d/camera/b/motion"]], ["ON", "OFF"]);
        assert!(!states.contains_key("p/d/camera/c/motion"));
    }

    #[test]
    fn what_is_recorded_is_told_unless_recording_is_off() {
        let camera =
            |camera: &str, recording| CameraRecording { camera: camera.into(), recording, ..Default::default() };
        let cameras = vec![camera("a", true), camera("b", false)];
        let recording = Some(RecordingStatus { cameras, ..RecordingStatus::default() });
        let states = shown(&Status { recording, ..Status::default() }, false);
        assert_eq!([&states["p/d/camera/a/recording"], &states["p/d/camera/b/recording"]], ["ON", "OFF"]);
        assert!(!shown(&Status::default(), false).keys().any(|topic| topic.ends_with("/recording")));
    }

    #[test]
    fn a_reason_has_a_bound() {
        let status = Status { cameras: vec![camera("a", Some(&"ü".repeat(2000)))], ..Status::default() };
        assert!(shown(&status, false)["p/d/fault/reason"].chars().count() < MAX_REASON + 20);
    }

    #[test]
    fn there_are_no_pictures_while_the_privacy_switch_is_on() {
        let cameras = vec![camera("a", None), camera("b", Some("away"))];
        let mut status = Status { cameras, ..Status::default() };
        let pictures = |status: &Status| {
            let states = shown(status, true);
            [states["p/d/camera/a/status"].clone(), states["p/d/camera/b/status"].clone()]
        };
        assert_eq!(pictures(&status), ["online", "offline"]);
        status.privacy = true;
        assert_eq!(pictures(&status), ["offline", "offline"]);
        assert!(!shown(&status, false).contains_key("p/d/camera/a/status"));
    }
}
