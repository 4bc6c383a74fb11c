//! The data channels of one session: SCTP over DTLS (RFC 8831), and their opening (RFC 8832). Pure: time is an argument.
//!
//! What a viewer can make the library keep is bounded in `sctp_guard`. Messages stay in the library, whose window then
//! closes, until they are read here.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtc::datachannel::message::Message as Dcep;
use rtc::datachannel::message::message_channel_ack::DataChannelAck;
use rtc::datachannel::message::message_channel_open::DataChannelOpen;
use rtc::sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};
use rtc::shared::TransportProtocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal as _, Unmarshal as _};

use super::VIEWER;
use super::sctp_chunks::{self, chunk};
use super::sctp_guard::{self, SctpGuard, SctpViolation};

/// The message type of what opens a channel (RFC 8832 section 8.2.1).
const DATA_CHANNEL_OPEN: u8 = 0x03;

/// The longest message that we accept, as the answer says: what all implementations send (RFC 8841 section 6.1).
pub const MAX_MESSAGE_SIZE: u32 = 64 * 1024;

/// The SCTP port of both sides; it has no meaning over DTLS (RFC 8261 section 4.4).
pub const SCTP_PORT: u16 = 5_000;

/// A message of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it is text.
    pub is_text: bool,
    /// What it holds.
    pub data: Bytes,
}

/// What happened to the channels.
#[derive(Debug, PartialEq, Eq)]
pub enum DataEvent {
    /// The viewer has opened a channel.
    Opened {
        /// Its stream.
        id: u16,
        /// Its name.
        label: String,
    },
    /// A channel has messages.
    Readable(u16),
    /// A channel is closed.
    Closed(u16),
}

/// The data channels of one session.
pub struct DataChannels {
    endpoint: Endpoint,
    config: TransportConfig,
    association: Option<(AssociationHandle, Association)>,
    guard: SctpGuard,
    /// Our answer to the viewer's opening of the association, and whether it is to be sent again: nothing else repeats it.
    answer: Option<Bytes>,
    is_answer_due: bool,
    /// The channel that both sides know without opening it.
    negotiated: Option<u16>,
    /// The open channels.
    open: BTreeSet<u16>,
    events: VecDeque<DataEvent>,
}

impl DataChannels {
    /// Channels with a viewer that accepts messages of `max_message_size` bytes; 0 means any. `negotiated` is a channel
    /// that needs no opening.
    pub fn new(max_message_size: u32, negotiated: Option<u16>, is_dtls_client: bool) -> Self {
        let size = if max_message_size == 0 { MAX_MESSAGE_SIZE } else { max_message_size.min(MAX_MESSAGE_SIZE) };
        let config = TransportConfig::default()
            .with_sctp_port(SCTP_PORT)
            .with_max_message_size(size)
            .with_max_receive_buffer_size(sctp_guard::WINDOW);
        // The DTLS client opens the association. The library can't do both.
        let server = (!is_dtls_client).then(|| Arc::new(ServerConfig::new(config.clone())));
        let endpoint = Endpoint::new(VIEWER, TransportProtocol::UDP, Arc::new(EndpointConfig::default()), server);
        Self {
            endpoint,
            config,
            association: None,
            guard: SctpGuard::new(is_dtls_client),
            answer: None,
            is_answer_due: false,
            negotiated,
            open: BTreeSet::from_iter(negotiated),
            events: VecDeque::new(),
        }
    }

    /// Opens the association, if that is up to us.
    pub fn connect(&mut self, now: Instant) {
        match self.endpoint.connect(now, ClientConfig::new(self.config.clone()), VIEWER) {
            Ok(association) => self.association = Some(association),
            Err(error) => tracing::debug!("open an SCTP association: {error}"),
        }
    }

