//! How long to pause before publishing is tried again. Pure: time is an argument.

use std::time::{Duration, Instant};

use super::failure::PublishFailure;
use crate::util::backoff::Backoff;

/// The longest pause after a refusal that somebody has to do something about.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest pause otherwise: a server that is started again has the picture within 10 s.
const LONGEST_SOON: Duration = Duration::from_secs(5);

/// A publication that lasted this long was a success, after which the pauses begin anew. One that ends at once again and
/// again, as when two boards publish to one address, is a failure.
const SUCCESS: Duration = Duration::from_secs(10);

/// The pauses between attempts to publish.
#[derive(Debug)]
pub struct Pauses(Backoff);

impl Default for Pauses {
    fn default() -> Self {
        Self(Backoff::up_to(LONGEST))
    }
}

impl Pauses {
    /// The pause after a failure at `now`, and whether the failure is worth a log line. By `random`, from 0 to 1, it is up to a
    /// fifth shorter or longer, so that boards which have lost one server do not all come back at once.
    pub fn after(&mut self, failure: &PublishFailure, now: Instant, random: f64) -> (Duration, bool) {
        if matches!(failure, PublishFailure::Lost(after) if *after >= SUCCESS) {
            self.0.recovered();
        }
        let (pause, log) = self.0.failed(now);
        let pause = if failure.is_lasting() { pause } else { pause.min(LONGEST_SOON) };
        let pause = pause.mul_f64(0.8 + 0.4 * random);
        match failure {
            // Never before.
            PublishFailure::Refused { retry_after: Some(asked), .. } => {
                (pause.max(asked.mul_f64(1.0 + 0.2 * random)), log)
            }
            _ => (pause, log),
        }
    }

    /// Starts over: somebody has asked for it to be published.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<u64>) -> PublishFailure {
        PublishFailure::Refused { status, words: String::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    fn seconds(pauses: &mut Pauses, failure: &PublishFailure, count: usize) -> Vec<f32> {
        let now = Instant::now();
        (0..count).map(|_| pauses.after(failure, now, 0.5).0.as_secs_f32()).collect()
    }

    #[test]
    fn pauses_grow_to_what_fits_the_failure() {
        let unreachable = PublishFailure::Unreachable("refused".into());
        assert_eq!(seconds(&mut Pauses::default(), &unreachable, 6), [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]);
        assert_eq!(seconds(&mut Pauses::default(), &refused(404, None), 6)[5], 5.0);
        let wrong_token = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0];
        assert_eq!(seconds(&mut Pauses::default(), &refused(401, None), 9), wrong_token);
    }

    #[test]
    fn server_is_not_asked_before_the_time_that_it_names() {
        assert_eq!(seconds(&mut Pauses::default(), &refused(503, Some(20)), 2), [22.0, 22.0]);
        assert_eq!(seconds(&mut Pauses::default(), &refused(503, Some(0)), 2), [0.5, 1.0]);
    }

    #[test]
    fn long_publication_starts_the_pauses_anew_and_a_short_one_does_not() {
        let mut pauses = Pauses::default();
        let (short, long) = (PublishFailure::Lost(Duration::from_secs(1)), PublishFailure::Lost(SUCCESS));
        assert_eq!(seconds(&mut pauses, &short, 3), [0.5, 1.0, 2.0]);
        assert_eq!(seconds(&mut pauses, &long, 2), [0.5, 0.5]);
        assert_eq!(seconds(&mut pauses, &short, 1), [1.0]);
        pauses.reset();
        assert_eq!(seconds(&mut pauses, &short, 1), [0.5]);
        let now = Instant::now();
        assert!(pauses.after(&long, now, 0.5).1 && !pauses.after(&short, now, 0.5).1, "one line a minute");
    }

    #[test]
    fn pauses_are_spread_by_a_fifth() {
        let now = Instant::now();
        let first = |failure, random| Pauses::default().after(failure, now, random).0.as_secs_f32();
        let unreachable = PublishFailure::Unreachable("refused".into());
        assert_eq!((first(&unreachable, 0.0), first(&unreachable, 1.0)), (0.4, 0.6));
        let asked = refused(503, Some(20));
        assert_eq!((first(&asked, 0.0), first(&asked, 1.0)), (20.0, 24.0));
    }
}
