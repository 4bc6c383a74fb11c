//! An HTTP client for WHIP: one request on a connection of its own, with a limit for everything.
//!
//! What requests are made is in `whip`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::task::AbortOnDropHandle;

use super::config::BearerToken;
use super::failure::{PublishFailure, shortened};
use super::whip_response::WhipResponse;
use super::whip_url::WhipUrl;

/// How long a request may take, from looking up the name to the end of the response: services in the cloud take two
/// seconds when they start something for a stream.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting to one address of a server may take, so that one that leads nowhere leaves time for the others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest body that is read. An answer has about 3 kB; each candidate adds 100 bytes.
const MAX_BODY: usize = 64 * 1024;

/// The longest head of a response.
const MAX_HEAD: usize = 32 * 1024;

/// A request.
#[derive(Debug)]
pub struct WhipRequest<'a> {
    /// POST or DELETE.
    pub method: Method,
    /// Where to.
    pub url: &'a WhipUrl,
    /// The token, if there is one.
    pub token: Option<&'a BearerToken>,
    /// The offer, if one is sent.
    pub offer: Option<&'a str>,
    /// Whether it is not sent to an address of this machine or of a local network.
    pub public_only: bool,
}

/// Makes requests.
#[derive(Default)]
pub struct WhipClient {
    /// With the certificates of this machine, once they are needed.
    tls: OnceCell<TlsConnector>,
}

impl WhipClient {
    /// Sends a request, and returns the response within `limit`.
    ///
    /// # Errors
    ///
    /// [`PublishFailure::Unreachable`] when there is none.
    pub async fn send(&self, request: &WhipRequest<'_>, limit: Duration) -> Result<WhipResponse, PublishFailure> {
        let host = request.url.host();
        let response = timeout(limit, self.exchange(request)).await;
        response.unwrap_or_else(|_| Err(unreachable(format!("no response from {host} within {} s", limit.as_secs()))))
    }

    async fn exchange(&self, request: &WhipRequest<'_>) -> Result<WhipResponse, PublishFailure> {
        let (url, head) = (request.url, head(request)?);
        let stream = connect(url, request.public_only).await?;
        let address = stream.peer_addr().ok().map(|address| address.ip());
        let response = if url.is_encrypted() {
            exchange_on(self.encrypt(url, stream).await?, head).await
        } else {
            exchange_on(stream, head).await
        };
        Ok(WhipResponse { address, ..response? })
    }

    async fn encrypt(&self, url: &WhipUrl, stream: TcpStream) -> Result<TlsStream<TcpStream>, PublishFailure> {
        let host = url.host();
        let name = ServerName::try_from(host.clone()).map_err(|error| unreachable(format!("{host}: {error}")))?;
        self.tls().await?.connect(name, stream).await.map_err(|error| {
            // It may repeat all names of a certificate.
            let wrong = shortened(&error.to_string());
            unreachable(format!(
                "TLS with {host}: {wrong}; its certificate has to be one that this machine trusts (/etc/ssl/certs)"
            ))
        })
    }

    /// TLS with the certificate authorities that this machine trusts.
    async fn tls(&self) -> Result<&TlsConnector, PublishFailure> {
        let load = || async {
            // Reads files.
            let roots = tokio::task::spawn_blocking(roots).await;
            let roots = roots.map_err(|error| unreachable(format!("load certificates: {error}")))?;
            if roots.is_empty() {
                let wrong = "this machine trusts no certificate authority; install the package ca-certificates";
                return Err(unreachable(wrong.into()));
            }
            let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| unreachable(format!("TLS: {error}")))?;
            let config = config.with_root_certificates(roots).with_no_client_auth();
            Ok(TlsConnector::from(Arc::new(config)))
        };
        self.tls.get_or_try_init(load).await
    }
}

