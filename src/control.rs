//! Carries out what viewers ask: the one place that knows whose handle can do it.

use crate::command::{self, Command, Request};
use crate::media::Timestamp;

/// Carries out commands; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Control;

impl Control {
    /// The answer to a message that came in at `received`. Bad messages get an error; nothing ends the session.
    pub fn answer(&self, message: &str, received: Timestamp) -> String {
        match Request::parse(message) {
            Ok(Request { id, command: Command::TimeSync }) => command::time_sync(&id, received, Timestamp::now()),
            Err(invalid) => invalid.answer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_sync_tells_both_times_in_order() {
        let received = Timestamp::now();
        let answer = Control.answer(r#"{"id":1,"method":"time.sync"}"#, received);
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("json");
        let (first, second) = (answer["result"]["received"].as_f64(), answer["result"]["sent"].as_f64());
        let expected = received.unix().as_secs_f64() * 1e3;
        // A number in JSON comes back with an error in its last place.
        assert!(first.is_some_and(|first| (first - expected).abs() < 0.001), "{first:?}, not {expected}");
        assert!(second >= first);
    }
}
