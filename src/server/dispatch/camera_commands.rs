//! Commands for one camera: its controls, its video settings, snapshots and photos.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Caller, Dispatcher, internal};
use crate::model::inventory;
use crate::model::inventory::Setting;
use crate::model::protocol::result::CameraSummary;
use crate::model::protocol::{Code, Error, Method, NoticeValues, Reply};
use crate::pipeline::video;

/// Snapshots encoded at the same time. One takes a core of a slow device for a tenth of a second, and live video needs
/// the others.
const MAX_SNAPSHOTS: usize = 1;

/// Snapshot requests that may queue: as many as usually watch, and a second's work on a slow device.
const MAX_QUEUED_SNAPSHOTS: usize = 10;

/// After how many milliseconds a rejected snapshot may be requested again.
const RETRY_AFTER_MS: u64 = 500;

/// A camera's name and the handle of its pipeline.
#[derive(Clone)]
pub struct CameraHandle {
    /// Its name.
    pub name: String,
    /// The handle of its video pipeline.
    pub video: video::Handle,
}

/// A snapshot as a JPEG image.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The JPEG file.
    pub data: Bytes,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Snapshot {
    /// The media type of `data`.
    pub const MEDIA_TYPE: &'static str = "image/jpeg";
}

/// Permits of running and of queued snapshots.
pub(super) struct SnapshotLimiter {
    running: Arc<Semaphore>,
    queued: Arc<Semaphore>,
}

impl Default for SnapshotLimiter {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { running: semaphore(MAX_SNAPSHOTS), queued: semaphore(MAX_SNAPSHOTS + MAX_QUEUED_SNAPSHOTS) }
    }
}

/// A request to change video settings; `None` keeps a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct VideoSetRequest {
    /// Width and height in pixels.
    pub(super) size: Option<(u32, u32)>,
    /// Frames per second.
    pub(super) fps: Option<u32>,
    /// Bits per second.
    pub(super) bitrate: Option<u32>,
}

impl Dispatcher {
    /// Takes a snapshot of the camera of that name, otherwise of the caller's selected camera.
    ///
    /// # Errors
    ///
    /// When it is not permitted, or the camera delivers none.
    pub async fn snapshot(&self, caller: &Caller, camera: Option<&str>) -> Result<Snapshot, Error> {
        let method = Method::find("snapshot").ok_or_else(|| internal("snapshot", &"there is no such method"))?;
        // HTTP has a path of its own for snapshots, which needs no session; the required role is the same.
        caller.authorize_role(method)?;
        self.take_snapshot(self.camera(caller, camera)?).await
    }

    /// Takes a snapshot once a permit is free.
    async fn take_snapshot(&self, camera: &CameraHandle) -> Result<Snapshot, Error> {
        let SnapshotLimiter { running, queued } = &self.0.snapshot_limiter;
        let busy = || Error::busy(RETRY_AFTER_MS, "too many snapshots are being requested");
        let _queued = queued.clone().try_acquire_owned().map_err(|_| busy())?;
        let _running = running.clone().acquire_owned().await.map_err(|_| busy())?;
        let video::Jpeg { data, width, height } =
            camera.video.snapshot().await.map_err(|error| camera_error(camera, error))?;
        self.0.deps.metrics.snapshots.inc();
        Ok(Snapshot { data, width, height })
    }

    /// Takes a snapshot and stores it on the device.
    pub(super) async fn take_photo(&self, caller: &Caller, camera: Option<String>) -> Result<Reply, Error> {
        let camera = self.camera(caller, camera.as_deref())?;
        let Snapshot { data, width, height } = self.take_snapshot(camera).await?;
        let camera = camera.name.clone();
        let (photos, name, bytes) = (self.0.deps.photos.clone(), camera.clone(), data.len());
        let added = tokio::task::spawn_blocking(move || photos.add(&name, &data)).await;
        let added = added.map_err(|error| internal("store a photo", &error))?;
        let file = added.map_err(|error| internal("store a photo", &format_args!("{error:#}")))?.display().to_string();
        let by = self.name(caller);
        tracing::info!("{by} took a photo of {camera}: {file}");
        let text = format!("{by} took a photo of {camera}; it is stored on the device");
        self.broadcast_notice("photo.taken", text, NoticeValues { by, name: None, camera: Some(camera.clone()) });
        Ok(Reply::Photo { camera, file, bytes, width, height })
    }

    /// The index of the camera of that name.
    pub(super) fn index(&self, name: &str) -> Result<usize, Error> {
        let cameras = &self.0.deps.cameras;
        cameras.iter().position(|camera| camera.name == name).ok_or_else(|| {
            let names: Vec<&str> = cameras.iter().map(|camera| camera.name.as_str()).collect();
            Error::new(Code::NotFound, format!("no camera is called {name:?}; there are {}", names.join(", ")))
        })
    }

