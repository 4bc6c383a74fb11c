//! What has begun and ended between two states of the program. Pure.

use serde_json::{Value, json};

use super::event::{HookEvent, HookKind, HookPhase, text};
use crate::model::protocol::{MotionEvent, MotionPhase};
use crate::model::status::{CameraStatus, PipelineState, Status};

/// Collects what has changed.
struct Changes {
    time: u64,
    events: Vec<HookEvent>,
}

/// A file that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RunningFile {
    id: u64,
    cause: &'static str,
}

/// Something that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    place: &'static str,
    camera: Option<String>,
    reason: String,
}

/// What has begun and ended from one status to the next, at `time` in milliseconds since the Unix epoch.
pub fn changes(before: &Status, now: &Status, time: u64) -> Vec<HookEvent> {
    let mut changes = Changes { time, events: Vec::new() };
    changes.faults(&faults(before), &faults(now));
    changes.switch(HookKind::Privacy, before.privacy, now.privacy, Vec::new());
    let viewers = vec![("viewers", json!(now.viewers))];
    changes.switch(HookKind::Watched, before.viewers > 0, now.viewers > 0, viewers);
    changes.talk(before.speaker.talker.as_deref(), now.speaker.talker.as_deref());
    changes.files(HookKind::Recording, &recordings(before), &recordings(now));
    changes.files(HookKind::Timelapse, &timelapses(before), &timelapses(now));
    changes.events
}

/// Motion that has begun or ended.
pub fn motion(event: &MotionEvent) -> HookEvent {
    let MotionEvent { camera, state, score, area, time } = event;
    let phase = match state {
        MotionPhase::Begun => HookPhase::Begun,
        MotionPhase::Ended => HookPhase::Ended,
    };
    let details = vec![("score", json!(score)), ("box", json!(area))];
    HookEvent { kind: HookKind::Motion, phase, camera: Some(camera.clone()), time: *time, details, recording: None }
}

