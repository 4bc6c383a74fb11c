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

    /// What is taken of what it asks for: a server gets no data channels, through which it could give a viewer's commands.
    pub fn limited(&self, mut offer: AcceptedOffer) -> AcceptedOffer {
        if self.is_server() {
            offer.data = None;
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
