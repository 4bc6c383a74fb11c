//! The RTP stream of one track of a session: packets with capture timestamps and header extensions.

use std::sync::Arc;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtp::header::{EXTENSION_PROFILE_TWO_BYTE, Header};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RtpSender;

use super::payload::payloads;
use crate::media::Timestamp;
use crate::media::encoder::SMALL_NAL;
use crate::server::rtc::rtp_clock::RtpClock;
use crate::server::rtc::sdp::formats::{ABS_CAPTURE_TIME, MAX_ONE_BYTE_ID, PLAYOUT_DELAY, PacketizationMode};
use crate::server::sessions::PlayoutDelay;

/// The maximum RTP payload in bytes: with RTP header, extensions and SRTP tag a packet stays below 1200 bytes, which
/// passes every path that IPv6 (RFC 8200 section 5) and common tunnels allow.
const MAX_PAYLOAD: usize = 1_140;

// With packetization-mode 0 a NAL unit is a payload.
const _: () = assert!(SMALL_NAL <= MAX_PAYLOAD);

/// The id of the media stream, as in `a=msid`.
const STREAM_ID: &str = "porthole";

/// One track of one session.
pub struct RtpStream {
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    clock: RtpClock,
    sequence: u16,
    negotiated: Option<NegotiatedCodec>,
}

/// What was negotiated.
struct NegotiatedCodec {
    payload_type: u8,
    capture_time_id: Option<u8>,
    playout_delay_id: Option<u8>,
}

impl RtpStream {
    /// Adds a sending track to the connection. The remote description must be set already, as the ids of header
    /// extensions come from it.
    pub async fn add(
        connection: &dyn PeerConnection,
        kind: RtpCodecKind,
        codec: RTCRtpCodec,
        clock: RtpClock,
    ) -> Result<Self, webrtc::error::Error> {
        let id = if kind == RtpCodecKind::Video { "video" } else { "audio" };
        let rtx = (kind == RtpCodecKind::Video).then(|| RTCRtpRtxParameters { ssrc: rand::random() });
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(clock.ssrc), rtx, ..Default::default() },
            codec,
            ..Default::default()
        };
        let track = MediaStreamTrack::new(STREAM_ID.into(), id.into(), id.into(), kind, vec![coding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let sender = connection.add_track(track.clone()).await?;
        Ok(Self { track, sender, clock, sequence: initial_sequence(), negotiated: None })
    }

    /// Whether the viewer has closed the transport (DTLS close_notify). The library has no event for it.
    pub async fn is_closed(&self) -> bool {
        match self.sender.transport().await {
            Ok(Some(transport)) => transport.state().await.is_ok_and(|state| state == RTCDtlsTransportState::Closed),
            _ => false,
        }
    }

    /// Sends an H.264 access unit in Annex B format, its NAL units in packets as `mode` has them. `playout_delay` is the value of the header extension.
    pub async fn send_video(
        &mut self,
        captured: Timestamp,
        access_unit: &Bytes,
        mode: PacketizationMode,
        playout_delay: &Bytes,
    ) -> Result<(), webrtc::error::Error> {
        let payloads = payloads(access_unit, mode, MAX_PAYLOAD)?;
        let last = payloads.len().saturating_sub(1);
        for (at, payload) in payloads.into_iter().enumerate() {
            let delay = (at == 0).then_some(playout_delay);
            self.send(captured, payload, at == 0, delay, at == last).await?;
        }
        Ok(())
    }

    /// Sends an Opus packet; `gap` marks the first one after a gap (RFC 3551 section 4.1).
    pub async fn send_audio(
        &mut self,
        captured: Timestamp,
        packet: Bytes,
        gap: bool,
    ) -> Result<(), webrtc::error::Error> {
        self.send(captured, packet, true, None, gap).await
    }

    async fn send(
        &mut self,
        captured: Timestamp,
        payload: Bytes,
        first: bool,
        playout_delay: Option<&Bytes>,
        marker: bool,
    ) -> Result<(), webrtc::error::Error> {
        if self.negotiated.is_none() {
            self.negotiated = Some(self.negotiate().await?);
        }
        let Some(negotiated) = &self.negotiated else { return Ok(()) };
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = Header {
            version: 2,
            payload_type: negotiated.payload_type,
            ssrc: self.clock.ssrc,
            sequence_number: self.sequence,
            timestamp: self.clock.timestamp(captured),
            marker,
            ..Default::default()
        };
        let capture_time = first.then(|| Bytes::copy_from_slice(&captured.ntp().to_be_bytes()));
        let extensions =
            [negotiated.capture_time_id.zip(capture_time), negotiated.playout_delay_id.zip(playout_delay.cloned())];
        set_extensions(&mut header, extensions.into_iter().flatten().collect())?;
        self.track.write_rtp(rtc::rtp::Packet { header, payload }).await
    }

    /// The viewer's payload type and extension ids.
    async fn negotiate(&self) -> Result<NegotiatedCodec, webrtc::error::Error> {
        let parameters = self.sender.get_parameters().await?.rtp_parameters;
        let id = |uri: &str| {
            let extension = parameters.header_extensions.iter().find(|extension| extension.uri == uri)?;
            u8::try_from(extension.id).ok()
        };
        let codec = parameters.codecs.first().ok_or(webrtc::error::Error::ErrCodecNotFound)?;
        Ok(NegotiatedCodec {
            payload_type: codec.payload_type,
            capture_time_id: id(ABS_CAPTURE_TIME),
            playout_delay_id: id(PLAYOUT_DELAY),
        })
    }
}

