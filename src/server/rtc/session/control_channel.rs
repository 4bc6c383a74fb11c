//! The data channel `control` of one viewer: requests in, answers, events and pictures out.
//!
//! Nothing waits for a viewer: its requests have a rate and a queue of their own, and what it is told is asked for when there
//! is room on its channel. What requests mean and who may send them is the business of `control`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ring::digest;
use serde_json::Value;
use tokio::time::sleep_until;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelMessage};

use super::transfer_pacer::PacedTransfer;
use crate::media::Timestamp;
use crate::model::metrics::{ControlDrop, Metrics};
use crate::model::protocol;
use crate::model::protocol::result::SnapshotInfo;
use crate::model::protocol::transfer::Transfer;
use crate::model::protocol::{Code, Command, Error, Event, ParseError, Reply, Request, limits};
use crate::server::dispatch::{Caller, Dispatcher, EventStream, Snapshot};
use crate::server::sessions::{EndReason, SessionHandle};
use crate::util::token_bucket::{Bucket, Rate};

/// The label of the channel that carries commands; others are ignored.
pub const LABEL: &str = "control";

/// The rate at which requests are carried out.
const REQUESTS: Rate = Rate::new(limits::REQUESTS.0, limits::REQUESTS.1);

/// How long the board does not read after a request that was one too many: so who floods is answered some hundred times a
/// second, and is held up by the flow control of its own channel for the rest.
const PAUSE: Duration = Duration::from_millis(2);

/// The longest answer in bytes: what a client takes that does not say how much (RFC 8841 section 6).
const LONGEST: usize = 64 * 1024;

/// After how many milliseconds a picture may be asked for again while another one is on its way.
const NEXT_PICTURE: u64 = 250;

/// What serves a channel.
#[derive(Clone)]
pub struct ChannelContext {
    control: Dispatcher,
    caller: Caller,
    seat: SessionHandle,
    metrics: Metrics,
}

impl ChannelContext {
    /// Serves the viewer of this seat.
    pub fn new(control: Dispatcher, seat: SessionHandle, metrics: Metrics) -> Self {
        Self { caller: control.viewer(&seat), control, seat, metrics }
    }

    fn news(&self) -> EventStream {
        self.control.news(self.seat.id())
    }
}

/// Serves the channel until it closes. Its close is the one sign that a browser gives at once when its user leaves, so
/// it ends the session; when the session ends first, the viewer is told.
pub async fn serve(channel: Arc<dyn DataChannel>, desk: ChannelContext) {
    match channel.label().await {
        Ok(label) if label == LABEL => {}
        label => {
            tracing::debug!("data channel {label:?} ignored");
            return;
        }
    }
    let seat = desk.seat.clone();
    // Of a channel that was negotiated, one's own end is there whether the viewer has the other or not.
    let begun = !channel.negotiated().await.unwrap_or(false);
    let mut clerk = ControlChannel::new(channel.clone(), desk, begun);
    tokio::select! {
        biased;
        () = seat.end().cancelled() => {}
        closed = clerk.serve() => {
            tracing::debug!("control channel: {closed}");
            seat.end().cancel();
            return;
        }
    }
    if clerk.news.is_some() {
        say_goodbye(channel.as_ref(), seat.reason()).await;
    }
}

/// Tells the viewer that the board ends the session, and waits until the message is acknowledged: closing the connection
/// would overtake it.
async fn say_goodbye(channel: &dyn DataChannel, reason: EndReason) {
    let goodbye = Event::SessionEnd { reason: reason.text().into(), code: reason.code() };
    if channel.send_text(&goodbye.message()).await.is_err() {
        return;
    }
    let mut look = tokio::time::interval(Duration::from_millis(5));
    while channel.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) {
        look.tick().await;
    }
}

/// What is being done for a viewer, with the id of the answer.
type PendingReply<T> = Pin<Box<dyn Future<Output = (Option<Value>, Result<T, Error>)> + Send>>;

/// A request that waits, or what is wrong with it: answers come in the order in which they were asked for.
struct QueuedRequest {
    id: Option<Value>,
    request: Result<Request, Error>,
    received: Timestamp,
}

