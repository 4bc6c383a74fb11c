//! Who watches: the table of viewers, what each of them wishes, and what all of them are told.
//!
//! A viewer's session enters here and follows its [`Wishes`]; whoever carries commands out looks viewers up by the
//! session's name. Connections belong to `rtc`, permissions to `control`; nothing here waits for a viewer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::{self, Role, UnixTime};
use crate::broadcast::{Broadcast, Subscriber};
use crate::metrics::Metrics;
use crate::status;

/// What was said and is kept for a viewer's task that lags: more than people type in the second in which it catches up.
const SAID: usize = 64;

/// How many may be in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All of them.
    pub viewers: usize,
    /// Those that have not connected yet.
    pub negotiating: usize,
}

/// Why there is no room for another viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// So many watch.
    Full(usize),
    /// So many connect at this moment.
    Negotiating(usize),
}

/// Who comes.
#[derive(Debug)]
pub struct Newcomer {
    /// The session's unguessable name.
    pub id: String,
    /// Who watches, as [`auth::Principal`] names them.
    pub owner: String,
    /// What they may do.
    pub role: Role,
    /// The camera to begin with, by its place in the status.
    pub camera: usize,
    /// Ends the session.
    pub end: CancellationToken,
}

/// What one viewer wishes to be sent; its session follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// The camera, by its place in the status.
    pub camera: usize,
    /// How often a camera was chosen: [`Selection::answers`] tells which choice was answered.
    choice: u64,
    /// No pictures.
    pub paused: bool,
    /// No sound.
    pub muted: bool,
    /// How long the browser shall hold pictures back.
    pub latency: Latency,
    /// Counts the key frames that were asked for.
    pub keyframe: u64,
}

/// How long a browser shall hold pictures back before it shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Latency {
    /// As short as it is configured.
    #[default]
    Low,
    /// Long enough to hide what a bad network does.
    Smooth,
}

impl Latency {
    /// The least and the most delay of [`Smooth`](Self::Smooth) in milliseconds: from three pictures at 15 a second, up to
    /// what a person at the controls of a camera still bears.
    const SMOOTH: (u16, u16) = (200, 1_000);

    /// The least and the most delay in milliseconds; `low` is the configured one.
    pub fn delay(self, low: (u16, u16)) -> (u16, u16) {
        match self {
            Self::Low => low,
            Self::Smooth => Self::SMOOTH,
        }
    }
}

/// What became of a viewer's choice of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The camera whose pictures the viewer is sent, by its place in the status.
    pub camera: usize,
    /// The last choice that was answered.
    answers: u64,
    /// Why that choice was refused.
    refused: Option<String>,
}

/// Why a viewer is not shown the camera that it chose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There is no such session.
    #[error("no such session; it has ended, or never was")]
    Unknown,
    /// What was negotiated does not allow it.
    #[error("{0}")]
    Refused(String),
}

/// One viewer, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The session's name. Whoever knows it can end the session.
    pub id: String,
    /// What the viewer is called.
    pub name: String,
    /// Who watches, as [`auth::Principal`] names them.
    pub owner: String,
    /// What they may do.
    pub role: Role,
    /// The camera whose pictures they are sent, by its place in the status.
    pub camera: usize,
    /// When they came.
    pub since: UnixTime,
}

/// Who is there, without what is nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Present {
    /// What they are called, in the order in which they came.
    pub names: Vec<String>,
    /// How many of them are operators.
    pub operators: usize,
}

/// What all viewers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// By one of them.
    Chat {
        /// The session that said it; `None` for one who does not watch.
        session: Option<String>,
        /// The name.
        from: String,
        /// The words.
        text: String,
        /// When, in milliseconds since the Unix epoch.
        time: u64,
    },
    /// By the board.
    Notice {
        /// Whether something is wrong.
        warning: bool,
        /// The words.
        text: String,
    },
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it: the viewer, or an operator.
    Closed,
    /// An operator has sent the viewer away.
    Kicked,
    /// The viewer's right to watch is gone.
    Revoked,
    /// The program stops.
    Stopping,
}

impl Reason {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Closed => "closed by the board",
            Self::Kicked => "an operator has ended this session",
            Self::Revoked => "the right to watch is gone; sign in again",
            Self::Stopping => "the board is stopping",
        }
    }

    /// For programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Kicked => "kicked",
            Self::Revoked => "revoked",
            Self::Stopping => "stopping",
        }
    }
}

