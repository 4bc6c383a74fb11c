//! What an LED indicates: maps the status to a pattern. Pure.
//!
//! What a pattern looks like belongs to `pattern`.

use super::pattern::LedPattern;
use crate::model::status::{CameraStatus, FaultKind, PipelineState, Status};

/// What an LED indicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indicator {
    /// That the page can be reached: lit; the privacy switch: breathes; a fault: its code.
    Ready,
    /// That somebody watches: lit; a fault meanwhile: its code.
    Watched,
    /// A fault: its code, otherwise dark.
    Fault,
    /// That a camera is open: lit; one that is being opened: breathes.
    Camera,
    /// That the privacy switch is on: lit; that this is not stored: its code.
    Privacy,
    /// That something is recorded: lit; that it cannot be stored: its code.
    Recording,
    /// That somebody talks through the speaker: lit.
    Talk,
}

impl Indicator {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ready, Self::Watched, Self::Fault, Self::Camera, Self::Privacy, Self::Recording, Self::Talk];

    /// As it is called in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Watched => "watched",
            Self::Fault => "fault",
            Self::Camera => "camera",
            Self::Privacy => "privacy",
            Self::Recording => "recording",
            Self::Talk => "talk",
        }
    }

    /// The pattern for a status.
    pub fn pattern(self, status: &Status) -> LedPattern {
        let lit = |on: bool| if on { LedPattern::On } else { LedPattern::Off };
        match self {
            // What somebody did on purpose takes precedence over faults.
            Self::Ready if status.privacy && status.privacy_kept => LedPattern::Breathe,
            Self::Watched if status.viewers == 0 => LedPattern::Off,
            Self::Watched | Self::Ready => fault_code(status).map_or(LedPattern::On, LedPattern::Code),
            Self::Fault => fault_code(status).map_or(LedPattern::Off, LedPattern::Code),
            Self::Camera => {
                let any = |state: PipelineState| status.cameras.iter().any(|camera| camera.state == state);
                match (any(PipelineState::Live), any(PipelineState::Starting)) {
                    (true, _) => LedPattern::On,
                    (false, true) => LedPattern::Breathe,
                    (false, false) => LedPattern::Off,
                }
            }
            // Dark means that cameras may be open, so only what is on can blink.
            Self::Privacy if status.privacy && !status.privacy_kept => LedPattern::Code(UNKEPT),
            Self::Privacy => lit(status.privacy),
            Self::Recording => match &status.recording {
                _ if is_unrecorded(status) && !status.privacy => LedPattern::Code(UNRECORDED),
                Some(recording) => lit(recording.cameras.iter().any(|camera| camera.recording)),
                None => LedPattern::Off,
            },
            Self::Talk => lit(status.speaker.talker.is_some()),
        }
    }
}

/// The number of flashes of a privacy switch whose state could not be stored: a restart may open the cameras.
const UNKEPT: u8 = 8;

/// The number of flashes of a camera that should be published to a server and is not.
const UNPUBLISHED: u8 = 9;

/// The number of flashes of recordings that cannot be stored.
const UNRECORDED: u8 = 10;

/// The number of flashes of the most important fault. A single flash would look like a heartbeat.
fn fault_code(status: &Status) -> Option<u8> {
    let unkept = (!status.privacy_kept).then_some(UNKEPT);
    // While cameras are closed on purpose, their faults are history.
    if status.privacy {
        return unkept;
    }
    let cameras = status.cameras.iter().filter_map(camera_code);
    let microphone = (status.audio.state == PipelineState::Fault).then_some(7);
    let unpublished = status.publish.iter().any(|server| server.state == PipelineState::Fault).then_some(UNPUBLISHED);
    let unrecorded = is_unrecorded(status).then_some(UNRECORDED);
    cameras.chain(microphone).chain(unkept).chain(unpublished).chain(unrecorded).min()
}

/// Whether recordings or time-lapses cannot be stored.
fn is_unrecorded(status: &Status) -> bool {
    let timelapse = status.timelapse.as_ref().is_some_and(|timelapse| timelapse.failed);
    timelapse || status.recording.as_ref().is_some_and(|recording| recording.failed)
}

