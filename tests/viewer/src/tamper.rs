//! Cryptography of a viewer that breaks the rules of SCTP: it rewrites the data chunks that it sends, just before they
//! are encrypted, and reads every window as wide open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crc::{CRC_32_ISCSI, Crc};
use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CryptoAlgorithm, CryptoError, HashAlgorithm,
    HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme,
    SigningKey, StreamCipher, StreamCipherAlgorithm, default_provider,
};

/// A data chunk that is about to be sent: the flags, the stream, and the number of the message within the stream.
#[derive(Debug, Clone, Copy)]
pub struct DataChunk {
    pub flags: u8,
    pub stream: u16,
    pub number: u16,
}

/// The flags of a data chunk (RFC 9260 section 3.3.1).
pub const ENDS: u8 = 1;
pub const BEGINS: u8 = 2;
pub const UNORDERED: u8 = 4;

/// How a viewer rewrites its data chunks, from the moment it is armed.
#[derive(Debug, Clone)]
pub struct Tamper {
    /// Rewrites a chunk, given how many were rewritten before and the first of them.
    rewrite: fn(u32, DataChunk, DataChunk) -> DataChunk,
    armed: Arc<AtomicBool>,
}

impl Tamper {
    pub fn new(rewrite: fn(u32, DataChunk, DataChunk) -> DataChunk) -> Self {
        Self { rewrite, armed: Arc::default() }
    }

    /// From now on chunks are rewritten.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub fn crypto(&self) -> Result<Arc<dyn RTCCryptoProvider>, CryptoError> {
        let state = Arc::new(State { tamper: self.clone(), count: AtomicU32::new(0), first: AtomicU32::new(0) });
        Ok(Arc::new(TamperingCrypto { inner: default_provider()?, state }))
    }
}

struct State {
    tamper: Tamper,
    count: AtomicU32,
    /// The stream and number of the first chunk.
    first: AtomicU32,
}

impl State {
    fn rewrite_sent(&self, packet: &mut [u8]) {
        if !self.tamper.armed.load(Ordering::Relaxed) {
            return;
        }
        each_chunk(packet, |chunk| {
            if chunk[0] != 0 || chunk.len() < 16 {
                return;
            }
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            let half = |at: usize| u16::from_be_bytes([chunk[at], chunk[at + 1]]);
            let original = DataChunk { flags: chunk[1], stream: half(8), number: half(10) };
            if count == 0 {
                self.first.store(u32::from(original.stream) << 16 | u32::from(original.number), Ordering::Relaxed);
            }
            let first = self.first.load(Ordering::Relaxed);
            let first = DataChunk { flags: BEGINS, stream: (first >> 16) as u16, number: first as u16 };
            let DataChunk { flags, stream, number } = (self.tamper.rewrite)(count, original, first);
            chunk[1] = flags;
            chunk[8..10].copy_from_slice(&stream.to_be_bytes());
            chunk[10..12].copy_from_slice(&number.to_be_bytes());
        });
    }

    fn rewrite_received(&self, packet: &mut [u8]) {
        each_chunk(packet, |chunk| {
            if chunk[0] == 3 && chunk.len() >= 12 {
                chunk[8..12].copy_from_slice(&(1_u32 << 20).to_be_bytes());
            }
        });
    }
}

/// Calls `rewrite` with each chunk of a packet, and corrects the checksum.
fn each_chunk(packet: &mut [u8], mut rewrite: impl FnMut(&mut [u8])) {
    let mut at = 12;
    while let Some(&[_, _, high, low]) = packet.get(at..).and_then(|rest| rest.first_chunk()) {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let Some(chunk) = packet.get_mut(at..at + len.max(4)) else { break };
        rewrite(chunk);
        at += len.max(4).next_multiple_of(4);
    }
    if packet.len() >= 12 {
        packet[8..12].fill(0);
        let sum = Crc::<u32>::new(&CRC_32_ISCSI).checksum(packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
    }
}

struct TamperingCrypto {
    inner: Arc<dyn RTCCryptoProvider>,
    state: Arc<State>,
}

impl RTCCryptoProvider for TamperingCrypto {
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

impl RTCCrypto for TamperingCrypto {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        !matches!(algorithm, CryptoAlgorithm::Cbc(_)) && self.inner.crypto().supports(algorithm)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        let inner = self.inner.crypto().new_aead(algorithm, key)?;
        Ok(Box::new(TamperingCipher { inner, state: self.state.clone() }))
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

struct TamperingCipher {
    inner: Box<dyn AeadCipher>,
    state: Arc<State>,
}

/// Whether the additional data is that of a DTLS record with application data.
fn carries_sctp(aad: &[u8]) -> bool {
    aad.len() == 13 && aad[8] == 23
}

impl AeadCipher for TamperingCipher {
    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn seal_in_place(&mut self, nonce: &[u8], aad: &[u8], data: &mut [u8], tag: &mut [u8]) -> Result<(), CryptoError> {
        if carries_sctp(aad) {
            self.state.rewrite_sent(data);
        }
        self.inner.seal_in_place(nonce, aad, data, tag)
    }

    fn open_in_place(&mut self, nonce: &[u8], aad: &[u8], data: &mut [u8], tag: &[u8]) -> Result<(), CryptoError> {
        self.inner.open_in_place(nonce, aad, data, tag)?;
        if carries_sctp(aad) {
            self.state.rewrite_received(data);
        }
        Ok(())
    }
}
