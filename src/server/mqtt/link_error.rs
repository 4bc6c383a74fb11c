//! Why there is no connection to the broker, in words that say what to do.

use std::fmt::{self, Display};
use std::io::ErrorKind;

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError, TlsError, mqttbytes};
use tokio_rustls::rustls::{self, CertificateError};

use crate::util::{redact, text};

/// The longest reason that is shown, in characters: a broker may give one of any length.
const MAX_WORDS: usize = 300;

/// That the broker has fallen silent.
pub(super) const NO_ANSWER: &str = "the broker no longer answers";

/// Why a connection could not be made, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkError {
    words: String,
    /// Whether the broker has rejected this client, which it will do again until somebody changes something.
    pub(super) rejected: bool,
}

impl LinkError {
    /// A failure that may be over soon.
    pub(super) fn new(words: impl Display) -> Self {
        // Parts of it come from the broker.
        let visible: String = words.to_string().chars().map(|c| if text::is_invisible(c) { ' ' } else { c }).collect();
        let words = redact::redact_urls(&visible).chars().take(MAX_WORDS).collect();
        Self { words, rejected: false }
    }

    /// A failure while connecting.
    pub(super) fn connecting(error: ConnectionError) -> Self {
        let is_closed = matches!(
            &error,
            ConnectionError::MqttState(StateError::ConnectionAborted | StateError::Io(_))
                | ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(_)))
        );
        // Brokers of MQTT 3 do so.
        if is_closed {
            Self::new("the broker closed the connection at once; it has to speak MQTT 5, as mosquitto 2 does")
        } else {
            error.into()
        }
    }

    /// A failure that lasts until somebody changes something.
    pub(super) fn rejected(words: impl Display) -> Self {
        Self { rejected: true, ..Self::new(words) }
    }
}

impl Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(code) => refused(code),
            ConnectionError::MqttState(StateError::ConnFail { reason }) => refused(reason),
            ConnectionError::MqttState(error) => lost(error),
            ConnectionError::Timeout(_) => Self::new("no answer; is it a broker, and is the port right?"),
            ConnectionError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Self::new("nothing listens at this address; is the broker running?")
            }
            ConnectionError::Io(error) => Self::new(error),
            ConnectionError::Tls(error) => encryption(&error),
            error => Self::new(error),
        }
    }
}

/// The broker has answered, and will not have us.
fn refused(code: ConnectReturnCode) -> LinkError {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            LinkError::rejected("the broker rejects the user or the password; check [mqtt] username and password")
        }
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
            LinkError::rejected("the broker does not speak MQTT 5; update it")
        }
        code => LinkError::rejected(format_args!("the broker rejects the connection: {code:?}")),
    }
}

/// The connection has ended.
fn lost(error: StateError) -> LinkError {
    match error {
        StateError::ConnectionAborted | StateError::Deserialization(mqttbytes::Error::Io(_)) | StateError::Io(_) => {
            LinkError::new("the broker closed the connection")
        }
        StateError::AwaitPingResp => LinkError::new(NO_ANSWER),
        StateError::ServerDisconnect { reason_code: DisconnectReasonCode::SessionTakenOver, .. } => {
            LinkError::rejected("another client of the broker has the same ID; is it a copy of this device?")
        }
        StateError::ServerDisconnect { reason_code, reason_string } => {
            let reason = reason_string.map(|reason| format!(" ({})", redact::redact(&reason))).unwrap_or_default();
            LinkError::new(format_args!("the broker ended the connection: {reason_code:?}{reason}"))
        }
        error => LinkError::new(error),
    }
}

/// The encrypted connection could not be made.
fn encryption(error: &TlsError) -> LinkError {
    let advice = match certificate_error(error) {
        Some(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "; set [mqtt] ca to the certificate of the authority that the broker's is from"
        }
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "; write the name in [mqtt] url that the broker's certificate is for"
        }
        Some(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => "; is the clock of this device right (timedatectl), or does the broker need a new certificate?",
        _ => "",
    };
    LinkError::new(format_args!("{error}{advice}"))
}

/// What is wrong with the broker's certificate.
fn certificate_error(error: &TlsError) -> Option<&CertificateError> {
    let error = match error {
        TlsError::TLS(error) => error,
        TlsError::Io(error) => error.get_ref()?.downcast_ref()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let refused = |code| LinkError::from(ConnectionError::ConnectionRefused(code));
        let wrong = refused(ConnectReturnCode::BadUserNamePassword);
        assert!(wrong.rejected && wrong.to_string().contains("[mqtt] username"), "{wrong}");
        let old = refused(ConnectReturnCode::UnsupportedProtocolVersion);
        assert!(old.to_string().contains("MQTT 5"), "{old}");
        let closed = LinkError::from(ConnectionError::MqttState(StateError::ConnectionAborted));
        assert!(!closed.rejected && closed.to_string() == "the broker closed the connection", "{closed}");
        let closed = LinkError::connecting(ConnectionError::MqttState(StateError::ConnectionAborted));
        assert!(closed.to_string().contains("MQTT 5"), "{closed}");
        let wrong = LinkError::connecting(ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized));
        assert!(wrong.rejected, "{wrong}");
        let io = std::io::Error::from(ErrorKind::ConnectionRefused);
        assert!(LinkError::from(ConnectionError::Io(io)).to_string().contains("is the broker running"));
    }

    #[test]
    fn errors_of_certificates_say_what_to_do() {
        for (error, advice) in [
            (CertificateError::UnknownIssuer, "set [mqtt] ca"),
            (CertificateError::NotValidForName, "write the name in [mqtt] url"),
            (CertificateError::Expired, "timedatectl"),
            (CertificateError::NotValidYet, "timedatectl"),
        ] {
            let error = rustls::Error::InvalidCertificate(error);
            // As tokio-rustls wraps it.
            let wrapped = std::io::Error::new(ErrorKind::InvalidData, error.clone());
            for error in [TlsError::TLS(error), TlsError::Io(wrapped)] {
                let words = LinkError::from(ConnectionError::Tls(error)).to_string();
                assert!(words.contains(advice), "{words}");
            }
        }
    }

    #[test]
    fn what_a_broker_says_has_a_bound_and_no_control_characters() {
        let reason_string = Some(format!("\u{1b}[31m\nmqtt://user:secret@host {}", "x".repeat(1000)));
        let reason_code = DisconnectReasonCode::ServerBusy;
        let error = ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string });
        let words = LinkError::from(error).to_string();
        assert!(words.starts_with("the broker ended the connection: ServerBusy"), "{words}");
        assert!(words.chars().count() <= MAX_WORDS && !words.contains(char::is_control), "{words}");
        assert!(!words.contains("secret"), "{words}");
    }
}
