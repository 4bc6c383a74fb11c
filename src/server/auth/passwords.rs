//! The passwords of the two roles, stored as argon2id hashes (RFC 9106). Rate limits are in `login`.

use std::borrow::Cow;

use anyhow::{Context as _, anyhow};
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{self, PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::Role;
use super::persisted::Persisted;
use super::secret::Digest;
use crate::util::state_dir::StateDir;
use crate::util::text;

/// The file in the state directory.
const FILE: &str = "passwords.json";

/// The cost of one hash: 19 MiB of memory, two passes, one lane. It is the minimum of OWASP's password storage cheat
/// sheet; a Raspberry Pi Zero with 512 MB has memory for two at a time, and takes about a second for each. A higher
/// cost would slow the owner down as much as a thief.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const LANES: u32 = 1;

/// The minimum length: shorter ones could be found by brute force from stolen hashes.
const MIN_CHARS: usize = 8;

/// The maximum length: enough for any passphrase.
const MAX_BYTES: usize = 1024;

/// A hash that matches no password, at the same cost, so that a role without a password takes as long to verify as one
/// with.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Letters and digits that are not confused when read from a screen.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Hashes {
    viewer: Option<String>,
    operator: Option<String>,
}

impl Hashes {
    fn of(&self, role: Role) -> Option<&str> {
        match role {
            Role::Viewer => self.viewer.as_deref(),
            Role::Operator => self.operator.as_deref(),
        }
    }
}

/// Why a password was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It is too short, too long, or not text.
    #[error("{0}")]
    Invalid(String),
    /// The other role has the same password.
    #[error("the {0} has this password already; each role needs its own, for it determines the role")]
    Taken(Role),
    /// It cannot be stored.
    #[error("{0:#}")]
    Store(anyhow::Error),
}

/// A password that was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The role that it belongs to.
    pub role: Role,
    /// The version of the hash that it was compared with; see [`Passwords::version`]. The password may have been changed
    /// while it was being compared.
    pub version: String,
}

/// The passwords of both roles.
pub struct Passwords(Persisted<Hashes>);

impl Passwords {
    /// Reads `passwords.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub fn open(store: StateDir) -> anyhow::Result<Self> {
        Persisted::open(store, FILE).map(Self)
    }

    /// As [`open`](Self::open), but a damaged file is set aside, and then no password is right; whether that was so.
    ///
    /// # Errors
    ///
    /// When the file may not be read.
    pub fn open_or_set_aside(store: StateDir) -> anyhow::Result<(Self, bool)> {
        Persisted::open_or_set_aside(store, FILE).map(|(stored, damaged)| (Self(stored), damaged))
    }

    /// Whether the role has a password.
    pub fn is_set(&self, role: Role) -> bool {
        self.0.get().of(role).is_some()
    }

    /// Identifies the role's current password: it changes whenever the password is set, and reveals nothing about it.
    pub fn version(&self, role: Role) -> Option<String> {
        self.0.get().of(role).map(version)
    }

    /// Sets the role's password.
    ///
    /// # Errors
    ///
    /// As `SetError` says.
    pub fn set(&self, role: Role, password: &str) -> Result<(), SetError> {
        validate(password).map_err(SetError::Invalid)?;
        let forms = Forms::of(password);
        let hash = hash(&forms.normalised).map_err(SetError::Store)?;
        let set = self.0.change(|hashes| {
            // Compared under the lock: both roles may be given a password at the same time.
            let other = role.other();
            if hashes.of(other).is_some_and(|hash| forms.match_hash(hash)) {
                return Err(SetError::Taken(other));
            }
            match role {
                Role::Viewer => hashes.viewer = Some(hash),
                Role::Operator => hashes.operator = Some(hash),
            }
            Ok(())
        });
        set.map_err(SetError::Store)?
    }

    /// Sets a random password for both roles, unless one of them has a password by then, and returns the new passwords.
    ///
    /// # Errors
    ///
    /// When they cannot be stored.
    pub fn set_first(&self) -> anyhow::Result<Vec<(Role, String)>> {
        let (viewer, operator) = (random(), random());
        let new = Hashes { viewer: Some(hash(&viewer)?), operator: Some(hash(&operator)?) };
        let set = self.0.change(|hashes| {
            let none = *hashes == Hashes::default();
            if none {
                *hashes = new;
            }
            none
        });
        let passwords = vec![(Role::Viewer, viewer), (Role::Operator, operator)];
        Ok(if set.context("store the first passwords")? { passwords } else { Vec::new() })
    }

    /// The role that the password belongs to, if it is right. Both are always verified, so that timing reveals neither whether it was
    /// right, nor which role it is, nor whether that role has a password. Takes one to two seconds on a small device, and twice
    /// that for a password that is not in Normalization Form C.
    pub fn verify(&self, password: &str) -> Option<Verified> {
        let (hashes, forms) = (self.0.get(), Forms::of(password));
        let tried = [Role::Operator, Role::Viewer].map(|role| {
            let hash = hashes.of(role);
            // `hash.is_some()` is required as well: no password may match the dummy hash.
            let right = forms.match_hash(hash.unwrap_or(DUMMY_HASH)) & hash.is_some();
            hash.filter(|_| right).map(|hash| Verified { role, version: version(hash) })
        });
        tried.into_iter().flatten().next()
    }
}

