//! The guest's file system: an initramfs of unpacked packages, the programs under test with their libraries, and the
//! files of a scenario. `machine` boots it.

use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::drivers;
use crate::packages::{Packages, run};

/// The pitch of the tone played to the sound card, in hertz: a whole number of periods in the repeated second, so that
/// the loop has no click, and well inside every codec's band.
pub const TONE_HZ: u32 = 1_000;

/// The tone's sample rate in hertz, equal to the microphone's, so that nothing is resampled.
const TONE_RATE: u32 = 48_000;

/// The tone's peak out of 32767: a quarter of full scale, loud but far from clipping.
const TONE_PEAK: f64 = 8_000.0;

/// Path of the driver v4l2loopback in the guest.
pub const LOOPBACK: &str = "/v4l2loopback.ko";

/// Path of the driver gpio-sim in the guest.
pub const GPIO: &str = "/gpio-sim.ko";

/// Path in Debian's package v4l-utils.
const V4L2_CTL: &str = "/usr/bin/v4l2-ctl";

/// The memory layout of a camera's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planes {
    /// All planes in one buffer, through the single-planar interface.
    Single,
    /// One buffer per plane, through the multi-planar interface.
    Multi,
}

/// The drivers that `init` and the scenarios load.
const MODULES: [&str; 5] = ["vivid", "snd-aloop", "virtio_pci", "virtio_net", "configfs"];

/// A root directory being built.
pub struct Guest {
    packages: Packages,
    root: tempfile::TempDir,
}

impl Guest {
    /// The minimal board: busybox, drivers, `aplay`/`arecord`, the tone and `init`; one single-planar camera.
    pub fn new() -> Guest {
        let store = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let root =
            tempfile::tempdir_in(store).unwrap_or_else(|e| panic!("create a directory in {}: {e}", store.display()));
        let guest = Guest { packages: Packages::unpack(), root };
        for directory in ["proc", "sys", "dev", "tmp"] {
            guest.create_dir(Path::new(directory));
        }
        guest.busybox();
        guest.modules();
        guest.program("aplay", &guest.packages.alsa_utils.join("usr/bin/aplay"));
        symlink("aplay", guest.path("bin/arecord")).expect("the guest's root should be writable");
        guest.alsa_configuration();
        guest.file("/tone.raw", tone());
        guest.script("/init", include_str!("init"));
        guest.script("/bin/play-tone", include_str!("play-tone"));
        guest.cameras(&[Planes::Single])
    }

    /// The board with porthole and its configuration, and v4l2-ctl to cross-check its cameras.
    pub fn with_porthole(configuration: &str) -> Guest {
        let guest = Guest::new();
        guest.program("porthole", Path::new(env!("CARGO_BIN_EXE_porthole")));
        guest.program("v4l2-ctl", Path::new(V4L2_CTL));
        // The observer does not authenticate.
        guest.file("/porthole.toml", format!("{configuration}\n[auth]\nmode = \"none\"\n"));
        guest
    }

    /// Adds the driver v4l2loopback, which `Board::plug_loopback` loads, and its footage.
    pub fn footage(self, frames: &[Vec<u8>]) -> Guest {
        self.driver(LOOPBACK, &drivers::v4l2loopback(&self.packages.release()));
        self.script("/bin/play-footage", include_str!("play-footage"));
        self.create_dir(Path::new("footage"));
        for (number, frame) in frames.iter().enumerate() {
            self.file(&format!("/footage/{number:03}"), frame);
        }
        self
    }

    /// Adds the driver gpio-sim, which `Board::plug_gpio` loads.
    pub fn gpio(self) -> Guest {
        self.driver(GPIO, &drivers::gpio_sim(&self.packages.release()));
        self
    }

    fn driver(&self, path: &str, built: &Path) {
        self.file(path, fs::read(built).expect("a built driver should be readable"));
    }

    /// Replaces the single camera with these, from /dev/video0 on: webcam-like capture devices (input type 0), and
    /// nothing else that vivid can emulate.
    pub fn cameras(self, cameras: &[Planes]) -> Guest {
        let each = |value: fn(usize, &Planes) -> String| {
            cameras.iter().enumerate().map(|(n, planes)| value(n, planes)).collect::<Vec<_>>().join(",")
        };
        let parameters = [
            ("n_devs", cameras.len().to_string()),
            ("node_types", each(|_, _| "0x1".to_owned())),
            ("num_inputs", each(|_, _| "1".to_owned())),
            ("input_types", each(|_, _| "0x0".to_owned())),
            ("vid_cap_nr", each(|n, _| n.to_string())),
            ("multiplanar", each(|_, planes| if *planes == Planes::Single { "1" } else { "2" }.to_owned())),
        ];
        self.file("/vivid", parameters.map(|(name, value)| format!("{name}={value}")).join(" "));
        self
    }