fn camera_code(camera: &CameraStatus) -> Option<u8> {
    camera.trouble.map(|trouble| match trouble {
        FaultKind::Away => 2,
        FaultKind::Busy => 3,
        FaultKind::Broken => 4,
        FaultKind::Settings => 5,
        FaultKind::Encoder => 6,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::status::{CameraRecording, PublishStatus, RecordingStatus, TimelapseStatus};

    const TROUBLES: [FaultKind; 5] =
        [FaultKind::Away, FaultKind::Busy, FaultKind::Broken, FaultKind::Settings, FaultKind::Encoder];

    fn cameras() -> impl Strategy<Value = Vec<CameraStatus>> {
        let states = prop::sample::select(vec![
            PipelineState::Off,
            PipelineState::Idle,
            PipelineState::Starting,
            PipelineState::Live,
            PipelineState::Fault,
        ]);
        let camera = (states, prop::option::of(prop::sample::select(TROUBLES.to_vec())))
            .prop_map(|(state, trouble)| CameraStatus { state, trouble, ..CameraStatus::default() });
        prop::collection::vec(camera, 0..4)
    }

    prop_compose! {
        fn statuses()(
            cameras in cameras(), sound_fault: bool, viewers in 0..3usize, privacy: bool, privacy_kept: bool,
            talks: bool,
        ) -> Status {
            let mut status = Status { cameras, viewers, privacy, privacy_kept, ..Status::default() };
            status.speaker.talker = talks.then(|| "viewer 1".into());
            status.audio.state = if sound_fault { PipelineState::Fault } else { PipelineState::Live };
            status
        }
    }

    proptest! {
        #[test]
        fn each_indicator_shows_only_its_own_state(status in statuses()) {
            let lit = |on: bool| if on { LedPattern::On } else { LedPattern::Off };
            prop_assert_eq!(Indicator::Watched.pattern(&status) == LedPattern::Off, status.viewers == 0);
            let unkept = status.privacy && !status.privacy_kept;
            let expected = if unkept { LedPattern::Code(8) } else { lit(status.privacy) };
            prop_assert_eq!(Indicator::Privacy.pattern(&status), expected);
            let live = status.cameras.iter().any(|camera| camera.state == PipelineState::Live);
            prop_assert_eq!(Indicator::Camera.pattern(&status) == LedPattern::On, live);
            prop_assert_eq!(Indicator::Talk.pattern(&status), lit(status.speaker.talker.is_some()));
        }

        #[test]
        fn fault_is_shown_exactly_when_there_is_one(status in statuses()) {
            let faulty = status.cameras.iter().any(|camera| camera.trouble.is_some()) || status.audio.state == PipelineState::Fault;
            let code = Indicator::Fault.pattern(&status);
            prop_assert_eq!(matches!(code, LedPattern::Code(2..=7)), faulty && !status.privacy);
            let unkept = !status.privacy_kept && (status.privacy || !faulty);
            prop_assert_eq!(code == LedPattern::Code(8), unkept);
            prop_assert!(matches!(code, LedPattern::Code(_) | LedPattern::Off));
            let ready = Indicator::Ready.pattern(&status);
            prop_assert!(ready != LedPattern::Off, "the program runs");
            let breathes = status.privacy && status.privacy_kept;
            prop_assert_eq!(ready == LedPattern::Breathe, breathes);
            prop_assert!(breathes || code == LedPattern::Off || ready == code);
            let watched = Indicator::Watched.pattern(&status);
            let lit = if code == LedPattern::Off { LedPattern::On } else { code };
            prop_assert!(watched == LedPattern::Off || watched == lit);
        }
    }

    #[test]
    fn recording_shows_while_a_camera_is_recorded() {
        let camera = |recording| CameraRecording { recording, ..CameraRecording::default() };
        let pattern = |cameras: &[bool]| {
            let cameras = cameras.iter().copied().map(camera).collect();
            let recording = Some(RecordingStatus { cameras, ..RecordingStatus::default() });
            Indicator::Recording.pattern(&Status { recording, ..Status::default() })
        };
        assert_eq!([pattern(&[false, true]), pattern(&[false])], [LedPattern::On, LedPattern::Off]);
        assert_eq!(Indicator::Recording.pattern(&Status::default()), LedPattern::Off);
    }

    #[test]
    fn each_fault_has_its_own_code_and_the_most_severe_is_shown() {
        let camera =
            |trouble| CameraStatus { trouble: Some(trouble), state: PipelineState::Fault, ..CameraStatus::default() };
        let recording = Some(RecordingStatus { failed: true, ..RecordingStatus::default() });
        let mut status = Status { recording, ..Status::default() };
        assert_eq!(Indicator::Fault.pattern(&status), LedPattern::Code(10));
        assert_eq!(Indicator::Recording.pattern(&status), LedPattern::Code(10));
        let timelapse = Some(TimelapseStatus { failed: true, ..TimelapseStatus::default() });
        (status.recording, status.timelapse) = (None, timelapse);
        assert_eq!(Indicator::Fault.pattern(&status), LedPattern::Code(10));
        assert_eq!(Indicator::Recording.pattern(&status), LedPattern::Code(10));
        status.publish.push(PublishStatus { state: PipelineState::Fault, ..PublishStatus::default() });
        assert_eq!(Indicator::Fault.pattern(&status), LedPattern::Code(9));
        status.audio.state = PipelineState::Fault;
        assert_eq!(Indicator::Fault.pattern(&status), LedPattern::Code(7));
        for (code, trouble) in (2..=6).rev().zip(TROUBLES.into_iter().rev()) {
            status.cameras.push(camera(trouble));
            assert_eq!(Indicator::Fault.pattern(&status), LedPattern::Code(code));
        }
    }
}
