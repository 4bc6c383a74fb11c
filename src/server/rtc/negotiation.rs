//! What the first negotiation of a peer connection and those of its ICE restarts have in common.

use rtc::rtp_transceiver::RTCRtpTransceiverDirection;
use webrtc::peer_connection::PeerConnection;

/// Answers the offer that is the connection's remote description. Transceivers without a track of ours become inactive,
/// so that the answer does not promise to send on them.
///
/// # Errors
///
/// If the connection is closed, or the library rejects its own answer.
pub async fn answer(connection: &dyn PeerConnection) -> Result<(), webrtc::error::Error> {
    for transceiver in connection.get_transceivers().await {
        if transceiver.sender().await?.is_none() {
            transceiver.set_direction(RTCRtpTransceiverDirection::Inactive).await?;
        }
    }
    let answer = connection.create_answer(None).await?;
    connection.set_local_description(answer).await
}
