//! Runs a scenario in its own namespaces, such as those of the network and of processes, so that it needs no root, all
//! scenarios can use the same addresses, and nothing it started outlives it. What happens inside does not belong here.

// The inner run's output is shown as this run's.
#![allow(clippy::print_stdout)]

use std::any;
use std::env;
use std::process::Command;

/// Environment variable of the inner run.
const INSIDE: &str = "PORTHOLE_BOARD_INSIDE";

/// Runs `scenario` in its own namespaces by executing this test binary again, for the calling test alone, under
/// `unshare`. The calling test is the function that contains the closure `scenario`, as its type name shows; otherwise
/// the inner run would execute no test, which fails here.
///
/// The scenario runs as process 1 of its namespace: when it ends, the kernel kills whatever it left behind. A user
/// without root gets the rights to set up the network from a user namespace; root needs none, and may be in a container
/// or chroot without user namespaces.
#[allow(dead_code)]
pub fn isolated<S: FnOnce()>(scenario: S) {
    isolated_with::<S>(&["--net", "--pid"], scenario);
}

/// As [`isolated`], in namespaces of these kinds; `S` is the closure in the calling test.
pub fn isolated_with<S>(kinds: &[&str], scenario: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        return scenario();
    }
    // `board::scenarios::audio::name_of_the_test::{{closure}}`; the harness leaves out the crate.
    let mut name: Vec<&str> = any::type_name::<S>().split("::").skip(1).collect();
    name.pop();
    let program = env::current_exe().expect("a running program should know its path");
    let mut unshare = Command::new("unshare");
    // SAFETY: geteuid only reads the process's own user.
    if unsafe { libc::geteuid() } != 0 {
        unshare.arg("--map-root-user");
    }
    let output = unshare
        .args(kinds)
        .args(["--fork", "--kill-child", "--"])
        .arg(program)
        .args([name.join("::").as_str(), "--exact", "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (Debian package util-linux) should start");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{stdout}\n{stderr}");
    assert!(
        output.status.success() && stdout.contains("test result: ok. 1 passed"),
        "the scenario did not pass inside its namespaces ({}); its output is above",
        output.status
    );
}
