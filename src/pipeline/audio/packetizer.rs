//! Turns audio frames into Opus packets on a grid of 20 ms, and fills ticks without audio with silence, so that a browser's
//! track neither stalls nor mutes.
//!
//! The pipeline decides when there is silence. Sending belongs to `server::rtc`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;

use crate::capture::audio;
use crate::capture::audio::{FRAME_SAMPLES, SAMPLE_RATE};
use crate::media::pacer::FrameClock;
use crate::media::{AudioPacket, PcmFrame, Timestamp};
use crate::model::metrics::Metrics;
use crate::model::status;
use crate::pipeline::audio::near_end::NearEnd;
use crate::util::broadcast::Broadcast;
use crate::util::drop_log::DropLog;

/// The largest Opus packet worth sending: it must fit one RTP packet.
const MAX_PACKET: usize = 1_200;

/// The packet loss in percent that the encoder protects against while a listener needs it: Wi-Fi at the edge of its range.
/// From five on the encoder uses its speech layer, the only one with in-band FEC, which takes four times the CPU. Where no packet
/// is lost, by the comparison of RFC 6716 clean speech and noise sound better without, speech in a noisy room and music with it.
const EXPECTED_LOSS: i32 = 10;

/// The encoder's complexity, of 10. By the comparison of RFC 6716's reference, speech and noise gain nothing from more: with 5
/// a packet takes a quarter more CPU, with 8 two thirds. Below 3 they lose.
const COMPLEXITY: i32 = 4;

/// The most ticks that are filled with silence after the thread was delayed (by a device that opens slowly): 200 ms, about
/// what a browser's jitter buffer holds. Older ticks are of no use to anybody.
const MAX_BACKLOG: u64 = 10;

/// Encodes and publishes.
pub(super) struct AudioPacketizer {
    audio: Broadcast<AudioPacket>,
    metrics: Metrics,
    encoder: opus::Encoder,
    channels: u16,
    muted: bool,
    /// What is done to the sound.
    near_end: NearEnd,
    clock: FrameClock,
    publisher: status::StatusPublisher,
    /// Whether there were subscribers when this was checked last.
    heard: bool,
    /// Whether packets carry FEC of those before them.
    protected: bool,
    /// The first tick without a packet; `None` when there were no subscribers.
    next_tick: Option<u64>,
    /// Whether the last packet filled a gap with silence.
    silent: bool,
    log: DropLog,
}

impl AudioPacketizer {
    /// A packetizer for this configuration.
    ///
    /// # Errors
    ///
    /// When libopus rejects the settings.
    pub(super) fn new(
        config: &audio::Config,
        audio: Broadcast<AudioPacket>,
        near_end: NearEnd,
        metrics: Metrics,
        publisher: status::StatusPublisher,
    ) -> anyhow::Result<Self> {
        let channels = config.channels.clamp(1, 2);
        Ok(Self {
            audio,
            metrics,
            encoder: encoder(channels, config.bitrate)?,
            channels,
            muted: config.mute,
            near_end,
            clock: FrameClock::new(SAMPLE_RATE / FRAME_SAMPLES as u32),
            publisher,
            heard: false,
            protected: false,
            next_tick: None,
            silent: false,
            log: DropLog::every(Duration::from_secs(1)),
        })
    }

    /// Publishes a frame, which must be on the grid. A frame whose tick was filled with silence already is dropped.
    pub(super) fn push(&mut self, mut frame: PcmFrame) {
        let tick = self.clock.tick(frame.captured);
        if !self.is_heard() {
            return;
        }
        if self.next_tick.is_some_and(|next_tick| tick < next_tick) {
            return;
        }
        if self.muted {
            // Also where the card has a mute switch: muted audio must not be sent, whatever the driver does.
            frame.samples.fill(0);
        } else {
            self.near_end.process(&mut frame);
        }
        let PcmFrame { captured, gap, samples } = frame;
        if self.silent {
            // Fills the time that opening the device took.
            self.fill_silence(captured);
        }
        let lost = gap || self.next_tick.is_some_and(|next_tick| tick > next_tick);
        if lost {
            self.metrics.audio_gaps.inc();
        }
        let gap = lost || self.silent;
        self.silent = false;
        self.publish(tick, gap, &samples);
    }

