//! One track of a session: RTP packets with capture timestamps and sender reports, on the way that was set up.
//!
//! The payloads are those that viewers in browsers are sent.

use std::collections::VecDeque;
use std::io;

use super::target::TrackKind;
use super::transport::{AcceptedTransport, Delivery};
use super::udp::UdpPair;
use crate::media::Timestamp;
use crate::model::metrics::Metrics;
use crate::server::rtc::{AUDIO_RATE, HeaderExtensions, PacketCounter, RtpClock, RtpHeader, VIDEO_RATE, sender_report};

/// What starts a packet between answers (RFC 2326 section 10.12).
const INTERLEAVED: u8 = b'$';

/// The way of a track.
#[derive(Debug)]
pub enum TrackRoute {
    /// Channels of the connection: for packets, and for reports.
    Interleaved(u8, u8),
    /// Sockets of its own.
    Udp(UdpPair),
}

/// A track.
#[derive(Debug)]
pub struct RtspTrack {
    kind: TrackKind,
    route: TrackRoute,
    clock: RtpClock,
    counter: PacketCounter,
    /// The packet that is being written.
    packet: Vec<u8>,
    /// What the socket has no room for: the rest of one frame, as no other is taken meanwhile.
    unsent: VecDeque<Vec<u8>>,
}

/// What of a packet does not follow from those before it.
#[derive(Debug, Clone, Copy)]
pub struct TrackPacket {
    /// Whether it ends a frame, or begins a talkspurt.
    pub marker: bool,
    /// When its content was captured.
    pub captured: Timestamp,
}

impl RtspTrack {
    /// A track that goes this way.
    pub fn new(kind: TrackKind, route: TrackRoute) -> Self {
        let clock = RtpClock::random(match kind {
            TrackKind::Video => VIDEO_RATE,
            TrackKind::Audio => AUDIO_RATE,
        });
        let (counter, packet, unsent) = (PacketCounter::random(), Vec::new(), VecDeque::new());
        Self { kind, route, clock, counter, packet, unsent }
    }

    /// What the answer to SETUP says of it.
    pub fn accepted(&self, delivery: Delivery) -> AcceptedTransport {
        let server_ports = self.udp().map(|pair| pair.ports);
        AcceptedTransport { delivery, server_ports, ssrc: self.clock.ssrc }
    }

    /// Its sockets, if it has any.
    pub fn udp(&self) -> Option<&UdpPair> {
        match &self.route {
            TrackRoute::Udp(pair) => Some(pair),
            TrackRoute::Interleaved(..) => None,
        }
    }

    /// Its channels, if it is sent on the connection.
    pub fn channels(&self) -> Option<(u8, u8)> {
        match self.route {
            TrackRoute::Interleaved(rtp, rtcp) => Some((rtp, rtcp)),
            TrackRoute::Udp(_) => None,
        }
    }

    /// Its entry in `RTP-Info` (RFC 2326 section 12.33), if what is sent from now on was captured at `start`.
    pub fn rtp_info(&self, base: &str, start: Timestamp) -> String {
        let (number, time) = (self.counter.next_number(), self.clock.timestamp(start));
        format!("url={base}{};seq={number};rtptime={time}", self.kind.control())
    }

    /// Sends a packet. On the connection it is added to `out`.
    pub fn send(
        &mut self,
        head: TrackPacket,
        payload: impl FnOnce(&mut Vec<u8>),
        out: &mut Vec<u8>,
        metrics: &Metrics,
    ) {
        let header = RtpHeader {
            payload_type: self.kind.payload_type(),
            marker: head.marker,
            padding: false,
            number: self.counter.next_number(),
            timestamp: self.clock.timestamp(head.captured),
            ssrc: self.clock.ssrc,
        };
        let none = HeaderExtensions::new([]);
        header.write(&none, &mut self.packet);
        payload(&mut self.packet);
        self.counter.count(self.packet.len() - none.header_bytes());
        metrics.packets_sent.inc();
        metrics.bytes_sent.inc_by(self.packet.len() as u64);
        match &self.route {
            TrackRoute::Interleaved(channel, _) => interleave(*channel, &self.packet, out),
            TrackRoute::Udp(pair) => {
                if !self.unsent.is_empty() || is_full(pair, &self.packet) {
                    self.unsent.push_back(self.packet.clone());
                }
            }
        }
    }

