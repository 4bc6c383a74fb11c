//! The receiving side of a server: it answers an offer, and receives what is published.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};

use super::{Boxed, Event, Frame, Handler, Options, Reports, host_of, open, request_key_frame};

/// How often a key frame is requested while none has arrived.
const KEY_REQUEST_INTERVAL: Duration = Duration::from_millis(500);

/// A running receiver.
pub struct Receiver {
    /// Received events.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// The SDP answer.
    pub answer: String,
    connection: Arc<dyn PeerConnection>,
    video: watch::Receiver<Option<Arc<dyn TrackRemote>>>,
    /// When a key frame was requested last.
    requested: Option<Instant>,
}

impl Receiver {
    /// Answers an offer; frames arrive once the connection is established.
    pub fn answer<'a>(options: &'a Options, offer: String) -> Boxed<'a, Self> {
        Box::pin(async move {
            let (events, incoming) = mpsc::unbounded_channel();
            let (gathered, mut done) = watch::channel(false);
            let (video, video_track) = watch::channel(None);
            let handler = Handler { events, gathered, video, decode: options.decode };
            let connection = open(&host_of(&options.base)?, handler, Reports::default(), options).await?;
            connection.set_remote_description(RTCSessionDescription::offer(offer)?).await?;
            let answer = connection.create_answer(None).await?;
            connection.set_local_description(answer).await?;
            tokio::time::timeout(Duration::from_secs(5), done.wait_for(|done| *done)).await.context("gather")??;
            let answer = connection.local_description().await.context("no local description")?.sdp;
            Ok(Self { events: incoming, answer, connection, video: video_track, requested: None })
        })
    }

    /// The next event within `limit`.
    pub fn event(&mut self, limit: Duration) -> Boxed<'_, Event> {
        Box::pin(async move {
            let event = tokio::time::timeout(limit, self.events.recv()).await;
            event.with_context(|| format!("no event within {limit:?}"))?.context("the receiver has ended")
        })
    }

    /// The next frame within `limit`; other events are discarded. What comes before the receiver is ready is lost, so it
    /// requests a key frame until it can decode, as servers do.
    pub fn frame(&mut self, limit: Duration) -> Boxed<'_, Frame> {
        Box::pin(async move {
            let deadline = Instant::now() + limit;
            loop {
                if let Event::Frame(frame) = self.event(deadline.saturating_duration_since(Instant::now())).await? {
                    if frame.image.is_none() {
                        self.request_key_frame().await?;
                    }
                    return Ok(frame);
                }
            }
        })
    }

    async fn request_key_frame(&mut self) -> anyhow::Result<()> {
        if self.requested.is_none_or(|last| last.elapsed() >= KEY_REQUEST_INTERVAL) {
            self.requested = Some(Instant::now());
            let track = self.video.borrow().clone();
            request_key_frame(track).await?;
        }
        Ok(())
    }

    /// Closes the connection.
    pub fn close(self) -> Boxed<'static, ()> {
        Box::pin(async move { Ok(self.connection.close().await?) })
    }
}
