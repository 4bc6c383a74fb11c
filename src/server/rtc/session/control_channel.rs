//! The data channel `control` of one session: requests in; replies, events and snapshots out.
//!
//! Nothing waits for a viewer: requests have a rate limit and a queue of their own, and events are fetched when there
//! is room on the channel. What requests mean and who may send them is decided in `dispatch`.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::digest;
use serde_json::Value;
use tokio::time::sleep_until;

use super::data_channel::DataChannel;
use super::transfer_pacer::PacedTransfer;
use crate::media::Timestamp;
use crate::model::metrics::{ControlDrop, Metrics};
use crate::model::protocol;
use crate::model::protocol::result::SnapshotInfo;
use crate::model::protocol::transfer::Transfer;
use crate::model::protocol::{Code, Command, Error, Event, ParseError, Reply, Request, limits};
use crate::server::dispatch::{Caller, Dispatcher, EventStream, Snapshot};
use crate::server::rtc::peer::Message;
use crate::server::sessions::{EndReason, SessionHandle};
use crate::util::pending::or_pending;
use crate::util::token_bucket::{Bucket, Rate};

/// The label of the channel that carries commands; others are ignored.
pub const LABEL: &str = "control";

/// The rate limit of requests.
const REQUEST_RATE: Rate = Rate::new(limits::REQUEST_RATE.0, limits::REQUEST_RATE.1);

/// How long the channel is not read after a request over the limit: a flood is answered some hundred times a second,
/// and is held back by the channel's own flow control for the rest.
const READ_PAUSE: Duration = Duration::from_millis(2);

/// The longest message in bytes: what a client accepts that does not state its maximum (RFC 8841 section 6).
const MAX_MESSAGE: usize = 64 * 1024;

/// After how many milliseconds a client may retry while a snapshot is in flight or the queue is full.
const SNAPSHOT_RETRY_MS: u64 = 250;

/// What a control channel needs.
#[derive(Clone)]
pub struct ChannelContext {
    dispatcher: Dispatcher,
    caller: Caller,
    session: SessionHandle,
    metrics: Metrics,
}

impl ChannelContext {
    /// The context for a session.
    pub fn new(dispatcher: Dispatcher, session: SessionHandle, metrics: Metrics) -> Self {
        Self { caller: dispatcher.viewer(&session), dispatcher, session, metrics }
    }

    fn subscribe_events(&self) -> EventStream {
        self.dispatcher.events(self.session.id())
    }
}

/// Serves the channel until it closes. Its closing is the one immediate sign that a browser's user has left, so it ends
/// the session; if the session ends first, the viewer is notified.
pub async fn serve(channel: Arc<DataChannel>, context: ChannelContext) {
    if channel.label != LABEL {
        tracing::debug!("data channel {:?} ignored", channel.label);
        return;
    }
    let session = context.session.clone();
    // Our end of a pre-negotiated channel exists whether or not the viewer has the other end.
    let peer_known = !channel.is_negotiated;
    let mut control = ControlChannel::new(channel.clone(), context, peer_known);
    tokio::select! {
        biased;
        () = session.end().cancelled() => {}
        closed = control.serve() => {
            tracing::debug!("control channel: {closed}");
            session.end().cancel();
            return;
        }
    }
    if control.events.is_some() {
        send_session_end(channel.as_ref(), session.reason()).await;
    }
}

/// Sends the event that the session has ended, and waits until it is acknowledged: closing the connection would
/// overtake it.
async fn send_session_end(channel: &DataChannel, reason: EndReason) {
    let event = Event::SessionEnd { reason: reason.text().into(), code: reason.code() };
    if channel.send_text(&event.message()).await.is_err() {
        return;
    }
    channel.acknowledged().await;
}

/// A request in progress, with the id for its reply.
type PendingReply<T> = Pin<Box<dyn Future<Output = (Option<Value>, Result<T, Error>)> + Send>>;

/// A queued request, or the error in it: replies come in the order of the requests.
struct QueuedRequest {
    id: Option<Value>,
    request: Result<Request, Error>,
    received: Timestamp,
}

/// A snapshot with its SHA-256 in hexadecimal.
type SnapshotWithDigest = (Snapshot, String);

