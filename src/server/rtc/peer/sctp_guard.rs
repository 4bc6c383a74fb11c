//! Bounds what a viewer can make the SCTP library keep: the limits that RFC 9260 leaves to the receiver, checked on
//! each packet before the library sees it. Pure: time is an argument.
//!
//! The library keeps every chunk until its message is complete, and accepts chunks beyond its own window while no
//! message is complete (rtc-sctp 0.21.1, `Association::handle_data`). Packets come here as soon as DTLS has decrypted
//! them.

mod resets;
mod sent;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::sctp_chunks::{chunk, chunks, halves, is_read_whole, word};
use resets::PendingResets;
use sent::SentChunks;

/// The receive window: what a viewer may send before we have read it. Two of the longest messages that data channels
/// carry between all implementations (64 KiB); requests have 16 KiB at most.
pub const WINDOW: u32 = 128 * 1024;

/// With no more than this unread, the library counts as empty. It keeps parts of messages for a moment while they
/// arrive, and each chunk has at least one byte.
const NEARLY_EMPTY: u32 = 1_024;

/// Chunks that may be unread. The library needs some 700 bytes for each, and keeps the whole packet of the chunk.
const MAX_CHUNKS: usize = 2_048;

/// While the limits are reached, one packet passes in this time: a viewer that keeps to its window probes it with one
/// chunk after each timeout of at least a second (RFC 9260 section 6.1), and completes its messages by repeating
/// what it has lost.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes that a viewer may send beyond the limits until its session ends. What is in flight when the window closes is
/// less, as the window counts that too.
const MAX_IGNORED: usize = 2 * WINDOW as usize;

/// How long the limits may be reached without a break. The control channel answers [`MAX_CHUNKS`] requests in 5 s.
const MAX_BLOCKED: Duration = Duration::from_secs(30);

/// Streams that a session may use; a viewer needs one. The library keeps a record of some 500 bytes, and the label, of
/// each.
const MAX_STREAMS: usize = 64;

/// Stream resets in one session: each closed channel needs one.
const MAX_RESETS: usize = 1_024;

/// How far from the last acknowledged chunk a sequence number may be. The library counts up to it one by one.
const MAX_DISTANCE: u32 = 1 << 15;

/// Why a session ends: no viewer that keeps to the protocol does this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SctpViolation {
    /// It sends on although the window is closed.
    #[error("the viewer sent {0} bytes on its data channels beyond the window of {WINDOW}")]
    Window(usize),
    /// What it sends never completes a message.
    #[error("no message of the viewer's data channels became complete for {} s", MAX_BLOCKED.as_secs())]
    Incomplete,
    /// It uses too many streams.
    #[error("the viewer uses more than {MAX_STREAMS} data channels")]
    Streams,
    /// It resets too many streams.
    #[error("the viewer closed more than {MAX_RESETS} data channels")]
    Resets,
    /// A chunk without data, which the window does not count.
    #[error("the viewer sent a data chunk without data")]
    Empty,
}

/// What one session's association may still send.
#[derive(Debug)]
pub struct SctpGuard {
    /// The initiate tag of the viewer's association and its first sequence number: those that the library has. Another
    /// association would have a window of its own, and another first number would make all others far ahead.
    association: Option<(u32, u32)>,
    /// Whether we open the association.
    is_client: bool,
    /// Whether anything of the viewer's has been acknowledged.
    is_established: bool,
    /// The last chunk that we acknowledged, with all before it.
    acknowledged: Option<u32>,
    /// The window that we advertised last.
    window: u32,
    /// Chunks let through since the library was empty.
    chunks: usize,
    streams: HashSet<u16>,
    resets: usize,
    pending_resets: PendingResets,
    sent: SentChunks,
    /// Bytes not let through since the library was empty.
    ignored: usize,
    /// Since when the limits have been reached.
    blocked_since: Option<Instant>,
    /// When the last packet passed although the limits were reached.
    probed: Option<Instant>,
}

impl SctpGuard {
    /// A guard for an association that we open, or the viewer does.
    pub fn new(is_client: bool) -> Self {
        Self {
            association: None,
            is_client,
            is_established: false,
            acknowledged: None,
            window: WINDOW,
            chunks: 0,
            streams: HashSet::new(),
            resets: 0,
            pending_resets: PendingResets::default(),
            sent: SentChunks::default(),
            ignored: 0,
            blocked_since: None,
            probed: None,
        }
    }

