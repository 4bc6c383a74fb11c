//! Tokens with which programs sign in. They are shown once, when they are made; what is kept is their digest.

use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::persisted::Persisted;
use super::secret::{self, Digest};
use super::{Auth, Principal, Role, UnixTime, now};
use crate::util::state_dir::Store;

/// What each token begins with, so that one that was left in a program's source is recognised.
const PREFIX: &str = "pht_";

/// Tokens at once: one for each program of a large house; each request is compared with all of them.
const MAX_TOKENS: usize = 256;

/// The longest name: what fits a line of the list.
const MAX_NAME: usize = 64;

/// How exactly the last use is known, in seconds. Each change is a write to the board's memory card.
const LAST_USED_RESOLUTION: u64 = 3_600;

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created: UnixTime,
    /// When it was last used, to the hour; `None` before the first time.
    pub used: Option<UnixTime>,
    #[serde(rename = "sha256")]
    secret: Digest,
}

impl Token {
    /// Who uses it. Another token that is given the same name is somebody else.
    pub fn principal(&self) -> Principal {
        Principal { role: self.role, id: format!("token/{}/{}", self.name, self.secret.name()) }
    }

    /// Whether a use at `now` is worth writing down.
    pub fn should_record_use(&self, now: UnixTime) -> bool {
        self.used.is_none_or(|used| now >= used.saturating_add(LAST_USED_RESOLUTION))
    }
}

/// Why a token is not made.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The name cannot stand in an address.
    #[error(
        "{0:?} is no name of a token; 1 to {MAX_NAME} letters, digits, \"-\", \"_\" and \".\", with a letter or digit first"
    )]
    Name(String),
    /// There is one of that name.
    #[error("there is a token {0} already; revoke it first, or choose another name")]
    Exists(String),
    /// There are enough.
    #[error("there are {MAX_TOKENS} tokens, which is the limit; revoke those that are not used")]
    Full,
    /// It cannot be kept.
    #[error("{0:#}")]
    Store(anyhow::Error),
}

/// All of them.
pub struct Tokens(Persisted<Vec<Token>>);

impl Tokens {
    /// Reads `tokens.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or understood.
    pub fn open(store: Store) -> anyhow::Result<Self> {
        Persisted::open(store, "tokens.json").map(Self)
    }

    /// Those that are kept now, in the order in which they were made.
    pub fn all(&self) -> Arc<Vec<Token>> {
        self.0.get()
    }

    /// The token of a secret.
    pub fn find(&self, secret: &str) -> Option<Token> {
        secret::find(&self.0.get(), secret, |token| token.secret).cloned()
    }

    /// Makes a token; gives its secret, which is kept nowhere.
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
                // Nobody gets to see it, so it shall not be there.
                let _ = self.revoke(name);
                Err(AddError::Store(error))
            }
        }
    }

    /// Takes a token away; `false` when there is none of that name.
    ///
    /// # Errors
    ///
    /// When it cannot be written; in this process it is gone all the same.
    pub fn revoke(&self, name: &str) -> anyhow::Result<bool> {
        let change = self.0.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            tokens.len() < before
        });
        change.with_context(|| format!("the token {name} is there again after the next start"))
    }

    /// Writes down that a token was used.
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
    /// All tokens, in the order in which they were made; `None` where nobody has to sign in.
    pub fn tokens(&self) -> Option<Arc<Vec<Token>>> {
        self.0.as_ref().map(|state| state.tokens.all())
    }

    /// Makes a token; gives its secret, which is kept nowhere. `None` where nobody has to sign in.
    pub async fn add_token(&self, name: &str, role: Role) -> Option<Result<String, AddError>> {
        let (state, name) = (self.0.clone()?, name.to_owned());
        let added = tokio::task::spawn_blocking(move || {
            let added = state.tokens.add(&name, role, now());
            state.refresh();
            added
        });
        Some(added.await.expect("making a token should not panic"))
    }

    /// Takes a token away, and whoever uses it is shown out; `false` when there is none of that name, `None` where nobody
    /// has to sign in.
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
        let tokens = Tokens::open(Store::open(Some(folder.path()))).unwrap();
        (folder, tokens)
    }

    #[test]
    fn a_token_is_known_until_it_is_revoked_by_whoever() {
        let (folder, tokens) = tokens();
        let secret = tokens.add("garage", Role::Viewer, 7).unwrap();
        assert!(secret.starts_with("pht_") && secret.len() == 47, "{secret}");
        let file = std::fs::read_to_string(folder.path().join("tokens.json")).unwrap();
        assert!(!file.contains(&secret[4..]), "only the digest should be kept");
        let other = Tokens::open(Store::open(Some(folder.path()))).unwrap();
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
    fn names_are_fit_for_addresses_and_each_is_there_once() {
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
    fn there_is_a_limit() {
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
    fn a_token_that_cannot_be_kept_is_not_made() {
        let tokens = Tokens::open(Store::open(Some(std::path::Path::new("/proc/self/porthole")))).unwrap();
        assert!(matches!(tokens.add("a", Role::Viewer, 0), Err(AddError::Store(_))));
        assert!(tokens.all().is_empty());
    }
}
