//! The capture thread's answers to what its camera is asked (`handle`), between two pictures.
//!
//! Opening the camera anew belongs to `capture`.

use super::PipelineContext;
use super::handle::{Captured, Error, ReplySender, Request, RequestQueue, VideoSettings};
use crate::capture::camera;
use crate::capture::camera::{Constraint, ControlsOutcome, VideoSource};
use crate::media::{PixelFormat, RawFrame};
use crate::model::inventory::{Control, ControlKind, Flag, Setting, find};

/// What the capture thread owes to those who asked.
pub(super) struct CaptureRequests {
    questions: RequestQueue,
    /// Who waits for the next picture.
    pictures: Vec<ReplySender<Captured>>,
    /// What the camera was opened with.
    heeded: VideoSettings,
}

impl CaptureRequests {
    pub fn new(questions: RequestQueue) -> Self {
        let heeded = questions.wished();
        Self { questions, pictures: Vec::new(), heeded }
    }

    /// Brings the wishes into the configuration that the camera is opened with; `true` when there are new ones.
    pub fn heed(&mut self, config: &mut camera::Config) -> bool {
        let wished = self.questions.wished();
        if wished == self.heeded {
            return false;
        }
        // What is wished for later is taken as near as it can be had; the configuration may insist.
        if wished.size != self.heeded.size {
            (config.width, config.height) = (Constraint::ideal(wished.size.0), Constraint::ideal(wished.size.1));
        }
        if wished.fps != self.heeded.fps {
            config.fps = Constraint::ideal(wished.fps);
        }
        config.bitrate = wished.bitrate;
        self.heeded = wished;
        true
    }

    /// Whether an open camera must be opened anew for what is wished by now; what can be had without that is set.
    pub fn must_reopen(&mut self, source: &mut dyn VideoSource, config: &mut camera::Config) -> bool {
        let wished = self.questions.wished();
        if wished.size != self.heeded.size || wished.fps != self.heeded.fps {
            return true;
        }
        if wished.bitrate != self.heeded.bitrate {
            if !source.set_bitrate(wished.bitrate) {
                return true;
            }
            config.bitrate = wished.bitrate;
            self.heeded.bitrate = wished.bitrate;
        }
        false
    }

    /// Answers what can be answered between two pictures of a camera that works. Controls that are set stand in `config` from
    /// then on, so that they are set again at the next opening.
    pub fn answer(&mut self, source: &mut dyn VideoSource, part: &PipelineContext, config: &mut camera::Config) {
        while let Some(question) = self.questions.take() {
            if question.is_stale() {
                continue;
            }
            match question {
                Request::Frame(answer) if source.format().pixel == PixelFormat::H264 => {
                    let _ = answer.send(Ok(Captured::Encoded));
                }
                Request::Frame(answer) => self.pictures.push(answer),
                Request::Controls(answer) => {
                    let controls = source.controls();
                    part.status(|camera| camera.controls.clone_from(&controls));
                    let _ = answer.send(Ok(controls));
                }
                Request::Set(settings, answer) => {
                    let _ = answer.send(set(source, part, config, &settings));
                }
                Request::Reset(names, answer) => {
                    let _ = answer.send(reset(source, part, config, names.as_deref()));
                }
            }
        }
    }

    /// Gives a picture to those who wait for one.
    pub fn show(&mut self, frame: &RawFrame) {
        for answer in self.pictures.drain(..) {
            let _ = answer.send(Ok(Captured::Raw(frame.clone())));
        }
    }

    /// Tells those who wait that the camera is away.
    pub fn away(&mut self, words: &str) {
        let pictures = self.pictures.drain(..).map(Request::Frame);
        let waiting = std::iter::from_fn(|| self.questions.take());
        pictures.chain(waiting).for_each(|question| question.refuse(Error::Away(words.into())));
    }
}

impl Drop for CaptureRequests {
    fn drop(&mut self) {
        self.questions.close();
    }
}

