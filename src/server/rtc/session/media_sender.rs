//! Sends the media of one session: video, audio, what the viewer reports lost, and sender reports.
//!
//! How packets are written is in `rtp_sender`; which frame comes next is decided in `switcher`.

use std::time::{Duration, Instant};

use super::audio_sender::AudioSender;
use super::connection::Connection;
use super::layer_filter::LayerFilter;
use super::packet_sink::PacketSink;
use super::packets::Packets;
use super::queued_packet;
use super::queued_packet::QueuedPacket;
use super::rtcp;
use super::rtcp::Feedback;
use super::rtp_sender::{OVERHEAD, VideoSender};
use super::stream_meters::StreamMeters;
use super::viewer_estimate::ViewerEstimate;
use crate::media::{AudioPacket, EncodedFrame, Timestamp};
use crate::model::metrics::{DropPoint, Metrics};
use crate::server::rtc::camera_rate::ViewerDemand;
use crate::server::rtc::rate::pacer::{PacedPacket, PacerDrops, SendPacer};
use crate::server::rtc::rate::repair::{MAX_COPIES, RepairVerdict};
use crate::server::rtc::sdp::formats::PacketizationMode;
use crate::server::sessions::{PlayoutDelay, ViewerNetwork};
use crate::util::broadcast::Demand;

/// Between two sender reports of a stream: libwebrtc's interval. Browsers need them to synchronise audio and video.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What of the estimate is for video frames and audio: the rest is for headers, and for what the frames' sizes vary.
const MEDIA_SHARE: f64 = 0.9;

/// A path carries the stream if it has this share of its bitrate for it: the encoder follows the estimate in steps.
const COVERED: f64 = 0.8;

/// The sending side of one session's media.
pub struct MediaSender {
    video: VideoSender,
    audio: Option<AudioSender>,
    estimate: ViewerEstimate,
    pacer: SendPacer<QueuedPacket>,
    /// When the pacer lets the next packets go.
    due: Option<Instant>,
    /// What it has let go: reused so as not to allocate.
    leaving: Vec<PacedPacket<QueuedPacket>>,
    /// The frames that it had dropped when they were counted last.
    drops: PacerDrops,
    /// How often frames were dropped up to a key frame because they were late.
    skips: u64,
    layers: LayerFilter,
    /// When the next sender reports are due.
    next_report: Instant,
    /// The last tick.
    ticked: Instant,
    meters: StreamMeters,
    /// Who watches.
    owner: u64,
    /// Tells when the privacy switch was turned on, which blocks all sources at once.
    source: Demand,
    /// When it was, at the last look.
    blocked_since: Option<Instant>,
    /// The bitrate of the stream in bit/s: what is configured, or more if more was sent.
    stream_bitrate: u32,
    metrics: Metrics,
}

impl MediaSender {
    /// Sends these streams of `source` to `owner` from `now` on, the video with `bitrate` bit/s.
    pub fn new(
        source: Demand,
        video: VideoSender,
        audio: Option<AudioSender>,
        bitrate: u32,
        owner: u64,
        metrics: Metrics,
        now: Instant,
    ) -> Self {
        let meters = StreamMeters::new(audio.is_some());
        let is_numbered = video.stream().is_numbered();
        let mut sender = Self {
            video,
            audio,
            estimate: ViewerEstimate::new(is_numbered, bitrate, now),
            pacer: SendPacer::new(bitrate, now),
            due: None,
            leaving: Vec::new(),
            drops: PacerDrops::default(),
            skips: 0,
            layers: LayerFilter::default(),
            next_report: now,
            ticked: now,
            meters,
            owner,
            source,
            blocked_since: None,
            stream_bitrate: bitrate,
            metrics,
        };
        sender.follow_estimate(now);
        sender
    }

    /// What is known of the viewer's network.
    pub fn network(&self, now: Instant) -> ViewerNetwork {
        self.estimate.network(now)
    }

