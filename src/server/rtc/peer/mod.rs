//! The peer connection of one session without its network and clock: ICE, DTLS, SRTP and data channels. Pure: datagrams,
//! time and commands in; datagrams and events out.
//!
//! It stands on the parts of webrtc-rs, not on its peer connection, which handles each packet of media alone. What is
//! sent as media is decided in `session`, which encrypts it here.

mod data;
mod dtls;
mod dtls_repeats;
mod ice_agent;
mod ice_generation;
mod ice_message;
mod sctp_chunks;
mod sctp_guard;
mod srtp;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use rtc::shared::error::Error;

use crate::server::rtc::mux::Credentials;
use crate::util::token_bucket::{Bucket, Rate};
pub use data::{DataChannels, DataEvent, MAX_MESSAGE_SIZE, Message, SCTP_PORT};
pub use dtls::DtlsIdentity;
use dtls::{Dtls, DtlsEvent};
pub use ice_agent::Consent;
use ice_agent::IceAgent;
pub use sctp_guard::SctpViolation;
pub use srtp::Srtp;

/// The packets of audio that a viewer may send: twice what a browser sends whose packets have 10 ms, and those of half a second
/// at once, after a stall.
const AUDIO_PACKETS: Rate = Rate::new(50, 200);

/// The packets of audio and a picture: 1,000 carry 9 Mbit/s, several times what the page sends, and a large key frame or half a
/// second may come at once.
const PICTURE_PACKETS: Rate = Rate::new(500, 1_000);

/// The viewer's address as the library's DTLS and SCTP know it, whatever path is used.
const VIEWER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What the offer and the answer say about the connection.
pub struct PeerDescription {
    /// Our ICE credentials.
    pub ours: Credentials,
    /// The viewer's.
    pub theirs: Credentials,
    /// Whether the path is for us to nominate, as the viewer cannot.
    pub is_controlling: bool,
    /// When the connection counts as broken.
    pub consent: Consent,
    /// The SHA-256 fingerprint of the viewer's certificate.
    pub fingerprint: String,
    /// Whether we are the DTLS client.
    pub is_dtls_client: bool,
    /// The data channels, if there are any.
    pub data: Option<DataDescription>,
    /// What the viewer may send.
    pub inbound: InboundMedia,
}

/// What media a viewer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundMedia {
    /// None.
    Nothing,
    /// What it says.
    Audio,
    /// What it says and shows.
    Picture,
}

impl InboundMedia {
    fn rate(self) -> Option<Rate> {
        match self {
            Self::Nothing => None,
            Self::Audio => Some(AUDIO_PACKETS),
            Self::Picture => Some(PICTURE_PACKETS),
        }
    }
}

/// What the offer and the answer say about the data channels.
pub struct DataDescription {
    /// The longest message that the viewer accepts; 0 means any.
    pub max_message_size: u32,
    /// The channel that needs no opening.
    pub negotiated: Option<u16>,
}

/// What happened on the connection.
#[derive(Debug)]
pub enum PeerEvent {
    /// Media can be sent.
    Connected,
    /// The viewer has closed the connection.
    Closed,
    /// The viewer is no longer heard.
    Failed,
    /// The viewer abuses its data channels.
    Violation(SctpViolation),
    /// Something about the data channels.
    Data(DataEvent),
    /// A compound of RTCP packets, which is authentic but not parsed yet.
    Rtcp(Bytes),
    /// An RTP packet, which is authentic but not parsed yet.
    Rtp(Bytes),
}

/// The protocols of a datagram on the one port (RFC 7983 section 7, RFC 5761 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Stun,
    Dtls,
    Rtcp,
    Rtp,
    Other,
}

impl Protocol {
    fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, ..] => Self::Rtp,
            _ => Self::Other,
        }
    }
}

/// One session's connection.
pub struct Peer {
    ice: IceAgent,
    dtls: Dtls,
    srtp: Option<Box<Srtp>>,
    data: Option<DataChannels>,
    is_dtls_client: bool,
    /// Where the last DTLS record came from, for a handshake that the viewer begins before a path is selected.
    dtls_from: Option<SocketAddr>,
    transmits: VecDeque<(SocketAddr, Bytes)>,
    events: VecDeque<PeerEvent>,
    /// How many packets of media the viewer may send, and may still send; `None` if it may send none.
    media: Option<(Rate, Bucket)>,
    /// How many were more than that, since it was asked.
    refused_media: u64,
    is_failed: bool,
}

impl Peer {
    /// A connection that waits for the viewer.
    ///
    /// # Errors
    ///
    /// If the library rejects a setting.
    pub fn new(identity: &DtlsIdentity, description: PeerDescription) -> Result<Self, Error> {
        let PeerDescription { ours, theirs, is_controlling, consent, fingerprint, is_dtls_client, data, inbound } =
            description;
        let ice = IceAgent::new(identity.crypto().clone(), ours, theirs, is_controlling, consent);
        let dtls = Dtls::new(identity, &fingerprint, is_dtls_client)?;
        let data = data.map(|data| DataChannels::new(data.max_message_size, data.negotiated, is_dtls_client));
        let (transmits, events) = (VecDeque::new(), VecDeque::new());
        let media = inbound.rate().map(|rate| (rate, Bucket::new(rate, Instant::now())));
        Ok(Self {
            ice,
            dtls,
            srtp: None,
            data,
            is_dtls_client,
            dtls_from: None,
            transmits,
            events,
            media,
            refused_media: 0,
            is_failed: false,
        })
    }

    /// Checks a candidate of the viewer.
    pub fn add_candidate(&mut self, address: SocketAddr, now: Instant) {
        self.ice.add_candidate(address, now);
        self.flush(now);
    }

