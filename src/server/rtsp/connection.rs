//! One connection: what a client sends is read, and what it is sent is written, by one task that waits for whatever happens
//! first. The session ends with its connection.
//!
//! What requests do is in `requests`. Nothing waits for the client: while it does not read, no frames are taken for it, and those
//! that it missed are skipped up to the next key frame.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::RtspContext;
use super::answer::Answer;
use super::limits::RequestLimits;
use super::output::Output;
use super::reader::{ClientMessage, MessageReader};
use super::session::{RtspSession, SessionEvent};
use crate::server::auth::Principal;
use crate::server::rtc::KeyframeBudget;
use crate::util::connection_limit::ConnectionPermit;
use crate::util::pending::{or_pending, reached};
use crate::util::token_bucket::{Bucket, Rate};

/// How long a client that plays may read nothing: longer than any network that can still be watched is interrupted.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a session lasts without a sign of its client (`timeout` of RFC 2326 section 12.37, whose default this is).
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long somebody who has not signed in may take for a request.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`).
const UNACKED_TIMEOUT: Duration = Duration::from_secs(30);

/// Data that the kernel may keep unsent (`TCP_NOTSENT_LOWAT`): with more, a slow client would get frames that are long past.
const MAX_UNSENT: u32 = 16 * 1024;

/// Packets from a client between its requests, and by UDP: burst, and then per second. Players send a report a second for each
/// track.
const PACKET_RATE: Rate = Rate::new(100, 20);

/// A read from the socket, in bytes.
const READ: usize = 4 * 1024;

/// Who has signed in on a connection.
pub(super) struct KnownClient {
    /// The `Authorization` header, which is the same in all requests.
    pub authorization: String,
    pub principal: Principal,
}

/// A connection.
pub(super) struct RtspConnection {
    pub(super) context: RtspContext,
    pub(super) limits: Arc<RequestLimits>,
    pub(super) peer: SocketAddr,
    /// Our end of it.
    pub(super) local: SocketAddr,
    pub(super) permit: Arc<ConnectionPermit>,
    /// Cancelled when the program stops.
    pub(super) stop: CancellationToken,
    pub(super) client: Option<KnownClient>,
    pub(super) session: Option<RtspSession>,
    /// Of all its sessions, so that a new one does not have a full budget again.
    pub(super) keyframes: Arc<KeyframeBudget>,
    stream: Arc<TcpStream>,
    reader: MessageReader,
    output: Output,
    /// The last sign of the client.
    heard: Instant,
    packets: Bucket,
}

/// What a connection has waited for.
enum WaitEvent {
    /// The client has sent something, or closed its end.
    Readable,
    /// The client takes more.
    Writable,
    /// Something happened in the session.
    Session(SessionEvent),
    /// The session was ended by somebody else.
    Ended,
    /// The client has given no sign for too long.
    TimedOut,
}

/// Whether a connection goes on.
type Flow = ControlFlow<()>;

/// Serves a connection until it is closed, has to give way to another, or the program stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    context: RtspContext,
    limits: Arc<RequestLimits>,
    permit: ConnectionPermit,
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKED_TIMEOUT.as_millis() as u32);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
    let permit = Arc::new(permit);
    let connection = RtspConnection::new(stream, peer, context, limits, permit.clone(), stop.clone());
    let done = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = permit.evicted() => return,
        done = async { connection?.run().await } => done,
    };
    if let Err(error) = done {
        tracing::debug!("RTSP connection from {peer}: {error:#}");
    }
}

impl RtspConnection {
    fn new(
        stream: TcpStream,
        peer: SocketAddr,
        context: RtspContext,
        limits: Arc<RequestLimits>,
        permit: Arc<ConnectionPermit>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let (local, now) = (stream.local_addr()?, Instant::now());
        Ok(Self {
            context,
            limits,
            peer,
            local,
            permit,
            stop,
            client: None,
            session: None,
            keyframes: Arc::new(KeyframeBudget::new(now)),
            stream: Arc::new(stream),
            reader: MessageReader::default(),
            output: Output::new(now),
            heard: now,
            packets: Bucket::new(PACKET_RATE, now),
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            while self.output.has_room() {
                let message = self.reader.take_message().inspect_err(|error| self.refuse(&error.to_string()))?;
                let Some(message) = message else { break };
                self.heard = Instant::now();
                if self.handle_message(message).await?.is_break() {
                    return Ok(());
                }
            }
            let event = self.wait().await?;
            if self.handle_event(event)?.is_break() {
                return Ok(());
            }
            self.output.send(&self.stream, Instant::now())?;
        }
    }

    /// Answers something that is no request.
    fn refuse(&mut self, reason: &str) {
        Answer::error(rtsp_types::StatusCode::BadRequest, reason).write(None, self.output.buffer());
        let _ = self.output.send(&self.stream, Instant::now());
    }

    async fn handle_message(&mut self, message: ClientMessage) -> anyhow::Result<Flow> {
        let ClientMessage::Request(request) = message else {
            // Reports may arrive before SETUP and after TEARDOWN.
            anyhow::ensure!(self.client.is_some(), "a packet from somebody who has not signed in");
            self.count_packet()?;
            return Ok(Flow::Continue(()));
        };
        // While it waits for a password or a key frame.
        let (_busy, stream) = (self.permit.busy(), self.stream.clone());
        let end = self.session.as_ref().map(|session| session.end().clone());
        let (answer, flow) = tokio::select! {
            biased;
            answered = self.answer(&request) => answered,
            () = or_pending(end.as_ref().map(CancellationToken::cancelled)) => return Ok(Flow::Break(())),
            () = closed(&stream) => return Ok(Flow::Break(())),
        };
        answer.write(Some(&request), self.output.buffer());
        // Before what was asked for follows, by UDP too.
        self.output.send(&self.stream, Instant::now())?;
        Ok(flow)
    }

    fn count_packet(&mut self) -> anyhow::Result<()> {
        let allowed = self.packets.try_acquire(PACKET_RATE, Instant::now());
        anyhow::ensure!(allowed.is_ok(), "too many packets");
        Ok(())
    }

    /// Waits for what happens next.
    async fn wait(&mut self) -> io::Result<WaitEvent> {
        let (is_idle, deadline) = (self.output.is_empty(), self.deadline());
        let Self { stream, reader, session, .. } = self;
        let end = session.as_ref().map(|session| session.end().clone());
        tokio::select! {
            biased;
            () = or_pending(end.as_ref().map(CancellationToken::cancelled)) => Ok(WaitEvent::Ended),
            // Before what a client may cause without end.
            () = reached(deadline) => Ok(WaitEvent::TimedOut),
            ready = stream.writable(), if !is_idle => ready.map(|()| WaitEvent::Writable),
            ready = stream.readable(), if reader.room() > 0 => ready.map(|()| WaitEvent::Readable),
            event = or_pending(session.as_mut().map(RtspSession::next)), if is_idle => Ok(WaitEvent::Session(event)),
        }
    }

    fn handle_event(&mut self, event: WaitEvent) -> anyhow::Result<Flow> {
        match event {
            WaitEvent::Readable => return self.read(),
            // It is written to after each event.
            WaitEvent::Writable => {}
            WaitEvent::Session(SessionEvent::Closed) | WaitEvent::Ended => return Ok(Flow::Break(())),
            WaitEvent::Session(event) => {
                if matches!(event, SessionEvent::Heard) {
                    self.count_packet()?;
                    self.heard = Instant::now();
                }
                if let Some(session) = &mut self.session {
                    session.handle(event, self.output.buffer());
                }
            }
            WaitEvent::TimedOut if self.output.is_empty() => anyhow::bail!("no sign of the client for too long"),
            WaitEvent::TimedOut => {
                anyhow::bail!("the client has read nothing for {:?}", self.output.stalled(Instant::now()))
            }
        }
        Ok(Flow::Continue(()))
    }

    fn read(&mut self) -> anyhow::Result<Flow> {
        let mut buffer = [0; READ];
        let room = self.reader.room().min(READ);
        match self.stream.try_read(&mut buffer[..room]) {
            Ok(0) => return Ok(Flow::Break(())),
            Ok(count) => self.reader.add(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Flow::Continue(()))
    }

    /// Until when something has to happen.
    fn deadline(&self) -> Option<Instant> {
        if let Some(since) = self.output.waiting_since() {
            return Some(since + STALL_TIMEOUT);
        }
        match &self.session {
            Some(session) if session.is_playing_on_connection() => None,
            None if self.client.is_none() => Some(self.heard + STRANGER_TIMEOUT),
            _ => Some(self.heard + SESSION_TIMEOUT),
        }
    }
}

/// Waits until the client has closed its end; forever if it has sent more, behind which that cannot be seen.
async fn closed(stream: &TcpStream) {
    if stream.peek(&mut [0]).await.is_ok_and(|count| count > 0) {
        std::future::pending().await
    }
}