/// Serves one channel.
struct ControlChannel {
    channel: Arc<DataChannel>,
    context: ChannelContext,
    /// `None` until the viewer is known to have the channel.
    events: Option<EventStream>,
    requests: Bucket,
    /// At most [`limits::MAX_QUEUED`].
    queue: VecDeque<QueuedRequest>,
    pending_reply: Option<PendingReply<Reply>>,
    pending_snapshot: Option<PendingReply<SnapshotWithDigest>>,
    transfer: Option<PacedTransfer>,
    /// The id of the last transfer.
    transfers: u32,
    /// When the next message is read.
    read_at: tokio::time::Instant,
}

/// Why a channel is no longer served.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("closed by the viewer")]
    ByViewer,
    #[error("{0}")]
    Broken(#[from] io::Error),
}

impl ControlChannel {
    fn new(channel: Arc<DataChannel>, context: ChannelContext, peer_known: bool) -> Self {
        let events = peer_known.then(|| context.subscribe_events());
        Self {
            channel,
            context,
            events,
            requests: Bucket::new(REQUEST_RATE, Instant::now()),
            queue: VecDeque::new(),
            pending_reply: None,
            pending_snapshot: None,
            transfer: None,
            transfers: 0,
            read_at: tokio::time::Instant::now(),
        }
    }

