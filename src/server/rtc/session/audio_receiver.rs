//! The audio of one viewer as it is received from the encoder, where packets that were missed are a gap.

use crate::media::AudioPacket;
use crate::util::broadcast::{Broadcast, DemandGuard, RecvError, Subscriber};

/// Receives the audio of one viewer.
pub struct AudioReceiver {
    /// `None` while it is muted, or if there is none.
    packets: Option<Subscriber<AudioPacket>>,
    /// Whether the next packet follows a gap.
    gap: bool,
    /// While it needs protection against loss.
    protection: Option<DemandGuard>,
}

impl AudioReceiver {
    /// Receives from the source, if there is one that shall be heard; `gap` tells whether the first packet follows a gap.
    pub fn new(source: Option<&Broadcast<AudioPacket>>, gap: bool) -> Self {
        Self { packets: source.map(Broadcast::subscribe), gap, protection: None }
    }

    /// Has the source protect its packets against loss, if there is one; not while nothing is received.
    pub fn protect(&mut self, source: Option<&Broadcast<AudioPacket>>) {
        let source = source.filter(|_| self.packets.is_some());
        if source.is_some() != self.protection.is_some() {
            self.protection = source.map(|source| source.loss_protection().register());
        }
    }

    /// Has the next packet follow a gap: one was not sent.
    pub fn note_gap(&mut self) {
        self.gap = true;
    }

    /// The next packet; pending forever if there is none. Packets that were missed are lost: players conceal them. Cancel safe.
    pub async fn next(&mut self) -> AudioPacket {
        while let Some(packets) = &mut self.packets {
            match packets.recv().await {
                Ok(mut packet) => {
                    packet.gap |= std::mem::take(&mut self.gap);
                    return packet;
                }
                Err(RecvError::Lagged(_)) => self.gap = true,
                Err(RecvError::Closed) => self.packets = None,
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::Timestamp;

    #[tokio::test]
    async fn missed_packets_are_a_gap() {
        let source = Broadcast::new(2);
        let mut audio = AudioReceiver::new(Some(&source), false);
        let publish = |count| {
            for _ in 0..count {
                source.publish(AudioPacket { captured: Timestamp::default(), gap: false, data: Bytes::new() });
            }
        };
        publish(1);
        assert!(!audio.next().await.gap);
        publish(9);
        assert!(audio.next().await.gap);
        assert!(!audio.next().await.gap);
        audio.note_gap();
        publish(1);
        assert!(audio.next().await.gap);
    }
}