/// The table of viewers; a cheap handle.
#[derive(Debug, Clone)]
pub struct Viewers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: Mutex<Table>,
    present: watch::Sender<Present>,
    said: Broadcast<Said>,
    metrics: Metrics,
    board: status::Board,
}

#[derive(Debug, Default)]
struct Table {
    /// Counts the arrivals, which is their order.
    arrivals: u64,
    /// By arrival.
    rows: BTreeMap<u64, Row>,
}

#[derive(Debug)]
struct Row {
    viewer: Viewer,
    connected: bool,
    wishes: watch::Sender<Wishes>,
    selection: watch::Sender<Selection>,
    end: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Table {
    fn find(&mut self, id: &str) -> Option<&mut Row> {
        self.rows.values_mut().find(|row| row.viewer.id == id)
    }

    /// The first name of the row `viewer 1`, `viewer 2` and so on that nobody has.
    fn free_name(&self) -> String {
        let taken = |name: &str| self.rows.values().any(|row| row.viewer.name == name);
        let mut names = (1..).map(|number| format!("viewer {number}"));
        names.find(|name| !taken(name)).unwrap_or_default()
    }
}

impl Row {
    fn end(&self, reason: Reason) {
        // The first reason is the true one.
        let _ = self.reason.set(reason);
        self.end.cancel();
    }
}

impl Viewers {
    /// An empty table, which tells `metrics` and the status how many there are.
    pub fn new(metrics: Metrics, board: status::Board) -> Self {
        let (table, present, said) = (Mutex::default(), watch::Sender::default(), Broadcast::new(SAID));
        Self(Arc::new(Inner { table, present, said, metrics, board }))
    }