impl Changes {
    fn add(&mut self, kind: HookKind, phase: HookPhase, camera: Option<&str>, details: Vec<(&'static str, Value)>) {
        let (camera, time) = (camera.map(str::to_owned), self.time);
        self.events.push(HookEvent { kind, phase, camera, time, details, recording: None });
    }

    fn switch(&mut self, kind: HookKind, before: bool, now: bool, details: Vec<(&'static str, Value)>) {
        if before != now {
            self.add(kind, if now { HookPhase::Begun } else { HookPhase::Ended }, None, details);
        }
    }

    fn talk(&mut self, before: Option<&str>, now: Option<&str>) {
        if before != now {
            for (phase, name) in [(HookPhase::Ended, before), (HookPhase::Begun, now)] {
                if let Some(name) = name {
                    self.add(HookKind::Talk, phase, None, vec![("name", text(name))]);
                }
            }
        }
    }

    /// The files that cameras write, in the order of the cameras.
    fn files(&mut self, kind: HookKind, before: &[(&str, Option<RunningFile>)], now: &[(&str, Option<RunningFile>)]) {
        for (index, (camera, file)) in now.iter().enumerate() {
            let former = before.get(index).and_then(|(_, file)| *file);
            if former == *file {
                continue;
            }
            for (phase, file) in [(HookPhase::Ended, former), (HookPhase::Begun, *file)] {
                if let Some(RunningFile { id, cause }) = file {
                    let address = format!("/recordings/{id}.mp4");
                    let details = vec![("id", json!(id)), ("cause", json!(cause)), ("file", json!(address))];
                    self.add(kind, phase, Some(camera), details);
                    self.events.last_mut().expect("it should have been added").recording = Some(id);
                }
            }
        }
    }

    fn faults(&mut self, before: &[Fault], now: &[Fault]) {
        let is_new = |fault: &&Fault, others: &[Fault]| {
            !others.iter().any(|other| (other.place, &other.camera) == (fault.place, &fault.camera))
        };
        let ended = before.iter().filter(|fault| is_new(fault, now)).map(|fault| (HookPhase::Ended, fault));
        let begun = now.iter().filter(|fault| is_new(fault, before)).map(|fault| (HookPhase::Begun, fault));
        for (phase, Fault { place, camera, reason }) in ended.chain(begun) {
            let details = vec![("place", json!(place)), ("reason", text(reason))];
            self.add(HookKind::Fault, phase, camera.as_deref(), details);
        }
    }
}

fn recordings(status: &Status) -> Vec<(&str, Option<RunningFile>)> {
    let cameras = status.recording.iter().flat_map(|recording| &recording.cameras);
    cameras
        .map(|camera| {
            let file = camera.id.map(|id| RunningFile { id, cause: camera.cause.unwrap_or_default() });
            (camera.camera.as_str(), file)
        })
        .collect()
}

fn timelapses(status: &Status) -> Vec<(&str, Option<RunningFile>)> {
    let cameras = status.timelapse.iter().flat_map(|timelapse| &timelapse.cameras);
    let file = |id| RunningFile { id, cause: HookKind::Timelapse.name() };
    cameras.map(|camera| (camera.camera.as_str(), camera.id.map(file))).collect()
}

/// What does not work now.
fn faults(status: &Status) -> Vec<Fault> {
    let fault = |place, camera: Option<&str>, reason: &Option<String>| Fault {
        place,
        camera: camera.map(str::to_owned),
        reason: reason.clone().unwrap_or_else(|| "not available".into()),
    };
    let mut faults = Vec::new();
    // While cameras are closed on purpose, their faults are history.
    if !status.privacy {
        let is_faulty = |camera: &&CameraStatus| camera.trouble.is_some() || camera.state == PipelineState::Fault;
        let cameras = status.cameras.iter().filter(is_faulty);
        faults.extend(cameras.map(|camera| fault("camera", Some(&camera.name), &camera.fault)));
        faults.extend(
            (status.audio.state == PipelineState::Fault).then(|| fault("microphone", None, &status.audio.fault)),
        );
    }
    let unkept = "its state could not be stored, so a restart may undo it";
    faults.extend((!status.privacy_kept).then(|| fault("privacy", None, &Some(unkept.into()))));
    let unpublished = status.publish.iter().filter(|publication| publication.state == PipelineState::Fault);
    faults.extend(unpublished.map(|publication| fault("publish", Some(&publication.camera), &publication.fault)));
    let unrecorded = status.recording.iter().filter(|recording| recording.failed);
    faults.extend(unrecorded.map(|recording| fault("recording", None, &recording.fault)));
    let no_timelapse = status.timelapse.iter().filter(|timelapse| timelapse.failed);
    faults.extend(no_timelapse.map(|timelapse| fault("timelapse", None, &timelapse.fault)));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::protocol::MotionBox;
    use crate::model::status::{
        CameraRecording, CameraTimelapse, FaultKind, PublishStatus, RecordingStatus, TimelapseStatus,
    };

    /// What has changed, each as `KIND.PHASE CAMERA {DETAILS}`.
    fn told(before: &Status, now: &Status) -> Vec<String> {
        let told = |event: HookEvent| {
            assert_eq!(event.time, 5);
            let camera = event.camera.map_or(String::new(), |camera| format!(" {camera}"));
            let details: serde_json::Map<String, Value> =
                event.details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let recording = event.recording.map_or(String::new(), |number| format!(" #{number}"));
            let (kind, phase) = (event.kind.name(), event.phase.name());
            format!("{kind}.{phase}{camera}{recording} {}", Value::Object(details))
        };
        changes(before, now, 5).into_iter().map(told).collect()
    }

    #[test]
    fn switches_viewers_and_talkers_are_told_once_each() {
        let idle = Status::default();
        let busy = Status { privacy: true, viewers: 2, ..Status::default() };
        assert_eq!(told(&idle, &idle), [""; 0]);
        assert_eq!(told(&idle, &busy), ["privacy.begun {}", "watched.begun {\"viewers\":2}"]);
        assert_eq!(told(&busy, &Status { viewers: 3, ..busy.clone() }), [""; 0]);
        assert_eq!(told(&busy, &idle), ["privacy.ended {}", "watched.ended {\"viewers\":0}"]);
        let talker = |name: &str| {
            let mut status = Status::default();
            status.speaker.talker = Some(name.into());
            status
        };
        let (ann, bob) = (talker("Ann"), talker("Bob"));
        assert_eq!(told(&ann, &bob), ["talk.ended {\"name\":\"Ann\"}", "talk.begun {\"name\":\"Bob\"}"]);
        assert_eq!(told(&bob, &idle), ["talk.ended {\"name\":\"Bob\"}"]);
    }

    #[test]
    fn each_file_is_told_with_its_id_and_address() {
        let recording = |ids: [Option<u64>; 2]| {
            let cameras = ids.into_iter().zip(["a", "b"]).map(|(id, camera)| CameraRecording {
                camera: camera.into(),
                recording: id.is_some(),
                id,
                cause: id.map(|_| "manual"),
                since: None,
            });
            let cameras = cameras.collect();
            Status { recording: Some(RecordingStatus { cameras, ..RecordingStatus::default() }), ..Status::default() }
        };
        let begun = told(&recording([None, None]), &recording([None, Some(7)]));
        assert_eq!(begun, ["recording.begun b #7 {\"cause\":\"manual\",\"file\":\"/recordings/7.mp4\",\"id\":7}"]);
        // From the start of the program on.
        assert_eq!(told(&Status::default(), &recording([None, Some(7)])), begun);
        let names = |told: Vec<String>| {
            let name = |told: String| told.split(" {").next().unwrap_or_default().to_owned();
            told.into_iter().map(name).collect::<Vec<_>>()
        };
        let next = told(&recording([Some(6), Some(7)]), &recording([None, Some(8)]));
        assert_eq!(names(next), ["recording.ended a #6", "recording.ended b #7", "recording.begun b #8"]);
        let timelapse = |id| {
            let cameras = vec![CameraTimelapse { camera: "a".into(), id, since: None }];
            Status { timelapse: Some(TimelapseStatus { cameras, ..TimelapseStatus::default() }), ..Status::default() }
        };
        assert_eq!(
            names(told(&timelapse(Some(1)), &timelapse(Some(2)))),
            ["timelapse.ended a #1", "timelapse.begun a #2"]
        );
    }

    #[test]
    fn a_fault_begins_and_ends_whatever_its_words() {
        let camera = |fault: Option<&str>| CameraStatus {
            name: "a".into(),
            trouble: fault.map(|_| FaultKind::Away),
            fault: fault.map(str::to_owned),
            ..CameraStatus::default()
        };
        let status = |fault| Status { cameras: vec![camera(fault)], ..Status::default() };
        let (well, away) = (status(None), status(Some("unplugged")));
        assert_eq!(told(&well, &away), ["fault.begun a {\"place\":\"camera\",\"reason\":\"unplugged\"}"]);
        assert_eq!(told(&away, &status(Some("still unplugged"))), [""; 0]);
        assert_eq!(told(&away, &well), ["fault.ended a {\"place\":\"camera\",\"reason\":\"unplugged\"}"]);
        // Closed on purpose, it has none.
        assert_eq!(told(&away, &Status { privacy: true, ..away.clone() }).len(), 2);
        let mut worst = Status { privacy_kept: false, ..away };
        worst.audio.state = PipelineState::Fault;
        worst.publish = vec![PublishStatus { state: PipelineState::Fault, ..PublishStatus::default() }];
        worst.recording = Some(RecordingStatus { failed: true, ..RecordingStatus::default() });
        worst.timelapse = Some(TimelapseStatus { failed: true, ..TimelapseStatus::default() });
        let all = told(&well, &worst).join("\n");
        for place in ["camera", "microphone", "privacy", "publish", "recording", "timelapse"] {
            assert_eq!(all.matches(&format!("\"place\":\"{place}\"")).count(), 1, "{all}");
        }
    }

    #[test]
    fn motion_has_its_own_time() {
        let area = MotionBox { x: 0.0, y: 0.25, width: 0.5, height: 0.5 };
        let event = MotionEvent { camera: "a".into(), state: MotionPhase::Ended, score: 60, area, time: 99 };
        let told = motion(&event);
        assert_eq!((told.time, told.phase, told.recording), (99, HookPhase::Ended, None));
        assert!(told.json().contains("\"box\":{\"height\":0.5,\"width\":0.5,\"x\":0.0,\"y\":0.25}"), "{}", told.json());
    }
}
