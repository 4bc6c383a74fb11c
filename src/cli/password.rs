//! The command `password`: asks for a role's new password twice without echo, or reads it from standard input.
//!
//! The rules for passwords belong to `server::auth`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use anyhow::{Context as _, bail};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::server::auth::{Passwords, Role, random_password};
use crate::util::state_dir::StateDir;

/// Sets the password of a role and prints where it is stored; with `random` generates one and prints it. The password goes
/// to `out`, everything else to `notes`.
///
/// # Errors
///
/// When it is not acceptable, cannot be read, or cannot be stored.
pub fn set(
    out: &mut impl Write,
    notes: &mut impl Write,
    store: &StateDir,
    role: Role,
    random: bool,
) -> anyhow::Result<()> {
    let passwords = Passwords::open(store.clone())?;
    let stdin = io::stdin();
    let password = if random {
        random_password()
    } else if stdin.is_terminal() {
        ask(&mut stdin.lock(), notes, role)?
    } else {
        line(&mut stdin.lock())?
    };
    passwords.set(role, &password)?;
    if random {
        writeln!(out, "{password}")?;
    }
    writeln!(notes, "the {role}'s password is set in {}", store.path("passwords.json")?.display())?;
    Ok(())
}

/// Asks on a terminal, twice.
fn ask(terminal: &mut (impl BufRead + AsFd), prompt: &mut impl Write, role: Role) -> anyhow::Result<String> {
    let echo_off = EchoOff::on(terminal)?;
    write!(prompt, "new password of the {role}: ")?;
    prompt.flush()?;
    let password = line(terminal)?;
    write!(prompt, "repeat it: ")?;
    prompt.flush()?;
    let again = line(terminal)?;
    drop(echo_off);
    if password != again {
        bail!("the passwords do not match; nothing was changed");
    }
    Ok(password)
}

/// One line, without its end.
fn line(from: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line).context("read the password from standard input")?;
    Ok(line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
}

/// Turns a terminal's echo off, except for line ends, for as long as it lives.
struct EchoOff {
    terminal: std::os::fd::OwnedFd,
    before: Termios,
}

impl EchoOff {
    fn on(terminal: &impl AsFd) -> anyhow::Result<Self> {
        let echo_off = || {
            let terminal = terminal.as_fd().try_clone_to_owned()?;
            let before = termios::tcgetattr(&terminal)?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            silent.local_modes.insert(LocalModes::ECHONL);
            // Discards what was typed before the prompt.
            termios::tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
            io::Result::Ok(Self { terminal, before })
        };
        echo_off().context("turn the terminal's echo off")
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_without_its_end() {
        for (text, expected) in [("a b\nc\n", "a b"), ("a\r\n", "a"), ("a", "a"), ("\n", ""), ("", "")] {
            assert_eq!(line(&mut text.as_bytes()).unwrap(), expected);
        }
        assert!(line(&mut &b"\xff\n"[..]).is_err());
    }
}
