//! MJPEG streams: each is a viewer's session, so that it is listed, limited and ended like those of WebRTC.

use std::net::IpAddr;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::camera_commands::camera_error;
use super::{Caller, Dispatcher};
use crate::model::protocol::{Code, Error};
use crate::pipeline::mjpeg::{MjpegFrame, MjpegReader, MjpegVariant};
use crate::server::auth::Principal;
use crate::server::sessions::{CapacityError, Limits, NewSession, PlayoutDelay, SessionGuard, random_id};

/// After how many milliseconds a viewer who was rejected may try again: within that time others leave.
const RETRY_AFTER_MS: u64 = 5_000;

/// One viewer's stream of JPEGs; dropping it ends the session.
#[derive(Debug)]
pub struct MjpegStream {
    reader: MjpegReader,
    session: SessionGuard,
}

impl Dispatcher {
    /// Streams the camera of that name, or the first one, to a principal at the address `client`; `fps` frames a second at most. `end` is cancelled
    /// when the session ends, and cancelling it ends the session.
    ///
    /// # Errors
    ///
    /// When there is no such camera, or too many viewers or variants are being sent.
    pub fn mjpeg(
        &self,
        principal: &Principal,
        client: IpAddr,
        camera: Option<&str>,
        variant: MjpegVariant,
        fps: Option<f64>,
        end: CancellationToken,
    ) -> Result<MjpegStream, Error> {
        let handle = self.camera(&Caller::principal(principal), camera)?;
        let new_session = NewSession {
            id: random_id(),
            owner: principal.id.clone(),
            role: principal.role,
            client,
            arrived: Instant::now(),
            camera: self.index(&handle.name)?,
            playout_delay: PlayoutDelay::default(),
            end,
        };
        // It is connected as soon as it is registered.
        let limits = Limits { viewers: self.0.deps.status.snapshot().max_viewers, negotiating: usize::MAX };
        let (session, _preferences) = self.0.deps.sessions.register(new_session, limits).map_err(|error| {
            let (CapacityError::Full(viewers) | CapacityError::Negotiating(viewers)) = error;
            let message = format!(
                "{viewers} viewers are watching, which is the limit; try again later or raise [rtc] max_viewers"
            );
            Error { data: Error::busy(RETRY_AFTER_MS, "").data, ..Error::new(Code::Unavailable, message) }
        })?;
        session.set_connected();
        let reader = handle.video.mjpeg(variant, fps).map_err(|error| camera_error(handle, error))?;
        Ok(MjpegStream { reader, session })
    }

    /// Checks whether there is a camera of that name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn check_camera(&self, principal: &Principal, camera: Option<&str>) -> Result<(), Error> {
        self.camera(&Caller::principal(principal), camera).map(drop)
    }
}

impl MjpegStream {
    /// Waits for the next frame; `None` when the session ends.
    pub async fn next(&mut self) -> Option<MjpegFrame> {
        tokio::select! {
            biased;
            () = self.session.handle().end().cancelled() => None,
            frame = self.reader.next() => frame,
        }
    }
}