    /// Publishes silence for the ticks without audio that have passed at `now`.
    pub(super) fn fill_silence(&mut self, now: Timestamp) {
        let current = self.clock.tick(now);
        if !self.is_heard() {
            return;
        }
        let first = self.next_tick.unwrap_or(current).max(current.saturating_sub(MAX_BACKLOG));
        let samples = vec![0; FRAME_SAMPLES * usize::from(self.channels)];
        for tick in first..current {
            let gap = !self.silent || self.next_tick.is_some_and(|next_tick| tick > next_tick);
            self.silent = true;
            self.publish(tick, gap, &samples);
        }
        self.next_tick = Some(first.max(current));
    }

    /// Whether there are subscribers. When the first one comes, encoding starts as if nothing had been encoded before: the
    /// encoder would predict from audio that is long gone, and that the subscriber's decoder does not have.
    pub(super) fn is_heard(&mut self) -> bool {
        let heard = self.audio.subscribers() > 0;
        if heard == std::mem::replace(&mut self.heard, heard) {
            return heard;
        }
        self.publisher.audio(|audio| audio.encoding = heard);
        if heard {
            self.encoder.reset_state().unwrap_or_else(|error| tracing::warn!("opus encoder not reset: {error}"));
        } else {
            (self.next_tick, self.silent) = (None, false);
            self.near_end.rest();
        }
        heard
    }

    /// Has packets carry FEC only while a subscriber needs it.
    fn protect(&mut self) {
        let needed = self.audio.loss_protection().guards() > 0;
        if needed != std::mem::replace(&mut self.protected, needed) {
            let loss = if needed { EXPECTED_LOSS } else { 0 };
            let set = self.encoder.set_packet_loss_perc(loss);
            set.unwrap_or_else(|error| tracing::warn!("opus expected loss {loss} not set: {error}"));
        }
    }

    fn publish(&mut self, tick: u64, gap: bool, samples: &[i16]) {
        self.next_tick = Some(tick + 1);
        self.protect();
        match self.encoder.encode_vec(samples, MAX_PACKET) {
            Ok(packet) => {
                self.metrics.audio_packets.inc();
                self.audio.publish(AudioPacket { captured: self.clock.start(tick), gap, data: Bytes::from(packet) });
            }
            Err(error) => {
                if let Some(count) = self.log.note(1, Instant::now()) {
                    tracing::warn!(count, "audio frame not encoded: {error}");
                }
            }
        }
    }
}

