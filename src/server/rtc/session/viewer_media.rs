//! Receives what a viewer sends who talks: hands each packet to the receiver of the audio or of the picture, and gathers what is
//! reported and requested in return.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rtc::shared::error::Error;

use super::screen::ScreenReceiver;
use super::talk_receiver::TalkReceiver;
use crate::media::Timestamp;
use crate::server::floor::Seat;
use crate::server::rtc::sdp::accepted::AcceptedOffer;

/// Receives the media of one viewer.
#[derive(Debug)]
pub struct ViewerMedia {
    /// What the viewer says, if it may and can talk.
    talk: Option<TalkReceiver>,
    /// What it shows meanwhile, if it can.
    screen: Option<ScreenReceiver>,
}

impl ViewerMedia {
    /// Receives what the offer has from whoever has the seat; nothing without one.
    pub fn new(seat: Option<Arc<Seat>>, offer: &AcceptedOffer) -> Self {
        let screen = seat.clone().zip(offer.screen).map(|(seat, format)| ScreenReceiver::new(seat, format));
        let talk = seat.zip(offer.talk).map(|(seat, format)| TalkReceiver::new(seat, format));
        Self { talk, screen }
    }

    /// Handles a decrypted RTP packet. Returns what the viewer is to be asked for, from our source `video_ssrc`.
    ///
    /// # Errors
    ///
    /// If the library can't write it.
    pub fn handle(&mut self, packet: &Bytes, video_ssrc: u32) -> Result<Vec<BytesMut>, Error> {
        let now = Timestamp::now();
        if let Some(screen) = self.screen.as_mut().filter(|screen| screen.takes(packet)) {
            return screen.handle(packet, now, video_ssrc);
        }
        if let Some(talk) = &mut self.talk {
            talk.handle(packet, now);
        }
        Ok(Vec::new())
    }

    /// Counts packets that were more than a viewer may send.
    pub fn note_refused(&self, count: u64) {
        self.talk.iter().for_each(|talk| talk.note_refused(count));
    }

    /// Notes a sender report of the viewer: its source, and the middle of its NTP time.
    pub fn note_sender_report(&mut self, report: (u32, u32)) {
        let arrived = Timestamp::now();
        self.talk.iter_mut().for_each(|talk| talk.note_sender_report(report, arrived));
        self.screen.iter_mut().for_each(|screen| screen.note_sender_report(report, arrived));
    }

    /// Receiver reports of what has come since the last ones, from our sources of audio and video.
    ///
    /// # Errors
    ///
    /// If the library can't write them.
    pub fn report(&mut self, [audio_ssrc, video_ssrc]: [u32; 2]) -> Result<Vec<BytesMut>, Error> {
        let now = Timestamp::now();
        let mut reports = Vec::new();
        if let Some(talk) = &mut self.talk {
            reports.extend(talk.report(audio_ssrc, now)?);
        }
        if let Some(screen) = &mut self.screen {
            reports.extend(screen.report(video_ssrc, now)?);
        }
        Ok(reports)
    }
}