    /// Adds a program of the host as `/bin/name`, with its shared libraries.
    ///
    /// Debug information is stripped: it would take most of the guest's memory, and nothing reads it there.
    pub fn program(&self, name: &str, program: &Path) {
        run(Command::new("strip").arg("--strip-debug").arg("-o").arg(self.path("bin").join(name)).arg(program));
        for library in libraries(program) {
            self.copy(&library, &library);
        }
    }

    /// Adds a file at the guest's `path`.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::write(&path, content).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
    }

    fn script(&self, path: &str, content: &str) {
        self.file(path, content);
        fs::set_permissions(self.path(path), PermissionsExt::from_mode(0o755)).expect("a script should take a mode");
    }

    /// The kernel to boot.
    pub fn kernel(&self) -> PathBuf {
        self.packages.kernel.join("boot").join(format!("vmlinuz-{}", self.packages.release()))
    }

    /// Packs the root directory and returns the archive, which lives as long as this guest.
    ///
    /// It is not compressed: reading it from memory is cheaper than unpacking it on an emulated processor.
    pub fn initramfs(&self) -> PathBuf {
        let archive = self.root.path().with_extension("cpio");
        let out = File::create(&archive).unwrap_or_else(|e| panic!("create {}: {e}", archive.display()));
        let busybox = self.packages.busybox();
        let pack = format!("{0} find . | {0} cpio -o -H newc", busybox.display());
        let mut command = Command::new(&busybox);
        command.args(["sh", "-c", &pack]).current_dir(self.root.path()).stdout(out).stderr(Stdio::piped());
        run(&mut command);
        archive
    }

    fn busybox(&self) {
        self.copy(&self.packages.busybox(), Path::new("bin/busybox"));
        for applet in
            run(Command::new(self.packages.busybox()).arg("--list")).lines().filter(|applet| *applet != "busybox")
        {
            symlink("busybox", self.path("bin").join(applet)).expect("the guest's root should be writable");
        }
    }

    /// Copies the drivers, the modules they depend on, and `modprobe`'s lists.
    fn modules(&self) {
        let directory = Path::new("lib/modules").join(self.packages.release());
        let installed = self.packages.kernel.join(&directory);
        let list = installed.join("modules.dep");
        let list = fs::read_to_string(&list).unwrap_or_else(|e| panic!("read {}: {e}", list.display()));
        let mut wanted = BTreeSet::new();
        let mut lines = Vec::new();
        for module in MODULES {
            let file = format!("/{module}.ko");
            let found = list.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| path.ends_with(&file));
            let (path, needs) = found.unwrap_or_else(|| panic!("the kernel package has no module {module}"));
            wanted.insert(path);
            wanted.extend(needs.split_whitespace());
        }
        for line in list.lines() {
            if line.split_once(':').is_some_and(|(path, _)| wanted.contains(path)) {
                lines.push(line);
            }
        }
        for module in wanted {
            self.copy(&installed.join(module), &directory.join(module));
        }
        fs::write(self.path(&directory).join("modules.dep"), lines.join("\n") + "\n")
            .expect("the guest's root should be writable");
    }

    /// ALSA's library needs these files for its cards and conversions.
    fn alsa_configuration(&self) {
        let configuration = Path::new("/usr/share/alsa");
        for part in ["alsa.conf", "cards", "pcm"] {
            self.copy_tree(&configuration.join(part));
        }
    }

    fn copy_tree(&self, source: &Path) {
        if !source.is_dir() {
            return self.copy(source, source);
        }
        for entry in fs::read_dir(source).unwrap_or_else(|e| panic!("read {}: {e}", source.display())) {
            self.copy_tree(&entry.unwrap_or_else(|e| panic!("read {}: {e}", source.display())).path());
        }
    }

    /// Copies a host file to `target` in the guest, following links.
    fn copy(&self, source: &Path, target: &Path) {
        self.create_dir(target.parent().expect("a file should lie in a directory"));
        fs::copy(source, self.path(target)).unwrap_or_else(|e| panic!("copy {}: {e}", source.display()));
    }

    fn create_dir(&self, directory: &Path) {
        let path = self.path(directory);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("create {}: {e}", path.display()));
    }

    /// A guest path on the host.
    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.path().join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The directory removes itself; the archive is beside it and may not exist.
        let _ = fs::remove_file(self.root.path().with_extension("cpio"));
    }
}

/// A program's shared libraries, including the loader, from `ldd`: `libc.so.6 => /lib/.../libc.so.6 (0x7f..)` or
/// `/lib64/ld-linux-x86-64.so.2 (0x7f..)`.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = run(Command::new("ldd").arg(program));
    assert!(!output.contains("not found"), "{} needs a library that is not here:\n{output}", program.display());
    output.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// One second of the tone: 16-bit little-endian stereo samples.
fn tone() -> Vec<u8> {
    let sample = |n: u32| (TONE_PEAK * (TAU * f64::from(TONE_HZ) * f64::from(n) / f64::from(TONE_RATE)).sin()) as i16;
    (0..TONE_RATE).flat_map(|n| [sample(n), sample(n)]).flat_map(i16::to_le_bytes).collect()
}
