//! An HTTP client: one request on a connection of its own, with a limit for everything.
//!
//! What is requested is in `publish` and `hooks`.

mod http_url;
mod response;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
pub use hyper::Method;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
pub use hyper::header::{self, HeaderName};
use hyper::{Request, Response};
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

pub use http_url::HttpUrl;
pub use response::{ClientResponse, on_one_line, shortened};

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
pub struct ClientRequest<'a> {
    /// POST or DELETE.
    pub method: Method,
    /// Where to.
    pub url: &'a HttpUrl,
    /// Headers besides those of the connection.
    pub headers: Vec<(HeaderName, String)>,
    /// What is sent.
    pub body: Bytes,
    /// Whether it is not sent to an address of this machine or of a local network.
    pub public_only: bool,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server cannot be reached, or does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// This server, which may only be a public one, has an address of this machine or of a local network.
    #[error("{0} has an address of this machine or of a local network")]
    Local(String),
}

/// Makes requests.
#[derive(Default)]
pub struct HttpClient {
    /// With the certificates of this machine, once they are needed.
    tls: OnceCell<TlsConnector>,
}

impl HttpClient {
    /// Sends a request, and returns the response within `limit`.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when there is none.
    pub async fn send(&self, request: ClientRequest<'_>, limit: Duration) -> Result<ClientResponse, ClientError> {
        let host = request.url.host();
        let response = timeout(limit, self.exchange(request)).await;
        response.unwrap_or_else(|_| Err(unreachable(format!("no response from {host} within {} s", limit.as_secs()))))
    }

    async fn exchange(&self, request: ClientRequest<'_>) -> Result<ClientResponse, ClientError> {
        let (url, public_only) = (request.url, request.public_only);
        let head = head(request)?;
        let stream = connect(url, public_only).await?;
        let address = stream.peer_addr().ok().map(|address| address.ip());
        let response = if url.is_encrypted() {
            exchange_on(self.encrypt(url, stream).await?, head).await
        } else {
            exchange_on(stream, head).await
        };
        Ok(ClientResponse { address, ..response? })
    }

    async fn encrypt(&self, url: &HttpUrl, stream: TcpStream) -> Result<TlsStream<TcpStream>, ClientError> {
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
    async fn tls(&self) -> Result<&TlsConnector, ClientError> {
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
/// [`ClientError::Unreachable`] when its name is unknown, or no connection to it comes about.
pub async fn local_address(url: &HttpUrl) -> Result<IpAddr, ClientError> {
    let host = url.host();
    let stream = timeout(REQUEST_TIMEOUT, connect(url, false)).await;
    let limit = REQUEST_TIMEOUT.as_secs();
    let stream = stream.map_err(|_| unreachable(format!("no connection to {host} within {limit} s")))??;
    let address = stream.local_addr().map_err(|error| unreachable(format!("connect to {host}: {error}")))?;
    Ok(address.ip())
}

/// Connects to the first address of a server that can be reached.
async fn connect(url: &HttpUrl, public_only: bool) -> Result<TcpStream, ClientError> {
    let mut failure = "the name has no address".to_owned();
    for address in addresses(url).await? {
        if public_only && is_local(address.ip()) {
            return Err(ClientError::Local(url.server()));
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

async fn addresses(url: &HttpUrl) -> Result<Vec<SocketAddr>, ClientError> {
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

fn head(request: ClientRequest<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
    let ClientRequest { method, url, headers, body, .. } = request;
    let mut head = Request::builder()
        .method(method)
        .uri(url.target())
        .header(header::HOST, url.authority())
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("porthole/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        head = head.header(name, value);
    }
    head.body(Full::new(body)).map_err(|error| unreachable(format!("url cannot be requested: {error}")))
}

async fn exchange_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<ClientResponse, ClientError> {
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
async fn read(response: Response<Incoming>) -> ClientResponse {
    let (head, body) = response.into_parts();
    let text = |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (location, retry_after) = (text(header::LOCATION), text(header::RETRY_AFTER));
    let body = Limited::new(body, MAX_BODY).collect().await;
    let broken = body.as_ref().err().map(|error| format!("the server's response: {error}"));
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    ClientResponse {
        status: head.status.as_u16(),
        location: location.map(str::to_owned),
        retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()),
        body: body.unwrap_or_default(),
        broken,
        address: None,
    }
}

fn unreachable(words: String) -> ClientError {
    ClientError::Unreachable(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn local_address_is_refused_where_only_public_ones_are_meant() {
        let url = HttpUrl::parse("http://127.0.0.1:9/secret").expect("a URL");
        let wrong = connect(&url, true).await.expect_err("local").to_string();
        assert_eq!(wrong, "http://127.0.0.1:9 has an address of this machine or of a local network");
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
