//! Where a sound is in what was heard.

/// The correlation of `sent` with what was heard, at the place where it is highest, and that place. It is looked for roughly
/// first, in steps of so many samples and with every second of those: a voice has little energy above some kilohertz.
pub fn find<S: Copy + Into<f64>>(sent: &[S], heard: &[i16], step: usize) -> (f64, usize) {
    let score = |at: usize, step: usize| {
        let (mut product, mut one, mut other) = (0.0, 1e-9, 1e-9);
        for index in (0..sent.len()).step_by(step) {
            let (a, b): (f64, f64) = (sent[index].into(), heard[at + index].into());
            (product, one, other) = (product + a * b, one + a * a, other + b * b);
        }
        product / (one * other).sqrt()
    };
    let places = heard.len().checked_sub(sent.len()).map_or(0, |last| last + 1);
    let best = |range: std::ops::Range<usize>, by: usize, step: usize| {
        let scores = range.step_by(by).map(|at| (score(at, step), at));
        scores.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, 0))
    };
    let (_, rough) = best(0..places, step, 2 * step);
    best(rough.saturating_sub(2 * step)..(rough + 2 * step).min(places), 1, 1)
}
