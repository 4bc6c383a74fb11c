//! The peer connection of one session: codecs, header extensions, interceptors and timeouts.

use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::{DataChannel, RTCDataChannelInit};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder, Registry,
    SettingEngineBuilder, Slot, register_default_interceptors,
};

use super::control_channel;
use super::guarded_crypto::GuardedCrypto;
use super::rtcp;
use super::rtcp::RtcpInterceptor;
use super::sctp_guard;
use crate::model::protocol::limits::MAX_BUFFERED_AMOUNT;
use crate::server::rtc::mux::VirtualSocket;
use crate::server::rtc::mux::runtime;
use crate::server::rtc::mux::runtime::MuxRuntime;
use crate::server::rtc::pending::OfferedIdentity;
use crate::server::rtc::rtp_clock::{AUDIO_RATE, VIDEO_RATE};
use crate::server::rtc::sdp::formats::{ABS_CAPTURE_TIME, H264Format, PLAYOUT_DELAY};

/// Without consent (RFC 7675) for this long a viewer counts as disconnected.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(5);

/// Disconnected for this much longer it has failed: together well below the 30 s within which its resources must be
/// freed.
const FAILED_AFTER: Duration = Duration::from_secs(10);

/// Keep-alive interval; a NAT forgets a UDP mapping after 30 s at the earliest (RFC 4787 section 4.3).
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The interval of connectivity checks (Ta of RFC 8445 section 14.2, at least 5 ms). The library's default of 200 ms
/// would be most of the time to the first frame.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Checks of a candidate pair before it fails: 12 s of them, as the firewall of a viewer opens only when its own
/// checks, delayed by trickled candidates, go out.
const MAX_CHECKS: u16 = 600;

/// H.264 as the offer is answered: the format of the offer that fits the stream. Decoders go by the SPS in the stream, which may be less
/// demanding (the placeholder of an unavailable camera is always constrained baseline) or have another level.
pub fn h264(format: H264Format) -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.into(),
        clock_rate: VIDEO_RATE,
        channels: 0,
        sdp_fmtp_line: format.parameters(),
        rtcp_feedback: vec![feedback("ccm", "fir"), feedback("nack", ""), feedback("nack", "pli")],
    }
}

/// The Opus format of every answer (RFC 7587 section 7).
pub fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.into(),
        clock_rate: AUDIO_RATE,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1;stereo=1".into(),
        rtcp_feedback: vec![],
    }
}

fn rtx() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/rtx".into(),
        clock_rate: VIDEO_RATE,
        channels: 0,
        sdp_fmtp_line: "apt=102".into(),
        rtcp_feedback: vec![],
    }
}

/// A connection on `socket` that sends H.264 as `format`. The viewer is the DTLS client if it asks for it
/// (`offerer_is_dtls_client`); otherwise we are, as we know both sides first. Without an `identity`, credentials and
/// certificate are new. `end` is cancelled when the viewer abuses
/// its data channels.
///
/// # Errors
///
/// If the kernel has neither IPv4 nor IPv6, or the library rejects a setting.
pub async fn connect(
    socket: VirtualSocket,
    interceptor: RtcpInterceptor,
    format: H264Format,
    offerer_is_dtls_client: bool,
    identity: Option<OfferedIdentity>,
    handler: Arc<dyn PeerConnectionEventHandler>,
    end: CancellationToken,
) -> Result<Arc<dyn PeerConnection>, webrtc::error::Error> {
    let mut media = MediaEngine::default();
    let codec = |rtp_codec, payload_type| RTCRtpCodecParameters { rtp_codec, payload_type };
    media.register_codec(codec(opus(), 111), RtpCodecKind::Audio)?;
    media.register_codec(codec(h264(format), 102), RtpCodecKind::Video)?;
    media.register_codec(codec(rtx(), 103), RtpCodecKind::Video)?;
    for (uri, kind) in [
        (PLAYOUT_DELAY, RtpCodecKind::Video),
        (ABS_CAPTURE_TIME, RtpCodecKind::Video),
        (ABS_CAPTURE_TIME, RtpCodecKind::Audio),
    ] {
        media.register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.into() }, kind, None)?;
    }
    let interceptors =
        register_default_interceptors(Registry::new(), &mut media)?.with(Slot::from(rtcp::SLOT), interceptor);
    let crypto = GuardedCrypto::provider(end).map_err(|error| webrtc::error::Error::Other(error.to_string()))?;
    let mut settings = SettingEngineBuilder::new()
        .with_crypto_provider(crypto)
        .with_sctp_max_receive_buffer_size(sctp_guard::WINDOW)
        // Resolving browsers' .local names costs a socket for each viewer; the browser reaches our candidates anyway.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_answering_dtls_role(if offerer_is_dtls_client { RTCDtlsRole::Server } else { RTCDtlsRole::Client })
        .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(KEEP_ALIVE))
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS));
    let mut configuration = RTCConfigurationBuilder::new();
    if let Some(OfferedIdentity { credentials, certificate, .. }) = identity {
        settings = settings.with_ice_credentials(credentials.ufrag, credentials.password);
        configuration = configuration.with_certificates(vec![certificate]);
    }
    let connection = PeerConnectionBuilder::new()
        .with_configuration(configuration.build())
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .with_setting_engine(settings.build())
        .with_handler(handler)
        .with_data_channel_send_buffer_limit(MAX_BUFFERED_AMOUNT)
        .with_runtime(Arc::new(MuxRuntime(socket)))
        .with_udp_addrs(runtime::bind_addresses())
        .build()
        .await?;
    Ok(Arc::new(connection))
}

/// Opens the pre-negotiated control channel, id 0.
///
/// # Errors
///
/// If the connection is closed.
pub async fn open_control_channel(
    connection: &dyn PeerConnection,
) -> Result<Arc<dyn DataChannel>, webrtc::error::Error> {
    let init = RTCDataChannelInit { negotiated: Some(0), ..RTCDataChannelInit::default() };
    connection.create_data_channel(control_channel::LABEL, Some(init)).await
}
