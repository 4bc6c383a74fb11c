//! Tests with simulated networks and clocks: hours without samples, and seconds with speech-like sound.

use std::f64::consts::TAU;

use bytes::Bytes;

use super::*;

/// Samples of a packet.
const PACKET: usize = 960;

/// Seconds from one packet to the next.
const STEP: f64 = 0.02;

/// When the talker begins, and what the network takes at least: no round numbers.
const BEGIN: f64 = 70.001_3;
const LATENCY: f64 = 0.013_7;

/// A talker, a network and a player.
#[derive(Clone, Copy)]
struct Trace<'a> {
    /// How much faster than ours the clocks of talker and player count, in ppm.
    talker_ppm: f64,
    player_ppm: f64,
    /// How late the packet with this number arrives, in seconds; `None` if it is lost.
    late: &'a dyn Fn(u64) -> Option<f64>,
    /// Packets.
    count: u64,
}

/// What was played.
#[derive(Default)]
struct Played {
    /// What each packet's duration was filled with.
    order: Vec<Playable>,
    /// From when the packets would have arrived without jitter until they were played, in seconds.
    delays: Vec<f64>,
    counts: PlayoutCounts,
}

impl Trace<'_> {
    fn sent(&self, number: u64) -> f64 {
        BEGIN + number as f64 * STEP / (1.0 + self.talker_ppm * 1e-6)
    }

    /// The packets in the order in which they arrive.
    fn packets(&self, payload: &dyn Fn(u64) -> Bytes) -> Vec<TalkPacket> {
        let arrival = |number| Some((self.sent(number) + LATENCY + (self.late)(number)?, number));
        let mut arrivals: Vec<(f64, u64)> = (0..self.count).filter_map(arrival).collect();
        arrivals.sort_by(|one, other| one.0.total_cmp(&other.0));
        let packet = |(arrived, number): (f64, u64)| TalkPacket {
            // Both wrap within a test.
            sequence: 65_500_u16.wrapping_add(number as u16),
            timestamp: (u32::MAX - 50_000).wrapping_add((number * PACKET as u64) as u32),
            arrived: at(arrived),
            is_redundant: false,
            payload: payload(number),
        };
        arrivals.into_iter().map(packet).collect()
    }

    /// Plays all packets, whose payload is their number.
    fn play(&self) -> Played {
        let (mut buffer, mut played) = (JitterBuffer::new(), Played::default());
        let mut packets = self.packets(&|number| Bytes::copy_from_slice(&number.to_be_bytes())).into_iter().peekable();
        let (mut pending, mut needed) = (0.0, 0.0);
        for request in 0..(self.count + 20) {
            let now = BEGIN + request as f64 * STEP / (1.0 + self.player_ppm * 1e-6);
            while let Some(packet) = packets.next_if(|packet| packet.arrived <= at(now)) {
                buffer.insert(packet);
            }
            // As a resampler would need them: the player's 20 ms are a little more or less of the talker's.
            let next_due = now + (pending - needed) / 48_000.0;
            needed += PACKET as f64 / (buffer.stretch(at(next_due)) * (1.0 + self.player_ppm * 1e-6));
            while pending < needed {
                let due = now + (pending - needed) / 48_000.0 + STEP;
                let playable = buffer.take(at(due));
                if let Playable::Packet(payload) = &playable {
                    let number = u64::from_be_bytes(payload[..].try_into().expect("should be a number"));
                    played.delays.push(due - self.sent(number) - LATENCY);
                }
                pending += buffer.duration() as f64;
                played.order.push(playable);
            }
            let whole = needed.floor();
            (pending, needed) = (pending - whole, needed - whole);
        }
        played.counts = buffer.counts();
        played
    }
}

impl Played {
    /// The longest time between two packets or what makes up for one, in packets.
    fn longest_gap(&self) -> usize {
        let is_heard = |playable: &Playable| matches!(playable, Playable::Packet(_) | Playable::Recovered(_));
        let begun = self.order.iter().position(is_heard).unwrap_or(0);
        let end = self.order.iter().rposition(is_heard).unwrap_or(0);
        let mut runs = self.order[begun..end].split(is_heard).map(<[Playable]>::len);
        runs.by_ref().max().unwrap_or(0)
    }

