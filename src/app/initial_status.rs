//! The status at the start: everything that is configured, and nothing that has happened.

use super::media::MediaDevices;
use crate::config::Config;
use crate::model::status;
use crate::model::status::{MotionStatus, PipelineState, ScreenStatus, Status};
use crate::pipeline::recorder;
use crate::pipeline::recorder::{Library, timelapse};
use crate::server::publish;

/// The status of these devices, and of the recordings in the library.
pub(super) fn initial_status(config: &Config, devices: &MediaDevices, library: &Library) -> Status {
    let (source, speaker) = (devices.microphone.source(), devices.speaker.source());
    let state = |source: &Option<String>| if source.is_some() { PipelineState::Idle } else { PipelineState::Off };
    let cameras = config.cameras.iter().zip(&devices.patterns).map(|(camera, pattern)| status::CameraStatus {
        name: camera.camera.name.clone(),
        device: camera.camera.device.to_string(),
        pattern: *pattern,
        motion: camera.motion.enabled.then(MotionStatus::default),
        ..Default::default()
    });
    Status {
        cameras: cameras.collect(),
        audio: status::Audio {
            device: config.audio.device.clone(),
            state: state(&source),
            source,
            fault: None,
            encoding: false,
        },
        speaker: status::SpeakerStatus {
            device: config.speaker.device.clone(),
            state: state(&speaker),
            source: speaker,
            fault: None,
            mode: config.speaker.mode.name(),
            allow: config.floor.allow.to_string(),
            talker: None,
        },
        screen: config.screen.exec.is_some().then(ScreenStatus::default),
        publish: publish::initial_status(&config.publish),
        recording: recorder::initial_status(
            &config.recording,
            &config.timelapse,
            library,
            config.cameras.iter().map(|camera| camera.camera.name.clone()),
        ),
        timelapse: timelapse::initial_status(
            &config.timelapse,
            config.cameras.iter().map(|camera| camera.camera.name.clone()),
        ),
        max_viewers: config.rtc.max_viewers,
        ..Default::default()
    }
}
