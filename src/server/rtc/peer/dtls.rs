//! DTLS with one viewer: the handshake, the keys of SRTP that come of it, and the records that carry SCTP. Pure: time is
//! an argument.
//!
//! To the library the viewer has one address, whatever path is used.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::crypto::{HashAlgorithm, RTCCryptoProvider};
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;

use super::VIEWER;
use super::dtls_repeats::DtlsRepeats;
use super::srtp::{PROFILES, Srtp};

/// Letters of the subject of our certificate, which nobody reads.
const SUBJECT: &str = "porthole";

/// How many records back a replay is recognised, as in RFC 6347 section 4.1.2.6.
const REPLAY_WINDOW: usize = 64;

/// A flight of the viewer's that is repeated this soon after our answer may have crossed it on a path of ordinary length.
const CROSSING: Duration = Duration::from_millis(120);

/// The certificate of this program, which each session uses. Its fingerprint is in each answer.
#[derive(Clone)]
pub struct DtlsIdentity {
    crypto: Arc<dyn RTCCryptoProvider>,
    certificate: Certificate,
    /// The SHA-256 fingerprint, as in `a=fingerprint`.
    pub fingerprint: Arc<str>,
}

impl DtlsIdentity {
    /// A new self-signed certificate.
    ///
    /// # Errors
    ///
    /// If the library is built without cryptography.
    pub fn generate(crypto: Arc<dyn RTCCryptoProvider>) -> Result<Self, Error> {
        let certificate = Certificate::generate_self_signed(vec![SUBJECT.to_owned()], crypto.crypto())?;
        let der = certificate.certificate.first().ok_or(Error::ErrNonCertificate)?;
        let fingerprint = fingerprint(der, crypto.as_ref())?.into();
        Ok(Self { crypto, certificate, fingerprint })
    }

    /// The cryptography of all sessions.
    pub fn crypto(&self) -> &Arc<dyn RTCCryptoProvider> {
        &self.crypto
    }
}