    /// Handles a packet of the viewer.
    ///
    /// # Errors
    ///
    /// When the session has to end.
    pub fn handle(&mut self, packet: BytesMut, now: Instant) -> Result<(), SctpViolation> {
        if !self.guard.check(&packet, now)? {
            self.is_answer_due |= self.guard.is_repeated_opening(&packet);
            return Ok(());
        }
        match self.endpoint.handle(now, VIEWER, None, packet.freeze()) {
            Some((handle, DatagramEvent::NewAssociation(association))) if self.association.is_none() => {
                self.association = Some((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = self.association.as_mut().filter(|(ours, _)| *ours == handle) {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
        self.collect_events(now);
        Ok(())
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<DataEvent> {
        self.events.pop_front()
    }

    /// The next message of a channel.
    pub fn read(&mut self, id: u16, now: Instant) -> Option<Message> {
        loop {
            let (ppi, data) = self.read_any(id)?;
            match ppi {
                PayloadProtocolIdentifier::Dcep => self.handle_opening(id, &data, now),
                PayloadProtocolIdentifier::String => return Some(Message { is_text: true, data }),
                PayloadProtocolIdentifier::Binary => return Some(Message { is_text: false, data }),
                PayloadProtocolIdentifier::StringEmpty => return Some(Message { is_text: true, data: Bytes::new() }),
                PayloadProtocolIdentifier::BinaryEmpty => return Some(Message { is_text: false, data: Bytes::new() }),
                _ => {}
            }
        }
    }

    /// Sends a message on a channel.
    ///
    /// # Errors
    ///
    /// If the channel is closed, or the message is longer than the viewer accepts.
    pub fn write(&mut self, id: u16, message: &Message, now: Instant) -> Result<(), Error> {
        if !self.open.contains(&id) {
            return Err(Error::ErrStreamClosed);
        }
        // SCTP has no empty messages (RFC 8831 section 6.6).
        let (ppi, data) = match (message.is_text, message.data.is_empty()) {
            (true, false) => (PayloadProtocolIdentifier::String, message.data.clone()),
            (false, false) => (PayloadProtocolIdentifier::Binary, message.data.clone()),
            (true, true) => (PayloadProtocolIdentifier::StringEmpty, Bytes::from_static(&[0])),
            (false, true) => (PayloadProtocolIdentifier::BinaryEmpty, Bytes::from_static(&[0])),
        };
        let association = self.association().ok_or(Error::ErrStreamClosed)?;
        association.stream(id)?.write_chunk_with_ppi(now, &data, ppi)?;
        Ok(())
    }

    /// The bytes of a channel that the viewer has not acknowledged yet.
    pub fn outstanding(&mut self, id: u16) -> usize {
        let stream = self.association().and_then(|association| association.stream(id).ok());
        stream.and_then(|stream| stream.buffered_amount().ok()).unwrap_or(0)
    }

    /// The packets to send now.
    pub fn poll_transmit(&mut self, now: Instant) -> Vec<Bytes> {
        let Some((_, association)) = &mut self.association else { return Vec::new() };
        let again = self.answer.clone().filter(|_| std::mem::take(&mut self.is_answer_due));
        let mut packets = Vec::from_iter(again);
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(batch) = transmit.message {
                packets.extend(batch);
            }
        }
        for packet in &packets {
            self.guard.note_sent(packet);
            if sctp_chunks::chunks(packet).any(|(kind, _)| kind == chunk::INIT_ACK) {
                self.answer = Some(packet.clone());
            }
        }
        packets
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    /// Repeats what is not acknowledged.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(association) = self.association() {
            association.handle_timeout(now);
            self.collect_events(now);
        }
    }

    fn association(&mut self) -> Option<&mut Association> {
        self.association.as_mut().map(|(_, association)| association)
    }

    fn collect_events(&mut self, now: Instant) {
        let Some((handle, association)) = &mut self.association else { return };
        let mut readable = Vec::new();
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => {
                    if let Some(id) = self.negotiated {
                        // It exists already if the viewer's first message was faster.
                        let _ = association.open_stream(id, PayloadProtocolIdentifier::String);
                    }
                    // What came with the last message of the handshake has not been read yet.
                    readable = association.stream_ids();
                }
                Event::AssociationLost { id, .. } => {
                    self.open.remove(&id);
                    self.events.push_back(DataEvent::Closed(id));
                }
                Event::Stream(StreamEvent::Readable { id }) if !readable.contains(&id) => readable.push(id),
                _ => {}
            }
        }
        while association.accept_stream().is_some() {}
        let mut is_drained = false;
        while let Some(event) = association.poll_endpoint_event() {
            is_drained |= event.is_drained();
            self.endpoint.handle_event(*handle, event);
        }
        if is_drained {
            self.association = None;
        }
        for id in readable {
            self.accept(id, now);
            if self.open.contains(&id) {
                self.events.push_back(DataEvent::Readable(id));
            }
        }
    }

    /// Reads what opens a channel. What comes before is ignored.
    fn accept(&mut self, id: u16, now: Instant) {
        while !self.open.contains(&id)
            && let Some((ppi, message)) = self.read_any(id)
        {
            if ppi == PayloadProtocolIdentifier::Dcep {
                self.handle_opening(id, &message, now);
            }
        }
    }

    fn read_any(&mut self, id: u16) -> Option<(PayloadProtocolIdentifier, Bytes)> {
        let association = self.association().filter(|association| !association.is_handshaking())?;
        let chunks = association.stream(id).ok()?.read_sctp().ok()??;
        match chunks.to_payload(MAX_MESSAGE_SIZE as usize) {
            Ok(data) => Some((chunks.ppi, data.freeze())),
            // A longer message is ignored, as the answer does not allow it.
            Err(_) => Some((PayloadProtocolIdentifier::Unknown, Bytes::new())),
        }
    }

    /// Handles a message of RFC 8832.
    fn handle_opening(&mut self, id: u16, message: &[u8], now: Instant) {
        // One that is open needs no other answer, which a viewer could have us keep without end.
        let Some(open) = opening(message).filter(|_| !self.open.contains(&id)) else { return };
        let Ok(acknowledgement) = Dcep::DataChannelAck(DataChannelAck {}).marshal() else { return };
        let acknowledgement = acknowledgement.freeze();
        let Some(association) = self.association() else { return };
        let Ok(mut stream) = association.stream(id) else { return };
        if stream.write_chunk_with_ppi(now, &acknowledgement, PayloadProtocolIdentifier::Dcep).is_ok()
            && self.open.insert(id)
        {
            let label = String::from_utf8_lossy(&open.label).into_owned();
            self.events.push_back(DataEvent::Opened { id, label });
        }
    }
}

/// Reads a message that opens a channel (RFC 8832 section 5.1); `None` if it is another one, or cut off. The library as a whole
/// also reads messages of its own use, and panics (rtc-datachannel 0.21.1) where one of those is cut off.
fn opening(message: &[u8]) -> Option<DataChannelOpen> {
    let (kind, mut rest) = message.split_first()?;
    if *kind == DATA_CHANNEL_OPEN { DataChannelOpen::unmarshal(&mut rest).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data channels of a board, and of a viewer that opens the association.
    fn pair() -> (DataChannels, DataChannels, Instant) {
        let (board, mut viewer) = (DataChannels::new(0, None, false), DataChannels::new(0, None, true));
        let now = Instant::now();
        viewer.connect(now);
        (board, viewer, now)
    }

    fn pass_on(from: &mut DataChannels, to: &mut DataChannels, now: Instant) -> usize {
        let packets = from.poll_transmit(now);
        for packet in &packets {
            to.handle(BytesMut::from(&packet[..]), now).expect("no violation");
        }
        packets.len()
    }

    fn until_quiet(board: &mut DataChannels, viewer: &mut DataChannels, now: Instant) {
        while pass_on(viewer, board, now) + pass_on(board, viewer, now) > 0 {}
    }

    fn open_again(viewer: &mut DataChannels, now: Instant) {
        let message = Bytes::from_static(&[DATA_CHANNEL_OPEN, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, b'a']);
        let association = viewer.association().expect("an association");
        if association.stream(0).is_err() {
            association.open_stream(0, PayloadProtocolIdentifier::Dcep).expect("a stream");
        }
        let mut stream = association.stream(0).expect("a stream");
        stream.write_chunk_with_ppi(now, &message, PayloadProtocolIdentifier::Dcep).expect("should be sent");
    }

    #[test]
    fn a_channel_that_is_opened_again_is_answered_once() {
        let (mut board, mut viewer, now) = pair();
        until_quiet(&mut board, &mut viewer, now);
        open_again(&mut viewer, now);
        pass_on(&mut viewer, &mut board, now);
        assert_eq!(board.poll_event(), Some(DataEvent::Opened { id: 0, label: "a".into() }));
        let answer = board.outstanding(0);
        assert!(answer > 0);
        // The viewer acknowledges none of it.
        for _ in 0..50 {
            open_again(&mut viewer, now);
            pass_on(&mut viewer, &mut board, now);
            assert_eq!(board.read(0, now), None);
        }
        assert_eq!(board.outstanding(0), answer);
    }

    #[test]
    fn a_viewer_whose_opening_was_answered_in_vain_is_answered_again() {
        let (mut board, mut viewer, now) = pair();
        let opening = viewer.poll_transmit(now);
        let [opening] = &opening[..] else { panic!("{opening:?}") };
        for attempt in 0..3 {
            board.handle(BytesMut::from(&opening[..]), now).expect("no violation");
            let answer = board.poll_transmit(now);
            assert_eq!(answer.len(), 1, "{attempt}");
            if attempt == 2 {
                viewer.handle(BytesMut::from(&answer[0][..]), now).expect("no violation");
            }
        }
        assert!(board.poll_transmit(now).is_empty());
        until_quiet(&mut board, &mut viewer, now);
        open_again(&mut viewer, now);
        until_quiet(&mut board, &mut viewer, now);
        assert_eq!(board.poll_event(), Some(DataEvent::Opened { id: 0, label: "a".into() }));
    }

    #[test]
    fn messages_of_any_kind_and_length_are_read_or_refused() {
        let whole = [DATA_CHANNEL_OPEN, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, b'a', b'b', b'c', b'd'];
        assert_eq!(opening(&whole).map(|open| open.label), Some(b"abc".to_vec()));
        for kind in 0..=u8::MAX {
            for length in 0..=whole.len() {
                let mut message = whole;
                message[0] = kind;
                let is_read = opening(&message[..length]).is_some();
                assert_eq!(is_read, kind == DATA_CHANNEL_OPEN && length == whole.len(), "{kind}, {length} bytes");
            }
        }
    }
}
