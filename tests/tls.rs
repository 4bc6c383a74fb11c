//! TLS end to end, with rustls as the client: the self-signed certificate, certificate reload, and plain HTTP on the
//! same port.

mod common;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use common::{LIMIT, OFFER, POLL_INTERVAL, Porthole, SMALL};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A configuration with additional `[http]` lines and its state in `state`.
fn config(lines: &str, state: &Path) -> String {
    let http = format!("listen = \"127.0.0.1:0\"\n{lines}");
    format!("{}\n[state]\ndirectory = \"{}\"\n", SMALL.replace("listen = \"127.0.0.1:0\"", &http), state.display())
}

fn address(porthole: &Porthole) -> Result<SocketAddr> {
    let authority = porthole.base.split_once("://").context("no scheme")?.1.trim_end_matches('/');
    Ok(authority.parse()?)
}

/// A response over TLS, and the server's certificate.
struct Encrypted {
    answer: String,
    certificate: CertificateDer<'static>,
}

/// Sends a request as a client that trusts the certificate in the file `trusted` and verifies `name`.
async fn encrypted(porthole: &Porthole, trusted: &Path, name: &str, request: &str) -> Result<Encrypted> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address(porthole)?).await?;
    let name = ServerName::try_from(name.to_owned())?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("encrypt")?;
    let (_, session) = stream.get_ref();
    ensure!(session.alpn_protocol() == Some(b"http/1.1"), "{:?}", session.alpn_protocol());
    let certificate = session.peer_certificates().and_then(|chain| chain.first()).context("no certificate")?;
    let certificate = certificate.clone().into_owned();
    let answer = send_request(&mut stream, request).await?;
    Ok(Encrypted { answer, certificate })
}

async fn plain(porthole: &Porthole, request: &str) -> Result<String> {
    send_request(&mut TcpStream::connect(address(porthole)?).await?, request).await
}

/// Sends a request and reads until the server closes.
async fn send_request(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // A server that closes without close_notify has still sent its response.
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await?;
    ensure!(read.is_ok() || !answer.is_empty(), "{read:?}");
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// The value of a header.
fn value<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines()
        .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
        .map(|(_, v)| v)
}

/// Writes a new certificate and key for `localhost`.
fn write_pair(folder: &Path) -> Result<()> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(folder.join("key.new"), pair.signing_key.serialize_pem())?;
    std::fs::write(folder.join("cert.new"), pair.cert.pem())?;
    std::fs::rename(folder.join("key.new"), folder.join("key.pem"))?;
    std::fs::rename(folder.join("cert.new"), folder.join("cert.pem"))?;
    Ok(())
}

