//! The line that `systemctl status` shows: the number of viewers and the state of each camera.
//!
//! Sending it does not belong here.

use std::fmt::Write as _;

use crate::model::status::{CameraStatus, PipelineState, Status};

/// The maximum length of the line: beyond a terminal's width nobody reads it, and messages to systemd are bounded.
const MAX_LINE: usize = 400;

/// The status in one line.
pub(super) fn line(status: &Status) -> String {
    let mut line = match status.viewers {
        0 => "no viewers".to_owned(),
        1 => "1 viewer".to_owned(),
        viewers => format!("{viewers} viewers"),
    };
    if status.privacy {
        line.push_str("; blocked by the privacy switch");
    }
    if !status.privacy_kept {
        line.push_str("; the privacy switch cannot be stored");
    }
    for camera in &status.cameras {
        line.push_str("; ");
        line.push_str(&camera_text(camera));
    }
    if let Some(fault) = &status.audio.fault {
        let _ = write!(line, "; microphone: {fault}");
    }
    for server in &status.publish {
        if let Some(fault) = &server.fault {
            let _ = write!(line, "; {} is not published: {fault}", server.camera);
        }
    }
    if let Some(fault) = status.recording.as_ref().and_then(|recording| recording.fault.as_ref()) {
        let _ = write!(line, "; not recorded: {fault}");
    }
    if let Some(fault) = status.timelapse.as_ref().and_then(|timelapse| timelapse.fault.as_ref()) {
        let _ = write!(line, "; no time-lapse: {fault}");
    }
    // A line break would end the message to systemd and start another one.
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_LINE).collect()
}

/// One camera.
fn camera_text(camera: &CameraStatus) -> String {
    let mut camera_text = format!("{}: ", camera.name);
    match camera.state {
        PipelineState::Off => camera_text.push_str("off"),
        PipelineState::Idle => camera_text.push_str("closed"),
        PipelineState::Starting => camera_text.push_str("opening"),
        PipelineState::Live => {
            camera_text.push_str("live");
            if let (Some(width), Some(height)) = (camera.width, camera.height) {
                let _ = write!(camera_text, " {width}x{height}");
            }
        }
        PipelineState::Fault => camera_text.push_str("fault"),
    }
    if camera.pattern {
        camera_text.push_str(", test pattern");
    }
    if camera.watched > 0 {
        let _ = write!(camera_text, ", watched by {}", camera.watched);
    }
    if let Some(fault) = &camera.fault {
        let _ = write!(camera_text, ", {fault}");
    }
    camera_text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::{Audio, PublishStatus, RecordingStatus, TimelapseStatus};

    #[test]
    fn status_line_lists_viewers_cameras_and_faults() {
        assert_eq!(line(&Status::default()), "no viewers");
        let live = CameraStatus {
            name: "door".into(),
            state: PipelineState::Live,
            width: Some(1280),
            height: Some(720),
            watched: 2,
            ..CameraStatus::default()
        };
        let away = CameraStatus {
            name: "yard".into(),
            state: PipelineState::Fault,
            watched: 1,
            fault: Some("/dev/video2: unplugged".into()),
            ..CameraStatus::default()
        };
        let closed = CameraStatus { name: "shed".into(), pattern: true, ..CameraStatus::default() };
        let audio = Audio { fault: Some("hw:1: busy".into()), ..Audio::default() };
        let cut = Status { privacy: true, cameras: vec![closed.clone()], ..Status::default() };
        assert_eq!(line(&cut), "no viewers; blocked by the privacy switch; shed: closed, test pattern");
        let unkept = Status { privacy: true, privacy_kept: false, ..Status::default() };
        assert_eq!(line(&unkept), "no viewers; blocked by the privacy switch; the privacy switch cannot be stored");
        let refused =
            PublishStatus { camera: "door".into(), fault: Some("no token".into()), ..PublishStatus::default() };
        let publish = vec![PublishStatus::default(), refused];
        let recording = RecordingStatus { fault: Some("card: full".into()), ..RecordingStatus::default() };
        let timelapse = TimelapseStatus { fault: Some("card: slow".into()), ..TimelapseStatus::default() };
        let (cameras, recording, timelapse) = (vec![live, away, closed], Some(recording), Some(timelapse));
        let status = Status { cameras, audio, publish, recording, timelapse, viewers: 3, ..Status::default() };
        assert_eq!(
            line(&status),
            "3 viewers; door: live 1280x720, watched by 2; yard: fault, watched by 1, /dev/video2: unplugged; shed: closed, test \
             pattern; microphone: hw:1: busy; door is not published: no token; not recorded: card: full; no \
             time-lapse: card: slow"
        );
    }

    #[test]
    fn status_line_is_bounded_and_on_one_line() {
        let camera =
            CameraStatus { name: "a".into(), fault: Some("x\nWATCHDOG=trigger".repeat(99)), ..CameraStatus::default() };
        let line = line(&Status { cameras: vec![camera], viewers: 1, ..Status::default() });
        assert!(line.starts_with("1 viewer; a: closed, x WATCHDOG=trigger"), "{line}");
        assert_eq!((line.chars().count(), line.lines().count()), (MAX_LINE, 1));
    }
}