    /// The share of the time that was concealed.
    fn concealed(&self) -> f64 {
        self.counts.concealed as f64 / self.order.len() as f64
    }
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs_f64(seconds))
}

/// A number from 0 to 1 that looks random.
fn random(number: u64) -> f64 {
    let mut value = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((value ^ value >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

/// What is concealed when a talk ends: its last packet is drawn out until it is clear that nothing follows.
const AT_END: u64 = 5;

const QUIET: Trace<'_> = Trace { talker_ppm: 0.0, player_ppm: 0.0, late: &|_| Some(0.0), count: 500 };

#[test]
fn nothing_is_concealed_on_a_good_network_and_the_delay_is_short() {
    let played = QUIET.play();
    assert_eq!((played.counts.concealed, played.counts.late, played.counts.skipped), (AT_END, 0, 0));
    assert_eq!(played.counts.played, 500, "wraps of numbers and timestamps included");
    let longest = played.delays.iter().copied().fold(0.0, f64::max);
    assert!(longest < 0.07, "{longest}");
}

#[test]
fn reordered_packets_are_played_in_order_and_copies_once() {
    let mut buffer = JitterBuffer::new();
    let packets = QUIET.packets(&|number| Bytes::copy_from_slice(&number.to_be_bytes()));
    let order = [0, 2, 1, 1, 4, 3, 3, 6, 5, 7];
    let mut played = Vec::new();
    for (step, number) in order.into_iter().enumerate() {
        let arrived = at(BEGIN + LATENCY + step as f64 * STEP);
        buffer.insert(TalkPacket { arrived, ..packets[number].clone() });
        if step >= 3
            && let Playable::Packet(payload) = buffer.take(arrived)
        {
            played.push(payload[7]);
        }
    }
    assert_eq!(played, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(buffer.counts().late, 0);
}

#[test]
fn jitter_and_loss_cause_no_long_gap_and_little_concealment() {
    for (loss, most) in [(0.02, 0.01), (0.1, 0.05)] {
        let late = |number| (random(number) >= loss).then(|| 0.03 * random(number + 1_000_000));
        let played = Trace { late: &late, count: 15_000, ..QUIET }.play();
        assert!(played.longest_gap() <= 3, "{} packets at {loss}", played.longest_gap());
        assert!(played.concealed() <= most, "{} of the time at {loss}: {:?}", played.concealed(), played.counts);
        let longest = played.delays[1_000..].iter().copied().fold(0.0, f64::max);
        assert!(longest < 0.12, "{longest} s at {loss}");
    }
}

#[test]
fn depth_follows_the_jitter_up_and_down_within_its_bounds() {
    // A minute on a bad network between two on a good one; and one that is worse than what is waited for.
    let late = |number: u64| match number {
        3_000..6_000 => Some(0.08 * random(number)),
        _ => Some(0.002 * random(number)),
    };
    let played = Trace { late: &late, count: 9_000, ..QUIET }.play();
    let mean = |from: usize, to: usize| played.delays[from..to].iter().sum::<f64>() / (to - from) as f64;
    let (before, during) = (mean(2_000, 2_900), mean(4_000, 5_900));
    assert!(before < 0.05 && during > 0.07 && during < 0.14, "{before} {during}");
    assert!(played.concealed() < 0.01, "{:?}", played.counts);

    let late = |number| Some(0.5 * random(number));
    let played = Trace { late: &late, count: 3_000, ..QUIET }.play();
    let longest = played.delays.iter().copied().fold(0.0, f64::max);
    assert!(longest < 0.35, "{longest}");
}

#[test]
fn a_stall_is_bridged_and_the_delay_does_not_stay() {
    // Nothing arrives for 300 ms, then everything at once.
    let late = |number: u64| match number {
        500..515 => Some((515 - number) as f64 * STEP),
        _ => Some(0.001),
    };
    let played = Trace { late: &late, count: 1_500, ..QUIET }.play();
    let last = played.delays.last().copied().unwrap_or(0.0);
    assert!(last < 0.2, "{last} s behind: {:?}", played.counts);
    assert!(played.counts.skipped <= 15 && played.counts.late == 0, "{:?}", played.counts);
}

#[test]
fn an_hour_with_clocks_that_differ_keeps_the_delay() {
    for (talker_ppm, player_ppm) in [(200.0, 0.0), (-200.0, 0.0), (0.0, 200.0), (-200.0, 200.0)] {
        let late = |number| Some(0.004 * random(number));
        let played = Trace { talker_ppm, player_ppm, late: &late, count: 180_000 }.play();
        assert_eq!(played.counts.late, 0, "{talker_ppm} {player_ppm}");
        // One may be drawn out before the clock is known.
        assert!(played.counts.concealed <= 2 + AT_END, "{talker_ppm} {player_ppm}: {:?}", played.counts);
        // The first minute begins with the jitter that is expected of an unknown network.
        let start = played.delays[3_000];
        let furthest = played.delays[3_000..].iter().map(|delay| (delay - start).abs()).fold(0.0, f64::max);
        assert!(furthest < 0.02, "{furthest} s from {start} s at {talker_ppm} and {player_ppm} ppm");
    }
}

#[test]
fn a_pause_of_the_talker_is_silence_and_speech_goes_on_after_it() {
    let mut buffer = JitterBuffer::new();
    let packet = |number: u64, time: f64| TalkPacket {
        sequence: number as u16,
        timestamp: (time * 48_000.0) as u32,
        arrived: at(BEGIN + time),
        is_redundant: false,
        payload: Bytes::copy_from_slice(&[number as u8]),
    };
    let mut order = Vec::new();
    for step in 0..100 {
        let time = f64::from(step) * STEP;
        // Ten packets, nothing for a second, and ten more; the numbers go on.
        if !(10..60).contains(&step) {
            let number = if step < 10 { step } else { step - 50 };
            buffer.insert(packet(number as u64, time));
        }
        order.push(buffer.take(at(BEGIN + time)));
    }
    let packets: Vec<u8> = order
        .iter()
        .filter_map(|playable| match playable {
            Playable::Packet(payload) => Some(payload[0]),
            _ => None,
        })
        .collect();
    assert_eq!(packets, (0..packets.len() as u8).collect::<Vec<_>>(), "none is skipped or repeated");
    assert!(packets.len() > 45, "{}", packets.len());
    assert!(order.iter().filter(|playable| **playable == Playable::Concealed).count() <= 5);
    assert_eq!(buffer.counts().late, 0);
}

#[test]
fn another_stream_begins_anew_and_what_is_held_is_bounded() {
    let mut buffer = JitterBuffer::new();
    for number in 0..1_000_u32 {
        buffer.insert(TalkPacket {
            sequence: (number.wrapping_mul(40_503) >> 3) as u16,
            timestamp: number.wrapping_mul(2_654_435_761),
            arrived: at(BEGIN + f64::from(number) * 0.001),
            is_redundant: number % 3 == 0,
            payload: Bytes::from_static(&[1]),
        });
        buffer.take(at(BEGIN + f64::from(number) * 0.001));
        assert!(buffer.depth() <= 0.2);
    }
    let flood = (0..1_000_u16).map(|sequence| TalkPacket {
        sequence,
        timestamp: u32::from(sequence) * 960,
        arrived: at(BEGIN),
        is_redundant: false,
        payload: Bytes::from_static(&[1]),
    });
    let mut buffer = JitterBuffer::new();
    flood.for_each(|packet| buffer.insert(packet));
    assert_eq!(buffer.counts().skipped, 1_000 - 64);
}

/// A sound like speech: a voice of 120 to 180 Hz with its harmonics, in syllables.
fn speech(count: usize) -> Vec<f32> {
    let mut phase = 0.0;
    let sample = |at: usize| {
        let time = at as f64 / 48_000.0;
        phase += TAU * (150.0 + 30.0 * (TAU * 0.7 * time).sin()) / 48_000.0;
        let voice: f64 = (1..12).map(|harmonic| (phase * f64::from(harmonic)).sin() / f64::from(harmonic)).sum();
        (0.2 * voice * (TAU * 2.0 * time).sin().max(0.0)) as f32
    };
    (0..count).map(sample).collect()
}

/// Opus packets of a sound, as a browser makes them: with in-band FEC.
fn encoded(samples: &[f32]) -> Vec<Bytes> {
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).expect("encoder");
    encoder.set_inband_fec(true).expect("FEC");
    encoder.set_packet_loss_perc(10).expect("expected loss");
    let packets = samples.chunks_exact(PACKET);
    packets.map(|packet| encoder.encode_vec_float(packet, 1_200).expect("should be encoded").into()).collect()
}

/// What is heard of a sound on a network: all samples.
fn heard(samples: &[f32], late: &dyn Fn(u64) -> Option<f64>) -> (Vec<f32>, PlayoutCounts) {
    let payloads = encoded(samples);
    let trace = Trace { late, count: payloads.len() as u64, ..QUIET };
    let mut packets = trace.packets(&|number| payloads[number as usize].clone()).into_iter().peekable();
    let (mut playout, mut heard) = (Playout::new().expect("decoder"), Vec::new());
    for request in 0..(trace.count + 20) {
        let now = at(BEGIN + request as f64 * STEP);
        while let Some(packet) = packets.next_if(|packet| packet.arrived <= now) {
            playout.insert(packet);
        }
        playout.fill(&mut heard, PACKET, now);
    }
    assert!(playout.is_empty());
    (heard, playout.counts())
}

/// The correlation of two sounds at the lag, within an eighth of a second, at which it is highest; and that lag in samples.
fn correlation(sent: &[f32], heard: &[f32]) -> (f64, usize) {
    let at = |lag: usize| {
        let (mut product, mut one, mut other) = (0.0, 0.0, 0.0);
        for (a, b) in sent.iter().zip(&heard[lag..]) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            (product, one, other) = (product + a * b, one + a * a, other + b * b);
        }
        product / (one * other).sqrt()
    };
    let coarse = (0..6_000).step_by(8).map(|lag| (at(lag), lag)).max_by(|a, b| a.0.total_cmp(&b.0)).expect("lags");
    let fine = coarse.1.saturating_sub(8)..coarse.1 + 8;
    fine.map(|lag| (at(lag), lag)).max_by(|a, b| a.0.total_cmp(&b.0)).expect("lags")
}

#[test]
fn speech_is_heard_as_it_was_spoken() {
    let spoken = speech(48_000 * 4);
    let (heard, counts) = heard(&spoken, &|_| Some(0.0));
    assert_eq!((counts.played, counts.concealed, counts.malformed), (200, AT_END, 0));
    let (correlation, lag) = correlation(&spoken[..48_000], &heard);
    assert!(correlation > 0.9, "{correlation}");
    // The codec itself takes 6.5 ms.
    assert!(lag < 48 * 90, "{lag} samples");
}

#[test]
fn speech_is_heard_through_jitter_and_loss() {
    let spoken = speech(48_000 * 10);
    for loss in [0.02, 0.1] {
        let late = |number| (random(number) >= loss).then(|| 0.03 * random(number + 1_000_000));
        let (heard, counts) = heard(&spoken, &late);
        assert!(counts.recovered > 0 && counts.concealed <= 40, "{counts:?}");
        let loudness = |samples: &[f32]| samples.iter().map(|sample| f64::from(sample * sample)).sum::<f64>();
        let ratio = loudness(&heard) / loudness(&spoken);
        assert!((0.7..1.3).contains(&ratio), "{ratio} of the loudness at {loss}");
    }
}

#[test]
fn what_is_no_opus_is_concealed_and_counted() {
    let mut playout = Playout::new().expect("decoder");
    let payloads = encoded(&speech(48_000));
    let garbage = |number: usize| match number % 3 {
        0 => Bytes::new(),
        1 => Bytes::from(vec![0xff; number]),
        _ => payloads[number].clone(),
    };
    let trace = Trace { count: payloads.len() as u64, ..QUIET };
    let mut samples = Vec::new();
    for packet in trace.packets(&|number| garbage(number as usize)) {
        let now = packet.arrived;
        playout.insert(packet);
        playout.fill(&mut samples, PACKET, now);
    }
    assert!(playout.counts().malformed > 20 && playout.counts().played > 10, "{:?}", playout.counts());
    assert!(samples.iter().all(|sample| sample.is_finite() && sample.abs() < 4.0));
    assert_eq!(samples.len(), PACKET * payloads.len());
}
