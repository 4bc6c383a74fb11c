//! Notices a viewer whose decoder shows nothing of what it receives: its requests for key frames go on although key frames are
//! sent and its receiver reports show no loss. Pure; time is an argument.

use std::time::{Duration, Instant};

/// How long requests go on before it counts: a viewer that joins or has lost packets recovers with the next key frame, which
/// our own encoder sends within a second.
const SPAN: Duration = Duration::from_secs(10);

/// The fewest requests in that time. Browsers repeat theirs several times a second; a healthy viewer on a bad link asks
/// every few seconds.
const MIN_REQUESTS: u32 = 8;

/// The fewest key frames in that time: the first one may have been on its way already.
const MIN_KEY_FRAMES: u32 = 2;

/// Without a request for this long the decoder is taken to have recovered.
const PAUSE: Duration = Duration::from_secs(5);

/// The share of lost packets, in 256ths, from which on loss explains the requests: 5 %.
const LOSSY: u8 = 13;

/// What is known of one viewer's decoder.
#[derive(Debug, Default)]
pub struct DecodeWatch {
    requests: Option<Requests>,
    undecoded: bool,
}

/// Key frame requests without a pause between them.
#[derive(Debug)]
struct Requests {
    first: Instant,
    last: Instant,
    count: u32,
    /// Key frames sent since the first one.
    key_frames: u32,
}

impl DecodeWatch {
    /// Whether the viewer decodes nothing.
    pub const fn is_undecoded(&self) -> bool {
        self.undecoded
    }

    /// Notes that the viewer asked for a key frame.
    pub fn note_request(&mut self, now: Instant) {
        let going_on = self.requests.take().filter(|known| now.saturating_duration_since(known.last) < PAUSE);
        let mut requests = going_on.unwrap_or(Requests { first: now, last: now, count: 0, key_frames: 0 });
        requests.last = now;
        requests.count = requests.count.saturating_add(1);
        let long = now.saturating_duration_since(requests.first) >= SPAN;
        self.undecoded |= long && requests.count >= MIN_REQUESTS && requests.key_frames >= MIN_KEY_FRAMES;
        self.requests = Some(requests);
    }

    /// Notes that a key frame was sent.
    pub fn note_key_frame(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.key_frames = requests.key_frames.saturating_add(1);
        }
    }

    /// Notes a receiver report with the share of lost packets in 256ths (RFC 3550 section 6.4.1).
    pub fn note_report(&mut self, fraction_lost: u8, now: Instant) {
        let quiet = self.requests.as_ref().is_none_or(|known| now.saturating_duration_since(known.last) >= PAUSE);
        if quiet {
            self.undecoded = false;
        }
        if quiet || fraction_lost >= LOSSY {
            self.requests = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A viewer asks `per_second` times a second for `seconds`, gets a key frame every `key_every` requests, and reports
    /// `lost` each second. Returns when it counts as undecoded, in seconds.
    fn watch(watch: &mut DecodeWatch, (seconds, per_second): (u32, u32), key_every: u32, lost: u8) -> Option<u32> {
        let start = Instant::now();
        for second in 0..seconds {
            for request in 0..per_second {
                watch.note_request(
                    start + Duration::from_secs(second.into()) + Duration::from_secs(1) / per_second * request,
                );
                if (second * per_second + request) % key_every == 0 {
                    watch.note_key_frame();
                }
            }
            if watch.is_undecoded() {
                return Some(second);
            }
            watch.note_report(lost, start + Duration::from_millis(u64::from(second) * 1_000 + 999));
        }
        None
    }

    #[test]
    fn requests_without_end_and_without_loss_are_noticed_after_a_while() {
        assert_eq!(watch(&mut DecodeWatch::default(), (60, 5), 5, 0), Some(10));
        assert_eq!(watch(&mut DecodeWatch::default(), (60, 1), 1, LOSSY - 1), Some(10));
    }

    #[test]
    fn what_has_another_cause_is_not() {
        assert_eq!(watch(&mut DecodeWatch::default(), (9, 5), 1, 0), None, "it is not long enough");
        assert_eq!(watch(&mut DecodeWatch::default(), (60, 5), 1, LOSSY), None, "packets are lost");
        assert_eq!(watch(&mut DecodeWatch::default(), (60, 5), 1_000, 0), None, "the camera sends no key frame");
        let (mut rare, start) = (DecodeWatch::default(), Instant::now());
        for request in 0..20 {
            let now = start + Duration::from_secs(4) * request;
            rare.note_request(now);
            rare.note_key_frame();
            rare.note_report(LOSSY, now + Duration::from_secs(1));
        }
        assert!(!rare.is_undecoded(), "it recovers each time");
    }

    #[test]
    fn a_decoder_that_recovers_stops_asking() {
        let mut undecoded = DecodeWatch::default();
        watch(&mut undecoded, (60, 5), 5, 0).expect("noticed");
        let last = undecoded.requests.as_ref().expect("requests").last;
        undecoded.note_report(0, last + PAUSE / 2);
        assert!(undecoded.is_undecoded());
        undecoded.note_report(0, last + PAUSE);
        assert!(!undecoded.is_undecoded());
    }
}
