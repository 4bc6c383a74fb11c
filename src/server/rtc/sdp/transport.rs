//! The transport of an offered section: ICE credentials, DTLS fingerprint and role. Pure.

use super::description::{Description, MediaSection};
use super::offer_error::OfferError;

/// The transport that an offerer describes for a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionTransport {
    /// The ICE username fragment.
    pub ufrag: String,
    /// The ICE password.
    pub password: String,
    /// The SHA-256 fingerprint of the certificate.
    pub fingerprint: String,
    /// Who opens the DTLS connection.
    pub setup: Setup,
}

/// The offerer's role in DTLS (RFC 8842 section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// It is the client.
    Active,
    /// It is the server.
    Passive,
    /// Either, or it does not say.
    Any,
}

impl SectionTransport {
    /// That of a section; what it does not say is said for the whole session.
    ///
    /// # Errors
    ///
    /// If it has no ICE credentials, or no fingerprint that can be checked.
    pub fn of(description: &Description, section: &MediaSection) -> Result<Self, OfferError> {
        let missing = || OfferError::Malformed("it has no ICE credentials or no DTLS fingerprint".into());
        let text = |name: &'static str| {
            let value = description.inherited(section, name).filter(|value| !value.is_empty());
            value.map(String::from).ok_or_else(missing)
        };
        let own = section.attributes.values("fingerprint").collect::<Vec<_>>();
        let inherited = description.session.values("fingerprint").collect();
        let fingerprints = if own.is_empty() { inherited } else { own };
        let setup = match description.inherited(section, "setup") {
            Some("active") => Setup::Active,
            Some("passive") => Setup::Passive,
            _ => Setup::Any,
        };
        Ok(Self { ufrag: text("ice-ufrag")?, password: text("ice-pwd")?, fingerprint: sha_256(&fingerprints)?, setup })
    }
}

/// The SHA-256 fingerprint among those of one certificate (RFC 8122 section 5 allows several), which is the only hash
/// that we compare, and the one that every WebRTC endpoint has (RFC 8827 section 6.5).
fn sha_256(fingerprints: &[&str]) -> Result<String, OfferError> {
    let pairs = fingerprints.iter().filter_map(|line| line.split_once(' '));
    let mut digests = pairs.filter(|(hash, _)| hash.eq_ignore_ascii_case("sha-256")).map(|(_, digest)| digest.trim());
    match (digests.next(), fingerprints.first()) {
        (Some(digest), _) => Ok(digest.to_owned()),
        (None, Some(other)) => {
            let hash = other.split(' ').next().unwrap_or_default();
            let hash: String = hash.chars().filter(|c| !c.is_control()).take(20).collect();
            let message = format!("the offer's fingerprint is {hash}; send that of sha-256, too");
            Err(OfferError::NotAcceptable(message.into()))
        }
        (None, None) => Err(OfferError::Malformed("it has no ICE credentials or no DTLS fingerprint".into())),
    }
}
