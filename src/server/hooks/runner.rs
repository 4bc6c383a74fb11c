//! The task of one hook: takes its events one after another, and has them told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::config::{Config, HookAction};
use super::event::{HookEvent, HookPhase};
use super::failure::HookFailure;
use super::{post, program};
use crate::model::metrics::{HookLabels, HookResult, Metrics};
use crate::pipeline::recorder::Library;
use crate::server::client::HttpClient;

/// The task's state.
pub struct HookRunner {
    /// The index of its section in the configuration.
    pub index: usize,
    pub config: Config,
    pub events: mpsc::Receiver<HookEvent>,
    /// Whether events were left out since the queue was empty.
    pub is_full: Arc<AtomicBool>,
    pub library: Library,
    pub client: Arc<HttpClient>,
    pub metrics: Metrics,
    pub stop: CancellationToken,
    /// Whether it failed the last time.
    pub is_failing: bool,
}

impl HookRunner {
    /// Tells events until it is stopped.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        while let Some(Some(event)) = stop.run_until_cancelled(self.events.recv()).await {
            if self.events.is_empty() {
                self.is_full.store(false, Ordering::Relaxed);
            }
            // A program is ended by its own thread.
            let told = match &self.config.action {
                HookAction::Run(_) => Some(self.tell(event).await),
                HookAction::Post(_) => stop.run_until_cancelled(self.tell(event)).await,
            };
            if let Some(told) = told {
                self.note(told);
            }
        }
    }

    async fn tell(&self, event: HookEvent) -> Result<(), HookFailure> {
        let limit = Duration::from_secs(self.config.timeout.into());
        let event = self.with_file(event, limit).await;
        match &self.config.action {
            HookAction::Run(program) => {
                let (program, stop) = (program.clone(), self.stop.clone());
                let ran = spawn_blocking(move || program::run(&program, &event, limit, &stop)).await;
                ran.unwrap_or_else(|stopped| Err(HookFailure::Failed(stopped.to_string())))
            }
            HookAction::Post(target) => post::post(&self.client, target, event.json(), limit).await,
        }
    }

    /// The event with what is known of its file once that has ended, if the card tells that within `limit`.
    async fn with_file(&self, mut event: HookEvent, limit: Duration) -> HookEvent {
        let (Some(number), HookPhase::Ended) = (event.recording, event.phase) else { return event };
        let library = self.library.clone();
        let located = timeout(limit, spawn_blocking(move || library.locate(number))).await;
        if let Ok(Ok(Ok((path, name)))) = located {
            event.details.push(("path", json!(path.to_string_lossy())));
            event.details.push(("start", json!(name.start)));
            event.details.push(("length", json!(name.length.map(|length| length.as_secs_f64()))));
        }
        event
    }

    fn note(&mut self, told: Result<(), HookFailure>) {
        let result = match &told {
            Ok(()) => HookResult::Ok,
            Err(HookFailure::Failed(_)) => HookResult::Failed,
            Err(HookFailure::TimedOut(_)) => HookResult::TimedOut,
            Err(HookFailure::Stopped) => return,
        };
        count(&self.metrics, self.index, result);
        let was_failing = std::mem::replace(&mut self.is_failing, told.is_err());
        let (hook, what) = (self.index, self.what());
        match told {
            Ok(()) if was_failing => tracing::info!("hook[{hook}], {what}, works again"),
            Ok(()) => tracing::debug!("hook[{hook}], {what}, was told"),
            Err(failure) if was_failing => tracing::debug!("hook[{hook}], {what}: {failure}"),
            Err(failure) => tracing::warn!("hook[{hook}], {what}: {failure}"),
        }
    }

    /// What it does, without secrets.
    fn what(&self) -> String {
        match &self.config.action {
            HookAction::Run(program) => format!("which runs {}", program.path.display()),
            HookAction::Post(target) => format!("which posts to {}", target.url.server()),
        }
    }
}

/// Counts what became of an event.
pub fn count(metrics: &Metrics, index: usize, result: HookResult) {
    metrics.hook_runs.get_or_create(&HookLabels { section: index as u64, result }).inc();
}