/// Sets controls, all or, where one is wrong by itself, none.
fn set(
    source: &mut dyn VideoSource,
    part: &PipelineContext,
    config: &mut camera::Config,
    settings: &[Setting],
) -> Result<Vec<Control>, Error> {
    let known = known(source, part);
    let settings = judged(&known, settings)?;
    let answer = apply(source, part, &[&settings]);
    for setting in settings {
        let Some(now) = answer.controls.iter().find(|now| now.name == setting.control) else { continue };
        // An action is done once, and what was refused shall not be tried again and again.
        if now.kind != ControlKind::Button && now.value.as_ref() == Some(&setting.value) {
            config.controls.retain(|kept| Control::name_of(&kept.control) != setting.control);
            config.controls.push(setting);
        }
    }
    told(answer)
}

/// Sets the named controls, or all that can be set, to their defaults.
fn reset(
    source: &mut dyn VideoSource,
    part: &PipelineContext,
    config: &mut camera::Config,
    names: Option<&[String]>,
) -> Result<Vec<Control>, Error> {
    let known = known(source, part);
    let wishes = match names {
        Some(names) => {
            let default = |name: &String| {
                let control = find(&known, name).map_err(Error::NoControl)?;
                let words = || format!("{name}: has no default");
                let value =
                    control.default.clone().ok_or_else(|| Error::Value { control: name.clone(), words: words() })?;
                Ok(Setting { control: control.name.clone(), value })
            };
            judged(&known, &names.iter().map(default).collect::<Result<Vec<_>, _>>()?)?
        }
        None => {
            let settable = known.iter().filter_map(|control| {
                let value = control.accept(control.default.as_ref()?).ok()?;
                let other = control.value.as_ref() != Some(&value) && !control.is(Flag::Inactive);
                other.then(|| Setting { control: control.name.clone(), value })
            });
            settable.collect()
        }
    };
    // An automatic mode takes numbers in hand, so these go first.
    let (modes, numbers): (Vec<_>, Vec<_>) =
        wishes.iter().cloned().partition(|setting| find(&known, &setting.control).is_ok_and(is_mode));
    let answer = apply(source, part, &[&numbers, &modes]);
    // What the configuration wants it to be is not set at the next opening either.
    config.controls.retain(|kept| {
        let name = Control::name_of(&kept.control);
        names.is_some() && !wishes.iter().any(|wish| wish.control == name)
    });
    told(answer)
}

fn is_mode(control: &Control) -> bool {
    matches!(control.kind, ControlKind::Boolean | ControlKind::Menu | ControlKind::IntegerMenu)
}

/// The controls as the status has them, which is as they stand while the camera is open.
fn known(source: &mut dyn VideoSource, part: &PipelineContext) -> Vec<Control> {
    let known = part.board.snapshot().cameras.get(part.index).map(|camera| camera.controls.clone()).unwrap_or_default();
    if known.is_empty() { source.controls() } else { known }
}

/// The settings by their controls' names, with values that are right by themselves.
fn judged(known: &[Control], settings: &[Setting]) -> Result<Vec<Setting>, Error> {
    let judged = settings.iter().map(|Setting { control: name, value }| {
        let control = find(known, name).map_err(Error::NoControl)?;
        let wrong = |words| Error::Value { control: name.clone(), words };
        Ok(Setting { control: control.name.clone(), value: control.accept(value).map_err(wrong)? })
    });
    judged.collect()
}

/// Sets one row of settings after the other, and tells the status.
fn apply(source: &mut dyn VideoSource, part: &PipelineContext, rows: &[&[Setting]]) -> ControlsOutcome {
    let mut all = ControlsOutcome::default();
    for settings in rows.iter().filter(|settings| !settings.is_empty()) {
        let ControlsOutcome { controls, refused } = source.set_controls(settings);
        all.controls.retain(|known| controls.iter().all(|now| now.id != known.id));
        all.controls.extend(controls);
        all.refused.extend(refused);
    }
    part.board.controls(part.index, all.controls.clone());
    all
}

fn told(ControlsOutcome { controls, refused }: ControlsOutcome) -> Result<Vec<Control>, Error> {
    if refused.is_empty() { Ok(controls) } else { Err(Error::Refused(refused.join("; "))) }
}
