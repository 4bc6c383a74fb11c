//! Whether the commands that a document tells people to type exist: targets of make, commands and flags of porthole.
//!
//! They are parsed, not run.

use clap::Parser;
use clap::error::ErrorKind;
use porthole::cli::Cli;

/// The programs that a command runs, each with its arguments.
pub fn programs(command: &str) -> Vec<Vec<String>> {
    // What a variable is set to is a command too.
    let command = match command.split_once("=$(") {
        Some((name, rest)) if is_name(name) => rest.trim_end_matches(')'),
        _ => command,
    };
    let words = shlex::split(command).unwrap_or_else(|| panic!("should be a command: {command}"));
    let programs = words.split(|word| matches!(word.as_str(), "&&" | "||" | "|" | ";"));
    programs.filter(|words| !words.is_empty()).map(<[_]>::to_vec).collect()
}

/// What does not exist of these programs: targets of make, commands and flags of porthole. Other programs are not looked
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
    // The bare name of a command is one to speak of.
    let lacks = [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
    let named = lacks.contains(&error.kind()) && words.len() == 2;
    (!shows && !named).then(|| format!("`{}`: {error}", words.join(" ")))
}

#[test]
fn programs_are_found_in_commands() {
    assert_eq!(programs("cd 'a b' && make test"), [vec!["cd", "a b"], vec!["make", "test"]]);
    assert_eq!(programs("TOKEN=$(porthole token list)"), [["porthole", "token", "list"]]);
}

#[test]
fn what_does_not_exist_is_missing() {
    let makefile = "export PATH := x\n.PHONY: run test\nrun: setup ## runs\n\tcargo run\ntest fmt: build\n";
    let missing = |command: &str| super::exists::missing(&programs(command), makefile);
    for right in [
        "make",
        "make run",
        "make -j2 test fmt X=y",
        "make run ARGS='--camera pattern'",
        "porthole --version",
        "porthole ctl",
        "porthole token",
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