/// A password that is easy to read aloud and to type: 16 of 31 characters, which is 79 bits.
pub fn random() -> String {
    let mut random = rand::rng();
    let mut group = || (0..4).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect::<String>();
    [group(), group(), group(), group()].join("-")
}

/// Identifies a hash without revealing anything about it.
fn version(hash: &str) -> String {
    Digest::of(hash).name()
}

fn validate(password: &str) -> Result<(), String> {
    let chars = password.chars().count();
    match chars {
        0 => Err("the password is empty; with [auth] mode = \"none\" in the configuration nobody needs one".into()),
        _ if password.len() > MAX_BYTES => {
            Err(format!("the password has more than {MAX_BYTES} bytes; choose a shorter one"))
        }
        _ if chars < MIN_CHARS => {
            Err(format!("the password has {chars} characters; choose one with at least {MIN_CHARS}"))
        }
        _ if password.chars().any(char::is_control) => {
            Err("the password has control characters; choose one that can be typed".into())
        }
        _ => Ok(()),
    }
}

/// The forms of a password whose hash may be stored. Systems write "é" as one character or as two, so it is hashed in
/// Normalization Form C; earlier versions hashed it as it was typed.
struct Forms<'p> {
    normalised: Cow<'p, str>,
    /// As it was typed, if that is something else.
    typed: Option<&'p str>,
}

impl<'p> Forms<'p> {
    fn of(password: &'p str) -> Self {
        let normalised = text::nfc(password);
        let typed = (normalised != password).then_some(password);
        Self { normalised, typed }
    }

    /// Whether it is the hash of one of them. All are tried, so that the time tells nothing about the hash.
    fn match_hash(&self, hash: &str) -> bool {
        verify_hash(&self.normalised, hash) | self.typed.is_some_and(|typed| verify_hash(typed, hash))
    }
}

fn hash(password: &str) -> anyhow::Result<String> {
    let hashed = || {
        let params = Params::new(MEMORY_KIB, ITERATIONS, LANES, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(argon2.hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))?.to_string())
    };
    hashed().map_err(|error: password_hash::Error| anyhow!("hash the password: {error}"))
}

