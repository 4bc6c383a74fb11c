//! Takes the RTP packets of a session in the order in which they are sent: gives each its transport-wide number, notes it
//! for the estimate, encrypts it, and collects them to be sent together. Pure: time is a field.

use std::time::Instant;

use rtc::shared::error::Error;

use super::packets::Packets;
use super::rtp_header::{HeaderExtensions, RtpHeader};
use crate::server::rtc::peer::Srtp;
use crate::server::rtc::rate::history::{PacketKind, SentHistory, SentPacket};

/// What a packet takes besides its plain form, in bytes: the tag of SRTP, and the headers of UDP and IP.
const OVERHEAD: usize = 16 + 28;

/// Where packets go.
pub struct PacketSink<'s> {
    /// Encrypts them.
    pub srtp: &'s mut Srtp,
    /// Collects them.
    pub packets: &'s mut Packets,
    /// Remembers them, if the viewer reports on them.
    pub sent: Option<&'s mut SentHistory>,
    /// When they are sent.
    pub now: Instant,
    /// The probe that they are part of.
    pub probe: Option<u32>,
}

/// A packet that was written.
#[derive(Debug)]
pub struct PlainPacket<'p> {
    /// Its header.
    pub header: RtpHeader,
    /// The extensions of the header.
    pub extensions: HeaderExtensions,
    /// Where the transport-wide number goes, if it has one.
    pub number_at: Option<usize>,
    /// The header and the payload.
    pub bytes: &'p mut [u8],
}

impl PacketSink<'_> {
    /// Adds a packet. Returns what it takes on the wire, in bytes.
    ///
    /// # Errors
    ///
    /// If the library can't encrypt it.
    pub fn push(&mut self, packet: PlainPacket<'_>, kind: PacketKind) -> Result<usize, Error> {
        let PlainPacket { header: RtpHeader { ssrc, number, .. }, extensions, number_at, bytes } = packet;
        let size = bytes.len() + OVERHEAD;
        if let Some((at, sent)) = number_at.zip(self.sent.as_deref_mut()) {
            let (now, probe) = (self.now, self.probe);
            let transport = sent.note_sent(SentPacket { sent: now, bytes: size, kind, probe });
            bytes[at..at + 2].copy_from_slice(&transport.to_be_bytes());
        }
        self.packets.push(&self.srtp.seal_rtp(bytes, (ssrc, number), extensions.header_bytes())?);
        Ok(size)
    }
}
