//! Why a hook did not do what it should.

/// Why a hook failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookFailure {
    /// The program or the server failed.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("{0}")]
    TimedOut(String),
    /// porthole stops, or has another configuration.
    #[error("it was ended, because porthole stops or reloads")]
    Stopped,
}
