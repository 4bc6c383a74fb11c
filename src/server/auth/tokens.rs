//! Access tokens of programs. They are shown once, when created; only their digest is stored.

use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::persisted::Persisted;
use super::secret::{self, Digest};
use super::{Auth, Principal, Role, UnixTime, now};
use crate::util::state_dir::StateDir;

/// The file in the state directory.
const FILE: &str = "tokens.json";

/// The prefix of every token, so that one left in a program's source is recognised.
const PREFIX: &str = "pht_";

/// Maximum number of tokens: one for each program of a large house. Each request is compared with all of them.
const MAX_TOKENS: usize = 256;

/// Maximum length of a name: what fits a line of the list.
const MAX_NAME: usize = 64;

/// Resolution of the last use, in seconds. Each update is a write to the device's memory card.
const LAST_USED_RESOLUTION: u64 = 3_600;

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// When it was created.
    pub created: UnixTime,
    /// When it was last used, to the hour; `None` if never.
    pub used: Option<UnixTime>,
    #[serde(rename = "sha256")]
    secret: Digest,
}

impl Token {
    /// The principal that uses it. Another token of the same name is another principal.
    pub fn principal(&self) -> Principal {
        Principal { role: self.role, id: format!("token/{}/{}", self.name, self.secret.name()) }
    }

    /// Whether a use at `now` is worth recording.
    pub fn should_record_use(&self, now: UnixTime) -> bool {
        self.used.is_none_or(|used| now >= used.saturating_add(LAST_USED_RESOLUTION))
    }
}

/// Whether a secret looks like that of a token, so that it is no password.
pub fn is_token(secret: &str) -> bool {
    secret.starts_with(PREFIX)
}

/// Why a token was not created.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The name is not usable in a URL.
    #[error(
        "{0:?} is not a valid token name; use 1 to {MAX_NAME} letters, digits, \"-\", \"_\" and \".\", with a letter or digit first"
    )]
    Name(String),
    /// A token of that name exists.
    #[error("there is a token {0} already; revoke it first, or choose another name")]
    Exists(String),
    /// The limit is reached.
    #[error("there are {MAX_TOKENS} tokens, which is the limit; revoke those that are not used")]
    Full,
    /// It cannot be stored.
    #[error("{0:#}")]
    Store(anyhow::Error),
}

/// All tokens.
pub struct Tokens(Persisted<Vec<Token>>);

impl Tokens {
    /// Reads `tokens.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub fn open(store: StateDir) -> anyhow::Result<Self> {
        Persisted::open(store, FILE).map(Self)
    }

    /// As [`open`](Self::open), but a damaged file is set aside, and then no token is valid.
    ///
    /// # Errors
    ///
    /// When the file may not be read.
    pub fn open_or_set_aside(store: StateDir) -> anyhow::Result<Self> {
        Persisted::open_or_set_aside(store, FILE).map(|(stored, _)| Self(stored))
    }

    /// Their file.
    pub fn stored(&self) -> &Persisted<Vec<Token>> {
        &self.0
    }

    /// All stored tokens, in order of creation.
    pub fn all(&self) -> Arc<Vec<Token>> {
        self.0.get()
    }

    /// Finds the token of a secret.
    pub fn find(&self, secret: &str) -> Option<Token> {
        secret::find(&self.0.get(), secret, |token| token.secret).cloned()
    }

    /// Creates a token; returns its secret, which is not stored.
    ///
    /// # Errors
    ///
    /// As [`AddError`] says.
    pub fn add(&self, name: &str, role: Role, now: UnixTime) -> Result<String, AddError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(allowed) || name.len() > MAX_NAME
        {
            return Err(AddError::Name(name.chars().take(MAX_NAME).collect()));
        }
        let text = format!("{PREFIX}{}", secret::random());
        let token = Token { name: name.into(), role, created: now, used: None, secret: Digest::of(&text) };
        let added = self.0.change(|tokens| {
            if tokens.iter().any(|token| token.name == name) {
                return Err(AddError::Exists(name.into()));
            }
            if tokens.len() >= MAX_TOKENS {
                return Err(AddError::Full);
            }
            tokens.push(token);
            Ok(())
        });
        match added {
            Ok(added) => added.map(|()| text),
            Err(error) => {
                // Its secret was never returned, so it must not stay.
                let _ = self.revoke(name);
                Err(AddError::Store(error))
            }
        }
    }

    /// Revokes a token; `false` when there is none of that name.
    ///
    /// # Errors
    ///
    /// When it cannot be written; in this process it is revoked all the same.
    pub fn revoke(&self, name: &str) -> anyhow::Result<bool> {
        let change = self.0.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            tokens.len() < before
        });
        change.with_context(|| format!("the token {name} will be valid again after the next start"))
    }

    /// Records the use of a token.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn record_use(&self, used: &Token, now: UnixTime) -> anyhow::Result<()> {
        self.0.change(|tokens| {
            for token in tokens.iter_mut().filter(|token| token.secret == used.secret && token.should_record_use(now)) {
                token.used = Some(now);
            }
        })
    }
}

