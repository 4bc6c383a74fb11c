//! Leaves frames out for one viewer: those that no other needs, while only the base layer is to be sent. Measures what the layers
//! of the stream take. Pure.
//!
//! When frames are to be left out is decided in `layer_choice`. What needs them to be left out at once, because they wait, is
//! in `rate::pacer`.

use crate::media::EncodedFrame;
use crate::model::status::Layers;
use crate::server::rtc::rate::pacer::FrameKind;

/// Over how many seconds the layers are measured: frames of either vary, and all of a key frame is base layer.
const LAYER_TIME: f64 = 2.0;

/// And for how many at least.
const LEAST_LAYER_TIME: f64 = 1.0;

/// The frames of one viewer.
#[derive(Debug, Default)]
pub struct LayerFilter {
    layers: Layers,
    meter: LayerMeter,
    /// Frames that were left out, since that was asked.
    left_out: u64,
}

impl LayerFilter {
    /// Has these frames of the stream sent from now on.
    pub fn set(&mut self, layers: Layers) {
        self.layers = layers;
    }

    /// What the next frame is to the others, if it is to be sent.
    pub fn pass(&mut self, frame: &EncodedFrame) -> Option<FrameKind> {
        self.meter.add(frame.data.len(), frame.disposable);
        if frame.key {
            return Some(FrameKind::Key);
        }
        if !frame.disposable {
            return Some(FrameKind::Reference);
        }
        if self.layers == Layers::Base {
            self.left_out += 1;
            return None;
        }
        Some(FrameKind::Disposable)
    }

    /// Frames were left out later on their way.
    pub fn note_left_out(&mut self, count: u64) {
        self.left_out += count;
    }

    /// The frames that were left out, since the last time.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// The frames from now on are those of another stream, whose layers are measured anew.
    pub fn begin_stream(&mut self) {
        self.meter = LayerMeter::default();
    }

    /// Ends an interval of so many seconds, for the measurement.
    pub fn tick(&mut self, seconds: f64) {
        self.meter.tick(seconds);
    }

    /// What the stream takes; `None` until it was measured for a second.
    pub fn rates(&self) -> Option<LayerRates> {
        self.meter.rates()
    }

    /// The share of the stream's bitrate that is sent, as far as is known.
    pub fn sent_share(&self) -> f64 {
        self.rates().filter(|_| self.layers == Layers::Base).map_or(1.0, |rates| rates.base_share)
    }
}

/// What a stream takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerRates {
    /// With all frames, in bit/s.
    pub all: u32,
    /// The share of that without the frames that no other needs.
    pub base_share: f64,
}

/// Measures the layers of one stream.
#[derive(Debug, Default)]
struct LayerMeter {
    /// Bytes since the last tick: of all frames, and of those that others need.
    all_bytes: usize,
    base_bytes: usize,
    /// The same in bit/s, over the last seconds.
    all: f64,
    base: f64,
    /// How long the stream has been measured.
    seconds: f64,
}

impl LayerMeter {
    fn add(&mut self, bytes: usize, disposable: bool) {
        self.all_bytes += bytes;
        self.base_bytes += if disposable { 0 } else { bytes };
    }

    fn tick(&mut self, seconds: f64) {
        let seconds = seconds.max(1e-3);
        self.seconds += seconds;
        let weight = (seconds / self.seconds.min(LAYER_TIME)).min(1.0);
        for (rate, bytes) in [(&mut self.all, &mut self.all_bytes), (&mut self.base, &mut self.base_bytes)] {
            *rate += (std::mem::take(bytes) as f64 * 8.0 / seconds - *rate) * weight;
        }
    }

    fn rates(&self) -> Option<LayerRates> {
        (self.seconds >= LEAST_LAYER_TIME && self.all > 0.0)
            .then(|| LayerRates { all: self.all as u32, base_share: self.base / self.all })
    }
}

#[cfg(test)]
mod tests;