/// The number before that of the first packet: random, as RFC 3550 section 5.1 asks, and below 2^15. Receivers start to
/// count the wraps of the sequence number with the first packet that arrives. If the first ones are lost, and the number
/// wraps meanwhile, they and we would differ in the SRTP index for good (RFC 3711 section 3.3.1).
fn initial_sequence() -> u16 {
    rand::random::<u16>() % ((1 << 15) - 1)
}

/// Puts extensions into a header: in the two-byte form if the one-byte form cannot carry an id (RFC 8285 section 4.2),
/// which is negotiated only where the two may be mixed.
fn set_extensions(header: &mut Header, extensions: Vec<(u8, Bytes)>) -> Result<(), webrtc::error::Error> {
    if extensions.iter().any(|(id, _)| *id > MAX_ONE_BYTE_ID) {
        header.extension = true;
        header.extension_profile = EXTENSION_PROFILE_TWO_BYTE;
    }
    for (id, value) in extensions {
        header.set_extension(id, value)?;
    }
    Ok(())
}

/// The value of the `playout-delay` header extension: 12 bits each for the minimum and the maximum delay, in units of
/// 10 ms.
pub fn playout_delay(PlayoutDelay { min_ms, max_ms }: PlayoutDelay) -> Bytes {
    let value = (u32::from(min_ms / 10) << 12) | u32::from(max_ms / 10) & 0xfff;
    Bytes::copy_from_slice(&value.to_be_bytes()[1..])
}

#[cfg(test)]
mod tests {
    use rtc::shared::marshal::{Marshal as _, Unmarshal as _};

    use super::*;

    #[test]
    fn extensions_with_any_id_are_read_back() {
        for (capture_time, delay) in [(1, 14), (14, 16), (255, 3), (20, 21)] {
            let mut header = Header { version: 2, ..Header::default() };
            let values = [(capture_time, Bytes::from_static(b"12345678")), (delay, Bytes::from_static(b"abc"))];
            set_extensions(&mut header, values.to_vec()).expect("every id can be carried");
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
        assert!((0..1_000).all(|_| (1..1 << 15).contains(&(initial_sequence() + 1))));
    }

    #[test]
    fn the_playout_delay_is_two_times_twelve_bits() {
        assert_eq!(playout_delay(PlayoutDelay { min_ms: 0, max_ms: 0 })[..], [0, 0, 0]);
        assert_eq!(playout_delay(PlayoutDelay { min_ms: 100, max_ms: 40_950 })[..], [0x00, 0xaf, 0xff]);
    }
}
