//! The guest's file system: an initramfs of the unpacked packages, the programs under test with the libraries they need,
//! and the files a scenario adds. Booting it is `machine`'s business.

use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::drivers;
use crate::packages::{Packages, run};

/// The pitch of the tone that the sound card hears, in hertz: a whole number of periods in the second that is repeated,
/// so that the repetition is not heard, and well inside every codec's band.
pub const TONE_HZ: u32 = 1_000;

/// The tone's sample rate, in hertz: the one that the microphone is captured at, so that nothing converts.
const TONE_RATE: u32 = 48_000;

/// The tone's peak, of 32767: a quarter of full scale, loud but far from clipping.
const TONE_PEAK: f64 = 8_000.0;

/// Where the guest keeps the driver v4l2loopback.
pub const LOOPBACK: &str = "/v4l2loopback.ko";

/// Where the guest keeps the driver gpio-sim.
pub const GPIO: &str = "/gpio-sim.ko";

/// Where Debian's package v4l-utils puts it.
const V4L2_CTL: &str = "/usr/bin/v4l2-ctl";

/// How a camera hands out the planes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planes {
    /// All in one buffer, through the single-planar interface.
    Single,
    /// A buffer each, through the multi-planar interface.
    Multi,
}

/// The drivers that `init` loads, and what those of scenarios need.
const MODULES: [&str; 5] = ["vivid", "snd-aloop", "virtio_pci", "virtio_net", "configfs"];

/// A root directory in the making.
pub struct Guest {
    packages: Packages,
    root: tempfile::TempDir,
}

impl Guest {
    /// The bare board: busybox, drivers, `aplay`/`arecord`, the tone and `init`; one single-planar camera.
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

    /// The board that porthole runs on, with its configuration and with v4l2-ctl as the second opinion on its cameras.
    pub fn with_porthole(configuration: &str) -> Guest {
        let guest = Guest::new();
        guest.program("porthole", Path::new(env!("CARGO_BIN_EXE_porthole")));
        guest.program("v4l2-ctl", Path::new(V4L2_CTL));
        // The eyewitness signs in nowhere.
        guest.file("/porthole.toml", format!("{configuration}\n[auth]\nmode = \"none\"\n"));
        guest
    }

    /// Adds the driver v4l2loopback, which `Board::plug_loopback` loads, and the pictures that its camera gives.
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

    /// Takes these cameras, /dev/video0 and upwards, instead of the one: webcam-like capture devices (input type 0), and
    /// nothing else of what vivid can emulate.
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

    /// Adds a program of the machine that runs the test as `/bin/name`, with the shared libraries it is linked to.
    ///
    /// Its debug information stays behind: it would be most of the guest's memory, and nothing in there reads it.
    pub fn program(&self, name: &str, program: &Path) {
        run(Command::new("strip").arg("--strip-debug").arg("-o").arg(self.path("bin").join(name)).arg(program));
        for library in libraries(program) {
            self.copy(&library, &library);
        }
    }

    /// Adds a file; `path` is the guest's.
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

    /// Packs the root directory, and returns the archive; it lasts as long as this guest.
    ///
    /// It is not compressed: reading it from the emulator's memory is cheaper than unpacking it on an emulated processor.
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

    /// Copies the drivers, the modules they need, and the lists that `modprobe` reads.
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

    /// ALSA's library finds its cards and its conversions by these files.
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

    /// Copies a file of this machine to `target` in the guest, following links.
    fn copy(&self, source: &Path, target: &Path) {
        self.create_dir(target.parent().expect("a file should lie in a directory"));
        fs::copy(source, self.path(target)).unwrap_or_else(|e| panic!("copy {}: {e}", source.display()));
    }

    fn create_dir(&self, directory: &Path) {
        let path = self.path(directory);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("create {}: {e}", path.display()));
    }

    /// A path of the guest, on this machine.
    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.path().join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The directory removes itself; the archive lies beside it, and may never have been made.
        let _ = fs::remove_file(self.root.path().with_extension("cpio"));
    }
}

/// The shared libraries of a program, the loader among them, by `ldd`: `libc.so.6 => /lib/.../libc.so.6 (0x7f..)` or
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
