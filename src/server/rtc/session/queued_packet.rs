//! What waits for its turn to be sent, until the pacer lets it go.

use std::sync::Arc;

use super::history::OutgoingFrame;
use super::rtp_sender::OVERHEAD;
use crate::media::h264::payload::MAX_PAYLOAD;
use crate::media::{AudioPacket, Timestamp};
use crate::server::rtc::rate::pacer::PacedPacket;

/// A packet that waits for its turn.
#[derive(Debug)]
pub enum QueuedPacket {
    /// An audio packet.
    Audio(AudioPacket),
    /// The packet at this place of a frame.
    Video {
        /// The frame.
        frame: Arc<OutgoingFrame>,
        /// The place.
        at: usize,
    },
    /// The packet of the video with this number, again.
    Repair(u16),
}

impl QueuedPacket {
    /// Whether it may be sent although the privacy switch was turned on at `since`.
    pub fn may_be_seen(&self, since: Timestamp) -> bool {
        match self {
            Self::Audio(packet) => packet.captured >= since,
            Self::Video { frame, .. } => frame.placeholder,
            // Of what was forgotten there is nothing to send.
            Self::Repair(_) => true,
        }
    }
}

/// About what a packet takes, in bytes.
pub fn size(paced: &PacedPacket<QueuedPacket>) -> usize {
    match paced {
        PacedPacket::Padding { bytes, .. } => bytes + OVERHEAD,
        PacedPacket::Pushed { packet: QueuedPacket::Audio(packet), .. } => packet.data.len() + OVERHEAD,
        PacedPacket::Pushed { .. } => MAX_PAYLOAD + OVERHEAD,
    }
}