    /// Checks a packet from the viewer at `now`: whether the library may see it. One that may not is as good as lost.
    ///
    /// # Errors
    ///
    /// When the session has to end.
    pub fn check(&mut self, packet: &[u8], now: Instant) -> Result<bool, SctpViolation> {
        let (mut data, mut sacks) = (0, 0);
        for (kind, value) in chunks(packet) {
            if !is_read_whole(kind, value) {
                return Ok(false);
            }
            let passes = match kind {
                chunk::DATA => {
                    data += 1;
                    self.check_data(value)?
                }
                chunk::INIT | chunk::INIT_ACK => self.check_init(kind, value),
                chunk::SACK => {
                    sacks += 1;
                    sacks == 1 && self.sent.check_sack(value)
                }
                chunk::RECONFIG => {
                    self.resets += 1;
                    if self.resets > MAX_RESETS {
                        return Err(SctpViolation::Resets);
                    }
                    self.pending_resets.check(value)
                }
                chunk::FORWARD_TSN => word(value, 0).is_some_and(|tsn| self.is_near(tsn)),
                _ => true,
            };
            if !passes {
                return Ok(false);
            }
        }
        if data == 0 {
            return Ok(true);
        }
        if !self.is_blocked() {
            self.chunks += data;
            return Ok(true);
        }
        self.check_blocked(packet.len(), data, now)
    }

    /// Whether a packet that does not pass opens the association once more: our answer to it was lost.
    pub fn is_repeated_opening(&self, packet: &[u8]) -> bool {
        let said = |(kind, value)| (kind == chunk::INIT).then(|| opening(value)).flatten();
        !self.is_client && self.association.is_some() && chunks(packet).next().and_then(said) == self.association
    }

    /// Reads in a packet of ours what we acknowledge and how much more we accept, what we send, and which resets are done.
    pub fn note_sent(&mut self, packet: &[u8]) {
        for (kind, value) in chunks(packet) {
            match kind {
                chunk::SACK => self.note_sack(value),
                chunk::DATA => self.sent.note_data(value),
                chunk::RECONFIG => self.pending_resets.note_sent(value),
                _ => {}
            }
        }
    }

    fn note_sack(&mut self, value: &[u8]) {
        let (Some(acknowledged), Some(window)) = (word(value, 0), word(value, 4)) else { return };
        self.is_established = true;
        self.acknowledged = Some(acknowledged);
        self.window = window;
        // The library keeps the chunks behind a gap, also those that it has delivered.
        let is_without_gap = halves(value, 8).is_some_and(|[gaps, _]| gaps == 0);
        if is_without_gap && WINDOW.saturating_sub(window) <= NEARLY_EMPTY {
            (self.chunks, self.ignored, self.blocked_since) = (0, 0, None);
        }
    }

    /// Whether the viewer has to wait until more has been read.
    fn is_blocked(&self) -> bool {
        self.window == 0 || self.chunks >= MAX_CHUNKS
    }

    fn check_blocked(&mut self, len: usize, data: usize, now: Instant) -> Result<bool, SctpViolation> {
        let since = *self.blocked_since.get_or_insert(now);
        if now.saturating_duration_since(since) > MAX_BLOCKED {
            return Err(SctpViolation::Incomplete);
        }
        if self.probed.is_none_or(|probed| now.saturating_duration_since(probed) >= PROBE_INTERVAL) {
            self.probed = Some(now);
            self.chunks += data;
            return Ok(true);
        }
        self.ignored += len;
        if self.ignored > MAX_IGNORED { Err(SctpViolation::Window(self.ignored)) } else { Ok(false) }
    }

    fn check_data(&mut self, value: &[u8]) -> Result<bool, SctpViolation> {
        // The header: sequence number, stream, number within the stream, protocol.
        let Some((header, data)) = value.split_first_chunk::<12>() else { return Err(SctpViolation::Empty) };
        if data.is_empty() {
            return Err(SctpViolation::Empty);
        }
        if !self.is_near(u32::from_be_bytes([header[0], header[1], header[2], header[3]])) {
            return Ok(false);
        }
        self.streams.insert(u16::from_be_bytes([header[4], header[5]]));
        if self.streams.len() > MAX_STREAMS { Err(SctpViolation::Streams) } else { Ok(true) }
    }

    /// Only the answer to our opening is of use, which may be repeated, or one opening of the viewer's. Where both ends open the
    /// association (RFC 9260 section 5.2.1), the library does with the answer alone.
    fn check_init(&mut self, kind: u8, value: &[u8]) -> bool {
        let Some(said) = opening(value) else { return false };
        if self.is_established || self.is_client != (kind == chunk::INIT_ACK) {
            return false;
        }
        let is_again = self.association.is_some();
        if *self.association.get_or_insert(said) != said || (is_again && !self.is_client) {
            return false;
        }
        self.acknowledged.get_or_insert(said.1.wrapping_sub(1));
        true
    }

    /// Whether a sequence number is not far from what is acknowledged; before there is an association none is near. What is far
    /// behind that may be far ahead of what the library has and we have not acknowledged yet, and no viewer repeats it.
    fn is_near(&self, tsn: u32) -> bool {
        // Serial number arithmetic (RFC 1982).
        self.acknowledged.is_some_and(|last| (tsn.wrapping_sub(last) as i32).unsigned_abs() <= MAX_DISTANCE)
    }
}

/// The tag and the first sequence number of a chunk that opens an association, or answers that.
fn opening(value: &[u8]) -> Option<(u32, u32)> {
    word(value, 0).zip(word(value, 12))
}

#[cfg(test)]
mod tests;
