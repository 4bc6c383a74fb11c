//! The command `token`: creates, lists and revokes the tokens that programs sign in with.

use std::io::{self, Write};

use anyhow::bail;
use clap::Subcommand;

use crate::server::auth::{Role, Token, Tokens, UnixTime, now};
use crate::util::state_dir::StateDir;

/// What can be done with tokens.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Make a token and print it; it is shown this once
    Add {
        /// What the token is for, such as the program's name
        name: String,
        /// What it may do: viewer (watch) or operator (also control)
        #[arg(long, value_parser = |text: &str| text.parse::<Role>())]
        role: Role,
    },
    /// List the tokens: name, role, when they were made and last used
    List,
    /// Take a token away; whoever uses it is shown out
    Revoke {
        /// Its name
        name: String,
    },
}

/// Runs the command. What a script needs goes to `out`, everything else to `notes`.
///
/// # Errors
///
/// When the name is invalid, or the tokens cannot be read or stored.
pub fn run(out: &mut impl Write, notes: &mut impl Write, store: &StateDir, action: &Action) -> anyhow::Result<()> {
    let tokens = Tokens::open(store.clone())?;
    match action {
        Action::Add { name, role } => {
            let token = tokens.add(name, *role, now())?;
            writeln!(out, "{token}")?;
            writeln!(notes, "send it as Authorization: Bearer TOKEN; it is not shown again")?;
        }
        Action::List => list(out, &tokens.all(), now())?,
        Action::Revoke { name } => {
            if !tokens.revoke(name)? {
                bail!("there is no token {name}; `porthole token list` lists them");
            }
        }
    }
    Ok(())
}

fn list(out: &mut impl Write, tokens: &[Token], now: UnixTime) -> io::Result<()> {
    if tokens.is_empty() {
        return writeln!(out, "no tokens");
    }
    let name_width = tokens.iter().map(|token| token.name.len()).max().unwrap_or_default();
    for Token { name, role, created, used, .. } in tokens {
        let used = used.map_or("never used".into(), |used| format!("last used {}", ago(used, now)));
        writeln!(out, "{name:name_width$}  {role:8}  made {}, {used}", ago(*created, now))?;
    }
    Ok(())
}

/// How long ago a time was, in the largest unit. The last use is stored to the hour.
fn ago(then: UnixTime, now: UnixTime) -> String {
    let seconds = now.saturating_sub(then);
    let (count, unit) = match seconds {
        0..3_600 => return "within the last hour".into(),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(store: &StateDir, action: Action) -> anyhow::Result<String> {
        let mut out = Vec::new();
        run(&mut out, &mut io::sink(), store, &action)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn tokens_are_made_listed_and_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        assert_eq!(printed(&store, Action::List).unwrap(), "no tokens\n");
        let add = |name: &str, role| printed(&store, Action::Add { name: name.into(), role });
        let token = add("garage", Role::Viewer).unwrap();
        assert!(token.starts_with("pht_") && token.ends_with('\n'), "{token}");
        add("homeassistant", Role::Operator).unwrap();
        assert!(add("garage", Role::Operator).unwrap_err().to_string().contains("there is a token garage already"));
        assert_eq!(
            printed(&store, Action::List).unwrap(),
            "garage         viewer    made within the last hour, never used\n\
             homeassistant  operator  made within the last hour, never used\n"
        );
        let revoke = || printed(&store, Action::Revoke { name: "garage".into() });
        assert_eq!(revoke().unwrap(), "");
        assert!(revoke().unwrap_err().to_string().starts_with("there is no token garage; "));
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (seconds, expected) in [
            (0, "within the last hour"),
            (3_599, "within the last hour"),
            (3_600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (86_400 * 400, "400 days ago"),
        ] {
            assert_eq!(ago(1_000_000, 1_000_000 + seconds), expected);
        }
        // The clock may be set back.
        assert_eq!(ago(10, 0), "within the last hour");
    }
}
