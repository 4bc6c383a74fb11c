//! The settings of one hook.

use std::fmt;
use std::path::PathBuf;

use super::event::HookTrigger;
use crate::server::client::{HeaderName, HttpUrl};

/// The longest value of a header.
const MAX_VALUE: usize = 4096;

/// Headers that belong to the connection and the body.
const RESERVED: [&str; 6] = ["host", "connection", "content-length", "content-type", "transfer-encoding", "user-agent"];

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What it waits for.
    pub on: Vec<HookTrigger>,
    /// The camera whose events it is told; `None` for all.
    pub camera: Option<String>,
    /// What happens then.
    pub action: HookAction,
    /// How many seconds that may take.
    pub timeout: u32,
}

/// What happens when a hook is told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAction {
    /// A program is run.
    Run(HookProgram),
    /// JSON is posted.
    Post(HookTarget),
}

/// A program.
#[derive(Clone, PartialEq, Eq)]
pub struct HookProgram {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl fmt::Debug for HookProgram {
    /// Without the arguments, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookProgram({})", self.path.display())
    }
}

/// Where JSON is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookTarget {
    /// The URL.
    pub url: HttpUrl,
    /// Headers that are sent.
    pub headers: Vec<HookHeader>,
    /// A file with more of them, which is read each time.
    pub headers_file: Option<PathBuf>,
}

/// A header of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct HookHeader {
    /// Its name.
    pub name: HeaderName,
    /// Its value, which may be a secret.
    pub value: String,
}

impl HookHeader {
    /// Reads `Name: value`.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = value.trim();
        let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let fits = is_plain && (1..=MAX_VALUE).contains(&value.len()) && !RESERVED.contains(&name.as_str());
        fits.then(|| Self { name, value: value.into() })
    }
}

impl fmt::Debug for HookHeader {
    /// Without the value, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookHeader({}: ***)", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_name_and_a_value_and_not_printed() {
        let header = HookHeader::parse("Authorization:  Bearer s3cret ").expect("a header");
        assert_eq!((header.name.as_str(), header.value.as_str()), ("authorization", "Bearer s3cret"));
        assert!(!format!("{header:?}").contains("s3cret"));
        let program = HookProgram { path: "/a".into(), arguments: vec!["s3cret".into()] };
        assert!(!format!("{program:?}").contains("s3cret"));
        let long = format!("X: {}", "x".repeat(MAX_VALUE + 1));
        for text in
            ["", "X", "X:", "X: ", ": y", "a b: c", "X: a\r\nY: b", "X: ä", "Host: a", "content-length: 1", &long]
        {
            assert_eq!(HookHeader::parse(text), None, "{text}");
        }
    }
}
