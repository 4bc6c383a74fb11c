//! Handles RTCP: viewers' key frame requests and NACK counts, and sender reports on the capture clock.
//!
//! webrtc-rs consumes inbound RTCP before the application sees it, and its sender reports use the time of sending as
//! the capture time. An interceptor next to the wire fixes both.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use tokio::sync::watch;

use crate::media::{EncodedFrame, Timestamp};
use crate::model::metrics::Metrics;
use crate::server::rtc::rtp_clock::RtpClock;
use crate::util::broadcast::Broadcast;

/// The interceptor's distance from the wire: below every interceptor that generates RTCP.
pub const SLOT: usize = 500;

/// One session's interceptor.
pub struct RtcpInterceptor {
    video: watch::Receiver<Broadcast<EncodedFrame>>,
    clocks: [RtpClock; 2],
    metrics: Metrics,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl RtcpInterceptor {
    /// Passes key frame requests to the current value of `video`, and rewrites sender reports by `clocks`.
    pub fn new(video: watch::Receiver<Broadcast<EncodedFrame>>, clocks: [RtpClock; 2], metrics: Metrics) -> Self {
        Self { video, clocks, metrics, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }

    fn on_rtcp(&self, packet: &dyn rtc::rtcp::Packet) {
        let packet = packet.as_any();
        if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
            self.metrics.key_requests.inc();
            self.video.borrow().request_refresh();
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            // A NACK pair names one packet and a bit mask of the 16 after it (RFC 4585 section 6.2.1).
            let packets: u32 = nack.nacks.iter().map(|pair| 1 + pair.lost_packets.count_ones()).sum();
            self.metrics.nacked_packets.inc_by(packets.into());
        }
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

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtcpInterceptor {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(compound) = &packet.message.packet {
            for part in compound {
                self.on_rtcp(part.as_ref());
            }
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(compound) = &mut packet.message.packet {
            for part in compound {
                if let Some(report) = part.as_any().downcast_ref::<SenderReport>() {
                    let mut report = report.clone();
                    self.rewrite_sender_report(&mut report, Timestamp::now());
                    *part = Box::new(report);
                }
            }
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
        RtcpInterceptor::new(watch::Sender::new(Broadcast::new(4)).subscribe(), clocks, Metrics::new())
    }

    fn rtcp(packet: impl rtc::rtcp::Packet + 'static) -> TaggedPacket {
        TaggedPacket {
            now: Instant::now(),
            transport: Default::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)])),
        }
    }

    #[test]
    fn a_pli_asks_for_a_key_frame_and_a_nack_is_counted() {
        let mut interceptor = interceptor();
        interceptor.handle_read(rtcp(PictureLossIndication::default())).expect("pli");
        assert!(interceptor.video.borrow().take_refresh_request());
        let pair = NackPair { packet_id: 7, lost_packets: 0b101 };
        interceptor.handle_read(rtcp(TransportLayerNack { nacks: vec![pair], ..Default::default() })).expect("nack");
        assert!(!interceptor.video.borrow().refresh_requested());
        assert_eq!((interceptor.metrics.key_requests.get(), interceptor.metrics.nacked_packets.get()), (1, 3));
        assert!(interceptor.poll_read().is_some() && interceptor.poll_read().is_some(), "both should be passed on");
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
