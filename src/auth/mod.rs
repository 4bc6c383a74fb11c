//! Who may watch and who may steer.

/// How people and programs are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether anybody has to sign in at all.
    pub mode: Mode,
    /// For how many days a browser stays signed in.
    pub session_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        // A month: a phone that looks every few weeks signs in seldom, and one that was lost is out some day.
        Self { mode: Mode::Password, session_days: 30 }
    }
}

/// Whether anybody has to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everybody, with a password or a token.
    Password,
    /// Nobody: whoever reaches the board watches and steers it.
    None,
}

/// What somebody may do; the later one may do all that the earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Watch.
    Viewer,
    /// Watch and control.
    Operator,
}
