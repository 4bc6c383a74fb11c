//! Tests of the table of viewers.

use super::*;
use crate::model::status::Status;

const LIMITS: Limits = Limits { viewers: 3, negotiating: 2 };

fn viewers() -> SessionRegistry {
    let camera = || status::CameraStatus::default();
    let status = Status { cameras: vec![camera(), camera()], ..Status::default() };
    SessionRegistry::new(Metrics::new(), status::StatusPublisher::new(status))
}

fn newcomer(id: &str, owner: &str, role: Role) -> NewSession {
    NewSession {
        id: id.into(),
        owner: owner.into(),
        role,
        camera: 0,
        playout_delay: (0, 0),
        end: CancellationToken::new(),
    }
}

fn enter(viewers: &SessionRegistry, id: &str, role: Role) -> (SessionGuard, watch::Receiver<Preferences>) {
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
    assert_eq!(third().err(), Some(CapacityError::Negotiating(2)));
    one.0.connected();
    let _three = third().expect("one has connected");
    assert_eq!(third().err(), Some(CapacityError::Full(3)));
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
    let expected = Presence { names: vec!["viewer 1".into(), "Ada".into()], operators: 1 };
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
    let newcomer = NewSession { end: end.clone(), ..newcomer("1", "somebody", Role::Viewer) };
    let (entry, _wishes) = viewers.enter(newcomer, LIMITS).expect("room");
    assert!(viewers.kick("1") && end.is_cancelled());
    assert!(!viewers.kick("1"), "it is gone");
    assert_eq!(viewers.end_owned("somebody", EndReason::Revoked), 0);
    assert_eq!(entry.seat().reason(), EndReason::Kicked);
    assert!(viewers.list().is_empty());
}

#[test]
fn the_sessions_of_one_owner_end_alone() {
    let viewers = viewers();
    let _one = viewers.enter(newcomer("1", "a", Role::Viewer), LIMITS).expect("room");
    let _two = viewers.enter(newcomer("2", "b", Role::Viewer), LIMITS).expect("room");
    assert_eq!((viewers.end_owned("a", EndReason::Revoked), viewers.list().len()), (1, 1));
    assert!(viewers.get("1").is_none() && viewers.get("2").is_some());
}

#[tokio::test]
async fn what_is_said_is_heard_by_all() {
    let viewers = viewers();
    let (mut one, mut two) = (viewers.hear(), viewers.hear());
    let said = ServerMessage::Notice { warning: false, text: "the camera moves".into() };
    viewers.say(said.clone());
    assert_eq!((one.recv().await, two.recv().await), (Ok(said.clone()), Ok(said)));
}
