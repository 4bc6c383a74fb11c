//! Offers of our own that wait for an answer, with the identity that each of them promised.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rtc::crypto::{SignatureScheme, default_provider};
use rtc::peer_connection::certificate::RTCCertificate;

use super::mux::Credentials;
use crate::util::fair_share;
use crate::util::lock::Mutex;

/// Offers that wait at once. A browser answers within a second.
const MAX_PENDING: usize = 16;

/// How long an offer waits: as long as a session that does not connect.
const LIFETIME: Duration = Duration::from_secs(20);

/// Characters of ICE credentials, of six random bits each; RFC 8445 section 5.3 asks for 24 and 128 bits.
const UFRAG_LENGTH: usize = 8;
const PASSWORD_LENGTH: usize = 24;

/// What an offer says of us before there is a connection.
#[derive(Debug, Clone)]
pub struct OfferedIdentity {
    /// Our ICE credentials.
    pub credentials: Credentials,
    /// Our certificate.
    pub certificate: RTCCertificate,
    /// Its SHA-256 fingerprint.
    pub fingerprint: String,
}

impl OfferedIdentity {
    /// New credentials and a new certificate.
    ///
    /// # Errors
    ///
    /// When the library fails.
    pub fn random() -> anyhow::Result<Self> {
        let provider = default_provider().map_err(|error| anyhow::anyhow!("open the cryptography: {error}"))?;
        let parameters = rcgen::CertificateParams::new(vec!["porthole".to_owned()])?;
        let certificate = RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, parameters)?;
        let fingerprints = certificate.get_fingerprints(provider.crypto())?;
        let fingerprint = fingerprints.into_iter().next().map(|print| print.value.to_uppercase()).unwrap_or_default();
        let credentials = Credentials { ufrag: ice_chars(UFRAG_LENGTH), password: ice_chars(PASSWORD_LENGTH) };
        Ok(Self { credentials, certificate, fingerprint })
    }
}

/// Random characters that ICE allows.
fn ice_chars(count: usize) -> String {
    const CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..count).map(|_| char::from(CHARS[usize::from(rand::random::<u8>()) % CHARS.len()])).collect()
}

/// An offer that waits for its answer.
#[derive(Debug)]
pub struct PendingOffer {
    /// The session's future ID.
    pub id: String,
    /// Who may answer.
    pub owner: String,
    /// The address that asked for it.
    pub client: IpAddr,
    /// The camera's index.
    pub camera: usize,
    /// What it says of us.
    pub identity: OfferedIdentity,
    /// The address that the request for it was received on.
    pub local_addr: IpAddr,
    /// When it was made.
    pub made: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub struct PendingOffers(Mutex<Vec<PendingOffer>>);

impl PendingOffers {
    /// Adds an offer; `false` when as many wait as may, and no address holds more of them than the offer's would.
    pub fn add(&self, offer: PendingOffer, now: Instant) -> bool {
        let mut waiting = self.0.lock();
        waiting.retain(|known| now.saturating_duration_since(known.made) < LIFETIME);
        if waiting.len() >= MAX_PENDING {
            let clients: Vec<IpAddr> = waiting.iter().map(|known| known.client).collect();
            let holder = fair_share::gives_way(&clients, offer.client);
            let Some(oldest) = waiting.iter().position(|known| Some(known.client) == holder) else { return false };
            waiting.remove(oldest);
        }
        waiting.push(offer);
        true
    }

    /// The number that wait.
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Takes the offer that `owner` answers.
    pub fn take(&self, id: &str, owner: &str, now: Instant) -> Option<PendingOffer> {
        let mut waiting = self.0.lock();
        waiting.retain(|known| now.saturating_duration_since(known.made) < LIFETIME);
        let at = waiting.iter().position(|known| known.id == id && known.owner == owner)?;
        Some(waiting.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn offers_are_bounded_expire_and_are_answered_once_by_their_owner() {
        let identity = OfferedIdentity::random().expect("identity");
        assert_eq!(identity.fingerprint.len(), 32 * 3 - 1, "{}", identity.fingerprint);
        assert_ne!(identity.credentials.password, OfferedIdentity::random().expect("identity").credentials.password);
        let (offers, start) = (PendingOffers::default(), Instant::now());
        let offer = |number: usize| PendingOffer {
            id: number.to_string(),
            owner: "one".into(),
            client: Ipv4Addr::LOCALHOST.into(),
            camera: 0,
            identity: identity.clone(),
            local_addr: Ipv4Addr::LOCALHOST.into(),
            made: start,
        };
        assert!((0..MAX_PENDING).all(|number| offers.add(offer(number), start)));
        assert!(!offers.add(offer(99), start));
        // The address that holds most gives way to another.
        assert!(offers.add(PendingOffer { client: [127, 0, 0, 2].into(), ..offer(98) }, start));
        assert!(offers.take("0", "one", start).is_none() && offers.take("98", "one", start).is_some());
        assert!(offers.add(offer(97), start) && !offers.add(offer(99), start));
        assert!(offers.take("3", "other", start).is_none());
        assert!(offers.take("3", "one", start).is_some() && offers.take("3", "one", start).is_none());
        assert!(offers.add(offer(99), start));
        let later = start + LIFETIME;
        assert!(offers.take("5", "one", later).is_none());
        assert_eq!(offers.count(), 0);
    }
}
