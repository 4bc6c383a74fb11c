//! The last line of what a program writes: for the message when it fails.

use crate::util::redact::redact;
use crate::util::text;

/// How much of a line is kept.
const MAX_LINE: usize = 300;

/// The last line of a text that comes in pieces.
#[derive(Debug, Default)]
pub struct LastLine {
    /// The line, as far as it has come.
    line: Vec<u8>,
    /// Whether it is complete, so that the next byte begins another one.
    is_complete: bool,
}

impl LastLine {
    /// Takes the next piece. A program that shows its progress overwrites its own line.
    pub fn push(&mut self, piece: &[u8]) {
        for byte in piece {
            if matches!(byte, b'\n' | b'\r') {
                self.is_complete = true;
                continue;
            }
            if std::mem::take(&mut self.is_complete) {
                self.line.clear();
            }
            if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            }
        }
    }

    /// The line as others may read it.
    pub fn text(&self) -> String {
        redact(&text::name(&String::from_utf8_lossy(&self.line)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_kept_without_credentials() {
        let mut last = LastLine::default();
        assert_eq!(last.text(), "");
        last.push(b"begun\nframe 1\rfra");
        last.push(b"me 2\r\n");
        assert_eq!(last.text(), "frame 2");
        last.push(b"http://user:secret@host/ is away");
        assert!(!last.text().contains("secret"), "{}", last.text());
        last.push(b"\n");
        last.push(&[b'x'; 9_999]);
        assert_eq!(last.text().len(), MAX_LINE);
    }
}
