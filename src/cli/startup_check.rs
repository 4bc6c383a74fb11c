//! What `check-config` tries about a file without errors: whatever would keep `run` from starting with it on this machine,
//! short of opening devices. Nothing is created or changed.
//!
//! Errors in the file itself are found by `config`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::config::Config;
use crate::pipeline::recorder::{Library, RecordingMode};
use crate::server::auth::Mode;
use crate::server::hooks::{HookAction, read_headers};
use crate::server::http;
use crate::server::http::{Encryption, Tls};
use crate::server::mqtt;
use crate::server::photos::Photos;
use crate::server::rtsp;
use crate::util::state_dir::StateDir;

/// What a command line may begin with that is no program.
const SHELL_WORDS: [&str; 15] = [
    "cd", "set", "export", "ulimit", "umask", "trap", "if", "while", "for", "case", "until", "eval", ".", "command",
    "read",
];

/// Everything that would keep porthole from starting, or from storing what it is asked to store, each with its key.
/// `listens` is whether the address would be opened: a service that is asked to reload has opened it already, or systemd
/// has.
pub fn problems(config: &Config, listens: bool) -> Vec<String> {
    let store = StateDir::open(config.state_directory.as_deref());
    let mut problems = Vec::new();
    let mut note = |key: &str, tried: anyhow::Result<()>| {
        problems.extend(tried.err().map(|error| format!("{key}: {error:#}")));
    };
    let records = config.recording.mode != RecordingMode::Off || config.timelapse.every.is_some();
    let stores = config.state_directory.is_some()
        || config.auth.mode == Mode::Password
        || config.http.tls == Tls::SelfSigned
        || (records && config.recording.directory.is_none());
    let state = if stores { store.check_writable() } else { Ok(()) };
    let stored = state.is_ok();
    note("state.directory", state);
    if listens {
        note("http.listen", http::check_listen(config.http.listen));
        note("rtsp.listen", config.rtsp.listen.map_or(Ok(()), rtsp::check_listen));
    }
    // Our own certificate is in the state directory.
    if stored || config.http.tls != Tls::SelfSigned {
        note("http.tls", Encryption::check(&config.http.tls, &store));
    }
    if config.photos.directory.is_some() {
        note("photos.directory", Photos::open(&config.photos, &store).check_writable());
    }
    if records && let Some(directory) = &config.recording.directory {
        note("recording.directory", Library::open(Some(directory), &store).check_writable());
    }
    problems
}

/// What would keep porthole from connecting to the MQTT broker, and hooks and the screen from doing what they should, each with
/// its key. It starts all the same, and tries again. Credentials that systemd hands to the service cannot be read by the check before a
/// reload.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut tried = Vec::new();
    if config.mqtt.broker.is_some() {
        tried.push(("mqtt.password_file".to_owned(), mqtt::check_password(&config.mqtt)));
        tried.push(("mqtt.ca".to_owned(), mqtt::check_ca(&config.mqtt)));
    }
    for (index, hook) in config.hooks.iter().enumerate() {
        tried.extend(match &hook.action {
            HookAction::Run(program) => Some((format!("hook[{index}].exec"), check_program(&program.path))),
            HookAction::Post(target) => target
                .headers_file
                .as_ref()
                .map(|path| (format!("hook[{index}].headers_file"), read_headers(path).map(drop))),
        });
    }
    if let Some(line) = &config.screen.exec {
        let path = std::env::var_os("PATH").unwrap_or_default();
        tried.push(("screen.exec".to_owned(), check_command_line(line, &path)));
    }
    tried.into_iter().filter_map(|(key, tried)| Some(format!("{key}: {:#}", tried.err()?))).collect()
}

/// Checks that the program is there that a command line of the shell begins with, if that is plain: not a word of the shell, or
/// something that it would expand.
fn check_command_line(line: &str, path: &OsStr) -> anyhow::Result<()> {
    let is_assignment = |word: &&str| word.contains('=');
    let mut words = line.split_ascii_whitespace().skip_while(is_assignment).skip_while(|word| *word == "exec");
    let Some(program) = words.next() else { return Ok(()) };
    let is_plain = program.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte));
    if !is_plain || SHELL_WORDS.contains(&program) {
        return Ok(());
    }
    if program.contains('/') {
        return check_program(Path::new(program));
    }
    let is_found = std::env::split_paths(path).any(|folder| check_program(&folder.join(program)).is_ok());
    anyhow::ensure!(is_found, "{program}: no such program in PATH; install it, or write its absolute path");
    Ok(())
}

