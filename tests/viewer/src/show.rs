//! A viewer that sends a picture, on the section of the board's video: RTP packets of H.264 as the test makes them.

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

/// The payload type of the first H.264 format, as the offer has it.
pub const H264: u8 = 109;

/// What a viewer sends its picture on.
pub struct Camera {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
}

impl Camera {
    /// Sends this format.
    pub fn new(codec: RTCRtpCodec) -> Self {
        static CAMERAS: AtomicU32 = AtomicU32::new(0);
        let ssrc = 0x6b6b_0000 | CAMERAS.fetch_add(1, Ordering::Relaxed);
        let rtp_coding_parameters = RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() };
        let codings = vec![RTCRtpEncodingParameters { rtp_coding_parameters, codec, ..Default::default() }];
        let track =
            MediaStreamTrack::new("camera".into(), "camera".into(), "camera".into(), RtpCodecKind::Video, codings);
        Self { track: Arc::new(TrackLocalStaticRTP::new(track)), ssrc }
    }

    pub fn track(&self) -> Arc<dyn TrackLocal> {
        self.track.clone()
    }
}

impl Viewer {
    /// Sends a packet of its picture, once the connection is established. Only with [`Options::shows`](super::Options::shows).
    pub fn send_picture(&self, sequence_number: u16, timestamp: u32, marker: bool, payload: Bytes) -> Boxed<'_, ()> {
        Box::pin(async move {
            let camera = self.camera.as_ref().context("this viewer shows nothing")?;
            let ssrc = camera.ssrc;
            let header = Header {
                version: 2,
                payload_type: H264,
                sequence_number,
                timestamp,
                ssrc,
                marker,
                ..Default::default()
            };
            Ok(camera.track.write_rtp(Packet { header, payload }).await?)
        })
    }
}
