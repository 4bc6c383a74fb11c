//! The Debian packages of the board, unpacked below cargo's target directory and never installed. `guest` selects from
//! them; `.ci/install test` downloads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directories of the unpacked packages.
pub struct Packages {
    /// The kernel's image and modules, with the modules' dependency list.
    pub kernel: PathBuf,
    /// The guest's tools.
    busybox: PathBuf,
    /// `aplay` and `arecord`.
    pub alsa_utils: PathBuf,
}

impl Packages {
    /// Unpacks what is missing.
    pub fn unpack() -> Packages {
        let busybox = unpack("busybox-static_", |_| {});
        let alsa_utils = unpack("alsa-utils_", |_| {});
        let kernel = unpack("linux-image-", |root| {
            // A kernel that was never installed has no module dependency list.
            run(Command::new(busybox.join("bin/busybox")).arg("depmod").arg("-b").arg(root).arg(release(root)));
        });
        Packages { kernel, busybox, alsa_utils }
    }

    /// A statically linked busybox, for the guest and for preparing it.
    pub fn busybox(&self) -> PathBuf {
        self.busybox.join("bin/busybox")
    }

    /// The kernel's release, as `uname -r` prints it in the guest.
    pub fn release(&self) -> String {
        release(&self.kernel)
    }
}

/// Runs a command that must succeed; returns its output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap_or_else(|e| panic!("output of {command:?}: {e}"))
}

/// The download directory and the directory of unpacked packages.
pub fn store() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("board")
}

/// Unpacks the archive with this name prefix, completes it with `finish`, and returns its root.
fn unpack(name: &str, finish: impl FnOnce(&Path)) -> PathBuf {
    let archive = newest(name, |_| true);
    let root = store().join("unpacked").join(archive.file_stem().expect("an archive should have a name"));
    make_once(&root, |root| {
        run(Command::new("dpkg").arg("-x").arg(&archive).arg(root));
        finish(root);
    })
}

/// Creates the directory `root` with `make` if it does not exist.
///
/// It is built under another name and renamed when complete, so that interrupted and parallel runs never leave a
/// partial one.
pub fn make_once(root: &Path, make: impl FnOnce(&Path)) -> PathBuf {
    if root.exists() {
        return root.to_owned();
    }
    let beside = root.parent().expect("a path below the store should have a parent");
    fs::create_dir_all(beside).unwrap_or_else(|e| panic!("create {}: {e}", beside.display()));
    let growing =
        tempfile::tempdir_in(beside).unwrap_or_else(|e| panic!("create a directory in {}: {e}", beside.display()));
    make(growing.path());
    match fs::rename(growing.path(), root) {
        Err(e) if !root.exists() => panic!("rename to {}: {e}", root.display()),
        // This run or a parallel one has created the directory.
        _ => root.to_owned(),
    }
}

/// The newest archive with this name prefix that is `wanted`.
pub fn newest(name: &str, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let directory = store().join("packages");
    let entries = fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
    let archives = entries.filter(|entry| {
        let file = entry.file_name();
        let file = file.to_string_lossy();
        file.starts_with(name) && wanted(&file)
    });
    let newest = archives.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok());
    let newest = newest.unwrap_or_else(|| {
        panic!("no {name}*.deb in {}: run `make setup-test`, which downloads it", directory.display())
    });
    newest.path()
}

fn release(kernel: &Path) -> String {
    let modules = kernel.join("lib/modules");
    let mut releases = fs::read_dir(&modules).unwrap_or_else(|e| panic!("read {}: {e}", modules.display()));
    let release =
        releases.next().expect("a kernel package should have modules").expect("its directory should be readable");
    release.file_name().into_string().expect("a kernel's release should be ASCII")
}