impl Auth {
    /// All tokens, in order of creation; `None` when signing in is not required.
    pub fn tokens(&self) -> Option<Arc<Vec<Token>>> {
        self.0.as_ref().map(|state| state.tokens.all())
    }

    /// Creates a token; returns its secret, which is not stored. `None` when signing in is not required.
    pub async fn add_token(&self, name: &str, role: Role) -> Option<Result<String, AddError>> {
        let (state, name) = (self.0.clone()?, name.to_owned());
        let added = tokio::task::spawn_blocking(move || {
            let added = state.tokens.add(&name, role, now());
            state.refresh();
            added
        });
        Some(added.await.expect("making a token should not panic"))
    }

    /// Revokes a token and ends its sessions; `false` when there is none of that name, `None` when signing in is not
    /// required.
    pub async fn revoke_token(&self, name: &str) -> Option<anyhow::Result<bool>> {
        let (state, name) = (self.0.clone()?, name.to_owned());
        let revoked = tokio::task::spawn_blocking(move || {
            let revoked = state.tokens.revoke(&name);
            state.refresh();
            revoked
        });
        Some(revoked.await.expect("revoking a token should not panic"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> (tempfile::TempDir, Tokens) {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(StateDir::open(Some(folder.path()))).unwrap();
        (folder, tokens)
    }

    #[test]
    fn a_token_is_valid_until_any_process_revokes_it() {
        let (folder, tokens) = tokens();
        let secret = tokens.add("garage", Role::Viewer, 7).unwrap();
        assert!(secret.starts_with("pht_") && secret.len() == 47, "{secret}");
        let file = std::fs::read_to_string(folder.path().join("tokens.json")).unwrap();
        assert!(!file.contains(&secret[4..]), "only the digest should be stored");
        let other = Tokens::open(StateDir::open(Some(folder.path()))).unwrap();
        let found = other.find(&secret).unwrap();
        assert_eq!((found.name.as_str(), found.role, found.created, found.used), ("garage", Role::Viewer, 7, None));
        assert_eq!(other.find("pht_"), None);
        assert!(other.revoke("garage").unwrap());
        assert!(!other.revoke("garage").unwrap());
        assert_eq!(tokens.find(&secret), None);
        tokens.add("garage", Role::Viewer, 8).unwrap();
        assert_ne!(tokens.all()[0].principal(), found.principal());
    }

    #[test]
    fn names_are_url_safe_and_unique() {
        let (_folder, tokens) = tokens();
        for name in ["", ".", "..", "a/b", "a b", "ä", "-a", &"a".repeat(65)] {
            assert!(matches!(tokens.add(name, Role::Viewer, 0), Err(AddError::Name(_))), "{name}");
        }
        tokens.add("a.b-c_1", Role::Viewer, 0).unwrap();
        assert!(matches!(tokens.add("a.b-c_1", Role::Operator, 0), Err(AddError::Exists(_))));
        assert_eq!(tokens.all().len(), 1);
    }

    #[test]
    fn the_last_use_is_written_once_an_hour() {
        let (_folder, tokens) = tokens();
        let secret = tokens.add("a", Role::Viewer, 0).unwrap();
        let used = |now| {
            let token = tokens.find(&secret).unwrap();
            tokens.record_use(&token, now).unwrap();
            tokens.all()[0].used
        };
        assert_eq!([used(10), used(11), used(3_609), used(3_610)], [10, 10, 10, 3_610].map(Some));
    }

    #[test]
    fn the_number_of_tokens_is_limited() {
        let (_folder, tokens) = tokens();
        let full: Vec<Token> = (0..MAX_TOKENS)
            .map(|number| Token {
                name: number.to_string(),
                role: Role::Viewer,
                created: 0,
                used: None,
                secret: Digest::of(&number.to_string()),
            })
            .collect();
        tokens.0.change(|tokens| *tokens = full).unwrap();
        assert!(matches!(tokens.add("one-more", Role::Viewer, 0), Err(AddError::Full)));
    }

    #[test]
    fn a_token_that_cannot_be_stored_is_not_created() {
        let tokens = Tokens::open(StateDir::open(Some(std::path::Path::new("/proc/self/porthole")))).unwrap();
        assert!(matches!(tokens.add("a", Role::Viewer, 0), Err(AddError::Store(_))));
        assert!(tokens.all().is_empty());
    }
}
