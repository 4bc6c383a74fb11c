//! TLS: detecting encrypted connections, the handshake, and reloading the certificate while the program runs.
//!
//! Certificates themselves are in `certificate`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::certificate::{self, Files};
use super::{Tls, hostnames};
use crate::util::lock::Mutex;
use crate::util::state_dir::StateDir;

/// The first byte of a TLS connection: a handshake record (RFC 8446 section 5.1). No HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;

/// Timeout for the first byte of a connection, and again for the TLS handshake: several times what the slowest network
/// and device need.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Minimum interval between two checks of the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The certificate, reloaded when its files change.
pub struct Encryption {
    files: Files,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    checked_at: Instant,
    file_state: FileState,
}

impl Encryption {
    /// Loads or generates the configured certificate; `None` if TLS is off.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read or generated.
    pub fn open(config: &Tls, store: &StateDir) -> anyhow::Result<Option<Self>> {
        let files = match config {
            Tls::Off => return Ok(None),
            Tls::SelfSigned => {
                certificate::load_or_generate(store, &hostnames::local_hostnames(), &hostnames::addresses())?
            }
            Tls::Files { cert, key } => Files { cert: cert.clone(), key: key.clone() },
        };
        // Before the files are read: a change in between is noticed at the next check.
        let file_state = FileState::of(&files);
        let certificate = certificate::load(&files)?;
        tracing::info!("the certificate's SHA-256 fingerprint is {}", certificate.fingerprint);
        let current = Current { config: certificate.config, checked_at: Instant::now(), file_state };
        Ok(Some(Self { files, current: Mutex::new(current) }))
    }

    /// Checks that the configured certificate can be loaded, or could be generated; nothing is stored.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read.
    pub fn check(config: &Tls, store: &StateDir) -> anyhow::Result<()> {
        let files = match config {
            Tls::Off => None,
            // A damaged one would be replaced.
            Tls::SelfSigned => certificate::stored(store).map(|_| None)?,
            Tls::Files { cert, key } => Some(Files { cert: cert.clone(), key: key.clone() }),
        };
        files.map_or(Ok(()), |files| certificate::load(&files).map(drop))
    }

    /// Performs the TLS handshake.
    ///
    /// # Errors
    ///
    /// When the handshake fails or times out.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config(Instant::now()));
        timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await?
    }

    /// The TLS configuration for a new connection at `now`.
    fn config(&self, now: Instant) -> Arc<ServerConfig> {
        let mut current = self.current.lock();
        if now.saturating_duration_since(current.checked_at) >= POLL_INTERVAL {
            current.checked_at = now;
            let file_state = FileState::of(&self.files);
            if file_state != current.file_state {
                // Also if it cannot be loaded, so that this is logged once.
                current.file_state = file_state;
                match certificate::load(&self.files) {
                    Ok(new) => {
                        tracing::info!("loaded a new certificate; its SHA-256 fingerprint is {}", new.fingerprint);
                        current.config = new.config;
                    }
                    Err(error) => tracing::warn!("the certificate stays the old one: {error:#}"),
                }
            }
        }
        current.config.clone()
    }
}

/// Whether a connection starts with TLS.
///
/// # Errors
///
/// When no byte arrives in time.
pub async fn is_encrypted(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await??;
    Ok(read == 1 && first[0] == HANDSHAKE)
}

/// Modification times and sizes of the files; `None` for one that cannot be read.
#[derive(PartialEq, Eq)]
struct FileState([Option<(SystemTime, u64)>; 2]);

impl FileState {
    fn of(files: &Files) -> Self {
        let of = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len()))
        };
        Self([of(&files.cert), of(&files.key)])
    }
}
