//! Writes the man pages and the shell completions of the package, from the definition of the command line:
//! `cargo run --example manual DIRECTORY`. A program of its own, because the one in the package was compiled for another
//! kind of board, and has no use for it.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use porthole::cli::Cli;

fn main() -> Result<()> {
    let directory = PathBuf::from(env::args_os().nth(1).context("usage: manual DIRECTORY")?);
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    // A page for each command, as `man porthole-token` and the like.
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &directory)
        .context("write the man pages")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "porthole", &directory)
            .with_context(|| format!("write for {shell}"))?;
    }
    Ok(())
}
