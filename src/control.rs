//! Carries out what viewers ask: the one place that knows whose handle can do it.

use crate::command::{self, Command, Error, Reply, Request};
use crate::media::Timestamp;

/// Carries out commands; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Control;

impl Control {
    /// The answer to a message that came in at `received`. Bad messages get an error; nothing ends the session.
    pub fn answer(&self, message: &str, received: Timestamp) -> String {
        let ms = |time: Timestamp| time.unix().as_secs_f64() * 1e3;
        match Request::parse(message.as_bytes()) {
            Ok(Request { id, command: Command::TimeSync {}, .. }) => {
                let reply = Reply::Times { received: ms(received), sent: ms(Timestamp::now()) };
                command::answer(&id.unwrap_or_default(), &Ok(reply))
            }
            Ok(request) => command::answer(
                &request.id.unwrap_or_default(),
                &Err(Error::new(command::Code::Internal, "not built yet")),
            ),
            Err(invalid) => command::answer(&invalid.id.unwrap_or_default(), &Err(invalid.error)),
        }
    }
}
