//! Encrypted connections: which ones are, the certificate that they are made with, and its renewal while the program runs.
//!
//! Certificates themselves stand in `certificate`.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::certificate::{self, Files};
use super::{Tls, hostnames};
use crate::util::state_dir::Store;

/// The first byte of an encrypted connection: a handshake record (RFC 8446 section 5.1). No HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;

/// The time in which a connection has to say what it is, and again that in which it has to be encrypted: several times
/// what the slowest network and board need.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The least time from one look at the files to the next.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The certificate, kept up to date with its files.
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
    /// As the configuration wants it; `None` where nothing is encrypted.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read or made.
    pub fn open(config: &Tls, store: &Store) -> anyhow::Result<Option<Self>> {
        let files = match config {
            Tls::Off => return Ok(None),
            Tls::SelfSigned => {
                certificate::load_or_generate(store, &hostnames::local_hostnames(), &hostnames::addresses())?
            }
            Tls::Files { cert, key } => Files { cert: cert.clone(), key: key.clone() },
        };
        // Before the files are read: a change meanwhile is seen at the next look.
        let file_state = FileState::of(&files);
        let certificate = certificate::load(&files)?;
        tracing::info!("the certificate's SHA-256 fingerprint is {}", certificate.fingerprint);
        let current = Current { config: certificate.config, checked_at: Instant::now(), file_state };
        Ok(Some(Self { files, current: Mutex::new(current) }))
    }

    /// Encrypts a connection.
    ///
    /// # Errors
    ///
    /// When the client does not manage it, or not in time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config(Instant::now()));
        timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await?
    }

    /// What a new connection at `now` is made with.
    fn config(&self, now: Instant) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(current.checked_at) >= POLL_INTERVAL {
            current.checked_at = now;
            let file_state = FileState::of(&self.files);
            if file_state != current.file_state {
                // Also when it cannot be used, so that it is told once.
                current.file_state = file_state;
                match certificate::load(&self.files) {
                    Ok(new) => {
                        tracing::info!("a new certificate is used; its SHA-256 fingerprint is {}", new.fingerprint);
                        current.config = new.config;
                    }
                    Err(error) => tracing::warn!("the certificate stays the old one: {error:#}"),
                }
            }
        }
        current.config.clone()
    }
}

/// Whether a connection begins as an encrypted one.
///
/// # Errors
///
/// When it says nothing in time.
pub async fn is_encrypted(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await??;
    Ok(read == 1 && first[0] == HANDSHAKE)
}

/// When and how large the files are; what cannot be read is as if it were not there.
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
