//! Random secrets, and their digests, which are all that is stored.
//!
//! Passwords, which people choose, are in `passwords`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// Random bytes in a secret: at 256 bits an unsalted digest reveals nothing about it.
const RANDOM: usize = 32;

/// A new secret as text for cookies, URLs and headers (RFC 4648 section 5).
pub fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM]>())
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Digest {
    /// The digest of a secret's text.
    pub fn of(secret: &str) -> Self {
        let digest = digest(&SHA256, secret.as_bytes());
        Self(digest.as_ref().try_into().expect("SHA-256 should have 32 bytes"))
    }

    /// The first 64 bits in hexadecimal: a unique ID that is not secret.
    pub fn name(&self) -> String {
        self.0[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Finds the element of `stored` with the digest of this secret. All are compared, so that timing does not reveal which
/// one matched.
pub fn find<'k, T>(stored: &'k [T], secret: &str, digest: impl Fn(&T) -> Digest) -> Option<&'k T> {
    let digest_wanted = Digest::of(secret);
    stored.iter().fold(None, |found, one| if digest(one) == digest_wanted { Some(one) } else { found })
}

impl PartialEq for Digest {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.name())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        URL_SAFE_NO_PAD.encode(digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("not a SHA-256 in URL-safe base64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_unique_and_survive_serialisation() {
        let secret = random();
        assert_eq!(secret.len(), 43);
        assert_ne!(secret, random());
        let digest = Digest::of(&secret);
        assert_ne!(digest, Digest::of(&random()));
        let stored = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&stored).unwrap(), digest);
        assert!(!stored.contains(&secret) && !format!("{digest:?}").contains(&secret));
        assert!(serde_json::from_str::<Digest>("\"AA\"").is_err());
        // FIPS 180-2, appendix B.1.
        assert_eq!(Digest::of("abc").name(), "ba7816bf8f01cfea");
    }
}
