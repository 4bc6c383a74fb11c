//! Receives what a viewer says: reads the RTP packets of its audio, hands them to the floor, and reports to the viewer what was
//! lost.
//!
//! Whether anybody hears it is decided in `server::floor`; packets are played in `pipeline::speaker`.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use rtc::rtp::Packet;
use rtc::shared::error::Error;
use rtc::shared::marshal::Unmarshal as _;

use super::reception::Reception;
use crate::media::Timestamp;
use crate::media::playout::TalkPacket;
use crate::model::metrics::TalkDrop;
use crate::server::floor::Seat;
use crate::server::rtc::rtp_clock::AUDIO_RATE;
use crate::server::rtc::sdp::accepted::TalkFormat;

/// The most earlier packets that one may carry. Browsers carry one or two.
const MAX_EARLIER: usize = 4;

/// The header of an earlier packet, and that of the newest (RFC 2198 section 3).
const EARLIER_HEADER: usize = 4;
const NEWEST_HEADER: usize = 1;

/// The longest Opus packet that is worth anything: more than fits into a datagram.
const MAX_PAYLOAD: usize = 1_500;

/// Receives the audio of one viewer.
#[derive(Debug)]
pub struct TalkReceiver {
    seat: Arc<Seat>,
    format: TalkFormat,
    reception: Reception,
}

impl TalkReceiver {
    /// Receives audio of this format from whoever has the seat.
    pub fn new(seat: Arc<Seat>, format: TalkFormat) -> Self {
        Self { seat, format, reception: Reception::new(AUDIO_RATE) }
    }

    /// Handles a decrypted RTP packet that arrived at `arrived`.
    pub fn handle(&mut self, packet: &Bytes, arrived: Timestamp) {
        let Some(TalkRtp { ssrc, packets }) = TalkRtp::read(packet, self.format, arrived) else {
            return self.seat.drop_packets(TalkDrop::Malformed, 1);
        };
        if let Some(newest) = packets.last() {
            self.reception.note_packet(ssrc, newest.sequence, newest.timestamp, arrived);
        }
        packets.into_iter().for_each(|packet| self.seat.push(packet));
    }

    /// Counts packets that were more than a viewer may send.
    pub fn note_refused(&self, count: u64) {
        self.seat.drop_packets(TalkDrop::Rate, count);
    }

    /// Notes a sender report of the viewer.
    pub fn note_sender_report(&mut self, report: (u32, u32), arrived: Timestamp) {
        self.reception.note_sender_report(report, arrived);
    }

    /// A receiver report from our source `ssrc` at `now`; `None` if nothing was received since the last one.
    ///
    /// # Errors
    ///
    /// If the library can't write it.
    pub fn report(&mut self, ssrc: u32, now: Timestamp) -> Result<Option<BytesMut>, Error> {
        self.reception.report(ssrc, now)
    }
}

/// A viewer's packet.
#[derive(Debug)]
pub struct TalkRtp {
    /// Its source.
    pub ssrc: u32,
    /// The Opus packets in it, the newest at the end.
    pub packets: Vec<TalkPacket>,
}

impl TalkRtp {
    /// Reads a decrypted RTP packet that arrived at `arrived`; `None` if it is none of this format.
    pub fn read(packet: &Bytes, format: TalkFormat, arrived: Timestamp) -> Option<Self> {
        let Packet { header, payload } = Packet::unmarshal(&mut packet.clone()).ok()?;
        let (sequence, timestamp) = (header.sequence_number, header.timestamp);
        let newest = |payload| TalkPacket { sequence, timestamp, arrived, is_redundant: false, payload };
        let packets = match header.payload_type {
            // An empty one only keeps a NAT open.
            own if own == format.payload_type && (1..=MAX_PAYLOAD).contains(&payload.len()) => vec![newest(payload)],
            red if Some(red) == format.red => {
                let mut packets = earlier(&payload, format.payload_type)?;
                let payload = packets.pop()?.1;
                let count = packets.len() as u16;
                let earlier = packets.into_iter().zip(0u16..).map(|((offset, payload), at)| TalkPacket {
                    sequence: sequence.wrapping_sub(count - at),
                    timestamp: timestamp.wrapping_sub(offset),
                    arrived,
                    is_redundant: true,
                    payload,
                });
                let mut packets: Vec<_> = earlier.filter(|packet| !packet.payload.is_empty()).collect();
                packets.push(newest(payload));
                packets
            }
            _ => return None,
        };
        Some(Self { ssrc: header.ssrc, packets })
    }
}

