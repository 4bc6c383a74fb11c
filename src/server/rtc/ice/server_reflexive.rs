//! Gathers server-reflexive candidates (RFC 8445 section 5.1.1.2): asks the configured `stun:` servers for the
//! addresses that a NAT maps, through the sockets that viewers send to, as a mapping is per port.
//!
//! `stuns:` servers are not asked (the mapping of a TCP connection is of no use), and nothing is allocated on TURN
//! servers: a viewer that needs a relay brings its own, and we reach the relay like any viewer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rtc::stun::attributes::ATTR_XORMAPPED_ADDRESS;
use rtc::stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter as _, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cache::SingleFlightCache;
use super::resolver::Resolver;
use crate::server::rtc::config::IceServer;
use crate::server::rtc::mux::Mux;

/// The longest that a viewer waits for all servers: a server on another continent responds within 300 ms, and a dead
/// one must not delay the video.
const GATHER_TIMEOUT: Duration = Duration::from_millis(500);

/// Timeout of a request, with one retransmission; a late response serves the next viewer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a mapped address is cached: viewers that come together share it, and a change is noticed soon. The mapping
/// itself lives for at least 2 minutes (RFC 4787 section 4.3).
const POSITIVE_TTL: Duration = Duration::from_secs(10);

/// How long a server that did not respond is not asked again.
const NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// The port of `stun:` (RFC 7064 section 3.2).
const DEFAULT_PORT: u16 = 3478;

/// Queries STUN servers.
pub struct StunGatherer {
    servers: Vec<(String, u16)>,
    resolver: Arc<Resolver>,
    cache: Arc<SingleFlightCache<(SocketAddr, String), Option<SocketAddr>>>,
    mux: Mux,
}

impl StunGatherer {
    /// Uses the `stun:` servers among these.
    pub fn new(servers: &[IceServer], resolver: Arc<Resolver>, mux: Mux) -> Self {
        let servers = servers.iter().flat_map(|server| &server.urls).filter_map(|url| stun_host_port(url)).collect();
        Self { servers, resolver, cache: Arc::default(), mux }
    }

    /// The mapped addresses of these local ones, each as (local, mapped).
    pub async fn mapped_addresses(&self, locals: &[SocketAddr]) -> Vec<(SocketAddr, SocketAddr)> {
        let mut requests = JoinSet::new();
        for server in &self.servers {
            for base in locals {
                requests.spawn(self.server_reflexive_address(*base, server.clone()));
            }
        }
        let mut found = Vec::new();
        let gather = async {
            while let Some(answer) = requests.join_next().await {
                if let Ok(Some(mapping)) = answer
                    && !found.contains(&mapping)
                {
                    found.push(mapping);
                }
            }
        };
        if timeout(GATHER_TIMEOUT, gather).await.is_err() {
            tracing::debug!("a STUN server did not answer within {GATHER_TIMEOUT:?}");
        }
        found
    }

    /// The address of `base` as one server sees it, unless it is the same.
    fn server_reflexive_address(
        &self,
        base: SocketAddr,
        (host, port): (String, u16),
    ) -> impl Future<Output = Option<(SocketAddr, SocketAddr)>> + use<> {
        let (resolver, cache, mux) = (self.resolver.clone(), self.cache.clone(), self.mux.clone());
        async move {
            let key = (base, format!("{host} {port}"));
            let mapped = cache.get(&key, || async move {
                let servers = resolver.resolve(&host).await;
                let server = servers.into_iter().find(|server| server.is_ipv4() == base.is_ipv4());
                // A server of the other address family is no failure, but need not be asked again soon.
                let Some(server) = server else { return (None, NEGATIVE_TTL) };
                let mapped = request(&mux, base.ip(), SocketAddr::new(server, port)).await;
                (mapped, if mapped.is_some() { POSITIVE_TTL } else { NEGATIVE_TTL })
            });
            let mapped = mapped.await??;
            (mapped != base).then_some((base, mapped))
        }
    }
}

/// One server's response for one local address.
async fn request(mux: &Mux, from: IpAddr, server: SocketAddr) -> Option<SocketAddr> {
    let answer = mux.request(from, server, &binding_request()?, REQUEST_TIMEOUT).await;
    let answer = answer.inspect_err(|error| tracing::debug!("STUN server {server} asked from {from}: {error}"));
    mapped(&answer.ok()?)
}

/// A STUN binding request with a new transaction id (RFC 8489 section 6.1).
fn binding_request() -> Option<Vec<u8>> {
    let mut message = Message::new();
    message.build(&[Box::new(BINDING_REQUEST), Box::new(TransactionId::new())]).ok()?;
    Some(message.raw)
}

/// The mapped address in a STUN response.
fn mapped(answer: &[u8]) -> Option<SocketAddr> {
    let mut message = Message::new();
    message.unmarshal_binary(answer).ok()?;
    if message.typ != BINDING_SUCCESS || !message.contains(ATTR_XORMAPPED_ADDRESS) {
        return None;
    }
    let mut address = XorMappedAddress::default();
    address.get_from(&message).ok()?;
    let usable = !address.ip.is_unspecified() && !address.ip.is_multicast() && address.port != 0;
    usable.then(|| SocketAddr::new(address.ip.to_canonical(), address.port))
}

