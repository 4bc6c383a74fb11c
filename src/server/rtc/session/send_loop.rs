//! What a session does while its viewer watches: it forwards pictures and sound, follows the viewer's wishes, and has the
//! control channel served.
//!
//! Which picture comes next is `pictures`' business, what comes before and after is `session`'s.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::RTCPeerConnectionState;

use super::control_channel;
use super::control_channel::ChannelContext;
use super::rtp_sender::playout_delay;
use super::switcher::{CameraSwitcher, SwitchEvent};
use super::{PeerEventReceivers, Session, Tracks};
use crate::media::AudioPacket;
use crate::server::sessions::Preferences;
use crate::util::broadcast::{RecvError, Subscriber};

/// How often a session looks whether the viewer has closed the transport: players without a control channel leave in
/// this way only.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a viewer may take to acknowledge the goodbye.
const GOODBYE: Duration = Duration::from_millis(300);

/// Control channels of one viewer that are served at once: the one that was negotiated, and the one that it opens.
const CHANNELS: usize = 2;

/// The sound of one viewer.
struct AudioReceiver {
    /// `None` while it is muted, or has none.
    packets: Option<Subscriber<AudioPacket>>,
    /// Whether the next packet follows a silence.
    gap: bool,
}

impl Session {
    /// Forwards until the viewer leaves or its connection breaks, and says goodbye.
    pub(in crate::server::rtc) async fn forward(
        &self,
        streams: &mut Tracks,
        signals: &mut PeerEventReceivers,
        pictures: CameraSwitcher,
        sound: Option<Subscriber<AudioPacket>>,
    ) {
        let mut channels = JoinSet::new();
        self.take(streams.control.take(), &mut channels);
        let sound = AudioReceiver { packets: sound, gap: false };
        if let Err(error) = self.pump(streams, signals, pictures, sound, &mut channels).await {
            tracing::info!("viewer ended: {error}");
        } else {
            tracing::debug!("viewer left");
        }
        // The control channel has the last word.
        self.entry.seat().end().cancel();
        if timeout(GOODBYE, channels.join_all()).await.is_err() {
            tracing::debug!("the viewer did not take the goodbye");
        }
    }

    /// Forwards until the viewer leaves (`Ok`) or its connection breaks.
    async fn pump(
        &self,
        streams: &mut Tracks,
        signals: &mut PeerEventReceivers,
        mut pictures: CameraSwitcher,
        mut sound: AudioReceiver,
        channels: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let mut wishes = self.wishes.clone();
        let mut followed = wishes.borrow_and_update().clone();
        let mut delay = self.delay(&followed);
        let mut look = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = self.entry.seat().end().cancelled() => return Ok(()),
                changed = signals.state.changed() => {
                    changed?;
                    let state = *signals.state.borrow();
                    match state {
                        RTCPeerConnectionState::Closed => return Ok(()),
                        RTCPeerConnectionState::Failed => anyhow::bail!("no sign of life any more"),
                        _ => {}
                    }
                }
                _ = look.tick() => if streams.video.is_closed().await {
                    return Ok(());
                },
                Some(channel) = signals.channels.recv() => self.take(Some(channel), channels),
                changed = wishes.changed() => {
                    if changed.is_err() {
                        // The viewer's row is gone, and the session with it.
                        return Ok(());
                    }
                    let now = wishes.borrow_and_update().clone();
                    self.follow(&followed, &now, &mut pictures);
                    if let Some((_, feed)) = streams.audio.as_ref().filter(|_| now.muted != followed.muted) {
                        sound = AudioReceiver { packets: (!now.muted).then(|| feed.subscribe()), gap: true };
                    }
                    delay = self.delay(&now);
                    followed = now;
                }
                packet = sound.next() => {
                    if let (Some(packet), Some((stream, _))) = (packet, streams.audio.as_mut()) {
                        stream.send_audio(packet.captured, packet.data, packet.gap).await?;
                    }
                }
                next = pictures.next() => match next {
                    SwitchEvent::Frame { frame, begins } => {
                        if let Some(camera) = begins {
                            self.entry.plays(camera);
                        }
                        streams.video.send_video(frame.captured, &frame.data, &delay).await?;
                    }
                    SwitchEvent::Judged(verdict) => self.answer(&followed, verdict),
                    SwitchEvent::Closed => return Ok(()),
                },
            }
        }
    }

    /// Has a data channel served.
    fn take(&self, channel: Option<Arc<dyn DataChannel>>, channels: &mut JoinSet<()>) {
        // Those that were not the one have ended.
        while channels.try_join_next().is_some() {}
        if let Some(channel) = channel.filter(|_| channels.len() < CHANNELS) {
            let desk = ChannelContext::new(self.control.clone(), self.entry.seat().clone(), self.metrics.clone());
            channels.spawn(control_channel::serve(channel, desk));
        }
    }

    /// Follows what the viewer wishes of its pictures.
    fn follow(&self, before: &Preferences, now: &Preferences, pictures: &mut CameraSwitcher) {
        if now.paused != before.paused {
            if !now.paused {
                pictures.resume();
            } else if pictures.pause() {
                self.answer(before, Ok(()));
            }
        }
        if now.chosen_since(before)
            && let Some(verdict) = pictures.choose(now.camera)
        {
            self.answer(now, verdict);
        }
        if now.keyframe != before.keyframe {
            pictures.request_key();
        }
    }

    /// Answers the viewer's choice of a camera.
    fn answer(&self, wishes: &Preferences, verdict: Result<(), String>) {
        match verdict {
            Ok(()) => self.entry.accept(wishes),
            Err(reason) => {
                tracing::info!("camera not shown: {reason}");
                self.entry.refuse(wishes, reason);
            }
        }
    }

    /// The playout delay that goes with each picture.
    fn delay(&self, wishes: &Preferences) -> Bytes {
        playout_delay(wishes.delay())
    }
}

impl AudioReceiver {
    /// The next packet; never for a viewer without sound. Missed packets are gone: the browser conceals them.
    async fn next(&mut self) -> Option<AudioPacket> {
        let Some(packets) = &mut self.packets else { return std::future::pending().await };
        loop {
            match packets.recv().await {
                Ok(mut packet) => {
                    packet.gap |= std::mem::take(&mut self.gap);
                    return Some(packet);
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    self.packets = None;
                    return None;
                }
            }
        }
    }
}
