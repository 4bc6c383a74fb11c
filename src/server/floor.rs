//! Who talks: one viewer at a time has the floor, and what others send is dropped.
//!
//! A session that can send audio takes a seat. Whoever has the floor keeps it until they stop, an operator takes it, their
//! session ends, or nothing has come of them for a while. An announcement has the floor, too, until it was heard. What is said
//! goes to the speaker's pipeline, and their picture to the screen's; permissions to call the methods belong to `dispatch`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::media::ScreenFrame;
use crate::media::playout::TalkPacket;
use crate::model::metrics::{Metrics, ScreenDrop, TalkDrop};
use crate::model::status::StatusPublisher;
use crate::pipeline::screen::{ScreenInput, Showing};
use crate::pipeline::speaker::{Announcement, AnnouncementState, SpeakerInput, Talk};
use crate::server::auth::Role;
use crate::util::lock::{Mutex, MutexGuard};

/// How long nothing may come of whoever has the floor. Browsers send silence too, so this is a network that is gone, or a page
/// that was closed; and it is short enough for the floor to be free within two seconds.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Who may talk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The least role.
    pub allow: Role,
}

impl Default for Config {
    fn default() -> Self {
        Self { allow: Role::Operator }
    }
}

/// Whoever has the floor, as others see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloorHolder {
    /// The session; `None` for an announcement.
    pub session: Option<String>,
    /// The viewer's name, or that of whoever announces.
    pub name: String,
}

/// Why somebody does not get the floor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// There is no speaker.
    #[error(
        "there is no speaker; set device in [speaker] of the configuration (`porthole devices` lists the sound cards)"
    )]
    NoSpeaker,
    /// The role is not sufficient.
    #[error("only operators may talk; sign in as operator, or set allow = \"viewer\" in [speaker]")]
    Role,
    /// The session can't send audio.
    #[error("this session sends no audio; offer a sendrecv audio transceiver")]
    NoSeat,
    /// The privacy switch is on.
    #[error("the privacy switch is on, so nothing is heard")]
    Privacy,
    /// Somebody else has it.
    #[error("{0} is talking; wait until they have finished")]
    Taken(String),
}

/// The floor; a cheap handle.
#[derive(Debug, Clone)]
pub struct Floor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    /// `None` without a speaker.
    speaker: Option<SpeakerInput>,
    /// `None` if nothing shows who talks.
    screen: Option<ScreenInput>,
    status: StatusPublisher,
    metrics: Metrics,
    state: Mutex<State>,
    holder: watch::Sender<Option<FloorHolder>>,
}

#[derive(Debug, Default)]
struct State {
    /// The sessions that can send audio.
    seats: HashSet<String>,
    current: Option<CurrentTalk>,
    /// Counts talks.
    talks: u64,
}

/// The talk of whoever has the floor.
#[derive(Debug)]
struct CurrentTalk {
    number: u64,
    holder: FloorHolder,
    role: Role,
    talk: Talk,
    /// Their picture, once there is one.
    showing: Option<Showing>,
    /// When something came of them last, or they began.
    heard: Instant,
    /// What is announced. It is heard for as long as it is kept here.
    announcement: Option<Arc<Announcement>>,
}

impl CurrentTalk {
    /// Whether this session's viewer talks.
    fn is_of(&self, session: &str) -> bool {
        self.holder.session.as_deref() == Some(session)
    }

    /// Whether somebody of this role may take the floor. An operator need not hear an announcement to its end.
    fn yields_to(&self, role: Role) -> bool {
        role > self.role || (self.announcement.is_some() && role >= Role::Operator)
    }
}

/// What the screen needs of the picture of whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureNeed {
    /// Nothing: they do not have the floor, or nothing shall be shown.
    Nothing,
    /// Nothing for now: the program is behind.
    Later,
    /// A key frame.
    Key,
    /// The next frame.
    Next,
}

/// A session that can send audio; the floor is free when it is dropped.
#[derive(Debug)]
pub struct Seat {
    floor: Floor,
    session: String,
}

impl Floor {
    /// A floor that nobody has. What is said goes to `speaker`, and what the talker shows to `screen`, if there are any.
    pub fn new(
        config: Config,
        speaker: Option<SpeakerInput>,
        screen: Option<ScreenInput>,
        status: StatusPublisher,
        metrics: Metrics,
    ) -> Self {
        let (state, holder) = (Mutex::default(), watch::Sender::default());
        Self(Arc::new(Inner { config, speaker, screen, status, metrics, state, holder }))
    }

