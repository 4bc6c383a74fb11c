//! Receives the picture of a viewer who talks: reads its RTP packets, puts frames together, hands them to the floor, and asks for
//! what is missing.
//!
//! Whether anybody sees it is decided in `server::floor`; frames are passed on in `pipeline::screen`.

mod assembler;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtc::rtp::Packet;
use rtc::shared::error::Error;
use rtc::shared::marshal::Unmarshal as _;

use super::reception::Reception;
use super::rtcp;
use crate::media::Timestamp;
use crate::model::metrics::TalkDrop;
use crate::server::floor::{PictureNeed, Seat};
use crate::server::rtc::rtp_clock::VIDEO_RATE;
use crate::server::rtc::sdp::accepted::ScreenFormat;
pub use assembler::{FrameAssembler, MAX_FRAME};
pub use window::{PacketWindow, PicturePacket, WindowItem};

/// How soon a key frame is asked for again: the first one has had time to come.
const KEY_INTERVAL: Duration = Duration::from_millis(500);

/// Receives the picture of one viewer.
#[derive(Debug)]
pub struct ScreenReceiver {
    seat: Arc<Seat>,
    format: ScreenFormat,
    reception: Reception,
    window: PacketWindow,
    assembler: FrameAssembler,
    /// Whether the last packet was of use.
    is_shown: bool,
    /// When a key frame was asked for last.
    asked: Option<Timestamp>,
}

impl ScreenReceiver {
    /// Receives a picture of this format from whoever has the seat.
    pub fn new(seat: Arc<Seat>, format: ScreenFormat) -> Self {
        Self {
            seat,
            format,
            reception: Reception::new(VIDEO_RATE),
            window: PacketWindow::default(),
            assembler: FrameAssembler::new(format.codec),
            is_shown: false,
            asked: None,
        }
    }

    /// Whether a decrypted RTP packet is of the picture.
    pub fn takes(&self, packet: &[u8]) -> bool {
        let payload_type = packet.get(1).map(|byte| byte & 0x7f);
        payload_type.is_some() && (payload_type == Some(self.format.payload_type) || payload_type == self.format.rtx)
    }

    /// Handles a decrypted RTP packet that arrived at `arrived`. Returns what the viewer is to be asked for, from our source `ssrc`.
    ///
    /// # Errors
    ///
    /// If the library can't write it.
    pub fn handle(&mut self, packet: &Bytes, arrived: Timestamp, ssrc: u32) -> Result<Vec<BytesMut>, Error> {
        let Ok(Packet { header, mut payload }) = Packet::unmarshal(&mut packet.clone()) else {
            self.seat.drop_packets(TalkDrop::Malformed, 1);
            return Ok(Vec::new());
        };
        let mut number = header.sequence_number;
        if Some(header.payload_type) == self.format.rtx {
            // The number of the packet that was lost (RFC 4588 section 4); without one it fills the path.
            let Some(lost) = payload.first_chunk().map(|number| u16::from_be_bytes(*number)) else {
                return Ok(Vec::new());
            };
            number = lost;
            payload = payload.slice(2..);
        } else {
            if self.reception.note_packet(header.ssrc, number, header.timestamp, arrived) {
                // Another source is another stream.
                self.restart();
            }
        }
        if self.seat.picture_need() == PictureNeed::Nothing {
            if std::mem::take(&mut self.is_shown) {
                self.restart();
            }
            self.seat.drop_packets(TalkDrop::Floor, 1);
            return Ok(Vec::new());
        }
        self.is_shown = true;
        let packet = PicturePacket { timestamp: header.timestamp, marker: header.marker, payload };
        let missing = self.window.insert(number, arrived, packet);
        self.pass_on(arrived);
        self.requests(&missing, arrived, ssrc)
    }

    /// Notes a sender report of the viewer.
    pub fn note_sender_report(&mut self, report: (u32, u32), arrived: Timestamp) {
        self.reception.note_sender_report(report, arrived);
    }