    /// Restarts ICE with other credentials.
    pub fn restart_ice(&mut self, ours: Credentials, theirs: Credentials, now: Instant) {
        self.ice.restart(ours, theirs, now);
        self.flush(now);
    }

    /// Where media is sent to; `None` before the viewer has chosen a path.
    pub fn path(&self) -> Option<SocketAddr> {
        self.ice.selected()
    }

    /// Encrypts media; `None` before the handshake is complete.
    pub fn srtp(&mut self) -> Option<&mut Srtp> {
        self.srtp.as_deref_mut()
    }

    /// Handles a datagram that was received from `from`, of which the demultiplexer knows that it belongs to this
    /// session.
    pub fn handle(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        match Protocol::of(datagram) {
            Protocol::Stun => {
                let had_path = self.ice.selected().is_some();
                self.ice.handle(datagram, from, now);
                if !had_path && self.ice.selected().is_some() {
                    self.dtls.start(now);
                }
            }
            // The answers go there, and only whoever was heard there has agreed to get any (RFC 7675 section 5).
            Protocol::Dtls if self.ice.selected().is_none() && !self.ice.has_heard(from) => {
                tracing::debug!("DTLS from {from} ignored: no connectivity check has come from there");
            }
            Protocol::Dtls => {
                self.dtls_from = Some(from);
                for event in self.dtls.handle(datagram.into(), now) {
                    self.handle_dtls(event, now);
                }
            }
            Protocol::Rtcp => self.handle_rtcp(datagram, from, now),
            Protocol::Rtp => self.handle_rtp(datagram, from, now),
            Protocol::Other => {}
        }
        self.flush(now);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let data = self.data.as_ref().and_then(DataChannels::poll_timeout);
        [self.ice.poll_timeout(), self.dtls.poll_timeout(), data].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        self.dtls.handle_timeout(now);
        if let Some(data) = &mut self.data {
            data.handle_timeout(now);
        }
        self.flush(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Bytes)> {
        self.transmits.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// The next message of a data channel.
    pub fn read(&mut self, channel: u16, now: Instant) -> Option<Message> {
        self.data.as_mut()?.read(channel, now)
    }

    /// How many packets of media were more than a viewer may send, since this was asked.
    pub fn take_refused_media(&mut self) -> u64 {
        std::mem::take(&mut self.refused_media)
    }

    /// Has what was read acknowledged, and what was written sent.
    pub fn flush(&mut self, now: Instant) {
        // First, as the viewer accepts nothing else until it has the response to its check.
        while let Some((to, message)) = self.ice.poll_transmit() {
            self.transmits.push_back((to, message.into()));
        }
        if let Some(data) = &mut self.data {
            for packet in data.poll_transmit(now) {
                self.dtls.write(&packet, now);
            }
            while let Some(event) = data.poll_event() {
                self.events.push_back(PeerEvent::Data(event));
            }
        }
        if let Some(to) = self.ice.selected().or(self.dtls_from) {
            while let Some(datagram) = self.dtls.poll_transmit() {
                self.transmits.push_back((to, datagram.freeze()));
            }
        }
        if self.ice.is_failed() && !std::mem::replace(&mut self.is_failed, true) {
            self.events.push_back(PeerEvent::Failed);
        }
    }

    /// Sends a message on a data channel with the next [`Self::flush`].
    ///
    /// # Errors
    ///
    /// If the channel is closed, or the message is longer than the viewer accepts.
    pub fn write(&mut self, channel: u16, message: &Message, now: Instant) -> Result<(), Error> {
        self.data.as_mut().ok_or(Error::ErrStreamClosed)?.write(channel, message, now)
    }

    /// The bytes of a data channel that the viewer has not acknowledged yet.
    pub fn outstanding(&mut self, channel: u16) -> usize {
        self.data.as_mut().map_or(0, |data| data.outstanding(channel))
    }

    /// Closes the connection, and tells the viewer.
    pub fn close(&mut self, now: Instant) {
        self.dtls.close(now);
        self.flush(now);
    }

    fn handle_dtls(&mut self, event: DtlsEvent, now: Instant) {
        match event {
            DtlsEvent::Connected(srtp) => {
                self.srtp = Some(srtp);
                if let Some(data) = self.data.as_mut().filter(|_| self.is_dtls_client) {
                    data.connect(now);
                }
                self.events.push_back(PeerEvent::Connected);
            }
            DtlsEvent::Data(packet) => {
                let Some(data) = &mut self.data else { return };
                if let Err(violation) = data.handle(packet, now) {
                    self.events.push_back(PeerEvent::Violation(violation));
                }
            }
            DtlsEvent::Closed => self.events.push_back(PeerEvent::Closed),
        }
    }

    fn handle_rtp(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some((srtp, (rate, budget))) = self.srtp.as_mut().zip(self.media.as_mut()) else { return };
        // Before it costs anything.
        if budget.try_acquire(*rate, now).is_err() {
            self.refused_media += 1;
            return;
        }
        match srtp.open_rtp(datagram) {
            Ok(packet) => {
                self.ice.note_authentic(from, now);
                self.events.push_back(PeerEvent::Rtp(packet.freeze()));
            }
            Err(error) => tracing::debug!("RTP ignored: {error}"),
        }
    }

    fn handle_rtcp(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some(srtp) = &mut self.srtp else { return };
        match srtp.open_rtcp(datagram) {
            Ok(compound) => {
                self.ice.note_authentic(from, now);
                self.events.push_back(PeerEvent::Rtcp(compound.freeze()));
            }
            Err(error) => tracing::debug!("RTCP ignored: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
