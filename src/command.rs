//! What a viewer may ask over the data channel, and its JSON form (JSON-RPC 2.0 without the version member). Parsed and
//! printed here; carried out in `control`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::media::Timestamp;

/// A message longer than this is no command; it bounds what a viewer can make the parser work on.
pub const MAX_BYTES: usize = 16 * 1024;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `time.sync`: when was this received and answered by the stream's clock? Both in milliseconds since the Unix
    /// epoch. With its own times of sending and receiving the viewer knows the clocks' offset (RFC 5905 section 8).
    TimeSync,
}

/// A command with the id that its answer repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Chosen by the viewer.
    pub id: Value,
    /// What it wants.
    pub command: Command,
}

/// Why a message is no command: the answer's `error`, with the id to repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    id: Value,
    code: i32,
    message: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    method: String,
}

impl Request {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When it is too long, not JSON, not a request, or asks for an unknown method.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |id: Value, code, message: String| Invalid { id, code, message };
        if text.len() > MAX_BYTES {
            let message = format!("message of {} bytes; at most {MAX_BYTES} are read", text.len());
            return Err(invalid(Value::Null, -32600, message));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid(Value::Null, -32700, format!("not JSON: {error}")))?;
        let id = value.get("id").cloned().unwrap_or(Value::Null);
        let Message { id, method } =
            serde_json::from_value(value).map_err(|error| invalid(id, -32600, format!("not a request: {error}")))?;
        match method.as_str() {
            "time.sync" => Ok(Self { id, command: Command::TimeSync }),
            other => Err(invalid(id, -32601, format!("unknown method {other:?}; known: time.sync"))),
        }
    }
}

/// The answer to `time.sync`: when the request came and when this answer goes.
pub fn time_sync(id: &Value, received: Timestamp, sent: Timestamp) -> String {
    let milliseconds = |time: Timestamp| time.unix().as_secs_f64() * 1e3;
    answer(id, &json!({ "received": milliseconds(received), "sent": milliseconds(sent) }))
}

fn answer(id: &Value, result: &Value) -> String {
    json!({ "id": id, "result": result }).to_string()
}

impl Invalid {
    /// The answer to a message that is no command.
    pub fn answer(&self) -> String {
        json!({ "id": self.id, "error": { "code": self.code, "message": self.message } }).to_string()
    }
}

/// An event: a message from the board that nobody asked for.
pub fn event(method: &str, params: &Value) -> String {
    json!({ "method": method, "params": params }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (Value, i64) {
        let answer: Value = serde_json::from_str(&Request::parse(text).expect_err("should be refused").answer())
            .expect("the answer should be JSON");
        (answer["id"].clone(), answer["error"]["code"].as_i64().expect("code"))
    }

    #[test]
    fn a_request_keeps_its_id() {
        let request = Request::parse(r#"{"id":7,"method":"time.sync","params":{}}"#).expect("request");
        assert_eq!(request, Request { id: json!(7), command: Command::TimeSync });
        assert_eq!(answer(&request.id, &json!(1)), r#"{"id":7,"result":1}"#);
    }

    #[test]
    fn what_is_no_command_gets_an_error_with_its_id() {
        assert_eq!(error("{"), (Value::Null, -32700));
        assert_eq!(error(r#"{"id":3}"#), (json!(3), -32600));
        assert_eq!(error(r#"{"id":4,"method":5}"#), (json!(4), -32600));
        assert_eq!(error(r#"{"id":"a","method":"fly"}"#), (json!("a"), -32601));
        assert_eq!(error(&" ".repeat(MAX_BYTES + 1)), (Value::Null, -32600));
    }
}
