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
    last: Vec<u8>,
}

impl ComplexityMeter {
    /// Measures a luma plane of lines of `width` samples, `stride` bytes apart.
    pub fn measure(&mut self, luma: &[u8], width: usize, stride: usize) -> Complexity {
        let (mut diff, mut detail) = (0u64, 0u64);
        let mut blocks = Vec::with_capacity(self.last.len());
        for lines in luma.chunks(stride * LINES).filter(|lines| lines.len() >= stride + width) {
            let (above, line) = (&lines[..width], &lines[stride..stride + width]);
            for (block, above) in line.chunks_exact(BLOCK).zip(above.chunks_exact(BLOCK)) {
                let mean = (block.iter().map(|luma| u16::from(*luma)).sum::<u16>() / BLOCK as u16) as u8;
                detail += u64::from(block[0].abs_diff(block[1]))
                    + u64::from(block[2].abs_diff(block[3]))
                    + u64::from(block[0].abs_diff(above[0]));
                diff += self.last.get(blocks.len()).map_or(0, |last| u64::from(last.abs_diff(mean)));
                blocks.push(mean);
            }
        }
        let count = blocks.len().max(1) as f64;
        self.last = blocks;
        Complexity { diff: diff as f64 / count, detail: (detail as f64 / count / 3.0).max(0.5) }
    }
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
