//! The receiving side: feedback, NACKs and key frame requests as Chromium sends them, and what is displayed when.

use std::collections::{BTreeMap, BTreeSet};

use porthole::server::rtc::rate::feedback::{PacketArrival, PacketStatus};

/// Chromium's feedback interval, about.
const FEEDBACK: f64 = 0.062;

/// How often packets are looked after that are still missing; new gaps are reported at once.
const NACK: f64 = 0.02;

/// A packet is requested again after this time: Chromium as a mere receiver learns no round trip time, and takes this one.
const NACK_AGAIN: f64 = 0.1;

/// A packet that is missing for this long is given up.
const GIVE_UP: f64 = 1.0;

/// Without a decodable frame for this long, a key frame is requested, and again after the same time.
const KEY_REQUEST: f64 = 0.3;

/// A packet on the wire.
#[derive(Debug, Clone, Copy)]
pub struct WirePacket {
    pub transport: u16,
    pub bytes: usize,
    pub content: Content,
}

#[derive(Debug, Clone, Copy)]
pub enum Content {
    Audio,
    Padding,
    Video(VideoPacket),
}

#[derive(Debug, Clone, Copy)]
pub struct VideoPacket {
    /// The RTP sequence number, unwrapped.
    pub number: u64,
    pub frame: u64,
    /// The frame that it is predicted from.
    pub previous: u64,
    /// Whether no frame is predicted from it.
    pub disposable: bool,
    pub key: bool,
    pub first: bool,
    /// The packets of the frame.
    pub count: usize,
    pub captured: f64,
}

/// What the viewer sends back.
#[derive(Debug, Clone)]
pub enum Report {
    Feedback(Vec<PacketStatus>),
    Nack(Vec<u64>),
    Pli,
}

#[derive(Debug, Clone, Copy)]
pub struct Displayed {
    pub at: f64,
    pub captured: f64,
}

#[derive(Debug)]
struct Partial {
    numbers: BTreeSet<u64>,
    packet: VideoPacket,
}

#[derive(Debug)]
pub struct Viewer {
    arrivals: BTreeMap<u64, f64>,
    /// The next transport-wide number to report, unwrapped, and the highest that arrived.
    next_reported: u64,
    highest: Option<u64>,
    next_feedback: f64,
    next_nack: f64,
    expected: Option<u64>,
    /// Missing packets: since when, and when they were last requested.
    missing: BTreeMap<u64, (f64, f64)>,
    frames: BTreeMap<u64, Partial>,
    decoded: Option<u64>,
    /// The last decoded frame that others are predicted from.
    reference: Option<u64>,
    last_decoded: f64,
    last_pli: f64,
    pub displayed: Vec<Displayed>,
    pub received: Vec<(f64, usize)>,
}

impl Viewer {
    pub fn new() -> Self {
        Self {
            arrivals: BTreeMap::new(),
            next_reported: 0,
            highest: None,
            next_feedback: 0.0,
            next_nack: 0.0,
            expected: None,
            missing: BTreeMap::new(),
            frames: BTreeMap::new(),
            decoded: None,
            reference: None,
            last_decoded: 0.0,
            last_pli: 0.0,
            displayed: Vec::new(),
            received: Vec::new(),
        }
    }

    pub fn receive(&mut self, packet: WirePacket, at: f64) {
        self.received.push((at, packet.bytes));
        let near = self.highest.unwrap_or(0);
        let ahead = i64::from(packet.transport.wrapping_sub(near as u16) as i16);
        let number = near.saturating_add_signed(ahead);
        self.highest = Some(near.max(number));
        if number >= self.next_reported {
            self.arrivals.insert(number, at);
        }
        if let Content::Video(video) = packet.content {
            self.receive_video(video, at);
        }
    }

    fn receive_video(&mut self, packet: VideoPacket, at: f64) {
        self.missing.remove(&packet.number);
        let expected = *self.expected.get_or_insert(packet.number);
        for number in expected..packet.number {
            self.missing.insert(number, (at, f64::NEG_INFINITY));
        }
        self.expected = Some(expected.max(packet.number + 1));
        if self.decoded.is_some_and(|decoded| packet.frame <= decoded) {
            return;
        }
        let partial = self.frames.entry(packet.frame).or_insert(Partial { numbers: BTreeSet::new(), packet });
        partial.numbers.insert(packet.number);
        self.decode(at);
    }

    fn decode(&mut self, at: f64) {
        loop {
            let next = self.frames.iter().find(|(_, partial)| {
                let complete = partial.numbers.len() == partial.packet.count;
                complete && (partial.packet.key || self.reference == Some(partial.packet.previous))
            });
            let Some((frame, partial)) = next.map(|(frame, partial)| (*frame, partial.packet)) else { return };
            self.displayed.push(Displayed { at, captured: partial.captured });
            self.decoded = Some(frame);
            if !partial.disposable {
                self.reference = Some(frame);
            }
            self.last_decoded = at;
            self.frames = self.frames.split_off(&(frame + 1));
            if partial.key {
                self.missing.retain(|number, _| *number > partial.number);
            }
        }
    }

    /// What it sends at `now`.
    pub fn reports(&mut self, now: f64) -> Vec<Report> {
        let mut reports = Vec::new();
        if now >= self.next_feedback && !self.arrivals.is_empty() {
            self.next_feedback = now + FEEDBACK;
            reports.push(Report::Feedback(self.feedback()));
        }
        let fresh = self.missing.iter_mut().filter(|(_, (_, asked))| *asked == f64::NEG_INFINITY);
        let fresh: Vec<u64> = fresh.map(|(number, (_, asked))| (*asked = now, *number).1).collect();
        if !fresh.is_empty() {
            reports.push(Report::Nack(fresh));
        }
        if now >= self.next_nack {
            self.next_nack = now + NACK;
            let before = self.missing.len();
            self.missing.retain(|_, (since, _)| now - *since < GIVE_UP);
            let gave_up = self.missing.len() < before;
            let due = self.missing.iter_mut().filter(|(_, (_, asked))| now - *asked >= NACK_AGAIN);
            let numbers: Vec<u64> = due.map(|(number, (_, asked))| (*asked = now, *number).1).collect();
            if !numbers.is_empty() {
                reports.push(Report::Nack(numbers));
            }
            let waits = !self.frames.is_empty() && now - self.last_decoded > KEY_REQUEST;
            if (gave_up || waits) && now - self.last_pli > KEY_REQUEST {
                self.last_pli = now;
                reports.push(Report::Pli);
            }
        }
        reports
    }

    fn feedback(&mut self) -> Vec<PacketStatus> {
        let last = self.highest.unwrap_or(0);
        let statuses = (self.next_reported..=last).map(|number| {
            let arrival = self
                .arrivals
                .get(&number)
                .map_or(PacketArrival::Lost, |at| PacketArrival::At((at * 4_000.0).round() as i64 * 250));
            PacketStatus { number: number as u16, arrival }
        });
        let statuses = statuses.collect();
        self.next_reported = last + 1;
        self.arrivals.clear();
        statuses
    }
}
