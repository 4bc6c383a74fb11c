//! Parses requests, with errors that say what is wrong, and serialises responses.

use serde_json::{Map, Value, json};

use super::limits::MAX_MESSAGE_LEN;
use super::method::{Command, METHODS, Method};
use super::{Code, Error, Reply};
use crate::util::suggest::did_you_mean;

/// The longest excerpt of a client's input in an error message, in characters.
const REPEATED: usize = 40;

/// A parsed request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The id of the response; `None` when no response is wanted.
    pub id: Option<Value>,
    /// The method.
    pub method: &'static Method,
    /// The method with its parameters.
    pub command: Command,
}

/// Why a message is not a request.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseError {
    /// The id of the response; `None` when no response is wanted.
    pub id: Option<Value>,
    /// What is wrong.
    pub error: Error,
}

impl Request {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// When it is too long, not JSON, not a request, names an unknown method, or has invalid parameters.
    pub fn parse(message: &[u8]) -> Result<Self, ParseError> {
        // An invalid request gets a response with a null id, as in JSON-RPC.
        let nobody = |code, words| ParseError { id: Some(Value::Null), error: Error::new(code, words) };
        if message.len() > MAX_MESSAGE_LEN {
            let words = format!("a message of {} bytes; at most {MAX_MESSAGE_LEN} are read", message.len());
            return Err(nobody(Code::Request, words));
        }
        let value =
            serde_json::from_slice(message).map_err(|error| nobody(Code::Parse, format!("not JSON: {error}")))?;
        let Value::Object(mut members) = value else {
            return Err(nobody(Code::Request, "not a request: one JSON object is".into()));
        };
        let id = match members.remove("id") {
            None => None,
            Some(id) if id.is_number() || id.is_string() => Some(id),
            Some(_) => return Err(nobody(Code::Request, "the id is neither a number nor a text".into())),
        };
        Self::read(&mut members).map(|(method, command)| Self { id: id.clone(), method, command }).map_err(|error| {
            // An invalid request gets a response even without an id.
            let id = if error.code == Code::Request { id.or(Some(Value::Null)) } else { id };
            ParseError { id, error }
        })
    }

    fn read(members: &mut Map<String, Value>) -> Result<(&'static Method, Command), Error> {
        let name = match members.remove("method") {
            Some(Value::String(name)) => name,
            Some(_) => return Err(Error::new(Code::Request, "not a request: the method is not a text")),
            None => return Err(Error::new(Code::Request, "not a request: it names no method")),
        };
        let params = match members.remove("params") {
            Some(Value::Object(params)) => params,
            None => Map::new(),
            Some(_) => return Err(Error::param("params", "the params are not an object of names and values")),
        };
        // JSON-RPC 2.0 libraries send the version.
        if let Some(member) = members.keys().find(|member| *member != "jsonrpc") {
            let words = format!("unknown member {}; a request has id, method and params", quote(member));
            return Err(Error::new(Code::Request, words));
        }
        let method = Method::find(&name).ok_or_else(|| no_method(&name))?;
        check(method, &params)?;
        let command = serde_json::from_value(json!({ "method": name, "params": params }))
            .map_err(|error| Error::new(Code::Params, format!("{method}: {error}")))?;
        check_combination(&command)?;
        Ok((method, command))
    }
}

fn no_method(name: &str) -> Error {
    let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
    let near = did_you_mean(&name.chars().take(REPEATED).collect::<String>(), &names);
    let right = near.map_or_else(|| format!("there are {}", names.join(", ")), |near| format!("did you mean {near}?"));
    let message = format!("no method is called {}; {right}", quote(name));
    Error { data: json!({ "methods": names }), ..Error::new(Code::Method, message) }
}

