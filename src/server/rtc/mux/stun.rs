//! What the demultiplexer reads in STUN messages (RFC 8489): their class, the session, and whether they are authentic.
//! Pure.
//!
//! What a message means for a connection is up to its ICE agent, in `peer`.

use rtc::crypto::RTCCrypto;
use rtc::stun::attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{MAGIC_COOKIE, Message};

/// Pairs a response with its request.
pub type TransactionId = [u8; 12];

/// The first bit of a message type's class: set in responses (RFC 8489 section 5).
const RESPONSE: u8 = 0x01;

/// The second bit of the class, which stands in the second byte: set in indications and in error responses.
const INDICATION: u8 = 0x10;

/// The class of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StunClass {
    /// A STUN request.
    Request(TransactionId),
    /// A STUN response, success or error.
    Response(TransactionId),
    /// Everything else: DTLS, SRTP, SRTCP, and STUN indications.
    Other,
}

/// Classifies a datagram by its first bytes; STUN shares the port with other protocols (RFC 7983 section 7).
pub fn classify(datagram: &[u8]) -> StunClass {
    let Some(header) = datagram.first_chunk::<20>() else { return StunClass::Other };
    if header[0] > 3 || header[4..8] != MAGIC_COOKIE.to_be_bytes() {
        return StunClass::Other;
    }
    let mut id = TransactionId::default();
    id.copy_from_slice(&header[8..]);
    match (header[0] & RESPONSE != 0, header[1] & INDICATION != 0) {
        (true, _) => StunClass::Response(id),
        (false, false) => StunClass::Request(id),
        (false, true) => StunClass::Other,
    }
}

/// The username fragment and password of one ICE session (RFC 8445 section 5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The username fragment.
    pub ufrag: String,
    /// The password that messages to us are signed with.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    /// Without the password, as debug output may end up in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// The letters of our credentials: `ice-char` of RFC 8839 section 5.4 without `+` and `/`.
const ICE_CHARS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Letters in a username fragment: unique among all sessions, 47 bits.
const UFRAG_LEN: usize = 8;

/// Letters in a password: 142 bits, where RFC 8445 section 5.3 asks for 128.
const PASSWORD_LEN: usize = 24;

impl Credentials {
    /// New ones of ours.
    pub fn random() -> Self {
        let text = |len| -> String {
            let letter = |_| char::from(ICE_CHARS[rand::random_range(0..ICE_CHARS.len())]);
            (0..len).map(letter).collect()
        };
        Self { ufrag: text(UFRAG_LEN), password: text(PASSWORD_LEN) }
    }
}

/// A connectivity check of a viewer, not yet authenticated.
#[derive(Debug)]
pub struct Check(Message);

impl Check {
    /// Parses a request; `None` if it is malformed.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut message = Message { raw: datagram.to_vec(), ..Default::default() };
        message.decode().ok()?;
        Some(Self(message))
    }

    /// Our username fragment in it (RFC 8445 section 7.2.2).
    pub fn ufrag(&self) -> Option<String> {
        let name = String::from_utf8(self.0.get(ATTR_USERNAME).ok()?).ok()?;
        let (ours, _theirs) = name.split_once(':')?;
        Some(ours.to_owned())
    }

    /// Whether the viewer nominates the path of the check.
    pub fn nominates(&self) -> bool {
        self.0.contains(ATTR_USE_CANDIDATE)
    }

    /// Whether it is signed with this password.
    pub fn is_authentic(&mut self, password: &str, crypto: &dyn RTCCrypto) -> bool {
        MessageIntegrity::check(&mut self.0, password.as_bytes(), crypto).is_ok()
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use rtc::crypto::{RTCCryptoProvider, default_provider};
    use rtc::stun::attributes::ATTR_SOFTWARE;
    use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Setter as _};

    use super::*;

    pub fn crypto() -> Arc<dyn RTCCryptoProvider> {
        default_provider().expect("crypto")
    }

    /// A check as a viewer sends it.
    pub fn check(ufrag: &str, password: &str, nominates: bool) -> Vec<u8> {
        let mut message = Message { typ: BINDING_REQUEST, ..Message::new() };
        message.new_transaction_id().expect("transaction id");
        message.write_header();
        message.add(ATTR_USERNAME, format!("{ufrag}:theirs").as_bytes());
        if nominates {
            message.add(ATTR_USE_CANDIDATE, &[]);
        }
        let crypto = crypto();
        let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password.into(), crypto.crypto());
        integrity.add_to(&mut message).expect("sign");
        message.raw
    }

    /// The good response to a request.
    pub fn response(request: &[u8]) -> Vec<u8> {
        let StunClass::Request(id) = classify(request) else { panic!("no request: {request:?}") };
        let mut message = Message { typ: BINDING_SUCCESS, ..Message::new() };
        message.transaction_id.0 = id;
        message.write_header();
        message.add(ATTR_SOFTWARE, b"test");
        message.raw
    }

    #[test]
    fn stun_is_distinguished_from_other_protocols_on_its_port() {
        let request = check("ours", "secret", false);
        let StunClass::Request(id) = classify(&request) else { panic!("no request") };
        assert_eq!(classify(&response(&request)), StunClass::Response(id));
        let mut indication = request.clone();
        indication[1] |= 0x10;
        assert_eq!(classify(&indication), StunClass::Other);
        let mut error = response(&request);
        error[1] |= 0x10;
        assert_eq!(classify(&error), StunClass::Response(id));
        let rtp = [0x80; 40];
        assert_eq!(classify(&rtp), StunClass::Other);
        assert_eq!(classify(&request[..19]), StunClass::Other, "too short");
        let mut cookie = request;
        cookie[5] ^= 1;
        assert_eq!(classify(&cookie), StunClass::Other, "another cookie");
    }

    #[test]
    fn a_check_names_the_session_and_is_genuine_with_its_password_only() {
        let crypto = crypto();
        let mut parsed = Check::parse(&check("ours", "secret", true)).expect("a check");
        assert_eq!(parsed.ufrag().as_deref(), Some("ours"));
        assert!(parsed.nominates());
        assert!(parsed.is_authentic("secret", crypto.crypto()));
        assert!(!parsed.is_authentic("guess", crypto.crypto()));
        let mut forged = check("ours", "secret", false);
        forged[24] ^= 1;
        assert!(!Check::parse(&forged).expect("a check").is_authentic("secret", crypto.crypto()));
    }

    #[test]
    fn damaged_requests_are_none_and_never_panic() {
        let whole = check("ours", "secret", true);
        for length in 0..whole.len() {
            assert!(Check::parse(&whole[..length]).is_none(), "{length} bytes");
        }
        let crypto = crypto();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            if let Some(mut parsed) = Check::parse(&damaged) {
                let _ = parsed.ufrag();
                let _ = parsed.is_authentic("secret", crypto.crypto());
            }
        }
    }

    #[test]
    fn our_credentials_are_valid_and_never_the_same() {
        let (one, other) = (Credentials::random(), Credentials::random());
        assert_ne!(one, other);
        assert_eq!((one.ufrag.len(), one.password.len()), (UFRAG_LEN, PASSWORD_LEN));
        assert!((one.ufrag + &one.password).bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!format!("{other:?}").contains(&other.password));
    }
}