    /// Whether somebody of this role may talk, if they can.
    pub fn admits(&self, role: Role) -> bool {
        self.0.speaker.is_some() && role >= self.0.config.allow
    }

    /// Whether something shows who talks.
    pub fn has_screen(&self) -> bool {
        self.0.screen.is_some()
    }

    /// Has a session, which can send audio from now on, take part.
    pub fn take_seat(&self, session: &str) -> Seat {
        self.0.state.lock().seats.insert(session.into());
        Seat { floor: self.clone(), session: session.into() }
    }

    /// Subscribes to who talks.
    pub fn watch(&self) -> watch::Receiver<Option<FloorHolder>> {
        self.0.holder.subscribe()
    }

    /// Gives the floor to a viewer, whom others see as `name`.
    ///
    /// # Errors
    ///
    /// See [`FloorError`].
    pub fn start(&self, session: &str, role: Role, name: &str) -> Result<(), FloorError> {
        let Some(speaker) = &self.0.speaker else { return Err(FloorError::NoSpeaker) };
        if role < self.0.config.allow {
            return Err(FloorError::Role);
        }
        let mut state = self.0.state.lock();
        if !state.seats.contains(session) {
            return Err(FloorError::NoSeat);
        }
        if speaker.demand().blocked_since().is_some() {
            return Err(FloorError::Privacy);
        }
        match &mut state.current {
            Some(current) if current.is_of(session) => {
                current.heard = Instant::now();
                return Ok(());
            }
            Some(current) if current.yields_to(role) => {
                tracing::info!("{name} takes the floor from {}", current.holder.name);
            }
            Some(current) => return Err(FloorError::Taken(current.holder.name.clone())),
            None => tracing::info!("{name} talks"),
        }
        let holder = FloorHolder { session: Some(session.into()), name: name.into() };
        let number = self.give(&mut state, holder, role, speaker.begin(), None);
        drop(state);
        tokio::spawn(self.clone().expire(number));
        Ok(())
    }

    /// Whether an announcement would get the floor now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_announcement(&self) -> Result<(), FloorError> {
        self.may_announce(&self.0.state.lock()).map(|_| ())
    }

    /// Plays an announcement, which others see as `name`. It takes the floor as an operator does, and keeps it until it was
    /// heard.
    ///
    /// # Errors
    ///
    /// See [`FloorError`].
    pub fn announce(&self, announcement: Announcement, name: &str) -> Result<(), FloorError> {
        let mut state = self.0.state.lock();
        let speaker = self.may_announce(&state)?;
        tracing::info!("{name} announces {:.1} s of sound", announcement.length().as_secs_f64());
        let (progress, announcement) = (announcement.watch(), Arc::new(announcement));
        let (holder, talk) = (FloorHolder { session: None, name: name.into() }, speaker.announce(&announcement));
        let number = self.give(&mut state, holder, Role::Operator, talk, Some(announcement));
        drop(state);
        self.0.metrics.announcements.inc();
        tokio::spawn(self.clone().end_with(number, progress));
        Ok(())
    }

    fn may_announce(&self, state: &State) -> Result<&SpeakerInput, FloorError> {
        let speaker = self.0.speaker.as_ref().ok_or(FloorError::NoSpeaker)?;
        if speaker.demand().blocked_since().is_some() {
            return Err(FloorError::Privacy);
        }
        match &state.current {
            // Nor does one announcement cut another off.
            Some(current) if current.role >= Role::Operator => Err(FloorError::Taken(current.holder.name.clone())),
            _ => Ok(speaker),
        }
    }

    /// Gives the floor to `holder`; the number of the talk.
    fn give(
        &self,
        state: &mut MutexGuard<'_, State>,
        holder: FloorHolder,
        role: Role,
        talk: Talk,
        announcement: Option<Arc<Announcement>>,
    ) -> u64 {
        state.talks += 1;
        let number = state.talks;
        let heard = Instant::now();
        state.current = Some(CurrentTalk { number, holder, role, talk, showing: None, heard, announcement });
        self.publish(state);
        number
    }

    /// Takes the floor from a viewer, if they have it.
    pub fn stop(&self, session: &str) {
        self.release(|current| current.is_of(session));
    }

    /// Ends the announcement that is heard, if there is one.
    pub fn stop_announcement(&self) {
        self.release(|current| current.announcement.is_some());
    }

    /// Takes the floor from whoever has it: nothing shall be heard any more.
    pub fn clear(&self) {
        self.release(|_| true);
    }

    fn release(&self, is_over: impl FnOnce(&CurrentTalk) -> bool) {
        let mut state = self.0.state.lock();
        if state.current.as_ref().is_some_and(is_over) {
            state.current = None;
            self.publish(&state);
        }
    }

    /// Publishes who talks. Under the lock, so that the last value is the current one.
    fn publish(&self, state: &MutexGuard<'_, State>) {
        let holder = state.current.as_ref().map(|current| current.holder.clone());
        self.0.metrics.talking.set(i64::from(holder.is_some()));
        self.0.status.speaker(|speaker| speaker.talker = holder.as_ref().map(|holder| holder.name.clone()));
        self.0.holder.send_replace(holder);
    }

    /// Frees the floor when the announcement with this number was heard, or cannot be. Ends with it.
    async fn end_with(self, number: u64, mut progress: watch::Receiver<AnnouncementState>) {
        // Closed when the announcement has lost the floor.
        if progress.wait_for(AnnouncementState::is_over).await.is_ok() {
            self.release(|current| current.number == number);
        }
    }

    /// Frees the floor when nothing comes of the talk with this number any more. Ends with the talk.
    async fn expire(self, number: u64) {
        loop {
            let due = {
                let state = self.0.state.lock();
                let Some(current) = state.current.as_ref().filter(|current| current.number == number) else { return };
                current.heard + SILENCE
            };
            sleep_until(due.into()).await;
            let is_silent = |current: &CurrentTalk| current.number == number && current.heard.elapsed() >= SILENCE;
            self.release(|current| {
                let is_silent = is_silent(current);
                if is_silent {
                    tracing::info!("nothing came of {} for {SILENCE:?}; the floor is free", current.holder.name);
                }
                is_silent
            });
        }
    }
}