/// Checks each parameter by itself.
fn check(method: &Method, params: &Map<String, Value>) -> Result<(), Error> {
    for (name, value) in params {
        let Some(param) = method.params.iter().find(|param| param.name == name) else {
            let names: Vec<&str> = method.params.iter().map(|param| param.name).collect();
            let right = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
            let message = format!("{method} has no parameter {}; {right}", quote(name));
            return Err(Error::param(&name.chars().take(REPEATED).collect::<String>(), message));
        };
        param
            .kind
            .check(value)
            .map_err(|wrong| Error::param(param.name, format!("{method}: {}: {wrong}", param.name)))?;
    }
    match method.params.iter().find(|param| param.required && !params.contains_key(param.name)) {
        Some(missing) => {
            let message = format!("{method} needs the parameter {}: {}", missing.name, missing.kind);
            Err(Error::param(missing.name, message))
        }
        None => Ok(()),
    }
}

/// Checks combinations of parameters.
fn check_combination(command: &Command) -> Result<(), Error> {
    match command {
        Command::VideoSet { width: Some(_), height: None, .. } => {
            Err(Error::param("height", "video.set: a width needs a height"))
        }
        Command::VideoSet { width: None, height: Some(_), .. } => {
            Err(Error::param("width", "video.set: a height needs a width"))
        }
        Command::VideoSet { width: None, fps: None, bitrate: None, .. } => {
            Err(Error::param("width", "video.set: nothing to set; give width and height, fps or bitrate"))
        }
        _ => Ok(()),
    }
}

/// An excerpt of a client's input, in quotes.
fn quote(word: &str) -> String {
    if word.chars().count() <= REPEATED {
        return format!("{word:?}");
    }
    format!("{:?}...", word.chars().take(REPEATED).collect::<String>())
}

