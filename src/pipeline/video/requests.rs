//! The capture thread's side of the requests to its camera (`handle`): they are served between two frames.
//!
//! Reopening the camera belongs to `capture`.

use super::PipelineContext;
use super::request_queue::{CaptureRequest, Captured, Error, ReplySender, RequestQueue, VideoSettings};
use crate::capture::camera;
use crate::capture::camera::{Constraint, ControlsOutcome, VideoSource};
use crate::media::{PixelFormat, RawFrame};
use crate::model::inventory::{Control, ControlKind, Flag, Setting, find};

/// The requests that the capture thread serves.
pub(super) struct CaptureRequests {
    requests: RequestQueue,
    /// Requests for the next frame.
    pending_frames: Vec<ReplySender<Captured>>,
    /// The settings that the camera was opened with.
    applied: VideoSettings,
}

impl CaptureRequests {
    pub fn new(requests: RequestQueue) -> Self {
        let applied = requests.settings();
        Self { requests, pending_frames: Vec::new(), applied }
    }

    /// Copies the requested settings into the configuration for the next opening; `true` when they have changed.
    pub fn apply_target(&mut self, config: &mut camera::Config) -> bool {
        let target = self.requests.settings();
        if target == self.applied {
            return false;
        }
        // Settings that are changed at run time are ideals; only the configuration can demand exact values.
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

    /// Whether an open camera has to be reopened for the requested settings; what can be changed without that is set.
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

    /// Serves the pending requests between two frames of a working camera. Controls that were set are kept in `config`, so that
    /// the next opening sets them again.
    pub fn serve_pending(&mut self, source: &mut dyn VideoSource, ctx: &PipelineContext, config: &mut camera::Config) {
        while let Some(request) = self.requests.pop() {
            if request.is_abandoned() {
                continue;
            }
            match request {
                CaptureRequest::Frame(answer) if source.format().pixel == PixelFormat::H264 => {
                    let _ = answer.send(Ok(Captured::Encoded));
                }
                CaptureRequest::Frame(answer) => self.pending_frames.push(answer),
                CaptureRequest::Controls(answer) => {
                    let controls = source.controls();
                    ctx.status(|camera| camera.controls.clone_from(&controls));
                    let _ = answer.send(Ok(controls));
                }
                CaptureRequest::Set(settings, answer) => {
                    let _ = answer.send(set(source, ctx, config, &settings));
                }
                CaptureRequest::Reset(names, answer) => {
                    let _ = answer.send(reset(source, ctx, config, names.as_deref()));
                }
            }
        }
    }

    /// Hands a frame to the requests that wait for one.
    pub fn offer_frame(&mut self, frame: &RawFrame) {
        for answer in self.pending_frames.drain(..) {
            let _ = answer.send(Ok(Captured::Raw(frame.clone())));
        }
    }

    /// Fails all pending requests: the camera is unavailable.
    pub fn fail_pending(&mut self, reason: &str) {
        let frames = self.pending_frames.drain(..).map(CaptureRequest::Frame);
        let waiting = std::iter::from_fn(|| self.requests.pop());
        frames.chain(waiting).for_each(|request| request.fail(Error::Unavailable(reason.into())));
    }
}

impl Drop for CaptureRequests {
    fn drop(&mut self) {
        self.requests.close();
    }
}

/// Sets controls; none of them if one has an invalid value.
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
        // A button is pressed once, and a rejected value is not tried again at each opening.
        if now.kind != ControlKind::Button && now.value.as_ref() == Some(&setting.value) {
            config.controls.retain(|kept| Control::name_of(&kept.control) != setting.control);
            config.controls.push(setting);
        }
    }
    into_result(answer)
}

/// Resets the named controls, or all that can be set, to their defaults.
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
                let message = || format!("{name}: has no default");
                let value = control
                    .default
                    .clone()
                    .ok_or_else(|| Error::Value { control: name.clone(), message: message() })?;
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
    // An automatic mode takes over the numbers it controls, so these go first.
    let (modes, numbers): (Vec<_>, Vec<_>) =
        settings.iter().cloned().partition(|setting| find(&known, &setting.control).is_ok_and(is_mode));
    let answer = apply(source, ctx, &[&numbers, &modes]);
    // The next opening does not set the configured values again.
    config.controls.retain(|kept| {
        let name = Control::name_of(&kept.control);
        names.is_some() && !settings.iter().any(|setting| setting.control == name)
    });
    into_result(answer)
}

fn is_mode(control: &Control) -> bool {
    matches!(control.kind, ControlKind::Boolean | ControlKind::Menu | ControlKind::IntegerMenu)
}

/// The controls from the status, which is current while the camera is open.
fn current_controls(source: &mut dyn VideoSource, ctx: &PipelineContext) -> Vec<Control> {
    let known =
        ctx.publisher.snapshot().cameras.get(ctx.index).map(|camera| camera.controls.clone()).unwrap_or_default();
    if known.is_empty() { source.controls() } else { known }
}

/// The settings with normalised control names and valid values.
fn validate(known: &[Control], settings: &[Setting]) -> Result<Vec<Setting>, Error> {
    let judged = settings.iter().map(|Setting { control: name, value }| {
        let control = find(known, name).map_err(Error::NoControl)?;
        let wrong = |message| Error::Value { control: name.clone(), message };
        Ok(Setting { control: control.name.clone(), value: control.accept(value).map_err(wrong)? })
    });
    judged.collect()
}

/// Sets one group of settings after the other, and updates the status.
fn apply(source: &mut dyn VideoSource, ctx: &PipelineContext, rows: &[&[Setting]]) -> ControlsOutcome {
    let mut all = ControlsOutcome::default();
    for settings in rows.iter().filter(|settings| !settings.is_empty()) {
        let ControlsOutcome { controls, refused } = source.set_controls(settings);
        all.controls.retain(|known| controls.iter().all(|now| now.id != known.id));
        all.controls.extend(controls);
        all.refused.extend(refused);
    }
    ctx.publisher.controls(ctx.index, all.controls.clone());
    all
}

fn into_result(ControlsOutcome { controls, refused }: ControlsOutcome) -> Result<Vec<Control>, Error> {
    if refused.is_empty() { Ok(controls) } else { Err(Error::Refused(refused.join("; "))) }
}
