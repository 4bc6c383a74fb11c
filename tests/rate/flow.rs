//! One viewer's sender: a synthetic encoder, and the program's estimator, pacer, history and repair, wired as a session
//! wires them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use porthole::server::rtc::rate::estimator::{Estimator, EstimatorConfig};
use porthole::server::rtc::rate::history::{PacketKind, SentHistory, SentPacket};
use porthole::server::rtc::rate::layers::{LayerInput, LayerPolicy, Layers};
use porthole::server::rtc::rate::pacer::{FrameKind, PacedPacket, SendPacer};
use porthole::server::rtc::rate::repair::{MAX_COPIES, RepairBudget, RepairVerdict};

use crate::random::Random;
use crate::viewer::{Content, Report, VideoPacket, WirePacket};

/// The most that a packet carries, and its headers, in bytes.
const PAYLOAD: f64 = 1_150.0;
const HEADERS: usize = 60;

const FPS: f64 = 30.0;
const AUDIO_INTERVAL: f64 = 0.02;
const AUDIO_BYTES: usize = 80 + HEADERS;

/// A key frame is this much larger than the others, like openh264's under the program's rate control.
const KEY_SIZE: f64 = 2.7;

/// What of the estimate is not for video frames: audio, headers, and what frames vary.
const AUDIO_RATE: f64 = 60_000.0;
const MEDIA_SHARE: f64 = 0.9;

/// From this share of the most that an estimate may be packets are not paced.
const ENOUGH: f64 = 0.9;

/// The lowest rate of the encoder.
pub const MIN_BITRATE: f64 = 80_000.0;

/// A path carries a stream if it has this share of its bitrate for it.
const COVERED: f64 = 0.8;

/// When a viewer is moved to the smaller rendition, in seconds: its network has been measured by then.
const SMALL_FROM: f64 = 5.0;

/// The share of a layered stream that its base layer has.
const BASE_SHARE: f64 = 0.6;

/// How often layers are chosen, in seconds, and from when on: the network has been measured by then.
const LAYER_INTERVAL: f64 = 0.5;
const LAYERS_FROM: f64 = 2.0;

/// A camera that encodes itself: its bitrate in bit/s, the size of its key frames in bytes, and whether no other frame needs
/// every second one.
#[derive(Debug, Clone, Copy)]
pub struct OwnEncoder {
    pub bitrate: f64,
    pub key_bytes: f64,
    pub layered: bool,
}

/// A frame as it is encoded.
#[derive(Debug, Clone, Copy)]
pub struct Encoded {
    frame: u64,
    previous: u64,
    key: bool,
    disposable: bool,
    /// Its packets, and the size of each.
    count: usize,
    bytes: usize,
}

/// What waits in the pacer.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    content: Content,
    bytes: usize,
}

#[derive(Debug)]
pub struct Flow {
    start: Instant,
    /// The limit of the encoder, in bit/s.
    pub limit: f64,
    /// The limit of the smaller rendition, if that is sent from [`SMALL_FROM`] on.
    pub small: Option<f64>,
    pub paused: bool,
    /// Whether there is audio.
    pub audio: bool,
    pub own_encoder: Option<OwnEncoder>,
    /// Whether the frames are those of another flow's encoder, which are handed in here.
    pub follows: bool,
    pub handed: Option<Encoded>,
    /// The frame that was encoded in this step.
    pub encoded: Option<Encoded>,
    /// The bitrate of the encoder, if others have a say in it.
    pub agreed_bitrate: Option<f64>,
    /// That of the last frame.
    pub bitrate: f64,
    config: EstimatorConfig,
    pub estimator: Estimator,
    pub pacer: SendPacer<Queued>,
    history: SentHistory,
    pub repair: RepairBudget,
    random: Random,
    /// The video packets sent, by RTP number, for repair.
    sent_video: HashMap<u16, (VideoPacket, usize)>,
    next_number: u64,
    next_frame: u64,
    /// The last frame that others are predicted from, and how many frames there were since the last key frame.
    last_frame: u64,
    since_key: u64,
    layers: LayerPolicy,
    next_choice: f64,
    late: u64,
    /// The frames that were left out before the pacer.
    pub left_out: u64,
    next_capture: f64,
    next_audio: f64,
    next_tick: f64,
    /// Whether the next frame is a key frame.
    pub key: bool,
    key_wanted: bool,
    key_credit: f64,
    key_updated: f64,
    /// The key frames so far.
    pub keys: usize,
    /// Repair bytes of the last second, for the encoder's share.
    repaired: VecDeque<(f64, usize)>,
    /// Time and bytes of what was handed to the link.
    pub sent: Vec<(f64, usize)>,
    /// The estimate every 100 ms.
    pub estimates: Vec<(f64, u32)>,
}

