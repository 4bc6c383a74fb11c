//! Architecture rules, checked on the source text: layering, what is allowed where, and that the shipped configuration
//! matches the program.
//!
//! The program's behaviour is tested elsewhere.

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use porthole::config::{self, Config};
use source::Source;

/// Files with more lines of code than this should be split along the data flow.
const LINES_HABIT: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} should be there: {error}"))
}

#[track_caller]
fn holds(rule: impl Fn(&[Source]) -> Vec<String>) {
    let sources = Source::all(root());
    assert!(sources.len() > 10, "there should be sources, not {}", sources.len());
    none(rule(&sources));
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn folders_import_only_from_those_before_them() {
    holds(rules::layers);
}

#[test]
fn device_modules_do_not_know_each_other() {
    holds(rules::devices);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    holds(rules::circles);
}

#[test]
fn each_foreign_crate_is_used_in_one_module() {
    holds(rules::foreign_crates);
}

#[test]
fn no_two_public_types_share_a_name() {
    holds(rules::type_names);
}

#[test]
fn serde_is_used_only_for_public_formats() {
    holds(rules::promises);
}

#[test]
fn every_channel_has_a_bound() {
    holds(rules::bounded_channels);
}

#[test]
fn unsafe_is_confined_to_device_files_and_explained() {
    holds(rules::unsafe_code);
}

#[test]
fn only_the_command_line_prints() {
    holds(rules::printing);
}

#[test]
fn every_file_begins_with_its_purpose() {
    let mut wrong = Vec::new();
    for (folder, extension) in [("src", "rs"), ("tests", "rs"), ("benches", "rs"), ("web", "js")] {
        for file in source::files(&root().join(folder), extension) {
            let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            wrong.extend(rules::introduction(&path, &read(&path)));
        }
    }
    none(wrong);
}

#[test]
fn long_files_are_listed() {
    for source in Source::all(root()) {
        let lines = rules::lines_of_code(&source.text);
        if lines > LINES_HABIT {
            // Bypass libtest's output capture: the output of a passing test is never shown.
            let warning = format!("warning: {}: {lines} lines of code; above {LINES_HABIT} split it\n", source.path);
            std::io::stderr().write_all(warning.as_bytes()).unwrap();
        }
    }
}

#[test]
fn the_shipped_configuration_equals_the_defaults() {
    let shipped = Config::parse(&read("systemd/porthole.toml"), "systemd/porthole.toml");
    assert_eq!(shipped.unwrap_or_else(|errors| panic!("\n{errors}")), Config::default());
}

#[test]
fn the_shipped_configuration_names_every_key() {
    let text = read("systemd/porthole.toml");
    assert_eq!(keys_of(&text), config::keys());
}

/// The configuration with its example sections uncommented: their lines begin with `#` and no space after it.
fn with_examples(text: &str) -> String {
    let example = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    text.lines().map(example).collect::<Vec<_>>().join("\n")
}

/// All keys in a configuration, as `section.key`.
fn keys_of(text: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut keys = BTreeSet::new();
    let text = with_examples(text);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            // A nested section counts as a key of its parent; its own keys belong to the camera, not to the program.
            if section.contains('.') {
                keys.insert(section.into());
            }
        } else if let Some((key, _)) = line.split_once('=') {
            keys.insert(format!("{section}.{}", key.trim()));
        }
    }
    keys
}

#[test]
fn the_examples_in_the_shipped_configuration_are_valid() {
    // The two kinds of LED are mutually exclusive, and so are those of hooks.
    let is_other = |line: &&str| {
        !["sysfs =", "url = \"https://ntfy", "headers =", "headers_file ="].iter().any(|begin| line.starts_with(begin))
    };
    let text = with_examples(&read("systemd/porthole.toml"));
    let text = text.lines().filter(is_other).collect::<Vec<_>>().join("\n");
    let config = Config::parse(&text, "systemd/porthole.toml").unwrap_or_else(|errors| panic!("\n{errors}"));
    let counts = [config.publish.len(), config.hooks.len(), config.leds.len(), config.buttons.len()];
    assert_eq!(counts, [1; 4]);
}

#[test]
fn missing_and_unknown_keys_are_found() {
    let text = read("systemd/porthole.toml");
    assert_ne!(keys_of(&text.replace("\nkeep_open = false", "")), config::keys());
    assert_ne!(keys_of(&format!("{text}\nmore = 1")), config::keys());
    assert_ne!(Config::parse(&text.replace("keep_open = false", "keep_open = true"), "").unwrap(), Config::default());
}
