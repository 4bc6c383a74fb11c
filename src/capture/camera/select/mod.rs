//! Which camera each pipeline uses, from the first opening on: the name of the configuration finds it, then it is followed
//! by its identity through ports and node numbers, and no two pipelines have the same.
//!
//! How a camera is told from others is in `v4l2::identity`, what its name means in `choice`. Retrying belongs to the
//! pipelines.

mod source;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pattern::Pattern;
use super::v4l2::Capture;
use super::v4l2::identity::{Identity, V4l2Sysfs, VideoNode};
use super::{Config, Device, Error, VideoSource};

use matching::{CameraMatch, Target};
use source::{OpenedSource, Watch};

/// The cameras of the machine as the pipelines share them; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sysfs: V4l2Sysfs,
    /// Counts hot-plug events.
    hotplug_generation: AtomicU64,
    /// By the number of the finder.
    pipelines: Mutex<Vec<Pipeline>>,
}

/// What is known of a pipeline's camera.
#[derive(Debug)]
struct Pipeline {
    name: String,
    device: Device,
    /// The camera that the name meant at the start; others leave it alone.
    planned: Option<Identity>,
    /// The camera that was opened last.
    opened: Option<Identity>,
    /// The node that is open.
    node: Option<String>,
}

impl Registry {
    /// A finder for each camera of the configuration, in its order. Looks at the machine once: each `auto` has a camera of
    /// its own from the start, in the order of the configuration, and leaves those that are named alone.
    pub fn selectors<'a>(&self, configs: impl IntoIterator<Item = &'a Config>) -> Vec<CameraSelector> {
        let configs: Vec<&Config> = configs.into_iter().collect();
        let first = {
            let mut pipelines = self.pipelines();
            let first = pipelines.len();
            pipelines.extend(configs.iter().map(|config| Pipeline {
                name: config.name.clone(),
                device: config.device.clone(),
                planned: None,
                opened: None,
                node: None,
            }));
            first
        };
        let mut selectors: Vec<CameraSelector> = configs
            .iter()
            .enumerate()
            .map(|(index, config)| CameraSelector {
                registry: self.clone(),
                index: first + index,
                config: (*config).clone(),
                missing: None,
                logged_mode: String::new(),
            })
            .collect();
        let (autos, named): (Vec<_>, Vec<_>) = selectors
            .iter_mut()
            .filter(|selector| is_v4l2(&selector.config.device))
            .partition(|selector| selector.config.device == Device::Auto);
        for selector in named.into_iter().chain(autos) {
            selector.missing = selector.resolve_at_start().err();
        }
        selectors
    }

    /// Something was plugged in: a test pattern that is shown for want of a camera looks for one.
    pub fn notify_hotplug(&self) {
        self.0.hotplug_generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The path of the node that a name means now, for who has no pipeline; others may be using it.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] and [`Error::Ambiguous`].
    pub fn locate(&self, device: &Device) -> Result<String, Error> {
        let found = if is_v4l2(device) { self.resolve(usize::MAX, device)? } else { None };
        let absent = || Error::Absent { device: device.to_string(), there: matching::describe_available(&[]) };
        found.map(|(node, _claim)| node.path).ok_or_else(absent)
    }

    /// The path of the node that the finder with this number has open.
    pub(super) fn open_node(&self, index: usize) -> Option<String> {
        self.pipelines().get(index).and_then(|pipeline| pipeline.node.clone())
    }

    fn generation(&self) -> u64 {
        self.0.hotplug_generation.load(Ordering::Acquire)
    }

    fn pipelines(&self) -> MutexGuard<'_, Vec<Pipeline>> {
        self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a pipeline.
    fn update(&self, index: usize, change: impl FnOnce(&mut Pipeline)) {
        if let Some(pipeline) = self.pipelines().get_mut(index) {
            change(pipeline);
        }
    }

    /// The camera that the pipeline shall use now, and the claim to its node; `None` where `auto` finds nothing and never
    /// did.
    fn resolve(&self, index: usize, device: &Device) -> Result<Option<(VideoNode, Claim)>, Error> {
        let (opened, planned) = self
            .pipelines()
            .get(index)
            .map(|pipeline| (pipeline.opened.clone(), pipeline.planned.clone()))
            .unwrap_or_default();
        // A name may mean another camera by now than at the start; `auto` shall take the one that is kept for it.
        let previous = opened.as_ref().or(planned.as_ref().filter(|_| *device == Device::Auto));
        let target = target(device);
        let path = target.as_ref().map(|target| target.path.as_str());
        // Mostly the camera is where it was, or sysfs knows which it is.
        let likely = |node: &VideoNode| match &opened {
            Some(opened) => node.identity.is_same(opened),
            // What sysfs calls a node is not always the card's name.
            None if matches!(device, Device::Card(_)) => false,
            None => matching::is_meant(device, target.as_ref(), node),
        };
        let nodes = self.0.sysfs.cameras(path, likely);
        if let Ok(Some(found)) = self.choose(index, device, previous, target.as_ref(), &nodes) {
            return Ok(Some(found));
        }
        let nodes = self.0.sysfs.cameras(path, |_| true);
        match (self.choose(index, device, previous, target.as_ref(), &nodes), opened) {
            (Ok(None) | Err(Error::Absent { .. }), Some(opened)) => {
                Err(away_error(device, &opened, target.as_ref(), &nodes))
            }
            (found, _) => found,
        }
    }

    /// Chooses among the cameras that are there, and claims the node; `None` where there is nothing to choose from.
    fn choose(
        &self,
        index: usize,
        device: &Device,
        previous: Option<&Identity>,
        target: Option<&Target>,
        nodes: &[VideoNode],
    ) -> Result<Option<(VideoNode, Claim)>, Error> {
        // The lock is held from the look at the others to the claim.
        let mut pipelines = self.pipelines();
        let mut taken_by = Vec::new();
        let known = previous.map(|previous| matching::by_identity(previous, nodes)).unwrap_or_default();
        let mut found = first_free(&pipelines, index, known, &mut taken_by);
        // The number of a node says nothing of the camera: it was the one that was there when it was opened first.
        let number = matches!(device, Device::Path(_)) && target.is_some_and(|target| !target.link);
        let opened = pipelines.get(index).is_some_and(|pipeline| pipeline.opened.is_some());
        if found.is_none() && !(number && opened) {
            found = first_free(&pipelines, index, matching::by_name(device, target, nodes)?, &mut taken_by);
        }
        let Some(CameraMatch { node, .. }) = found else {
            return match taken_by.into_iter().next() {
                Some(camera) if *device != Device::Auto => Err(Error::Taken { device: device.to_string(), camera }),
                _ => Ok(None),
            };
        };
        if let Some(pipeline) = pipelines.get_mut(index) {
            pipeline.node = Some(node.path.clone());
        }
        Ok(Some((node.clone(), Claim { registry: self.clone(), index })))
    }
}