/// The response to a request with this id.
pub fn answer(id: &Value, outcome: &Result<Reply, Error>) -> String {
    let answer = match outcome {
        Ok(reply) => json!({ "id": id, "result": reply }),
        Err(error) => json!({ "id": id, "error": error.json() }),
    };
    answer.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id, the code and the data of the error.
    fn refused(message: &str) -> (Option<Value>, i32, Value) {
        let ParseError { id, error } = Request::parse(message.as_bytes()).expect_err(message);
        assert!(!error.message.is_empty() && error.message.len() < 600, "{}", error.message);
        (id, error.code.number(), error.data)
    }

    #[test]
    fn a_request_keeps_its_id_and_its_parameters() {
        let request = Request::parse(br#"{"id":7,"method":"audio.mute","params":{"muted":true}}"#).unwrap();
        assert_eq!((request.id, request.method.name), (Some(json!(7)), "audio.mute"));
        assert_eq!(request.command, Command::AudioMute { muted: true });
        let request = Request::parse(br#"{"jsonrpc":"2.0","id":"a","method":"time.sync"}"#).unwrap();
        assert_eq!((request.id, request.command), (Some(json!("a")), Command::TimeSync {}));
        assert_eq!(Request::parse(br#"{"method":"time.sync","params":{}}"#).unwrap().id, None);
    }

    #[test]
    fn values_of_controls_keep_their_types() {
        use crate::model::inventory::{Setting, Value};
        let message = br#"{"method":"controls.set","params":{"values":{"a":-5,"b":false,"c":"x"}}}"#;
        let Command::ControlsSet { camera: None, values } = Request::parse(message).unwrap().command else {
            panic!("not what was asked");
        };
        let expected = [("a", Value::Number(-5)), ("b", Value::Switch(false)), ("c", Value::Text("x".into()))];
        let expected: Vec<_> = expected.map(|(name, value)| Setting { control: name.into(), value }).into();
        assert_eq!(values.0, expected);
    }

    #[test]
    fn an_invalid_request_gets_an_error_response() {
        let null = Some(Value::Null);
        for (message, id, code) in [
            ("", null.clone(), -32700),
            ("{", null.clone(), -32700),
            ("{\"id\":1,\"method\":\"status\"} x", null.clone(), -32700),
            ("[]", null.clone(), -32600),
            ("[{\"id\":1,\"method\":\"status\"}]", null.clone(), -32600),
            ("1", null.clone(), -32600),
            ("{}", null.clone(), -32600),
            (r#"{"id":3}"#, Some(json!(3)), -32600),
            (r#"{"id":4,"method":5}"#, Some(json!(4)), -32600),
            (r#"{"id":null,"method":"status"}"#, null.clone(), -32600),
            (r#"{"id":[1],"method":"status"}"#, null.clone(), -32600),
            (r#"{"id":5,"method":"status","param":{}}"#, Some(json!(5)), -32600),
            (r#"{"id":"a","method":"fly"}"#, Some(json!("a")), -32601),
            (r#"{"method":"fly"}"#, None, -32601),
            (r#"{"id":6,"method":"status","params":[]}"#, Some(json!(6)), -32602),
            (r#"{"id":6,"method":"status","params":null}"#, Some(json!(6)), -32602),
        ] {
            let (found, number, _) = refused(message);
            assert_eq!((found, number), (id, code), "{message}");
        }
        assert_eq!(refused(&" ".repeat(MAX_MESSAGE_LEN + 1)).1, -32600);
        assert_eq!(Request::parse(&[0xff, 0xfe]).unwrap_err().error.code, Code::Parse);
        assert_eq!(refused(&"[".repeat(MAX_MESSAGE_LEN)).1, -32700);
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (method, params, param) in [
            ("camera.select", json!({}), "camera"),
            ("camera.select", json!({ "camera": 1 }), "camera"),
            ("camera.select", json!({ "camera": "a", "speed": 1 }), "speed"),
            ("controls.set", json!({ "values": { "gain": null } }), "values"),
            ("controls.reset", json!({ "names": "gain" }), "names"),
            ("video.set", json!({ "fps": 0 }), "fps"),
            ("video.set", json!({ "fps": 241 }), "fps"),
            ("video.set", json!({ "width": 640 }), "height"),
            ("video.set", json!({ "height": 480, "fps": 5 }), "width"),
            ("video.set", json!({ "camera": "a" }), "width"),
            ("latency.set", json!({ "mode": "fast" }), "mode"),
            ("chat.send", json!({ "text": "" }), "text"),
            ("chat.send", json!({ "text": "a", "name": "x".repeat(41) }), "name"),
            ("time.sync", json!({ "x": 1 }), "x"),
        ] {
            let message = json!({ "id": 1, "method": method, "params": params }).to_string();
            assert_eq!(refused(&message), (Some(json!(1)), -32602, json!({ "param": param })), "{message}");
        }
    }

    #[test]
    fn an_unknown_method_is_answered_with_the_known_ones() {
        let (_, _, data) = refused(r#"{"id":1,"method":"control.list"}"#);
        assert!(data["methods"].as_array().unwrap().contains(&json!("controls.list")));
        let ParseError { error, .. } = Request::parse(br#"{"id":1,"method":"control.list"}"#).unwrap_err();
        assert_eq!(error.message, "no method is called \"control.list\"; did you mean controls.list?");
        let long = json!({ "id": 1, "method": "x".repeat(9000) }).to_string();
        assert!(Request::parse(long.as_bytes()).unwrap_err().error.message.len() < 600);
    }

    #[test]
    fn an_answer_repeats_the_id() {
        let reply = Ok(Reply::Muted { muted: true });
        assert_eq!(answer(&json!("a"), &reply), r#"{"id":"a","result":{"muted":true}}"#);
        assert_eq!(answer(&json!(7), &Ok(Reply::Done {})), r#"{"id":7,"result":{}}"#);
        let error = Err(Error::busy(20, "too much\nat once\n"));
        let expected = json!({
            "id": 1, "error": { "code": -32002, "message": "too much; at once", "data": { "retry": 20 } }
        });
        assert_eq!(serde_json::from_str::<Value>(&answer(&json!(1), &error)).unwrap(), expected);
    }
}
