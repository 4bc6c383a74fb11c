//! Converts samples from a sound card's format to our own, floats from -1 to 1 in one or two channels, and back.
//!
//! Pure. The card's format is negotiated in `alsa`; changing the rate belongs to `resample`.

/// How a sound card writes a sample; all are little-endian, as every bus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 16 bit.
    S16,
    /// 24 bit in three bytes.
    S24Packed,
    /// 24 bit in the lower three of four bytes; what the fourth holds is undefined.
    S24,
    /// 32 bit.
    S32,
    /// A float from -1 to 1.
    F32,
}

impl Encoding {
    /// Bytes of a sample.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::S16 => 2,
            Self::S24Packed => 3,
            Self::S24 | Self::S32 | Self::F32 => 4,
        }
    }

    /// The name for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::S16 => "16 bit",
            Self::S24Packed => "24 bit in 3 bytes",
            Self::S24 => "24 bit",
            Self::S32 => "32 bit",
            Self::F32 => "float",
        }
    }

    /// One sample of exactly [`bytes`](Self::bytes) bytes; what is no sample (of another length, not a number) is 0.
    fn read(self, sample: &[u8]) -> f32 {
        /// A 32 bit sample's full scale, which 16 and 24 bit shifted to the top share.
        const FULL: f32 = 1.0 / 2_147_483_648.0;
        match (self, sample) {
            (Self::S16, &[a, b]) => i32::from_le_bytes([0, 0, a, b]) as f32 * FULL,
            (Self::S24Packed, &[a, b, c]) | (Self::S24, &[a, b, c, _]) => {
                i32::from_le_bytes([0, a, b, c]) as f32 * FULL
            }
            (Self::S32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32 * FULL,
            (Self::F32, &[a, b, c, d]) => {
                let value = f32::from_le_bytes([a, b, c, d]);
                // A filter would carry infinity or no number on into everything after it.
                if value.is_finite() { value } else { 0.0 }
            }
            _ => 0.0,
        }
    }

    /// A sample in its first [`bytes`](Self::bytes) bytes.
    fn write(self, sample: f32) -> [u8; 4] {
        /// Full scale of 24 and 32 bit. The casts saturate; what is no number becomes 0.
        const FULL: (f32, f64) = (8_388_608.0, 2_147_483_648.0);
        match self {
            Self::S16 => {
                let [a, b] = to_i16(sample).to_le_bytes();
                [a, b, 0, 0]
            }
            Self::S24Packed | Self::S24 => {
                let value = (sample * FULL.0).round() as i32;
                value.clamp(-(1 << 23), (1 << 23) - 1).to_le_bytes()
            }
            Self::S32 => ((f64::from(sample) * FULL.1).round() as i32).to_le_bytes(),
            Self::F32 => (if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }).to_le_bytes(),
        }
    }
}

/// Appends the samples of one channel to `data` in `encoding`, in each of `channels` channels: all speakers of a card play the
/// same. What is louder than full scale is cut there.
pub(super) fn write(data: &mut Vec<u8>, samples: &[f32], encoding: Encoding, channels: usize) {
    for sample in samples {
        let bytes = encoding.write(*sample);
        (0..channels).for_each(|_| data.extend_from_slice(&bytes[..encoding.bytes()]));
    }
}

/// Appends interleaved samples of `from` channels to `samples` as `to` channels, 1 or 2: mono is the mean of the first
/// two channels, or the one of them that is not all zeros (a single I2S microphone occupies one of two channels); stereo
/// from mono has it twice. Of a card with more than two (an array of microphones) the first two
/// are heard. An incomplete last frame is left out.
pub(super) fn append(samples: &mut Vec<f32>, data: &[u8], encoding: Encoding, from: usize, to: usize) {
    let bytes = encoding.bytes();
    let frames = || data.chunks_exact(bytes * from.max(1));
    let read = |frame: &[u8], index: usize| encoding.read(&frame[bytes * index..bytes * (index + 1)]);
    let is_empty = |index: usize| frames().all(|frame| read(frame, index) == 0.0);
    // Decided anew for each period: a channel that is not connected is zero in all of them.
    let share = if from > 1 && to == 1 && (is_empty(0) || is_empty(1)) { 1.0 } else { 0.5 };
    for frame in frames() {
        let channel = |index: usize| read(frame, index);
        match (from, to) {
            (0 | 1, 1) => samples.push(channel(0)),
            (0 | 1, _) => samples.extend([channel(0); 2]),
            (_, 1) => samples.push((channel(0) + channel(1)) * share),
            (_, _) => samples.extend([channel(0), channel(1)]),
        }
    }
}

