//! Errors of the control protocol.

use serde_json::{Value, json};

/// The error code that programs branch on. Those of JSON-RPC 2.0, and our own from -32000 down.
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
    /// An internal error.
    Internal,
    /// The role is not sufficient.
    Forbidden,
    /// There is no such camera, control or session.
    NotFound,
    /// Too many requests at once.
    Busy,
    /// The device rejected it.
    Refused,
    /// The camera is unavailable.
    Unavailable,
    /// Only the viewer of a session can call the method.
    SessionRequired,
}

impl Code {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 11] = [
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

    /// Its number in a response.
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

    /// Its name in the documentation.
    #[cfg(test)]
    pub(super) const fn name(self) -> &'static str {
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

/// Why a request fails.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What programs branch on.
    pub code: Code,
    /// For people: one line, without a full stop.
    pub message: String,
    /// More for programs; `null` for nothing.
    pub data: Value,
}

impl Error {
    /// An error without data.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        // Messages of devices and libraries may have several lines; a response has one.
        let message: String = message.into();
        let message = message.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
        Self { code, message: message.join("; "), data: Value::Null }
    }

    /// A parameter is invalid.
    pub fn param(name: &str, message: impl Into<String>) -> Self {
        Self { data: json!({ "param": name }), ..Self::new(Code::Params, message) }
    }

    /// A value is invalid for a control.
    pub fn control(name: &str, message: impl Into<String>) -> Self {
        Self { data: json!({ "param": "values", "control": name }), ..Self::new(Code::Params, message) }
    }

    /// Too many requests; `retry` is the time to wait in milliseconds.
    pub fn busy(retry: u64, message: impl Into<String>) -> Self {
        Self { data: json!({ "retry": retry }), ..Self::new(Code::Busy, message) }
    }

    /// The milliseconds after which a retry makes sense, if one does.
    pub fn retry(&self) -> Option<u64> {
        self.data.get("retry")?.as_u64()
    }

    /// The method requires the role operator.
    pub fn forbidden(method: &str) -> Self {
        let message = format!("{method} is for the role operator; sign in as operator, or show the token of one");
        Self { data: json!({ "role": "operator" }), ..Self::new(Code::Forbidden, message) }
    }

    /// The method requires a session.
    pub fn session(method: &str) -> Self {
        let other = "; without one, use GET /snapshot.jpg, or photo.take to store a photo on the device";
        let instead = if method == "snapshot" { other } else { "" };
        let message = format!("{method} is for the viewer of a session, over its data channel{instead}");
        Self::new(Code::SessionRequired, message)
    }

    /// The value of `error` in a response.
    pub(super) fn json(&self) -> Value {
        let mut error = json!({ "code": self.code.number(), "message": self.message });
        if !self.data.is_null() {
            error["data"] = self.data.clone();
        }
        error
    }
}
