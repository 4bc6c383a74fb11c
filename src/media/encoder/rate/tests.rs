//! Tests of the rate control.

use super::*;

const FPS: u32 = 15;
const BITRATE: u32 = 2_000_000;
const INTERVAL: f64 = BITRATE as f64 / FPS as f64;

/// A codec whose sizes follow a formula.
struct Model {
    rate: RateControl,
    /// Bits of a predicted frame at quantiser 30, and log2 of the factor for each step.
    predicted: (f64, f64),
    /// Bits of an intra frame at quantiser 30.
    intra: f64,
    picture: Complexity,
    /// How much larger every other frame is, in log2; the one between them is of the upper layer.
    tilt: Option<f64>,
    /// The time from one frame to the next.
    interval: Duration,
    /// The sizes of the frames that were sent, in frame intervals of 15 fps.
    sent: Vec<f64>,
    replaced: usize,
    dropped: usize,
}

impl Model {
    fn new(predicted: f64, slope: f64, intra: f64) -> Self {
        let interval = Duration::from_secs(1) / FPS;
        let rate = RateControl::new(BITRATE, 1280 * 720, interval);
        let picture = Complexity { diff: 4.0, detail: 3.0 };
        Self {
            rate,
            predicted: (predicted, slope),
            intra,
            picture,
            tilt: None,
            interval,
            sent: Vec::new(),
            replaced: 0,
            dropped: 0,
        }
    }

    fn bytes(&self, key: bool, qp: u8) -> usize {
        let steps = f64::from(qp) - 30.0;
        let bits = if key {
            self.intra * (-0.2 * steps).exp2()
        } else {
            (self.predicted.0 * (-self.predicted.1 * steps).exp2()).min(self.intra * (-0.2 * steps).exp2())
        };
        (bits / 8.0) as usize
    }

    fn encode(&mut self, key: bool) {
        let layer = match self.tilt {
            _ if key => Layer::Key,
            Some(_) if self.sent.len() % 2 == 1 => Layer::Upper,
            _ => Layer::Base,
        };
        let Some(qp) = self.rate.choose(self.interval, layer, self.picture) else {
            self.dropped += 1;
            return;
        };
        let smaller = self.tilt.filter(|_| layer == Layer::Upper).map_or(1.0, f64::exp2);
        let bytes = (self.bytes(key, qp) as f64 / smaller) as usize;
        let mut coded = Coded { layer, qp, bytes };
        while let Some(qp) = self.rate.coded(coded, self.picture) {
            self.replaced += 1;
            coded = Coded { layer: Layer::Key, qp, bytes: self.bytes(true, qp) };
        }
        self.sent.push(coded.bytes as f64 * 8.0 / INTERVAL);
    }

    fn run(&mut self, frames: usize) -> &[f64] {
        let from = self.sent.len();
        (0..frames).for_each(|_| self.encode(false));
        &self.sent[from..]
    }
}

#[test]
fn frames_settle_whatever_their_slope_and_do_not_oscillate() {
    for slope in [0.08, 0.15, 0.3, 0.6, 0.9] {
        let mut model = Model::new(INTERVAL * 0.7, slope, INTERVAL * 8.0);
        model.encode(true);
        model.run(60);
        model.replaced = 0;
        let settled = model.run(60).to_vec();
        let (least, most) = (settled.iter().copied().fold(9.0, f64::min), settled.iter().copied().fold(0.0, f64::max));
        assert!(most / least < 2.0 && most < 1.6 && least > 0.4, "slope {slope}: {least} to {most}");
        let mean = settled.iter().sum::<f64>() / 60.0;
        assert!((0.6..1.03).contains(&mean), "slope {slope}: {mean}");
        assert_eq!(model.replaced, 0, "slope {slope}");
    }
}

#[test]
fn two_layers_have_one_quantiser_and_keep_the_bitrate_whatever_their_sizes() {
    for tilt in [0.0, 0.6, 1.5] {
        for slope in [0.15, 0.3, 0.6] {
            let mut model = Model::new(INTERVAL * 0.7, slope, INTERVAL * 8.0);
            model.tilt = Some(tilt);
            model.rate.set_layers(true);
            model.encode(true);
            model.run(120);
            model.replaced = 0;
            let mut quantisers = Vec::new();
            let from = model.sent.len();
            for _ in 0..60 {
                model.encode(false);
                quantisers.push(model.rate.qp as u8);
            }
            let words = format!("tilt {tilt}, slope {slope}: {quantisers:?}");
            let (least, most) = (quantisers.iter().min(), quantisers.iter().max());
            assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 2), "{words}");
            let mean = model.sent[from..].iter().sum::<f64>() / 60.0;
            assert!((0.6..1.03).contains(&mean), "{words}: {mean}");
            let pair: Vec<f64> = model.sent[from + 40..].chunks(2).map(|pair| pair.iter().sum()).collect();
            assert!(pair.iter().all(|sum| (1.2..2.4).contains(sum)), "{words}: {pair:?}");
            assert_eq!(model.replaced, 0, "{words}");
        }
    }
}

