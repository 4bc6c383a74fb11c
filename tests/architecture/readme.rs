//! The commands that a text for people tells them to type, and whether they exist.
//!
//! They are parsed, not run.

use clap::Parser;
use clap::error::ErrorKind;
use porthole::cli::Cli;

/// The commands in a Markdown text: the lines of its `sh` blocks, and in its `console` blocks those after `$`.
pub fn commands(markdown: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut block = None;
    // A line that ends with a backslash goes on.
    for line in markdown.replace("\\\n", " ").lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim()) };
            continue;
        }
        let command = match block {
            Some("sh") => line,
            Some("console") => line.trim_start().strip_prefix("$ ").unwrap_or_default(),
            _ => continue,
        };
        // Comments are the shell's; words in quotes stay together.
        let words = shlex::split(command).unwrap_or_else(|| panic!("should be a command: {line}"));
        commands.extend(words.split(|word| matches!(word.as_str(), "&&" | "||" | "|" | ";")).map(<[_]>::to_vec));
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// What does not exist of the commands: targets of make, commands and flags of porthole. Other programs are not looked
/// at.
pub fn missing(commands: &[Vec<String>], makefile: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for words in commands {
        let is_setting =
            |word: &&String| word.split('=').next().is_some_and(|name| word.contains('=') && is_name(name));
        let program = words.iter().skip_while(|word| *word == "sudo" || is_setting(word)).collect::<Vec<_>>();
        let Some((name, arguments)) = program.split_first() else { continue };
        match name.rsplit('/').next() {
            Some("make") => {
                for argument in arguments {
                    if let Some(flags) = argument.strip_prefix("ARGS=") {
                        missing.extend(refused(flags.split_whitespace(), words));
                    } else if !is_setting(argument) && !argument.starts_with('-') && !has_target(makefile, argument) {
                        missing.push(format!("`{}`: the Makefile has no target {argument}", words.join(" ")));
                    }
                }
            }
            Some("porthole") => missing.extend(refused(arguments.iter().map(|word| word.as_str()), words)),
            _ => {}
        }
    }
    missing
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn has_target(makefile: &str, name: &str) -> bool {
    makefile.lines().any(|line| line.split_once(':').is_some_and(|(targets, _)| targets.split(' ').any(|t| t == name)))
}

fn refused<'a>(arguments: impl Iterator<Item = &'a str>, words: &[String]) -> Option<String> {
    let error = Cli::try_parse_from(["porthole"].into_iter().chain(arguments)).err()?;
    let shows = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!shows).then(|| format!("`{}`: {error}", words.join(" ")))
}

#[test]
fn commands_are_found_in_blocks() {
    let markdown = "Type `make nothing`.\n```sh\nmake run ARGS=\"--camera pattern\" # it runs\n\n# only a comment\n\
                    cd a && make \\\n  test\n```\n```console\n$ porthole devices | head\nLEDs\n```\n```toml\nx = 1\n```\n";
    assert_eq!(
        commands(markdown),
        [
            vec!["make", "run", "ARGS=--camera pattern"],
            vec!["cd", "a"],
            vec!["make", "test"],
            vec!["porthole", "devices"],
            vec!["head"],
        ]
    );
}

#[test]
fn what_does_not_exist_is_missing() {
    let makefile = "export PATH := x\n.PHONY: run test\nrun: setup ## runs\n\tcargo run\ntest fmt: build\n";
    let missing = |command: &str| super::readme::missing(&commands(&format!("```sh\n{command}\n```")), makefile);
    for right in [
        "make",
        "make run",
        "make -j2 test fmt X=y",
        "make run ARGS='--camera pattern'",
        "porthole --version",
        "sudo PORTHOLE_LOG=debug ./target/release/porthole run --listen :80",
        "fly --away",
    ] {
        assert_eq!(missing(right), [""; 0], "{right}");
    }
    for wrong in [
        "make cake",
        "make run cake",
        "make run ARGS='--cake'",
        "porthole cake",
        "porthole --cake",
        "porthole run --listen nowhere",
        "X=1 sudo ./porthole check-config",
    ] {
        assert_eq!(missing(wrong).len(), 1, "{wrong}");
    }
}
