//! The reading end: a reader takes the newest frame whenever it is ready for one.

use tokio::sync::watch;

use super::{MAX_VARIANTS, MjpegFrame, MjpegOutput, MjpegVariant, Pace, ReaderState, TooManyVariants};
use crate::media::{EncodedFrame, Timestamp};
use crate::model::metrics::{CameraLabel, DropPoint, GaugeGuard, Metrics};
use crate::util::broadcast::{Broadcast, DemandGuard};

/// The camera that frames come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its frames, if it encodes itself, and the demand that keeps it open.
    pub frames: Broadcast<EncodedFrame>,
    pub metrics: Metrics,
    pub label: CameraLabel,
}

/// Reads a camera's frames as JPEGs; the camera is open for as long as it lives.
#[derive(Debug)]
pub struct MjpegReader {
    output: MjpegOutput,
    number: u64,
    variant: MjpegVariant,
    latest: watch::Receiver<Option<MjpegFrame>>,
    source: Source,
    /// The number of the last frame that was taken; before the first, of the last one that was offered.
    last: u64,
    started: bool,
    _demand: DemandGuard,
    _counted: GaugeGuard,
}

impl MjpegOutput {
    /// Reads frames of a variant from now on, `fps` a second at most.
    ///
    /// # Errors
    ///
    /// When too many other variants are being read.
    pub(in crate::pipeline) fn read(
        &self,
        source: &Source,
        variant: MjpegVariant,
        fps: Option<f64>,
    ) -> Result<MjpegReader, TooManyVariants> {
        let mut state = self.lock();
        if state.outputs.len() >= MAX_VARIANTS && !state.outputs.contains_key(&variant) {
            let known: Vec<String> = state.outputs.keys().map(MjpegVariant::to_string).collect();
            return Err(TooManyVariants(known.join("; ")));
        }
        let latest = state.outputs.entry(variant).or_default().subscribe();
        state.arrivals += 1;
        let (number, last) = (state.arrivals, state.offered);
        state.readers.insert(number, ReaderState { variant, pace: Pace::new(fps), ready: false });
        if state.closed {
            // The receiver ends with its sender.
            state.outputs.clear();
        }
        drop(state);
        Ok(MjpegReader {
            output: self.clone(),
            number,
            variant,
            latest,
            source: source.clone(),
            last,
            started: false,
            // Outside the lock, because it wakes the capture thread.
            _demand: source.frames.demand().register(),
            _counted: GaugeGuard::new(&source.metrics.mjpeg_readers),
        })
    }
}

impl MjpegReader {
    /// Waits for the next frame; `None` when the program stops. A reader that is late gets the newest one.
    pub async fn next(&mut self) -> Option<MjpegFrame> {
        self.set_ready();
        loop {
            let latest = self.latest.borrow_and_update().clone();
            if let Some(frame) = latest.filter(|frame| self.may_take(frame))
                && let Some(limited) = self.take(Timestamp::now())
            {
                let missed = frame.number - self.last - 1;
                if std::mem::replace(&mut self.started, true) && !limited {
                    self.source.metrics.count_drop(DropPoint::Mjpeg, missed);
                }
                self.last = frame.number;
                self.source.metrics.mjpeg_sent.get_or_create(&self.source.label).inc();
                return Some(frame);
            }
            self.latest.changed().await.ok()?;
        }
    }

    /// Whether it is a new frame, and not one of the camera from before the privacy switch was turned on.
    fn may_take(&self, frame: &MjpegFrame) -> bool {
        frame.number > self.last && (frame.placeholder || self.source.frames.demand().blocked_since().is_none())
    }

    fn set_ready(&self) {
        if let Some(reader) = self.output.lock().readers.get_mut(&self.number) {
            reader.ready = true;
        }
    }

    /// Takes a frame if one is due; returns whether the reader leaves out others on purpose.
    fn take(&self, now: Timestamp) -> Option<bool> {
        let mut state = self.output.lock();
        let reader = state.readers.get_mut(&self.number).filter(|reader| reader.pace.is_due(now))?;
        reader.pace.taken(now);
        reader.ready = false;
        Some(reader.pace.is_limited())
    }
}

impl Drop for MjpegReader {
    fn drop(&mut self) {
        let mut state = self.output.lock();
        state.readers.remove(&self.number);
        let mut unused = None;
        if state.readers.values().all(|reader| reader.variant != self.variant) {
            unused = state.outputs.remove(&self.variant);
        }
        let mut replaced = None;
        if state.readers.is_empty() {
            replaced = state.job.replace(super::Job::Idle);
        }
        drop(state);
        self.output.0.changed.notify_one();
        // A frame gives its buffer back, and a sender may be the last one: both outside the lock.
        drop((unused, replaced));
    }
}

impl std::fmt::Display for MjpegVariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.width, self.quality) {
            (None, None) => f.write_str("neither width nor quality"),
            (Some(width), None) => write!(f, "width={width}"),
            (None, Some(quality)) => write!(f, "quality={quality}"),
            (Some(width), Some(quality)) => write!(f, "width={width}&quality={quality}"),
        }
    }
}