impl Flow {
    pub fn new(limit: f64, seed: u64) -> Self {
        let start = Instant::now();
        let config = EstimatorConfig::for_stream(limit as u32, AUDIO_RATE as u32);
        let mut pacer = SendPacer::new(config.start, start);
        pacer.set_free(true);
        Self {
            start,
            limit,
            small: None,
            paused: false,
            audio: true,
            own_encoder: None,
            follows: false,
            handed: None,
            encoded: None,
            agreed_bitrate: None,
            bitrate: 0.0,
            config,
            estimator: Estimator::new(config, start),
            pacer,
            history: SentHistory::new(),
            repair: RepairBudget::new(config.start, start),
            random: Random::new(seed),
            sent_video: HashMap::new(),
            next_number: 0,
            next_frame: 1,
            last_frame: 0,
            since_key: 0,
            layers: LayerPolicy::default(),
            next_choice: LAYERS_FROM,
            late: 0,
            left_out: 0,
            next_capture: 0.0,
            next_audio: 0.0,
            next_tick: 0.0,
            key: true,
            key_wanted: false,
            key_credit: 4.0,
            key_updated: 0.0,
            keys: 0,
            repaired: VecDeque::new(),
            sent: Vec::new(),
            estimates: Vec::new(),
        }
    }

    fn at(&self, now: f64) -> Instant {
        self.start + Duration::from_secs_f64(now)
    }

    pub fn on_report(&mut self, report: Report, now: f64) {
        let at = self.at(now);
        match report {
            Report::Feedback(statuses) => {
                let result = self.history.on_feedback(&statuses);
                self.estimator.on_feedback(&result, at);
                self.follow_estimate();
                let fates = result.repairs.iter();
                let verdicts = fates.filter_map(|fate| Some((fate.number, self.repair.on_fate(*fate, at)?))).collect();
                self.resend(verdicts, now);
            }
            Report::Nack(numbers) => {
                let numbers = numbers.into_iter().map(|number| number as u16);
                let verdicts = numbers.map(|number| (number, self.repair.request(number, at))).collect();
                self.resend(verdicts, now);
            }
            Report::Pli if self.carries_stream() => self.key_wanted = true,
            Report::Pli => self.pacer.want_key(),
        }
    }

    fn resend(&mut self, verdicts: Vec<(u16, RepairVerdict)>, now: f64) {
        for copy in 0..MAX_COPIES {
            for (number, verdict) in &verdicts {
                let RepairVerdict::Resend(copies) = verdict else { continue };
                let Some((video, bytes)) = self.sent_video.get(number).filter(|_| copy < *copies) else { continue };
                self.pacer.push_repair(Queued { content: Content::Video(*video), bytes: *bytes }, *bytes);
                self.repaired.push_back((now, *bytes));
            }
        }
    }

    /// Notes that packets take another path.
    pub fn on_path_change(&mut self, now: f64) {
        let at = self.at(now);
        self.estimator.on_path_change(at);
    }

    fn follow_estimate(&mut self) {
        let estimate = self.estimator.target();
        self.pacer.set_free(f64::from(estimate) >= f64::from(self.config.max) * ENOUGH);
        self.pacer.set_estimate(estimate);
        self.repair.set_estimate(estimate.min(self.limit as u32));
        self.repair.set_random_loss(self.estimator.random_loss());
        self.repair.set_rtt(self.estimator.rtt() + self.estimator.queue_delay());
    }

    /// What leaves at `now`.
    pub fn send(&mut self, now: f64) -> Vec<WirePacket> {
        let at = self.at(now);
        if now >= self.next_tick {
            self.next_tick = now + 0.1;
            let in_flight = self.history.in_flight(at);
            self.estimator.on_tick(in_flight, at);
            self.estimates.push((now, self.estimator.target()));
            if let Some(cluster) = self.estimator.poll_probe(at).filter(|_| !self.paused) {
                self.pacer.start_probe(cluster);
            }
            self.follow_estimate();
        }
        if self.estimator.poll_keepalive(at) {
            self.pacer.send_padding();
        }
        self.produce(now);
        let open = self.history.in_flight(at) < self.estimator.window();
        let mut out = Vec::new();
        self.pacer.take(at, open, &mut out);
        out.into_iter().map(|paced| self.number(paced, now)).collect()
    }

    fn produce(&mut self, now: f64) {
        let at = self.at(now);
        if now >= self.next_audio {
            self.next_audio += AUDIO_INTERVAL;
            if self.audio {
                self.pacer.push_audio(Queued { content: Content::Audio, bytes: AUDIO_BYTES }, AUDIO_BYTES);
            }
        }
        if !self.estimator.is_silent() {
            let is_covered = self.carries_stream();
            let is_refused = self.repair.take_key_request(at);
            if is_refused && !is_covered {
                self.pacer.want_key();
            }
            self.key_wanted |= is_refused && is_covered || self.pacer.take_key_request(is_covered, at);
        }
        self.request_key(now);
        self.encoded = if self.follows { self.handed.take() } else { self.encode(now) };
        self.choose_layers(now);
        let Some(Encoded { frame, previous, key, disposable, count, bytes }) = self.encoded else { return };
        if disposable && self.layers.current() == Layers::Base {
            self.left_out += 1;
            return;
        }
        self.keys += usize::from(key);
        self.key_wanted &= !key;
        let packets = (0..count).map(|index| {
            let video =
                VideoPacket { number: 0, frame, previous, disposable, key, first: index == 0, count, captured: now };
            (Queued { content: Content::Video(video), bytes }, bytes)
        });
        let kind = match (key, disposable) {
            (true, _) => FrameKind::Key,
            (false, true) => FrameKind::Disposable,
            (false, false) => FrameKind::Reference,
        };
        self.pacer.push_frame(packets, kind, at);
    }

