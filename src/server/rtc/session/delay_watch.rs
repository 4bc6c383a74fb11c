//! Skips a viewer to the live edge when its page shows frames later than its network explains.
//!
//! When that is, is decided in `rate::live_edge`; what waits for a slow network is skipped in `rate::pacer`.

use std::time::{Duration, Instant};

use super::media_sender::MediaSender;
use crate::model::metrics::SkipCause;
use crate::server::rtc::rate::live_edge::LiveEdge;
use crate::server::sessions::{PlayoutDelay, SessionGuard};

/// The watch over one viewer's delay.
#[derive(Debug, Default)]
pub struct DelayWatch {
    edge: LiveEdge,
    /// The camera, and what the browser is told to buffer, that the reports are for.
    known: Option<(usize, PlayoutDelay)>,
    /// The skips of the queue that were counted.
    skips: u64,
}

impl DelayWatch {
    /// Reads what the page has reported, and counts the skips. `camera` is sent with `playout`.
    pub fn follow(
        &mut self,
        entry: &SessionGuard,
        sender: &mut MediaSender,
        (camera, playout): (usize, PlayoutDelay),
        now: Instant,
    ) {
        let skips = sender.skips();
        entry.count_skips(SkipCause::Queue, skips - std::mem::replace(&mut self.skips, skips));
        if self.known.replace((camera, playout)) != Some((camera, playout)) {
            self.edge.forget();
        }
        match entry.take_delay_report() {
            None => {}
            Some(None) => self.edge.forget(),
            Some(Some(delay)) => {
                let rtt = sender.network(now).rtt.unwrap_or_default();
                let margin = Duration::from_millis(playout.max_ms.saturating_sub(playout.min_ms).into());
                if self.edge.on_report(delay, rtt, margin, now) {
                    tracing::debug!(
                        "the page shows frames {} ms late with a round trip of {} ms; skipping to the live edge",
                        delay.as_millis(),
                        rtt.as_millis()
                    );
                    sender.skip_to_live_edge();
                    entry.count_skips(SkipCause::Delay, 1);
                }
            }
        }
    }
}