/// Host and port of a `stun:` URL (RFC 7064); `None` for other schemes.
fn stun_host_port(url: &str) -> Option<(String, u16)> {
    let address = url.strip_prefix("stun:")?;
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok()?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::net::UdpSocket;

    use super::*;
    use crate::model::metrics::Metrics;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A STUN server's answer to a request, as if it came from `from`.
    fn answer(request: &[u8], from: SocketAddr) -> Vec<u8> {
        let (mut message, mut asked) = (Message::new(), Message::new());
        asked.unmarshal_binary(request).expect("should be STUN");
        assert_eq!(asked.typ, BINDING_REQUEST);
        let address = XorMappedAddress { ip: from.ip(), port: from.port() };
        let parts: [Box<dyn rtc::stun::message::Setter>; 3] =
            [Box::new(BINDING_SUCCESS), Box::new(asked.transaction_id), Box::new(address)];
        message.build(&parts).expect("should be built");
        message.raw
    }

    /// For one server at this place, with a mux that listens on the loopback address.
    fn gatherer(server: SocketAddr) -> (StunGatherer, SocketAddr) {
        let mux = Mux::start(0, false, tokio::runtime::Handle::current(), Metrics::new()).expect("should start");
        assert!(mux.ensure(HERE));
        let servers =
            [IceServer { urls: vec![format!("stun:{server}"), "turn:ignored".into()], ..IceServer::default() }];
        let local = mux.locals().first().expect("should listen").udp;
        (StunGatherer::new(&servers, Arc::default(), mux), local)
    }

    #[tokio::test]
    async fn a_nats_address_is_learnt_once_through_the_socket_of_the_viewers() {
        let server = UdpSocket::bind((HERE, 0)).await.expect("should bind");
        let (gatherer, local) = gatherer(server.local_addr().expect("should be bound"));
        let outside: SocketAddr = "203.0.113.5:40000".parse().expect("should be an address");
        let serve = async {
            let mut request = [0; 1_500];
            let (length, from) = server.recv_from(&mut request).await.expect("should receive");
            assert_eq!(from, local);
            server.send_to(&answer(&request[..length], outside), from).await.expect("should send");
        };
        let locals = [local];
        let (mappings, ()) = tokio::join!(gatherer.mapped_addresses(&locals), serve);
        assert_eq!(mappings, [(local, outside)]);
        // Nobody serves any more, and nobody needs to.
        assert_eq!(gatherer.mapped_addresses(&locals).await, [(local, outside)]);
    }

    #[tokio::test]
    async fn without_a_nat_there_is_no_other_address() {
        let server = UdpSocket::bind((HERE, 0)).await.expect("should bind");
        let (gatherer, local) = gatherer(server.local_addr().expect("should be bound"));
        let serve = async {
            let mut request = [0; 1_500];
            let (length, from) = server.recv_from(&mut request).await.expect("should receive");
            server.send_to(&answer(&request[..length], from), from).await.expect("should send");
        };
        let locals = [local];
        let (mappings, ()) = tokio::join!(gatherer.mapped_addresses(&locals), serve);
        assert_eq!(mappings, []);
    }

    #[tokio::test]
    async fn a_dead_server_is_waited_for_once() {
        // It is bound, so that nobody else is, and never answers.
        let server = UdpSocket::bind((HERE, 0)).await.expect("should bind");
        let (gatherer, local) = gatherer(server.local_addr().expect("should be bound"));
        assert_eq!(gatherer.mapped_addresses(&[local]).await, []);
        // The question has its answer once the server's time is over: from then on it costs nobody anything.
        let key = (local, format!("127.0.0.1 {}", server.local_addr().expect("should be bound").port()));
        let asked_again = || async { panic!("should know the answer") };
        assert_eq!(gatherer.cache.get(&key, asked_again).await, Some(None));
    }

    #[test]
    fn places_of_urls() {
        let read = |url: &str| stun_host_port(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(read("stun:stun.example.org").as_deref(), Some("stun.example.org 3478"));
        assert_eq!(read("stun:192.0.2.1:19302").as_deref(), Some("192.0.2.1 19302"));
        assert_eq!(read("stun:[2001:db8::1]:3479").as_deref(), Some("2001:db8::1 3479"));
        assert_eq!(read("stun:[2001:db8::1]").as_deref(), Some("2001:db8::1 3478"));
        for url in ["turn:stun.example.org", "stuns:stun.example.org", "stun:", "stun:a:b", "stun:a:99999"] {
            assert_eq!(read(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn every_address_comes_back(ip: IpAddr, port: u16) {
            let request = binding_request().expect("should be built");
            let found = mapped(&answer(&request, SocketAddr::new(ip, port)));
            let usable = !ip.is_unspecified() && !ip.is_multicast() && port != 0;
            prop_assert_eq!(found, usable.then(|| SocketAddr::new(ip.to_canonical(), port)));
        }

        #[test]
        fn no_response_panics(noise in prop::collection::vec(any::<u8>(), 0..80), at in 0_usize..64, ip: IpAddr) {
            mapped(&noise);
            let mut damaged = answer(&binding_request().expect("should be built"), SocketAddr::new(ip, 1));
            let length = damaged.len();
            damaged[at % length] ^= 0x55;
            mapped(&damaged);
            mapped(&damaged[..at % length]);
        }
    }
}
