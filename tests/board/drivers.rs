//! Drivers that Debian ships as source only, built for the board's kernel once, below cargo's target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages::{make_once, newest, run, store};

/// A camera that shows what a program writes into it, compressed video too.
pub fn v4l2loopback(release: &str) -> PathBuf {
    build("v4l2loopback", release, |root| {
        run(Command::new("dpkg").arg("-x").arg(newest("v4l2loopback-dkms_", |_| true)).arg(root));
        let source = fs::read_dir(root.join("usr/src")).into_iter().flatten().filter_map(Result::ok);
        let source = source.map(|entry| entry.path()).filter(|path| path.join("v4l2loopback.c").exists()).last();
        source.expect("the package should hold the source")
    })
}

/// A GPIO chip whose pins are read and driven through sysfs (`Documentation/admin-guide/gpio/gpio-sim.rst`). It needs
/// simulated interrupts, which Debian's kernel lacks as well: both are built into one driver.
pub fn gpio_sim(release: &str) -> PathBuf {
    build("gpio-sim", release, |root| {
        run(Command::new("dpkg").arg("-x").arg(newest("linux-source-", |_| true)).arg(root));
        let archives = fs::read_dir(root.join("usr/src")).into_iter().flatten().filter_map(Result::ok);
        let archive = archives.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(".tar.xz"));
        let source = root.join("gpio-sim");
        fs::create_dir(&source).expect("the directory should be writable");
        let parts = ["drivers/gpio/gpio-sim.c", "drivers/gpio/gpiolib.h", "kernel/irq/irq_sim.c"];
        let unpack = ["--wildcards", "--strip-components=1", "-xf"];
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(root).args(unpack).arg(archive.expect("the package should hold an archive"));
        run(tar.args(parts.map(|part| format!("*/{part}"))));
        for part in parts {
            let file = Path::new(part).file_name().expect("a part should be a file");
            fs::rename(root.join(part), source.join(file)).expect("the source should be there");
        }
        // Modules cannot access interrupt descriptors; this does the same for an interrupt by its number.
        let simulation = source.join("irq_sim.c");
        let text = fs::read_to_string(&simulation).expect("the source should be readable");
        let ours = text.replace("handle_simple_irq(irq_to_desc(irqnum))", "generic_handle_irq(irqnum)");
        fs::write(&simulation, ours).expect("the source should be writable");
        // The module may not have the name of one of its parts.
        fs::rename(source.join("gpio-sim.c"), source.join("chip.c")).expect("the source should be there");
        fs::write(source.join("Makefile"), "obj-m := gpio-sim.o\ngpio-sim-y := chip.o irq_sim.o\n")
            .expect("the directory should be writable");
        source
    })
}

/// The driver `name`, built from what `source` unpacks below the directory that it is given.
fn build(name: &str, release: &str, source: impl FnOnce(&Path) -> PathBuf) -> PathBuf {
    let file = format!("{name}.ko");
    let built = make_once(&store().join("built").join(format!("{name}-{release}")), |root| {
        let work = root.join("work");
        fs::create_dir(&work).expect("a new directory should be writable");
        // This kernel's headers, those shared between flavours, and the build tools.
        for package in [&*format!("linux-headers-{release}_"), "linux-headers-", "linux-kbuild-"] {
            let archive = newest(package, |name| package != "linux-headers-" || name.contains("-common_"));
            run(Command::new("dpkg").arg("-x").arg(archive).arg(&work));
        }
        let sources = work.join("usr/src");
        let headers = sources.join(format!("linux-headers-{release}"));
        // It refers to the shared headers by their installed path.
        let makefile = headers.join("Makefile");
        let text = fs::read_to_string(&makefile).unwrap_or_else(|e| panic!("read {}: {e}", makefile.display()));
        fs::write(&makefile, text.replace("/usr/src", &sources.display().to_string()))
            .unwrap_or_else(|e| panic!("write {}: {e}", makefile.display()));
        let source = source(&work);
        run(Command::new("make").arg("-C").arg(headers).arg(format!("M={}", source.display())).arg("modules"));
        fs::rename(source.join(&file), root.join(&file)).expect("the driver should have been built");
        fs::remove_dir_all(work).expect("what was unpacked should go away");
    });
    built.join(file)
}