/// The SHA-256 fingerprint of a certificate (RFC 8122 section 5).
fn fingerprint(der: &[u8], crypto: &dyn RTCCryptoProvider) -> Result<String, Error> {
    let hash = crypto.crypto().hash(HashAlgorithm::Sha256, der).map_err(|error| Error::Crypto(error.to_string()))?;
    Ok(hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}

/// What happened on the connection.
pub enum DtlsEvent {
    /// The handshake is complete.
    Connected(Box<Srtp>),
    /// A record with application data.
    Data(BytesMut),
    /// The viewer has closed the connection (close_notify).
    Closed,
}

/// The DTLS connection of one session.
pub struct Dtls {
    endpoint: Endpoint,
    /// Until the handshake is started, if we are the client.
    client: Option<Arc<HandshakeConfig>>,
    crypto: Arc<dyn RTCCryptoProvider>,
    /// Until the handshake is complete.
    handshake: Option<Handshake>,
    /// Datagrams to send.
    outgoing: VecDeque<BytesMut>,
    is_closed: bool,
}

/// What is known of a handshake that is under way.
#[derive(Debug, Default)]
struct Handshake {
    repeats: DtlsRepeats,
    /// When our last flight was sent.
    sent: Option<Instant>,
}

impl Dtls {
    /// A connection with the viewer whose certificate has this SHA-256 `fingerprint`.
    ///
    /// # Errors
    ///
    /// If the library rejects a setting.
    pub fn new(identity: &DtlsIdentity, viewer_fingerprint: &str, is_client: bool) -> Result<Self, Error> {
        let (crypto, expected) = (identity.crypto.clone(), viewer_fingerprint.to_owned());
        let verify = {
            let crypto = crypto.clone();
            move |chain: &[Vec<u8>], _: &[_]| {
                let certificate = chain.first().ok_or(Error::ErrNonCertificate)?;
                let matches = fingerprint(certificate, crypto.as_ref())?.eq_ignore_ascii_case(&expected);
                if matches { Ok(()) } else { Err(Error::ErrNoMatchingCertificateFingerprint) }
            }
        };
        let config = ConfigBuilder::default()
            .with_crypto_provider(crypto.clone())
            .with_certificates(vec![identity.certificate.clone()])
            .with_srtp_protection_profiles(PROFILES.to_vec())
            // The library's default without CBC, which no browser needs.
            .with_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            ])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // Certificates are self-signed; the fingerprint in the offer is what counts.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_replay_protection_window(REPLAY_WINDOW)
            .build(is_client, None)?;
        let config = Arc::new(config);
        let (client, server) = if is_client { (Some(config), None) } else { (None, Some(config)) };
        let endpoint = Endpoint::new(VIEWER, TransportProtocol::UDP, server);
        let (handshake, outgoing) = (Some(Handshake::default()), VecDeque::new());
        Ok(Self { endpoint, client, crypto, handshake, outgoing, is_closed: false })
    }

    /// Starts the handshake, if we are the client and it has not been started.
    pub fn start(&mut self, now: Instant) {
        if let Some(config) = self.client.take()
            && let Err(error) = self.endpoint.connect(now, VIEWER, config, None)
        {
            tracing::debug!("start DTLS: {error}");
        }
        self.collect(now);
    }

    /// Handles a datagram of the viewer.
    pub fn handle(&mut self, datagram: BytesMut, now: Instant) -> Vec<DtlsEvent> {
        // A late datagram must not begin another handshake.
        if self.is_closed || self.client.is_some() {
            return Vec::new();
        }
        if self.answer_repeat(&datagram, now) {
            return Vec::new();
        }
        let events = match self.endpoint.read(now, VIEWER, None, datagram) {
            Ok(events) => events,
            Err(error) => {
                tracing::debug!("DTLS record ignored: {error}");
                return Vec::new();
            }
        };
        if self.collect(now)
            && let Some(handshake) = &mut self.handshake
        {
            handshake.repeats.note_answered();
        }
        let mut handled = Vec::new();
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => {
                    self.handshake = None;
                    match self.keys() {
                        Ok(srtp) => handled.push(DtlsEvent::Connected(Box::new(srtp))),
                        Err(error) => tracing::info!("no keys for SRTP: {error}"),
                    }
                }
                EndpointEvent::ApplicationData(data) => handled.push(DtlsEvent::Data(data)),
                EndpointEvent::PeerClosed => {
                    self.is_closed = true;
                    handled.push(DtlsEvent::Closed);
                }
                _ => {}
            }
        }
        handled
    }

    /// Sends our last flight again if a datagram of the handshake only repeats what that answers; `false` if the library has to
    /// see the datagram.
    fn answer_repeat(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Some(handshake) = &mut self.handshake else { return false };
        let is_repeat = handshake.repeats.is_repeat(datagram);
        let Some(sent) = handshake.sent.filter(|_| is_repeat) else { return false };
        if now.saturating_duration_since(sent) < CROSSING {
            return true;
        }
        // The library sends the flight again, with numbers of its own, as if its timer had run out.
        let Some(due) = self.poll_timeout() else { return false };
        let before = self.outgoing.len();
        self.handle_timeout(due.max(now));
        self.outgoing.len() > before
    }

    /// Takes over what the library has to send; `true` if there is something.
    fn collect(&mut self, now: Instant) -> bool {
        let before = self.outgoing.len();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.outgoing.push_back(transmit.message);
        }
        let is_any = self.outgoing.len() > before;
        if let Some(handshake) = self.handshake.as_mut().filter(|_| is_any) {
            handshake.sent = Some(now);
        }
        is_any
    }

    /// Sends application data.
    pub fn write(&mut self, data: &[u8], now: Instant) {
        if self.is_closed {
            return;
        }
        if let Err(error) = self.endpoint.write(now, VIEWER, data) {
            tracing::debug!("send over DTLS: {error}");
        }
        self.collect(now);
    }

    /// Closes the connection, and tells the viewer.
    pub fn close(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_closed, true)
            && let Err(error) = self.endpoint.close(now)
        {
            tracing::debug!("close DTLS: {error}");
        }
        self.collect(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.outgoing.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout(&VIEWER)
    }

    /// Repeats what is not acknowledged.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_due = self.poll_timeout().is_some_and(|due| due <= now);
        if is_due && let Err(error) = self.endpoint.handle_timeout(VIEWER, now) {
            tracing::debug!("DTLS handshake: {error}");
        }
        self.collect(now);
    }

    fn keys(&self) -> Result<Srtp, Error> {
        let state = self.endpoint.get_connection_state(VIEWER).ok_or(Error::ErrNoRemoteCertificate)?;
        Srtp::new(state, &self.crypto)
    }
}

#[cfg(test)]
mod tests;
