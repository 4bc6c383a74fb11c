//! Handles RTCP: viewers' key frame requests and what they show of the decoder, what is resent for their NACKs, and sender
//! reports on the capture clock.
//!
//! webrtc-rs consumes inbound RTCP before the application sees it, resends whatever a NACK names, and its sender reports
//! use the time of sending as the capture time. An interceptor next to the wire fixes all three.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::sansio::Protocol;
use rtc::shared::marshal::MarshalSize;
use tokio::sync::watch;

use super::decode_watch::DecodeWatch;
use super::keyframe_budget::KeyframeBudget;
use super::payload;
use super::retransmission::RetransmissionLimit;
use crate::media::{EncodedFrame, Timestamp};
use crate::model::metrics::Metrics;
use crate::server::rtc::rtp_clock::RtpClock;
use crate::util::broadcast::Broadcast;

/// The interceptor's distance from the wire: below every interceptor that generates RTCP.
pub const SLOT: usize = 500;

/// One session's interceptor.
pub struct RtcpInterceptor {
    video: watch::Receiver<Broadcast<EncodedFrame>>,
    keyframes: Arc<KeyframeBudget>,
    clocks: [RtpClock; 2],
    /// Of the first clock's stream, the video. Audio is never resent.
    retransmission: RetransmissionLimit,
    decoder: DecodeWatch,
    /// Whether the viewer decodes nothing.
    undecoded: watch::Sender<bool>,
    metrics: Metrics,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl RtcpInterceptor {
    /// Passes key frame requests to the current value of `video`, as far as the budget allows, and rewrites sender reports
    /// by `clocks`: that of the video, then that of the audio. `undecoded` is told when the viewer decodes nothing, and
    /// when it does again.
    pub fn new(
        video: watch::Receiver<Broadcast<EncodedFrame>>,
        keyframes: Arc<KeyframeBudget>,
        clocks: [RtpClock; 2],
        undecoded: watch::Sender<bool>,
        metrics: Metrics,
    ) -> Self {
        let (retransmission, decoder) = (RetransmissionLimit::new(), DecodeWatch::default());
        let (inbound, outbound) = (VecDeque::new(), VecDeque::new());
        Self { video, keyframes, clocks, retransmission, decoder, undecoded, metrics, inbound, outbound }
    }

    /// Handles one RTCP packet; returns whether webrtc-rs is to see it.
    fn on_rtcp(&mut self, packet: &mut Box<dyn rtc::rtcp::Packet>, now: Instant) -> bool {
        let any = packet.as_any();
        if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
            self.metrics.key_requests.inc();
            self.keyframes.request(&self.video.borrow(), now);
            self.decoder.note_request(now);
            self.publish_undecoded();
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            self.on_reports(&report.reports, now);
        } else if let Some(report) = any.downcast_ref::<SenderReport>() {
            self.on_reports(&report.reports, now);
        } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
            let admitted = self.on_nack(nack, now);
            let pass = !admitted.nacks.is_empty();
            *packet = Box::new(admitted);
            return pass;
        }
        true
    }

    /// The part of a NACK that may be served.
    fn on_nack(&mut self, nack: &TransportLayerNack, now: Instant) -> TransportLayerNack {
        // A NACK pair names one packet and a bit mask of the 16 after it (RFC 4585 section 6.2.1).
        let requested = nack.nacks.iter().flat_map(|pair| pair.packet_list());
        let (mut admitted, mut refused) = (Vec::new(), 0);
        for number in requested {
            self.metrics.nacked_packets.inc();
            if nack.media_ssrc == self.clocks[0].ssrc && self.retransmission.admit(number, now) {
                admitted.push(NackPair { packet_id: number, lost_packets: 0 });
            } else {
                refused += 1;
            }
        }
        self.metrics.resends_refused.inc_by(refused);
        TransportLayerNack { nacks: admitted, ..nack.clone() }
    }

    /// Takes the round trip time and the loss from the reports on the video.
    fn on_reports(&mut self, reports: &[ReceptionReport], now: Instant) {
        let captured_now = Timestamp::now();
        for report in reports.iter().filter(|report| report.ssrc == self.clocks[0].ssrc) {
            if let Some(rtt) = rtt(report, captured_now) {
                self.retransmission.note_rtt(rtt);
            }
            self.decoder.note_report(report.fraction_lost, now);
            self.publish_undecoded();
        }
    }

    fn publish_undecoded(&self) {
        let undecoded = self.decoder.is_undecoded();
        self.undecoded.send_if_modified(|known| std::mem::replace(known, undecoded) != undecoded);
    }

    /// Makes a sender report give the RTP timestamp that a frame captured now would have. Audio and video then share
    /// the capture clock, and the browser can synchronise them no matter how long each took to encode.
    fn rewrite_sender_report(&self, report: &mut SenderReport, now: Timestamp) {
        if let Some(clock) = self.clocks.iter().find(|clock| clock.ssrc == report.ssrc) {
            report.ntp_time = now.ntp();
            report.rtp_time = clock.timestamp(now);
        }
    }
}