impl Seat {
    /// Plays a packet of the session's viewer, if they have the floor; others are dropped and counted.
    pub fn push(&self, packet: TalkPacket) {
        let mut state = self.floor.0.state.lock();
        match state.current.as_mut().filter(|current| current.is_of(&self.session)) {
            Some(current) => {
                current.heard = Instant::now();
                current.talk.push(packet);
            }
            None => {
                drop(state);
                self.drop_packets(TalkDrop::Floor, 1);
            }
        }
    }

    /// What the screen needs of the picture of the session's viewer.
    pub fn picture_need(&self) -> PictureNeed {
        let Inner { screen, state, .. } = &*self.floor.0;
        if screen.as_ref().is_none_or(|screen| screen.demand().blocked_since().is_some()) {
            return PictureNeed::Nothing;
        }
        let state = state.lock();
        match state.current.as_ref().filter(|current| current.is_of(&self.session)).map(|current| &current.showing) {
            None => PictureNeed::Nothing,
            Some(None) => PictureNeed::Key,
            Some(Some(showing)) if !showing.needs_key() => PictureNeed::Next,
            Some(Some(showing)) if showing.has_room() => PictureNeed::Key,
            Some(Some(_)) => PictureNeed::Later,
        }
    }

    /// Shows a frame of the picture of the session's viewer, if they have the floor.
    pub fn show(&self, frame: ScreenFrame) {
        let Inner { screen, state, .. } = &*self.floor.0;
        let mut state = state.lock();
        let current = state.current.as_mut().filter(|current| current.is_of(&self.session));
        if let Some((screen, current)) = screen.as_ref().zip(current) {
            current.heard = Instant::now();
            current.showing.get_or_insert_with(|| screen.begin()).push(frame);
        }
    }

    /// Counts frames of the picture that cannot be shown.
    pub fn drop_frames(&self, count: u64) {
        self.floor.0.metrics.count_screen_drop(ScreenDrop::Lost, count);
    }

