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
    requests: RequestQueue,
    /// Who waits for the next picture.
    pending_frames: Vec<ReplySender<Captured>>,
    /// What the camera was opened with.
    applied: VideoSettings,
}

impl CaptureRequests {
    pub fn new(requests: RequestQueue) -> Self {
        let applied = requests.settings();
        Self { requests, pending_frames: Vec::new(), applied }
    }

    /// Brings the settings into the configuration that the camera is opened with; `true` when there are new ones.
    pub fn apply_target(&mut self, config: &mut camera::Config) -> bool {
        let target = self.requests.settings();
        if target == self.applied {
            return false;
        }
        // What is wished for later is taken as near as it can be had; the configuration may insist.
        if target.size != self.applied.size {
            (config.width, config.height) = (Constraint::ideal(target.size.0), Constraint::ideal(target.size.1));
        }
        if target.fps != self.applied.fps {
            config.fps = Constraint::ideal(target.fps);
        }
        config.bitrate = target.bitrate;
        self.applied = target;
        true
    }

    /// Whether an open camera must be opened anew for what is wished by now; what can be had without that is set.
    pub fn needs_reopen(&mut self, source: &mut dyn VideoSource, config: &mut camera::Config) -> bool {
        let target = self.requests.settings();
        if target.size != self.applied.size || target.fps != self.applied.fps {
            return true;
        }
        if target.bitrate != self.applied.bitrate {
            if !source.set_bitrate(target.bitrate) {
                return true;
            }
            config.bitrate = target.bitrate;
            self.applied.bitrate = target.bitrate;
        }
        false
    }

    /// Answers what can be answered between two pictures of a camera that works. Controls that are set stand in `config` from
    /// then on, so that they are set again at the next opening.
    pub fn serve_pending(&mut self, source: &mut dyn VideoSource, ctx: &PipelineContext, config: &mut camera::Config) {
        while let Some(request) = self.requests.pop() {
            if request.is_abandoned() {
                continue;
            }
            match request {
                Request::Frame(answer) if source.format().pixel == PixelFormat::H264 => {
                    let _ = answer.send(Ok(Captured::Encoded));
                }
                Request::Frame(answer) => self.pending_frames.push(answer),
                Request::Controls(answer) => {
                    let controls = source.controls();
                    ctx.status(|camera| camera.controls.clone_from(&controls));
                    let _ = answer.send(Ok(controls));
                }
                Request::Set(settings, answer) => {
                    let _ = answer.send(set(source, ctx, config, &settings));
                }
                Request::Reset(names, answer) => {
                    let _ = answer.send(reset(source, ctx, config, names.as_deref()));
                }
            }
        }
    }

    /// Gives a picture to those who wait for one.
    pub fn offer_frame(&mut self, frame: &RawFrame) {
        for answer in self.pending_frames.drain(..) {
            let _ = answer.send(Ok(Captured::Raw(frame.clone())));
        }
    }

    /// Tells those who wait that the camera is away.
    pub fn fail_pending(&mut self, reason: &str) {
        let frames = self.pending_frames.drain(..).map(Request::Frame);
        let waiting = std::iter::from_fn(|| self.requests.pop());
        frames.chain(waiting).for_each(|request| request.fail(Error::Away(reason.into())));
    }
}

impl Drop for CaptureRequests {
    fn drop(&mut self) {
        self.requests.close();
    }
}

/// Sets controls, all or, where one is wrong by itself, none.
fn set(
    source: &mut dyn VideoSource,
    ctx: &PipelineContext,
    config: &mut camera::Config,
    settings: &[Setting],
) -> Result<Vec<Control>, Error> {
    let known = current_controls(source, ctx);
    let settings = validate(&known, settings)?;
    let answer = apply(source, ctx, &[&settings]);
    for setting in settings {
        let Some(now) = answer.controls.iter().find(|now| now.name == setting.control) else { continue };
        // An action is done once, and what was refused shall not be tried again and again.
        if now.kind != ControlKind::Button && now.value.as_ref() == Some(&setting.value) {
            config.controls.retain(|kept| Control::name_of(&kept.control) != setting.control);
            config.controls.push(setting);
        }
    }
    into_result(answer)
}

/// Sets the named controls, or all that can be set, to their defaults.
fn reset(
    source: &mut dyn VideoSource,
    ctx: &PipelineContext,
    config: &mut camera::Config,
    names: Option<&[String]>,
) -> Result<Vec<Control>, Error> {
    let known = current_controls(source, ctx);
    let settings = match names {
        Some(names) => {
            let default = |name: &String| {
                let control = find(&known, name).map_err(Error::NoControl)?;
                let words = || format!("{name}: has no default");
                let value =
                    control.default.clone().ok_or_else(|| Error::Value { control: name.clone(), words: words() })?;
                Ok(Setting { control: control.name.clone(), value })
            };
            validate(&known, &names.iter().map(default).collect::<Result<Vec<_>, _>>()?)?
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
        settings.iter().cloned().partition(|setting| find(&known, &setting.control).is_ok_and(is_mode));
    let answer = apply(source, ctx, &[&numbers, &modes]);
    // What the configuration wants it to be is not set at the next opening either.
    config.controls.retain(|kept| {
        let name = Control::name_of(&kept.control);
        names.is_some() && !settings.iter().any(|setting| setting.control == name)
    });
    into_result(answer)
}

fn is_mode(control: &Control) -> bool {
    matches!(control.kind, ControlKind::Boolean | ControlKind::Menu | ControlKind::IntegerMenu)
}

/// The controls as the status has them, which is as they stand while the camera is open.
fn current_controls(source: &mut dyn VideoSource, ctx: &PipelineContext) -> Vec<Control> {
    let known = ctx.board.snapshot().cameras.get(ctx.index).map(|camera| camera.controls.clone()).unwrap_or_default();
    if known.is_empty() { source.controls() } else { known }
}

/// The settings by their controls' names, with values that are right by themselves.
fn validate(known: &[Control], settings: &[Setting]) -> Result<Vec<Setting>, Error> {
    let judged = settings.iter().map(|Setting { control: name, value }| {
        let control = find(known, name).map_err(Error::NoControl)?;
        let wrong = |words| Error::Value { control: name.clone(), words };
        Ok(Setting { control: control.name.clone(), value: control.accept(value).map_err(wrong)? })
    });
    judged.collect()
}

/// Sets one row of settings after the other, and tells the status.
fn apply(source: &mut dyn VideoSource, ctx: &PipelineContext, rows: &[&[Setting]]) -> ControlsOutcome {
    let mut all = ControlsOutcome::default();
    for settings in rows.iter().filter(|settings| !settings.is_empty()) {
        let ControlsOutcome { controls, refused } = source.set_controls(settings);
        all.controls.retain(|known| controls.iter().all(|now| now.id != known.id));
        all.controls.extend(controls);
        all.refused.extend(refused);
    }
    ctx.board.controls(ctx.index, all.controls.clone());
    all
}

fn into_result(ControlsOutcome { controls, refused }: ControlsOutcome) -> Result<Vec<Control>, Error> {
    if refused.is_empty() { Ok(controls) } else { Err(Error::Refused(refused.join("; "))) }
}
