//! Takes what a client has sent apart: requests, and packets between them (RFC 2326 section 10.12). Pure; reading from the
//! network belongs to `connection`.
//!
//! `rtsp_types` parses a message once its header is complete. It has no limits of its own.

use std::num::NonZero;

use memchr::memmem;
use rtsp_types::{Message, ParseError, Request};

/// The longest header of a request, in bytes: many times what players send.
pub const MAX_HEADER: usize = 8 * 1024;

/// The longest body, in bytes: players send none, or the name of a parameter.
const MAX_BODY: usize = 4 * 1024;

/// The longest packet between requests, in bytes: players send reports.
const MAX_PACKET: usize = 4 * 1024;

/// Bytes of empty lines before a request: players send none, some add one after a body.
const MAX_BLANK: usize = 64;

/// What may be received and not read yet, in bytes: a request, and the beginning of the next one.
const MAX_RECEIVED: usize = MAX_HEADER + MAX_BODY + 4;

/// The end of a header.
const HEADER_END: &[u8] = b"\r\n\r\n";

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// A request.
    Request(Request<Vec<u8>>),
    /// A packet on an interleaved channel, or the answer to a request that we never send.
    Other,
}

/// Why a connection cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The header does not end in time.
    #[error("the header of the request is longer than {MAX_HEADER} bytes")]
    Header,
    /// The body is too long.
    #[error("the body of the request is longer than {MAX_BODY} bytes")]
    Body,
    /// A packet is too long.
    #[error("a packet is longer than {MAX_PACKET} bytes")]
    Packet,
    /// There are only empty lines.
    #[error("more than {MAX_BLANK} bytes of empty lines")]
    Blank,
    /// It is no RTSP.
    #[error("this is not an RTSP request; the viewer page has another port")]
    Malformed,
}

/// What was received of a client, and is not read yet.
#[derive(Debug, Default)]
pub struct MessageReader {
    received: Vec<u8>,
    /// How much of it has no end of a header.
    searched: usize,
    /// The bytes of empty lines since the last message.
    blank: usize,
}

impl MessageReader {
    /// How many bytes may be added.
    pub fn room(&self) -> usize {
        MAX_RECEIVED.saturating_sub(self.received.len())
    }

    /// Adds what was received; no more than there is room for.
    pub fn add(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// The next message that is complete.
    ///
    /// # Errors
    ///
    /// When what follows cannot be read; the connection has to be closed.
    pub fn take_message(&mut self) -> Result<Option<ClientMessage>, MessageError> {
        // Empty lines before a request are allowed, as in HTTP.
        let blank = self.received.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.discard(blank);
            self.blank += blank;
        }
        if self.blank > MAX_BLANK {
            return Err(MessageError::Blank);
        }
        let message = match self.received.first() {
            None => None,
            Some(b'$') => self.packet()?,
            Some(_) => self.message()?,
        };
        if message.is_some() {
            self.blank = 0;
        }
        Ok(message)
    }

    fn packet(&mut self) -> Result<Option<ClientMessage>, MessageError> {
        let Some(&[_, _, high, low]) = self.received.first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_PACKET {
            return Err(MessageError::Packet);
        }
        if self.received.len() < 4 + length {
            return Ok(None);
        }
        self.discard(4 + length);
        Ok(Some(ClientMessage::Other))
    }

    fn message(&mut self) -> Result<Option<ClientMessage>, MessageError> {
        let from = self.searched.saturating_sub(HEADER_END.len());
        let end = memmem::find(&self.received[from..], HEADER_END).map(|at| from + at);
        let length = end.unwrap_or(self.received.len());
        if length > MAX_HEADER {
            return Err(MessageError::Header);
        }
        if end.is_none() {
            self.searched = self.received.len();
            return Ok(None);
        }
        let body = length + HEADER_END.len();
        match Message::<Vec<u8>>::parse(&self.received) {
            Ok((_, end)) if end.saturating_sub(body) > MAX_BODY => Err(MessageError::Body),
            Ok((message, end)) => {
                self.discard(end);
                Ok(Some(match message {
                    Message::Request(request) => ClientMessage::Request(request),
                    Message::Response(_) | Message::Data(_) => ClientMessage::Other,
                }))
            }
            Err(ParseError::Incomplete(more)) => {
                let received = self.received.len().saturating_sub(body);
                let is_too_long = received.saturating_add(more.map_or(1, NonZero::get)) > MAX_BODY;
                if is_too_long { Err(MessageError::Body) } else { Ok(None) }
            }
            Err(ParseError::Error) => Err(MessageError::Malformed),
        }
    }

