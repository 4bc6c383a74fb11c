//! What we have sent, which bounds what the viewer can acknowledge. The library looks at each number that an acknowledgement
//! covers, as often as it is covered (rtc-sctp 0.21.1, `process_selective_ack`).

use crate::server::rtc::peer::sctp_chunks::{halves, word};

/// Where the gap blocks of a SACK begin: after what is acknowledged, the window, and the counts (RFC 9260 section 3.3.4).
const BLOCKS: usize = 12;

/// The chunks of data that we have sent.
#[derive(Debug, Default)]
pub struct SentChunks {
    /// The last one, by its number.
    last: Option<u32>,
}

impl SentChunks {
    /// Reads a DATA chunk of ours.
    pub fn note_data(&mut self, value: &[u8]) {
        let Some(tsn) = word(value, 0) else { return };
        // Serial number arithmetic (RFC 1982): one may be sent again.
        if self.last.is_none_or(|last| (tsn.wrapping_sub(last) as i32) > 0) {
            self.last = Some(tsn);
        }
    }

    /// Checks a SACK chunk of the viewer: whether it acknowledges nothing that was not sent, and nothing twice.
    pub fn check_sack(&self, value: &[u8]) -> bool {
        let (Some(acknowledged), Some([gaps, _])) = (word(value, 0), halves(value, 8)) else { return false };
        let Some(last) = self.last else { return false };
        let Ok(in_flight) = usize::try_from(last.wrapping_sub(acknowledged) as i32) else { return false };
        let mut covered = 0;
        for block in 0..gaps {
            let Some([start, end]) = halves(value, BLOCKS + 4 * block) else { return false };
            if start > end || end > in_flight {
                return false;
            }
            covered += end - start + 1;
        }
        covered <= in_flight
    }
}