/// Checks that a program is there, and can be run by somebody.
fn check_program(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let found = fs::metadata(path).with_context(|| format!("{shown}; check the path"))?;
    let is_program = found.is_file() && found.permissions().mode() & 0o111 != 0;
    anyhow::ensure!(is_program, "{shown}: not a program; make it one with chmod +x");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Vec<String> {
        problems(&Config::parse(text, "").unwrap(), true)
    }

    /// The names of all files below a directory.
    fn files(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_configuration_that_starts_has_no_problems_and_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        for text in [
            format!("state.directory = \"{path}\"\nhttp.listen = \"127.0.0.1:0\""),
            format!("state.directory = \"{path}/a/b\"\nphotos.directory = \"{path}/c/d\""),
            format!("state.directory = \"{path}/a\"\nhttp.tls = \"self-signed\""),
        ] {
            assert_eq!(checked(&text), [""; 0], "{text}");
        }
        assert_eq!(files(folder.path()), [""; 0]);
    }

    #[test]
    fn a_screen_whose_program_is_missing_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let warned =
            |line: &str| check_command_line(line, folder.path().as_os_str()).err().map(|error| error.to_string());
        assert_eq!(
            warned("show -"),
            Some("show: no such program in PATH; install it, or write its absolute path".into())
        );
        assert!(warned("/does/not/exist -").is_some_and(|warning| warning.starts_with("/does/not/exist; check")));
        let program = folder.path().join("show");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        assert!(warned("show -").is_some(), "nobody may run it");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for line in
            ["show -", "DISPLAY=:0 exec show -", "cd /tmp && nothing", "$PLAYER -", "{ cat; }", "A=b", "\"a b\" -"]
        {
            assert_eq!(warned(line), None, "{line}");
        }
        let text = "[speaker]\ndevice = \"auto\"\n[screen]\nexec = \"/does/not/exist\"";
        let warning = warnings(&Config::parse(text, "").unwrap()).join("");
        assert!(warning.starts_with("screen.exec: /does/not/exist; check the path"), "{warning}");
    }

    #[test]
    fn hooks_that_cannot_work_are_warnings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("notes"), "token").unwrap();
        let text = format!(
            "[[hook]]\non = \"fault\"\nexec = \"/bin/sh\"\n[[hook]]\non = \"fault\"\nexec = \"{path}/missing\"\n\
             [[hook]]\non = \"fault\"\nexec = \"{path}/notes\"\n\
             [[hook]]\non = \"fault\"\nurl = \"http://a\"\nheaders_file = \"{path}/notes\""
        );
        let expected = [
            format!("hook[1].exec: {path}/missing; check the path: No such file or directory (os error 2)"),
            format!("hook[2].exec: {path}/notes: not a program; make it one with chmod +x"),
            format!(
                "hook[3].headers_file: {path}/notes: not a header on each line, such as Authorization: Bearer TOKEN"
            ),
        ];
        assert_eq!(warnings(&Config::parse(&text, "").unwrap()), expected);
    }

    #[test]
    fn what_cannot_start_is_named_all_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("file"), "").unwrap();
        let text = format!(
            "state.directory = \"{path}/file/state\"\n\
             http = {{ listen = \"192.0.2.1:8080\", tls = {{ cert = \"{path}/cert.pem\", key = \"{path}/key.pem\" }} }}\n\
             rtsp.listen = \"192.0.2.1:8554\"\n\
             photos.directory = \"{path}/file\"\n\
             recording = {{ mode = \"always\", directory = \"{path}/file/b\" }}"
        );
        let found = checked(&text);
        let expected = [
            format!(
                "state.directory: write to the state directory {path}/file/state: {path}/file is no directory; set [state] \
                 directory to a place where the user that runs porthole may write"
            ),
            "http.listen: listen on 192.0.2.1:8080: 192.0.2.1 is not an address of this device; see `ip address`"
                .into(),
            "rtsp.listen: listen on 192.0.2.1:8554: 192.0.2.1 is not an address of this device; see `ip address`"
                .into(),
            format!(
                "http.tls: read {path}/cert.pem: No such file or directory (os error 2); check the path and who may read it"
            ),
            format!(
                "photos.directory: write to the directory of photos {path}/file: {path}/file is no directory; set [photos] \
                 directory to a place where the user that runs porthole may write"
            ),
            format!(
                "recording.directory: write to the directory of recordings {path}/file/b: {path}/file is no directory; set \
                 [recording] directory to a place where the user that runs porthole may write"
            ),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn files_of_mqtt_are_no_reason_not_to_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("file"), "").unwrap();
        let text = format!(
            "state.directory = \"{path}\"\n\
             http.listen = \"127.0.0.1:0\"\n\
             mqtt = {{ url = \"mqtts://a\", username = \"a\", password_file = \"{path}/password\", ca = \"{path}/file\" }}"
        );
        assert_eq!(checked(&text), [""; 0]);
        let expected = [
            format!(
                "mqtt.password_file: read {path}/password: No such file or directory (os error 2); check the path and who may \
                 read it"
            ),
            format!("mqtt.ca: {path}/file: no certificate in it; it has to be PEM (-----BEGIN CERTIFICATE-----)"),
        ];
        assert_eq!(warnings(&Config::parse(&text, "").unwrap()), expected);
    }

    #[test]
    fn an_address_that_is_in_use_may_be_that_of_the_running_service() {
        let folder = tempfile::tempdir().unwrap();
        let running = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (path, address) = (folder.path().display(), running.local_addr().unwrap());
        assert_eq!(checked(&format!("state.directory = \"{path}\"\nhttp.listen = \"{address}\"")), [""; 0]);
        let elsewhere = format!("state.directory = \"{path}\"\nhttp.listen = \"192.0.2.1:8080\"");
        assert_eq!(problems(&Config::parse(&elsewhere, "").unwrap(), false), [""; 0]);
    }

    #[test]
    fn a_stored_certificate_that_is_damaged_would_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let text = format!("state.directory = \"{path}\"\nhttp.tls = \"self-signed\"");
        for name in ["cert.pem", "key.pem"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(checked(&text), [""; 0]);
        assert_eq!(files(folder.path()), ["cert.pem", "key.pem"]);
    }
}
