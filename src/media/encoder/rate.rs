//! Rate control: chooses the quantiser of each frame, so that the stream keeps its bitrate and no frame is much larger
//! than the others. Pure: it gets sizes and a measure of the picture, and knows no codec.
//!
//! The codec's own control needs a single slice (with several it stops adjusting the quantiser within a frame and
//! oscillates between frames), and at a change of scene it overshoots tenfold even then. This one works with any number
//! of slices. It predicts the size of the next frame from the sizes of the last ones, limits the prediction at a change
//! of scene by what an intra frame would take, and replaces a frame that exceeds [`RateControl::limit`] by a key frame
//! with a coarser quantiser.

use std::time::Duration;

use super::complexity::Complexity;

/// The finest quantiser. Below it the codec spends its bits on the sensor's noise, and a noisy frame may exceed the
/// buffers that it allocated.
pub const QP_MIN: u8 = 16;

/// The coarsest quantiser of H.264.
pub const QP_MAX: u8 = 51;

/// The target size of a key frame, in frame intervals and in seconds, whichever is more: at 15 fps twice the size of the
/// other frames, at 30 fps 2.7 times. The link is then busy for at most 0.13 s at 15 fps and above.
const KEY_INTERVALS: f64 = 2.0;
const KEY_SECONDS: f64 = 0.09;

/// The limit of any frame, as a multiple of a key frame's target: 2.9 frame intervals at 15 fps, 3.9 at 30. Predictions of
/// key frames are off by a quarter; a limit closer to the target would encode many of them twice.
const LIMIT: f64 = 1.45;

/// The frame interval that sizes are derived from ends here: slower sources than 5 fps would otherwise get frames of
/// more than half a second of the link.
const LONGEST_INTERVAL: f64 = 0.2;

/// And here: the timestamps of no camera are closer.
const SHORTEST_INTERVAL: f64 = 1.0 / 240.0;

/// The weight of a new interval in the smoothed one: the budget of a frame follows another frame rate within a second or
/// two, and a missed frame hardly changes it.
const INTERVAL_WEIGHT: f64 = 0.1;

/// A longer time between two frames is a pause.
const PAUSE: f64 = 1.0;

/// In which time a backlog is worked off, in seconds.
const CATCH_UP: f64 = 0.5;

/// How the size of an intra frame depends on the quantiser, in log2 of bytes for each step: measured between 0.17 and
/// 0.28 for quantisers of 20 to 45.
const INTRA_SLOPE: f64 = 0.2;

/// The quantiser that [`RateControl::intra`] is for.
const INTRA_QP: f64 = 30.0;

/// Bits per pixel of an intra frame at [`INTRA_QP`], for each unit of detail, until the first one is measured. Rather
/// high: the first frame is encoded again if it becomes too large.
const INTRA_BITS: f64 = 0.05;

/// The longest backlog, in seconds of the bitrate: a frame that would exceed it is dropped. Only what cannot be made small
/// enough gets there, such as white noise.
const LONGEST_BACKLOG: f64 = 1.0;

/// How much larger than predicted a frame may be without exceeding the longest backlog.
const DROP_MARGIN: f64 = 1.25;

/// The decay of the largest slope with each frame. Without this memory the quantiser at which the noise vanishes is tried
/// again and again, each time with a frame of twice the size.
const STEEPEST_DECAY: f64 = 0.995;

/// How much larger frames of the base layer are than the others, as they are predicted from older ones, in log2 of bytes until
/// that is measured; and the weight of a new pair of frames in the measured one.
const USUAL_TILT: f64 = 0.3;
const TILT_WEIGHT: f64 = 0.1;

/// The tilt is taken for this at least and at most: two frames differ also by what they show.
const TILTS: (f64, f64) = (-1.0, 3.0);

/// What a frame is to those that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A key frame.
    Key,
    /// Others are predicted from it.
    Base,
    /// No other is.
    Upper,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Coded {
    /// What it is to the others.
    pub layer: Layer,
    /// The quantiser that was chosen for it.
    pub qp: u8,
    /// Its size in bytes.
    pub bytes: usize,
}

/// The control of one stream.
#[derive(Debug)]
pub struct RateControl {
    /// Bits per second.
    bitrate: f64,
    /// Seconds from one frame to the next, smoothed. A source often declares another rate: webcams halve theirs in the dark.
    interval: f64,
    /// Bits sent beyond the bitrate; negative if there is some left.
    backlog: f64,
    /// The quantiser of the last frame.
    qp: f64,
    /// Log2 of the bits that another predicted frame would take at `qp`: of two layers, their mean.
    level: f64,
    /// How much larger frames of the base layer are than the others, in log2; `None` if there are no others.
    tilt: Option<f64>,
    /// The last frame, if it was a predicted one of the base layer: its quantiser and log2 of its bits.
    base: Option<(f64, f64)>,
    /// How the size of predicted frames depends on the quantiser, in log2 of bits for each step. It varies between 0.1 and
    /// 2: at some quantiser the sensor's noise vanishes.
    slope: f64,
    /// The largest slope of the last ten seconds or so.
    steepest: f64,
    /// The last predicted frames of the base layer and of the upper one, since the last key frame: quantiser and log2 of bits.
    last: [Option<(f64, f64)>; 2],
    /// The smoothed difference between pictures.
    diff: f64,
    /// Log2 of the bits of an intra frame at [`INTRA_QP`] for one unit of detail.
    intra: f64,
    /// Key frames and replaced frames: none yet means that nothing is known.
    keys: u32,
    /// How often the current picture was encoded already.
    attempts: u32,
}

