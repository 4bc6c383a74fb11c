//! The screen's pipeline: one thread runs the configured program while a talker is shown, and writes their picture to it as it was
//! received. While nobody is shown it sleeps, and no program runs.
//!
//! The counterpart of the speaker's in `speaker`. Who is shown is decided in `server::floor`; nothing waits for the thread or the
//! program.

mod config;
mod input;
mod program;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::media::ScreenFrame;
use crate::model::metrics::{Metrics, ScreenDrop};
use crate::model::status::{PipelineState, StatusPublisher};
use crate::util::broadcast::{Demand, Linger, Wake};
use crate::util::thread::MediaThread;

pub use config::Config;
use input::{QueuedFrame, ScreenOutput, ShowId};
pub use input::{ScreenInput, Showing};
use program::ScreenProgram;

/// The longest wait before the thread checks whether something has changed. It is also the longest time that a picture is passed
/// on after the privacy switch was turned on.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a program may take to show the rest and to end when the talker has ended: a player closes its window, and one that
/// writes a file finishes it.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Stops the thread when dropped.
#[derive(Debug)]
pub struct Guard {
    demand: Demand,
    _thread: MediaThread,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.demand.stop();
    }
}

/// Starts the pipeline of a program, if one is configured.
///
/// # Errors
///
/// When the thread cannot be created.
pub fn start(
    config: &Config,
    metrics: &Metrics,
    publisher: &StatusPublisher,
) -> anyhow::Result<Option<(ScreenInput, Guard)>> {
    let Some(line) = config.exec.clone() else { return Ok(None) };
    let demand = Demand::default();
    demand.set_blocked(publisher.snapshot().privacy);
    let (input, output) = input::new(demand.clone(), metrics.clone());
    let pipeline = Pipeline {
        line,
        output,
        demand: demand.clone(),
        metrics: metrics.clone(),
        publisher: publisher.clone(),
        finished: 0,
    };
    let thread = MediaThread::spawn("screen".into(), move || pipeline.run())?;
    Ok(Some((input, Guard { demand, _thread: thread })))
}

struct Pipeline {
    /// The command line.
    line: String,
    output: ScreenOutput,
    demand: Demand,
    metrics: Metrics,
    publisher: StatusPublisher,
    /// The last talker who is shown no more.
    finished: ShowId,
}

/// A talker's program.
struct Shown {
    id: ShowId,
    /// `None` if it could not be started, or has exited: it is not started again for the same talk.
    program: Option<ScreenProgram>,
}

impl Pipeline {
    fn run(mut self) {
        loop {
            match self.demand.wait_or_wake() {
                Wake::Demand => {}
                Wake::Device => continue,
                Wake::Stopped => return,
            }
            if self.demand.blocked_since().is_some() {
                self.demand.wait_while_blocked(None);
                self.drop_waiting();
                continue;
            }
            self.show();
        }
    }

    /// Shows one talker after the other until nobody is shown, or nobody shall be. A program that is dropped is terminated.
    fn show(&mut self) {
        let mut shown: Option<Shown> = None;
        let mut linger = Linger::new(&self.demand, END_TIMEOUT, Instant::now());
        while !linger.is_over(Instant::now()) {
            if self.write(&mut shown) {
                continue;
            }
            // Looked at before the queue: nothing of them comes afterwards.
            let is_over = self.demand.guards() == 0;
            match self.output.next(POLL_INTERVAL) {
                Some(queued) => self.take(&mut shown, queued),
                None if is_over && self.end(&mut shown) => break,
                None => {}
            }
        }
        if self.demand.blocked_since().is_some() {
            self.drop_waiting();
        }
        self.note_end(shown);
    }

    /// Writes to the program, and notices its end; whether a part of a frame is left.
    fn write(&self, shown: &mut Option<Shown>) -> bool {
        let Some(program) = shown.as_mut().and_then(|shown| shown.program.as_mut()) else { return false };
        let wait = if program.is_ready() { Duration::ZERO } else { POLL_INTERVAL };
        program.write(wait);
        let is_writing = !program.is_ready();
        !self.has_exited(shown, Duration::ZERO) && is_writing
    }

    /// Whether there is no program, or it has exited. Waits for that, for `wait` at most.
    fn has_exited(&self, shown: &mut Option<Shown>, wait: Duration) -> bool {
        let Some(slot) = shown.as_mut().map(|shown| &mut shown.program) else { return true };
        if let Some(program) = slot.take_if(|program| program.has_exited(wait)) {
            self.note_exit(program);
        }
        slot.is_none()
    }

    /// Begins to write a frame, to a program of its talker.
    fn take(&self, shown: &mut Option<Shown>, QueuedFrame { id, frame }: QueuedFrame) {
        // A moment ago the privacy switch may have been off.
        let newest = shown.as_ref().map_or(self.finished + 1, |shown| shown.id);
        if id < newest || self.demand.blocked_since().is_some() {
            return self.metrics.count_screen_drop(ScreenDrop::Ended, 1);
        }
        if shown.as_ref().is_none_or(|shown| shown.id < id) {
            // That of the talker before, who is shown no more.
            drop(shown.take());
            *shown = Some(Shown { id, program: self.start(&frame) });
        }
        match shown.as_mut().and_then(|shown| shown.program.as_mut()).filter(|program| !program.is_closed()) {
            Some(program) => {
                program.begin(&frame);
                self.metrics.screen_frames.inc();
            }
            None => self.metrics.count_screen_drop(ScreenDrop::Ended, 1),
        }
    }

    fn start(&self, frame: &ScreenFrame) -> Option<ScreenProgram> {
        match ScreenProgram::start(&self.line, frame.codec) {
            Ok(program) => {
                tracing::info!("screen: a talker is shown ({})", frame.codec.name());
                self.publisher.screen(PipelineState::Live, None);
                Some(program)
            }
            Err(error) => {
                self.note_failure(format!("/bin/sh cannot be started: {error}"));
                None
            }
        }
    }

    /// Tells the program that the talker has ended; whether it has ended, too.
    fn end(&self, shown: &mut Option<Shown>) -> bool {
        if let Some(program) = shown.as_mut().and_then(|shown| shown.program.as_mut()) {
            program.close();
        }
        self.has_exited(shown, POLL_INTERVAL)
    }

    /// Nobody is shown any more: what is left of the program is terminated.
    fn note_end(&mut self, shown: Option<Shown>) {
        let Some(Shown { id, program }) = shown else { return };
        self.finished = id;
        if program.is_none() {
            return;
        }
        drop(program);
        tracing::debug!("screen: nobody is shown any more");
        self.publisher.screen(PipelineState::Idle, None);
    }

    /// The program has exited by itself.
    fn note_exit(&self, program: ScreenProgram) {
        let (is_success, how) = program.exit();
        if is_success {
            tracing::info!("screen: {how}");
            self.publisher.screen(PipelineState::Idle, None);
        } else {
            self.note_failure(how);
        }
    }

    fn note_failure(&self, why: String) {
        tracing::warn!("screen: {why}; check exec in [screen]");
        self.publisher.screen(PipelineState::Fault, Some(why));
    }

    fn drop_waiting(&self) {
        self.metrics.count_screen_drop(ScreenDrop::Ended, self.output.clear());
    }
}