    /// Enters a viewer, whose place is given back when the guard drops.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn enter(&self, newcomer: Newcomer, limits: Limits) -> Result<(Entry, watch::Receiver<Wishes>), NoRoom> {
        let Newcomer { id, owner, role, camera, end } = newcomer;
        let wishes =
            Wishes { camera, choice: 0, paused: false, muted: false, latency: Latency::default(), keyframe: 0 };
        let (wishes, selection) = (watch::Sender::new(wishes), watch::Sender::new(Selection::of(camera)));
        let (followed, reason, seat_end) = (wishes.subscribe(), Arc::default(), end.clone());
        let mut table = self.lock();
        if table.rows.len() >= limits.viewers {
            return Err(NoRoom::Full(table.rows.len()));
        }
        let negotiating = table.rows.values().filter(|row| !row.connected).count();
        if negotiating >= limits.negotiating {
            return Err(NoRoom::Negotiating(negotiating));
        }
        table.arrivals += 1;
        let arrival = table.arrivals;
        let viewer = Viewer { id: id.clone(), name: table.free_name(), owner, role, camera, since: auth::now() };
        let row = Row { viewer, connected: false, wishes, selection, end, reason: Arc::clone(&reason) };
        table.rows.insert(arrival, row);
        drop(table);
        self.0.metrics.viewers_accepted.inc();
        self.publish();
        let seat = Seat { id, end: seat_end, reason };
        Ok((Entry { viewers: self.clone(), arrival, seat }, followed))
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<Viewer> {
        self.lock().rows.values().map(|row| row.viewer.clone()).collect()
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<Viewer> {
        self.lock().find(id).map(|row| row.viewer.clone())
    }

    /// What one of them wishes.
    pub fn wishes(&self, id: &str) -> Option<Wishes> {
        self.lock().find(id).map(|row| row.wishes.borrow().clone())
    }

    /// Names a viewer; `false` when there is none.
    pub fn name(&self, id: &str, name: &str) -> bool {
        let mut table = self.lock();
        let Some(row) = table.find(id) else { return false };
        row.viewer.name = name.into();
        drop(table);
        self.publish();
        true
    }

    /// Changes what a viewer wishes; `false` when there is none. Cameras are chosen by [`select`](Self::select).
    pub fn wish(&self, id: &str, change: impl FnOnce(&mut Wishes)) -> bool {
        let mut table = self.lock();
        let Some(row) = table.find(id) else { return false };
        row.wishes.send_if_modified(|wishes| {
            let before = wishes.clone();
            change(wishes);
            *wishes != before
        });
        true
    }

    /// Has a viewer sent the pictures of another camera, from its next key frame on. Returns when the session goes over to
    /// it, which is at once for a camera whose pictures are known; [`selection`](Self::selection) tells of the first picture.
    ///
    /// # Errors
    ///
    /// As [`SelectError`] says.
    pub async fn select(&self, id: &str, camera: usize) -> Result<(), SelectError> {
        let (choice, mut selection) = {
            let mut table = self.lock();
            let row = table.find(id).ok_or(SelectError::Unknown)?;
            row.wishes.send_modify(|wishes| {
                wishes.camera = camera;
                wishes.choice += 1;
            });
            let choice = row.wishes.borrow().choice;
            (choice, row.selection.subscribe())
        };
        let answered = selection.wait_for(|selection| selection.answers >= choice).await;
        let answered = answered.map_err(|_| SelectError::Unknown)?;
        match &answered.refused {
            Some(reason) if answered.answers == choice => Err(SelectError::Refused(reason.clone())),
            // A later choice was answered in this one's place.
            _ => Ok(()),
        }
    }

    /// Follows which camera a viewer is sent.
    pub fn selection(&self, id: &str) -> Option<watch::Receiver<Selection>> {
        self.lock().find(id).map(|row| row.selection.subscribe())
    }

    /// Sends a viewer away; `false` when there is none.
    pub fn kick(&self, id: &str) -> bool {
        self.end(id, Reason::Kicked)
    }

    /// Ends a session; `false` when there is none.
    pub fn end(&self, id: &str, reason: Reason) -> bool {
        let mut table = self.lock();
        let Some((&arrival, row)) = table.rows.iter().find(|(_, row)| row.viewer.id == id) else { return false };
        row.end(reason);
        table.rows.remove(&arrival);
        drop(table);
        self.publish();
        true
    }

    /// Ends all sessions of an owner, and tells how many.
    pub fn end_owned(&self, owner: &str, reason: Reason) -> usize {
        let mut table = self.lock();
        let rows = std::mem::take(&mut table.rows).into_iter();
        let (ended, kept): (BTreeMap<_, _>, _) = rows.partition(|(_, row)| row.viewer.owner == owner);
        table.rows = kept;
        drop(table);
        ended.values().for_each(|row| row.end(reason));
        if !ended.is_empty() {
            self.publish();
        }
        ended.len()
    }

    /// Follows who is there.
    pub fn watch(&self) -> watch::Receiver<Present> {
        self.0.present.subscribe()
    }

    /// Tells all viewers something.
    pub fn say(&self, said: Said) {
        self.0.said.publish(said);
    }

    /// What is said from now on.
    pub fn hear(&self) -> Subscriber<Said> {
        self.0.said.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who is there.
    fn publish(&self) {
        let inner = &self.0;
        // Under the lock, so that what is told last is what is true.
        let table = self.lock();
        let viewers = || table.rows.values().map(|row| &row.viewer);
        let cameras: Vec<usize> = viewers().map(|viewer| viewer.camera).collect();
        inner.metrics.viewers.set(cameras.len() as i64);
        inner.board.viewers(cameras.len(), &cameras);
        let names = viewers().map(|viewer| viewer.name.clone()).collect();
        let operators = viewers().filter(|viewer| viewer.role == Role::Operator).count();
        let present = Present { names, operators };
        inner.present.send_if_modified(|known| {
            let changed = *known != present;
            *known = present;
            changed
        });
    }
}

impl Wishes {
    /// Whether a camera was chosen since these were `before`, be it the same one again.
    pub fn chosen_since(&self, before: &Self) -> bool {
        self.choice != before.choice
    }
}

impl Selection {
    fn of(camera: usize) -> Self {
        Self { camera, answers: 0, refused: None }
    }
}

/// A session's name and its end, for those who serve its viewer beside the session's own task; a cheap handle.
#[derive(Debug, Clone)]
pub struct Seat {
    id: String,
    end: CancellationToken,
    reason: Arc<OnceLock<Reason>>,
}

impl Seat {
    /// The session's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends the session.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Why the board ends the session.
    pub fn reason(&self) -> Reason {
        // Nobody has ended this one alone.
        self.reason.get().copied().unwrap_or(Reason::Stopping)
    }
}

/// A viewer's place in the table; given back when it drops, also by a panic of the session's task.
#[derive(Debug)]
pub struct Entry {
    viewers: Viewers,
    arrival: u64,
    seat: Seat,
}

impl Entry {
    /// The session's name and its end.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Notes that the viewer has connected.
    pub fn connected(&self) {
        self.change(|row| row.connected = true);
    }

    /// Tells that the choice in `wishes` is followed from the camera's next key frame on.
    pub fn accept(&self, wishes: &Wishes) {
        self.answer(wishes, None);
    }

    /// Tells why the choice in `wishes` is not followed, and takes it back.
    pub fn refuse(&self, wishes: &Wishes, reason: String) {
        self.change(|row| {
            row.wishes.send_modify(|latest| {
                if latest.choice == wishes.choice {
                    latest.camera = row.viewer.camera;
                }
            });
        });
        self.answer(wishes, Some(reason));
    }

    fn answer(&self, wishes: &Wishes, refused: Option<String>) {
        self.change(|row| {
            row.selection.send_modify(|selection| {
                selection.answers = wishes.choice;
                selection.refused = refused;
            });
        });
    }

    /// Tells that the viewer is sent the pictures of `camera` now.
    pub fn plays(&self, camera: usize) {
        self.change(|row| {
            row.viewer.camera = camera;
            row.selection.send_modify(|selection| selection.camera = camera);
        });
        self.viewers.publish();
    }

    fn change(&self, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.viewers.lock().rows.get_mut(&self.arrival) {
            change(row);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // In its own statement: a row's channels wake their followers when they drop, outside the lock.
        let row = self.viewers.lock().rows.remove(&self.arrival);
        if row.is_some() {
            self.viewers.publish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    const LIMITS: Limits = Limits { viewers: 3, negotiating: 2 };

    fn viewers() -> Viewers {
        let camera = || status::Camera::default();
        let status = Status { cameras: vec![camera(), camera()], ..Status::default() };
        Viewers::new(Metrics::new(), status::Board::new(status))
    }

    fn newcomer(id: &str, owner: &str, role: Role) -> Newcomer {
        Newcomer { id: id.into(), owner: owner.into(), role, camera: 0, end: CancellationToken::new() }
    }

    fn enter(viewers: &Viewers, id: &str, role: Role) -> (Entry, watch::Receiver<Wishes>) {
        let (entry, wishes) = viewers.enter(newcomer(id, "somebody", role), LIMITS).expect("room");
        entry.connected();
        (entry, wishes)
    }

    #[test]
    fn a_place_is_taken_and_given_back() {
        let viewers = viewers();
        let one = viewers.enter(newcomer("1", "a", Role::Viewer), LIMITS).expect("room");
        let _two = viewers.enter(newcomer("2", "a", Role::Viewer), LIMITS).expect("room");
        let third = || viewers.enter(newcomer("3", "a", Role::Viewer), LIMITS);
        assert_eq!(third().err(), Some(NoRoom::Negotiating(2)));
        one.0.connected();
        let _three = third().expect("one has connected");
        assert_eq!(third().err(), Some(NoRoom::Full(3)));
        drop(one);
        assert_eq!(viewers.list().iter().map(|viewer| viewer.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(viewers.0.board.snapshot().viewers, 2);
    }

    #[test]
    fn everybody_has_a_name_and_may_have_another() {
        let viewers = viewers();
        let mut present = viewers.watch();
        let one = enter(&viewers, "1", Role::Operator);
        let _two = enter(&viewers, "2", Role::Viewer);
        assert!(viewers.name("2", "Ada"));
        assert!(!viewers.name("9", "nobody"));
        let expected = Present { names: vec!["viewer 1".into(), "Ada".into()], operators: 1 };
        assert_eq!(*present.borrow_and_update(), expected);
        assert!(viewers.name("2", "Ada"));
        assert!(!present.has_changed().expect("open"), "nothing is told that is known");
        drop(one);
        let _three = enter(&viewers, "3", Role::Viewer);
        assert_eq!(present.borrow().names, ["Ada", "viewer 1"], "a name that is free again");
    }

    #[test]
    fn wishes_reach_the_session_of_their_viewer_alone() {
        let viewers = viewers();
        let (_one, mut first) = enter(&viewers, "1", Role::Viewer);
        let (_two, second) = enter(&viewers, "2", Role::Viewer);
        assert!(viewers.wish("1", |wishes| wishes.paused = true));
        assert!(!viewers.wish("9", |wishes| wishes.paused = true));
        assert!(first.borrow_and_update().paused && !second.has_changed().expect("open"));
        assert!(viewers.wish("1", |wishes| wishes.paused = true));
        assert!(!first.has_changed().expect("open"), "it is paused already");
        assert!(viewers.wishes("1").is_some_and(|wishes| wishes.paused));
    }

    #[tokio::test]
    async fn a_choice_is_answered_by_the_session() {
        let viewers = viewers();
        let (entry, mut wishes) = enter(&viewers, "1", Role::Viewer);
        let mut selection = viewers.selection("1").expect("session");
        let session = async {
            wishes.changed().await.expect("open");
            let asked = wishes.borrow_and_update().clone();
            entry.accept(&asked);
        };
        let (selected, ()) = tokio::join!(viewers.select("1", 1), session);
        assert_eq!((selected, selection.borrow_and_update().camera), (Ok(()), 0), "no picture of it has come yet");
        entry.plays(1);
        assert_eq!((selection.borrow_and_update().camera, viewers.list()[0].camera), (1, 1));
        assert_eq!(viewers.0.board.snapshot().cameras.iter().map(|camera| camera.watched).collect::<Vec<_>>(), [0, 1]);

        let session = async {
            wishes.changed().await.expect("open");
            let asked = wishes.borrow_and_update().clone();
            entry.refuse(&asked, "too much for it".into());
        };
        let (selected, ()) = tokio::join!(viewers.select("1", 0), session);
        assert_eq!(selected, Err(SelectError::Refused("too much for it".into())));
        assert_eq!(wishes.borrow().camera, 1, "the choice is taken back");
    }

    #[tokio::test]
    async fn the_later_of_two_choices_is_the_one_that_is_answered() {
        let viewers = viewers();
        let (entry, wishes) = enter(&viewers, "1", Role::Viewer);
        // Joined futures run in turn: both have chosen when the session looks.
        let session = async {
            let asked = wishes.borrow().clone();
            entry.refuse(&asked, "no".into());
        };
        let (first, second, ()) = tokio::join!(viewers.select("1", 1), viewers.select("1", 0), session);
        assert_eq!((first, second), (Ok(()), Err(SelectError::Refused("no".into()))));
        assert_eq!(viewers.select("9", 1).await, Err(SelectError::Unknown));
        let (ended, left) = tokio::join!(viewers.select("1", 1), async { drop(entry) });
        assert_eq!((ended, left), (Err(SelectError::Unknown), ()));
    }

    #[test]
    fn the_reason_of_an_end_is_the_first_one() {
        let viewers = viewers();
        let end = CancellationToken::new();
        let newcomer = Newcomer { end: end.clone(), ..newcomer("1", "somebody", Role::Viewer) };
        let (entry, _wishes) = viewers.enter(newcomer, LIMITS).expect("room");
        assert!(viewers.kick("1") && end.is_cancelled());
        assert!(!viewers.kick("1"), "it is gone");
        assert_eq!(viewers.end_owned("somebody", Reason::Revoked), 0);
        assert_eq!(entry.seat().reason(), Reason::Kicked);
        assert!(viewers.list().is_empty());
    }

    #[test]
    fn the_sessions_of_one_owner_end_alone() {
        let viewers = viewers();
        let _one = viewers.enter(newcomer("1", "a", Role::Viewer), LIMITS).expect("room");
        let _two = viewers.enter(newcomer("2", "b", Role::Viewer), LIMITS).expect("room");
        assert_eq!((viewers.end_owned("a", Reason::Revoked), viewers.list().len()), (1, 1));
        assert!(viewers.get("1").is_none() && viewers.get("2").is_some());
    }

    #[tokio::test]
    async fn what_is_said_is_heard_by_all() {
        let viewers = viewers();
        let (mut one, mut two) = (viewers.hear(), viewers.hear());
        let said = Said::Notice { warning: false, text: "the camera moves".into() };
        viewers.say(said.clone());
        assert_eq!((one.recv().await, two.recv().await), (Ok(said.clone()), Ok(said)));
    }
}