/// The round trip time that a reception report shows (RFC 3550 section 6.4.1): since the sender report that it names,
/// less the time that the receiver held it. `None` if it names none, or one from the future.
fn rtt(report: &ReceptionReport, now: Timestamp) -> Option<Duration> {
    if report.last_sender_report == 0 {
        return None;
    }
    let now = (now.ntp() >> 16) as u32;
    let units = now.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay);
    (units < u32::MAX / 2).then(|| Duration::from_secs_f64(f64::from(units) / 65_536.0))
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtcpInterceptor {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(compound) = &mut packet.message.packet {
            compound.retain_mut(|part| self.on_rtcp(part, packet.now));
            if compound.is_empty() {
                return Ok(());
            }
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Self::Error> {
        match &mut packet.message.packet {
            Packet::Rtcp(compound) => {
                for part in compound {
                    if let Some(report) = part.as_any().downcast_ref::<SenderReport>() {
                        let mut report = report.clone();
                        self.rewrite_sender_report(&mut report, Timestamp::now());
                        *part = Box::new(report);
                    }
                }
            }
            Packet::Rtp(sent) if sent.header.ssrc == self.clocks[0].ssrc => {
                self.retransmission.note_sent(sent.header.sequence_number, sent.marshal_size());
                if payload::begins_key_frame(&sent.payload) {
                    self.decoder.note_key_frame();
                }
            }
            _ => {}
        }
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for RtcpInterceptor {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rtc::interceptor::AttributedPacket;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

    use super::*;

    fn interceptor() -> RtcpInterceptor {
        let clocks = [RtpClock::random(90_000), RtpClock::random(48_000)];
        watching(Broadcast::new(4), clocks, Instant::now())
    }

    fn watching(video: Broadcast<EncodedFrame>, clocks: [RtpClock; 2], now: Instant) -> RtcpInterceptor {
        let keyframes = Arc::new(KeyframeBudget::new(now));
        let (video, undecoded) = (watch::Sender::new(video).subscribe(), watch::Sender::new(false));
        RtcpInterceptor::new(video, keyframes, clocks, undecoded, Metrics::new())
    }

    fn rtcp(packet: impl rtc::rtcp::Packet + 'static) -> TaggedPacket {
        rtcp_at(Instant::now(), packet)
    }

    fn rtcp_at(now: Instant, packet: impl rtc::rtcp::Packet + 'static) -> TaggedPacket {
        TaggedPacket {
            now,
            transport: Default::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)])),
        }
    }

    /// The packets that a NACK passed to webrtc-rs names.
    fn passed_on(interceptor: &mut RtcpInterceptor) -> Vec<u16> {
        let Some(TaggedPacket { message, .. }) = interceptor.poll_read() else { return vec![] };
        let Packet::Rtcp(compound) = &message.packet else { panic!("RTCP should stay RTCP") };
        let nacks = compound.iter().filter_map(|part| part.as_any().downcast_ref::<TransportLayerNack>());
        nacks.flat_map(|nack| &nack.nacks).flat_map(|pair| pair.packet_list()).collect()
    }

    #[test]
    fn a_pli_asks_for_a_key_frame_and_a_nack_is_counted() {
        let mut interceptor = interceptor();
        interceptor.handle_read(rtcp(PictureLossIndication::default())).expect("pli");
        assert!(interceptor.poll_read().is_some(), "a PLI should be passed on");
        assert!(interceptor.video.borrow().take_refresh_request());
        let pair = NackPair { packet_id: 7, lost_packets: 0b101 };
        interceptor.handle_read(rtcp(TransportLayerNack { nacks: vec![pair], ..Default::default() })).expect("nack");
        assert!(!interceptor.video.borrow().refresh_requested());
        assert_eq!((interceptor.metrics.key_requests.get(), interceptor.metrics.nacked_packets.get()), (1, 3));
    }

    /// Each is a key frame for all viewers of the camera.
    #[test]
    fn one_viewers_requests_cause_few_key_frames() {
        let (start, video) = (Instant::now(), Broadcast::new(4));
        let clocks = [RtpClock::random(90_000), RtpClock::random(48_000)];
        let [mut flooding, mut other] = [(); 2].map(|()| watching(video.clone(), clocks, start));
        let mut caused = 0;
        // For half a minute, each kind eight times a second, and an encoder that makes at most four key frames a second.
        for tick in 0..240 {
            let now = start + Duration::from_millis(125) * tick;
            flooding.handle_read(rtcp_at(now, PictureLossIndication::default())).expect("pli");
            flooding.handle_read(rtcp_at(now, FullIntraRequest::default())).expect("fir");
            caused += u32::from(tick % 2 == 0 && video.take_refresh_request());
        }
        assert!((10..=20).contains(&caused), "{caused} key frames in 30 s");
        video.take_refresh_request();
        for lost in 0..3 {
            let now = start + Duration::from_secs(30) + Duration::from_millis(250) * lost;
            other.handle_read(rtcp_at(now, PictureLossIndication::default())).expect("pli");
            assert!(video.take_refresh_request(), "one that lost a key frame gets it at once");
        }
    }

    #[test]
    fn a_viewer_that_decodes_nothing_is_published() {
        let mut interceptor = interceptor();
        let (ssrc, start) = (interceptor.clocks[0].ssrc, Instant::now());
        let at =
            |second: u64, packet: TaggedPacket| TaggedPacket { now: start + Duration::from_secs(second), ..packet };
        let report = || {
            let reports = vec![ReceptionReport { ssrc, ..Default::default() }];
            rtcp(ReceiverReport { reports, ..Default::default() })
        };
        for second in 0..=10 {
            assert!(!*interceptor.undecoded.borrow(), "after {second} s");
            interceptor.handle_read(at(second, rtcp(PictureLossIndication::default()))).expect("pli");
            let header = rtc::rtp::header::Header { ssrc, ..Default::default() };
            let key_frame = rtc::rtp::Packet { header, payload: vec![0x78, 0, 4, 0x67, 66, 0xc0, 31].into() };
            let message = AttributedPacket::new(Packet::Rtp(key_frame));
            interceptor.handle_write(TaggedPacket { message, ..report() }).expect("write");
            interceptor.handle_read(at(second, report())).expect("report");
        }
        assert!(*interceptor.undecoded.borrow());
        interceptor.handle_read(at(16, report())).expect("report");
        assert!(!*interceptor.undecoded.borrow());
    }

    #[test]
    fn only_what_may_be_resent_reaches_the_library() {
        let mut interceptor = interceptor();
        let ssrc = interceptor.clocks[0].ssrc;
        let packet = |sequence_number| {
            let header = rtc::rtp::header::Header { ssrc, sequence_number, ..Default::default() };
            Packet::Rtp(rtc::rtp::Packet { header, payload: vec![0; 1_000].into() })
        };
        for number in [65_535, 0, 1] {
            let message = AttributedPacket::new(packet(number));
            let sent = TaggedPacket { now: Instant::now(), transport: Default::default(), message };
            interceptor.handle_write(sent).expect("write");
        }
        let nack = |media_ssrc| {
            // 65,535, 0, 1 and 2, of which the last was never sent.
            let pair = NackPair { packet_id: 65_535, lost_packets: 0b111 };
            rtcp(TransportLayerNack { media_ssrc, nacks: vec![pair], ..Default::default() })
        };
        interceptor.handle_read(nack(ssrc.wrapping_add(1))).expect("nack of another stream");
        assert!(passed_on(&mut interceptor).is_empty());
        interceptor.handle_read(nack(ssrc)).expect("nack");
        assert_eq!(passed_on(&mut interceptor), [65_535, 0, 1]);
        interceptor.handle_read(nack(ssrc)).expect("the same at once");
        assert!(passed_on(&mut interceptor).is_empty());
        assert_eq!((interceptor.metrics.nacked_packets.get(), interceptor.metrics.resends_refused.get()), (12, 9));
    }

    #[test]
    fn the_round_trip_time_is_that_of_the_report_less_the_receivers_delay() {
        let now = Timestamp::from_start(Duration::from_secs(10));
        let sent = (Timestamp::from_start(Duration::from_secs(9)).ntp() >> 16) as u32;
        let report =
            |last_sender_report, delay| rtt(&ReceptionReport { last_sender_report, delay, ..Default::default() }, now);
        let shown = report(sent, 49_152).expect("should have a round trip time");
        assert!(shown.abs_diff(Duration::from_millis(250)) < Duration::from_millis(1), "{shown:?}");
        assert_eq!(report(0, 0), None, "no sender report was received yet");
        assert_eq!(report(sent, 131_072), None, "the delay is longer than the time since the report");
    }

    #[test]
    fn sender_reports_of_both_streams_agree_on_the_capture_clock() {
        let mut interceptor = interceptor();
        for clock in interceptor.clocks {
            interceptor.handle_write(rtcp(SenderReport { ssrc: clock.ssrc, ..Default::default() })).expect("report");
            let Some(TaggedPacket { message, .. }) = interceptor.poll_write() else {
                panic!("the report should be passed on")
            };
            let Packet::Rtcp(compound) = &message.packet else { panic!("the report should stay RTCP") };
            let report = compound[0].as_any().downcast_ref::<SenderReport>().expect("report");
            let age = clock.age(report.rtp_time, Timestamp::now());
            assert!(age < Duration::from_secs(5), "{age:?}");
            let behind = (Timestamp::now().ntp() - report.ntp_time) as f64 / 4_294_967_296.0;
            assert!((behind - age.as_secs_f64()).abs() < 0.05, "{behind} {age:?}");
        }
    }
}
