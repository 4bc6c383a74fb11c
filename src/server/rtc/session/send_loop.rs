//! What a session does once its viewer is connected: it sends video and audio, applies the viewer's preferences, and has
//! the control channel served.
//!
//! Which frame comes next is decided in `switcher`; what happens before and after is in the session's `mod.rs`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::RTCPeerConnectionState;

use super::control_channel;
use super::control_channel::ChannelContext;
use super::rtp_sender;
use super::switcher::{CameraSwitcher, SwitchError, SwitchEvent, SwitchStart};
use super::{PeerEventReceivers, Session, Tracks};
use crate::media::AudioPacket;
use crate::server::sessions::{EndReason, Preferences};
use crate::util::broadcast::{RecvError, Subscriber};

/// How often a session checks whether the viewer has closed the transport, which for players without a control channel is
/// the only sign that they leave, and whether a key frame that it asked for may be requested by now.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long the viewer may take to acknowledge the session's end.
const SESSION_END_TIMEOUT: Duration = Duration::from_millis(300);

/// Control channels of one viewer that are served at once: the negotiated one, and one that the viewer opens.
const MAX_CHANNELS: usize = 2;

impl Session {
    /// Sends until the viewer leaves or its connection breaks, then announces the session's end.
    pub(in crate::server::rtc) async fn run_connected(
        &self,
        tracks: &mut Tracks,
        events: &mut PeerEventReceivers,
        switcher: CameraSwitcher,
        audio: Option<Subscriber<AudioPacket>>,
    ) {
        let mut send_loop = SendLoop::new(self, tracks, switcher, audio);
        if let Err(error) = send_loop.run(events).await {
            tracing::info!("viewer ended: {error}");
        } else {
            tracing::debug!("viewer left");
        }
        // The control channels send the last message.
        self.entry.handle().end().cancel();
        if timeout(SESSION_END_TIMEOUT, send_loop.channels.join_all()).await.is_err() {
            tracing::debug!("the viewer did not acknowledge the session's end");
        }
    }
}

/// The sending side of a connected session.
struct SendLoop<'s> {
    session: &'s Session,
    tracks: &'s mut Tracks,
    switcher: CameraSwitcher,
    audio: AudioReceiver,
    /// The control channels that are served.
    channels: JoinSet<()>,
    preferences: watch::Receiver<Preferences>,
    /// The preferences that are in effect.
    applied: Preferences,
    /// The playout delay that goes with each frame.
    playout_delay: Bytes,
}

/// Whether the session goes on.
type Flow = ControlFlow<()>;

impl<'s> SendLoop<'s> {
    fn new(
        session: &'s Session,
        tracks: &'s mut Tracks,
        switcher: CameraSwitcher,
        audio: Option<Subscriber<AudioPacket>>,
    ) -> Self {
        let mut preferences = session.preferences.clone();
        let applied = preferences.borrow_and_update().clone();
        let playout_delay = rtp_sender::playout_delay(applied.playout_delay());
        let audio = AudioReceiver { packets: audio, gap: false };
        let (control, channels) = (tracks.control.take(), JoinSet::new());
        let mut this = Self { session, tracks, switcher, audio, channels, preferences, applied, playout_delay };
        if let Some(control) = control {
            this.spawn_control_channel(control);
        }
        this
    }

