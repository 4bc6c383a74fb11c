//! Received sender reports, which map RTP timestamps to the server's clock, and requests for key frames.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;

/// The newest report of each stream, and how often a key frame was asked for.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<HashMap<u32, (u64, u32)>>>, Arc<AtomicUsize>);

impl Reports {
    /// The time of an RTP timestamp in seconds since the Unix epoch; `None` before the stream's first report.
    pub fn unix(&self, ssrc: u32, timestamp: u32, rate: f64) -> Option<f64> {
        let (ntp, rtp) = *self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&ssrc)?;
        let reported = (ntp >> 32) as f64 - 2_208_988_800.0 + (ntp & 0xffff_ffff) as f64 / 4_294_967_296.0;
        Some(reported + f64::from(timestamp.wrapping_sub(rtp) as i32) / rate)
    }

    /// How often a key frame was asked for.
    pub fn key_requests(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

/// Records incoming reports.
pub struct Listener {
    pub reports: Reports,
    pub inbound: VecDeque<TaggedPacket>,
    pub outbound: VecDeque<TaggedPacket>,
}

impl Listener {
    pub fn new(reports: Reports) -> Self {
        Self { reports, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(compound) = &packet.message.packet {
            for report in compound.iter().filter_map(|part| part.as_any().downcast_ref::<SenderReport>()) {
                let mut reports = self.reports.0.lock().unwrap_or_else(PoisonError::into_inner);
                reports.insert(report.ssrc, (report.ntp_time, report.rtp_time));
            }
            let requests = compound.iter().filter(|part| part.as_any().is::<PictureLossIndication>()).count();
            self.reports.1.fetch_add(requests, Ordering::Relaxed);
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Self::Error> {
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
