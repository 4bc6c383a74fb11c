//! Refuses to build where the result would be slow in silence.
//!
//! Generating code does not belong here.

use std::env;
use std::process::{Command, Stdio, exit};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo does not see programs come and go; the search path is the nearest that it can watch.
    println!("cargo::rerun-if-env-changed=PATH");

    // On other processors the encoder's and the JPEG decoder's assembly needs no more than the C compiler.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(arch.as_str(), "x86" | "x86_64") {
        return;
    }
    let nasm = Command::new("nasm").arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if nasm.is_ok_and(|status| status.success()) {
        return;
    }
    for line in [
        "nasm is not in PATH: the H.264 encoder and the JPEG decoder would leave out their assembly, and encoding \
         would take 2.5 times as long",
        "install it (Debian, Ubuntu, Raspberry Pi OS: apt install nasm; Fedora: dnf install nasm), then rebuild what was \
         built without it: cargo clean -p openh264-sys2 -p turbojpeg-sys",
    ] {
        println!("cargo::error={line}");
    }
    exit(1);
}
