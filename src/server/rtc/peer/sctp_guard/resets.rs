//! The viewer's stream resets that are not done yet. The library answers all of them again with each chunk of data that arrives
//! (rtc-sctp 0.21.1, `handle_peer_last_tsn_and_acknowledgement`), so that many would be many answers to little.

use std::collections::HashSet;

use crate::server::rtc::peer::sctp_chunks::{parameter, parameters, word};

/// How many may wait to be done. One may be in flight (RFC 6525 section 5.1.1); some implementations send several, and repeat
/// those that are not answered.
const MAX_PENDING: usize = 4;

/// What a response says of a request that it has not done yet (RFC 6525 section 4.4).
const IN_PROGRESS: u32 = 6;

/// The numbers of the requests that are not done yet.
#[derive(Debug, Default)]
pub struct PendingResets(HashSet<u32>);

impl PendingResets {
    /// Checks a RE-CONFIG chunk of the viewer: whether all its requests may wait.
    pub fn check(&mut self, value: &[u8]) -> bool {
        let requests = parameters(value).filter(|(kind, _)| *kind == parameter::OUTGOING_RESET_REQUEST);
        for number in requests.filter_map(|(_, request)| word(request, 0)) {
            if self.0.len() >= MAX_PENDING && !self.0.contains(&number) {
                return false;
            }
            self.0.insert(number);
        }
        true
    }

    /// Reads in a RE-CONFIG chunk of ours which requests are done.
    pub fn note_sent(&mut self, value: &[u8]) {
        for (_, response) in parameters(value).filter(|(kind, _)| *kind == parameter::RECONFIG_RESPONSE) {
            if let (Some(number), Some(result)) = (word(response, 0), word(response, 4))
                && result != IN_PROGRESS
            {
                self.0.remove(&number);
            }
        }
    }
}
