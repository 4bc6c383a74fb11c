//! Who is at the other end of a session: a viewer, or a server that we publish to, which passes the stream on.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::server::rtc::CameraStream;
use crate::server::rtc::sdp::accepted::AcceptedOffer;

/// Who is at the other end.
#[derive(Debug)]
pub enum Party {
    /// Somebody who watches.
    Viewer,
    /// A server; whoever publishes to it learns when it has connected, and by the end of this that the session has ended.
    Server(watch::Sender<bool>),
}

impl Party {
    /// Whether it is a server.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
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

    /// Notes that media can be sent.
    pub fn note_connected(&self) {
        if let Self::Server(connected) = self {
            connected.send_replace(true);
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Server(_) => "server",
        })
    }
}
