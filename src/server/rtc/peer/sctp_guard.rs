//! Bounds what a viewer can make the SCTP library keep: the limits that RFC 9260 leaves to the receiver, checked on
//! each packet before the library sees it. Pure: time is an argument.
//!
//! The library keeps every chunk until its message is complete, and accepts chunks beyond its own window while no
//! message is complete (rtc-sctp 0.21.1, `Association::handle_data`). Packets come here as soon as DTLS has decrypted
//! them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::sctp_chunks::{chunk, chunks, is_read_whole, word};

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

/// Stream resets in one session: each closed channel needs one, and the library keeps those that are not due yet.
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
    /// The last chunk that we acknowledged, with all before it.
    acknowledged: Option<u32>,
    /// The window that we advertised last.
    window: u32,
    /// Chunks let through since the library was empty.
    chunks: usize,
    streams: HashSet<u16>,
    resets: usize,
    /// Bytes not let through since the library was empty.
    ignored: usize,
    /// Since when the limits have been reached.
    blocked_since: Option<Instant>,
    /// When the last packet passed although the limits were reached.
    probed: Option<Instant>,
}

impl Default for SctpGuard {
    fn default() -> Self {
        Self {
            association: None,
            acknowledged: None,
            window: WINDOW,
            chunks: 0,
            streams: HashSet::new(),
            resets: 0,
            ignored: 0,
            blocked_since: None,
            probed: None,
        }
    }
}