/// The packets that one carries (RFC 2198 section 3), each with how much older it is in RTP time; the newest is the last. `None`
/// if they are malformed, or not all of type `payload_type`.
fn earlier(payload: &Bytes, payload_type: u8) -> Option<Vec<(u32, Bytes)>> {
    let mut rest = payload.clone();
    let mut lengths = Vec::new();
    loop {
        let first = *rest.first()?;
        if first & 0x7f != payload_type {
            return None;
        }
        if first & 0x80 == 0 {
            rest.advance(NEWEST_HEADER);
            break;
        }
        let fields = u32::from_be_bytes(*rest.first_chunk()?) & 0xff_ffff;
        rest.advance(EARLIER_HEADER);
        lengths.push((fields >> 10, (fields & 0x3ff) as usize));
        if lengths.len() > MAX_EARLIER {
            return None;
        }
    }
    let mut packets = Vec::with_capacity(lengths.len() + 1);
    for (offset, length) in lengths {
        if length > rest.len() {
            return None;
        }
        packets.push((offset, rest.split_to(length)));
    }
    packets.push((0, rest));
    packets.last().is_some_and(|(_, newest)| (1..=MAX_PAYLOAD).contains(&newest.len())).then_some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: TalkFormat = TalkFormat { payload_type: 111, red: Some(63) };

    /// An RTP packet of the source 7 with the number 1 and the timestamp 960.
    fn rtp(payload_type: u8, payload: &[u8]) -> Bytes {
        [&[0x80, payload_type, 0, 1, 0, 0, 3, 0xc0, 0, 0, 0, 7], payload].concat().into()
    }

    /// The number, timestamp and payload of a packet, and whether it came along.
    type Read = (u16, u32, bool, Vec<u8>);

    fn read(packet: &Bytes) -> Option<Vec<Read>> {
        let read = TalkRtp::read(packet, FORMAT, Timestamp::default())?;
        assert_eq!(read.ssrc, 7);
        let of = |packet: TalkPacket| (packet.sequence, packet.timestamp, packet.is_redundant, packet.payload.to_vec());
        Some(read.packets.into_iter().map(of).collect())
    }

    #[test]
    fn opus_is_read_alone_and_with_the_packets_before_it() {
        assert_eq!(read(&rtp(111, b"new")), Some(vec![(1, 960, false, b"new".to_vec())]));
        // 1,920 and 960 ticks older, with 3 and 5 bytes.
        let red = [&[0xef, 0x1e, 0, 3, 0xef, 0x0f, 0, 5, 111][..], b"oldnewernewest"].concat();
        let expected = vec![
            (u16::MAX, u32::MAX - 959, true, b"old".to_vec()),
            (0, 0, true, b"newer".to_vec()),
            (1, 960, false, b"newest".to_vec()),
        ];
        assert_eq!(read(&rtp(63, &red)), Some(expected));
        assert_eq!(read(&rtp(63, &[&[111][..], b"alone"].concat())).map(|packets| packets.len()), Some(1));
    }

    #[test]
    fn what_was_not_negotiated_or_is_cut_off_is_refused() {
        for (payload_type, payload) in [
            (111, &b""[..]),
            (0, b"other"),
            (63, b""),
            (63, &[111]),
            (63, &[0xef, 0x1e]),
            (63, &[0xef, 0x1e, 0, 9, 111, 1]),
            (63, &[0xe0, 0x1e, 0, 1, 111, 1, 2]),
            (63, &[0xef, 0, 0, 0, 0xef, 0, 0, 0, 0xef, 0, 0, 0, 0xef, 0, 0, 0, 0xef, 0, 0, 0, 111, 1]),
        ] {
            assert_eq!(read(&rtp(payload_type, payload)), None, "{payload_type} {payload:?}");
        }
        assert_eq!(read(&Bytes::from_static(&[0x80, 111, 0])), None);
        let plain = TalkFormat { red: None, ..FORMAT };
        assert!(TalkRtp::read(&rtp(63, &[111, 1]), plain, Timestamp::default()).is_none());
    }
}
