//! Who is being played: a viewer who talks, or an announcement.

use std::sync::Weak;

use super::announcement::{Announcement, AnnouncementPlayer, AnnouncementState};
use super::input::TalkId;
use crate::capture::audio::speaker::SinkRequest;
use crate::media::playout::{Playout, PlayoutCounts, TalkPacket};

/// One talk that is being played.
pub(super) struct Talker {
    pub(super) id: TalkId,
    source: TalkSource,
    /// What was counted of it.
    counted: PlayoutCounts,
}

enum TalkSource {
    Viewer(Box<Playout>),
    Announcement(AnnouncementPlayer),
}

impl Talker {
    /// A viewer.
    ///
    /// # Errors
    ///
    /// If libopus has no memory.
    pub(super) fn viewer(id: TalkId) -> anyhow::Result<Self> {
        let source = TalkSource::Viewer(Box::new(Playout::new()?));
        Ok(Self { id, source, counted: PlayoutCounts::default() })
    }

    /// An announcement.
    pub(super) fn announcement(id: TalkId, announcement: Weak<Announcement>) -> Self {
        let source = TalkSource::Announcement(AnnouncementPlayer::new(announcement));
        Self { id, source, counted: PlayoutCounts::default() }
    }

    /// Adds a packet of a viewer.
    pub(super) fn insert(&mut self, packet: TalkPacket) {
        if let TalkSource::Viewer(playout) = &mut self.source {
            playout.insert(packet);
        }
    }

    /// Appends what is asked for, and returns the factor near 1 by which it has to be stretched.
    pub(super) fn fill(&mut self, samples: &mut Vec<f32>, request: SinkRequest) -> f64 {
        match &mut self.source {
            TalkSource::Viewer(playout) => {
                let stretch = playout.stretch(request.due);
                playout.fill(samples, request.samples, request.due);
                stretch
            }
            TalkSource::Announcement(player) => {
                player.fill(samples, request.samples);
                1.0
            }
        }
    }

    /// Notes that the speaker has taken what was filled in.
    pub(super) fn note_played(&self) {
        if let TalkSource::Announcement(player) = &self.source {
            player.note_played();
        }
    }

    /// Whether everything was played.
    pub(super) fn is_empty(&self) -> bool {
        match &self.source {
            TalkSource::Viewer(playout) => playout.is_empty(),
            TalkSource::Announcement(player) => player.is_over(),
        }
    }

    /// Notes that no more of it is played: a viewer may talk on, but an announcement that was not heard to its end is over.
    pub(super) fn fail(&self, state: AnnouncementState) {
        if let TalkSource::Announcement(player) = &self.source {
            player.fail(state);
        }
    }

    /// What has become of a viewer's packets: now, and when it was asked last.
    pub(super) fn counts(&mut self) -> (PlayoutCounts, PlayoutCounts) {
        let counts = match &self.source {
            TalkSource::Viewer(playout) => playout.counts(),
            TalkSource::Announcement(_) => PlayoutCounts::default(),
        };
        (counts, std::mem::replace(&mut self.counted, counts))
    }
}
