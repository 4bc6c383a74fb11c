//! The control protocol as plain values: requests, responses and events, for viewers, scripts and `porthole ctl`. Requests
//! are parsed and responses serialised here; carrying requests out belongs to `server::dispatch`.
//!
//! The protocol is a promise to the outside. It is documented in `docs/protocol.md`, and a test keeps text and code in
//! agreement: every method, role, parameter, range, error, event and field.

mod error;
mod event;
pub mod limits;
mod method;
mod parse;
pub(crate) mod shell;
pub(crate) mod transfer;

#[cfg(test)]
mod document;
pub(crate) mod result;
mod schema;

pub use error::{Code, Error};
pub use event::{CameraState, Chat, Event, Level, MotionBox, MotionEvent, MotionPhase, NoticeValues};
pub use method::{Command, Latency, METHODS, Method, Quality};
pub use parse::{ParseError, Request, answer};
pub use result::Reply;
