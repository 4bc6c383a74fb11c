//! SRTP and SRTCP of one session, with the keys of its DTLS handshake (RFC 3711, RFC 5764). Pure.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::dtls::state::State;
use rtc::rtp::header::Header;
use rtc::shared::error::Error;
use rtc::srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc::srtp::context::Context;
use rtc::srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc::srtp::protection_profile::ProtectionProfile;

/// The profiles that we take, the best first: AES-GCM (RFC 7714) costs a quarter of the others, which every endpoint has
/// (RFC 8827 section 6.5).
pub const PROFILES: [SrtpProtectionProfile; 4] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32,
];

/// How many packets back a replay is recognised (RFC 3711 section 3.3.2).
const REPLAY_WINDOW: usize = 64;

/// The length of an RTP header without extensions.
const FIXED_HEADER: usize = 12;

/// Synchronisation sources in the viewer's packets until replays are forgotten: the library keeps a record of each, also
/// of those in forged packets. A viewer has one or two.
const MAX_SOURCES: usize = 64;

/// The keys of both directions.
pub struct Srtp {
    ours: Context,
    theirs: Context,
    /// To renew `theirs`.
    their_keys: Keys,
    sources: HashSet<u32>,
}

/// What a context is made from.
struct Keys {
    master_key: Vec<u8>,
    master_salt: Vec<u8>,
    profile: ProtectionProfile,
    crypto: Arc<dyn RTCCryptoProvider>,
}

impl Keys {
    fn receiver(&self) -> Result<Context, Error> {
        Context::new(
            &self.master_key,
            &self.master_salt,
            self.profile,
            Some(srtp_replay_protection(REPLAY_WINDOW)),
            Some(srtcp_replay_protection(REPLAY_WINDOW)),
            self.crypto.crypto(),
        )
    }
}

impl Srtp {
    /// Exports the keys of a completed handshake.
    pub(super) fn new(state: &State, crypto: &Arc<dyn RTCCryptoProvider>) -> Result<Self, Error> {
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => ProtectionProfile::AeadAes256Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
            _ => return Err(Error::ErrNoSuchSrtpProfile),
        };
        let mut config = Config { profile, ..Default::default() };
        let material = state.export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len())?;
        config.set_session_keys_from_keying_material(material.as_ref(), state.is_client())?;
        let keys = &config.keys;
        let (key, salt) = (&keys.local_master_key, &keys.local_master_salt);
        let ours = Context::new(key.as_ref(), salt.as_ref(), profile, None, None, crypto.crypto())?;
        let (master_key, master_salt) = (keys.remote_master_key.to_vec(), keys.remote_master_salt.to_vec());
        let their_keys = Keys { master_key, master_salt, profile, crypto: crypto.clone() };
        Ok(Self { ours, theirs: their_keys.receiver()?, their_keys, sources: HashSet::new() })
    }

    /// Encrypts an RTP packet of this source and number, whose header has `header_bytes` bytes.
    ///
    /// # Errors
    ///
    /// After 2^48 packets.
    pub fn seal_rtp(
        &mut self,
        packet: &[u8],
        (ssrc, sequence_number): (u32, u16),
        header_bytes: usize,
    ) -> Result<BytesMut, Error> {
        // The library needs the source, the number and the length only. Extensions as they are would be allocated.
        let extension = header_bytes > FIXED_HEADER;
        let extensions_padding = header_bytes.saturating_sub(FIXED_HEADER + 4);
        let header = Header { ssrc, sequence_number, extension, extensions_padding, ..Default::default() };
        self.ours.encrypt_rtp_with_header(packet, &header)
    }

    /// Encrypts a compound of RTCP packets.
    ///
    /// # Errors
    ///
    /// If it is no RTCP.
    pub fn seal_rtcp(&mut self, compound: &[u8]) -> Result<BytesMut, Error> {
        self.ours.encrypt_rtcp(compound)
    }

    /// Decrypts a compound of RTCP packets.
    ///
    /// # Errors
    ///
    /// If it is not authentic, or was received before.
    pub fn open_rtcp(&mut self, datagram: &[u8]) -> Result<BytesMut, Error> {
        self.note_source(datagram.get(4..8))?;
        self.theirs.decrypt_rtcp(datagram)
    }

    /// Decrypts an RTP packet.
    ///
    /// # Errors
    ///
    /// If it is not authentic, or was received before.
    pub fn open_rtp(&mut self, datagram: &[u8]) -> Result<BytesMut, Error> {
        self.note_source(datagram.get(8..12))?;
        self.theirs.decrypt_rtp(datagram)
    }

    /// Forgets replays when there were too many sources.
    fn note_source(&mut self, source: Option<&[u8]>) -> Result<(), Error> {
        if let Some(source) = source.and_then(|source| source.try_into().ok()) {
            self.sources.insert(u32::from_be_bytes(source));
        }
        if self.sources.len() > MAX_SOURCES {
            self.sources.clear();
            self.theirs = self.their_keys.receiver()?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Srtp {
    /// One that decrypts what it has encrypted: both directions have the same keys.
    pub fn for_tests() -> Self {
        let (profile, crypto) =
            (ProtectionProfile::AeadAes128Gcm, rtc::crypto::default_provider().expect("cryptography"));
        let (master_key, master_salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
        let ours = Context::new(&master_key, &master_salt, profile, None, None, crypto.crypto()).expect("keys");
        let their_keys = Keys { master_key, master_salt, profile, crypto };
        Self { ours, theirs: their_keys.receiver().expect("keys"), their_keys, sources: HashSet::new() }
    }
}
