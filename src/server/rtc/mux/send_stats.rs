//! Counts what was sent: packets, bytes, drops, and the age of frames.

use crate::media::Timestamp;
use crate::model::metrics::{DropPoint, Metrics};

/// Counts what is sent to one session; cheap to clone.
#[derive(Debug, Clone)]
pub struct SendStats {
    /// Where packets, bytes, drops and ages are counted.
    pub metrics: Metrics,
}

impl SendStats {
    /// Counts datagrams that the kernel accepted.
    pub fn sent(&self, datagrams: usize, bytes: usize) {
        self.metrics.packets_sent.inc_by(datagrams as u64);
        self.metrics.bytes_sent.inc_by(bytes as u64);
    }

    /// Notes that the kernel has accepted the last packet of a frame.
    pub fn frame_sent(&self, captured: Timestamp) {
        self.metrics.socket_seconds.observe(Timestamp::now().saturating_since(captured).as_secs_f64());
    }

    /// Counts datagrams that were dropped.
    pub fn dropped(&self, datagrams: usize) {
        self.metrics.count_drop(DropPoint::Socket, datagrams as u64);
    }
}