    /// Has the viewer sent at most `limit` bit/s of video and audio, whatever its network carries.
    pub fn set_limit(&mut self, limit: Option<u32>, now: Instant) {
        self.estimate.set_limit(limit);
        self.pacer.set_limit(limit);
        self.follow_estimate(now);
    }

    /// What the viewer can take of the video.
    pub fn demand(&self, now: Instant) -> ViewerDemand {
        let others = self.meters.audio.bitrate() + self.meters.repair.bitrate();
        let video = |estimate| f64::from(estimate) * MEDIA_SHARE - others;
        let available = self.estimate.bitrate(now).map(|estimate| video(estimate).max(0.0) as u32);
        let (is_settled, is_limited) = (self.estimate.is_settled(now), self.estimate.is_limited());
        ViewerDemand { available, is_settled, is_limited, owner: self.owner }
    }

    /// Whether the viewer's network carries what is sent of a stream of `bitrate` bit/s, as far as is known.
    pub fn carries(&self, bitrate: u32, now: Instant) -> bool {
        let available = self.demand(now).available.filter(|_| !self.estimate.is_silent());
        let sent = f64::from(bitrate) * self.layers.sent_share();
        available.is_none_or(|available| f64::from(available) >= sent * COVERED)
    }

    /// Which frames are sent.
    pub fn layers(&self) -> &LayerFilter {
        &self.layers
    }

    /// Which frames are sent, to change it.
    pub fn layers_mut(&mut self) -> &mut LayerFilter {
        &mut self.layers
    }

