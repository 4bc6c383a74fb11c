//! What viewers, scripts and the shell of the board may ask, what they are answered and what they are told: the control
//! protocol as plain values. Requests are read and answers printed here; carrying them out is the business of `control`.
//!
//! The protocol is a promise to the outside. It stands in `docs/protocol.md`, and a test holds that text and this code
//! together: every method, role, parameter, range, error, event and field.

mod error;
mod event;
pub mod limits;
mod method;
mod parse;
pub mod shell;
pub mod transfer;

#[cfg(test)]
mod document;
pub mod result;
mod schema;

pub use error::{Code, Error};
pub use event::{CameraState, Chat, Event, Level};
pub use method::{Command, Latency, METHODS, Method};
pub use parse::{ParseError, Request, answer, describe};
pub use result::Reply;
