//! What goes into the speaker's pipeline: the packets of one talk after the other, in a queue with a bound, and the newest
//! announcement.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};

use super::announcement::Announcement;
use crate::media::playout::TalkPacket;
use crate::model::metrics::{Metrics, TalkDrop};
use crate::util::broadcast::{Demand, DemandGuard};
use crate::util::lock::Mutex;

/// Packets that may wait for the thread: more than a second, the time in which a slow device opens. The jitter buffer has no
/// room for more.
const QUEUE: usize = 64;

/// Tells talks apart; later ones are higher.
pub(super) type TalkId = u64;

/// A packet of a talk.
pub(super) struct TalkInput {
    pub(super) id: TalkId,
    pub(super) packet: TalkPacket,
}

/// An announcement, and which talk it is.
type AnnouncedTalk = (TalkId, Weak<Announcement>);

/// The newest announcement that the thread has not taken yet. One that came before it is heard no more, so there is room for
/// one; and it lives only as long as whoever announces it keeps it.
#[derive(Debug, Clone, Default)]
pub(super) struct AnnouncementSlot(Arc<Mutex<Option<AnnouncedTalk>>>);

impl AnnouncementSlot {
    pub(super) fn take(&self) -> Option<AnnouncedTalk> {
        self.0.lock().take()
    }
}

/// Begins talks; a cheap handle.
#[derive(Debug, Clone)]
pub struct SpeakerInput {
    packets: SyncSender<TalkInput>,
    announced: AnnouncementSlot,
    demand: Demand,
    metrics: Metrics,
    talks: Arc<AtomicU64>,
}

/// A talk: while it lives the speaker is open. When another one has begun, its packets are not played any more.
#[derive(Debug)]
pub struct Talk {
    id: TalkId,
    packets: SyncSender<TalkInput>,
    metrics: Metrics,
    _demand: DemandGuard,
}

/// The input of a pipeline, and its other ends.
pub(super) fn new(demand: Demand, metrics: Metrics) -> (SpeakerInput, Receiver<TalkInput>, AnnouncementSlot) {
    let (packets, received) = sync_channel(QUEUE);
    let announced = AnnouncementSlot::default();
    (
        SpeakerInput { packets, announced: announced.clone(), demand, metrics, talks: Arc::default() },
        received,
        announced,
    )
}

impl SpeakerInput {
    /// Begins a talk.
    pub fn begin(&self) -> Talk {
        self.begin_with(self.next_id())
    }

    /// Begins a talk that plays an announcement, for as long as the caller keeps both.
    pub fn announce(&self, announcement: &Arc<Announcement>) -> Talk {
        let id = self.next_id();
        *self.announced.0.lock() = Some((id, Arc::downgrade(announcement)));
        // Afterwards, since it wakes the thread.
        self.begin_with(id)
    }

    fn next_id(&self) -> TalkId {
        self.talks.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn begin_with(&self, id: TalkId) -> Talk {
        let (packets, metrics) = (self.packets.clone(), self.metrics.clone());
        Talk { id, packets, metrics, _demand: self.demand.register() }
    }

    /// How much the speaker is in demand, and whether it may play.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }
}

impl Talk {
    /// Plays a packet when it is its time. When the thread is too far behind it is dropped and counted.
    pub fn push(&self, packet: TalkPacket) {
        if self.packets.try_send(TalkInput { id: self.id, packet }).is_err() {
            self.metrics.count_talk_drop(TalkDrop::Full, 1);
        }
    }
}
