//! Which candidates a viewer is offered: the addresses of this host, configured ones, and those that STUN servers
//! report.
//!
//! Sockets are in `mux`; which of a viewer's own candidates are used is decided in `remote_candidate`, restarts are in
//! `restart`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use local_candidate::{Candidate, CandidateType, Protocol};
use resolver::Resolver;
use server_reflexive::StunGatherer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::server::rtc::config::{Advertised, Config, IceServer};
use crate::server::rtc::mux::{LocalEndpoint, Mux};
use crate::util::lock::{Mutex, MutexGuard, RwLock};

/// Gathers candidates, and follows the addresses of this host; a cheap handle.
#[derive(Clone)]
pub struct Ice(Arc<Inner>);

struct Inner {
    setup: RwLock<Arc<Setup>>,
    mux: Mux,
    resolver: Arc<Resolver>,
    /// The addresses that every viewer is offered.
    offered: Mutex<Vec<IpAddr>>,
}

/// What depends on the configuration, which may change.
struct Setup {
    config: Config,
    stun: StunGatherer,
}

impl Setup {
    fn new(config: &Config, resolver: &Arc<Resolver>, mux: &Mux) -> Arc<Self> {
        let stun = StunGatherer::new(&config.ice_servers, resolver.clone(), mux.clone());
        Arc::new(Self { config: config.clone(), stun })
    }
}

impl Ice {
    /// Reads the addresses of this host and has `mux` bind them.
    pub fn new(config: &Config, mux: Mux) -> Self {
        let resolver = Arc::new(Resolver::default());
        let setup = RwLock::new(Setup::new(config, &resolver, &mux));
        let ice = Self(Arc::new(Inner { setup, mux, resolver, offered: Mutex::default() }));
        ice.refresh();
        ice
    }

    /// Applies another configuration to new viewers. The port does not change.
    pub fn reconfigure(&self, config: &Config) {
        let Inner { setup, mux, resolver, .. } = self.0.as_ref();
        *setup.write() = Setup::new(config, resolver, mux);
        self.refresh();
    }

    fn setup(&self) -> Arc<Setup> {
        self.0.setup.read().clone()
    }

    /// Refreshes the addresses whenever one was added, removed or changed, until `end`.
    pub async fn watch(self, end: CancellationToken) {
        netlink::watch(end, move || self.refresh()).await;
    }

    /// Reads the addresses of this host.
    fn refresh(&self) {
        let mux = &self.0.mux;
        let interfaces = match interfaces::interfaces() {
            Ok(interfaces) => interfaces,
            Err(error) => {
                tracing::warn!("list network interfaces: {error}; keeping the previous addresses");
                return;
            }
        };
        let found = interfaces::offered_addresses(&interfaces, &self.setup().config);
        let mut offered = self.offered();
        if *offered != found {
            match found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => {
                    tracing::info!("viewers are offered only the address that their request is received on");
                }
                addresses => tracing::info!("viewers are offered the addresses {addresses}"),
            }
            offered.clone_from(&found);
        }
        drop(offered);
        // Also if they are the same: one that could not be bound may be ready now.
        mux.set_addresses(found);
    }

    /// The candidates for a viewer whose request was received on `local_addr`, the best first, as values of
    /// `a=candidate`. Waits for DNS and STUN servers, for about a second at most.
    pub async fn candidates(&self, local_addr: IpAddr) -> Vec<String> {
        let Inner { mux, resolver, .. } = self.0.as_ref();
        let setup = self.setup();
        let local_addr = local_addr.to_canonical();
        // The filters do not apply: the viewer is known to reach this address.
        mux.ensure(local_addr);
        let offered = self.offered().clone();
        let mut locals = mux.locals();
        locals.retain(|local| local.udp.ip() == local_addr || offered.contains(&local.udp.ip()));
        locals.sort_by_key(|local| {
            let ip = local.udp.ip();
            (ip != local_addr, offered.iter().position(|other| *other == ip))
        });
        let bases: Vec<SocketAddr> = locals.iter().map(|local| local.udp).collect();
        let (advertised, mapped) =
            tokio::join!(advertised(&setup.config, resolver), setup.stun.mapped_addresses(&bases));
        build_candidates(&locals, &advertised, &mapped).iter().map(ToString::to_string).collect()
    }

    /// Our own bound addresses, which no viewer's candidate can be.
    pub fn locals(&self) -> Vec<SocketAddr> {
        self.0.mux.locals().into_iter().map(|local| local.udp).collect()
    }

    /// The STUN and TURN servers, with credentials for one viewer.
    pub fn servers(&self) -> Vec<IceServer> {
        let name = format!("{:08x}", rand::random::<u32>());
        turn_credentials::for_viewer(&self.setup().config.ice_servers, SystemTime::now(), &name)
    }

    fn offered(&self) -> MutexGuard<'_, Vec<IpAddr>> {
        self.0.offered.lock()
    }
}

