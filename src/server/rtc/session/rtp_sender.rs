//! The RTP streams of a session: packets with capture timestamps and header extensions, and retransmissions (NACK, RTX).
//!
//! Pure: packets go into [`Packets`], encrypted. The payloads are shared with all other sessions.

use std::time::Instant;

use bytes::{BufMut as _, Bytes};
use rtc::rtp::header::{EXTENSION_PROFILE_TWO_BYTE, Header};
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal as _, MarshalSize as _};

use super::history::{History, PacketHead, SentFrame, SentPacket};
use super::packets::Packets;
use crate::media::encoder::SMALL_NAL;
use crate::media::h264::payload::MAX_PAYLOAD;
use crate::media::{AudioPacket, EncodedFrame};
use crate::server::rtc::peer::Srtp;
use crate::server::rtc::rtp_clock::RtpClock;
use crate::server::rtc::sdp::accepted::RtpFormat;
use crate::server::rtc::sdp::formats::{MAX_ONE_BYTE_ID, PacketizationMode};
use crate::server::sessions::PlayoutDelay;

/// Bytes of a packet besides its payload, at most: header, extensions, and the tag of SRTP.
const OVERHEAD: usize = 64;

// With packetization-mode 0 a NAL unit is a payload.
const _: () = assert!(SMALL_NAL <= MAX_PAYLOAD);

/// One RTP stream.
#[derive(Debug)]
pub struct RtpStream {
    clock: RtpClock,
    format: RtpFormat,
    /// The number of the next packet.
    next: u16,
    /// The packets and the bytes of payload so far, as in sender reports.
    packets: u32,
    octets: u32,
    /// The packet that is being written.
    plain: Vec<u8>,
}

impl RtpStream {
    /// A stream with this clock, as it was negotiated.
    pub fn new(clock: RtpClock, format: RtpFormat) -> Self {
        Self { clock, format, next: initial_sequence(), packets: 0, octets: 0, plain: Vec::new() }
    }

    /// Its clock and synchronisation source.
    pub fn clock(&self) -> &RtpClock {
        &self.clock
    }

    /// Packets and bytes of payload sent, modulo 2^32 (RFC 3550 section 6.4.1).
    pub fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// Adds the next packet, and counts it. Returns its number.
    fn push(
        &mut self,
        head: &PacketHead,
        payload: impl Fn(&mut Vec<u8>),
        srtp: &mut Srtp,
        packets: &mut Packets,
    ) -> Result<u16, Error> {
        let number = self.next;
        let header = header(&self.format, self.format.payload_type, self.clock.ssrc, number, head)?;
        let payload_bytes = self.write(&header, payload)?;
        packets.push(&srtp.seal_rtp(&self.plain, &header)?);
        self.next = self.next.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        Ok(number)
    }

    /// Writes a packet to `plain`; returns the length of its payload.
    fn write(&mut self, header: &Header, payload: impl Fn(&mut Vec<u8>)) -> Result<usize, Error> {
        let size = header.marshal_size();
        self.plain.clear();
        self.plain.put_bytes(0, size);
        header.marshal_to(&mut self.plain)?;
        payload(&mut self.plain);
        Ok(self.plain.len() - size)
    }
}

/// The stream of a session's audio.
#[derive(Debug)]
pub struct AudioSender(pub RtpStream);

impl AudioSender {
    /// An Opus packet, with the marker if it is the first one after a gap (RFC 3551 section 4.1).
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn packet(&mut self, packet: &AudioPacket, srtp: &mut Srtp) -> Result<Packets, Error> {
        let head = PacketHead {
            timestamp: self.0.clock.timestamp(packet.captured),
            marker: packet.gap,
            captured: Some(packet.captured.ntp()),
            playout_delay: None,
        };
        let mut packets = Packets::with_capacity(1, packet.data.len() + OVERHEAD);
        self.0.push(&head, |plain| plain.extend_from_slice(&packet.data), srtp, &mut packets)?;
        Ok(packets)
    }
}

/// The stream of a session's video.
#[derive(Debug)]
pub struct VideoSender {
    stream: RtpStream,
    rtx: Option<Retransmissions>,
    history: History,
}

/// The stream that packets are sent again on (RFC 4588).
#[derive(Debug)]
struct Retransmissions {
    ssrc: u32,
    payload_type: u8,
    next: u16,
}

impl VideoSender {
    /// The stream, with the synchronisation source of its retransmissions if they were negotiated.
    pub fn new(stream: RtpStream, rtx_ssrc: u32) -> Self {
        let rtx = stream.format.rtx.map(|payload_type| Retransmissions {
            ssrc: rtx_ssrc,
            payload_type,
            next: initial_sequence(),
        });
        Self { stream, rtx, history: History::default() }
    }

    /// The stream itself.
    pub fn stream(&self) -> &RtpStream {
        &self.stream
    }

