//! Drives the connection of one session: datagrams from the demultiplexer, timers, and what the control channels and the
//! ICE session ask for go in; datagrams and events come out.
//!
//! The protocols are in `peer`. What is sent as media is decided in `send_loop`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rtc::shared::error::Error;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Sleep, sleep_until};

use super::control_channel;
use super::data_channel::{self, ChannelEnd, DataChannel, Outgoing};
use super::packets::Packets;
use crate::model::protocol::limits::MAX_BUFFERED_AMOUNT;
use crate::server::rtc::ice::restart::IceCommand;
use crate::server::rtc::mux::VirtualSocket;
use crate::server::rtc::peer::{DataEvent, Peer, PeerEvent, SctpViolation, Srtp};

/// Messages that wait to be sent: one at a time is taken from each channel.
const OUTGOING_QUEUE: usize = 2;

/// Datagrams handled at once, before media gets its turn.
const MAX_AT_ONCE: usize = 16;

/// The pre-negotiated control channel.
pub const CONTROL_CHANNEL: u16 = 0;

/// Channels of one viewer; one is used.
const MAX_CHANNELS: usize = 4;

/// What happened on the connection.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// Media can be sent.
    Connected,
    /// The viewer has closed the connection.
    Closed,
    /// The viewer is no longer heard.
    Failed,
    /// The viewer abuses its data channels.
    Violation(SctpViolation),
    /// The viewer has opened a data channel.
    Channel(DataChannel),
    /// The viewer has sent RTCP.
    Rtcp(Bytes),
    /// The viewer has sent media.
    Rtp(Bytes),
}

/// One session's connection.
pub struct Connection {
    peer: Peer,
    socket: VirtualSocket,
    ice: mpsc::Receiver<IceCommand>,
    channels: Vec<ChannelEnd>,
    outgoing: mpsc::Receiver<Outgoing>,
    outgoing_sender: mpsc::Sender<Outgoing>,
    was_read: Arc<Notify>,
    /// Whether anything has happened to the peer since [`Connection::next`] looked at it: media changes nothing in it, and is
    /// most of what a session wakes up for.
    is_changed: bool,
    /// Whether the viewer takes more messages.
    has_room: bool,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, if it is set.
    armed: Option<Instant>,
    /// The source of the viewer's RTCP.
    source: Option<u32>,
    /// The path that media took last, and whether ICE was restarted since that was asked.
    known_path: Option<SocketAddr>,
    is_restarted: bool,
}

impl Connection {
    /// The connection of `peer` on `socket`, with the commands of its ICE session.
    pub fn new(peer: Peer, socket: VirtualSocket, ice: mpsc::Receiver<IceCommand>) -> Self {
        let (outgoing_sender, outgoing) = mpsc::channel(OUTGOING_QUEUE);
        let (channels, was_read) = (Vec::new(), Arc::default());
        let timer = Box::pin(sleep_until(tokio::time::Instant::now()));
        Self {
            peer,
            socket,
            ice,
            channels,
            outgoing,
            outgoing_sender,
            was_read,
            is_changed: true,
            has_room: true,
            timer,
            armed: None,
            source: None,
            known_path: None,
            is_restarted: false,
        }
    }

    /// The control channel that both sides know without opening it.
    pub fn negotiated_channel(&mut self) -> DataChannel {
        self.add_channel(CONTROL_CHANNEL, control_channel::LABEL.into(), true)
    }

    /// What happens next. Cancel safe.
    pub async fn next(&mut self) -> ConnectionEvent {
        loop {
            if self.is_changed {
                self.transmit();
                if let Some(event) = self.poll_event() {
                    return event;
                }
                self.has_room = self.unacknowledged() <= MAX_BUFFERED_AMOUNT;
                self.arm();
                self.is_changed = false;
            }
            tokio::select! {
                biased;
                Some(command) = self.ice.recv() => self.handle_ice(command),
                (datagram, from) = self.socket.receive() => self.handle_datagrams(datagram, from),
                () = &mut self.timer, if self.armed.is_some() => {
                    self.armed = None;
                    self.peer.handle_timeout(Instant::now());
                }
                () = self.was_read.notified() => {}
                Some(outgoing) = self.outgoing.recv(), if self.has_room => self.write(&outgoing),
            }
            self.is_changed = true;
        }
    }

    /// Goes on until the connection breaks; what else happens is ignored.
    pub async fn drive(&mut self) {
        while !matches!(self.next().await, ConnectionEvent::Closed | ConnectionEvent::Failed) {}
    }

    /// Encrypts media; `None` before the viewer has connected.
    pub fn srtp(&mut self) -> Option<&mut Srtp> {
        self.peer.srtp()
    }

    /// How many packets of media were more than a viewer may send, since this was asked.
    pub fn take_refused_media(&mut self) -> u64 {
        self.peer.take_refused_media()
    }

    /// Whether media takes another path than when this was asked last, or may do so after an ICE restart.
    pub fn take_path_change(&mut self) -> bool {
        let path = self.peer.path();
        let is_moved =
            path.is_some() && std::mem::replace(&mut self.known_path, path).is_some_and(|known| path != Some(known));
        std::mem::take(&mut self.is_restarted) || is_moved
    }

