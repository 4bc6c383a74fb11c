//! What was sent to one viewer and is not yet known to have arrived: a bounded ring, by the transport-wide number.
//!
//! It joins feedback with the times of sending; what the delays mean is decided in `estimator`.

use std::time::{Duration, Instant};

use super::feedback::{PacketArrival, PacketStatus};

/// The packets remembered: two seconds of 10 Mbit/s. A power of two, so that the numbers' wrap falls on the ring's.
const CAPACITY: usize = 2_048;

/// A packet without feedback for this long no longer counts as in flight: the feedback was lost, or the packet is. Longer
/// than the queue of any path on which a live picture is of use.
const MAX_IN_FLIGHT: Duration = Duration::from_secs(2);

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// Audio.
    Audio,
    /// A new packet of the video.
    Video,
    /// A packet of the video that is sent again.
    Repair,
    /// Nothing: it fills a probe.
    Padding,
}

/// A packet on its way to the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentPacket {
    /// When it was sent.
    pub sent: Instant,
    /// Its size in bytes, as the estimate counts it.
    pub bytes: usize,
    /// What it carries.
    pub kind: PacketKind,
    /// The probe that it is part of.
    pub probe: Option<u32>,
}

/// A packet that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckedPacket {
    /// What was sent.
    pub packet: SentPacket,
    /// When it arrived, in microseconds on the viewer's clock.
    pub arrival: i64,
}

/// What became of a packet that was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairFate {
    /// The RTP sequence number of the packet that it repeats.
    pub number: u16,
    /// Whether it arrived.
    pub arrived: bool,
}

/// What one feedback has told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FeedbackResult {
    /// The packets that arrived and were not known to, in the order of sending.
    pub acked: Vec<AckedPacket>,
    /// The packets that are now taken for lost.
    pub lost: usize,
    /// Packets among `acked` that were taken for lost before: they were overtaken.
    pub recovered: usize,
    /// Those of both that were sent again.
    pub repairs: Vec<RepairFate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    /// Out of the count of what is in flight, but not reported.
    Expired,
    Lost,
    Acked,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    number: u16,
    packet: SentPacket,
    /// The RTP sequence number of the packet that it repeats.
    repeats: Option<u16>,
    state: State,
}

/// The packets sent to one viewer.
#[derive(Debug)]
pub struct SentHistory {
    ring: Vec<Option<Entry>>,
    next: u16,
    /// The oldest number that may be in flight.
    oldest: u16,
    in_flight: usize,
}

impl Default for SentHistory {
    fn default() -> Self {
        Self::new()
    }
}

impl SentHistory {
    /// An empty history.
    pub fn new() -> Self {
        Self { ring: vec![None; CAPACITY], next: 0, oldest: 0, in_flight: 0 }
    }

    /// Notes a packet; returns its transport-wide number.
    pub fn note_sent(&mut self, packet: SentPacket) -> u16 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let entry = Entry { number, packet, repeats: None, state: State::InFlight };
        if let Some(old) = self.ring[slot(number)].replace(entry) {
            self.forget(&old);
        }
        self.in_flight += packet.bytes;
        self.expire(packet.sent);
        number
    }

    /// Notes that the newest packet repeats the one with the RTP sequence number `original`.
    pub fn note_repeats(&mut self, original: u16) {
        let newest = self.next.wrapping_sub(1);
        if let Some(entry) = self.ring[slot(newest)].as_mut().filter(|entry| entry.number == newest) {
            entry.repeats = Some(original);
        }
    }

    /// The number of the next packet.
    pub fn next_number(&self) -> u16 {
        self.next
    }

    /// Corrects the time at which the packets from the number `first` on were sent: writing them may have taken longer than
    /// expected, which would look like a queue of the path.
    pub fn set_sent(&mut self, first: u16, at: Instant) {
        let count = self.next.wrapping_sub(first).min(CAPACITY as u16);
        for number in (0..count).map(|offset| self.next.wrapping_sub(count).wrapping_add(offset)) {
            if let Some(entry) = self.ring[slot(number)].as_mut().filter(|entry| entry.number == number) {
                entry.packet.sent = at;
            }
        }
    }

    /// Bytes sent and neither arrived nor lost, as far as is known at `now`.
    pub fn in_flight(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.in_flight
    }

    /// Joins a feedback with what was sent. Packets that are not in the history or were reported before are skipped.
    pub fn on_feedback(&mut self, statuses: &[PacketStatus]) -> FeedbackResult {
        let mut result = FeedbackResult::default();
        for status in statuses {
            let number = status.number;
            let entry = self.ring[slot(number)].as_mut().filter(|entry| entry.number == number);
            let Some(entry) = entry else { continue };
            let before = entry.state;
            let now = if status.arrival == PacketArrival::Lost { State::Lost } else { State::Acked };
            if before == State::Acked || before == now {
                continue;
            }
            entry.state = now;
            let packet = entry.packet;
            if before == State::InFlight {
                self.in_flight -= packet.bytes;
            }
            match status.arrival {
                PacketArrival::Lost => result.lost += 1,
                PacketArrival::At(arrival) => result.acked.push(AckedPacket { packet, arrival }),
            }
            result.recovered += usize::from(before == State::Lost);
            result.repairs.extend(entry.repeats.map(|number| RepairFate { number, arrived: now == State::Acked }));
        }
        result
    }

    /// Takes a packet that leaves the ring out of the counts.
    fn forget(&mut self, entry: &Entry) {
        if entry.state == State::InFlight {
            self.in_flight -= entry.packet.bytes;
        }
    }

    /// Stops counting what has been in flight for too long.
    fn expire(&mut self, now: Instant) {
        if usize::from(self.next.wrapping_sub(self.oldest)) > CAPACITY {
            self.oldest = self.next.wrapping_sub(CAPACITY as u16);
        }
        while self.oldest != self.next {
            if let Some(entry) = &mut self.ring[slot(self.oldest)]
                && entry.state == State::InFlight
            {
                if now.saturating_duration_since(entry.packet.sent) < MAX_IN_FLIGHT {
                    return;
                }
                entry.state = State::Expired;
                self.in_flight -= entry.packet.bytes;
            }
            self.oldest = self.oldest.wrapping_add(1);
        }
    }
}

