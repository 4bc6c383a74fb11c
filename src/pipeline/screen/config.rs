//! The settings of the screen.

use std::fmt;

use crate::util::redact::redact;

/// What shows a talker's picture.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// A command line for the shell; `None` if nothing does.
    pub exec: Option<String>,
}

impl fmt::Debug for Config {
    /// Without credentials, as debug output may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("exec", &self.exec.as_deref().map(redact)).finish()
    }
}