/// The local address from which a server is reached, for the offer.
///
/// # Errors
///
/// [`PublishFailure::Unreachable`] when its name is unknown, or no connection to it comes about.
pub async fn local_address(url: &WhipUrl) -> Result<IpAddr, PublishFailure> {
    let host = url.host();
    let stream = timeout(REQUEST_TIMEOUT, connect(url, false)).await;
    let limit = REQUEST_TIMEOUT.as_secs();
    let stream = stream.map_err(|_| unreachable(format!("no connection to {host} within {limit} s")))??;
    let address = stream.local_addr().map_err(|error| unreachable(format!("connect to {host}: {error}")))?;
    Ok(address.ip())
}

/// Connects to the first address of a server that can be reached.
async fn connect(url: &WhipUrl, public_only: bool) -> Result<TcpStream, PublishFailure> {
    let mut failure = "the name has no address".to_owned();
    for address in addresses(url).await? {
        if public_only && is_local(address.ip()) {
            let wrong = "an address of this machine or of a local network; use the URL that it redirects to";
            return Err(PublishFailure::Response(format!("the server redirects to {}, {wrong}", url.server())));
        }
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error.to_string(),
            Err(_) => failure = format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }
    let (host, port) = (url.host(), url.port());
    Err(unreachable(format!("connect to {host}, port {port}: {failure}; does the server run there?")))
}

/// Whether this is an address of this machine or of a local network.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // Also those of carriers and of some VPNs (RFC 6598).
            let is_shared = matches!(v4.octets(), [100, 64..=127, ..]);
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

async fn addresses(url: &WhipUrl) -> Result<Vec<SocketAddr>, PublishFailure> {
    let host = url.host();
    let found = lookup_host((host.as_str(), url.port())).await;
    let found = found.map_err(|error| unreachable(format!("look up {host}: {error}; check the name in url")))?;
    Ok(found.collect())
}

/// The certificate authorities that this machine trusts.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("certificates of authorities: {error}");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn head(request: &WhipRequest<'_>) -> Result<Request<Full<Bytes>>, PublishFailure> {
    let WhipRequest { method, url, token, offer, .. } = request;
    let mut head = Request::builder()
        .method(method)
        .uri(url.target())
        .header(header::HOST, url.authority())
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("porthole/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        head = head.header(header::AUTHORIZATION, token.authorization());
    }
    if offer.is_some() {
        head = head.header(header::CONTENT_TYPE, "application/sdp").header(header::ACCEPT, "application/sdp");
    }
    let body = offer.unwrap_or_default().to_owned();
    head.body(Full::new(body.into())).map_err(|error| unreachable(format!("url cannot be requested: {error}")))
}

async fn exchange_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<WhipResponse, PublishFailure> {
    let broken = |error: hyper::Error| unreachable(format!("the server does not speak HTTP as it should: {error}"));
    let mut client = http1::Builder::new();
    client.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Drives the connection; how it ends is seen in the response.
    let _driver = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(broken)?;
    Ok(read(response).await)
}

/// Reads a response to its end.
async fn read(response: Response<Incoming>) -> WhipResponse {
    let (head, body) = response.into_parts();
    let text = |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (location, retry_after) = (text(header::LOCATION), text(header::RETRY_AFTER));
    let body = Limited::new(body, MAX_BODY).collect().await;
    let broken = body.as_ref().err().map(|error| format!("the server's response: {error}"));
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    WhipResponse {
        status: head.status.as_u16(),
        location: location.map(str::to_owned),
        retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()),
        body: body.unwrap_or_default(),
        broken,
        address: None,
    }
}

fn unreachable(words: String) -> PublishFailure {
    PublishFailure::Unreachable(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn local_address_is_refused_where_only_public_ones_are_meant() {
        let url = WhipUrl::parse("http://127.0.0.1:9/secret").expect("a URL");
        let wrong = connect(&url, true).await.expect_err("local").to_string();
        assert!(wrong.starts_with("the server redirects to http://127.0.0.1:9, an address of this machine"), "{wrong}");
    }

    #[test]
    fn local_addresses_are_told_from_public_ones() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("10.0.0.1", true),
            ("192.168.1.5", true),
            ("169.254.169.254", true),
            ("0.0.0.0", true),
            ("100.100.0.1", true),
            ("100.128.0.1", false),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_local(address.parse().expect(address)), expected, "{address}");
        }
    }
}
