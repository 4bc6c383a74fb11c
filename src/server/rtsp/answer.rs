//! Answers to requests. Pure.

use rtsp_types::headers::{HeaderName, HeaderValue};
use rtsp_types::{Request, Response, ResponseBuilder, StatusCode, Version, headers};

/// The methods that we serve, for `Public` and `Allow`.
pub const METHODS: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// The media type of a session description.
pub const SDP: &str = "application/sdp";

/// The answer to a request.
#[derive(Debug)]
pub struct Answer(ResponseBuilder, Vec<u8>);

impl Answer {
    /// An answer with this status.
    pub fn new(status: StatusCode) -> Self {
        Self(Response::builder(Version::V1_0, status).header(headers::SERVER, "porthole"), Vec::new())
    }

    /// That it was done.
    pub fn ok() -> Self {
        let Self(response, body) = Self::new(StatusCode::Ok);
        Self(response.reason_phrase("OK"), body)
    }

    /// An error, with the reason for people.
    pub fn error(status: StatusCode, reason: &str) -> Self {
        let answer = Self::new(status).header(headers::CONTENT_TYPE, "text/plain; charset=utf-8");
        answer.body(format!("{reason}\r\n"))
    }

    /// That the client has to say who it is.
    pub fn unauthorized(reason: &str) -> Self {
        // No Digest: it needs the passwords in plain text, and we keep only hashes of them.
        let challenge = "Basic realm=\"porthole\"";
        Self::error(StatusCode::Unauthorized, reason).header(headers::WWW_AUTHENTICATE, challenge)
    }

    /// That there is no room now, but will be after so many seconds.
    pub fn busy(reason: &str, retry_after: u64) -> Self {
        let answer = Self::error(StatusCode::ServiceUnavailable, reason);
        answer.header(headers::RETRY_AFTER, retry_after.to_string())
    }

    /// Adds a header.
    pub fn header(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self(self.0.header(name, value), self.1)
    }

    /// Sets the body.
    pub fn body(self, body: String) -> Self {
        Self(self.0, body.into_bytes())
    }

    /// Appends it to what is sent, as the answer to `request`.
    pub fn write(self, request: Option<&Request<Vec<u8>>>, out: &mut Vec<u8>) {
        let Self(mut response, body) = self;
        if let Some(number) = request.and_then(number) {
            response = response.header(headers::CSEQ, number.to_string());
        }
        let written = if body.is_empty() { response.empty().write(out) } else { response.build(body).write(out) };
        written.expect("writing to memory should not fail");
    }
}

/// The number of a request (RFC 2326 section 12.17).
pub fn number(request: &Request<Vec<u8>>) -> Option<u64> {
    request.header(&headers::CSEQ)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use rtsp_types::Method;

    use super::*;

    fn text(answer: Answer) -> String {
        let request = Request::builder(Method::Options, Version::V1_0).header(headers::CSEQ, "7");
        let mut out = b"before".to_vec();
        answer.write(Some(&request.build(Vec::new())), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_answer_has_the_number_of_its_request() {
        let answer = text(Answer::ok().header(headers::PUBLIC, METHODS));
        assert!(answer.starts_with("beforeRTSP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains("\r\nCSeq: 7\r\n") && answer.contains("\r\nPublic: OPTIONS, "), "{answer}");
        let refused = text(Answer::unauthorized("no"));
        assert!(refused.contains("RTSP/1.0 401 Unauthorized\r\n") && refused.contains("\r\nContent-Length: 4\r\n"));
        assert!(
            refused.contains("\r\nWWW-Authenticate: Basic realm=\"porthole\"\r\n")
                && refused.ends_with("\r\n\r\nno\r\n")
        );
        assert!(text(Answer::busy("later", 5)).contains("\r\nRetry-After: 5\r\n"));
    }
}