    /// The index of the camera that the caller is watching.
    fn selected(&self, caller: &Caller) -> Option<usize> {
        let preferences = self.0.deps.sessions.preferences(caller.session.as_ref()?)?;
        Some(preferences.camera)
    }

    /// The camera of that name; without a name the one that the caller is watching, or the first.
    pub(super) fn camera(&self, caller: &Caller, name: Option<&str>) -> Result<&CameraHandle, Error> {
        let index = match name {
            Some(name) => self.index(name)?,
            None => self.selected(caller).unwrap_or(0),
        };
        let camera = self.0.deps.cameras.get(index);
        camera.ok_or_else(|| Error::new(Code::NotFound, "there is no camera; the configuration names none"))
    }

    pub(super) fn camera_list(&self, caller: &Caller) -> Reply {
        let cameras = self.0.deps.status.snapshot().cameras;
        let selected = self.selected(caller).and_then(|index| cameras.get(index)).map(|camera| camera.name.clone());
        let summary = |camera: crate::model::status::CameraStatus| CameraSummary {
            name: camera.name,
            state: camera.state,
            pattern: camera.pattern,
            width: camera.width,
            height: camera.height,
            fps: camera.fps,
            bitrate: camera.bitrate,
            watched: camera.watched,
            fault: camera.fault,
        };
        Reply::Cameras { cameras: cameras.into_iter().map(summary).collect(), selected }
    }

    /// The current controls of a camera; opens the camera if it never was open.
    async fn controls(&self, camera: &CameraHandle) -> Result<Vec<inventory::Control>, Error> {
        let status = self.0.deps.status.snapshot().cameras.into_iter().find(|status| status.name == camera.name);
        match status {
            Some(status) if !status.controls.is_empty() => Ok(status.controls),
            _ => camera.video.controls().await.map_err(|error| camera_error(camera, error)),
        }
    }

    pub(super) async fn controls_list(&self, caller: &Caller, name: Option<String>) -> Result<Reply, Error> {
        let camera = self.camera(caller, name.as_deref())?;
        Ok(Reply::Controls { camera: camera.name.clone(), controls: self.controls(camera).await? })
    }

    pub(super) async fn control(&self, caller: &Caller, camera: Option<String>, name: &str) -> Result<Reply, Error> {
        let camera = self.camera(caller, camera.as_deref())?;
        let controls = self.controls(camera).await?;
        let control = inventory::find(&controls, name).map_err(|words| Error::new(Code::NotFound, words))?;
        Ok(Reply::Control { camera: camera.name.clone(), control: Box::new(control.clone()) })
    }

    pub(super) async fn controls_set(
        &self,
        caller: &Caller,
        camera: Option<String>,
        settings: Vec<Setting>,
    ) -> Result<Reply, Error> {
        let camera = self.camera(caller, camera.as_deref())?;
        let controls = camera.video.set_controls(settings).await.map_err(|error| camera_error(camera, error))?;
        Ok(Reply::Controls { camera: camera.name.clone(), controls })
    }

    pub(super) async fn controls_reset(
        &self,
        caller: &Caller,
        camera: Option<String>,
        names: Option<Vec<String>>,
    ) -> Result<Reply, Error> {
        let camera = self.camera(caller, camera.as_deref())?;
        let controls = camera.video.reset_controls(names).await.map_err(|error| camera_error(camera, error))?;
        Ok(Reply::Controls { camera: camera.name.clone(), controls })
    }

    pub(super) async fn video_set(
        &self,
        caller: &Caller,
        camera: Option<String>,
        VideoSetRequest { size, fps, bitrate }: VideoSetRequest,
    ) -> Result<Reply, Error> {
        let camera = self.camera(caller, camera.as_deref())?;
        let settings = camera
            .video
            .set(video::VideoSettingsPatch { size, fps, bitrate })
            .await
            .map_err(|error| camera_error(camera, error))?;
        let (by, name) = (self.name(caller), camera.name.clone());
        let text = format!("{by} changed the video settings of {name}");
        self.broadcast_notice("video.changed", text, NoticeValues { by, name: None, camera: Some(name) });
        let (name, (width, height)) = (camera.name.clone(), settings.size);
        Ok(Reply::Video { camera: name, width, height, fps: settings.fps, bitrate: settings.bitrate })
    }
}

/// Converts an error of a camera's pipeline to a protocol error.
pub(super) fn camera_error(camera: &CameraHandle, error: video::Error) -> Error {
    let words = error.to_string();
    let named = words.starts_with(&format!("{}: ", camera.name));
    let message = if named { words } else { format!("{}: {words}", camera.name) };
    match error {
        video::Error::NoControl(_) => Error::new(Code::NotFound, message),
        video::Error::Value { control, .. } => Error::control(&control, message),
        video::Error::Refused(_) => Error::new(Code::Refused, message),
        video::Error::Unavailable(_) => Error::new(Code::Unavailable, message),
        video::Error::Busy(_) => Error::busy(RETRY_AFTER_MS, message),
    }
}
