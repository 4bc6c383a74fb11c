//! Puts the packets of a talker's picture in order: those that come out of turn are held until the missing ones have come, which
//! are asked for once, or are given up. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::media::Timestamp;

/// A packet whose number is further off than this belongs to another stream (RFC 3550 appendix A.1).
const MAX_JUMP: i64 = 3_000;

/// Packets that are held at most: a third of a megabyte, and more than come while one is waited for.
const MAX_HELD: usize = 256;

/// How long a missing packet is waited for: it can be sent again on a path with this round trip time.
const WAIT: Duration = Duration::from_millis(200);

/// The most packets that are asked for at once. Where more are missing, a key frame is what helps.
const MAX_REQUESTED: i64 = 64;

/// A packet of a talker's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PicturePacket {
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Whether it is the last one of its frame.
    pub marker: bool,
    /// Its payload; empty if it only keeps a path open or fills it.
    pub payload: Bytes,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum WindowItem {
    /// The next packet.
    Packet(PicturePacket),
    /// Some packets are missing.
    Gap,
}

/// The packets of one stream.
#[derive(Debug, Default)]
pub struct PacketWindow {
    /// The number, without wraps, of the packet that comes next; `None` before the first.
    next: Option<i64>,
    /// The highest number.
    highest: i64,
    /// Packets with the times of their arrival.
    held: BTreeMap<i64, (Timestamp, PicturePacket)>,
    /// Whether the numbers have jumped.
    is_torn: bool,
}

impl PacketWindow {
    /// Adds a packet. Returns the numbers of those that are missing since the one before it.
    pub fn insert(&mut self, number: u16, arrived: Timestamp, packet: PicturePacket) -> Vec<u16> {
        let ahead = i64::from(number.wrapping_sub(self.highest as u16) as i16);
        let Some(next) = self.next.filter(|_| ahead.abs() <= MAX_JUMP) else {
            self.is_torn = self.next.is_some();
            let number = i64::from(number);
            (self.next, self.highest) = (Some(number), number);
            self.held.clear();
            self.held.insert(number, (arrived, packet));
            return Vec::new();
        };
        let number = self.highest + ahead;
        if number < next || self.held.len() >= MAX_HELD {
            return Vec::new();
        }
        let missing = self.highest + 1..number;
        self.highest = self.highest.max(number);
        self.held.entry(number).or_insert((arrived, packet));
        if missing.end - missing.start > MAX_REQUESTED {
            return Vec::new();
        }
        missing.map(|number| number as u16).collect()
    }

    /// What comes next at `now`, if it is known.
    pub fn pop(&mut self, now: Timestamp) -> Option<WindowItem> {
        if std::mem::take(&mut self.is_torn) {
            return Some(WindowItem::Gap);
        }
        let next = self.next?;
        let (first, (arrived, _)) = self.held.first_key_value()?;
        if *first != next {
            let is_given_up = self.held.len() >= MAX_HELD || now.saturating_since(*arrived) >= WAIT;
            self.next = is_given_up.then_some(*first).or(self.next);
            return is_given_up.then_some(WindowItem::Gap);
        }
        self.next = Some(next + 1);
        self.held.pop_first().map(|(_, (_, packet))| WindowItem::Packet(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(10_000 + millis))
    }

    /// A packet that is known by its timestamp.
    fn packet(name: u32) -> PicturePacket {
        PicturePacket { timestamp: name, marker: false, payload: Bytes::new() }
    }

    /// The names of what comes out; `None` for a gap.
    fn out(window: &mut PacketWindow, now: Timestamp) -> Vec<Option<u32>> {
        let name = |item| match item {
            WindowItem::Packet(packet) => Some(packet.timestamp),
            WindowItem::Gap => None,
        };
        std::iter::from_fn(|| window.pop(now)).map(name).collect()
    }

    #[test]
    fn packets_come_out_in_order_across_the_wrap() {
        let mut window = PacketWindow::default();
        let mut come = |number: u16, name| (window.insert(number, at(0), packet(name)), out(&mut window, at(0)));
        assert_eq!(come(65_534, 0), (vec![], vec![Some(0)]));
        assert_eq!(come(1, 3), (vec![65_535, 0], vec![]));
        assert_eq!(come(0, 2), (vec![], vec![]));
        assert_eq!(come(0, 2), (vec![], vec![]), "a copy");
        assert_eq!(come(65_535, 1), (vec![], vec![Some(1), Some(2), Some(3)]));
        assert_eq!(come(65_535, 1), (vec![], vec![]), "late");
    }

    #[test]
    fn what_does_not_come_in_time_is_given_up() {
        let mut window = PacketWindow::default();
        window.insert(7, at(0), packet(7));
        assert_eq!(window.insert(9, at(10), packet(9)), [8]);
        assert_eq!(out(&mut window, at(10 + 199)), [Some(7)]);
        assert_eq!(window.insert(11, at(150), packet(11)), [10]);
        assert_eq!(out(&mut window, at(10 + 200)), [None, Some(9)]);
        assert!(window.insert(8, at(211), packet(8)).is_empty());
        assert_eq!(out(&mut window, at(350)), [None, Some(11)], "too late");
    }

    #[test]
    fn what_is_held_and_asked_for_is_bounded() {
        let mut window = PacketWindow::default();
        window.insert(0, at(0), packet(0));
        assert_eq!(out(&mut window, at(0)), [Some(0)]);
        assert!(window.insert(100, at(0), packet(100)).is_empty(), "more are missing than are asked for");
        for number in 101..3_000 {
            assert!(window.insert(number, at(0), packet(number.into())).is_empty());
        }
        assert_eq!(window.held.len(), MAX_HELD);
        let taken = out(&mut window, at(0));
        assert_eq!((taken.len(), taken[0], taken[1]), (MAX_HELD + 1, None, Some(100)));
    }

    #[test]
    fn another_stream_begins_anew() {
        let mut window = PacketWindow::default();
        window.insert(0, at(0), packet(0));
        window.insert(2, at(0), packet(2));
        assert!(window.insert(40_000, at(0), packet(3)).is_empty());
        assert_eq!(out(&mut window, at(0)), [None, Some(3)]);
        assert_eq!(window.insert(40_002, at(0), packet(5)), [40_001]);
    }
}