fn encoder(channels: u16, bitrate: u32) -> anyhow::Result<opus::Encoder> {
    let layout = if channels == 2 { opus::Channels::Stereo } else { opus::Channels::Mono };
    // In-band FEC is part of the speech layer, which the low-delay mode does not have.
    let mut encoder = opus::Encoder::new(SAMPLE_RATE, layout, opus::Application::Audio).context("open opus encoder")?;
    encoder.set_bitrate(opus::Bitrate::Bits(bitrate as i32)).with_context(|| format!("set opus bitrate {bitrate}"))?;
    encoder.set_inband_fec(true).context("enable opus FEC")?;
    encoder.set_packet_loss_perc(0).context("set opus expected loss")?;
    encoder.set_complexity(COMPLEXITY).context("set opus complexity")?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ducking::Ducking;
    use crate::util::broadcast::Subscriber;

    /// The start of tick number `tick` of the test.
    fn at(tick: u64) -> Timestamp {
        let clock = FrameClock::new(50);
        clock.start(clock.tick(Timestamp::from_start(Duration::from_secs(9))) + tick)
    }

    fn frame(tick: u64) -> PcmFrame {
        PcmFrame { captured: at(tick), gap: false, samples: (0..960).map(|n| (n % 48) * 400 - 9_600).collect() }
    }

    fn packetizer(config: &audio::Config) -> (AudioPacketizer, Subscriber<AudioPacket>) {
        let audio = Broadcast::new(64);
        let listener = audio.subscribe();
        let publisher = status::StatusPublisher::new(status::Status::default());
        let near_end = NearEnd::new(config, Ducking::default(), None, publisher.clone());
        let packetizer = AudioPacketizer::new(config, audio, near_end, Metrics::new(), publisher);
        (packetizer.expect("should open the encoder"), listener)
    }

    /// The published packets: the tick, whether there is a gap before it, and whether it is loud.
    fn received(listener: &mut Subscriber<AudioPacket>, decoder: &mut opus::Decoder) -> Vec<(u64, bool, bool)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("should build");
        runtime.block_on(async {
            let mut packets = Vec::new();
            // All packets are in the ring already.
            while let Ok(Ok(packet)) = tokio::time::timeout(Duration::ZERO, listener.recv()).await {
                let mut samples = vec![0i16; 960];
                let count = decoder.decode(&packet.data, &mut samples, false).expect("should decode");
                assert_eq!(count, 960);
                let tick = packet.captured.saturating_since(at(0)).as_millis() as u64 / 20;
                assert_eq!(packet.captured, at(tick), "on the grid");
                packets.push((tick, packet.gap, samples.iter().any(|sample| sample.abs() > 1000)));
            }
            packets
        })
    }

    fn decoder() -> opus::Decoder {
        opus::Decoder::new(SAMPLE_RATE, opus::Channels::Mono).expect("should open the decoder")
    }

    #[test]
    fn silence_takes_over_on_the_same_grid_and_audio_resumes() {
        let (mut packetizer, mut listener) = packetizer(&audio::Config::default());
        let decoder = &mut decoder();
        (0..4).for_each(|tick| packetizer.push(frame(tick)));
        let sound: Vec<_> = received(&mut listener, decoder).into_iter().map(|(tick, gap, _)| (tick, gap)).collect();
        assert_eq!(sound, [(0, false), (1, false), (2, false), (3, false)]);

        // The device is gone; time passes in steps that are not multiples of the grid.
        packetizer.fill_silence(at(5).saturating_add(Duration::from_millis(3)));
        packetizer.fill_silence(at(6).saturating_add(Duration::from_millis(19)));
        packetizer.fill_silence(at(6).saturating_add(Duration::from_millis(19)));
        packetizer.fill_silence(at(8));
        let quiet = received(&mut listener, decoder);
        assert_eq!(quiet.iter().map(|(tick, ..)| *tick).collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert_eq!(quiet.iter().map(|(_, gap, _)| *gap).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(!quiet[3].2, "the last of it is silent");

        // It is back; its first frame belongs to a tick that was filled already.
        (7..11).for_each(|tick| packetizer.push(frame(tick)));
        let back = received(&mut listener, decoder);
        assert_eq!(
            back.iter().map(|(tick, gap, _)| (*tick, *gap)).collect::<Vec<_>>(),
            [(8, true), (9, false), (10, false)]
        );
        assert!(back[2].2, "it is audible");

        // It is gone again, and the time that opening takes is silence too.
        packetizer.fill_silence(at(12));
        packetizer.push(frame(15));
        let ticks: Vec<u64> = received(&mut listener, decoder).iter().map(|(tick, ..)| *tick).collect();
        assert_eq!(ticks, [11, 12, 13, 14, 15]);
    }

    #[test]
    fn a_delayed_thread_fills_a_bounded_backlog_and_marks_the_gap() {
        let (mut packetizer, mut listener) = packetizer(&audio::Config::default());
        packetizer.fill_silence(at(0));
        packetizer.fill_silence(at(2));
        packetizer.fill_silence(at(50));
        let quiet = received(&mut listener, &mut decoder());
        let ticks: Vec<u64> = quiet.iter().map(|(tick, ..)| *tick).collect();
        assert_eq!(ticks, [0, 1, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49]);
        let gaps: Vec<u64> = quiet.iter().filter(|(_, gap, _)| *gap).map(|(tick, ..)| *tick).collect();
        assert_eq!(gaps, [0, 40]);
    }

    #[test]
    fn audio_that_was_lost_is_counted() {
        let (mut packetizer, mut listener) = packetizer(&audio::Config::default());
        [0, 1, 2].into_iter().for_each(|tick| packetizer.push(frame(tick)));
        assert_eq!(packetizer.metrics.audio_gaps.get(), 0);
        // Whole frames are missing, then less than one.
        packetizer.push(frame(5));
        packetizer.push(PcmFrame { gap: true, ..frame(6) });
        assert_eq!(packetizer.metrics.audio_gaps.get(), 2);
        // Silence instead of a device is no loss.
        packetizer.fill_silence(at(8));
        packetizer.push(frame(8));
        assert_eq!(packetizer.metrics.audio_gaps.get(), 2);
        let gaps: Vec<bool> = received(&mut listener, &mut decoder()).iter().map(|(_, gap, _)| *gap).collect();
        assert_eq!(gaps, [false, false, false, true, true, true, true]);
    }

    #[test]
    fn muted_audio_is_silent() {
        let (mut packetizer, mut listener) = packetizer(&audio::Config { mute: true, ..Default::default() });
        (0..5).for_each(|tick| packetizer.push(frame(tick)));
        let muted = received(&mut listener, &mut decoder());
        assert_eq!(muted.len(), 5);
        assert!(muted.iter().all(|(_, _, loud)| !loud));
    }

    #[test]
    fn a_new_listener_gets_nothing_from_before_it_subscribed() {
        let (mut packetizer, listener) = packetizer(&audio::Config::default());
        packetizer.push(frame(0));
        drop(listener);
        packetizer.fill_silence(at(3));
        let mut listener = packetizer.audio.subscribe();
        packetizer.fill_silence(at(6));
        packetizer.fill_silence(at(7));
        assert_eq!(received(&mut listener, &mut decoder()).len(), 1);
    }

    /// The contents of the packets that are in the ring.
    fn contents(listener: &mut Subscriber<AudioPacket>) -> Vec<Bytes> {
        std::iter::from_fn(|| listener.try_recv().expect("none should be missed")).map(|packet| packet.data).collect()
    }

    /// Whether each packet has the speech layer: by the first five bits, RFC 6716 section 3.1.
    fn have_speech_layer(listener: &mut Subscriber<AudioPacket>) -> Vec<bool> {
        contents(listener).iter().map(|packet| packet[0] >> 3 < 16).collect()
    }

    #[test]
    fn packets_carry_fec_only_while_a_listener_needs_it() {
        let (mut packetizer, mut listener) = packetizer(&audio::Config::default());
        (0..5).for_each(|tick| packetizer.push(frame(tick)));
        assert_eq!(have_speech_layer(&mut listener), [false; 5]);
        let need = packetizer.audio.loss_protection().register();
        (5..10).for_each(|tick| packetizer.push(frame(tick)));
        assert_eq!(have_speech_layer(&mut listener)[1..], [true; 4], "the first may be the transition");
        drop(need);
        (10..15).for_each(|tick| packetizer.push(frame(tick)));
        assert_eq!(have_speech_layer(&mut listener)[1..], [false; 4]);
    }

    #[test]
    fn nothing_is_encoded_for_nobody_and_then_as_by_a_new_encoder() {
        let (mut packetizer, listener) = packetizer(&audio::Config::default());
        let encoding = |packetizer: &AudioPacketizer| packetizer.publisher.snapshot().audio.encoding;
        (0..5).for_each(|tick| packetizer.push(frame(tick)));
        assert!(encoding(&packetizer));
        drop(listener);
        (5..500).for_each(|tick| packetizer.push(frame(tick)));
        assert_eq!((packetizer.metrics.audio_packets.get(), encoding(&packetizer)), (5, false));
        let mut listener = packetizer.audio.subscribe();
        (500..510).for_each(|tick| packetizer.push(frame(tick)));
        assert!(encoding(&packetizer));
        let (mut new, mut first) = self::packetizer(&audio::Config::default());
        (0..10).for_each(|tick| new.push(frame(tick)));
        let (resumed, fresh) = (contents(&mut listener), contents(&mut first));
        assert_eq!(resumed.len(), 10);
        assert!(resumed == fresh, "the encoder remembers what came before the pause");
    }
}
