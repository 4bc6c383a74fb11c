//! The bitrate of one kind of packets, measured from tick to tick. Pure: time is an argument.

/// Counts bytes and makes a bitrate of them.
#[derive(Debug)]
pub struct BitrateMeter {
    /// Since the last tick.
    bytes: usize,
    /// Of the ticks before, in bit/s.
    bitrate: f64,
    /// The share of it that is kept with each tick in which less is sent.
    kept: f64,
}

impl BitrateMeter {
    /// Begins with `bitrate` bit/s and keeps the share `kept` of it with each tick in which less is sent.
    pub fn new(bitrate: f64, kept: f64) -> Self {
        Self { bytes: 0, bitrate, kept }
    }

    /// Counts bytes.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Ends a tick of `elapsed` seconds.
    pub fn tick(&mut self, elapsed: f64) {
        let bitrate = std::mem::take(&mut self.bytes) as f64 * 8.0 / elapsed.max(1e-3);
        self.bitrate = bitrate.max(self.bitrate * self.kept);
    }

    /// In bit/s.
    pub fn bitrate(&self) -> f64 {
        self.bitrate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_counts_at_once_and_less_after_a_while() {
        let mut audio = BitrateMeter::new(60_000.0, 0.5);
        for _ in 0..25 {
            // What Opus of 128 kbit/s takes, with headers.
            audio.add(384);
        }
        audio.tick(0.5);
        assert!((audio.bitrate() - 153_600.0).abs() < 1.0);
        for _ in 0..10 {
            audio.tick(0.5);
        }
        assert!(audio.bitrate() < 200.0, "nothing while it is muted: {}", audio.bitrate());
        let mut repair = BitrateMeter::new(0.0, 0.0);
        repair.add(1_000);
        repair.tick(1.0);
        repair.tick(1.0);
        assert!(repair.bitrate() < 1.0);
    }
}