    fn discard(&mut self, count: usize) {
        self.received.drain(..count);
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use rtsp_types::{Method, headers};

    use super::*;

    const DESCRIBE: &[u8] = b"DESCRIBE rtsp://board:8554/door RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp\r\n\r\n";

    /// All messages, and why there are no more.
    fn read(reader: &mut MessageReader, bytes: &[u8]) -> (Vec<ClientMessage>, Option<MessageError>) {
        reader.add(bytes);
        let mut messages = Vec::new();
        loop {
            match reader.take_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(error) => return (messages, Some(error)),
            }
        }
    }

    fn refused(bytes: &[u8]) -> Option<MessageError> {
        read(&mut MessageReader::default(), bytes).1
    }

    #[test]
    fn requests_and_packets_are_told_apart_however_they_arrive() {
        let all = [DESCRIBE, b"$\x01\x00\x03abc\r\n\r\n", DESCRIBE, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n$\x00\x00\x00"];
        let all = all.concat();
        let (messages, error) = read(&mut MessageReader::default(), &all);
        assert_eq!((messages.len(), error), (5, None));
        let ClientMessage::Request(request) = &messages[0] else { panic!("no request: {messages:?}") };
        assert_eq!(
            (request.method(), request.header(&headers::CSEQ).map(|value| value.as_str())),
            (&Method::Describe, Some("2"))
        );
        let mut reader = MessageReader::default();
        let bytewise: Vec<_> = all.iter().flat_map(|byte| read(&mut reader, &[*byte]).0).collect();
        assert_eq!(bytewise, messages);
        assert_eq!(reader.room(), MAX_RECEIVED);
    }

    #[test]
    fn a_body_is_waited_for() {
        let mut reader = MessageReader::default();
        let head = b"SET_PARAMETER rtsp://board/ RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 6\r\n\r\nvol";
        assert_eq!(read(&mut reader, head), (vec![], None));
        let (messages, error) = read(&mut reader, b"ume");
        let [ClientMessage::Request(request)] = &messages[..] else { panic!("no request: {messages:?} {error:?}") };
        assert_eq!(request.body(), b"volume");
    }

    #[test]
    fn everything_has_a_limit() {
        let long = vec![b'a'; MAX_HEADER + 1];
        assert_eq!(refused(&long), Some(MessageError::Header));
        let header = [&b"OPTIONS * RTSP/1.0\r\nCSeq: "[..], &long, b"\r\n\r\n"].concat();
        assert_eq!(refused(&header), Some(MessageError::Header));
        for length in ["4097", "18446744073709551615"] {
            let body = format!("SET_PARAMETER * RTSP/1.0\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(refused(body.as_bytes()), Some(MessageError::Body), "{length}");
        }
        assert_eq!(refused(b"$\x00\xff\xff"), Some(MessageError::Packet));
        let blank = b"\r\n".repeat(MAX_BLANK / 2);
        let blank = blank.as_slice();
        let (mut reader, again) = (MessageReader::default(), [blank, DESCRIBE, blank, DESCRIBE, blank].concat());
        assert_eq!((read(&mut reader, &again).0.len(), read(&mut reader, b"\n").1), (2, Some(MessageError::Blank)));
    }

    #[test]
    fn what_is_no_rtsp_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: board\r\n\r\n"[..],
            b"DESCRIBE /door RTSP/1.0\r\n\r\n",
            b"DESCRIBE rtsp://board/ RTSP/3.0\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nContent-Length: x\r\n\r\n",
            b"\x16\x03\x01\r\n\r\n",
        ] {
            assert_eq!(refused(bytes), Some(MessageError::Malformed), "{}", bytes.escape_ascii());
        }
    }
}
