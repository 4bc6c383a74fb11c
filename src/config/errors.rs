//! Configuration errors: file, line, key and value, and what would be valid instead.
//!
//! Finding the errors does not belong here.

use std::fmt;

use crate::util::redact::redact_urls;
use crate::util::text;

/// Everything that is wrong with one configuration file. Displays one error a line, in the order of the file:
/// `porthole.toml:12: camera[0].fps = 500: out of range; frames a second from 1 to 240`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    file: String,
    found: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    /// Counted from 1; `None` when the file as a whole is meant.
    line: Option<usize>,
    message: String,
}

impl Errors {
    /// No errors yet. `file` is the name that each message starts with.
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.into(), found: Vec::new() }
    }

    /// Adds an error; `line` counts from 1 and is `None` when the file as a whole is meant. Control characters are escaped, so
    /// that text from the file cannot add lines or move a terminal's cursor, and credentials in URLs are removed.
    pub(super) fn add(&mut self, line: Option<usize>, message: String) {
        self.found.push(Problem { line, message: escape(&redact_urls(&message)) });
    }

    /// Whether there is an error on the line.
    pub(super) fn is_on(&self, line: usize) -> bool {
        self.found.iter().any(|found| found.line == Some(line))
    }

    /// `value` if there are no errors, otherwise the errors in the order of the file.
    pub(super) fn or_ok<T>(mut self, value: T) -> Result<T, Self> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort();
        Err(self)
    }
}

/// Escapes control characters, and others that cannot be seen, as Rust does.
fn escape(message: &str) -> String {
    let mut plain = String::with_capacity(message.len());
    message.chars().for_each(|c| if text::is_invisible(c) { plain.extend(c.escape_default()) } else { plain.push(c) });
    plain
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.found.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match found.line {
                Some(line) => write!(f, "{}:{line}: {}", self.file, found.message)?,
                None => write!(f, "{}: {}", self.file, found.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