    /// Serves until the channel is closed.
    async fn serve(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.step().await {
                return closed;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Closed> {
        let channel = self.channel.clone();
        let read_at = self.read_at;
        let message = async {
            sleep_until(read_at).await;
            channel.receive().await
        };
        tokio::select! {
            biased;
            (id, outcome) = or_pending(self.pending_reply.as_mut()) => {
                self.pending_reply = None;
                self.reply(id, &outcome).await?;
                self.start_next().await
            }
            (id, snapshot) = or_pending(self.pending_snapshot.as_mut()) => {
                self.pending_snapshot = None;
                self.start_transfer(id, snapshot).await
            }
            message = message => match message {
                Some(message) => self.handle_message(&message).await,
                None => Err(Closed::ByViewer),
            },
            chunk = or_pending(self.transfer.as_mut().map(|transfer| transfer.next_chunk(channel.as_ref()))) => {
                let (chunk, last) = chunk?;
                if last {
                    self.transfer = None;
                }
                Ok(channel.send(Message { is_text: false, data: chunk.freeze() }).await?)
            }
            event = or_pending(self.events.as_mut().map(|events| events.next())) => self.send_event(&event).await,
        }
    }

    /// Sends an event; one that is too long is dropped, as for a camera with hundreds of controls.
    async fn send_event(&mut self, event: &Event) -> Result<(), Closed> {
        let message = event.message();
        if message.len() > MAX_MESSAGE {
            self.context.metrics.count_control_drop(ControlDrop::Message, 1);
            tracing::debug!("an event of {} bytes is too long for a data channel; dropped", message.len());
            return Ok(());
        }
        Ok(self.channel.send_text(&message).await?)
    }

    /// Handles a message: replies at once, or queues the request.
    async fn handle_message(&mut self, message: &Message) -> Result<(), Closed> {
        let received = Timestamp::now();
        self.events.get_or_insert_with(|| self.context.subscribe_events());
        let queued = parse_request(message, received);
        if let Err(wait) = self.requests.try_acquire(REQUEST_RATE, Instant::now()) {
            self.read_at = tokio::time::Instant::now() + READ_PAUSE;
            let retry = wait.as_millis() as u64 + 1;
            return self.busy(queued.id, retry, "too many requests at once").await;
        }
        match queued.request {
            Ok(Request { command: Command::Snapshot { ref camera }, .. }) => {
                if self.pending_snapshot.is_some() || self.transfer.is_some() {
                    let message = "a snapshot is in transfer; request the next one when it has arrived";
                    return self.busy(queued.id, SNAPSHOT_RETRY_MS, message).await;
                }
                self.pending_snapshot = Some(Box::pin(take_snapshot(self.context.clone(), queued.id, camera.clone())));
                Ok(())
            }
            _ if self.queue.len() >= limits::MAX_QUEUED => {
                self.busy(queued.id, SNAPSHOT_RETRY_MS, "too many requests are queued").await
            }
            _ => {
                self.queue.push_back(queued);
                if self.pending_reply.is_none() { self.start_next().await } else { Ok(()) }
            }
        }
    }

    /// Starts the next queued request; malformed ones are answered on the way.
    async fn start_next(&mut self) -> Result<(), Closed> {
        while let Some(QueuedRequest { id, request, received }) = self.queue.pop_front() {
            match request {
                Ok(request) => {
                    let ChannelContext { dispatcher, caller, .. } = self.context.clone();
                    self.pending_reply =
                        Some(Box::pin(async move { (id, dispatcher.dispatch(&caller, request, received).await) }));
                    return Ok(());
                }
                Err(error) => self.reply(id, &Err(error)).await?,
            }
        }
        Ok(())
    }

    async fn busy(&mut self, id: Option<Value>, retry: u64, message: &str) -> Result<(), Closed> {
        self.context.metrics.count_control_drop(ControlDrop::Busy, 1);
        self.reply(id, &Err(Error::busy(retry, message))).await
    }

    /// Sends a reply, if the request has an id.
    async fn reply(&mut self, id: Option<Value>, outcome: &Result<Reply, Error>) -> Result<(), Closed> {
        let Some(id) = id else { return Ok(()) };
        let mut answer = protocol::answer(&id, outcome);
        if answer.len() > MAX_MESSAGE {
            self.context.metrics.count_control_drop(ControlDrop::Message, 1);
            let message = format!("the reply of {} bytes is too long for a data channel; use HTTP", answer.len());
            answer = protocol::answer(&id, &Err(Error::new(Code::Internal, message)));
        }
        Ok(self.channel.send_text(&answer).await?)
    }

    /// Replies with the metadata of a snapshot, and starts to send it.
    async fn start_transfer(
        &mut self,
        id: Option<Value>,
        snapshot: Result<SnapshotWithDigest, Error>,
    ) -> Result<(), Closed> {
        let (snapshot, sha256) = match snapshot {
            Ok(taken) => taken,
            Err(error) => return self.reply(id, &Err(error)).await,
        };
        self.transfers = self.transfers.wrapping_add(1);
        let Some(transfer) = Transfer::new(self.transfers, Snapshot::MEDIA_TYPE, snapshot.data.clone()) else {
            return self.reply(id, &Err(Error::new(Code::Internal, "the snapshot is too large to be sent"))).await;
        };
        let info = SnapshotInfo {
            transfer: self.transfers,
            bytes: snapshot.data.len(),
            media_type: Snapshot::MEDIA_TYPE,
            width: snapshot.width,
            height: snapshot.height,
            sha256,
        };
        self.reply(id, &Ok(Reply::Snapshot(info))).await?;
        self.transfer = Some(PacedTransfer::new(transfer));
        Ok(())
    }
}

/// Parses a message as a request.
fn parse_request(message: &Message, received: Timestamp) -> QueuedRequest {
    if !message.is_text {
        let error = Error::new(Code::Parse, "a binary message; requests are text");
        return QueuedRequest { id: Some(Value::Null), request: Err(error), received };
    }
    match Request::parse(&message.data) {
        Ok(request) => QueuedRequest { id: request.id.clone(), request: Ok(request), received },
        Err(ParseError { id, error }) => QueuedRequest { id, request: Err(error), received },
    }
}

/// Takes a snapshot and hashes it.
async fn take_snapshot(
    context: ChannelContext,
    id: Option<Value>,
    camera: Option<String>,
) -> (Option<Value>, Result<SnapshotWithDigest, Error>) {
    let snapshot = match context.dispatcher.snapshot(&context.caller, camera.as_deref()).await {
        Ok(snapshot) => snapshot,
        Err(error) => return (id, Err(error)),
    };
    // Takes some milliseconds on a slow board.
    let hashed = tokio::task::spawn_blocking(move || {
        let digest = digest::digest(&digest::SHA256, &snapshot.data);
        (snapshot, digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    });
    (id, hashed.await.map_err(|error| Error::new(Code::Internal, format!("hash the snapshot: {error}"))))
}
