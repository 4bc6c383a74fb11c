//! How to connect to the broker: who we are, the password, TLS, and the limits of the connection.
//!
//! The files are read at each connection, so that changed ones take effect without a restart.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::{TlsConfiguration, Transport};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::Config;
use super::broker::BrokerUrl;
use super::states::OFFLINE;
use super::topics::Topics;

/// The largest message that the broker may send: commands are a word and discovery messages below a kilobyte. It tells the
/// broker, which leaves out larger ones.
const MAX_INCOMING: u32 = 16 * 1024;

/// Messages that the broker has not acknowledged yet; the others wait.
const MAX_INFLIGHT: u16 = 16;

/// After this long without a message both sides ask whether the other is there. The broker considers a device offline
/// after one and a half times as long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How long connecting may take, in seconds.
const CONNECT_LIMIT: u64 = 10;

/// The largest file with a password, which is one line.
const MAX_PASSWORD: u64 = 4 * 1024;

/// The largest file with authorities: twice the size of a system's whole bundle.
const MAX_CA: u64 = 1024 * 1024;

/// The options of the next connection. Blocks.
///
/// # Errors
///
/// When a file cannot be read, or has no password or certificate in it.
pub(super) fn options(config: &Config, broker: &BrokerUrl, topics: &Topics) -> anyhow::Result<MqttOptions> {
    let mut options = MqttOptions::new(topics.node(), broker.host.as_str(), broker.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_connection_timeout(CONNECT_LIMIT)
        .set_outgoing_inflight_upper_limit(MAX_INFLIGHT)
        .set_max_packet_size(Some(MAX_INCOMING))
        .set_receive_maximum(Some(MAX_INFLIGHT))
        .set_last_will(LastWill::new(topics.availability(), OFFLINE, QoS::AtLeastOnce, true, None));
    if !config.username.is_empty() {
        options.set_credentials(config.username.as_str(), password(config)?);
    }
    if broker.tls {
        let tls = TlsConfiguration::Rustls(Arc::new(encryption(config.ca.as_deref())?));
        options.set_transport(Transport::tls_with_config(tls));
    }
    Ok(options)
}

/// The password, without the line break at the end of its file.
pub(super) fn password(config: &Config) -> anyhow::Result<String> {
    let Some(path) = &config.password_file else { return Ok(config.password.clone()) };
    let bytes = read(path, MAX_PASSWORD)?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{}: not UTF-8 text", path.display()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("{}: no password in it; write it into the first line", path.display());
    }
    Ok(password.to_owned())
}

/// TLS with a broker whose certificate is from one of the authorities.
pub(super) fn encryption(ca: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let roots = match ca {
        Some(path) => authorities(path)?,
        None => system_authorities()?,
    };
    let provider = Arc::new(crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn authorities(path: &Path) -> anyhow::Result<RootCertStore> {
    let (name, bytes) = (path.display(), read(path, MAX_CA)?);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate =
            certificate.map_err(|error| anyhow!("{name}: damaged PEM ({error}); write the file again"))?;
        roots.add(certificate).map_err(|error| anyhow!("{name}: {error}"))?;
    }
    if roots.is_empty() {
        bail!("{name}: no certificate in it; it has to be PEM (-----BEGIN CERTIFICATE-----)");
    }
    Ok(roots)
}

fn system_authorities() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("this system has no certificates of authorities; install ca-certificates, or set [mqtt] ca");
    }
    Ok(roots)
}

/// Reads a file of at most `limit` bytes.
fn read(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let unreadable = |error| anyhow!("read {name}: {error}; check the path and who may read it");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        bail!("{name}: more than {limit} bytes; is it the right file?");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(content: &[u8]) -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        (folder, Config { password_file: Some(path), ..Config::default() })
    }

    #[test]
    fn a_password_file_has_one_line() {
        for (content, password) in [("secret", "secret"), ("pass word\r\n", "pass word"), ("pä\n", "pä")] {
            let (_folder, config) = with_file(content.as_bytes());
            assert_eq!(super::password(&config).unwrap(), password);
        }
        for (content, wrong) in
            [(&b"\n"[..], "no password"), (&b"\xff"[..], "not UTF-8"), (&[b'a'; 5000][..], "more than 4096 bytes")]
        {
            let (_folder, config) = with_file(content);
            let error = super::password(&config).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let (_folder, mut config) = with_file(b"no certificate");
        let error = encryption(config.password_file.as_deref()).unwrap_err().to_string();
        assert!(error.contains("has to be PEM"), "{error}");
        config.password_file = Some("/does/not/exist".into());
        let error = super::password(&config).unwrap_err().to_string();
        assert!(error.starts_with("read /does/not/exist: "), "{error}");
    }

    #[test]
    fn the_will_is_the_offline_state() {
        let config = Config { username: "u".into(), password: "p".into(), ..Config::default() };
        let topics = Topics::new("porthole", None, "ab");
        let options = options(&config, &BrokerUrl::parse("mqtt://broker").unwrap(), &topics).unwrap();
        let will = options.last_will().unwrap();
        assert_eq!(
            (&will.topic[..], &will.message[..], will.retain),
            (&b"porthole/ab/status"[..], &b"offline"[..], true)
        );
        assert_eq!((options.client_id(), options.max_packet_size()), ("porthole_ab".into(), Some(MAX_INCOMING)));
    }
}