    /// Chooses the layers of a camera that has some.
    fn choose_layers(&mut self, now: f64) {
        let Some(own) = self.own_encoder.filter(|own| own.layered && now >= self.next_choice) else { return };
        self.next_choice += LAYER_INTERVAL;
        let late = self.pacer.drops().late;
        let input = LayerInput {
            available: Some(self.room(now).max(0.0) as u32),
            all: own.bitrate as u32,
            base_share: BASE_SHARE,
            has_skipped: std::mem::replace(&mut self.late, late) != late,
        };
        let at = self.at(now);
        self.layers.update(&input, at);
    }

    /// What is left of the estimate for video.
    pub fn room(&mut self, now: f64) -> f64 {
        while self.repaired.front().is_some_and(|(when, _)| now - when > 1.0) {
            self.repaired.pop_front();
        }
        let repair: usize = self.repaired.iter().map(|(_, bytes)| bytes * 8).sum();
        let audio = if self.audio { AUDIO_RATE } else { 0.0 };
        f64::from(self.estimator.target()) * MEDIA_SHARE - audio - repair as f64
    }

    fn carries_stream(&self) -> bool {
        let repair: usize = self.repaired.iter().map(|(_, bytes)| bytes * 8).sum();
        let room = f64::from(self.estimator.target()) * MEDIA_SHARE - AUDIO_RATE - repair as f64;
        let share = if self.layers.current() == Layers::Base { BASE_SHARE } else { 1.0 };
        self.estimator.is_silent() || room >= self.bitrate * share * COVERED
    }

    /// The next frame, if it is time for one.
    fn encode(&mut self, now: f64) -> Option<Encoded> {
        if now < self.next_capture {
            return None;
        }
        self.next_capture += 1.0 / FPS;
        if self.paused {
            self.key = true;
            return None;
        }
        let room = self.room(now);
        self.bitrate = match (self.own_encoder, self.agreed_bitrate) {
            (Some(own), _) => own.bitrate,
            (None, Some(agreed)) => agreed,
            (None, None) => room.clamp(MIN_BITRATE, self.small.filter(|_| now > SMALL_FROM).unwrap_or(self.limit)),
        };
        let key = std::mem::take(&mut self.key);
        let size = self.bitrate / FPS / 8.0 * (1.0 + 0.15 * self.random.normal()).clamp(0.5, 1.6);
        let size = if key { self.own_encoder.map_or(size * KEY_SIZE, |own| own.key_bytes) } else { size };
        self.since_key = if key { 0 } else { self.since_key + 1 };
        let is_layered = self.own_encoder.is_some_and(|own| own.layered);
        let disposable = is_layered && self.since_key % 2 == 1;
        let size = match (is_layered && !key, disposable) {
            (false, _) => size,
            (true, false) => size * 2.0 * BASE_SHARE,
            (true, true) => size * 2.0 * (1.0 - BASE_SHARE),
        };
        let count = (size / PAYLOAD).ceil().max(1.0) as usize;
        let bytes = (size / count as f64) as usize + HEADERS;
        let (frame, previous) = (self.next_frame, self.last_frame);
        self.next_frame += 1;
        if !disposable {
            self.last_frame = frame;
        }
        Some(Encoded { frame, previous, key, disposable, count, bytes })
    }

    /// Requests a key frame within the budget that a session has: four at once, then one in 2 s.
    fn request_key(&mut self, now: f64) {
        let Self { key_credit, key_updated, .. } = self;
        *key_credit = (*key_credit + (now - *key_updated) / 2.0).min(4.0);
        *key_updated = now;
        if self.key_wanted && self.key_credit >= 1.0 && !self.key && !self.estimator.is_silent() {
            self.key_credit -= 1.0;
            self.key_wanted = false;
            self.key = true;
        }
    }

    /// Gives numbers to what leaves.
    fn number(&mut self, paced: PacedPacket<Queued>, now: f64) -> WirePacket {
        let at = self.at(now);
        let (mut content, bytes, kind, probe) = match paced {
            PacedPacket::Pushed { packet, kind, probe } => (packet.content, packet.bytes, kind, probe),
            PacedPacket::Padding { bytes, probe } => (Content::Padding, bytes, PacketKind::Padding, probe),
        };
        if let (Content::Video(video), PacketKind::Video) = (&mut content, kind) {
            video.number = self.next_number;
            self.next_number += 1;
            self.sent_video.insert(video.number as u16, (*video, bytes));
            self.repair.note_sent(video.number as u16, bytes, video.key && video.first, at);
        }
        let transport = self.history.note_sent(SentPacket { sent: at, bytes, kind, probe });
        if let (Content::Video(video), PacketKind::Repair) = (&content, kind) {
            self.history.note_repeats(video.number as u16);
        }
        self.sent.push((now, bytes));
        WirePacket { transport, bytes, content }
    }
}
