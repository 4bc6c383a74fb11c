//! What goes into the speaker's pipeline: the packets of one talk after the other, in a queue with a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::media::playout::TalkPacket;
use crate::model::metrics::{Metrics, TalkDrop};
use crate::util::broadcast::{Demand, DemandGuard};

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

/// Begins talks; a cheap handle.
#[derive(Debug, Clone)]
pub struct SpeakerInput {
    packets: SyncSender<TalkInput>,
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

/// The input of a pipeline, and its other end.
pub(super) fn new(demand: Demand, metrics: Metrics) -> (SpeakerInput, Receiver<TalkInput>) {
    let (packets, received) = sync_channel(QUEUE);
    (SpeakerInput { packets, demand, metrics, talks: Arc::default() }, received)
}

impl SpeakerInput {
    /// Begins a talk.
    pub fn begin(&self) -> Talk {
        let id = self.talks.fetch_add(1, Ordering::Relaxed) + 1;
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