fn verify_hash(password: &str, hash: &str) -> bool {
    // The hash contains its cost. One that cannot be parsed matches no password.
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> (tempfile::TempDir, Passwords) {
        let folder = tempfile::tempdir().unwrap();
        let passwords = Passwords::open(StateDir::open(Some(folder.path()))).unwrap();
        (folder, passwords)
    }

    #[test]
    fn a_password_determines_the_role() {
        let (folder, passwords) = passwords();
        assert_eq!(passwords.verify("correct horse"), None);
        passwords.set(Role::Viewer, "correct horse").unwrap();
        passwords.set(Role::Operator, "battery staple").unwrap();
        for (role, password) in [(Role::Viewer, "correct horse"), (Role::Operator, "battery staple")] {
            let version = passwords.version(role).unwrap();
            assert_eq!(passwords.verify(password), Some(Verified { role, version }));
        }
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert_eq!(passwords.verify(wrong), None, "{wrong}");
        }
        let file = std::fs::read_to_string(folder.path().join("passwords.json")).unwrap();
        assert_eq!(file.matches("\"$argon2id$v=19$m=19456,t=2,p=1$").count(), 2, "{file}");
        assert!(!file.contains("horse"));
    }

    #[test]
    fn each_normal_form_of_a_password_is_right() {
        let (_folder, passwords) = passwords();
        let (composed, decomposed) = (
            "caf\u{e9} \u{d55c}\u{ae00} \u{c5}",
            "cafe\u{301} \u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} A\u{30a}",
        );
        let role = |password: &str| passwords.verify(password).map(|verified| verified.role);
        for (set, other) in [(composed, decomposed), (decomposed, composed)] {
            passwords.set(Role::Viewer, set).unwrap();
            assert_eq!([role(composed), role(decomposed)], [Some(Role::Viewer); 2]);
            let taken = passwords.set(Role::Operator, other).unwrap_err();
            assert!(matches!(taken, SetError::Taken(Role::Viewer)), "{taken}");
        }
        // Hashed by an earlier version as it was typed.
        let old = hash(decomposed).unwrap();
        passwords.0.change(|hashes| hashes.viewer = Some(old)).unwrap();
        assert_eq!(role(decomposed), Some(Role::Viewer));
        assert_eq!(role(composed), None);
    }

    #[test]
    fn setting_a_password_changes_its_version() {
        let (_folder, passwords) = passwords();
        assert_eq!(passwords.version(Role::Viewer), None);
        passwords.set(Role::Viewer, "correct horse").unwrap();
        let first = passwords.version(Role::Viewer).unwrap();
        passwords.set(Role::Viewer, "correct horse").unwrap();
        assert_ne!(passwords.version(Role::Viewer).unwrap(), first, "setting the same one again ends sessions too");
        assert!(!passwords.is_set(Role::Operator));
    }

    #[test]
    fn invalid_passwords_are_rejected_with_a_reason() {
        let (_folder, passwords) = passwords();
        passwords.set(Role::Operator, "battery staple").unwrap();
        for (password, expected) in [
            ("", "the password is empty; "),
            ("1234567", "has 7 characters; choose one with at least 8"),
            (&"x".repeat(1025), "more than 1024 bytes"),
            ("12345678\t", "control characters"),
            ("battery staple", "the operator has this password already"),
        ] {
            let error = passwords.set(Role::Viewer, password).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(!passwords.is_set(Role::Viewer));
    }

    #[test]
    fn first_passwords_replace_none_that_was_set() {
        let (folder, passwords) = passwords();
        // Set by another process, after this one has seen that there is none.
        let other = Passwords::open(StateDir::open(Some(folder.path()))).unwrap();
        other.set(Role::Operator, "battery staple").unwrap();
        assert_eq!(passwords.set_first().unwrap(), []);
        assert!(!passwords.is_set(Role::Viewer));
        assert_eq!(passwords.verify("battery staple").map(|verified| verified.role), Some(Role::Operator));
    }

    #[test]
    fn random_passwords_are_valid_and_differ() {
        let password = random();
        assert_eq!(validate(&password), Ok(()));
        assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
        assert_ne!(password, random());
    }

    #[test]
    fn the_dummy_hash_costs_the_same() {
        let params = |hash: &str| Params::try_from(&PasswordHash::new(hash).unwrap()).unwrap();
        assert_eq!(params(DUMMY_HASH), params(&hash("correct horse").unwrap()));
    }
}