impl SctpGuard {
    /// Checks a packet from the viewer at `now`: whether the library may see it. One that may not is as good as lost.
    ///
    /// # Errors
    ///
    /// When the session has to end.
    pub fn check(&mut self, packet: &[u8], now: Instant) -> Result<bool, SctpViolation> {
        let mut data = 0;
        for (kind, value) in chunks(packet) {
            let passes = match kind {
                chunk::DATA => {
                    data += 1;
                    self.check_data(value)?
                }
                // An end that opens the association too says the same in both (RFC 9260 section 5.2.1), and repeats itself.
                chunk::INIT | chunk::INIT_ACK => self.check_init(value),
                chunk::RECONFIG => {
                    self.resets += 1;
                    if self.resets > MAX_RESETS {
                        return Err(SctpViolation::Resets);
                    }
                    true
                }
                chunk::FORWARD_TSN => word(value, 0).is_some_and(|tsn| self.is_near(tsn)),
                _ => true,
            };
            if !passes || !is_read_whole(kind, value) {
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

    /// Reads in a packet of ours what we acknowledge and how much more we accept.
    pub fn note_sent(&mut self, packet: &[u8]) {
        for (kind, value) in chunks(packet) {
            if kind != chunk::SACK {
                continue;
            }
            let (Some(acknowledged), Some(window)) = (word(value, 0), word(value, 4)) else { continue };
            self.acknowledged = Some(acknowledged);
            self.window = window;
            if WINDOW.saturating_sub(window) <= NEARLY_EMPTY {
                (self.chunks, self.ignored, self.blocked_since) = (0, 0, None);
            }
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

    fn check_init(&mut self, value: &[u8]) -> bool {
        let Some(said) = word(value, 0).zip(word(value, 12)) else { return false };
        if *self.association.get_or_insert(said) != said {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rtc::peer::sctp_chunks::HEADER_LEN;

    fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
        [vec![0; HEADER_LEN], chunks.concat()].concat()
    }

    fn chunk(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut chunk = vec![kind, 0];
        chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
        chunk.extend_from_slice(value);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    fn data(tsn: u32, stream: u16, len: usize) -> Vec<u8> {
        let header = [&tsn.to_be_bytes()[..], &stream.to_be_bytes(), &[0; 6]].concat();
        chunk(chunk::DATA, &[header, vec![7; len]].concat())
    }

    fn init(tag: u32, first: u32) -> Vec<u8> {
        chunk(chunk::INIT, &[tag, 0, 0, first].map(u32::to_be_bytes).concat())
    }

    fn init_ack(tag: u32, first: u32) -> Vec<u8> {
        chunk(chunk::INIT_ACK, &[tag, 0, 0, first].map(u32::to_be_bytes).concat())
    }

    fn sack(acknowledged: u32, window: u32) -> Vec<u8> {
        packet(&[chunk(chunk::SACK, &[acknowledged, window, 0].map(u32::to_be_bytes).concat())])
    }

    /// A guard whose viewer has connected, and the time.
    fn connected() -> (SctpGuard, Instant) {
        let (mut guard, now) = (SctpGuard::default(), Instant::now());
        assert_eq!(guard.check(&packet(&[init(1, 100)]), now), Ok(true));
        (guard, now)
    }

    #[test]
    fn error_causes_that_exceed_their_chunk_do_not_pass() {
        let error = |causes: &[u8]| {
            let length = (causes.len() as u16 + 4).to_be_bytes();
            let chunk = [&[chunk::ERROR, 0], &length[..], causes].concat();
            SctpGuard::default().check(&packet(&[chunk]), Instant::now())
        };
        let cause = |length: u16| [&[0, 13], &length.to_be_bytes()[..], b"text"].concat();
        for (causes, passes) in [
            (Vec::new(), true),
            (cause(8), true),
            ([cause(8), cause(8)].concat(), true),
            (cause(9), false),
            (cause(u16::MAX), false),
            ([cause(8), cause(9)].concat(), false),
            (cause(0), false),
        ] {
            assert_eq!(error(&causes), Ok(passes), "{causes:?}");
        }
    }

    #[test]
    fn messages_that_are_read_pass_without_end() {
        let (mut guard, now) = connected();
        for tsn in 100..100 + 10 * MAX_CHUNKS as u32 {
            assert_eq!(guard.check(&packet(&[data(tsn, 0, 1_000)]), now), Ok(true), "{tsn}");
            guard.note_sent(&sack(tsn, WINDOW));
        }
    }

    #[test]
    fn a_viewer_that_ignores_the_closed_window_is_ended() {
        let (mut guard, now) = connected();
        guard.note_sent(&sack(200, 0));
        let mut tsn = 201;
        let mut passed = 0;
        let violation = loop {
            match guard.check(&packet(&[data(tsn, 0, 1_000)]), now) {
                Ok(true) => passed += 1,
                Ok(false) => {}
                Err(violation) => break violation,
            }
            tsn += 1;
        };
        assert!(matches!(violation, SctpViolation::Window(ignored) if ignored < MAX_IGNORED + 2_000), "{violation}");
        assert_eq!(passed, 1, "only the probe");
    }

    #[test]
    fn a_viewer_that_waits_for_the_window_stays() {
        let (mut guard, start) = connected();
        guard.note_sent(&sack(200, 0));
        for second in 0..20 {
            let probe = guard.check(&packet(&[data(201, 0, 1_000)]), start + Duration::from_secs(second));
            assert_eq!(probe, Ok(true), "the probe after {second} s");
        }
        guard.note_sent(&sack(201, WINDOW));
        let later = start + Duration::from_secs(3_600);
        assert!((202..300).all(|tsn| guard.check(&packet(&[data(tsn, 0, 1_000)]), later) == Ok(true)));
    }

    #[test]
    fn small_chunks_count_although_they_hardly_fill_the_window() {
        let (mut guard, now) = connected();
        let mut passed = 0;
        for tsn in 100..100 + 2 * MAX_CHUNKS as u32 {
            let unread = tsn - 99;
            passed += u32::from(guard.check(&packet(&[data(tsn, 0, 1)]), now).expect("no violation yet"));
            guard.note_sent(&sack(tsn, WINDOW - NEARLY_EMPTY - unread));
        }
        assert_eq!(passed as usize, MAX_CHUNKS + 1);
        let late = now + MAX_BLOCKED + Duration::from_secs(1);
        assert_eq!(guard.check(&packet(&[data(100, 0, 1)]), late), Err(SctpViolation::Incomplete));
    }

    #[test]
    fn streams_resets_and_empty_chunks_are_limited() {
        let (mut guard, now) = connected();
        for stream in 0..MAX_STREAMS as u16 {
            assert_eq!(guard.check(&packet(&[data(100, 2 * stream, 1)]), now), Ok(true));
        }
        assert_eq!(guard.check(&packet(&[data(100, 1, 1)]), now), Err(SctpViolation::Streams));
        let (mut guard, now) = connected();
        let request = [&[0, 13, 0, 16][..], &[0; 12]].concat();
        let reset = packet(&[chunk(chunk::RECONFIG, &request)]);
        assert!((0..MAX_RESETS).all(|_| guard.check(&reset, now) == Ok(true)));
        assert_eq!(guard.check(&reset, now), Err(SctpViolation::Resets));
        let (mut guard, now) = connected();
        assert_eq!(guard.check(&packet(&[data(100, 0, 0)]), now), Err(SctpViolation::Empty));
    }

    #[test]
    fn sequence_numbers_far_away_and_further_associations_are_dropped() {
        let (mut guard, now) = connected();
        let forward = |tsn: u32| packet(&[chunk(chunk::FORWARD_TSN, &tsn.to_be_bytes())]);
        assert_eq!(guard.check(&forward(99 + MAX_DISTANCE), now), Ok(true));
        assert_eq!(guard.check(&forward(100 + MAX_DISTANCE), now), Ok(false));
        assert_eq!(guard.check(&packet(&[data(100 + MAX_DISTANCE, 0, 1)]), now), Ok(false));
        assert_eq!(guard.check(&packet(&[data(99, 0, 1)]), now), Ok(true), "one that is repeated");
        for far in [98_u32.wrapping_sub(MAX_DISTANCE), 100 + (1 << 31), 99 + (1 << 31)] {
            assert_eq!(guard.check(&forward(far), now), Ok(false), "{far} is behind, but not of what the library has");
        }
        assert_eq!(guard.check(&packet(&[init(1, 100)]), now), Ok(true), "one that is repeated");
        assert_eq!(guard.check(&packet(&[init_ack(1, 100)]), now), Ok(true), "both ends open it");
        let far = 100 + 2 * MAX_DISTANCE;
        for other in [init(2, 100), init(1, far), init_ack(2, 100), init_ack(1, far), chunk(chunk::INIT_ACK, &[])] {
            assert_eq!(guard.check(&packet(std::slice::from_ref(&other)), now), Ok(false), "{other:?}");
            assert_eq!(guard.check(&forward(far), now), Ok(false), "after {other:?}");
        }
        assert_eq!(SctpGuard::default().check(&forward(100), now), Ok(false), "there is no association");
    }

    #[test]
    fn damaged_packets_are_left_to_the_library() {
        let (mut guard, now) = connected();
        let whole = packet(&[data(100, 0, 9), data(101, 0, 9)]);
        for len in 0..whole.len() {
            assert_eq!(guard.check(&whole[..len], now), Ok(true), "{len}");
            guard.note_sent(&whole[..len]);
        }
        assert_eq!(guard.check(&packet(&[vec![0; 4]]), now), Ok(true));
    }
}
