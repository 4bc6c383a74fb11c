//! The state directory: small files that persist across restarts, such as passwords and certificates. They are read and
//! written as a whole, and only their owner may read them.
//!
//! The content of the files belongs to the modules that keep them.

mod damaged;

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, anyhow};
use rustix::fs::{Access, FlockOperation};

/// The file that is locked while another one is changed.
const LOCK: &str = "lock";

/// The largest file that is read: far larger than any that is written here, and small enough for the memory of any board.
const MAX_FILE: u64 = 8 << 20;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no state directory.
    #[error("{0:#}")]
    NoDirectory(anyhow::Error),
    /// The system refuses it.
    #[error("read {}: {error}; the file has to belong to the user that runs porthole", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

impl ReadError {
    /// Whether the file itself is at fault, and not who may read it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Failed { error, .. } if error.kind() != io::ErrorKind::PermissionDenied)
    }
}

/// The state directory, or another directory whose files are handled in the same way; a cheap handle.
#[derive(Debug, Clone)]
pub struct StateDir {
    directory: Option<Arc<Path>>,
    /// Its name in messages, and the configuration key that changes it.
    called: &'static str,
    setting: &'static str,
}

impl StateDir {
    /// The configured directory; without one the service's own (`$STATE_DIRECTORY`, systemd.exec(5)), and without that
    /// the user's (`$XDG_STATE_HOME/porthole` or `~/.local/state/porthole`). It is created by the first write.
    pub fn open(configured: Option<&Path>) -> Self {
        let directory = directory(configured, |name| env::var_os(name)).map(Arc::from);
        Self { directory, called: "state directory", setting: "[state] directory" }
    }

    /// Another directory; `called` and `setting` are used in messages.
    pub fn at(directory: &Path, called: &'static str, setting: &'static str) -> Self {
        Self { directory: Some(directory.into()), called, setting }
    }

    /// The directory's path.
    ///
    /// # Errors
    ///
    /// When no directory is known.
    pub fn directory(&self) -> anyhow::Result<&Path> {
        self.directory.as_deref().ok_or_else(|| {
            anyhow!("no state directory: neither HOME nor STATE_DIRECTORY is set; set [state] directory in the configuration")
        })
    }

    /// The path of a file.
    ///
    /// # Errors
    ///
    /// When no directory is known.
    pub fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        Ok(self.directory()?.join(name))
    }

    /// Creates the directory, accessible only to its owner, if it is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(&self) -> anyhow::Result<&Path> {
        let directory = self.directory()?;
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            anyhow!(
                "make the {} {}: {error}; set {} to a place that can be written",
                self.called,
                directory.display(),
                self.setting
            )
        })?;
        Ok(directory)
    }

    /// Checks that files could be written, also if the directory still has to be created; nothing is changed.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_writable(&self) -> anyhow::Result<()> {
        let directory = self.directory()?;
        // The nearest one that exists is where the others would be created.
        let found = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
        let wrong = if found.is_dir() {
            let access = Access::WRITE_OK | Access::EXEC_OK;
            rustix::fs::access(found, access).err().map(|error| io::Error::from(error).to_string())
        } else {
            Some(format!("{} is no directory", found.display()))
        };
        wrong.map_or(Ok(()), |wrong| {
            let (called, setting) = (self.called, self.setting);
            Err(anyhow!(
                "write to the {called} {}: {wrong}; set {setting} to a place where the user that runs porthole may write",
                directory.display()
            ))
        })
    }

    /// The content of a file; `None` when it does not exist.
    ///
    /// # Errors
    ///
    /// When it exists and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let path = self.path(name).map_err(ReadError::NoDirectory)?;
        match read_bounded(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadError::Failed { path, error }),
        }
    }

    /// Replaces a file atomically: a reader, and a machine that loses power, sees either the old content or the new one.
    /// Only the owner may read it; for files written by root that is the directory's owner.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = self.create()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temporary = directory.join(temporary_name(name, number));
        let written = replace(directory, &temporary, &directory.join(name), bytes);
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.with_context(|| {
            format!("write {}; is there space, and may this user write there", directory.join(name).display())
        })
    }

    /// Removes the temporary files of writes that a power cut or a kill has interrupted. Those of writes in progress, also
    /// of other processes, are locked and stay.
    pub fn remove_leftovers(&self) {
        // Without the directory nothing was ever written.
        let Some(entries) = self.directory.as_deref().and_then(|directory| fs::read_dir(directory).ok()) else {
            return;
        };
        for entry in entries.flatten() {
            if !entry.file_name().to_str().is_some_and(is_temporary_name) {
                continue;
            }
            match remove_unlocked(&entry.path()) {
                Ok(true) => tracing::info!("removed {}, which an interrupted write had left", entry.path().display()),
                Ok(false) => {}
                Err(error) => tracing::warn!("remove {}: {error}", entry.path().display()),
            }
        }
    }

    /// Locks the directory against other processes and threads until the result is dropped; blocks until the lock is free.
    /// A read-modify-write of a file has to hold it.
    ///
    /// # Errors
    ///
    /// When the lock file cannot be opened or locked.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.create()?.join(LOCK);
        let locked = || {
            let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path)?;
            chown_to_directory_owner(&file, path.parent())?;
            rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
            io::Result::Ok(Lock(file))
        };
        locked().map_err(|error| {
            anyhow!("lock {}: {error}; the file has to belong to the user that runs porthole", path.display())
        })
    }

    /// Detects a change of a file without reading it; `None` when the file does not exist.
    pub fn fingerprint(&self, name: &str) -> Option<Fingerprint> {
        let file = fs::metadata(self.path(name).ok()?).ok()?;
        Some(Fingerprint { inode: file.ino(), size: file.size(), changed: (file.mtime(), file.mtime_nsec()) })
    }
}

/// The held lock; see [`StateDir::lock`].
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

/// What changes with a file's content; see [`StateDir::fingerprint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    Ok(bytes)
}

fn directory(configured: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path would depend on the working directory.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd separates the service's directories by colons.
    let service = || {
        let all = variable("STATE_DIRECTORY")?;
        let first = all.as_bytes().split(|byte| *byte == b':').next().filter(|first| !first.is_empty())?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(first)))
    };
    configured
        .map(Path::to_path_buf)
        .or_else(service)
        .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("porthole")))
        .or_else(|| Some(absolute("HOME")?.join(".local/state/porthole")))
}

/// The temporary name of a file while it is written, unique in this process.
fn temporary_name(name: &str, number: u32) -> String {
    format!(".{name}.{}-{number}", std::process::id())
}

/// Whether it is a [`temporary_name`] of any process.
fn is_temporary_name(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let written = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    written.is_some_and(|(name, suffix)| {
        !name.is_empty() && suffix.split_once('-').is_some_and(|(process, number)| digits(process) && digits(number))
    })
}

/// Removes a file unless it is locked; whether it did.
fn remove_unlocked(path: &Path) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => fs::remove_file(path).map(|()| true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Creates a temporary file and locks it, so that it is not taken for a leftover.
fn create_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
        // Another process may have removed it before it was locked.
        match fs::metadata(path) {
            Ok(named) if named.ino() == file.metadata()?.ino() => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
}

fn replace(directory: &Path, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_locked(temporary)?;
    chown_to_directory_owner(&file, Some(directory))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    // The file's name is part of the directory, which is synced separately.
    File::open(directory)?.sync_all()
}

/// Makes the directory's owner the owner of a file that root creates, so that the service can read it.
fn chown_to_directory_owner(file: &File, directory: Option<&Path>) -> io::Result<()> {
    let Some(directory) = directory.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let owner = fs::metadata(directory)?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests;