    /// A receiver report from our source `ssrc` at `now`; `None` if nothing was received since the last one.
    ///
    /// # Errors
    ///
    /// If the library can't write it.
    pub fn report(&mut self, ssrc: u32, now: Timestamp) -> Result<Option<BytesMut>, Error> {
        self.reception.report(ssrc, now)
    }

    /// Forgets what was received.
    fn restart(&mut self) {
        self.window = PacketWindow::default();
        self.assembler.restart();
        self.asked = None;
    }

    /// Hands the frames that are complete to the floor.
    fn pass_on(&mut self, now: Timestamp) {
        let mut frames = Vec::new();
        while let Some(item) = self.window.pop(now) {
            match item {
                WindowItem::Packet(packet) => self.assembler.push(&packet, &mut frames),
                WindowItem::Gap => self.assembler.note_gap(),
            }
        }
        self.seat.drop_frames(self.assembler.take_dropped());
        frames.into_iter().for_each(|frame| self.seat.show(frame));
    }

    /// Asks for packets that are missing, and for a key frame if one is needed and none is on its way.
    fn requests(&mut self, missing: &[u16], now: Timestamp, ssrc: u32) -> Result<Vec<BytesMut>, Error> {
        let mut requests = Vec::new();
        let Some(media_ssrc) = self.reception.ssrc() else { return Ok(requests) };
        let needs_key = match self.seat.picture_need() {
            // What is sent meanwhile is dropped, whatever it is.
            PictureNeed::Nothing | PictureNeed::Later => return Ok(requests),
            PictureNeed::Key => true,
            PictureNeed::Next => self.assembler.needs_key(),
        };
        if !missing.is_empty() {
            requests.push(rtcp::packet_request(ssrc, media_ssrc, missing)?);
        }
        let is_due = self.asked.is_none_or(|asked| now.saturating_since(asked) >= KEY_INTERVAL);
        if needs_key && is_due && !self.assembler.is_at_key() {
            self.asked = Some(now);
            requests.push(rtcp::key_frame_request(ssrc, media_ssrc)?);
        }
        Ok(requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::audio::DeviceContext;
    use crate::capture::audio::speaker::{self, Speaker};
    use crate::media::ScreenCodec;
    use crate::model::metrics::{Metrics, TalkDropLabels};
    use crate::model::status::{Status, StatusPublisher};
    use crate::pipeline;
    use crate::pipeline::ducking::Ducking;
    use crate::pipeline::screen;
    use crate::server::auth::Role;
    use crate::server::floor::{self, Floor};
    use crate::server::rtc::Feedback;

    const FORMAT: ScreenFormat = ScreenFormat { payload_type: 100, rtx: Some(101), codec: ScreenCodec::H264 };

    /// Our own source, and the viewer's.
    const OURS: u32 = 1;
    const THEIRS: u32 = 7;

    /// The parameter sets and an IDR, and a frame that depends on it.
    const KEY: [u8; 11] = [0x78, 0, 3, 0x67, 0x42, 1, 0, 3, 0x65, 2, 3];
    const DELTA: [u8; 2] = [0x41, 9];

    /// A whole frame in an RTP packet.
    fn rtp(payload_type: u8, number: u16, payload: &[u8]) -> Bytes {
        let timestamp = u32::from(number) * 3_000;
        let header = [&[0x80, 0x80 | payload_type][..], &number.to_be_bytes(), &timestamp.to_be_bytes()].concat();
        [&header[..], &THEIRS.to_be_bytes(), payload].concat().into()
    }

    /// A floor whose screen keeps nothing, and what has to live as long.
    fn floor() -> (Floor, Metrics, (pipeline::speaker::Guard, screen::Guard)) {
        let (status, metrics) = (StatusPublisher::new(Status::default()), Metrics::new());
        let config = speaker::Config { device: "null".into(), ..speaker::Config::default() };
        let speaker = Speaker::new(config, DeviceContext { pattern: false, camera: Box::new(|| None) });
        let started = pipeline::speaker::start(speaker, Ducking::default(), &metrics, &status);
        let (heard, speaker_guard) = started.expect("a thread");
        let exec = Some("exec cat > /dev/null".into());
        let started = screen::start(&screen::Config { exec }, &metrics, &status).expect("a thread");
        let (shown, screen_guard) = started.expect("a program");
        let floor =
            Floor::new(floor::Config { allow: Role::Viewer }, Some(heard), Some(shown), status, metrics.clone());
        (floor, metrics, (speaker_guard, screen_guard))
    }

    /// What the viewer is asked for: how often for a key frame, and the packets.
    fn asked(receiver: &mut ScreenReceiver, packet: &Bytes, millis: u64) -> (u64, Vec<u16>) {
        let arrived = Timestamp::from_start(Duration::from_millis(10_000 + millis));
        let requests = receiver.handle(packet, arrived, OURS).expect("written");
        let read = |request: BytesMut| Feedback::read(&request.freeze(), THEIRS, arrived);
        requests.into_iter().map(read).fold((0, Vec::new()), |(keys, lost), feedback| {
            (keys + feedback.key_requests, [lost, feedback.lost].concat())
        })
    }

    #[tokio::test]
    async fn a_key_frame_is_asked_for_until_it_comes_and_lost_packets_once() {
        let (floor, metrics, _guards) = floor();
        let seat = Arc::new(floor.take_seat("1"));
        let mut receiver = ScreenReceiver::new(seat.clone(), FORMAT);
        assert!(receiver.takes(&rtp(100, 1, &DELTA)) && receiver.takes(&rtp(101, 1, &DELTA)));
        assert!(!receiver.takes(&rtp(111, 1, &DELTA)) && !receiver.takes(&[0x80]));
        assert_eq!(asked(&mut receiver, &rtp(100, 1, &DELTA), 0), (0, vec![]), "nobody talks");
        floor.start("1", Role::Viewer, "Ann").expect("should be free");
        assert_eq!(asked(&mut receiver, &rtp(100, 2, &DELTA), 10), (1, vec![]));
        assert_eq!(asked(&mut receiver, &rtp(100, 3, &DELTA), 509), (0, vec![]), "it was asked for");
        assert_eq!(asked(&mut receiver, &rtp(100, 4, &DELTA), 510), (1, vec![]), "it has not come");
        assert_eq!(asked(&mut receiver, &rtp(100, 5, &KEY), 1_100), (0, vec![]));
        assert_eq!(seat.picture_need(), PictureNeed::Next);
        assert_eq!(asked(&mut receiver, &rtp(100, 8, &DELTA), 1_110), (0, vec![6, 7]));
        // They are sent again, one as it was and one as a retransmission; one without content fills the path.
        assert_eq!(asked(&mut receiver, &rtp(100, 6, &DELTA), 1_120), (0, vec![]));
        assert_eq!(asked(&mut receiver, &rtp(101, 900, &[0, 7, 0x41, 9]), 1_130), (0, vec![]));
        assert_eq!(asked(&mut receiver, &rtp(101, 901, &[]), 1_130), (0, vec![]));
        assert!(!receiver.assembler.needs_key());
        // One that is not sent again is given up.
        assert_eq!(asked(&mut receiver, &rtp(100, 10, &DELTA), 1_200), (0, vec![9]));
        assert_eq!(asked(&mut receiver, &rtp(100, 11, &DELTA), 1_400), (1, vec![]));
        let report = receiver.report(OURS, Timestamp::from_start(Duration::from_secs(12))).expect("written");
        assert!(report.is_some_and(|report| report[1] == 201));
        assert_eq!(asked(&mut receiver, &Bytes::from_static(&[0x80, 100]), 1_500), (0, vec![]));
        floor.stop("1");
        assert_eq!(asked(&mut receiver, &rtp(100, 12, &KEY), 1_600), (0, vec![]));
        let dropped = |why| metrics.talk_dropped.get_or_create(&TalkDropLabels { why }).get();
        assert_eq!((dropped(TalkDrop::Floor), dropped(TalkDrop::Malformed)), (2, 1));
    }
}