fn files(folder: &Path) -> String {
    let folder = folder.display();
    format!("tls = {{ cert = \"{folder}/cert.pem\", key = \"{folder}/key.pem\" }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_self_signed_certificate_is_created_once_and_kept() -> Result<()> {
    let state = tempfile::tempdir()?;
    let cert = state.path().join("cert.pem");
    let config = config("tls = \"self-signed\"", state.path());
    let mut shown = Vec::new();
    let mut logs = Vec::new();
    for _ in 0..2 {
        let porthole = Porthole::start(&config)?;
        for name in ["localhost", "127.0.0.1"] {
            let page = encrypted(&porthole, &cert, name, &get("/")).await.with_context(|| name)?;
            ensure!(page.answer.starts_with("HTTP/1.1 200"), "{}", page.answer);
            ensure!(value(&page.answer, "strict-transport-security").is_none(), "{}", page.answer);
            ensure!(value(&page.answer, "cross-origin-opener-policy") == Some("same-origin"), "{}", page.answer);
            shown.push(page.certificate);
        }
        let stranger = encrypted(&porthole, &cert, "example.org", &get("/")).await;
        ensure!(stranger.is_err(), "the certificate is for every name");
        let offer = format!(
            "POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{OFFER}",
            OFFER.len()
        );
        let answered = encrypted(&porthole, &cert, "localhost", &offer).await?.answer;
        ensure!(answered.starts_with("HTTP/1.1 201"), "{answered}");
        porthole.signal("TERM")?;
        logs.push(tokio::task::spawn_blocking(|| porthole.wait()).await??.2);
    }
    ensure!(shown.iter().all(|certificate| *certificate == shown[0]), "a new certificate after the restart");
    let fingerprint = |log: &String| {
        log.lines()
            .find_map(|line| Some(line.split_once("SHA-256 fingerprint is ")?.1.to_owned()))
            .context("not logged")
    };
    ensure!(fingerprint(&logs[0])? == fingerprint(&logs[1])?, "{logs:?}");
    for name in ["cert.pem", "key.pem"] {
        let mode = std::fs::metadata(state.path().join(name))?.permissions().mode();
        ensure!(mode & 0o777 == 0o600, "{name}: {mode:o}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_redirected_to_https() -> Result<()> {
    let state = tempfile::tempdir()?;
    let porthole = Porthole::start(&config("tls = \"self-signed\"", state.path()))?;
    let moved = plain(&porthole, &get("/api/status?a=b")).await?;
    ensure!(moved.starts_with("HTTP/1.1 308"), "{moved}");
    ensure!(value(&moved, "location") == Some("https://localhost/api/status?a=b"), "{moved}");
    let host = get("/").replace("Host: localhost", "Host: 127.0.0.1:8443");
    let moved = plain(&porthole, &host).await?;
    ensure!(value(&moved, "location") == Some("https://127.0.0.1:8443/"), "{moved}");
    let foreign = plain(&porthole, &get("/").replace("Host: localhost", "Host: evil.example")).await?;
    ensure!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");
    let health = plain(&porthole, &get("/healthz")).await?;
    ensure!(health.starts_with("HTTP/1.1 200") && health.ends_with("ok\n"), "{health}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_https_are_both_served_without_redirect() -> Result<()> {
    let state = tempfile::tempdir()?;
    let porthole = Porthole::start(&config("tls = \"self-signed\"\nredirect = false", state.path()))?;
    let page = plain(&porthole, &get("/")).await?;
    ensure!(page.starts_with("HTTP/1.1 200") && value(&page, "cross-origin-opener-policy").is_none(), "{page}");
    let cert = state.path().join("cert.pem");
    ensure!(encrypted(&porthole, &cert, "localhost", &get("/")).await?.answer.starts_with("HTTP/1.1 200"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_certificates_are_reloaded_unless_broken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let state = tempfile::tempdir()?;
    let cert = folder.path().join("cert.pem");
    write_pair(folder.path())?;
    let porthole = Porthole::start(&config(&files(folder.path()), state.path()))?;
    let first = encrypted(&porthole, &cert, "localhost", &get("/healthz")).await?.certificate;
    write_pair(folder.path())?;
    // Only the new one is trusted, so no request succeeds before it is in use.
    let deadline = Instant::now() + LIMIT;
    let second = loop {
        match encrypted(&porthole, &cert, "localhost", &get("/healthz")).await {
            Ok(page) => break page.certificate,
            Err(error) if Instant::now() > deadline => bail!("the new certificate is not used: {error:#}"),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    };
    ensure!(first != second);
    let trusted = state.path().join("trusted.pem");
    std::fs::copy(&cert, &trusted)?;
    std::fs::write(&cert, "nonsense")?;
    let changed = Instant::now();
    // The program polls once a second, on a new connection.
    while changed.elapsed().as_secs() < 3 {
        let page = encrypted(&porthole, &trusted, "localhost", &get("/healthz")).await?;
        ensure!(page.certificate == second);
    }
    porthole.signal("TERM")?;
    let log = tokio::task::spawn_blocking(|| porthole.wait()).await??.2;
    let warnings = log.matches("the certificate stays the old one").count();
    ensure!(warnings == 1 && log.contains("cert.pem: no certificate in it"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_certificate_files_are_named_at_startup() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let state = tempfile::tempdir()?;
    let config = config(&files(folder.path()), state.path());
    let fails_with = |words: &str| -> Result<()> {
        let (code, stderr) = Porthole::fail(&config)?;
        ensure!(code == Some(1) && stderr.contains(words), "{code:?} {stderr}");
        Ok(())
    };
    fails_with("cert.pem: No such file or directory")?;
    write_pair(folder.path())?;
    std::fs::write(folder.path().join("key.pem"), "nonsense")?;
    fails_with("key.pem: no private key in it")?;
    std::fs::write(folder.path().join("key.pem"), rcgen::KeyPair::generate()?.serialize_pem())?;
    fails_with("is not that of the certificate in")
}
