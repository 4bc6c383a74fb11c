//! The documents: every command in them is run, or is in a table with the reason why it can't be; every configuration is one that
//! porthole accepts; every link and every path leads somewhere.
//!
//! The viewer page's examples are tested in `tests/page`, the tables of the control protocol beside its code.

#[path = "board/namespace.rs"]
mod namespace;

#[path = "docs/addresses.rs"]
mod addresses;
mod common;
#[path = "docs/exists.rs"]
mod exists;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/not_run.rs"]
mod not_run;
#[allow(dead_code)]
#[path = "rtsp/client.rs"]
mod rtsp;
#[path = "docs/sandbox.rs"]
mod sandbox;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use markdown::Block;
use porthole::config::Config;
use sandbox::Sandbox;

/// The most lines that the README may have.
const README_LINES: usize = 200;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} should be there: {error}"))
}

/// The documents, by their paths from the root of the repository.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> = [".", "docs", "benches", "examples"]
        .into_iter()
        .flat_map(|folder| {
            let files = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
            files.map(move |file| {
                format!("{folder}/{}", file.expect("the folder should be readable").file_name().to_string_lossy())
            })
        })
        .filter(|path| path.ends_with(".md"))
        .map(|path| path.trim_start_matches("./").to_owned())
        .collect();
    documents.sort();
    assert!(documents.contains(&"README.md".into()) && documents.len() > 10, "{documents:?}");
    documents
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Calls `check` with each block of each document in one of these languages, and the document's path.
fn each_block(languages: &[&str], mut check: impl FnMut(&str, &Block)) {
    let mut count = 0;
    for document in documents() {
        for block in markdown::blocks(&read(&document)) {
            if languages.contains(&block.language.as_str()) {
                check(&document, &block);
                count += 1;
            }
        }
    }
    assert!(count > 0, "there should be blocks of {languages:?}");
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines; move a chapter to docs/");
}

#[test]
fn every_command_is_run_or_has_a_reason_not_to() {
    namespace::isolated(|| {
        Sandbox::prepare_network();
        for document in documents() {
            let mut files = Vec::new();
            for block in markdown::blocks(&read(&document)) {
                if let Some(file) = &block.file {
                    files.push((file.clone(), block.text.clone()));
                }
                let commands = block.commands();
                let commands = commands.iter().filter(|command| not_run::reason(&command.text).is_none());
                let mut sandbox = None;
                for command in commands {
                    let sandbox = sandbox.get_or_insert_with(|| Sandbox::new(&files));
                    let place = format!("{document}:{}", block.line);
                    sandbox.run(command).unwrap_or_else(|wrong| panic!("{place}: `{}`: {wrong:#}", command.text));
                }
            }
        }
    });
}

#[test]
fn commands_that_are_not_run_exist_and_are_in_a_document() {
    let makefile = read("Makefile");
    let mut unused: BTreeSet<&str> = not_run::commands().collect();
    let mut wrong = Vec::new();
    each_block(&["sh", "console"], |document, block| {
        for command in block.commands() {
            unused.remove(command.text.as_str());
            let missing = exists::missing(&exists::programs(&command.text), &makefile);
            wrong.extend(missing.into_iter().map(|missing| format!("{document}:{}: {missing}", block.line)));
        }
    });
    wrong.extend(unused.into_iter().map(|command| format!("tests/docs/not_run.rs: no document says `{command}`")));
    none(wrong);
}

#[test]
fn commands_in_sentences_exist() {
    let makefile = read("Makefile");
    let mut wrong = Vec::new();
    for document in documents() {
        for code in markdown::inline_code(&read(&document)) {
            let command = ["porthole ", "sudo porthole ", "make "].iter().any(|begin| code.starts_with(begin));
            // `METHOD` and the like stand for something.
            if command && !code.contains(|c: char| c.is_ascii_uppercase()) {
                let missing = exists::missing(&exists::programs(&code), &makefile);
                wrong.extend(missing.into_iter().map(|missing| format!("{document}: {missing}")));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_path_in_a_sentence_exists() {
    let mut wrong = Vec::new();
    for document in documents() {
        for code in markdown::inline_code(&read(&document)) {
            let ours = ["src/", "tests/", "web/", "docs/", "systemd/", "benches/", "examples/", ".ci/"];
            if ours.iter().any(|folder| code.starts_with(folder)) && !root().join(&code).exists() {
                wrong.push(format!("{document}: {code} does not exist"));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for document in documents() {
        let folder = Path::new(&document).parent().unwrap_or(Path::new(""));
        for link in markdown::links(&read(&document)) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { root().join(&document) } else { root().join(folder).join(path) };
            let found = match fs::read_to_string(&target) {
                Ok(text) => anchor.is_empty() || markdown::anchors(&text).contains(anchor),
                // A folder or an image has no anchors.
                Err(_) => anchor.is_empty() && target.exists(),
            };
            if !found {
                wrong.push(format!("{document}: {link} leads nowhere"));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_configuration_is_accepted() {
    each_block(&["toml"], |document, block| {
        // One with a name is an example for the commands after it.
        if block.file.is_some() {
            return;
        }
        // Parsed only: the files and directories that it names are on the reader's machine.
        let parsed = Config::parse(&block.text, "porthole.toml");
        assert!(parsed.is_ok(), "{document}:{}: {}", block.line, parsed.unwrap_err());
    });
}

#[test]
fn nginx_accepts_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, file) = (folder.path().display(), folder.path().join("nginx.conf"));
    each_block(&["nginx"], |document, block| {
        let text = format!(
            "pid {directory}/pid;\nevents {{}}\nhttp {{\naccess_log off;\nserver {{\nlisten 127.0.0.1:1;\n{}}}\n}}\n",
            block.text
        );
        fs::write(&file, text).unwrap();
        // Debian has it where an ordinary user's PATH does not look.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let mut nginx = Command::new("nginx");
        nginx.args(["-t", "-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(&file).env("PATH", path);
        let output = nginx.output().expect("nginx (Debian package nginx) should start");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{document}:{}: {printed}", block.line);
    });
}