/// The first camera that no other pipeline has; those that have the others are added to `taken_by`.
fn first_free<'a>(
    pipelines: &[Pipeline],
    index: usize,
    candidates: Vec<CameraMatch<'a>>,
    taken_by: &mut Vec<String>,
) -> Option<CameraMatch<'a>> {
    candidates.into_iter().find(|candidate| {
        let user = other_user(pipelines, index, candidate);
        taken_by.extend(user.map(ToOwned::to_owned));
        user.is_none()
    })
}

/// The other pipeline that a camera belongs to.
fn other_user<'a>(pipelines: &'a [Pipeline], index: usize, candidate: &CameraMatch<'_>) -> Option<&'a str> {
    let CameraMatch { node, exact } = candidate;
    // Who only asks where a camera is takes it from nobody.
    let auto = pipelines.get(index)?.device == Device::Auto;
    let keeps = |other: &Pipeline| match other.opened.as_ref().or(other.planned.as_ref()) {
        Some(identity) => identity.is_same(&node.identity) && identity.port == node.identity.port,
        // It waits for a camera of that name. Two that wait for the same name don't keep it from each other.
        None => auto && matching::is_meant(&other.device, target(&other.device).as_ref(), node),
    };
    let uses = |other: &Pipeline| other.node.as_ref() == Some(&node.path) || (!exact && keeps(other));
    let mut others = pipelines.iter().enumerate().filter(|(other, _)| *other != index);
    others.find(|(_, other)| uses(other)).map(|(_, other)| other.name.as_str())
}

/// Where the path of a name leads to.
fn target(device: &Device) -> Option<Target> {
    let Device::Path(path) = device else { return None };
    // What does not exist for the file system may for a preloaded driver.
    let real = fs::canonicalize(path).ok().and_then(|real| real.to_str().map(ToOwned::to_owned));
    let link = fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    Some(Target { path: real.unwrap_or_else(|| path.clone()), link })
}

