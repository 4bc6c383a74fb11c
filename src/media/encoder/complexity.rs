//! A cheap measure of a picture, for rate control: how much detail it has, and how different it is from the one before.
//! Pure.

/// The distance between measured lines.
const LINES: usize = 8;

/// The width of a measured block: the mean of four samples suppresses most of the sensor's noise.
const BLOCK: usize = 4;

/// What a picture is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Complexity {
    /// The mean difference to the previous picture, in steps of luma; zero for the first one.
    pub diff: f64,
    /// The mean difference of neighbouring samples, in steps of luma, at least 0.5.
    pub detail: f64,
}

/// Measures one picture after another, one sample in eight lines.
#[derive(Debug, Default)]
pub struct ComplexityMeter {
    /// The means of the last picture's blocks.
    last: Vec<u8>,
}

impl ComplexityMeter {
    /// Measures a luma plane of lines of `width` samples, `stride` bytes apart.
    pub fn measure(&mut self, luma: &[u8], width: usize, stride: usize) -> Complexity {
        let measured = || luma.chunks(stride * LINES).filter(|lines| lines.len() >= stride + width);
        let blocks = width / BLOCK;
        let count = measured().count() * blocks;
        let is_first = self.last.len() != count;
        if is_first {
            self.last = vec![0; count];
        }
        let (mut diff, mut detail) = (0, 0);
        for (lines, last) in measured().zip(self.last.chunks_exact_mut(blocks.max(1))) {
            let (line_diff, line_detail) = measure_line(&lines[stride..stride + width], &lines[..width], last);
            diff += u64::from(line_diff);
            detail += u64::from(line_detail);
        }
        if is_first {
            diff = 0;
        }
        let count = count.max(1) as f64;
        Complexity { diff: diff as f64 / count, detail: (detail as f64 / count / 3.0).max(0.5) }
    }
}

/// The sums of the differences of a line's blocks to those of the last picture, which it replaces, and of neighbouring
/// samples. Without branches, so that the compiler uses SIMD.
fn measure_line(line: &[u8], above: &[u8], last: &mut [u8]) -> (u32, u32) {
    let (mut diff, mut detail) = (0, 0);
    for ((block, above), last) in line.chunks_exact(BLOCK).zip(above.chunks_exact(BLOCK)).zip(last) {
        let sum: u16 = block.iter().map(|luma| u16::from(*luma)).sum();
        let mean = (sum / BLOCK as u16) as u8;
        detail += u32::from(block[0].abs_diff(block[1]))
            + u32::from(block[2].abs_diff(block[3]))
            + u32::from(block[0].abs_diff(above[0]));
        diff += u32::from(std::mem::replace(last, mean).abs_diff(mean));
    }
    (diff, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_and_movement_are_measured_and_padding_is_not() {
        let mut meter = ComplexityMeter::default();
        let plane = |stripes: u8, padding: u8| {
            let line = |_| (0..64u8).map(|x| if x >= 48 { padding } else { 100 + x % 2 * stripes }).collect::<Vec<_>>();
            (0..32).flat_map(line).collect::<Vec<u8>>()
        };
        let flat = meter.measure(&plane(0, 7), 48, 64);
        assert_eq!(flat, Complexity { diff: 0.0, detail: 0.5 });
        let striped = meter.measure(&plane(30, 200), 48, 64);
        assert_eq!(striped, Complexity { diff: 15.0, detail: 20.0 });
        assert_eq!(meter.measure(&plane(30, 9), 48, 64), Complexity { diff: 0.0, detail: 20.0 });
    }

    #[test]
    fn a_plane_without_padding_in_its_last_line_or_of_few_lines_is_no_panic() {
        let mut meter = ComplexityMeter::default();
        for lines in 1..20 {
            meter.measure(&vec![1; 64 * lines - 16], 48, 64);
        }
    }
}