/// The configured external addresses of this host, each with its port if that differs from ours.
async fn advertised(config: &Config, resolver: &Arc<Resolver>) -> Vec<(IpAddr, Option<u16>)> {
    // All at once, as each may take as long as a viewer waits.
    let mut lookups = JoinSet::new();
    for (index, Advertised { host, port }) in config.advertise.iter().cloned().enumerate() {
        let resolver = resolver.clone();
        lookups.spawn(async move { (index, resolver.resolve(&host).await, port) });
    }
    let mut found = lookups.join_all().await;
    found.sort_by_key(|(index, ..)| *index);
    found.into_iter().flat_map(|(_, ips, port)| ips.into_iter().map(move |ip| (ip, port))).collect()
}

/// Candidates for the bound addresses, the external ones, and those mapped by NATs, the best first. Loopback comes last,
/// unless it is configured as an external address: a reverse proxy on this host passes on the requests of viewers
/// elsewhere, and they are received there.
fn build_candidates(
    locals: &[LocalEndpoint],
    advertised: &[(IpAddr, Option<u16>)],
    mapped: &[(SocketAddr, SocketAddr)],
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut push = |protocol, kind, address: SocketAddr, last_resort| {
        if address.port() != 0 && !candidates.iter().any(|other| (other.protocol, other.address) == (protocol, address))
        {
            candidates.push(Candidate { protocol, address, kind, index: u16::MAX, last_resort });
        }
    };
    for LocalEndpoint { udp, tcp } in locals {
        push(Protocol::Udp, CandidateType::Host, *udp, udp.ip().is_loopback());
        if let Some(port) = tcp {
            push(Protocol::Tcp, CandidateType::Host, SocketAddr::new(udp.ip(), *port), udp.ip().is_loopback());
        }
    }
    for (ip, port) in advertised {
        // All have the same port, unless the configuration asks for free ones.
        let like = locals.iter().find(|local| local.udp.is_ipv4() == ip.is_ipv4()).or(locals.first());
        let Some(LocalEndpoint { udp, tcp }) = like else { continue };
        push(Protocol::Udp, CandidateType::Host, SocketAddr::new(*ip, port.unwrap_or(udp.port())), false);
        if let Some(tcp) = tcp {
            push(Protocol::Tcp, CandidateType::Host, SocketAddr::new(*ip, port.unwrap_or(*tcp)), false);
        }
    }
    for (base, mapped) in mapped {
        push(Protocol::Udp, CandidateType::Reflexive { base: *base }, *mapped, false);
    }
    candidates.sort_by_key(|candidate| candidate.last_resort);
    let none_better = candidates.iter().all(|candidate| candidate.last_resort);
    for (index, candidate) in (0..=u16::MAX).zip(&mut candidates) {
        candidate.index = index;
        candidate.last_resort &= !none_better;
    }
    candidates
}

mod cache;
pub mod interfaces;
mod local_candidate;
mod netlink;
pub mod remote_candidate;
mod resolver;
pub mod restart;
mod server_reflexive;
#[cfg(test)]
mod tests;
mod turn_credentials;
