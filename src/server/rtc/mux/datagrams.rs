//! Datagrams that are sent to one peer together, and how they are cut into system calls. Pure.

use crate::media::Timestamp;

/// The most bytes of one system call: what a UDP datagram may hold over IPv4, less some headers.
const MAX_RUN: usize = 65_000;

/// Datagrams to one peer, which follow each other in one buffer.
#[derive(Debug, Clone, Copy)]
pub struct Datagrams<'b> {
    contents: &'b [u8],
    lengths: &'b [u16],
    /// The capture time of the frame that ends with them.
    pub frame: Option<Timestamp>,
}

/// Datagrams of one length, of which the last may be shorter: the kernel takes them in one call (UDP GSO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramRun<'b> {
    /// The datagrams, one after the other.
    pub contents: &'b [u8],
    /// The length of all but the last.
    pub length: usize,
    /// How many there are.
    pub count: usize,
}

impl<'b> Datagrams<'b> {
    /// Those of these lengths, which follow each other in `contents`.
    pub fn new(contents: &'b [u8], lengths: &'b [u16], frame: Option<Timestamp>) -> Self {
        Self { contents, lengths, frame }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = &'b [u8]> {
        let mut rest = self.contents;
        self.lengths.iter().map_while(move |length| {
            let (datagram, after) = rest.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(datagram)
        })
    }

    /// All of them in runs of at most `limit` datagrams.
    pub fn runs(&self, limit: usize) -> impl Iterator<Item = DatagramRun<'b>> {
        let (mut contents, mut lengths) = (self.contents, self.lengths);
        std::iter::from_fn(move || {
            let length = usize::from(*lengths.first()?);
            let (mut count, mut bytes) = (0, 0);
            for next in lengths.iter().map(|length| usize::from(*length)) {
                if count > 0 && (count >= limit || next > length || bytes + next > MAX_RUN) {
                    break;
                }
                (count, bytes) = (count + 1, bytes + next);
                if next < length {
                    break;
                }
            }
            let (run, rest) = contents.split_at_checked(bytes)?;
            (contents, lengths) = (rest, &lengths[count..]);
            Some(DatagramRun { contents: run, length, count })
        })
    }
}

impl<'b> DatagramRun<'b> {
    /// Each of its datagrams.
    pub fn each(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.contents.chunks(self.length.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(lengths: &[u16], limit: usize) -> Vec<(usize, usize, usize)> {
        let contents = vec![7; lengths.iter().map(|length| usize::from(*length)).sum()];
        let datagrams = Datagrams::new(&contents, lengths, None);
        let cut: Vec<usize> =
            datagrams.runs(limit).flat_map(|run| run.each().map(<[u8]>::len).collect::<Vec<_>>()).collect();
        assert_eq!(cut, datagrams.each().map(<[u8]>::len).collect::<Vec<_>>());
        assert_eq!(cut.len(), lengths.len());
        datagrams.runs(limit).map(|run| (run.length, run.count, run.contents.len())).collect()
    }

    #[test]
    fn a_run_has_equal_lengths_and_a_shorter_end() {
        assert_eq!(runs(&[], 64), []);
        assert_eq!(runs(&[100], 64), [(100, 1, 100)]);
        assert_eq!(runs(&[40, 100, 100, 60, 60], 64), [(40, 1, 40), (100, 3, 260), (60, 1, 60)]);
        assert_eq!(runs(&[100, 90, 100], 64), [(100, 2, 190), (100, 1, 100)]);
    }

    #[test]
    fn a_run_is_bounded_in_number_and_bytes() {
        assert_eq!(runs(&[10; 5], 2), [(10, 2, 20), (10, 2, 20), (10, 1, 10)]);
        assert_eq!(runs(&[10; 2], 1), [(10, 1, 10), (10, 1, 10)], "without GSO");
        assert_eq!(runs(&[1_200; 60], 64), [(1_200, 54, 64_800), (1_200, 6, 7_200)]);
    }
}
