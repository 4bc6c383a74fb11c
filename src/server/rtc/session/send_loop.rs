//! What a session does once its viewer is connected: it sends video and audio, applies the viewer's preferences, and has
//! the control channel served.
//!
//! Which frame comes next is decided in `switcher`; what happens before and after is in the session's `mod.rs`.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use super::Session;
use super::audio_receiver::AudioReceiver;
use super::connection::{Connection, ConnectionEvent};
use super::control_channel;
use super::control_channel::ChannelContext;
use super::data_channel::DataChannel;
use super::decode_watch::DecodeWatch;
use super::delay_watch::DelayWatch;
use super::media_sender::MediaSender;
use super::packets::Packets;
use super::rendition_choice::RenditionChoice;
use super::rtcp::Feedback;
use super::switcher::{CameraSwitcher, SwitchError, SwitchEvent, SwitchStart};
use super::viewer_media::ViewerMedia;
use crate::media::{AudioPacket, EncodedFrame, Timestamp};
use crate::server::sessions::{EndReason, Preferences};
use crate::util::broadcast::Broadcast;
use crate::util::pending::reached;

/// How often a session looks after what does not happen by itself: key frames that may be requested by now, and feedback
/// that fails to come.
const TICK: Duration = Duration::from_millis(500);

/// How long the viewer may take to acknowledge the session's end.
const SESSION_END_TIMEOUT: Duration = Duration::from_millis(300);

/// Control channels of one viewer that are served at once: the negotiated one, and one that the viewer opens.
const MAX_CHANNELS: usize = 2;

impl Session {
    /// Sends until the viewer leaves or its connection breaks, then announces the session's end.
    pub(super) async fn run_connected(
        &self,
        connection: &mut Connection,
        media: Media,
        channels: Vec<DataChannel>,
        demand: impl Send,
    ) {
        let mut send_loop = SendLoop::new(self, connection, media, channels);
        // Its own subscriptions keep the camera open from now on.
        drop(demand);
        if let Err(error) = send_loop.run().await {
            tracing::info!("{} ended: {error}", self.party);
        } else {
            tracing::debug!("{} left", self.party);
        }
        // The control channels send the last message.
        self.entry.handle().end().cancel();
        let SendLoop { channels, connection, .. } = send_loop;
        let goodbye = async {
            tokio::select! {
                _ = channels.join_all() => {}
                () = connection.drive() => {}
            }
        };
        if timeout(SESSION_END_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("the viewer did not acknowledge the session's end");
        }
    }
}

/// What is sent, and where it comes from.
pub(super) struct Media {
    pub(super) sender: MediaSender,
    pub(super) switcher: CameraSwitcher,
    /// The source of the audio, if the viewer has any.
    pub(super) sounds: Option<Broadcast<AudioPacket>>,
    /// What the viewer says and shows.
    pub(super) received: ViewerMedia,
}

/// The sending side of a connected session.
struct SendLoop<'s> {
    session: &'s Session,
    connection: &'s mut Connection,
    sender: MediaSender,
    switcher: CameraSwitcher,
    /// The source of the audio, if the viewer has any.
    sounds: Option<Broadcast<AudioPacket>>,
    audio: AudioReceiver,
    received: ViewerMedia,
    /// The control channels that are served.
    channels: JoinSet<()>,
    preferences: watch::Receiver<Preferences>,
    /// The preferences that are in effect.
    applied: Preferences,
    renditions: RenditionChoice,
    decoder: DecodeWatch,
    delay: DelayWatch,
    /// Whether the viewer was reported to decode nothing.
    undecoded: bool,
    /// The last estimate in the log, in bit/s.
    logged_estimate: Option<u32>,
}

/// Whether the session goes on.
type Flow = ControlFlow<()>;

impl<'s> SendLoop<'s> {
    fn new(session: &'s Session, connection: &'s mut Connection, media: Media, channels: Vec<DataChannel>) -> Self {
        let mut preferences = session.preferences.clone();
        let applied = preferences.borrow_and_update().clone();
        let Media { mut sender, switcher, sounds, received } = media;
        sender.set_limit(applied.limit, Instant::now());
        let audio = AudioReceiver::new(sounds.as_ref().filter(|_| !applied.muted), false);
        let mut this = Self {
            session,
            connection,
            sender,
            switcher,
            sounds,
            audio,
            received,
            channels: JoinSet::new(),
            preferences,
            renditions: RenditionChoice::new(applied.quality),
            applied,
            decoder: DecodeWatch::default(),
            delay: DelayWatch::default(),
            undecoded: false,
            logged_estimate: None,
        };
        channels.into_iter().for_each(|channel| this.spawn_control_channel(channel));
        this
    }

