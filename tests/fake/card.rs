//! A slow memory card: whoever writes at a place of a file waits for as long as the card takes, as with one whose buffers are full.
//!
//! `FOLDER/card` has the bytes that it takes in a second, and may change at any time; without it the card is that of the machine.

use std::time::Duration;

use crate::interpose::folder;

/// How much is written between two looks at the file.
const PART: usize = 16 * 1024;

/// Waits until the card has taken so many bytes.
pub fn wait(bytes: usize) {
    for part in (0..bytes).step_by(PART) {
        let Some(rate) = rate() else { return };
        let bytes = PART.min(bytes - part) as u64;
        std::thread::sleep(Duration::from_micros(bytes * 1_000_000 / rate));
    }
}

/// What it takes in a second.
fn rate() -> Option<u64> {
    let text = std::fs::read_to_string(folder()?.join("card")).ok()?;
    text.trim().parse().ok().filter(|rate| *rate > 0)
}