/// A picture with its digest in hexadecimal.
type SnapshotWithDigest = (Snapshot, String);

/// Serves one channel.
struct ControlChannel {
    channel: Arc<dyn DataChannel>,
    desk: ChannelContext,
    /// `None` until the viewer is known to be there.
    news: Option<EventStream>,
    requests: Bucket,
    /// At most [`limits::WAITING`].
    waiting: VecDeque<QueuedRequest>,
    doing: Option<PendingReply<Reply>>,
    photo: Option<PendingReply<SnapshotWithDigest>>,
    sending: Option<PacedTransfer>,
    /// The number of the last transfer.
    transfers: u32,
    /// When the next message is read.
    read: tokio::time::Instant,
}

/// Why a channel is no longer served.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("closed by the viewer")]
    ByViewer,
    #[error("{0}")]
    Broken(#[from] webrtc::error::Error),
}

impl ControlChannel {
    fn new(channel: Arc<dyn DataChannel>, desk: ChannelContext, begun: bool) -> Self {
        let news = begun.then(|| desk.news());
        Self {
            channel,
            desk,
            news,
            requests: Bucket::new(REQUESTS, Instant::now()),
            waiting: VecDeque::new(),
            doing: None,
            photo: None,
            sending: None,
            transfers: 0,
            read: tokio::time::Instant::now(),
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
        let read = self.read;
        let message = async {
            sleep_until(read).await;
            channel.poll().await
        };
        tokio::select! {
            biased;
            (id, outcome) = next(&mut self.doing) => {
                self.doing = None;
                self.reply(id, &outcome).await?;
                self.do_next().await
            }
            (id, photo) = next(&mut self.photo) => {
                self.photo = None;
                self.announce(id, photo).await
            }
            message = message => match message {
                Some(DataChannelEvent::OnMessage(message)) => self.take(&message).await,
                Some(DataChannelEvent::OnClose) | None => Err(Closed::ByViewer),
                Some(_) => Ok(()),
            },
            piece = piece(&mut self.sending, channel.as_ref()) => {
                let (piece, last) = piece?;
                if last {
                    self.sending = None;
                }
                Ok(channel.send(piece).await?)
            }
            event = event(&mut self.news) => Ok(channel.send_text(&event.message()).await?),
        }
    }

    /// Takes a message in.
    async fn take(&mut self, message: &RTCDataChannelMessage) -> Result<(), Closed> {
        let received = Timestamp::now();
        self.news.get_or_insert_with(|| self.desk.news());
        let asked = read(message, received);
        if let Err(wait) = self.requests.take(REQUESTS, Instant::now()) {
            self.read = tokio::time::Instant::now() + PAUSE;
            let retry = wait.as_millis() as u64 + 1;
            return self.busy(asked.id, retry, "too many requests at once").await;
        }
        match asked.request {
            Ok(Request { command: Command::Snapshot { ref camera }, .. }) => {
                if self.photo.is_some() || self.sending.is_some() {
                    let words = "a picture is on its way; the next one can be asked for when it is there";
                    return self.busy(asked.id, NEXT_PICTURE, words).await;
                }
                self.photo = Some(Box::pin(photograph(self.desk.clone(), asked.id, camera.clone())));
                Ok(())
            }
            _ if self.waiting.len() >= limits::WAITING => {
                self.busy(asked.id, NEXT_PICTURE, "too many requests wait until others are carried out").await
            }
            _ => {
                self.waiting.push_back(asked);
                if self.doing.is_none() { self.do_next().await } else { Ok(()) }
            }
        }
    }

    /// Begins what was asked for next; what is no request is answered on the way.
    async fn do_next(&mut self) -> Result<(), Closed> {
        while let Some(QueuedRequest { id, request, received }) = self.waiting.pop_front() {
            match request {
                Ok(request) => {
                    let ChannelContext { control, caller, .. } = self.desk.clone();
                    self.doing =
                        Some(Box::pin(async move { (id, control.carry_out(&caller, request, received).await) }));
                    return Ok(());
                }
                Err(error) => self.reply(id, &Err(error)).await?,
            }
        }
        Ok(())
    }

    async fn busy(&mut self, id: Option<Value>, retry: u64, words: &str) -> Result<(), Closed> {
        self.desk.metrics.leave_out(ControlDrop::Busy, 1);
        self.reply(id, &Err(Error::busy(retry, words))).await
    }

    /// Answers, where an answer is wanted.
    async fn reply(&mut self, id: Option<Value>, outcome: &Result<Reply, Error>) -> Result<(), Closed> {
        let Some(id) = id else { return Ok(()) };
        let mut answer = protocol::answer(&id, outcome);
        if answer.len() > LONGEST {
            self.desk.metrics.leave_out(ControlDrop::Message, 1);
            let words = format!("the answer of {} bytes is too long for a data channel; ask over HTTP", answer.len());
            answer = protocol::answer(&id, &Err(Error::new(Code::Internal, words)));
        }
        Ok(self.channel.send_text(&answer).await?)
    }

    /// Answers that a picture comes, and begins to send it.
    async fn announce(&mut self, id: Option<Value>, photo: Result<SnapshotWithDigest, Error>) -> Result<(), Closed> {
        let (photo, sha256) = match photo {
            Ok(developed) => developed,
            Err(error) => return self.reply(id, &Err(error)).await,
        };
        self.transfers = self.transfers.wrapping_add(1);
        let Some(transfer) = Transfer::new(self.transfers, Snapshot::MEDIA_TYPE, photo.data.clone()) else {
            return self.reply(id, &Err(Error::new(Code::Internal, "the picture is too long to be sent"))).await;
        };
        let picture = SnapshotInfo {
            transfer: self.transfers,
            bytes: photo.data.len(),
            media_type: Snapshot::MEDIA_TYPE,
            width: photo.width,
            height: photo.height,
            sha256,
        };
        self.reply(id, &Ok(Reply::Snapshot(picture))).await?;
        self.sending = Some(PacedTransfer::new(transfer));
        Ok(())
    }
}

/// Reads a message as a request.
fn read(message: &RTCDataChannelMessage, received: Timestamp) -> QueuedRequest {
    if !message.is_string {
        let error = Error::new(Code::Parse, "a binary message; requests are text");
        return QueuedRequest { id: Some(Value::Null), request: Err(error), received };
    }
    match Request::parse(&message.data) {
        Ok(request) => QueuedRequest { id: request.id.clone(), request: Ok(request), received },
        Err(ParseError { id, error }) => QueuedRequest { id, request: Err(error), received },
    }
}

/// Takes a picture and its digest.
async fn photograph(
    desk: ChannelContext,
    id: Option<Value>,
    camera: Option<String>,
) -> (Option<Value>, Result<SnapshotWithDigest, Error>) {
    let photo = match desk.control.picture(&desk.caller, camera.as_deref()).await {
        Ok(photo) => photo,
        Err(error) => return (id, Err(error)),
    };
    // Some milliseconds of a slow board.
    let digested = tokio::task::spawn_blocking(move || {
        let digest = digest::digest(&digest::SHA256, &photo.data);
        (photo, digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    });
    (id, digested.await.map_err(|error| Error::new(Code::Internal, format!("digest the picture: {error}"))))
}

/// Waits for what is being done; for ever where nothing is.
async fn next<T>(doing: &mut Option<PendingReply<T>>) -> (Option<Value>, Result<T, Error>) {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

/// Waits until the next piece of a picture may be sent; for ever where no picture is.
async fn piece(
    sending: &mut Option<PacedTransfer>,
    channel: &dyn DataChannel,
) -> Result<(BytesMut, bool), webrtc::error::Error> {
    match sending {
        Some(sending) => sending.next(channel).await,
        None => std::future::pending().await,
    }
}

async fn event(news: &mut Option<EventStream>) -> Event {
    match news {
        Some(news) => news.next().await,
        None => std::future::pending().await,
    }
}
