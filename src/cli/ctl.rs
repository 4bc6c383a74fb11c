//! The command `ctl`: sends one control request to the running porthole, and prints the result.
//!
//! The messages belong to `model::protocol`.

use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::model::protocol::shell;
use crate::server::dispatch::unix_socket;

/// The runtime directory of the service, for a shell without the service's environment.
const SERVICE_DIR: &str = "/run/porthole";

/// How long a reply may take: reopening a camera takes some seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends a request for `method` and prints its result.
///
/// # Errors
///
/// When porthole is not running, or the request fails.
pub fn run(out: &mut impl Write, state: Option<&Path>, method: &str, params: Option<&str>) -> anyhow::Result<()> {
    let line = shell::line(method, params).map_err(|error| anyhow!(error))?;
    let stream = connect(state)?;
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    (&stream).write_all(line.as_bytes()).context("send the request")?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).context("read the answer")?;
    match shell::outcome(&answer).map_err(|error| anyhow!(error))? {
        Ok(result) => writeln!(out, "{result}").context("write to standard output"),
        Err(error) => Err(anyhow!(error)),
    }
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
