//! Chooses the rendition that a session is sent, and which frames of it: the rendition that its viewer wants, or the one that
//! its network carries.
//!
//! How the latter is decided is in `rate::rendition`, frames are chosen in `layer_choice`; the switch itself is made in `switcher`.

use std::time::Instant;

use super::layer_choice::LayerChoice;
use super::media_sender::MediaSender;
use super::switcher::CameraSwitcher;
use crate::model::protocol::Quality;
use crate::model::status::Rendition;
use crate::server::rtc::rate::layers::LayerPolicy;
use crate::server::rtc::rate::rendition::{RenditionInput, RenditionPolicy, coarse_bitrate};
use crate::server::sessions::SessionGuard;

/// The choice for one viewer.
#[derive(Debug)]
pub struct RenditionChoice {
    quality: Quality,
    policy: RenditionPolicy,
    layers: LayerChoice,
    /// The camera that the policy knows.
    camera: Option<usize>,
    /// The share of the camera's own size that others of its frames need, as it was when that was sent.
    base_share: f64,
    /// How often the viewer had been skipped to a key frame when that was asked last.
    skips: u64,
    /// Whether the log has told why the viewer was moved.
    is_told: bool,
    /// What was published last.
    published: Rendition,
}

impl RenditionChoice {
    /// For a viewer who wants `quality`.
    pub fn new(quality: Quality) -> Self {
        let (policy, published) = (RenditionPolicy::default(), Rendition::default());
        let layers = LayerChoice::default();
        Self { quality, policy, layers, camera: None, base_share: 1.0, skips: 0, is_told: false, published }
    }

    /// The viewer wants something else.
    pub fn set_quality(&mut self, quality: Quality) {
        if std::mem::replace(&mut self.quality, quality) != quality {
            self.policy = RenditionPolicy::default();
        }
    }

    /// The bitrate in bit/s of what the viewer may be sent, as it is configured; `None` while paused. While its network
    /// decides, that is the camera's own size, so that the estimate finds out whether the network carries it.
    pub fn bitrate_limit(&self, switcher: &CameraSwitcher) -> Option<u32> {
        match self.quality {
            Quality::Low => switcher.bitrate_limit(),
            Quality::Auto | Quality::High => switcher.stream().map(|stream| stream.rate.limit()),
        }
    }

    /// Has the viewer sent what it wants, or what its network carries at `now`.
    pub fn follow(&mut self, switcher: &mut CameraSwitcher, sender: &mut MediaSender, now: Instant) {
        let skips = sender.skips();
        let has_skipped = std::mem::replace(&mut self.skips, skips) != skips;
        let wanted = match self.quality {
            Quality::Low => Rendition::Small,
            Quality::High => Rendition::Main,
            // As long as frames can be left out, that they come late is no reason for a smaller picture.
            Quality::Auto => self.by_network(switcher, sender, has_skipped && self.layers.is_exhausted(sender), now),
        };
        self.layers.follow(switcher, sender, has_skipped, now);
        switcher.set_rendition(wanted);
    }

    /// A key frame is about to be sent.
    pub fn begin_frames(&mut self, switcher: &CameraSwitcher, sender: &mut MediaSender) {
        self.layers.begin(switcher, sender);
    }

    fn by_network(
        &mut self,
        switcher: &CameraSwitcher,
        sender: &MediaSender,
        has_skipped: bool,
        now: Instant,
    ) -> Rendition {
        let Some((stream, main)) = switcher.stream().zip(switcher.main_bitrate()) else { return self.policy.current() };
        let Some((small, source)) = stream.small() else {
            self.policy = RenditionPolicy::default();
            return Rendition::Main;
        };
        if self.camera.replace(stream.index) != Some(stream.index) {
            self.policy.forget_attempts();
            self.base_share = 1.0;
        }
        let (sent, is_main) = (sender.video_bitrate(), switcher.rendition() == Some(Rendition::Main));
        if let Some(rates) = sender.layers().rates().filter(|_| is_main) {
            self.base_share = if LayerPolicy::is_worthwhile(rates.base_share) { rates.base_share } else { 1.0 };
        }
        let all = if is_main { main.min(sent) } else { main };
        let demand = switcher.demand();
        let input = RenditionInput {
            available: demand.available.filter(|_| demand.is_settled),
            main,
            least: (f64::from(all) * self.base_share) as u32,
            sent,
            coarse: coarse_bitrate((source.width, source.height), source.fps, small.rate.limit()),
            has_skipped,
        };
        if let Some(reason) = self.policy.update(&input, now) {
            let size = match self.policy.current() {
                Rendition::Main => "the camera's own size",
                Rendition::Small => "half of the camera's width and height",
            };
            // Once is enough for a viewer whose network comes and goes.
            if std::mem::replace(&mut self.is_told, true) {
                tracing::debug!("the viewer is sent {size} from now on: {reason}");
            } else {
                tracing::info!("the viewer is sent {size} from now on: {reason}");
            }
        }
        self.policy.current()
    }

    /// Publishes the rendition that is sent, and which frames of it.
    pub fn publish(&mut self, switcher: &CameraSwitcher, sender: &mut MediaSender, entry: &SessionGuard) {
        self.layers.publish(sender, entry);
        let Some(rendition) = switcher.rendition() else { return };
        if std::mem::replace(&mut self.published, rendition) != rendition {
            entry.set_rendition(rendition);
        }
    }
}
