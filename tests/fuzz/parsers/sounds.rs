//! The body of the fuzz target of sound files that are announced. The test suite runs it, too.

use porthole::media::sound_file::SoundFile;

use crate::seeds;

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
#[cfg_attr(fuzzing, allow(dead_code))]
pub const TARGETS: [Target; 1] = [("sound", sound)];

/// The most samples that are decoded: more only take longer.
const MAX_SAMPLES: usize = 1 << 22;

/// A sound file, whose pages have the right checksums if it is Ogg: an error, or samples that can be played.
pub fn sound(input: &[u8]) {
    let file = seeds::with_checksums(input);
    let mut file = match SoundFile::open(file.into()) {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((8_000..=192_000).contains(&file.rate()), "{} Hz", file.rate());
    let mut count = 0;
    while count < MAX_SAMPLES {
        match file.next_samples() {
            Ok(Some(samples)) => {
                assert!(samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
                count += samples.len();
            }
            Ok(None) => return,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    }
}
