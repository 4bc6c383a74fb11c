//! One request and its response, as `porthole ctl` sends and prints them; and the line before a sound file, which only the Unix
//! socket takes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;

/// What `porthole ctl` calls the announcement of a sound file, which is no method: the file is no JSON.
pub const SAY: &str = "say";

/// The line before a file of so many bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SayLine {
    say: usize,
}

/// The line of a request for `method`, with `params` as a JSON text.
///
/// # Errors
///
/// When `params` is not JSON.
pub fn line(method: &str, params: Option<&str>) -> Result<String, String> {
    let params = match params {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("the params are not JSON: {error}"))?,
        None => json!({}),
    };
    Ok(format!("{}\n", json!({ "id": 1, "method": method, "params": params })))
}

/// The line that comes before a sound file of so many bytes.
pub fn say_line(bytes: usize) -> String {
    format!("{}\n", json!({ "say": bytes }))
}

/// The number of bytes of the sound file that follows this line; `None` if it is a request.
pub fn said_bytes(line: &[u8]) -> Option<usize> {
    serde_json::from_slice::<SayLine>(line).ok().map(|line| line.say)
}

/// The response to a sound file that is heard for so long.
pub fn said(outcome: &Result<Duration, Error>) -> String {
    let answer = match outcome {
        Ok(length) => json!({ "result": length_json(*length) }),
        Err(error) => json!({ "error": error.json() }),
    };
    answer.to_string()
}

/// How long a sound is heard, in seconds, as programs are told.
pub fn length_json(length: Duration) -> Value {
    json!({ "length": (length.as_secs_f64() * 1e3).round() / 1e3 })
}

/// The outcome in a response: its result as pretty-printed JSON, or the error's message, code and data.
///
/// # Errors
///
/// When it is not a response.
pub fn outcome(answer: &str) -> Result<Result<String, String>, String> {
    let answer: Value = serde_json::from_str(answer).map_err(|error| format!("the answer is not JSON: {error}"))?;
    let pretty = |value: &Value| serde_json::to_string_pretty(value).map_err(|error| error.to_string());
    match (answer.get("result"), answer.get("error")) {
        (Some(result), None) => Ok(Ok(pretty(result)?)),
        (None, Some(error)) => {
            let message = error["message"].as_str().ok_or("the answer is an error without a message")?;
            // The list of all methods is for programs: the message suggests one, or has the list itself.
            let data = error.get("data").filter(|data| data.get("methods").is_none());
            let data = data.map(|data| format!(" {data}")).unwrap_or_default();
            Ok(Err(format!("{message} ({}{data})", error["code"])))
        }
        _ => Err("the answer has neither a result nor an error".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_answer_are_lines() {
        let line = line("audio.mute", Some(r#"{ "muted": true }"#)).unwrap();
        let request: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(request, json!({ "id": 1, "method": "audio.mute", "params": { "muted": true } }));
        assert!(
            line.ends_with('\n') && super::line("status", Some("{")).unwrap_err().starts_with("the params are not")
        );
        assert_eq!(outcome(r#"{"id":1,"result":{"a":1}}"#), Ok(Ok("{\n  \"a\": 1\n}".into())));
        let busy = r#"{"id":1,"error":{"code":-32002,"message":"too much","data":{"retry":5}}}"#;
        assert_eq!(outcome(busy), Ok(Err("too much (-32002 {\"retry\":5})".into())));
        let unknown = super::super::Request::parse(br#"{"id":1,"method":"fly"}"#).unwrap_err();
        let answer = super::super::answer(&json!(1), &Err(unknown.error));
        let message = outcome(&answer).unwrap().unwrap_err();
        assert!(message.starts_with("no method is called \"fly\"; there are "), "{message}");
        assert_eq!(message.matches("audio.mute").count(), 1, "{message}");
        assert!(outcome("{}").is_err() && outcome("x").is_err());
    }

    #[test]
    fn a_sound_file_follows_a_line_that_is_no_request() {
        assert_eq!(said_bytes(say_line(1_234).trim_end().as_bytes()), Some(1_234));
        for line in [
            r#"{"id":1,"method":"status"}"#,
            r#"{"say":1,"method":"status"}"#,
            r#"{"say":-1}"#,
            r#"{"say":1e99}"#,
            "say",
            "",
        ] {
            assert_eq!(said_bytes(line.as_bytes()), None, "{line}");
        }
        let answer = said(&Ok(Duration::from_micros(2_100_400)));
        assert_eq!(outcome(&answer), Ok(Ok("{\n  \"length\": 2.1\n}".into())));
        let error = super::super::Error::new(super::super::Code::Refused, "not now");
        assert_eq!(outcome(&said(&Err(error))), Ok(Err("not now (-32003)".into())));
    }
}
