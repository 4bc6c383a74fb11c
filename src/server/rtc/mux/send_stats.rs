//! Counts packets that were sent: packets, bytes, and the age of frames. Pure.

use crate::media::Timestamp;
use crate::model::metrics::{DropPoint, Metrics};
use crate::server::rtc::rtp_clock::RtpClock;

/// Counts what is sent to one session; cheap to clone.
#[derive(Debug, Clone)]
pub struct SendStats {
    /// The clock of the session's video stream, to compute the age of a frame from its packets.
    pub video: RtpClock,
    /// Where packets, bytes, drops and ages are counted.
    pub metrics: Metrics,
}

impl SendStats {
    /// Counts a datagram that the kernel accepted.
    pub fn sent(&self, datagram: &[u8]) {
        self.metrics.packets_sent.inc();
        self.metrics.bytes_sent.inc_by(datagram.len() as u64);
        if let Some(timestamp) = last_packet_of_frame(datagram, self.video.ssrc) {
            self.metrics.socket_seconds.observe(self.video.age(timestamp, Timestamp::now()).as_secs_f64());
        }
    }

    /// Counts a datagram that was dropped.
    pub fn dropped(&self) {
        self.metrics.count_drop(DropPoint::Socket, 1);
    }
}

/// The RTP timestamp if the datagram is the last packet of a frame of this stream: SRTP leaves the header (RFC 3550
/// section 5.1) unencrypted, and H.264 sets the marker bit on a frame's last packet (RFC 6184 section 5.1).
fn last_packet_of_frame(datagram: &[u8], ssrc: u32) -> Option<u32> {
    let header = datagram.first_chunk::<12>()?;
    let is_rtp = header[0] >> 6 == 2;
    let marker = header[1] & 0x80 != 0;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    (is_rtp && marker && word(8) == ssrc).then(|| word(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_packet_of_a_frame_has_its_timestamp_read() {
        let packet = [0x90, 0x80 | 102, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5, 0xff];
        assert_eq!(last_packet_of_frame(&packet, 5), Some(9));
        assert_eq!(last_packet_of_frame(&packet, 6), None, "another stream");
        let mut middle = packet;
        middle[1] = 102;
        assert_eq!(last_packet_of_frame(&middle, 5), None, "no marker");
        assert_eq!(last_packet_of_frame(&packet[..11], 5), None, "too short");
        assert_eq!(last_packet_of_frame(&[0; 20], 0), None, "STUN");
    }
}