    /// Sends packets of media on the viewer's path.
    pub fn send(&self, packets: &Packets) {
        if let Some(to) = self.peer.path() {
            self.socket.send_all(to, packets.datagrams());
        }
    }

    /// Closes the connection, and tells the viewer.
    pub fn close(mut self) {
        self.peer.close(Instant::now());
        self.transmit();
        self.socket.close();
    }

    fn handle_ice(&mut self, command: IceCommand) {
        let now = Instant::now();
        match command {
            IceCommand::Candidate(address) => self.peer.add_candidate(address, now),
            IceCommand::Restart { ours, theirs } => {
                self.is_restarted = true;
                self.peer.restart_ice(ours, theirs, now);
            }
        }
    }

    fn handle_datagrams(&mut self, datagram: Bytes, from: SocketAddr) {
        let now = Instant::now();
        self.peer.handle(&datagram, from, now);
        for _ in 1..MAX_AT_ONCE {
            let Some((datagram, from)) = self.socket.try_receive() else { break };
            self.peer.handle(&datagram, from, now);
        }
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent> {
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::Connected => return Some(ConnectionEvent::Connected),
                PeerEvent::Closed => return Some(ConnectionEvent::Closed),
                PeerEvent::Failed => return Some(ConnectionEvent::Failed),
                PeerEvent::Violation(violation) => return Some(ConnectionEvent::Violation(violation)),
                PeerEvent::Rtcp(compound) => {
                    self.learn_source(&compound);
                    return Some(ConnectionEvent::Rtcp(compound));
                }
                PeerEvent::Rtp(packet) => return Some(ConnectionEvent::Rtp(packet)),
                PeerEvent::Data(DataEvent::Opened { id, label }) => {
                    if self.channels.len() >= MAX_CHANNELS {
                        tracing::debug!("too many data channels; ignored");
                        continue;
                    }
                    return Some(ConnectionEvent::Channel(self.add_channel(id, label, false)));
                }
                PeerEvent::Data(DataEvent::Readable(id)) => {
                    if let Some(channel) = self.channels.iter_mut().find(|channel| channel.id() == id) {
                        channel.set_readable();
                    }
                }
                PeerEvent::Data(DataEvent::Closed(id)) => self.channels.retain(|channel| channel.id() != id),
            }
        }
        self.forward();
        None
    }

    /// Has RTCP of the viewer's source routed here.
    fn learn_source(&mut self, compound: &[u8]) {
        let source = compound.get(4..8).and_then(|source| source.try_into().ok()).map(u32::from_be_bytes);
        if let Some(source) = source.filter(|source| self.source != Some(*source)) {
            self.source = Some(source);
            self.socket.learn_source(source);
        }
    }

    fn add_channel(&mut self, id: u16, label: String, is_negotiated: bool) -> DataChannel {
        let (channel, end) =
            data_channel::new(id, label, is_negotiated, self.outgoing_sender.clone(), self.was_read.clone());
        self.channels.push(end);
        channel
    }

    /// Passes received messages on.
    fn forward(&mut self) {
        let now = Instant::now();
        let mut any = false;
        for channel in &mut self.channels {
            let id = channel.id();
            any |= channel.forward(|| self.peer.read(id, now));
        }
        if any {
            // The viewer learns that there is room again.
            self.peer.flush(now);
            self.transmit();
        }
    }

    /// The bytes of all channels that the viewer has not acknowledged yet.
    fn unacknowledged(&mut self) -> usize {
        self.channels.iter().map(|channel| self.peer.outstanding(channel.id())).sum()
    }

    fn write(&mut self, Outgoing { id, message }: &Outgoing) {
        let now = Instant::now();
        let Some(at) = self.channels.iter().position(|channel| channel.id() == *id) else { return };
        match self.peer.write(*id, message, now) {
            Ok(()) => {}
            // The viewer has said how much it accepts. What is longer is dropped alone.
            Err(Error::ErrOutboundPacketTooLarge) => {
                tracing::debug!("a message of {} bytes is longer than the viewer accepts; dropped", message.data.len());
            }
            Err(error) => {
                tracing::debug!("send on a data channel: {error}");
                self.channels.remove(at);
                return;
            }
        }
        let unacknowledged = self.peer.outstanding(*id);
        self.channels[at].set_unacknowledged(unacknowledged);
        self.channels[at].note_sent(message);
        self.peer.flush(now);
    }

    /// Sends what the protocols have to say.
    fn transmit(&mut self) {
        while let Some((to, datagram)) = self.peer.poll_transmit() {
            self.socket.send(to, &datagram);
        }
        for channel in &self.channels {
            channel.set_unacknowledged(self.peer.outstanding(channel.id()));
        }
    }

    /// Sets the timer, unless it fires before it is needed.
    fn arm(&mut self) {
        let Some(due) = self.peer.poll_timeout() else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.timer.as_mut().reset(due.into());
            self.armed = Some(due);
        }
    }
}
