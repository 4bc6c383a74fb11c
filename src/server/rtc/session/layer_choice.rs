//! Chooses which frames a session is sent: all of the stream, or its base layer, as the viewer's network carries them.
//!
//! How that is decided is in `rate::layers`; frames are left out in `layer_filter`.

use std::time::Instant;

use super::layer_filter::LayerRates;
use super::media_sender::MediaSender;
use super::switcher::CameraSwitcher;
use crate::model::status::{Layers, Rendition};
use crate::server::rtc::rate::layers::{LayerInput, LayerPolicy};
use crate::server::sessions::SessionGuard;

/// The choice for one viewer.
#[derive(Debug, Default)]
pub struct LayerChoice {
    policy: LayerPolicy,
    /// The camera and the rendition that the policy knows.
    stream: Option<(usize, Rendition)>,
    /// Whether the log has told why frames are left out.
    is_told: bool,
    /// What was published last.
    published: Layers,
}

impl LayerChoice {
    /// Whether no more can be left out of the stream: its base layer is sent, or there is none to speak of.
    pub fn is_exhausted(&self, sender: &MediaSender) -> bool {
        let has_layers = |rates: LayerRates| LayerPolicy::is_worthwhile(rates.base_share);
        self.policy.current() == Layers::Base || sender.layers().rates().is_some_and(|rates| !has_layers(rates))
    }

    /// A key frame is about to be sent, which may be the first one of another stream.
    pub fn begin(&mut self, switcher: &CameraSwitcher, sender: &mut MediaSender) {
        let shown = switcher.stream().map(|stream| stream.index).zip(switcher.rendition());
        if shown.is_none() || self.stream == shown {
            return;
        }
        self.stream = shown;
        sender.layers_mut().begin_stream();
        let demand = switcher.demand();
        // Of a camera that encodes itself nothing is known yet.
        self.policy.begin(demand.available.filter(|_| demand.is_settled), switcher.target_bitrate().unwrap_or(0));
        sender.layers_mut().set(self.policy.current());
    }

    /// Has the viewer sent what its network carries at `now`; `has_skipped` is whether frames were dropped for it since the last
    /// time.
    pub fn follow(&mut self, switcher: &CameraSwitcher, sender: &mut MediaSender, has_skipped: bool, now: Instant) {
        let Some(rates) = sender.layers().rates().filter(|_| switcher.stream().is_some()) else { return };
        let demand = switcher.demand();
        let input = LayerInput {
            available: demand.available.filter(|_| demand.is_settled),
            all: switcher.target_bitrate().map_or(rates.all, |target| target.min(rates.all)),
            base_share: rates.base_share,
            has_skipped,
        };
        if let Some(reason) = self.policy.update(&input, now) {
            let frames = match self.policy.current() {
                Layers::All => "all frames",
                Layers::Base => "fewer frames",
            };
            // Once is enough for a viewer whose network comes and goes.
            if std::mem::replace(&mut self.is_told, true) {
                tracing::debug!("the viewer is sent {frames} from now on: {reason}");
            } else {
                tracing::info!("the viewer is sent {frames} from now on: {reason}");
            }
        }
        sender.layers_mut().set(self.policy.current());
    }

    /// Publishes which frames are sent, and counts those that are not.
    pub fn publish(&mut self, sender: &mut MediaSender, entry: &SessionGuard) {
        let layers = self.policy.current();
        if std::mem::replace(&mut self.published, layers) != layers {
            entry.set_layers(layers);
        }
        entry.count_left_out(sender.layers_mut().take_left_out());
    }
}
