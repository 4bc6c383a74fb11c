//! The systemd unit and packaging: sandboxing, the back-off between failed starts, man pages and completions.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The maximum exposure of the service, in tenths, as rated by `systemd-analyze security`.
const EXPOSURE: &str = "20";

fn file(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}: {output:?}", output.status);
    output
}

#[test]
fn the_service_is_sandboxed() {
    let mut analyze = Command::new("systemd-analyze");
    let unit = file("systemd/porthole.service");
    run(analyze.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE}"), &unit]));
}

/// How long `pause wait` sleeps, using a fake `sleep` that prints its argument.
fn pause(folder: &Path) -> String {
    let sleep = folder.join("sleep");
    if !sleep.exists() {
        fs::write(&sleep, "#!/bin/sh\necho slept \"$1\"\n").expect("the folder should take files");
        run(Command::new("chmod").arg("+x").arg(&sleep));
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("there should be a PATH"));
    let output =
        run(Command::new(file("systemd/pause")).arg("wait").env("RUNTIME_DIRECTORY", folder).env("PATH", path));
    let text = String::from_utf8(output.stdout).expect("the script should write text");
    text.lines().find_map(|line| line.strip_prefix("slept ")).unwrap_or_default().to_owned()
}

fn ended(folder: &Path, result: &str) {
    let mut count = Command::new(file("systemd/pause"));
    run(count.arg("count").env("RUNTIME_DIRECTORY", folder).env("SERVICE_RESULT", result));
}

#[test]
fn restart_backoff_grows_and_resets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(pause(folder), "");
    for seconds in ["1", "2", "4", "8", "16", "30", "30"] {
        ended(folder, "exit-code");
        assert_eq!(pause(folder), seconds);
    }
    // A clean exit.
    ended(folder, "success");
    assert_eq!(pause(folder), "");
    // A long run since the last failure.
    (0..3).for_each(|_| ended(folder, "watchdog"));
    run(Command::new("touch").args(["-d", "11 minutes ago"]).arg(folder.join("failures")));
    ended(folder, "signal");
    assert_eq!(pause(folder), "1");
}

#[test]
fn every_command_has_a_man_page_and_every_shell_completions() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(common::example("manual").unwrap()).arg(folder.path()));
    let page =
        |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let help = run(Command::new(env!("CARGO_BIN_EXE_porthole")).arg("--help"));
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"run") && commands.contains(&"check-config"), "{help}");
    for command in commands.iter().filter(|command| **command != "help") {
        let text = page(&format!("porthole-{command}.1"));
        assert!(text.contains(".SH NAME") && text.contains(".SH OPTIONS"), "{command}: {text}");
    }
    assert!(page("porthole.1").contains("\\-\\-config"), "{}", page("porthole.1"));
    for completions in ["porthole.bash", "_porthole", "porthole.fish"] {
        assert!(page(completions).contains("check-config"), "{completions}");
    }
}

/// The unit's paths match the files that the package installs.
#[test]
fn the_package_installs_what_the_unit_runs() {
    let text = |name: &str| fs::read_to_string(file(name)).unwrap();
    let (unit, manifest) = (text("systemd/porthole.service"), text("Cargo.toml"));
    for (run, installed) in [
        (
            "ExecStart=/usr/bin/porthole run --config /etc/porthole/porthole.toml",
            r#"["target/release/porthole", "usr/bin/", "755"]"#,
        ),
        ("ExecStartPre=/usr/lib/porthole/pause wait", r#"["systemd/pause", "usr/lib/porthole/", "755"]"#),
        ("User=porthole", r#"["systemd/sysusers.conf", "usr/lib/sysusers.d/porthole.conf", "644"]"#),
        ("/etc/porthole/porthole.toml", r#"["systemd/porthole.toml", "etc/porthole/", "644"]"#),
    ] {
        assert!(unit.contains(run) && manifest.contains(installed), "{run}: {installed}");
    }
}