impl RateControl {
    /// A control for `bitrate` bit/s, pictures of `pixels` pixels and a declared frame interval.
    pub fn new(bitrate: u32, pixels: usize, interval: Duration) -> Self {
        Self {
            bitrate: f64::from(bitrate.max(1)),
            interval: interval.as_secs_f64().clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
            backlog: 0.0,
            qp: INTRA_QP,
            level: 0.0,
            tilt: None,
            base: None,
            slope: 0.3,
            steepest: 0.3,
            last: [None; 2],
            diff: 0.0,
            intra: (pixels as f64 * INTRA_BITS).log2(),
            keys: 0,
            attempts: 0,
        }
    }

    /// Sets the bitrate of the frames from now on, in bit/s.
    pub fn set_bitrate(&mut self, bitrate: u32) {
        let bitrate = f64::from(bitrate.max(1));
        // What is waiting takes longer on a slower link, but the viewers' queues were filled at the old rate.
        self.backlog *= bitrate / self.bitrate;
        self.bitrate = bitrate;
    }

    /// Whether there is an upper layer from now on.
    pub fn set_layers(&mut self, layered: bool) {
        self.tilt = layered.then_some(USUAL_TILT);
    }

    /// Chooses the quantiser of the next frame, captured `elapsed` after the previous one. `None` to drop it, because the stream
    /// would be more than a second behind its bitrate. Without a backlog no frame is dropped, however large it is.
    pub fn choose(&mut self, elapsed: Duration, layer: Layer, picture: Complexity) -> Option<u8> {
        self.attempts = 0;
        // A source whose timestamps stand still gets its declared rate.
        let elapsed = if elapsed.is_zero() { self.interval } else { elapsed.as_secs_f64() };
        self.follow(elapsed);
        self.backlog = (self.backlog - self.bitrate * elapsed).max(-self.frame());
        let key = layer == Layer::Key || self.keys == 0;
        let qp = clamp(if key { self.key_qp(picture) } else { self.predicted_qp(picture) });
        // Of the frame that follows a key frame nothing is certain but that it is no larger.
        let level = if key || self.last == [None; 2] {
            self.intra_level(picture, qp.into())
        } else {
            // What no encoder can compress has the same size in both layers.
            self.expected(picture) + self.shift(layer).max(0.0)
                - self.slope.min(INTRA_SLOPE) * (f64::from(qp) - self.qp)
        };
        let expected = level.exp2() * DROP_MARGIN;
        let late = self.backlog > 0.0 && self.backlog + expected > self.bitrate * LONGEST_BACKLOG;
        (!late).then_some(qp)
    }

    /// Learns from an encoded frame. `Some` if it is too large to be sent: its picture is to be encoded as a key frame
    /// with this quantiser instead. The third attempt has the coarsest one, so that no frame exceeds the limit unless
    /// the codec can make it no smaller.
    pub fn coded(&mut self, coded: Coded, picture: Complexity) -> Option<u8> {
        let bits = coded.bytes as f64 * 8.0;
        self.learn(coded, bits.max(64.0).log2(), picture);
        if bits <= self.limit() || coded.qp >= QP_MAX {
            self.backlog += bits;
            return None;
        }
        self.attempts += 1;
        if self.attempts > 1 {
            return Some(QP_MAX);
        }
        let excess = (bits / self.key_target()).log2();
        Some(clamp(f64::from(coded.qp) + (excess / INTRA_SLOPE).ceil() + 1.0))
    }

    /// Follows the measured frame rate.
    fn follow(&mut self, elapsed: f64) {
        if elapsed < PAUSE {
            let elapsed = elapsed.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
            self.interval += (elapsed - self.interval) * INTERVAL_WEIGHT;
        }
    }

    /// The largest frame that is sent, in bits.
    pub fn limit(&self) -> f64 {
        self.bitrate * (KEY_INTERVALS * self.interval).max(KEY_SECONDS) * LIMIT
    }

    /// The bits of one frame interval.
    fn frame(&self) -> f64 {
        self.bitrate * self.interval
    }

    /// The size of a key frame in bits: somewhat smaller while there is a backlog, so that several in a row do not add up.
    fn key_target(&self) -> f64 {
        let target = self.bitrate * (KEY_INTERVALS * self.interval).max(KEY_SECONDS);
        (target - self.backlog.max(0.0) * 0.2).max(target * 0.5)
    }

    /// The size of a predicted frame in bits.
    fn target(&self) -> f64 {
        let frame = self.frame();
        (frame - self.backlog * self.interval / CATCH_UP).clamp(frame * 0.6, frame * 1.1)
    }

