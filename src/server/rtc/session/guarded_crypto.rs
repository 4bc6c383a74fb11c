//! The cryptography of one session, through which the guard of `sctp_guard` reads the data channels' packets: it is the
//! one place between the network and the WebRTC library where they are neither encrypted nor taken apart yet.
//!
//! A packet that is not let through fails to authenticate, and the library discards it (RFC 6347 section 4.1.2.7).

use std::sync::Arc;
use std::time::Instant;

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CryptoAlgorithm, CryptoError, HashAlgorithm,
    HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme,
    SigningKey, StreamCipher, StreamCipherAlgorithm, default_provider,
};
use tokio_util::sync::CancellationToken;

use super::sctp_guard::SctpGuard;
use crate::util::lock::Mutex;

/// The additional data of a DTLS 1.2 record (RFC 5246 section 6.2.3.3): epoch, sequence number, type, version, length.
/// That of an SRTP packet, its header, is a multiple of four bytes long.
const DTLS_HEADER_LEN: usize = 13;

/// The content type of records that carry SCTP.
const APPLICATION_DATA: u8 = 23;

/// The library's default cryptography, with the guard of one session.
pub struct GuardedCrypto {
    inner: Arc<dyn RTCCryptoProvider>,
    guard: Arc<SessionGuardState>,
}

/// The guard, and what it ends.
struct SessionGuardState {
    sctp: Mutex<SctpGuard>,
    end: CancellationToken,
}

impl GuardedCrypto {
    /// Cryptography for a session that `end` ends when its viewer breaks the rules.
    ///
    /// # Errors
    ///
    /// If the library is built without cryptography.
    pub fn provider(end: CancellationToken) -> Result<Arc<dyn RTCCryptoProvider>, CryptoError> {
        let guard = Arc::new(SessionGuardState { sctp: Mutex::default(), end });
        Ok(Arc::new(Self { inner: default_provider()?, guard }))
    }
}

impl SessionGuardState {
    /// Whether the library may see a packet of the viewer.
    fn check(&self, packet: &[u8]) -> bool {
        match self.sctp.lock().check(packet, Instant::now()) {
            Ok(passes) => passes,
            Err(violation) => {
                if !self.end.is_cancelled() {
                    tracing::warn!("{violation}; ending the session");
                    self.end.cancel();
                }
                false
            }
        }
    }
}

impl RTCCryptoProvider for GuardedCrypto {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.inner.random()
    }
}

/// As the default, except for CBC ciphers: they could not be guarded, and no browser needs them. Without an own
/// `new_cbc` there are none.
impl RTCCrypto for GuardedCrypto {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        !matches!(algorithm, CryptoAlgorithm::Cbc(_)) && self.inner.crypto().supports(algorithm)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        let inner = self.inner.crypto().new_aead(algorithm, key)?;
        Ok(Box::new(GuardedCipher { inner, guard: self.guard.clone() }))
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner.crypto().hash(algorithm, data)
    }

    fn block_encrypt(&self, algorithm: BlockCipherAlgorithm, key: &[u8], block: &mut [u8]) -> Result<(), CryptoError> {
        self.inner.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.inner.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.inner.crypto().new_stream_cipher(algorithm, key)
    }

    fn start_key_exchange(&self, algorithm: KeyExchangeAlgorithm) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.inner.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(&self, scheme: SignatureScheme) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(&self, scheme: SignatureScheme, der: &[u8]) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().import_signing_key(scheme, der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.inner.crypto().verify_signature(scheme, public_key, message, signature)
    }
}

/// A cipher of DTLS or SRTP.
struct GuardedCipher {
    inner: Box<dyn AeadCipher>,
    guard: Arc<SessionGuardState>,
}

impl AeadCipher for GuardedCipher {
    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn seal_in_place(&mut self, nonce: &[u8], aad: &[u8], data: &mut [u8], tag: &mut [u8]) -> Result<(), CryptoError> {
        if carries_sctp(aad) {
            self.guard.sctp.lock().note_sent(data);
        }
        self.inner.seal_in_place(nonce, aad, data, tag)
    }

    fn open_in_place(&mut self, nonce: &[u8], aad: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), CryptoError> {
        self.inner.open_in_place(nonce, aad, data, tag)?;
        let passes = !carries_sctp(aad) || self.guard.check(data);
        if passes { Ok(()) } else { Err(CryptoError::AuthenticationFailed) }
    }
}

fn carries_sctp(aad: &[u8]) -> bool {
    aad.len() == DTLS_HEADER_LEN && aad[8] == APPLICATION_DATA
}
