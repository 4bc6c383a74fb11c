//! Certificates: generated and stored by us, or read from PEM files, with errors that explain what is wrong.
//!
//! Reloading and the TLS handshake are in `tls`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, crypto};

use crate::util::state_dir::StateDir;

/// File names of the generated certificate in the state directory.
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Start of the validity period. Apple's systems reject certificates that begin after June 2019 and are valid for more
/// than 825 days, and the device may have no clock by which to renew one.
const VALID_FROM: (i32, u8, u8) = (2019, 1, 1);

/// End of the validity period: the last year that UTCTime can express (RFC 5280 section 4.1.2.5).
const VALID_UNTIL: (i32, u8, u8) = (2049, 12, 31);

/// Maximum file size, larger than any chain or key.
const MAX_FILE: u64 = 1024 * 1024;

/// Paths of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate and its intermediate certificates.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The stored self-signed certificate, if there is one.
///
/// # Errors
///
/// When it cannot be read.
pub fn stored(store: &StateDir) -> anyhow::Result<Option<Files>> {
    let files = Files { cert: store.path(CERTIFICATE)?, key: store.path(KEY)? };
    let complete = store.read(CERTIFICATE)?.is_some() && store.read(KEY)?.is_some();
    Ok(complete.then_some(files))
}

/// The stored self-signed certificate; generated for these names and addresses if there is none, or a damaged one.
///
/// # Errors
///
/// When it can neither be read nor generated.
pub fn load_or_generate(store: &StateDir, names: &[String], addresses: &[IpAddr]) -> anyhow::Result<Files> {
    if let Some(files) = stored(store)? {
        let Err(error) = load(&files) else { return Ok(files) };
        let _lock = store.lock()?;
        let (cert, key) = (store.set_aside(CERTIFICATE)?, store.set_aside(KEY)?);
        tracing::error!(
            "the self-signed certificate was damaged; it is now called {cert} and {key}, and browsers have to accept another \
             one: {error:#}"
        );
    }
    let (cert, key) = generate(names, addresses).context("generate a certificate")?;
    store.write(KEY, key.as_bytes())?;
    store.write(CERTIFICATE, cert.as_bytes())?;
    tracing::info!("generated a certificate for {}", names.join(", "));
    Ok(Files { cert: store.path(CERTIFICATE)?, key: store.path(KEY)? })
}

/// Generates a self-signed certificate and its key in PEM.
fn generate(names: &[String], addresses: &[IpAddr]) -> anyhow::Result<(String, String)> {
    let mut params = CertificateParams::default();
    // A host name that a certificate cannot contain is skipped; there are others.
    let dns = names.iter().filter_map(|name| Some(SanType::DnsName(name.as_str().try_into().ok()?)));
    params.subject_alt_names = dns.chain(addresses.iter().map(|ip| SanType::IpAddress(*ip))).collect();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("porthole", String::as_str));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let date = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
    (params.not_before, params.not_after) = (date(VALID_FROM), date(VALID_UNTIL));
    // The curve that every browser supports.
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A loaded certificate and its fingerprint.
pub struct Certificate {
    /// The TLS configuration.
    pub config: Arc<ServerConfig>,
    /// SHA-256 fingerprint, as browsers display it.
    pub fingerprint: String,
}

/// Loads a certificate with its chain, and its key.
///
/// # Errors
///
/// When a file is missing or not PEM, or certificate and key do not belong together.
pub fn load(files: &Files) -> anyhow::Result<Certificate> {
    let Files { cert, key } = files;
    let text = read(cert)?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| not_pem(cert, &error))?;
    let Some(first) = chain.first() else {
        bail!("{}: no certificate in it; it has to be PEM (-----BEGIN CERTIFICATE-----)", cert.display())
    };
    let fingerprint = fingerprint(first);
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            anyhow!("{}: no private key in it; it has to be PEM (-----BEGIN PRIVATE KEY-----)", key.display())
        }
        error => not_pem(key, &error),
    })?;
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| unusable(files, &error))?;
    let mut config = config;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificate { config: Arc::new(config), fingerprint })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| anyhow!("read {name}: {error}; check the path and who may read it"))?
        .len();
    if size > MAX_FILE {
        bail!("{name}: {size} bytes are no certificate or key in PEM");
    }
    std::fs::read(path).map_err(|error| anyhow!("read {name}: {error}; check the path and who may read it"))
}

fn not_pem(path: &Path, error: &pem::Error) -> anyhow::Error {
    anyhow!("{}: damaged PEM ({error}); write the file again", path.display())
}

fn unusable(files: &Files, error: &rustls::Error) -> anyhow::Error {
    let (cert, key) = (files.cert.display(), files.key.display());
    match error {
        rustls::Error::InconsistentKeys(_) => {
            anyhow!("the key in {key} is not that of the certificate in {cert}; both have to be of one pair")
        }
        error => anyhow!("the certificate in {cert} and the key in {key} cannot be used: {error}"),
    }
}

/// Hexadecimal bytes separated by colons, as browsers and openssl display them.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn error(files: &Files) -> String {
        load(files).err().expect("should not be taken").to_string()
    }

    #[test]
    fn self_signed_certificate_is_generated_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateDir::open(Some(folder.path()));
        let names = ["porthole-board", "localhost", "größe"].map(String::from);
        let addresses = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
        let files = load_or_generate(&store, &names, &addresses).unwrap();
        let first = load(&files).unwrap().fingerprint;
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(load(&load_or_generate(&store, &[], &[]).unwrap()).unwrap().fingerprint, first);
        std::fs::write(&files.key, "damaged").unwrap();
        let second = load(&load_or_generate(&store, &names, &addresses).unwrap()).unwrap().fingerprint;
        assert_ne!(second, first);
        assert_eq!(store.set_aside_files(), ["cert.pem.damaged-1", "key.pem.damaged-1"]);
        std::fs::remove_file(&files.key).unwrap();
        assert_ne!(load(&load_or_generate(&store, &names, &addresses).unwrap()).unwrap().fingerprint, first);
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = generate(&["a".into()], &[]).unwrap();
        let (_, other) = generate(&["b".into()], &[]).unwrap();
        let good =
            Files { cert: written(folder.path(), "cert.pem", &cert), key: written(folder.path(), "key.pem", &key) };
        assert!(load(&good).is_ok());
        let absent = Files { cert: folder.path().join("absent.pem"), ..good.clone() };
        assert!(error(&absent).contains("absent.pem: No such file"), "{}", error(&absent));
        let swapped = Files { cert: good.key.clone(), key: good.cert.clone() };
        assert!(error(&swapped).contains("key.pem: no certificate in it"), "{}", error(&swapped));
        let keyless = Files { key: good.cert.clone(), ..good.clone() };
        assert!(error(&keyless).contains("cert.pem: no private key in it"), "{}", error(&keyless));
        let foreign = Files { key: written(folder.path(), "other.pem", &other), ..good.clone() };
        assert!(error(&foreign).contains("not that of the certificate"), "{}", error(&foreign));
        let cut = Files { cert: written(folder.path(), "cut.pem", &cert[..200]), ..good.clone() };
        assert!(error(&cut).contains("cut.pem: damaged PEM"), "{}", error(&cut));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let nonsense = Files { cert: written(folder.path(), "nonsense.pem", nonsense), ..good };
        assert!(error(&nonsense).contains("nonsense.pem"), "{}", error(&nonsense));
    }
}
