//! The command `ctl`: sends one control request, or a sound file, to the running porthole, and prints the result.
//!
//! The messages belong to `model::protocol`.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::model::protocol::shell;
use crate::pipeline::speaker::MAX_FILE_BYTES;
use crate::server::dispatch::unix_socket;

/// The runtime directory of the service, for a shell without the service's environment.
const SERVICE_DIR: &str = "/run/porthole";

/// How long a reply may take: reopening a camera takes some seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a request for `method` and prints its result. For `say`, `params` is the sound file.
///
/// # Errors
///
/// When porthole is not running, or the request fails.
pub fn run(out: &mut impl Write, state: Option<&Path>, method: &str, params: Option<&str>) -> anyhow::Result<()> {
    let request = match (method, params) {
        (shell::SAY, Some(file)) => {
            let sound = read_sound(file)?;
            [shell::say_line(sound.len()).into_bytes(), sound].concat()
        }
        (shell::SAY, None) => return Err(anyhow!("which file? `porthole ctl say FILE`, or - for standard input")),
        _ => shell::line(method, params).map_err(|error| anyhow!(error))?.into_bytes(),
    };
    let stream = connect(state)?;
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    let sent = (&stream).write_all(&request).context("send the request");
    let mut answer = String::new();
    let read = BufReader::new(&stream).read_line(&mut answer);
    if answer.is_empty() {
        // A file that is refused need not be read to its end, so an answer says more.
        sent?;
    }
    read.context("read the answer")?;
    match shell::outcome(&answer).map_err(|error| anyhow!(error))? {
        Ok(result) => writeln!(out, "{result}").context("write to standard output"),
        Err(error) => Err(anyhow!(error)),
    }
}

/// The bytes of a sound file, or of standard input if it is `-`.
fn read_sound(file: &str) -> anyhow::Result<Vec<u8>> {
    let name = if file == "-" { "standard input" } else { file };
    let mut sound = Vec::new();
    // One byte above the limit, so that a longer file is detected.
    let most = MAX_FILE_BYTES as u64 + 1;
    let read = match file {
        "-" => io::stdin().lock().take(most).read_to_end(&mut sound),
        path => File::open(path).and_then(|file| file.take(most).read_to_end(&mut sound)),
    };
    read.with_context(|| name.to_owned())?;
    anyhow::ensure!(sound.len() <= MAX_FILE_BYTES, "{name}: longer than {} MiB", MAX_FILE_BYTES / 1024 / 1024);
    Ok(sound)
}

/// Connects to the first socket that accepts.
fn connect(state: Option<&Path>) -> anyhow::Result<UnixStream> {
    let service = Path::new(SERVICE_DIR).join(unix_socket::NAME);
    let paths: Vec<PathBuf> = unix_socket::path(state).into_iter().chain([service]).collect();
    let mut failed = None;
    for path in &paths {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            // "Permission denied" says more than "not found".
            Err(error) if failed.is_none() || error.kind() == io::ErrorKind::PermissionDenied => {
                failed = Some((path, error));
            }
            Err(_) => {}
        }
    }
    Err(match failed {
        Some((path, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            anyhow!("{}: {error}; be its owner or root (sudo)", path.display())
        }
        Some((path, error)) => {
            anyhow!("{}: {error}; is porthole running, and is this its [state] directory (--state)?", path.display())
        }
        None => anyhow!("no socket: neither HOME nor RUNTIME_DIRECTORY is set; name the state directory with --state"),
    })
}
