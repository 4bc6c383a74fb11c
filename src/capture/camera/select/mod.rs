//! Which camera each pipeline uses. At the first opening it is found by its configured name; from then on it is
//! followed by its identity across ports and node numbers. No two pipelines use the same camera.
//!
//! How cameras are told apart is in `v4l2::identity`, what a name means in `matching`. Retries belong to the pipelines.

mod source;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pattern::TestPattern;
use super::v4l2::V4l2Capture;
use super::v4l2::identity::{Identity, V4l2Sysfs, VideoNode};
use super::{Config, DeviceSelector, Error, VideoSource};
use crate::util::lock::{Mutex, MutexGuard};

use matching::{CameraMatch, Target};
use source::{OpenedSource, Watch};

/// The cameras of the host, shared by the pipelines; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sysfs: V4l2Sysfs,
    /// Counts hot-plug events.
    hotplug_generation: AtomicU64,
    /// Indexed by the selector's number.
    pipelines: Mutex<Vec<Pipeline>>,
}

/// What is known about a pipeline's camera.
#[derive(Debug)]
struct Pipeline {
    name: String,
    device: DeviceSelector,
    /// The camera that the name referred to at the start; others leave it alone.
    planned: Option<Identity>,
    /// The camera that was opened last.
    opened: Option<Identity>,
    /// The open node.
    node: Option<String>,
}