    /// Sends until the viewer leaves (`Ok`) or its connection breaks.
    async fn run(&mut self, events: &mut PeerEventReceivers) -> anyhow::Result<()> {
        let end = self.session.entry.handle().end();
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            let flow = tokio::select! {
                biased;
                () = end.cancelled() => Flow::Break(()),
                changed = events.state.changed() => {
                    changed?;
                    check_state(*events.state.borrow())?
                }
                Ok(()) = events.undecoded.changed() => self.report_undecoded(*events.undecoded.borrow_and_update()),
                tick = poll.tick() => {
                    self.switcher.pass_on_due_request(tick.into_std());
                    self.check_transport().await
                }
                Some(channel) = events.channels.recv() => {
                    self.spawn_control_channel(channel);
                    Flow::Continue(())
                }
                changed = self.preferences.changed() => match changed {
                    Ok(()) => self.apply_preferences(),
                    // The session's record is gone, and the session with it.
                    Err(_) => Flow::Break(()),
                },
                packet = self.audio.next() => self.send_audio(packet).await?,
                event = self.switcher.next() => self.handle_switch_event(event).await?,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    /// Reports that the viewer decodes nothing, or does again.
    fn report_undecoded(&self, undecoded: bool) -> Flow {
        if undecoded {
            let format = self.session.offer.format.profile;
            tracing::warn!(
                "the viewer's player decodes nothing (negotiated as H.264 {format}): it asks for key frames without end and \
                 loses no packets; try another player, or format = \"MJPEG\" if the camera encodes"
            );
        } else {
            tracing::info!("the viewer's player asks for no more key frames");
        }
        self.session.entry.set_undecoded(undecoded);
        Flow::Continue(())
    }

    /// Whether the viewer has closed the transport.
    async fn check_transport(&mut self) -> Flow {
        if self.tracks.video.is_closed().await { Flow::Break(()) } else { Flow::Continue(()) }
    }

    /// Serves a data channel, unless the viewer has enough of them.
    fn spawn_control_channel(&mut self, channel: Arc<dyn DataChannel>) {
        // Channels with another label have ended already.
        while self.channels.try_join_next().is_some() {}
        if self.channels.len() < MAX_CHANNELS {
            let Session { dispatcher, entry, metrics, .. } = self.session;
            let context = ChannelContext::new(dispatcher.clone(), entry.handle().clone(), metrics.clone());
            self.channels.spawn(control_channel::serve(channel, context));
        }
    }

    async fn send_audio(&mut self, packet: Option<AudioPacket>) -> anyhow::Result<Flow> {
        if let (Some(packet), Some((stream, _))) = (packet, self.tracks.audio.as_mut()) {
            stream.send_audio(packet.captured, packet.data, packet.gap).await?;
        }
        Ok(Flow::Continue(()))
    }

    async fn handle_switch_event(&mut self, event: SwitchEvent) -> anyhow::Result<Flow> {
        match event {
            SwitchEvent::Frame { frame, first_of } => {
                if let Some(camera) = first_of {
                    self.session.entry.set_camera(camera);
                }
                let mode = self.session.offer.format.mode;
                self.tracks.video.send_video(frame.captured, &frame.data, mode, &self.playout_delay).await?;
            }
            SwitchEvent::Resolved(result) => self.report_selection(&self.applied, result),
            SwitchEvent::NalTooLarge(error) => {
                tracing::warn!("session ended: {error}");
                self.session.entry.end(EndReason::Format);
                return Ok(Flow::Break(()));
            }
            SwitchEvent::Closed => return Ok(Flow::Break(())),
        }
        Ok(Flow::Continue(()))
    }

    /// Applies what has changed in the viewer's preferences.
    fn apply_preferences(&mut self) -> Flow {
        let now = self.preferences.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.applied, now.clone());
        if now.paused && !before.paused {
            if self.switcher.pause() {
                self.report_selection(&before, Ok(()));
            }
        } else if before.paused && !now.paused {
            self.switcher.resume();
        }
        if now.selection_changed_since(&before) {
            match self.switcher.request_switch(now.camera) {
                SwitchStart::Accepted => self.report_selection(&now, Ok(())),
                SwitchStart::Rejected(error) => self.report_selection(&now, Err(error)),
                SwitchStart::Pending => {}
            }
        }
        if now.keyframe != before.keyframe {
            self.switcher.request_keyframe();
        }
        if let Some((_, packets)) = self.tracks.audio.as_ref().filter(|_| now.muted != before.muted) {
            self.audio = AudioReceiver { packets: (!now.muted).then(|| packets.subscribe()), gap: true };
        }
        self.playout_delay = rtp_sender::playout_delay(now.playout_delay());
        Flow::Continue(())
    }

    /// Reports what became of the viewer's choice of a camera.
    fn report_selection(&self, preferences: &Preferences, result: Result<(), SwitchError>) {
        match result {
            Ok(()) => self.session.entry.accept_selection(preferences),
            Err(error) => {
                tracing::info!("camera not shown: {error}");
                self.session.entry.reject_selection(preferences, error.to_string());
            }
        }
    }
}

/// Whether a connection in this state goes on.
fn check_state(state: RTCPeerConnectionState) -> anyhow::Result<Flow> {
    match state {
        RTCPeerConnectionState::Closed => Ok(Flow::Break(())),
        RTCPeerConnectionState::Failed => anyhow::bail!("the connection failed: no packets from the viewer any more"),
        _ => Ok(Flow::Continue(())),
    }
}

/// The audio of one viewer.
struct AudioReceiver {
    /// `None` while it is muted, or if there is none.
    packets: Option<Subscriber<AudioPacket>>,
    /// Whether the next packet follows a gap.
    gap: bool,
}

impl AudioReceiver {
    /// The next packet; pending forever for a viewer without audio. Lagged packets are lost: the browser conceals them.
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
