//! One request and its response, as `porthole ctl` sends and prints them.

use serde_json::{Value, json};

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
}
