//! The command line: the program is run, its output and exit code are checked.
//!
//! Serving viewers is tested elsewhere.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A working directory with a file `porthole.toml`.
struct Folder(TempDir);

impl Folder {
    fn new(configuration: &str) -> Self {
        let folder = TempDir::new().expect("temporary folder");
        fs::write(folder.path().join("porthole.toml"), configuration).expect("write");
        Self(folder)
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
        command.args(arguments.split_whitespace()).current_dir(&self.0).env_remove("PORTHOLE_LOG");
        command.output().expect("run porthole")
    }
}

fn run(arguments: &str) -> Output {
    Folder::new("").run(arguments)
}

#[track_caller]
fn outcome(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).expect("the output should be text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn version_is_printed() {
    let expected = format!("porthole {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(outcome(&run("--version")), (Some(0), expected.as_str(), ""));
}

#[test]
fn check_config_prints_the_settings_of_a_valid_file() {
    let folder = Folder::new(
        "[[camera]]\nname = \"door\"\nfps = 15\n[privacy]\non = true\n[[led]]\ngpio = 17\nshow = \"watched\"\n[[led]]\n\
         sysfs = \"ACT\"\n[[button]]\ngpio = 27\npress = \"privacy.toggle\"\n",
    );
    let output = folder.run("check-config porthole.toml");
    let (code, out, err) = outcome(&output);
    assert_eq!((code, err), (Some(0), ""));
    assert_eq!(out.lines().next(), Some("porthole.toml: ok"));
    assert!(out.contains("door: device auto, width { ideal = 1280 }, height { ideal = 720 }, 15 frames"), "{out}");
    for line in [
        "  privacy on at every start: cameras and microphone stay closed",
        "  led     GPIO 17 shows watched at 100 %",
        "  led     ACT shows ready at 100 %",
        r#"  button  GPIO 27, pressed: {"method":"privacy.toggle","params":{}}"#,
    ] {
        assert!(out.lines().any(|found| found == line), "{line}: {out}");
    }
}

#[test]
fn check_config_reports_all_errors_at_once() {
    let folder = Folder::new("[[camera]]\nwdth = 640\nfps = 500\n[audio]\nchannels = \"two\"\n");
    let expected = "porthole.toml:2: camera[0].wdth = 640: unknown key; did you mean width?\n\
                    porthole.toml:3: camera[0].fps = 500: out of range; frames a second from 1 to 240\n\
                    porthole.toml:5: audio.channels = \"two\": not a whole number; channels from 1 to 2\n";
    assert_eq!(outcome(&folder.run("check-config porthole.toml")), (Some(1), "", expected));
    // `run` rejects the file with the same messages, with and without the subcommand.
    assert_eq!(outcome(&folder.run("run --config porthole.toml")), (Some(1), "", expected));
    assert_eq!(outcome(&folder.run("--config porthole.toml")), (Some(1), "", expected));
}

#[test]
fn check_config_reports_what_would_keep_run_from_starting() {
    let folder = Folder::new("");
    let path = folder.0.path().join("porthole.toml");
    let missing = folder.0.path().join("cert.pem");
    let state = folder.0.path().join("state");
    let text = format!(
        "[state]\ndirectory = {state:?}\n[http]\nlisten = \"127.0.0.1:0\"\ntls = {{ cert = {missing:?}, key = {missing:?} }}\n"
    );
    fs::write(&path, text).expect("write");
    let wrong = format!(
        "read {}: No such file or directory (os error 2); check the path and who may read it",
        missing.display()
    );
    let expected = format!("porthole.toml: http.tls: {wrong}\n");
    assert_eq!(outcome(&folder.run("check-config porthole.toml")), (Some(1), "", expected.as_str()));
    assert!(!state.exists(), "it should only be checked");
    let output = folder.run("run --config porthole.toml --camera pattern");
    let (code, out, err) = outcome(&output);
    assert_eq!((code, out), (Some(1), ""));
    assert!(err.ends_with(&format!("{wrong}\n")), "{err}");
}

#[test]
fn check_config_warns_of_files_that_run_starts_without() {
    let folder = Folder::new("[mqtt]\nurl = \"mqtt://a\"\nusername = \"a\"\npassword_file = \"/nowhere/password\"\n");
    let output = folder.run("check-config porthole.toml");
    let (code, out, err) = outcome(&output);
    assert_eq!((code, out.lines().next()), (Some(0), Some("porthole.toml: ok")));
    assert!(
        err.starts_with("porthole.toml: warning: mqtt.password_file: read /nowhere/password: No such file"),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_missing_configuration_file_is_reported() {
    let output = run("check-config nowhere.toml");
    let (code, out, err) = outcome(&output);
    assert_eq!((code, out), (Some(1), ""));
    assert!(err.starts_with("nowhere.toml: cannot be read: No such file"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_usage_error_has_its_own_exit_code() {
    for (arguments, expected) in [
        ("fly", "unrecognized subcommand 'fly'"),
        ("--camra auto", "unexpected argument '--camra'"),
        ("check-config", "<FILE>"),
        ("--listen 8080", "'8080' for '--listen <ADDR>': not an address; IP and port from 0 to 65535"),
        ("controls video0", "'video0' for '[DEVICE]': not a camera; auto, pattern"),
        ("controls brightness=5 hue", "not NAME=VALUE; `porthole controls` lists the names"),
        ("run --camera video0", "'video0' for '--camera <DEVICE>': not a camera; auto, pattern, libcamera"),
    ] {
        let output = run(arguments);
        let (code, out, err) = outcome(&output);
        assert_eq!((code, out), (Some(2), ""), "{arguments}");
        assert!(err.contains(expected), "{arguments}: {err}");
    }
}

#[test]
fn controls_of_a_source_without_controls_are_rejected() {
    for (arguments, expected) in [
        ("controls /dev/video-that-is-not-there", "open /dev/video-that-is-not-there: no such device; "),
        ("controls /dev/null --json", "/dev/null: a control is not supported; it is no V4L2 device"),
        ("controls /dev/null brightness=5", "/dev/null: a control is not supported; it is no V4L2 device"),
        ("controls pattern", "pattern: a control is not supported; only V4L2 cameras have controls"),
    ] {
        let output = run(arguments);
        let (code, out, err) = outcome(&output);
        assert_eq!((code, out), (Some(1), ""), "{arguments}");
        assert!(err.starts_with(expected), "{arguments}: {err}");
    }
}

#[test]
fn an_invalid_log_filter_is_reported_at_startup() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    let output = command.args(["--listen", "127.0.0.1:0"]).env("PORTHOLE_LOG", "porthole=loud").output().unwrap();
    let (code, out, err) = outcome(&output);
    assert_eq!((code, out), (Some(1), ""));
    assert!(err.starts_with("PORTHOLE_LOG = porthole=loud: "), "{err}");
}

#[test]
fn devices_runs_on_every_machine() {
    let output = run("devices");
    let (code, out, err) = outcome(&output);
    assert_eq!((code, err), (Some(0), ""));
    let titles: Vec<&str> = out.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(titles, ["cameras", "hardware encoders", "sound cards", "LEDs", "auto takes"], "{out}");
    // Each section lists its devices or says that there are none.
    assert!(out.lines().count() >= 2 * titles.len() && !out.contains("\n\n"), "{out}");

    let output = run("devices --json");
    let (code, out, err) = outcome(&output);
    assert_eq!((code, err), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(out).expect("should be JSON");
    for list in ["cameras", "encoders", "sound_cards", "leds", "problems"] {
        assert!(json[list].is_array(), "{list}: {json}");
    }
    assert!(json["auto"]["camera"].is_string() && json["auto"]["microphone"].is_string(), "{json}");
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    let output = command.arg("devices").stdout(writer).output().unwrap();
    assert_eq!(outcome(&output), (Some(0), "", ""));
}
