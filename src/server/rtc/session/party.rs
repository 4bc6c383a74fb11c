//! Who is at the other end of a session: a viewer, or a server that we publish to, which passes the stream on.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::server::rtc::CameraStream;
use crate::server::rtc::ice::remote_candidate::RemoteCandidates;
use crate::server::rtc::sdp::accepted::AcceptedOffer;

/// Who is at the other end.
#[derive(Debug)]
pub enum Party {
    /// Somebody who watches.
    Viewer,
    /// A server that we publish to.
    Server {
        /// Tells whoever publishes that it has connected, and by its end that the session has ended.
        connected: watch::Sender<bool>,
        /// The address that it has answered from, if it is known.
        address: Option<IpAddr>,
    },
}

impl Party {
    /// Whether it is a server.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// What is taken of what it asks for: a server gets no data channels, through which it could give a viewer's commands, and
    /// cannot talk or be shown.
    pub fn limited(&self, mut offer: AcceptedOffer) -> AcceptedOffer {
        if self.is_server() {
            (offer.data, offer.talk, offer.screen) = (None, None, None);
        }
        offer
    }

    /// The cameras that it may switch between: a server gets only the one that is published to it.
    pub fn cameras(&self, all: &Arc<[CameraStream]>, own: &CameraStream) -> Arc<[CameraStream]> {
        if self.is_server() { Arc::from([own.clone()]) } else { all.clone() }
    }

    /// The candidates that it may name; none yet.
    pub fn candidates(&self) -> RemoteCandidates {
        match self {
            Self::Viewer => RemoteCandidates::default(),
            Self::Server { address, .. } => RemoteCandidates::of_server(*address),
        }
    }

    /// Notes that media can be sent.
    pub fn note_connected(&self) {
        if let Self::Server { connected, .. } = self {
            connected.send_replace(true);
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Server { .. } => "server",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::h264::Profile;
    use crate::server::rtc::sdp::offer;

    #[test]
    fn a_server_gets_no_data_channels_and_cannot_talk() {
        let transport = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
                         a=fingerprint:sha-256 00\r\na=setup:passive\r\na=rtcp-mux\r\na=sendrecv\r\n";
        let sdp = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 97\r\n{transport}a=mid:0\r\na=rtpmap:97 H264/90000\r\n\
             a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:1\r\na=rtpmap:111 opus/48000/2\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{transport}a=mid:2\r\na=sctp-port:5000\r\n"
        );
        let parsed = offer::parse(&sdp).expect("should be an offer");
        let accepted = parsed.accept(Profile::CONSTRAINED_BASELINE).expect("should be acceptable");
        let viewer = Party::Viewer.limited(accepted.clone());
        assert!(viewer.data.is_some() && viewer.talk.is_some() && viewer.screen.is_some() && viewer.audio.is_some());
        let server = Party::Server { connected: watch::Sender::new(false), address: None }.limited(accepted);
        assert!(server.data.is_none() && server.talk.is_none() && server.screen.is_none() && server.audio.is_some());
    }
}