fn slot(number: u16) -> usize {
    usize::from(number) % CAPACITY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(sent: Instant) -> SentPacket {
        SentPacket { sent, bytes: 1_000, kind: PacketKind::Video, probe: None }
    }

    fn status(number: u16, arrival: PacketArrival) -> PacketStatus {
        PacketStatus { number, arrival }
    }

    #[test]
    fn a_packet_counts_once_and_may_turn_out_to_be_late() {
        let mut history = SentHistory::new();
        let start = Instant::now();
        for number in 0..3 {
            assert_eq!(history.note_sent(packet(start)), number);
        }
        let statuses =
            [status(0, PacketArrival::At(5)), status(1, PacketArrival::Lost), status(9, PacketArrival::At(6))];
        let result = history.on_feedback(&statuses);
        assert_eq!((result.acked.len(), result.lost, history.in_flight(start)), (1, 1, 1_000));
        assert_eq!(history.on_feedback(&statuses), FeedbackResult::default(), "the same again");
        let late = history.on_feedback(&[status(1, PacketArrival::At(7))]);
        assert_eq!((late.acked.len(), late.lost, late.recovered), (1, 0, 1));
        assert_eq!(history.in_flight(start), 1_000);
    }

    #[test]
    fn what_becomes_of_repairs_is_told() {
        let mut history = SentHistory::new();
        let start = Instant::now();
        for original in [None, Some(7), Some(8)] {
            history.note_sent(packet(start));
            original.iter().for_each(|original| history.note_repeats(*original));
        }
        let statuses =
            [status(0, PacketArrival::Lost), status(1, PacketArrival::Lost), status(2, PacketArrival::At(5))];
        let fate = |number, arrived| RepairFate { number, arrived };
        assert_eq!(history.on_feedback(&statuses).repairs, [fate(7, false), fate(8, true)]);
    }

    #[test]
    fn the_time_of_sending_is_that_of_the_system_call() {
        let mut history = SentHistory::new();
        let start = Instant::now();
        history.note_sent(packet(start));
        let first = history.next_number();
        history.note_sent(packet(start));
        history.note_sent(packet(start));
        let late = start + Duration::from_millis(80);
        history.set_sent(first, late);
        let acked = history.on_feedback(&[0, 1, 2].map(|number| status(number, PacketArrival::At(5)))).acked;
        assert_eq!(acked.iter().map(|acked| acked.packet.sent).collect::<Vec<_>>(), [start, late, late]);
    }

    #[test]
    fn what_is_never_reported_does_not_stay_in_flight() {
        let mut history = SentHistory::new();
        let start = Instant::now();
        history.note_sent(packet(start));
        history.note_sent(packet(start + Duration::from_secs(1)));
        assert_eq!(history.in_flight(start + MAX_IN_FLIGHT), 1_000);
        let result = history.on_feedback(&[status(0, PacketArrival::At(5))]);
        assert_eq!((result.acked.len(), history.in_flight(start)), (1, 1_000), "late feedback still counts");
    }

    proptest! {
        #[test]
        fn it_stays_bounded_and_never_counts_below_nothing(
            reports in proptest::collection::vec((any::<u16>(), any::<bool>()), 0..300),
        ) {
            let mut history = SentHistory::new();
            let start = Instant::now();
            for (number, lost) in reports {
                for _ in 0..40 {
                    history.note_sent(packet(start));
                }
                let arrival = if lost { PacketArrival::Lost } else { PacketArrival::At(1) };
                history.on_feedback(&[status(number % 12_000, arrival)]);
                prop_assert!(history.in_flight(start) <= CAPACITY * 1_000);
            }
        }
    }
}
