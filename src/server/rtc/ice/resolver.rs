//! Resolves host names: external names of this host, and STUN servers.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::cache::SingleFlightCache;
use crate::util::lock::Mutex;

/// The longest that a viewer waits for a name. An unknown name takes a resolver about 100 ms.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a result is cached, also a negative one: the usual minimum TTL of a home router's dynamic DNS name.
const POSITIVE_TTL: Duration = Duration::from_secs(60);

/// Resolves names, with a cache.
#[derive(Debug, Default)]
pub struct Resolver {
    cache: SingleFlightCache<String, Vec<IpAddr>>,
    /// Names whose failure was logged, until they resolve again.
    unresolved: Arc<Mutex<HashSet<String>>>,
}

impl Resolver {
    /// The addresses of a host, which may be an address itself; none if it does not resolve.
    pub async fn resolve(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let key = host.to_owned();
        let (unresolved, name) = (self.unresolved.clone(), key.clone());
        let addresses = self.cache.get(&key, || async move {
            let addresses = lookup(&name).await;
            let mut unresolved = unresolved.lock();
            let addresses = match addresses {
                Ok(addresses) => {
                    if unresolved.remove(&name) {
                        tracing::info!("host name {name}: resolved again");
                    }
                    addresses
                }
                Err(error) => {
                    if unresolved.insert(name.clone()) {
                        tracing::warn!(
                            "host name {name}: {error}; skipped until it resolves (see advertise and ice_servers in [rtc])"
                        );
                    }
                    Vec::new()
                }
            };
            (addresses, POSITIVE_TTL)
        });
        addresses.await.unwrap_or_default()
    }
}

async fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
    let found = found.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not respond"))??;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|found| found.ip().to_canonical()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_itself_and_a_name_is_found_once() {
        let resolver = Resolver::default();
        assert_eq!(
            resolver.resolve("2001:db8::7").await,
            ["2001:db8::7".parse::<IpAddr>().expect("should be an address")]
        );
        let found = resolver.resolve("localhost").await;
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(resolver.resolve("localhost").await, found);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_skipped_and_logged_once() {
        let resolver = Resolver::default();
        // RFC 6761 section 6.4: this name never has an address, and no resolver needs to ask for it.
        assert_eq!(resolver.resolve("cam.invalid").await, [] as [IpAddr; 0]);
        assert_eq!(resolver.unresolved.lock().len(), 1);
    }
}
