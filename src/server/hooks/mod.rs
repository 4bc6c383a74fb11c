//! Hooks: programs that are run and servers that are told when something begins or ends, such as motion or a recording.
//!
//! ```text
//! Status (watch) -> changes \
//! Broadcast<MotionEvent> ----> one bounded queue a hook -> runner (task) -> program | post
//! ```
//!
//! Nothing waits for a hook: what its queue does not take is left out and counted. Each is told one event after another, so
//! that there is one program of each at most.

mod changes;
mod config;
mod event;
mod failure;
mod post;
mod program;
mod runner;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{Config, HookAction, HookHeader, HookProgram, HookTarget};
pub use event::{HookKind, HookTrigger};
pub use post::read_headers;

use event::HookEvent;
use runner::HookRunner;

use crate::model::metrics::{HookResult, Metrics};
use crate::model::protocol::MotionEvent;
use crate::model::status::{Status, StatusPublisher};
use crate::pipeline::recorder::Library;
use crate::server::client::HttpClient;
use crate::util::broadcast::{Broadcast, RecvError, Subscriber};

/// Events that wait for a hook: what happens while a slow one is at work, and not what happens all day. When it is full, newer
/// ones are left out.
const MAX_EVENTS: usize = 32;

/// How long hooks may take to end: a program gets 300 ms after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What hooks work with; cheap handles.
#[derive(Clone)]
pub struct HookDeps {
    /// What they are told of.
    pub status: StatusPublisher,
    /// The motion in the pictures of cameras in which it is looked for.
    pub motions: Vec<Broadcast<MotionEvent>>,
    /// Where recordings are.
    pub library: Library,
    /// Counters.
    pub metrics: Metrics,
}

/// The running hooks; they end when it is dropped.
pub struct Guard {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Guard {
    /// Ends the hooks, and the programs that they run, within 2 s.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("hooks did not end within {STOP_TIMEOUT:?}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts the hooks of the configuration. They are told what changes from the status `before` on.
pub fn start(configs: &[Config], deps: &HookDeps, before: Status) -> Guard {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    if configs.is_empty() {
        return Guard { tasks, stop };
    }
    let client = Arc::new(HttpClient::default());
    let mut queues = Vec::new();
    for (index, config) in configs.iter().cloned().enumerate() {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let is_full = Arc::new(AtomicBool::new(false));
        let metrics = deps.metrics.clone();
        let (on, camera) = (config.on.clone(), config.camera.clone());
        queues.push(HookQueue { index, on, camera, sender, is_full: is_full.clone(), metrics });
        let runner = HookRunner {
            index,
            config,
            events,
            is_full,
            library: deps.library.clone(),
            client: client.clone(),
            metrics: deps.metrics.clone(),
            stop: stop.clone(),
            is_failing: false,
        };
        tasks.spawn(runner.run());
    }
    let queues: Arc<[HookQueue]> = queues.into();
    let follow = follow_status(deps.status.watch(), before, queues.clone());
    tasks.spawn(stop.clone().run_until_cancelled_owned(follow));
    for motion in &deps.motions {
        let follow = follow_motion(motion.subscribe(), queues.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(follow));
    }
    Guard { tasks, stop }
}

/// What waits for one hook.
struct HookQueue {
    /// The index of its section in the configuration.
    index: usize,
    on: Vec<HookTrigger>,
    camera: Option<String>,
    sender: mpsc::Sender<HookEvent>,
    /// Whether events were left out since it was empty.
    is_full: Arc<AtomicBool>,
    metrics: Metrics,
}

impl HookQueue {
    /// Adds an event, if the hook waits for it; never blocks.
    fn offer(&self, event: &HookEvent) {
        // An event that concerns no single camera is told whichever camera is meant.
        let is_meant = self.camera.is_none() || event.camera.is_none() || self.camera == event.camera;
        if !is_meant || !self.on.iter().any(|trigger| trigger.meets(event)) {
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(event.clone()) {
            runner::count(&self.metrics, self.index, HookResult::Dropped);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "hook[{}] is too slow: {MAX_EVENTS} events wait for it, and more are left out",
                    self.index
                );
            }
        }
    }
}

/// Tells what changes in the status. Ends with the program.
async fn follow_status(mut status: watch::Receiver<Status>, mut before: Status, queues: Arc<[HookQueue]>) {
    loop {
        let now = status.borrow_and_update().clone();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        for event in changes::changes(&before, &now, time) {
            queues.iter().for_each(|queue| queue.offer(&event));
        }
        before = now;
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the motion in a camera's picture. Ends with the camera.
async fn follow_motion(mut motion: Subscriber<MotionEvent>, queues: Arc<[HookQueue]>) {
    loop {
        match motion.recv().await {
            Ok(event) => {
                let event = changes::motion(&event);
                queues.iter().for_each(|queue| queue.offer(&event));
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::event::HookPhase;
    use super::*;

    fn event(kind: HookKind, camera: Option<&str>) -> HookEvent {
        let (phase, camera) = (HookPhase::Begun, camera.map(str::to_owned));
        HookEvent { kind, phase, camera, time: 0, details: Vec::new(), recording: None }
    }

    fn queue(on: &str, camera: Option<&str>, metrics: &Metrics) -> (HookQueue, mpsc::Receiver<HookEvent>) {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let on = vec![HookTrigger::parse(on).expect(on)];
        let (camera, is_full, metrics) = (camera.map(str::to_owned), Arc::default(), metrics.clone());
        (HookQueue { index: 0, on, camera, sender, is_full, metrics }, events)
    }

    #[test]
    fn a_hook_is_told_what_it_waits_for() {
        let metrics = Metrics::new();
        let taken = |on: &str, camera: Option<&str>, event: HookEvent| {
            let (queue, mut events) = queue(on, camera, &metrics);
            queue.offer(&event);
            events.try_recv().is_ok()
        };
        let (motion, privacy) = (|camera| event(HookKind::Motion, Some(camera)), event(HookKind::Privacy, None));
        assert!(taken("motion", None, motion("a")) && taken("motion.begun", Some("a"), motion("a")));
        assert!(!taken("motion", Some("b"), motion("a")) && !taken("motion.ended", None, motion("a")));
        assert!(!taken("motion", None, privacy.clone()) && taken("privacy", Some("a"), privacy));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let metrics = Metrics::new();
        let (queue, mut events) = queue("privacy", None, &metrics);
        for _ in 0..MAX_EVENTS + 3 {
            queue.offer(&event(HookKind::Privacy, None));
        }
        let counted = "porthole_hook_runs_total{section=\"0\",result=\"Dropped\"} 3";
        assert!(metrics.text().lines().any(|line| line == counted), "{}", metrics.text());
        assert!(queue.is_full.load(Ordering::Relaxed));
        assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).count(), MAX_EVENTS);
        // The hook has ended.
        drop(events);
        queue.offer(&event(HookKind::Privacy, None));
    }
}