    /// Sends until the viewer leaves (`Ok`) or its connection breaks.
    async fn run(&mut self) -> anyhow::Result<()> {
        let end = self.session.entry.handle().end();
        let mut ended = pin!(end.cancelled());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let flow = tokio::select! {
                biased;
                () = &mut ended => Flow::Break(()),
                event = self.connection.next() => self.handle_event(event)?,
                () = reached(self.sender.due()) => {
                    self.sender.flush(self.connection)?;
                    Flow::Continue(())
                }
                _ = ticks.tick() => {
                    self.report_received()?;
                    self.tick(Instant::now())
                }
                changed = self.preferences.changed() => match changed {
                    Ok(()) => self.apply_preferences(),
                    // The session's record is gone, and the session with it.
                    Err(_) => Flow::Break(()),
                },
                packet = self.audio.next() => {
                    self.sender.send_audio(packet, self.connection)?;
                    Flow::Continue(())
                }
                event = self.switcher.next() => self.handle_switch_event(event)?,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    fn handle_event(&mut self, event: ConnectionEvent) -> anyhow::Result<Flow> {
        match event {
            ConnectionEvent::Connected => {}
            ConnectionEvent::Closed => return Ok(Flow::Break(())),
            ConnectionEvent::Failed => {
                anyhow::bail!("the connection failed: no packets from the {} any more", self.session.party);
            }
            ConnectionEvent::Violation(violation) => {
                tracing::warn!("{violation}; ending the session");
                return Ok(Flow::Break(()));
            }
            ConnectionEvent::Channel(channel) => self.spawn_control_channel(channel),
            ConnectionEvent::Rtcp(compound) => self.handle_rtcp(&compound)?,
            ConnectionEvent::Rtp(packet) => self.handle_rtp(&packet)?,
        }
        Ok(Flow::Continue(()))
    }

    /// Handles what the viewer says or shows.
    fn handle_rtp(&mut self, packet: &Bytes) -> anyhow::Result<()> {
        let requests = self.received.handle(packet, self.sender.video_ssrc())?;
        self.send_rtcp(&requests)
    }

    /// Reports to a viewer who talks what was lost of it.
    fn report_received(&mut self) -> anyhow::Result<()> {
        self.received.note_refused(self.connection.take_refused_media());
        let reports = self.received.report([self.session.sources.audio.ssrc, self.sender.video_ssrc()])?;
        self.send_rtcp(&reports)
    }

    fn send_rtcp(&mut self, compounds: &[BytesMut]) -> anyhow::Result<()> {
        let Some(srtp) = self.connection.srtp().filter(|_| !compounds.is_empty()) else { return Ok(()) };
        let mut packets = Packets::default();
        for compound in compounds {
            packets.push(&srtp.seal_rtcp(compound)?);
        }
        self.connection.send(&packets);
        Ok(())
    }

    /// Looks after what does not happen by itself.
    fn tick(&mut self, now: Instant) -> Flow {
        self.sender.on_tick(self.renditions.bitrate_limit(&self.switcher), now);
        self.audio.protect(self.sounds.as_ref().filter(|_| self.sender.needs_fec()));
        // Also what has not changed: a higher bitrate is not always granted at once.
        self.switcher.report(self.sender.demand(now), now);
        self.renditions.follow(&mut self.switcher, &mut self.sender, now);
        self.publish_network(now);
        self.follow_delay(now);
        self.request_needed_keyframe(now);
        self.switcher.pass_on_due_request(now);
        Flow::Continue(())
    }

    /// Skips the viewer to the live edge if it is behind.
    fn follow_delay(&mut self, now: Instant) {
        let Some(camera) = self.switcher.stream().map(|stream| stream.index) else { return };
        self.delay.follow(&self.session.entry, &mut self.sender, (camera, self.applied.playout_delay()), now);
    }

    /// Publishes what is known of the viewer's network, and logs it when the estimate has doubled or halved.
    fn publish_network(&mut self, now: Instant) {
        self.renditions.publish(&self.switcher, &mut self.sender, &self.session.entry);
        let network = self.sender.network(now);
        self.session.entry.set_network(network);
        let Some(estimate) = network.estimate else { return };
        let logged = self.logged_estimate.unwrap_or(0);
        if estimate / 2 >= logged || logged / 2 >= estimate {
            let rtt = network.rtt.unwrap_or_default().as_millis();
            let party = &self.session.party;
            tracing::debug!("the {party}'s network carries {} kbit/s, round trip {rtt} ms", estimate / 1_000);
            self.logged_estimate = Some(estimate);
        }
    }

    /// Does what the viewer's RTCP asks for.
    fn handle_rtcp(&mut self, compound: &Bytes) -> anyhow::Result<()> {
        let feedback = Feedback::read(compound, self.sender.video_ssrc(), Timestamp::now());
        feedback.count(&self.session.metrics);
        if let Some(report) = feedback.sender_report {
            self.received.note_sender_report(report);
        }
        let now = Instant::now();
        if feedback.key_requests > 0 {
            self.decoder.note_request(now);
            if self.switcher.bitrate().is_none_or(|bitrate| self.sender.carries(bitrate, now)) {
                self.switcher.request_keyframe();
            } else {
                self.sender.want_key();
            }
        }
        if let Some(fraction_lost) = feedback.fraction_lost {
            self.decoder.note_report(fraction_lost, now);
        }
        self.sender.on_feedback(&feedback, self.connection)?;
        let demand = self.sender.demand(now);
        if demand.differs(self.switcher.demand()) {
            self.switcher.report(demand, now);
        }
        self.request_needed_keyframe(now);
        self.report_undecoded();
        Ok(())
    }

    /// Requests a key frame if something was not sent that the viewer needs.
    fn request_needed_keyframe(&mut self, now: Instant) {
        if self.switcher.bitrate().is_some_and(|bitrate| self.sender.take_key_request(bitrate, now)) {
            self.switcher.request_keyframe();
        }
    }

    /// Reports that the viewer decodes nothing, or does again.
    fn report_undecoded(&mut self) {
        // A server decodes nothing, and asks for key frames for whoever watches from there.
        let undecoded = self.decoder.is_undecoded() && !self.session.party.is_server();
        if std::mem::replace(&mut self.undecoded, undecoded) == undecoded {
            return;
        }
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
    }

    /// Serves a data channel, unless the viewer has enough of them. A server gives no commands.
    fn spawn_control_channel(&mut self, channel: DataChannel) {
        // Channels with another label have ended already.
        while self.channels.try_join_next().is_some() {}
        if self.channels.len() < MAX_CHANNELS && !self.session.party.is_server() {
            let Session { dispatcher, entry, metrics, .. } = self.session;
            let context = ChannelContext::new(dispatcher.clone(), entry.handle().clone(), metrics.clone());
            self.channels.spawn(control_channel::serve(Arc::new(channel), context));
        }
    }

    fn send_video(&mut self, frame: &EncodedFrame) -> anyhow::Result<()> {
        if frame.key {
            self.decoder.note_key_frame();
            self.renditions.begin_frames(&self.switcher, &mut self.sender);
            self.renditions.publish(&self.switcher, &mut self.sender, &self.session.entry);
        }
        let mode = self.session.offer.format.mode;
        self.sender.send_video(frame, mode, self.applied.playout_delay(), self.connection)
    }

    fn handle_switch_event(&mut self, event: SwitchEvent) -> anyhow::Result<Flow> {
        match event {
            SwitchEvent::Frame { frame, first_of } => {
                if let Some(camera) = first_of {
                    self.session.entry.set_camera(camera);
                }
                self.send_video(&frame)?;
            }
            SwitchEvent::NalTooLarge(error) => {
                tracing::warn!("session ended: {error}");
                self.session.entry.end(EndReason::Format);
                return Ok(Flow::Break(()));
            }
            SwitchEvent::Resolved(result) => self.report_selection(&self.applied, result),
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
        if now.limit != before.limit {
            self.sender.set_limit(now.limit, Instant::now());
        }
        if now.quality != before.quality {
            self.renditions.set_quality(now.quality);
            self.renditions.follow(&mut self.switcher, &mut self.sender, Instant::now());
        }
        if now.keyframe != before.keyframe {
            self.switcher.request_keyframe();
        }
        if now.muted != before.muted {
            self.audio = AudioReceiver::new(self.sounds.as_ref().filter(|_| !now.muted), true);
        }
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
