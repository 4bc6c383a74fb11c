//! The addresses of host names: those under which this machine is reached from outside, and those of STUN servers.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cache::SingleFlightCache;

/// What a viewer waits for a name at most. One that a resolver does not have takes it some 100 ms to find out.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an address is good, and how long a name that has none is not asked for: the least that dynamic names of
/// home routers are usually told with.
const POSITIVE_TTL: Duration = Duration::from_secs(60);

/// Looks names up, and remembers what they are for a while.
#[derive(Debug, Default)]
pub struct Resolver {
    cache: SingleFlightCache<String, Vec<IpAddr>>,
    /// Names that the log has told of, until they are found again.
    unresolved: Arc<Mutex<HashSet<String>>>,
}

impl Resolver {
    /// The addresses of a host, which may be an address itself; none when it can't be found.
    pub async fn resolve(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let key = host.to_owned();
        let (unresolved, name) = (self.unresolved.clone(), key.clone());
        let addresses = self.cache.get(&key, || async move {
            let addresses = lookup(&name).await;
            let mut unresolved = unresolved.lock().unwrap_or_else(PoisonError::into_inner);
            let addresses = match addresses {
                Ok(addresses) => {
                    if unresolved.remove(&name) {
                        tracing::info!("host name {name}: found again");
                    }
                    addresses
                }
                Err(error) => {
                    if unresolved.insert(name.clone()) {
                        tracing::warn!(
                            "host name {name}: {error}; it is left out until it is found (see advertise and ice_servers in [rtc])"
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
    let found = found.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no resolver answers"))??;
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
    async fn a_name_without_an_address_is_left_out_and_told_once() {
        let resolver = Resolver::default();
        // RFC 6761 section 6.4: this name never has an address, and no resolver needs to ask for it.
        assert_eq!(resolver.resolve("cam.invalid").await, [] as [IpAddr; 0]);
        assert_eq!(resolver.unresolved.lock().expect("should not be poisoned").len(), 1);
    }
}
