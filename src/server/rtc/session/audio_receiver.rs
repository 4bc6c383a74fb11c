//! The audio of one viewer as it is received from the encoder, where packets that were missed are a gap.

use crate::media::AudioPacket;
use crate::util::broadcast::{RecvError, Subscriber};

/// Receives the audio of one viewer.
pub struct AudioReceiver {
    /// `None` while it is muted, or if there is none.
    packets: Option<Subscriber<AudioPacket>>,
    /// Whether the next packet follows a gap.
    gap: bool,
}

impl AudioReceiver {
    /// Receives these packets; `gap` tells whether the first one follows a gap.
    pub fn new(packets: Option<Subscriber<AudioPacket>>, gap: bool) -> Self {
        Self { packets, gap }
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
    use crate::util::broadcast::Broadcast;

    #[tokio::test]
    async fn missed_packets_are_a_gap() {
        let source = Broadcast::new(2);
        let mut audio = AudioReceiver::new(Some(source.subscribe()), false);
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
