//! The control socket for shells on the device: one request per line, one reply per line; or a sound file after a line that says
//! how long it is. Whoever can open it is an operator.
//!
//! The client, `porthole ctl`, is in `cli`.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Caller, Dispatcher};
use crate::model::protocol::{Code, Error, limits, shell};
use crate::pipeline::speaker::MAX_FILE_BYTES;

/// The socket's file name.
pub const NAME: &str = "control.sock";

/// Maximum number of connections: a few scripts. Further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 8;

/// Idle timeout of a connection: longer than a script pauses, and an end for one that was forgotten.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause after a failed accept, when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Path of the socket: in `$RUNTIME_DIRECTORY` (systemd.exec(5)) if set, otherwise in the state directory.
pub fn path(state: Option<&Path>) -> Option<PathBuf> {
    let runtime = env::var_os("RUNTIME_DIRECTORY");
    // systemd lists all of the service's directories, separated by colons.
    let first = runtime.as_ref().and_then(|all| all.as_bytes().split(|byte| *byte == b':').next());
    let runtime = first.map(|first| Path::new(OsStr::from_bytes(first))).filter(|path| path.is_absolute());
    runtime.or(state).map(|directory| directory.join(NAME))
}

/// The open socket; closed and removed when this drops.
pub struct Guard {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens the socket and serves requests on it.
///
/// # Errors
///
/// When it cannot be opened, or another program is serving it.
pub fn open(path: PathBuf, dispatcher: Dispatcher) -> anyhow::Result<Guard> {
    let shown = path.display();
    if Blocking::connect(&path).is_ok() {
        anyhow::bail!("{shown}: another porthole answers there; give this one its own [state] directory");
    }
    remove_leftovers(&path);
    // Bound under a temporary name until its permissions are set, then renamed; this also replaces a stale socket.
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let bound = || {
        let _ = fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary)?;
        fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
        fs::rename(&temporary, &path)?;
        io::Result::Ok(listener)
    };
    let listener = bound().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    });
    let listener = listener.with_context(|| format!("open the socket {shown}"))?;
    let task = tokio::spawn(accept(listener, dispatcher));
    Ok(Guard { path, task })
}

/// Removes sockets that a start has left under their temporary names when it was interrupted.
fn remove_leftovers(path: &Path) {
    let Some(entries) = path.parent().and_then(|directory| fs::read_dir(directory).ok()) else { return };
    let temporary = |other: &Path| {
        let process = other.with_extension("");
        process.extension().and_then(OsStr::to_str).is_some_and(|process| process.parse::<u32>().is_ok())
            && other.extension() == Some(OsStr::new("new"))
            && process.file_stem() == path.file_stem()
    };
    for other in entries.flatten().map(|entry| entry.path()).filter(|other| temporary(other)) {
        // One that answers is that of a start in progress.
        if Blocking::connect(&other).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = fs::remove_file(&other);
        }
    }
}

async fn accept(listener: UnixListener, dispatcher: Dispatcher) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let dispatcher = dispatcher.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &dispatcher).await {
                        tracing::debug!("control socket: {error}");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("accept on the control socket: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers line by line until the client closes its side.
async fn serve(stream: UnixStream, dispatcher: &Dispatcher) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        // One byte above the limit, so that an overlong line is detected.
        let mut limited = (&mut read).take(limits::MAX_MESSAGE_LEN as u64 + 2);
        if timeout(IDLE_TIMEOUT, limited.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        // The rest of an overlong line follows.
        let mut goes_on = line.last() == Some(&b'\n');
        let line = line.trim_ascii_end();
        let mut reply = match shell::said_bytes(line).filter(|_| goes_on) {
            Some(bytes) => {
                let said = say(&mut read, bytes, dispatcher).await?;
                // The file of one that was refused follows.
                goes_on = said.is_ok();
                shell::said(&said)
            }
            None => dispatcher.handle_message(&Caller::shell(), line).await.0,
        };
        reply.push('\n');
        timeout(IDLE_TIMEOUT, write.write_all(reply.as_bytes())).await??;
        if !goes_on {
            return Ok(());
        }
    }
}

/// Reads a sound file of so many bytes, and announces it.
async fn say(
    read: &mut (impl AsyncRead + Unpin),
    bytes: usize,
    dispatcher: &Dispatcher,
) -> io::Result<Result<Duration, Error>> {
    if bytes > MAX_FILE_BYTES {
        let message = format!("the file is longer than {} MiB", MAX_FILE_BYTES / 1024 / 1024);
        return Ok(Err(Error::new(Code::Params, message)));
    }
    let _permit = match dispatcher.admit_announcement() {
        Ok(permit) => permit,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut file = vec![0; bytes];
    timeout(IDLE_TIMEOUT, read.read_exact(&mut file)).await??;
    Ok(dispatcher.announce(&Caller::shell(), file.into()).await.map_err(Error::from))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Blocking;

    use super::*;

    #[test]
    fn sockets_of_interrupted_starts_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let there = |name: &str| folder.path().join(name);
        for name in ["control.4194304.new", "control.1.new", "control.x.new", "other.1.new"] {
            drop(Blocking::bind(there(name)).unwrap());
        }
        let _starting = Blocking::bind(there("control.2.new")).unwrap();
        fs::write(there("control.3.new"), "").unwrap();
        remove_leftovers(&there(NAME));
        assert!(!there("control.4194304.new").exists() && !there("control.1.new").exists());
        assert!(["control.2.new", "control.x.new", "other.1.new"].iter().all(|name| there(name).exists()));
    }
}