    /// Counts packets that are not played.
    pub fn drop_packets(&self, why: TalkDrop, count: u64) {
        self.floor.0.metrics.count_talk_drop(why, count);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.floor.0.state.lock().seats.remove(&self.session);
        self.floor.stop(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::capture::audio::DeviceContext;
    use crate::capture::audio::speaker::{self, Speaker};
    use crate::media::{ScreenCodec, Timestamp};
    use crate::model::status::Status;
    use crate::pipeline;
    use crate::pipeline::ducking::Ducking;
    use crate::pipeline::screen;

    fn floor(allow: Role) -> (Floor, StatusPublisher, Metrics, pipeline::speaker::Guard) {
        let (status, metrics) = (StatusPublisher::new(Status::default()), Metrics::new());
        // ALSA's own null device, which every machine has.
        let config = speaker::Config { device: "null".into(), ..speaker::Config::default() };
        let context = DeviceContext { pattern: false, camera: Box::new(|| None) };
        let started = pipeline::speaker::start(Speaker::new(config, context), Ducking::default(), &metrics, &status);
        let (input, guard) = started.expect("should start");
        (Floor::new(Config { allow }, Some(input), None, status.clone(), metrics.clone()), status, metrics, guard)
    }

    fn packet(sequence: u16) -> TalkPacket {
        let timestamp = u32::from(sequence) * 960;
        TalkPacket {
            sequence,
            timestamp,
            arrived: Timestamp::now(),
            is_redundant: false,
            payload: Bytes::from_static(&[0xf8, 0xff, 0xfe]),
        }
    }

    fn talker(status: &StatusPublisher) -> Option<String> {
        status.snapshot().speaker.talker
    }

    #[tokio::test]
    async fn one_viewer_talks_at_a_time_and_an_operator_may_take_the_floor() {
        let (floor, status, metrics, _guard) = floor(Role::Viewer);
        let [one, other, operator] = ["1", "2", "3"].map(|session| floor.take_seat(session));
        assert_eq!(floor.start("1", Role::Viewer, "Ann"), Ok(()));
        assert_eq!(floor.start("1", Role::Viewer, "Ann"), Ok(()), "again");
        assert_eq!((talker(&status).as_deref(), metrics.talking.get()), (Some("Ann"), 1));
        assert_eq!(floor.start("2", Role::Viewer, "Bob"), Err(FloorError::Taken("Ann".into())));
        assert_eq!(floor.start("3", Role::Operator, "Eve"), Ok(()));
        assert_eq!(talker(&status).as_deref(), Some("Eve"));
        assert_eq!(
            floor.start("1", Role::Operator, "Ann"),
            Err(FloorError::Taken("Eve".into())),
            "not from an operator"
        );
        [&one, &other].into_iter().for_each(|seat| seat.push(packet(1)));
        let dropped = |why| metrics.talk_dropped.get_or_create(&crate::model::metrics::TalkDropLabels { why }).get();
        assert_eq!(dropped(TalkDrop::Floor), 2);
        floor.stop("1");
        assert_eq!(talker(&status).as_deref(), Some("Eve"), "who does not talk cannot stop");
        drop(operator);
        assert_eq!((talker(&status), metrics.talking.get()), (None, 0));
        assert_eq!(floor.start("3", Role::Operator, "Eve"), Err(FloorError::NoSeat));
        assert_eq!(floor.start("2", Role::Viewer, "Bob"), Ok(()));
        floor.clear();
        assert_eq!(*floor.watch().borrow(), None);
    }

    fn picture(key: bool) -> ScreenFrame {
        ScreenFrame { codec: ScreenCodec::H264, key, ticks: 0, data: Bytes::from_static(b"picture") }
    }

    #[tokio::test]
    async fn the_picture_of_whoever_has_the_floor_is_shown() {
        let (floor, status, metrics, _guard) = floor(Role::Viewer);
        let seat = floor.take_seat("1");
        floor.start("1", Role::Viewer, "Ann").expect("should be free");
        assert_eq!((floor.has_screen(), seat.picture_need()), (false, PictureNeed::Nothing));
        drop(seat);
        let exec = Some("exec cat > /dev/null".into());
        let started = screen::start(&screen::Config { exec }, &metrics, &status).expect("a thread");
        let (screen, _screen_guard) = started.expect("a program");
        let (speaker, config) = (floor.0.speaker.clone(), Config { allow: Role::Viewer });
        let floor = Floor::new(config, speaker, Some(screen.clone()), status.clone(), metrics.clone());
        assert!(floor.has_screen());
        let [one, other] = ["1", "2"].map(|session| floor.take_seat(session));
        let needs = || [one.picture_need(), other.picture_need()];
        one.show(picture(true));
        assert_eq!((needs(), screen.demand().guards()), ([PictureNeed::Nothing; 2], 0), "nobody talks");
        floor.start("1", Role::Viewer, "Ann").expect("should be free");
        other.show(picture(true));
        assert_eq!((needs(), screen.demand().guards()), ([PictureNeed::Key, PictureNeed::Nothing], 0));
        one.show(picture(false));
        assert_eq!(needs(), [PictureNeed::Key, PictureNeed::Nothing], "it begins with a key frame");
        one.show(picture(true));
        assert_eq!((needs(), screen.demand().guards()), ([PictureNeed::Next, PictureNeed::Nothing], 1));
        floor.start("2", Role::Operator, "Eve").expect("an operator takes it");
        assert_eq!((needs(), screen.demand().guards()), ([PictureNeed::Nothing, PictureNeed::Key], 0));
        screen.demand().set_blocked(true);
        assert_eq!(needs(), [PictureNeed::Nothing; 2], "the privacy switch is on");
    }

    #[tokio::test]
    async fn who_may_not_talk_is_told_why() {
        let (floor, _, _, _guard) = floor(Role::Operator);
        let _seat = floor.take_seat("1");
        assert_eq!(floor.start("1", Role::Viewer, "Ann"), Err(FloorError::Role));
        assert!(!floor.admits(Role::Viewer) && floor.admits(Role::Operator));
        let (status, metrics) = (StatusPublisher::new(Status::default()), Metrics::new());
        let none = Floor::new(Config::default(), None, None, status, metrics);
        assert_eq!(none.start("1", Role::Operator, "Eve"), Err(FloorError::NoSpeaker));
        assert!(!none.admits(Role::Operator));
        assert_eq!(none.check_announcement(), Err(FloorError::NoSpeaker));
        let speaker = floor.0.speaker.as_ref().expect("should have one");
        speaker.demand().set_blocked(true);
        assert_eq!(floor.start("1", Role::Operator, "Ann"), Err(FloorError::Privacy));
    }

    /// A second of a tone at 8 kHz, as a WAV file.
    fn announcement() -> Announcement {
        let mut file =
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data".to_vec();
        file.extend([0xff; 4]);
        file.extend((0..8_000u32).map(|at| if at % 20 < 10 { 160 } else { 96 }));
        Announcement::read(file.into()).expect("should be a sound")
    }

    #[tokio::test]
    async fn an_announcement_has_the_floor_until_it_was_heard() {
        let (floor, status, metrics, _guard) = floor(Role::Viewer);
        let [_one, _operator] = ["1", "2"].map(|session| floor.take_seat(session));
        assert_eq!(floor.start("1", Role::Viewer, "Ann"), Ok(()));
        assert_eq!(floor.check_announcement(), Ok(()));
        let sound = announcement();
        assert_eq!(sound.length(), Duration::from_secs(1));
        assert_eq!(floor.announce(sound, "the bell"), Ok(()), "it takes the floor from a viewer");
        let begun = Instant::now();
        assert_eq!((talker(&status).as_deref(), metrics.talking.get()), (Some("the bell"), 1));
        let taken = FloorError::Taken("the bell".into());
        assert_eq!(floor.start("1", Role::Viewer, "Ann"), Err(taken.clone()), "a viewer does not take it back");
        assert_eq!(floor.check_announcement(), Err(taken.clone()), "one after the other");
        assert_eq!(floor.announce(announcement(), "another"), Err(taken));
        let mut holder = floor.watch();
        let free = tokio::time::timeout(Duration::from_secs(30), holder.wait_for(Option::is_none));
        free.await.expect("in time").expect("should be there");
        assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
        assert_eq!((talker(&status), metrics.announcements.get()), (None, 1));

        // An operator need not wait.
        assert_eq!(floor.announce(announcement(), "the bell"), Ok(()));
        assert_eq!(floor.start("2", Role::Operator, "Eve"), Ok(()));
        let taken = Err(FloorError::Taken("Eve".into()));
        assert_eq!((floor.check_announcement(), floor.announce(announcement(), "the bell")), (taken.clone(), taken));
        floor.stop_announcement();
        assert_eq!(talker(&status).as_deref(), Some("Eve"), "who talks is no announcement");
        floor.stop("2");
        assert_eq!(floor.announce(announcement(), "the bell"), Ok(()));
        floor.stop_announcement();
        assert_eq!(talker(&status), None);
        let speaker = floor.0.speaker.as_ref().expect("should have one");
        speaker.demand().set_blocked(true);
        assert_eq!(floor.announce(announcement(), "the bell"), Err(FloorError::Privacy));
    }

    #[tokio::test]
    async fn the_floor_of_a_talker_who_vanished_is_free_within_two_seconds() {
        let (floor, status, _, _guard) = floor(Role::Operator);
        let seat = floor.take_seat("1");
        floor.start("1", Role::Operator, "Ann").expect("should be free");
        let heard = Instant::now();
        (0..10).for_each(|sequence| seat.push(packet(sequence)));
        let mut holder = floor.watch();
        let free = holder.wait_for(Option::is_none);
        tokio::time::timeout(Duration::from_secs(30), free).await.expect("in time").expect("should be there");
        let took = heard.elapsed();
        assert!(took >= SILENCE && took < Duration::from_secs(2), "{took:?}");
        assert_eq!(talker(&status), None);
    }
}
