//! A viewer that sends audio: RTP packets of Opus as the test makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::Packet;
use rtc::rtp::header::Header;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::{Boxed, Viewer};

/// The payload type of Opus, as the offer has it.
const OPUS: u8 = 96;

/// What a viewer sends audio on.
pub struct Voice {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

impl Voice {
    pub fn new() -> Self {
        static VOICES: AtomicU32 = AtomicU32::new(0);
        let ssrc = 0x5a5a_0000 | VOICES.fetch_add(1, Ordering::Relaxed);
        let codec = RTCRtpCodec {
            mime_type: "audio/opus".into(),
            clock_rate: 48_000,
            channels: 2,
            sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
            rtcp_feedback: vec![],
        };
        let rtp_coding_parameters = RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() };
        let codings = vec![RTCRtpEncodingParameters { rtp_coding_parameters, codec, ..Default::default() }];
        let track = MediaStreamTrack::new("voice".into(), "voice".into(), "voice".into(), RtpCodecKind::Audio, codings);
        Self { track: Arc::new(TrackLocalStaticRTP::new(track)), ssrc }
    }

    pub fn track(&self) -> Arc<dyn TrackLocal> {
        self.track.clone()
    }
}

impl Viewer {
    /// Sends a packet of audio, once the connection is established. Only with [`Options::talks`](super::Options::talks).
    pub fn send_audio(&self, sequence_number: u16, timestamp: u32, payload: Bytes) -> Boxed<'_, ()> {
        Box::pin(async move {
            let voice = self.voice.as_ref().context("this viewer does not talk")?;
            let ssrc = voice.ssrc;
            let header =
                Header { version: 2, payload_type: OPUS, sequence_number, timestamp, ssrc, ..Default::default() };
            Ok(voice.track.write_rtp(Packet { header, payload }).await?)
        })
    }
}