/// Why a camera that was opened before cannot be opened now.
fn away_error(device: &Device, opened: &Identity, target: Option<&Target>, nodes: &[VideoNode]) -> Error {
    let other = target.and_then(|target| nodes.iter().find(|node| node.path == target.path && node.usable));
    let there = match other {
        Some(other) => format!("another camera is there now: {other}; restart porthole to take that one"),
        None => matching::describe_available(nodes),
    };
    Error::Away { device: device.to_string(), camera: opened.to_string(), there }
}

/// A node that no other pipeline may open; dropping it sets the node free.
#[derive(Debug)]
struct Claim {
    registry: Registry,
    index: usize,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry.update(self.index, |pipeline| pipeline.node = None);
    }
}

/// Opens the camera of one pipeline, again and again the same.
#[derive(Debug)]
pub struct CameraSelector {
    registry: Registry,
    index: usize,
    config: Config,
    /// Why the camera was not there at the start.
    missing: Option<Error>,
    /// What was last told of the choice. A camera that is opened again and again, because nobody watched for a while or
    /// because it fails, is told of once.
    logged_mode: String,
}

impl CameraSelector {
    /// Looks at what the name means at the start, without streaming.
    fn resolve_at_start(&self) -> Result<(), Error> {
        if let Some((node, _claim)) = self.registry.resolve(self.index, &self.config.device)? {
            self.registry.update(self.index, |pipeline| pipeline.planned = Some(node.identity));
        }
        match &self.config.device {
            Device::Path(path) if !Path::new(path).exists() => Err(Error::NotFound { device: path.clone() }),
            _ => Ok(()),
        }
    }

    /// Whether the device was there at the start.
    ///
    /// # Errors
    ///
    /// Why not; once.
    pub fn probe(&mut self) -> Result<(), Error> {
        self.missing.take().map_or(Ok(()), Err)
    }

    /// Whether the source would be the test pattern, as far as the last look at the machine tells.
    pub fn is_pattern(&self) -> bool {
        let pipelines = self.registry.pipelines();
        let pipeline = pipelines.get(self.index);
        match self.config.device {
            Device::Pattern => true,
            Device::Auto => pipeline.is_none_or(|pipeline| pipeline.opened.is_none() && pipeline.planned.is_none()),
            _ => false,
        }
    }

    /// The camera that was opened last, as a name that the configuration takes; `None` where it was no V4L2 camera.
    pub fn identity(&self) -> Option<String> {
        self.registry.pipelines().get(self.index)?.opened.as_ref().map(Identity::to_string)
    }

    /// What it shall be and give from the next opening on. Which camera it is stays.
    pub fn reconfigure(&mut self, config: &Config) {
        self.config = Config { device: self.config.device.clone(), ..config.clone() };
    }

    /// Opens the camera that the name means; after the first time, the same camera wherever it is. `auto` takes another
    /// where that one is away and, as long as there never was one, the test pattern.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; the next call may succeed, since devices come and go.
    pub fn open(&mut self) -> Result<Box<dyn VideoSource>, Error> {
        if !is_v4l2(&self.config.device) {
            return super::open(&self.config);
        }
        // Read before the look: what comes during it is a reason for another one.
        let generation = self.registry.generation();
        let Some((node, claim)) = self.registry.resolve(self.index, &self.config.device)? else {
            let watch = Watch::new(&self.registry, self.index, generation);
            return Ok(Box::new(OpenedSource::pattern(Box::new(Pattern::open(&self.config)), watch)));
        };
        let source = Capture::open(&self.config, &node.path)?;
        if self.logged_mode != source.mode_description() {
            source.mode_description().clone_into(&mut self.logged_mode);
            tracing::info!(camera = self.config.name, "{}", self.logged_mode);
        }
        let now = self.registry.0.sysfs.probe(&node.path).filter(|now| now.error.is_none());
        if now.is_some_and(|now| !now.identity.is_same(&node.identity)) {
            // Another camera took the node between the look and the opening.
            return Err(Error::Unplugged { device: node.path });
        }
        self.registry.update(self.index, |pipeline| pipeline.opened = Some(node.identity));
        Ok(Box::new(OpenedSource::camera(Box::new(source), claim)))
    }
}

/// Whether a camera is found among the V4L2 nodes.
const fn is_v4l2(device: &Device) -> bool {
    matches!(device, Device::Auto | Device::Path(_) | Device::Usb { .. } | Device::Card(_))
}

mod matching;
#[cfg(test)]
mod tests;