    /// Whether packets wait for the socket.
    pub fn is_backed_up(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Waits until the socket has room for packets that wait; forever if none do.
    pub async fn writable(&self) {
        match self.udp().filter(|_| self.is_backed_up()) {
            Some(pair) => drop(pair.rtp.writable().await),
            None => std::future::pending().await,
        }
    }

    /// Sends packets that wait, as far as there is room.
    pub fn flush(&mut self) {
        let TrackRoute::Udp(pair) = &self.route else { return };
        while self.unsent.front().is_some_and(|packet| !is_full(pair, packet)) {
            self.unsent.pop_front();
        }
    }

    /// Forgets packets that wait; whether there were any.
    pub fn discard_unsent(&mut self) -> bool {
        let were_any = self.is_backed_up();
        self.unsent.clear();
        were_any
    }

    /// Sends a sender report. Those of both tracks have one clock, by which a player aligns them.
    pub fn report(&self, now: Timestamp, out: &mut Vec<u8>) {
        let Ok(report) = sender_report(&self.clock, self.counter.sent(), now) else { return };
        match &self.route {
            TrackRoute::Interleaved(_, channel) => interleave(*channel, &report, out),
            // One that is lost is followed by another.
            TrackRoute::Udp(pair) => drop(pair.rtcp.try_send(&report)),
        }
    }
}

/// Sends a packet by UDP, unless the socket has no room for it. Other errors tell that the client does not listen on its port;
/// its connection tells when it is gone.
fn is_full(pair: &UdpPair, packet: &[u8]) -> bool {
    pair.rtp.try_send(packet).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Adds a packet to what is sent on the connection. All of ours are shorter than 64 KiB.
fn interleave(channel: u8, packet: &[u8], out: &mut Vec<u8>) {
    let Ok(length) = u16::try_from(packet.len()) else { return };
    out.extend([INTERLEAVED, channel]);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(packet);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn packets_are_numbered_timed_and_between_answers() {
        let (metrics, mut out) = (Metrics::new(), Vec::new());
        let mut track = RtspTrack::new(TrackKind::Audio, TrackRoute::Interleaved(2, 3));
        let at = |millis| Timestamp::from_start(Duration::from_millis(millis));
        let info = track.rtp_info("rtsp://board/door/", at(1_000));
        for (marker, millis) in [(true, 1_000), (false, 1_020)] {
            let head = TrackPacket { marker, captured: at(millis) };
            track.send(head, |packet| packet.extend(b"opus"), &mut out, &metrics);
        }
        track.report(at(1_500), &mut out);
        let [first, second, report] = [&out[..20], &out[20..40], &out[40..]];
        assert_eq!((&first[..4], &second[..4]), (&[b'$', 2, 0, 16][..], &[b'$', 2, 0, 16][..]));
        assert_eq!((&first[4..6], &second[4..6]), (&[0x80, 0x80 | 97][..], &[0x80, 97][..]));
        let number = |packet: &[u8]| u16::from_be_bytes([packet[6], packet[7]]);
        let time = |packet: &[u8]| u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        assert_eq!((number(second) - number(first), time(second).wrapping_sub(time(first))), (1, 960));
        assert_eq!(info, format!("url=rtsp://board/door/trackID=1;seq={};rtptime={}", number(first), time(first)));
        assert_eq!(&first[16..], b"opus");
        // A sender report comes first in the compound: two packets, eight bytes, the RTP time of 500 ms later.
        assert_eq!((report[0], report[1], &report[4..6]), (b'$', 3, &[0x80, 200][..]));
        let word = |at: usize| u32::from_be_bytes(report[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((word(20).wrapping_sub(time(first)), word(24), word(28)), (24_000, 2, 8));
        assert_eq!(metrics.packets_sent.get(), 2);
    }

    #[tokio::test]
    async fn by_udp_nothing_is_lost_that_the_socket_has_no_room_for() {
        let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
        let here = client.local_addr().expect("an address");
        let pair = UdpPair::open(here, here, (here.port(), here.port())).expect("open");
        let (mut track, metrics) = (RtspTrack::new(TrackKind::Video, TrackRoute::Udp(pair)), Metrics::new());
        // The runtime does not know yet that there is room.
        for payload in [[1; 4], [2; 4]] {
            let head = TrackPacket { marker: true, captured: Timestamp::default() };
            track.send(head, |packet| packet.extend(payload), &mut Vec::new(), &metrics);
        }
        while track.is_backed_up() {
            track.writable().await;
            track.flush();
        }
        for payload in [[1; 4], [2; 4]] {
            let mut buffer = [0; 64];
            let length = client.recv(&mut buffer).expect("received");
            assert_eq!(&buffer[12..length], payload);
        }
    }
}