    /// Sends a frame, has it wait for its turn, or leaves it out.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn send_video(
        &mut self,
        frame: &EncodedFrame,
        mode: PacketizationMode,
        delay: PlayoutDelay,
        connection: &mut Connection,
    ) -> anyhow::Result<()> {
        let now = Instant::now();
        self.meters.video.add(frame.data.len());
        let Some(kind) = self.layers.pass(frame) else { return Ok(()) };
        let frame = self.video.prepare(frame, mode, delay);
        let packets =
            frame.payloads.iter().enumerate().map(|(at, payload)| {
                (QueuedPacket::Video { frame: frame.clone(), at }, payload.byte_count() + OVERHEAD)
            });
        self.pacer.push_frame(packets, kind, now);
        // Only while there is video: without, there is nothing to find more room for.
        if self.video.has_padding()
            && let Some(cluster) = self.estimate.poll_probe(now)
        {
            self.pacer.start_probe(cluster);
        }
        self.flush(connection)
    }

    /// Sends an audio packet.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn send_audio(&mut self, packet: AudioPacket, connection: &mut Connection) -> anyhow::Result<()> {
        let Some(audio) = &self.audio else { return Ok(()) };
        let bytes = audio.payload_bytes(&packet) + OVERHEAD;
        self.meters.audio.add(bytes);
        self.pacer.push_audio(QueuedPacket::Audio(packet), bytes);
        self.flush(connection)
    }

    /// Does what the viewer's RTCP asks for.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt what is sent again.
    pub fn on_feedback(&mut self, feedback: &Feedback, connection: &mut Connection) -> anyhow::Result<()> {
        let now = Instant::now();
        self.estimate.on_feedback(feedback, now);
        self.follow_estimate(now);
        self.repair(feedback, now);
        self.flush(connection)
    }

    /// Has lost packets sent again, all of them once before any of them in another copy: losses come in bursts.
    fn repair(&mut self, feedback: &Feedback, now: Instant) {
        let fates = self.estimate.take_repairs();
        let repair = self.video.repair();
        let lost_again = fates.into_iter().filter_map(|fate| Some((fate.number, repair.on_fate(fate, now)?)));
        let mut verdicts: Vec<(u16, RepairVerdict)> = lost_again.collect();
        verdicts.extend(feedback.lost.iter().map(|number| (*number, repair.request(*number, now))));
        for copy in 0..MAX_COPIES {
            for (number, verdict) in &verdicts {
                let copies = if let RepairVerdict::Resend(copies) = verdict { *copies } else { 0 };
                let bytes = if copy < copies { self.video.bytes_of(*number) } else { None };
                if let Some(bytes) = bytes {
                    self.pacer.push_repair(QueuedPacket::Repair(*number), bytes);
                } else if copy == 0 {
                    self.metrics.resends_refused.inc();
                }
            }
        }
    }

    /// When [`Self::flush`] is due; `None` while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Sends what may leave now.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn flush(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let now = Instant::now();
        self.send_reports(connection, now)?;
        self.withhold();
        if connection.take_path_change() {
            self.estimate.on_path_change(now);
            self.video.repair().on_path_change(now);
        }
        self.estimate.on_tick(now);
        let has_padding = self.video.has_padding();
        if has_padding && self.estimate.poll_keepalive(now) {
            self.pacer.send_padding();
        }
        let has_room = self.estimate.has_room(now);
        self.pacer.take(now, has_room, &mut self.leaving);
        let keepalive = self.estimate.keepalive_due().filter(|_| has_padding);
        self.due = self.pacer.next_at(has_room).into_iter().chain(keepalive).min();
        self.skips += u64::from(self.count_drops() > 0);
        let Some(srtp) = connection.srtp().filter(|_| !self.leaving.is_empty()) else {
            self.leaving.clear();
            return Ok(());
        };
        let bytes = self.leaving.iter().map(queued_packet::size).sum();
        let mut packets = Packets::with_capacity(self.leaving.len(), bytes);
        let first = self.estimate.sent().map(|sent| sent.next_number());
        let mut sink = PacketSink { srtp, packets: &mut packets, sent: self.estimate.sent(), now, probe: None };
        for paced in self.leaving.drain(..) {
            match paced {
                PacedPacket::Pushed { packet, probe, .. } => {
                    sink.probe = probe;
                    match packet {
                        QueuedPacket::Audio(packet) => {
                            if let Some(audio) = &mut self.audio {
                                let earlier = audio.packet(&packet, &mut sink)?;
                                self.metrics.redundant_audio.inc_by(earlier as u64);
                            }
                        }
                        QueuedPacket::Video { frame, at } => self.video.packet(&frame, at, &mut sink)?,
                        QueuedPacket::Repair(number) => self.meters.repair.add(self.video.resend(number, &mut sink)?),
                    }
                }
                PacedPacket::Padding { bytes, probe } => {
                    sink.probe = probe;
                    let payload = bytes.saturating_sub(OVERHEAD).min(usize::from(u8::MAX)) as u8;
                    self.video.padding(payload, &mut sink)?;
                }
            }
        }
        if let Some((sent, first)) = self.estimate.sent().zip(first) {
            sent.set_sent(first, Instant::now());
        }
        connection.send(&packets);
        Ok(())
    }

    /// While the privacy switch is on, nothing is sent of what was captured before, however long it has waited.
    fn withhold(&mut self) {
        let since = self.source.blocked_since();
        if std::mem::replace(&mut self.blocked_since, since) != since {
            self.video.forget_sent();
            self.audio.iter_mut().for_each(AudioSender::forget_sent);
        }
        let Some(since) = since.map(Timestamp::of_instant) else { return };
        let dropped = self.pacer.retain(|packet| packet.may_be_seen(since));
        self.metrics.count_drop(DropPoint::ViewerLag, dropped);
    }

    /// Counts the frames that were dropped since the last time. Returns how many of them were late.
    fn count_drops(&mut self) -> u64 {
        let drops = self.pacer.drops();
        let counted = std::mem::replace(&mut self.drops, drops);
        let late = drops.late - counted.late;
        self.metrics.count_drop(DropPoint::Late, late);
        self.metrics.count_drop(DropPoint::AwaitingKey, drops.awaiting_key - counted.awaiting_key);
        self.layers.note_left_out(drops.left_out - counted.left_out);
        late
    }

    /// Has the viewer go on with a key frame instead of what waits for it. With one its browser, too, drops what it has not
    /// decoded.
    pub fn skip_to_live_edge(&mut self) {
        self.pacer.skip_waiting();
        // It says nothing about the network.
        self.count_drops();
    }

    /// Notices what does not happen, and follows the bitrate of the stream, which is configured as `limit` bit/s. To be
    /// called a few times a second.
    pub fn on_tick(&mut self, limit: Option<u32>, now: Instant) {
        self.estimate.on_tick(now);
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.ticked, now)).as_secs_f64();
        self.meters.tick(elapsed);
        self.layers.tick(elapsed);
        if let Some(limit) = limit {
            // What a camera encodes itself may be more than is configured.
            self.stream_bitrate = limit.max(self.meters.video.bitrate() as u32);
            self.estimate.set_stream(self.stream_bitrate, self.meters.audio.bitrate() as u32);
        }
        self.follow_estimate(now);
        if let Some(audio) = &mut self.audio {
            audio.set_network(self.estimate.loss(now).unwrap_or(0.0), self.estimate.bitrate(now), now);
        }
    }

    /// Whether the viewer loses packets of audio that only the encoder can make up for.
    pub fn needs_fec(&self) -> bool {
        self.audio.as_ref().is_some_and(AudioSender::needs_fec)
    }

    /// The bitrate of the video in bit/s, whether it is sent in time or not.
    pub fn video_bitrate(&self) -> u32 {
        self.meters.video.bitrate() as u32
    }

    /// How often frames were dropped up to a key frame, because they were late.
    pub fn skips(&self) -> u64 {
        self.skips
    }

    /// Has a key frame requested as soon as the viewer's network gains by one.
    pub fn want_key(&mut self) {
        self.pacer.want_key();
    }

    /// Whether the viewer needs a key frame of its stream of `bitrate` bit/s, because something that it needs was not sent;
    /// asks once. While nothing is heard of its network, a key frame would be wasted on all others.
    pub fn take_key_request(&mut self, bitrate: u32, now: Instant) -> bool {
        // Without padding, nothing but a key frame could end the silence.
        if self.estimate.is_silent() && self.video.has_padding() {
            return false;
        }
        let is_covered = self.carries(bitrate, now);
        let is_refused = self.video.repair().take_key_request(now);
        if is_refused && !is_covered {
            self.pacer.want_key();
        }
        is_refused && is_covered || self.pacer.take_key_request(is_covered, now)
    }

    /// Has the budgets follow the estimate.
    fn follow_estimate(&mut self, now: Instant) {
        let repair = self.video.repair();
        // More than the stream has is of no use to repair it.
        repair.set_estimate(self.estimate.bitrate(now).unwrap_or(u32::MAX).min(self.stream_bitrate));
        repair.set_random_loss(self.estimate.random_loss());
        if let Some(rtt) = self.estimate.rtt() {
            repair.set_rtt(rtt);
        }
        let pace = self.estimate.pace(now);
        self.pacer.set_free(pace.is_none());
        self.pacer.set_estimate(pace.unwrap_or(self.stream_bitrate));
    }

    /// The synchronisation source of the video.
    pub fn video_ssrc(&self) -> u32 {
        self.video.stream().clock().ssrc
    }

    /// Sends the sender reports, if they are due.
    fn send_reports(&mut self, connection: &mut Connection, now: Instant) -> anyhow::Result<()> {
        let Some(srtp) = connection.srtp().filter(|_| self.next_report <= now) else { return Ok(()) };
        self.next_report = now + REPORT_INTERVAL;
        let audio = self.audio.as_ref().map(AudioSender::stream);
        let mut packets = Packets::default();
        for stream in [Some(self.video.stream()), audio].into_iter().flatten() {
            packets.push(&srtp.seal_rtcp(&rtcp::sender_report(stream.clock(), stream.sent(), Timestamp::now())?)?);
        }
        connection.send(&packets);
        Ok(())
    }
}