impl Registry {
    /// A selector for each configured camera, in order. Scans the host once: each `auto` gets a camera of its own from
    /// the start, in the order of the configuration, and leaves named cameras alone.
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
            .partition(|selector| selector.config.device == DeviceSelector::Auto);
        for selector in named.into_iter().chain(autos) {
            selector.missing = selector.resolve_at_start().err();
        }
        selectors
    }

    /// Records a hot-plug event: a test pattern that stands in for a camera scans for one.
    pub fn notify_hotplug(&self) {
        self.0.hotplug_generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The path of the node that a name refers to now, for callers without a pipeline; others may be using it.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] and [`Error::Ambiguous`].
    pub fn locate(&self, device: &DeviceSelector) -> Result<String, Error> {
        let found = if is_v4l2(device) { self.resolve(usize::MAX, device)? } else { None };
        let absent = || Error::Absent { device: device.to_string(), available: matching::describe_available(&[]) };
        found.map(|(node, _claim)| node.path).ok_or_else(absent)
    }

    /// The path of the node that the selector with this number has open.
    pub(super) fn open_node(&self, index: usize) -> Option<String> {
        self.pipelines().get(index).and_then(|pipeline| pipeline.node.clone())
    }

    fn generation(&self) -> u64 {
        self.0.hotplug_generation.load(Ordering::Acquire)
    }

    fn pipelines(&self) -> MutexGuard<'_, Vec<Pipeline>> {
        self.0.pipelines.lock()
    }

    /// Updates a pipeline's record.
    fn update(&self, index: usize, change: impl FnOnce(&mut Pipeline)) {
        if let Some(pipeline) = self.pipelines().get_mut(index) {
            change(pipeline);
        }
    }

    /// The camera that the pipeline should use now, and the claim to its node; `None` if `auto` finds none and never
    /// did.
    fn resolve(&self, index: usize, device: &DeviceSelector) -> Result<Option<(VideoNode, Claim)>, Error> {
        let (opened, planned) = self
            .pipelines()
            .get(index)
            .map(|pipeline| (pipeline.opened.clone(), pipeline.planned.clone()))
            .unwrap_or_default();
        // A name may refer to a different camera than at the start; `auto` keeps the one that was reserved for it.
        let previous = opened.as_ref().or(planned.as_ref().filter(|_| *device == DeviceSelector::Auto));
        let target = target(device);
        let path = target.as_ref().map(|target| target.path.as_str());
        // Usually the camera is where it was, or sysfs identifies it.
        let likely = |node: &VideoNode| match &opened {
            Some(opened) => node.identity.is_same(opened),
            // The name in sysfs is not always the card's name.
            None if matches!(device, DeviceSelector::Card(_)) => false,
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

    /// Chooses among the available cameras and claims the node; `None` if there is no choice.
    fn choose(
        &self,
        index: usize,
        device: &DeviceSelector,
        previous: Option<&Identity>,
        target: Option<&Target>,
        nodes: &[VideoNode],
    ) -> Result<Option<(VideoNode, Claim)>, Error> {
        // The lock is held from the check of the others to the claim.
        let mut pipelines = self.pipelines();
        let mut taken_by = Vec::new();
        let known = previous.map(|previous| matching::by_identity(previous, nodes)).unwrap_or_default();
        let mut found = first_free(&pipelines, index, known, &mut taken_by);
        // A node number does not identify a camera: it stands for the one that had it at the first opening.
        let number = matches!(device, DeviceSelector::Path(_)) && target.is_some_and(|target| !target.link);
        let opened = pipelines.get(index).is_some_and(|pipeline| pipeline.opened.is_some());
        if found.is_none() && !(number && opened) {
            found = first_free(&pipelines, index, matching::by_name(device, target, nodes)?, &mut taken_by);
        }
        let Some(CameraMatch { node, .. }) = found else {
            return match taken_by.into_iter().next() {
                Some(camera) if *device != DeviceSelector::Auto => {
                    Err(Error::Taken { device: device.to_string(), camera })
                }
                _ => Ok(None),
            };
        };
        if let Some(pipeline) = pipelines.get_mut(index) {
            pipeline.node = Some(node.path.clone());
        }
        Ok(Some((node.clone(), Claim { registry: self.clone(), index })))
    }
}

/// The first camera that no other pipeline uses; the users of the skipped ones are added to `taken_by`.
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

/// The other pipeline that uses a camera.
fn other_user<'a>(pipelines: &'a [Pipeline], index: usize, candidate: &CameraMatch<'_>) -> Option<&'a str> {
    let CameraMatch { node, exact } = candidate;
    // A caller that only locates a camera takes it from nobody.
    let auto = pipelines.get(index)?.device == DeviceSelector::Auto;
    let keeps = |other: &Pipeline| match other.opened.as_ref().or(other.planned.as_ref()) {
        Some(identity) => identity.is_same(&node.identity) && identity.port == node.identity.port,
        // It waits for a camera of that name. Two that wait for the same name do not block each other.
        None => auto && matching::is_meant(&other.device, target(&other.device).as_ref(), node),
    };
    let uses = |other: &Pipeline| other.node.as_ref() == Some(&node.path) || (!exact && keeps(other));
    let mut others = pipelines.iter().enumerate().filter(|(other, _)| *other != index);
    others.find(|(_, other)| uses(other)).map(|(_, other)| other.name.as_str())
}

/// The target of a path.
fn target(device: &DeviceSelector) -> Option<Target> {
    let DeviceSelector::Path(path) = device else { return None };
    // A path that does not exist in the file system may exist for a preloaded driver.
    let real = fs::canonicalize(path).ok().and_then(|real| real.to_str().map(ToOwned::to_owned));
    let link = fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    Some(Target { path: real.unwrap_or_else(|| path.clone()), link })
}

/// The error for a camera that was open before and cannot be opened now.
fn away_error(device: &DeviceSelector, opened: &Identity, target: Option<&Target>, nodes: &[VideoNode]) -> Error {
    let other = target.and_then(|target| nodes.iter().find(|node| node.path == target.path && node.usable));
    let available = match other {
        Some(other) => format!("another camera is there now: {other}; restart porthole to take that one"),
        None => matching::describe_available(nodes),
    };
    Error::Away { device: device.to_string(), camera: opened.to_string(), available }
}

/// Reserves a node; dropping it releases the node.
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

/// Opens the camera of one pipeline, the same one every time.
#[derive(Debug)]
pub struct CameraSelector {
    registry: Registry,
    index: usize,
    config: Config,
    /// Why the camera was missing at the start.
    missing: Option<Error>,
    /// The mode that was logged last. A camera that is reopened again and again, because nobody was watching for a
    /// while or because it fails, is logged once.
    logged_mode: String,
}

impl CameraSelector {
    /// Resolves the name at the start, without streaming.
    fn resolve_at_start(&self) -> Result<(), Error> {
        if let Some((node, _claim)) = self.registry.resolve(self.index, &self.config.device)? {
            self.registry.update(self.index, |pipeline| pipeline.planned = Some(node.identity));
        }
        match &self.config.device {
            DeviceSelector::Path(path) if !Path::new(path).exists() => Err(Error::NotFound { device: path.clone() }),
            _ => Ok(()),
        }
    }

    /// Why the device was missing at the start; returned once.
    pub fn take_missing(&mut self) -> Option<Error> {
        self.missing.take()
    }

    /// Whether the source would be the test pattern, as far as known from the last scan.
    pub fn is_pattern(&self) -> bool {
        let pipelines = self.registry.pipelines();
        let pipeline = pipelines.get(self.index);
        match self.config.device {
            DeviceSelector::Pattern => true,
            DeviceSelector::Auto => {
                pipeline.is_none_or(|pipeline| pipeline.opened.is_none() && pipeline.planned.is_none())
            }
            _ => false,
        }
    }

    /// The camera that was opened last, as a name for the configuration; `None` if it was not a V4L2 camera.
    pub fn identity(&self) -> Option<String> {
        self.registry.pipelines().get(self.index)?.opened.as_ref().map(Identity::to_string)
    }

    /// Opens the camera that the name refers to, with the settings of `config`; after the first time, the same camera
    /// wherever it is, whatever the device in `config`. `auto` takes another one if that one is disconnected and, as
    /// long as there never was one, the test pattern.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the next call may succeed, since devices come and go.
    pub fn open(&mut self, config: &Config) -> Result<Box<dyn VideoSource>, Error> {
        self.config = Config { device: self.config.device.clone(), ..config.clone() };
        if !is_v4l2(&self.config.device) {
            return super::open(&self.config);
        }
        // Read before resolving: an event during that is a reason to resolve again.
        let generation = self.registry.generation();
        let Some((node, claim)) = self.registry.resolve(self.index, &self.config.device)? else {
            let watch = Watch::new(&self.registry, self.index, generation);
            return Ok(Box::new(OpenedSource::pattern(Box::new(TestPattern::open(&self.config)), watch)));
        };
        let source = V4l2Capture::open(&self.config, &node.path)?;
        if self.logged_mode != source.mode_description() {
            source.mode_description().clone_into(&mut self.logged_mode);
            tracing::info!(camera = self.config.name, "{}", self.logged_mode);
        }
        let now = self.registry.0.sysfs.probe(&node.path).filter(|now| now.error.is_none());
        if now.is_some_and(|now| !now.identity.is_same(&node.identity)) {
            // Another camera took over the node between resolving and opening.
            return Err(Error::Unplugged { device: node.path });
        }
        self.registry.update(self.index, |pipeline| pipeline.opened = Some(node.identity));
        Ok(Box::new(OpenedSource::camera(Box::new(source), claim)))
    }
}

/// Whether a name refers to a V4L2 node.
const fn is_v4l2(device: &DeviceSelector) -> bool {
    matches!(
        device,
        DeviceSelector::Auto | DeviceSelector::Path(_) | DeviceSelector::Usb { .. } | DeviceSelector::Card(_)
    )
}

mod matching;
#[cfg(test)]
mod tests;
