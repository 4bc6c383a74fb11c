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
use super::rtp_sender;
use super::switcher::{CameraSwitcher, SwitchEvent};
use super::{PeerEventReceivers, Session, Tracks};
use crate::media::AudioPacket;
use crate::server::sessions::Preferences;
use crate::util::broadcast::{RecvError, Subscriber};

/// How often a session looks whether the viewer has closed the transport: players without a control channel leave in
/// this way only.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a viewer may take to acknowledge the goodbye.
const SESSION_END_TIMEOUT: Duration = Duration::from_millis(300);

/// Control channels of one viewer that are served at once: the one that was negotiated, and the one that it opens.
const MAX_CHANNELS: usize = 2;

/// The sound of one viewer.
struct AudioReceiver {
    /// `None` while it is muted, or has none.
    packets: Option<Subscriber<AudioPacket>>,
    /// Whether the next packet follows a silence.
    gap: bool,
}

impl Session {
    /// Forwards until the viewer leaves or its connection breaks, and says goodbye.
    pub(in crate::server::rtc) async fn run_connected(
        &self,
        tracks: &mut Tracks,
        events: &mut PeerEventReceivers,
        switcher: CameraSwitcher,
        audio: Option<Subscriber<AudioPacket>>,
    ) {
        let mut channels = JoinSet::new();
        self.spawn_control_channel(tracks.control.take(), &mut channels);
        let audio = AudioReceiver { packets: audio, gap: false };
        if let Err(error) = self.send_loop(tracks, events, switcher, audio, &mut channels).await {
            tracing::info!("viewer ended: {error}");
        } else {
            tracing::debug!("viewer left");
        }
        // The control channel has the last word.
        self.entry.seat().end().cancel();
        if timeout(SESSION_END_TIMEOUT, channels.join_all()).await.is_err() {
            tracing::debug!("the viewer did not take the goodbye");
        }
    }

    /// Forwards until the viewer leaves (`Ok`) or its connection breaks.
    async fn send_loop(
        &self,
        tracks: &mut Tracks,
        events: &mut PeerEventReceivers,
        mut switcher: CameraSwitcher,
        mut audio: AudioReceiver,
        channels: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let mut preferences = self.preferences.clone();
        let mut applied = preferences.borrow_and_update().clone();
        let mut playout_delay = self.playout_delay(&applied);
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = self.entry.seat().end().cancelled() => return Ok(()),
                changed = events.state.changed() => {
                    changed?;
                    let state = *events.state.borrow();
                    match state {
                        RTCPeerConnectionState::Closed => return Ok(()),
                        RTCPeerConnectionState::Failed => anyhow::bail!("no sign of life any more"),
                        _ => {}
                    }
                }
                _ = poll.tick() => if tracks.video.is_closed().await {
                    return Ok(());
                },
                Some(channel) = events.channels.recv() => self.spawn_control_channel(Some(channel), channels),
                changed = preferences.changed() => {
                    if changed.is_err() {
                        // The viewer's row is gone, and the session with it.
                        return Ok(());
                    }
                    let now = preferences.borrow_and_update().clone();
                    self.apply_preferences(&applied, &now, &mut switcher);
                    if let Some((_, packets)) = tracks.audio.as_ref().filter(|_| now.muted != applied.muted) {
                        audio = AudioReceiver { packets: (!now.muted).then(|| packets.subscribe()), gap: true };
                    }
                    playout_delay = self.playout_delay(&now);
                    applied = now;
                }
                packet = audio.next() => {
                    if let (Some(packet), Some((stream, _))) = (packet, tracks.audio.as_mut()) {
                        stream.send_audio(packet.captured, packet.data, packet.gap).await?;
                    }
                }
                next = switcher.next() => match next {
                    SwitchEvent::Frame { frame, first_of } => {
                        if let Some(camera) = first_of {
                            self.entry.plays(camera);
                        }
                        tracks.video.send_video(frame.captured, &frame.data, &playout_delay).await?;
                    }
                    SwitchEvent::Resolved(result) => self.report_selection(&applied, result),
                    SwitchEvent::Closed => return Ok(()),
                },
            }
        }
    }

    /// Has a data channel served.
    fn spawn_control_channel(&self, channel: Option<Arc<dyn DataChannel>>, channels: &mut JoinSet<()>) {
        // Those that were not the one have ended.
        while channels.try_join_next().is_some() {}
        if let Some(channel) = channel.filter(|_| channels.len() < MAX_CHANNELS) {
            let context = ChannelContext::new(self.dispatcher.clone(), self.entry.seat().clone(), self.metrics.clone());
            channels.spawn(control_channel::serve(channel, context));
        }
    }

    /// Follows what the viewer wishes of its pictures.
    fn apply_preferences(&self, before: &Preferences, now: &Preferences, switcher: &mut CameraSwitcher) {
        if now.paused != before.paused {
            if !now.paused {
                switcher.resume();
            } else if switcher.pause() {
                self.report_selection(before, Ok(()));
            }
        }
        if now.chosen_since(before)
            && let Some(result) = switcher.request_switch(now.camera)
        {
            self.report_selection(now, result);
        }
        if now.keyframe != before.keyframe {
            switcher.request_keyframe();
        }
    }

    /// Answers the viewer's choice of a camera.
    fn report_selection(&self, preferences: &Preferences, result: Result<(), String>) {
        match result {
            Ok(()) => self.entry.accept(preferences),
            Err(reason) => {
                tracing::info!("camera not shown: {reason}");
                self.entry.refuse(preferences, reason);
            }
        }
    }

    /// The playout delay that goes with each picture.
    fn playout_delay(&self, preferences: &Preferences) -> Bytes {
        rtp_sender::playout_delay(preferences.delay())
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