    /// The packets of a frame, its NAL units in them as `mode` has it.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt them.
    pub fn frame(
        &mut self,
        frame: &EncodedFrame,
        mode: PacketizationMode,
        delay: PlayoutDelay,
        srtp: &mut Srtp,
    ) -> Result<Packets, Error> {
        let payloads = match mode {
            PacketizationMode::SingleNalUnit => frame.payloads.single_nal_units(&frame.data),
            PacketizationMode::NonInterleaved => frame.payloads.non_interleaved(&frame.data),
        };
        let sent = SentFrame {
            first: self.stream.next,
            payloads,
            timestamp: self.stream.clock.timestamp(frame.captured),
            captured: frame.captured.ntp(),
            playout_delay: playout_delay(delay),
        };
        let count = sent.payloads.len();
        let mut packets = Packets::with_capacity(count, frame.data.len() + count * OVERHEAD);
        for (at, payload) in sent.payloads.iter().enumerate() {
            self.stream.push(&sent.head(at), |plain| payload.write(plain), srtp, &mut packets)?;
        }
        packets.end_frame(frame.captured);
        self.history.push(sent);
        Ok(packets)
    }

    /// What is sent again of the packets that the viewer reports lost.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn resend(&mut self, lost: &[u16], now: Instant, srtp: &mut Srtp) -> Result<Packets, Error> {
        let mut packets = Packets::default();
        for number in lost {
            let Some(SentPacket { head, payload }) = self.history.admit(*number, now) else { continue };
            let format = &self.stream.format;
            let header = match &mut self.rtx {
                Some(rtx) => {
                    let header = header(format, rtx.payload_type, rtx.ssrc, rtx.next, &head)?;
                    rtx.next = rtx.next.wrapping_add(1);
                    header
                }
                None => header(format, format.payload_type, self.stream.clock.ssrc, *number, &head)?,
            };
            let original = self.rtx.as_ref().map(|_| number.to_be_bytes());
            self.stream.write(&header, |plain| {
                plain.extend(original.into_iter().flatten());
                payload.write(plain);
            })?;
            packets.push(&srtp.seal_rtp(&self.stream.plain, &header)?);
        }
        Ok(packets)
    }

    /// What was sent, and may be sent again.
    pub fn history(&mut self) -> &mut History {
        &mut self.history
    }
}

/// The number before that of the first packet: random, as RFC 3550 section 5.1 asks, and below 2^15. Receivers start to
/// count the wraps of the sequence number with the first packet that arrives. If the first ones are lost, and the number
/// wraps meanwhile, they and we would differ in the SRTP index for good (RFC 3711 section 3.3.1).
fn initial_sequence() -> u16 {
    rand::random::<u16>() % (1 << 15)
}

/// The header of a packet.
fn header(
    format: &RtpFormat,
    payload_type: u8,
    ssrc: u32,
    sequence_number: u16,
    head: &PacketHead,
) -> Result<Header, Error> {
    let PacketHead { timestamp, marker, .. } = *head;
    let mut header =
        Header { version: 2, payload_type, ssrc, sequence_number, timestamp, marker, ..Default::default() };
    let captured = format.capture_time_id.zip(head.captured);
    let delay = format.playout_delay_id.zip(head.playout_delay);
    let extensions = [
        captured.map(|(id, time)| (id, Bytes::copy_from_slice(&time.to_be_bytes()))),
        delay.map(|(id, delay)| (id, Bytes::copy_from_slice(&delay.to_be_bytes()[1..]))),
    ];
    set_extensions(&mut header, extensions.into_iter().flatten())?;
    Ok(header)
}

/// Puts extensions into a header: in the two-byte form if the one-byte form cannot carry an id (RFC 8285 section 4.2),
/// which is negotiated only where the two may be mixed.
fn set_extensions(header: &mut Header, extensions: impl Iterator<Item = (u8, Bytes)> + Clone) -> Result<(), Error> {
    if extensions.clone().any(|(id, _)| id > MAX_ONE_BYTE_ID) {
        header.extension = true;
        header.extension_profile = EXTENSION_PROFILE_TWO_BYTE;
    }
    for (id, value) in extensions {
        header.set_extension(id, value)?;
    }
    Ok(())
}

/// The value of the `playout-delay` header extension in its last three bytes: 12 bits each for the minimum and the
/// maximum delay, in units of 10 ms.
fn playout_delay(PlayoutDelay { min_ms, max_ms }: PlayoutDelay) -> u32 {
    (u32::from(min_ms / 10) << 12) | u32::from(max_ms / 10) & 0xfff
}

#[cfg(test)]
mod tests {
    use rtc::shared::marshal::Unmarshal as _;

    use super::*;

    #[test]
    fn extensions_with_any_id_are_read_back() {
        for (capture_time, delay) in [(1, 14), (14, 16), (255, 3), (20, 21)] {
            let mut header = Header { version: 2, ..Header::default() };
            let values = [(capture_time, Bytes::from_static(b"12345678")), (delay, Bytes::from_static(b"abc"))];
            set_extensions(&mut header, values.iter().cloned()).expect("every id can be carried");
            let bytes = header.marshal().expect("should be written");
            assert_eq!(bytes.len() % 4, 0, "the header is padded");
            let read = Header::unmarshal(&mut &bytes[..]).expect("should be read");
            for (id, value) in values {
                assert_eq!(read.get_extension(id), Some(value), "{id}");
            }
        }
    }

    #[test]
    fn the_first_packets_do_not_wrap_the_sequence_number() {
        assert!((0..1_000).all(|_| initial_sequence() < 1 << 15));
    }

    #[test]
    fn the_playout_delay_is_two_times_twelve_bits() {
        assert_eq!(playout_delay(PlayoutDelay { min_ms: 0, max_ms: 0 }), 0);
        assert_eq!(playout_delay(PlayoutDelay { min_ms: 100, max_ms: 40_950 }), 0x00_af_ff);
    }
}
