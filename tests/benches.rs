//! The parts of benchmarks and soak that are Python and judge or compute, on made-up measurements: the soak's judgement of
//! growth, its report, and the table of other servers.
//!
//! The measurements themselves take minutes or hours: `make soak`, `make bench-peers`.

use std::path::Path;
use std::process::Command;

#[track_caller]
fn passes(folder: &str, tests: u32) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(folder);
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-m", "unittest", "discover", "--pattern", "test_*.py"]).current_dir(folder);
    let output = python.env("PYTHONDONTWRITEBYTECODE", "1").output().expect("python3 should start");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains(&format!("Ran {tests} tests")), "{printed}");
}

#[test]
fn the_soak_finds_growth_and_does_not_take_noise_for_it() {
    passes("soak", 13);
}

#[test]
fn the_table_of_other_servers_is_right_about_made_up_measurements() {
    passes("peers", 9);
}
