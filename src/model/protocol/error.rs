//! Why a request is not carried out.

use serde_json::{Value, json};

/// The kind of an error: a number that programs branch on. Those of JSON-RPC 2.0, and ours from -32000 down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Not JSON, or not text.
    Parse,
    /// JSON, but not a request; or too long.
    Request,
    /// There is no such method.
    Method,
    /// A parameter is missing, unknown, of the wrong type or out of range.
    Params,
    /// The board failed.
    Internal,
    /// The role does not suffice.
    Forbidden,
    /// There is no such camera, control or session.
    NotFound,
    /// Too much at once.
    Busy,
    /// The device refuses.
    Refused,
    /// The camera gives no picture.
    Unavailable,
    /// It has a meaning for the viewer of a session only.
    SessionRequired,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Parse,
        Self::Request,
        Self::Method,
        Self::Params,
        Self::Internal,
        Self::Forbidden,
        Self::NotFound,
        Self::Busy,
        Self::Refused,
        Self::Unavailable,
        Self::SessionRequired,
    ];

    /// The number of it in an answer.
    pub const fn number(self) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::Request => -32600,
            Self::Method => -32601,
            Self::Params => -32602,
            Self::Internal => -32603,
            Self::Forbidden => -32000,
            Self::NotFound => -32001,
            Self::Busy => -32002,
            Self::Refused => -32003,
            Self::Unavailable => -32004,
            Self::SessionRequired => -32005,
        }
    }

    /// The word for it in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Request => "request",
            Self::Method => "method",
            Self::Params => "params",
            Self::Internal => "internal",
            Self::Forbidden => "forbidden",
            Self::NotFound => "missing",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Unavailable => "away",
            Self::SessionRequired => "session",
        }
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What programs branch on.
    pub code: Code,
    /// What people read: one line, without a full stop.
    pub message: String,
    /// What programs want to know beside the code; `null` for nothing.
    pub data: Value,
}

impl Error {
    /// An error that says nothing more to programs.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        // What a device or a library says may have lines; the message of an answer has one.
        let message: String = message.into();
        let message = message.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
        Self { code, message: message.join("; "), data: Value::Null }
    }

    /// A parameter is not as it should be.
    pub fn param(name: &str, message: impl Into<String>) -> Self {
        Self { data: json!({ "param": name }), ..Self::new(Code::Params, message) }
    }

    /// A control cannot be what it shall be.
    pub fn control(name: &str, message: impl Into<String>) -> Self {
        Self { data: json!({ "param": "values", "control": name }), ..Self::new(Code::Params, message) }
    }

    /// Too much at once; it may be tried again after so many milliseconds.
    pub fn busy(retry: u64, message: impl Into<String>) -> Self {
        Self { data: json!({ "retry": retry }), ..Self::new(Code::Busy, message) }
    }

    /// After how many milliseconds it may be tried again, where that helps.
    pub fn retry(&self) -> Option<u64> {
        self.data.get("retry")?.as_u64()
    }

    /// The method is for operators.
    pub fn forbidden(method: &str) -> Self {
        let message = format!("{method} is for the role operator; sign in as operator, or show the token of one");
        Self { data: json!({ "role": "operator" }), ..Self::new(Code::Forbidden, message) }
    }

    /// The method has a meaning in a viewer's own session only.
    pub fn session(method: &str) -> Self {
        let other = "; without one GET /snapshot.jpg gives a picture, and photo.take keeps one on the board";
        let instead = if method == "snapshot" { other } else { "" };
        let message = format!("{method} is for the viewer of a session, over its data channel{instead}");
        Self::new(Code::SessionRequired, message)
    }

    /// The value of `error` in an answer.
    pub(super) fn json(&self) -> Value {
        let mut error = json!({ "code": self.code.number(), "message": self.message });
        if !self.data.is_null() {
            error["data"] = self.data.clone();
        }
        error
    }
}