/// The sample in 16 bit; what is louder than full scale is cut there.
pub(super) fn to_i16(sample: f32) -> i16 {
    // The cast saturates.
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8], encoding: Encoding, from: usize, to: usize) -> Vec<i16> {
        let mut samples = Vec::new();
        append(&mut samples, data, encoding, from, to);
        samples.into_iter().map(to_i16).collect()
    }

    #[test]
    fn sixteen_bit_samples_are_unchanged() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let data: Vec<u8> = all.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(read(&data, Encoding::S16, 1, 1), all);
        assert_eq!(read(&data, Encoding::S16, 2, 2), all);
    }

    #[test]
    fn all_encodings_have_the_same_scale() {
        for value in [i16::MIN, -12_345, -1, 0, 1, 300, i16::MAX] {
            let [low, high] = value.to_le_bytes();
            let float = (f32::from(value) / 32_768.0).to_le_bytes();
            assert_eq!(read(&[0, low, high], Encoding::S24Packed, 1, 1), [value]);
            // The fourth byte of a 24 bit sample is what the driver left there.
            assert_eq!(read(&[0, low, high, 0x5a], Encoding::S24, 1, 1), [value]);
            assert_eq!(read(&[0, 0, low, high], Encoding::S32, 1, 1), [value]);
            assert_eq!(read(&float, Encoding::F32, 1, 1), [value]);
        }
    }

    #[test]
    fn what_is_written_is_read_back_from_all_channels() {
        let samples = [0.0, 0.5, -0.25, 1.0, -1.0, 2.0, f32::NAN];
        for encoding in [Encoding::S16, Encoding::S24Packed, Encoding::S24, Encoding::S32, Encoding::F32] {
            for channels in [1, 2, 6] {
                let mut data = Vec::new();
                write(&mut data, &samples, encoding, channels);
                assert_eq!(data.len(), samples.len() * channels * encoding.bytes());
                let expected = [0, 16_384, -8_192, i16::MAX, i16::MIN, i16::MAX, 0];
                assert_eq!(read(&data, encoding, channels, 1), expected, "{encoding:?} in {channels} channels");
            }
        }
    }

    #[test]
    fn nan_becomes_silence_and_overdriven_samples_are_clipped() {
        let floats = [f32::NAN, f32::INFINITY, 2.0, -2.0, 0.5];
        let data: Vec<u8> = floats.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(read(&data, Encoding::F32, 1, 1), [0, 0, i16::MAX, i16::MIN, 16_384]);
    }

    #[test]
    fn channels_are_downmixed_duplicated_or_dropped() {
        let data: Vec<u8> = [100i16, 300, -100, -500].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(read(&data, Encoding::S16, 2, 1), [200, -300]);
        assert_eq!(read(&data, Encoding::S16, 1, 2), [100, 100, 300, 300, -100, -100, -500, -500]);
        assert_eq!(read(&data, Encoding::S16, 4, 2), [100, 300]);
        assert_eq!(read(&data, Encoding::S16, 4, 1), [200]);
    }

    #[test]
    fn microphone_on_one_of_two_channels_keeps_its_level() {
        for samples in [[100i16, 0, -500, 0], [0, 100, 0, -500]] {
            let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            assert_eq!(read(&data, Encoding::S16, 2, 1), [100, -500], "{samples:?}");
            assert_eq!(read(&data, Encoding::S16, 2, 2), samples);
        }
    }

    #[test]
    fn incomplete_frame_is_dropped() {
        assert_eq!(read(&[1, 0, 2], Encoding::S16, 1, 1), [1]);
        assert_eq!(read(&[1, 0, 2, 0, 3, 0], Encoding::S16, 2, 2), [1, 2]);
        assert_eq!(read(&[], Encoding::S32, 2, 1), [0i16; 0]);
    }
}
