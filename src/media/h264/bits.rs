//! Reads the bits of H.264 headers: flags, numbers of fixed length and Exp-Golomb numbers (ITU-T H.264 section 9.1).

/// Reads bits; `None` at the end.
pub struct Bits<'a> {
    pub data: &'a [u8],
    /// The number of the next bit.
    pub at: usize,
}

impl Bits<'_> {
    pub fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    pub fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0u32, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.bits(8).map(|value| value as u8)
    }

    /// An unsigned Exp-Golomb number (section 9.1).
    pub fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// A signed one (section 9.1.1).
    pub fn signed_golomb(&mut self) -> Option<i64> {
        let value = i64::from(self.golomb()?);
        Some(if value % 2 == 0 { -value / 2 } else { (value + 1) / 2 })
    }
}