#[test]
fn a_change_of_scene_is_predicted_or_replaced_and_never_exceeds_the_limit() {
    for growth in [1.5, 4.0, 20.0, 100.0] {
        for noticed in [true, false] {
            let mut model = Model::new(INTERVAL * 0.5, 0.3, INTERVAL * 6.0);
            model.encode(true);
            model.run(60);
            model.predicted.0 *= growth;
            model.intra *= 1.3;
            model.picture.diff *= if noticed { growth } else { 1.0 };
            let largest = model.run(60).iter().copied().fold(0.0, f64::max);
            assert!(largest <= KEY_INTERVALS * LIMIT, "{growth} times, noticed: {noticed}: {largest}");
            let settled = model.run(60).iter().sum::<f64>() / 60.0;
            assert!((0.5..1.03).contains(&settled), "{growth} times, noticed: {noticed}: {settled}");
        }
    }
}

#[test]
fn what_cannot_be_made_small_is_dropped_before_the_backlog_exceeds_a_second() {
    for coarsest in [2.0, 5.0, 12.0] {
        // At the coarsest quantiser, 2.1 steps of a factor of two away.
        let bits = INTERVAL * coarsest * (0.1f64 * 21.0).exp2();
        let mut model = Model::new(bits, 0.1, bits * 4.0);
        model.encode(true);
        let mut worst = 0f64;
        for _ in 0..600 {
            model.encode(false);
            worst = worst.max(model.rate.backlog / f64::from(BITRATE));
        }
        assert_eq!(model.rate.qp, f64::from(QP_MAX));
        assert!(worst <= 1.01, "{coarsest} intervals: {worst} s");
        let rate = model.sent.iter().sum::<f64>() / 600.0;
        assert!((0.95..1.05).contains(&rate), "{coarsest} intervals: {rate}");
        assert!(model.dropped > 200, "{coarsest} intervals: {} dropped", model.dropped);
        assert!(model.replaced <= 4, "{coarsest} intervals: {} encoded again", model.replaced);
    }
}

#[test]
fn a_frame_of_more_than_a_second_is_sent_when_nothing_is_behind() {
    let bits = INTERVAL * 40.0 * (0.1f64 * 21.0).exp2();
    let mut model = Model::new(bits, 0.1, bits);
    model.encode(true);
    (0..600).for_each(|_| model.encode(false));
    assert!(model.sent.len() >= 10, "{:?}", model.sent);
}

#[test]
fn key_frames_in_a_row_become_smaller() {
    let mut model = Model::new(INTERVAL * 0.5, 0.3, INTERVAL * 6.0);
    (0..8).for_each(|_| model.encode(true));
    // With the second one the control knows what a key frame takes.
    assert!(model.sent[2..].windows(2).all(|pair| pair[1] <= pair[0]), "{:?}", model.sent);
    assert!(model.sent[7] < model.sent[1] * 0.75, "{:?}", model.sent);
    model.run(30);
    assert_eq!(model.dropped, 0);
    assert!(model.rate.backlog < INTERVAL * 2.0, "{} bits", model.rate.backlog);
}

#[test]
fn frames_follow_a_change_of_the_bitrate() {
    let mut model = Model::new(INTERVAL * 0.5, 0.3, INTERVAL * 6.0);
    model.encode(true);
    model.run(60);
    model.rate.set_bitrate(BITRATE / 10);
    let size = model.run(60)[30..].iter().sum::<f64>() / 30.0;
    assert!((0.06..0.103).contains(&size), "{size}");
    model.rate.set_bitrate(BITRATE);
    let size = model.run(60)[30..].iter().sum::<f64>() / 30.0;
    assert!((0.6..1.03).contains(&size), "{size}");
}

#[test]
fn the_bitrate_is_that_of_the_measured_frame_rate() {
    for (declared, fps) in [(30, 60), (30, 15), (30, 7), (15, 30), (60, 30)] {
        let mut model = Model::new(INTERVAL * 0.5, 0.15, INTERVAL * 6.0);
        model.rate = RateControl::new(BITRATE, 1280 * 720, Duration::from_secs(1) / declared);
        model.interval = Duration::from_secs(1) / fps;
        model.encode(true);
        model.run(100);
        let intervals = model.run(10 * fps as usize).iter().sum::<f64>();
        let bitrate = intervals * INTERVAL / 10.0;
        assert!((0.85..1.03).contains(&(bitrate / f64::from(BITRATE))), "{fps} fps declared as {declared}: {bitrate}");
    }
}

#[test]
fn missed_frames_and_pauses_do_not_change_the_frame_rate() {
    let mut model = Model::new(INTERVAL * 0.5, 0.3, INTERVAL * 6.0);
    model.encode(true);
    model.run(60);
    for missed in [Duration::from_millis(133), Duration::from_secs(20), Duration::ZERO] {
        model.interval = missed;
        model.encode(false);
        model.interval = Duration::from_secs(1) / FPS;
        assert!((model.rate.interval * f64::from(FPS) - 1.0).abs() < 0.11, "{missed:?}: {}", model.rate.interval);
        model.run(60);
    }
}