    /// Log2 of the bits of `picture` as an intra frame with quantiser `qp`.
    fn intra_level(&self, picture: Complexity, qp: f64) -> f64 {
        self.intra + picture.detail.log2() - INTRA_SLOPE * (qp - INTRA_QP)
    }

    fn key_qp(&self, picture: Complexity) -> f64 {
        (INTRA_QP + (self.intra_level(picture, INTRA_QP) - self.key_target().log2()) / INTRA_SLOPE).ceil()
    }

    /// Log2 of the bits of `picture` as a predicted frame with the quantiser of the last one.
    fn expected(&self, picture: Complexity) -> f64 {
        // More movement than before makes larger frames, though never larger ones than without prediction. With the square of
        // the growth, a scene that was still for long is not underestimated: its frames were nearly empty.
        let growth = if self.diff > 0.0 && picture.diff > self.diff * 1.25 {
            (picture.diff / self.diff).log2() * 2.0
        } else {
            0.0
        };
        (self.level + growth).min(self.intra_level(picture, self.qp).max(self.level))
    }

    fn predicted_qp(&self, picture: Complexity) -> f64 {
        let expected = self.expected(picture);
        // A change of scene costs what a key frame costs.
        let changed = expected > self.level + 1.0;
        let excess = expected - if changed { self.key_target() } else { self.target() }.log2();
        // Coarser at once, by the smaller of the likely slopes; finer in small steps, by the largest.
        let step = if excess > 0.15 {
            let slope = if changed { INTRA_SLOPE } else { self.slope.clamp(0.15, 0.7) };
            (excess / slope).ceil()
        } else if excess < -4.0 {
            -3.0
        } else if excess < -2.0 {
            -2.0
        } else if excess < 0.2 - self.steepest.max(0.3) {
            -1.0
        } else {
            0.0
        };
        self.qp + step
    }

    /// How much larger than the mean of both layers a frame of one of them is, in log2.
    fn shift(&self, layer: Layer) -> f64 {
        let tilt = self.tilt.unwrap_or(0.0);
        let mean = (tilt.exp2().midpoint(1.0)).log2();
        match layer {
            Layer::Key => 0.0,
            Layer::Base => tilt - mean,
            Layer::Upper => -mean,
        }
    }

    fn learn(&mut self, coded: Coded, bits: f64, picture: Complexity) {
        let qp = f64::from(coded.qp);
        let bits = bits - self.learn_tilt(coded.layer, qp, bits);
        // The prediction for this quantiser.
        let level = self.level - self.slope * (qp - self.qp);
        if coded.layer == Layer::Key {
            let seen = bits - picture.detail.log2() + INTRA_SLOPE * (qp - INTRA_QP);
            self.intra += (seen - self.intra) * if self.keys == 0 { 1.0 } else { 0.7 };
            // What follows a key frame refines it: at its own quantiser half of what is allowed, if nothing is known.
            let frame = self.frame().log2();
            self.level = if self.keys == 0 { frame - 1.0 } else { level.max(frame - 3.0) };
            self.keys = self.keys.saturating_add(1);
            self.last = [None; 2];
        } else {
            // One of the other layer depends on the quantiser in another way.
            let last = &mut self.last[usize::from(coded.layer == Layer::Upper)];
            self.steepest *= STEEPEST_DECAY;
            if let Some((last_qp, last_bits)) = last.replace((qp, bits))
                && last_qp != qp
                && picture.diff <= self.diff * 1.25
            {
                let seen = ((last_bits - bits) / (qp - last_qp)).min(1.5);
                if seen > 0.0 {
                    self.slope += 0.3 * (seen - self.slope);
                    self.steepest = self.steepest.max(seen);
                }
            }
            let weight = match bits - level {
                // Another scene.
                excess if excess > 1.0 => 1.0,
                excess if excess > 0.0 => 0.7,
                _ => 0.5,
            };
            self.level = level + (bits - level) * weight;
        }
        self.qp = qp;
        let jumped = picture.diff > self.diff * 4.0;
        self.diff = if jumped { picture.diff } else { (self.diff + picture.diff) / 2.0 };
    }

    /// Learns how the layers differ; returns how much larger than the mean this frame is for being of its layer, in log2.
    fn learn_tilt(&mut self, layer: Layer, qp: f64, bits: f64) -> f64 {
        let shift = self.shift(layer);
        let base = self.base.take();
        match (layer, base, &mut self.tilt) {
            (Layer::Base, ..) => self.base = Some((qp, bits)),
            (Layer::Upper, Some((base_qp, base_bits)), Some(tilt)) => {
                let (least, most) = TILTS;
                let seen = (base_bits - self.slope * (qp - base_qp) - bits).clamp(least, most);
                *tilt += (seen - *tilt) * TILT_WEIGHT;
            }
            _ => {}
        }
        shift
    }
}

fn clamp(qp: f64) -> u8 {
    qp.clamp(f64::from(QP_MIN), f64::from(QP_MAX)) as u8
}

#[cfg(test)]
mod tests;
