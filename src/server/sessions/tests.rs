//! Tests of the session registry.

use std::time::Duration;

use super::*;
use crate::model::metrics::SkipCause;
use crate::model::protocol::NoticeValues;
use crate::model::status::Status;

const LIMITS: Limits = Limits { viewers: 3, negotiating: 2 };

fn registry() -> SessionRegistry {
    let camera = || status::CameraStatus::default();
    let status = Status { cameras: vec![camera(), camera()], ..Status::default() };
    SessionRegistry::new(Metrics::new(), status::StatusPublisher::new(status))
}

fn new_session(id: &str, owner: &str, role: Role) -> NewSession {
    NewSession {
        id: id.into(),
        owner: owner.into(),
        role,
        client: [192, 0, 2, 1].into(),
        arrived: Instant::now(),
        camera: 0,
        playout_delay: PlayoutDelay::default(),
        end: CancellationToken::new(),
    }
}

fn register(sessions: &SessionRegistry, id: &str, role: Role) -> (SessionGuard, watch::Receiver<Preferences>) {
    let (entry, preferences) = sessions.register(new_session(id, "somebody", role), LIMITS).expect("room");
    entry.set_connected();
    (entry, preferences)
}

#[test]
fn an_attachment_lives_as_long_as_its_record() {
    let sessions = registry();
    let (entry, _preferences) = register(&sessions, "1", Role::Viewer);
    assert_eq!(sessions.attachment::<u32>("1"), None);
    let attachment = Arc::new(7_u32);
    entry.attach(attachment.clone());
    assert_eq!(sessions.attachment::<u32>("1").as_deref(), Some(&7));
    assert_eq!(sessions.attachment::<u64>("1"), None);
    assert_eq!(sessions.attachment::<u32>("2"), None);
    assert!(sessions.end("1", EndReason::Closed));
    assert_eq!(sessions.attachment::<u32>("1"), None);
    assert_eq!(Arc::strong_count(&attachment), 1);
    // The session's task has not ended yet.
    entry.attach(attachment.clone());
    assert_eq!(Arc::strong_count(&attachment), 1);
}

#[test]
fn sessions_of_one_owner_are_known_as_such() {
    let sessions = registry();
    let session = |id, owner| sessions.register(new_session(id, owner, Role::Viewer), LIMITS).expect("room").0;
    let (one, two) = (session("1", "a"), session("2", "a"));
    one.set_connected();
    two.set_connected();
    let other = session("3", "b");
    assert_eq!(one.owner(), two.owner());
    assert_ne!(one.owner(), other.owner());
}

#[test]
fn limits_apply_until_a_session_ends() {
    let sessions = registry();
    let one = sessions.register(new_session("1", "a", Role::Viewer), LIMITS).expect("room");
    let _two = sessions.register(new_session("2", "a", Role::Viewer), LIMITS).expect("room");
    let third = || sessions.register(new_session("3", "a", Role::Viewer), LIMITS);
    assert_eq!(third().err(), Some(CapacityError::Negotiating(2)));
    one.0.set_connected();
    let _three = third().expect("one has connected");
    assert_eq!(third().err(), Some(CapacityError::Full(3)));
    drop(one);
    assert_eq!(sessions.list().iter().map(|viewer| viewer.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    assert_eq!(sessions.0.status.snapshot().viewers, 2);
}

#[test]
fn an_address_that_holds_all_places_gives_one_to_another() {
    let sessions = registry();
    let from = |id: &str, last| NewSession { client: [192, 0, 2, last].into(), ..new_session(id, "a", Role::Viewer) };
    for limits in [LIMITS, Limits { viewers: 2, negotiating: 2 }] {
        let one = sessions.register(from("1", 1), limits).expect("room");
        let _two = sessions.register(from("2", 1), limits).expect("room");
        assert!(sessions.register(from("3", 1), limits).is_err(), "the same address");
        let _other = sessions.register(from("4", 2), limits).expect("room for another address");
        assert!(one.0.handle().end().is_cancelled() && sessions.get("1").is_none() && sessions.get("2").is_some());
        assert!(sessions.register(from("5", 3), limits).is_err(), "one each");
    }
}

#[test]
fn publications_are_listed_by_name_and_take_nobodys_place() {
    let sessions = registry();
    let servers: Vec<_> = ["a", "b", "c", "d"]
        .map(|id| sessions.register_publication(new_session(id, "publish", Role::Viewer), "publish to a server"))
        .into();
    let _one = sessions.register(new_session("1", "a", Role::Viewer), LIMITS).expect("room");
    let _two = register(&sessions, "2", Role::Viewer);
    let three =
        sessions.register(new_session("3", "b", Role::Viewer), LIMITS).expect("servers have no place of theirs");
    assert_eq!(sessions.register(new_session("4", "c", Role::Viewer), LIMITS).err(), Some(CapacityError::Full(3)));
    drop(three);
    assert_eq!(sessions.get("a").expect("listed").name, "publish to a server");
    assert_eq!(sessions.0.metrics.viewers_accepted.get(), 3);
    assert!(servers.iter().all(|server| !server.0.handle().end().is_cancelled()), "none gives way");
    assert_eq!(sessions.0.status.snapshot().viewers, 6, "they see the picture, too");
}

/// Each holds its place for 20 s.
#[test]
fn offers_that_never_connect_do_not_keep_out_whoever_shares_their_address() {
    let limits = Limits { viewers: 100, negotiating: 16 };
    let (sessions, start) = (registry(), Instant::now());
    let at = |id: String, seconds: f64| {
        let arrived = start + Duration::from_secs_f64(seconds);
        sessions.register(NewSession { arrived, ..new_session(&id, "a", Role::Viewer) }, limits)
    };
    let mut half_open = Vec::new();
    for number in 0..200 {
        // Faster than they time out.
        let seconds = f64::from(number) / 0.8;
        half_open.push(at(format!("half-open {number}"), seconds).expect("the oldest gives way"));
        let viewer = at(format!("viewer {number}"), seconds + 0.5).expect("the oldest gives way");
        assert!(!viewer.0.handle().end().is_cancelled());
        assert!(sessions.list().len() <= 16);
    }
}

#[test]
fn viewers_get_a_name_and_can_be_renamed() {
    let sessions = registry();
    let mut presence = sessions.watch();
    let one = register(&sessions, "1", Role::Operator);
    let _two = register(&sessions, "2", Role::Viewer);
    assert!(sessions.rename("2", "Ada"));
    assert!(!sessions.rename("9", "nobody"));
    let expected = Presence { names: vec!["viewer 1".into(), "Ada".into()], operators: 1 };
    assert_eq!(*presence.borrow_and_update(), expected);
    assert!(sessions.rename("2", "Ada"));
    assert!(!presence.has_changed().expect("open"), "an unchanged presence is not published again");
    drop(one);
    let _three = register(&sessions, "3", Role::Viewer);
    assert_eq!(presence.borrow().names, ["Ada", "viewer 1"], "a name that is free again");
}

#[test]
fn preferences_reach_only_their_own_session() {
    let sessions = registry();
    let (_one, mut first) = register(&sessions, "1", Role::Viewer);
    let (_two, second) = register(&sessions, "2", Role::Viewer);
    assert!(sessions.update("1", |preferences| preferences.paused = true));
    assert!(!sessions.update("9", |preferences| preferences.paused = true));
    assert!(first.borrow_and_update().paused && !second.has_changed().expect("open"));
    assert!(sessions.update("1", |preferences| preferences.paused = true));
    assert!(!first.has_changed().expect("open"), "it is paused already");
    assert!(sessions.preferences("1").is_some_and(|preferences| preferences.paused));
}

#[test]
fn a_viewer_whose_player_decodes_nothing_stands_in_the_status_of_its_camera() {
    let sessions = registry();
    let (entry, _preferences) = register(&sessions, "1", Role::Viewer);
    let (_other, _) = register(&sessions, "2", Role::Viewer);
    let shown = || (sessions.list()[0].undecoded, sessions.0.status.snapshot().cameras[0].undecoded);
    assert_eq!(shown(), (false, 0));
    entry.set_undecoded(true);
    assert_eq!(shown(), (true, 1));
    entry.set_undecoded(false);
    assert_eq!(shown(), (false, 0));
    entry.set_undecoded(true);
    drop(entry);
    assert_eq!(shown(), (false, 0), "it has left");
}

#[test]
fn what_a_viewer_reports_of_its_delay_is_published_until_it_leaves() {
    let sessions = registry();
    let (entry, _preferences) = register(&sessions, "1", Role::Viewer);
    let shown = || sessions.0.metrics.text().contains("porthole_viewer_delay_seconds{viewer=\"1\"} 0.12");
    assert!(!sessions.report_delay("9", Some(1)), "there is no such session");
    for (delay, is_shown) in [(Some(120), true), (None, false), (Some(120), true)] {
        assert!(sessions.report_delay("1", delay));
        assert_eq!((sessions.list()[0].delay, shown()), (delay, is_shown));
    }
    assert_eq!(entry.take_delay_report(), Some(Some(Duration::from_millis(120))));
    assert_eq!(entry.take_delay_report(), None, "the session has it");
    drop(entry);
    assert!(!sessions.report_delay("1", Some(120)) && !shown(), "it has left");
}

#[test]
fn skips_to_the_live_edge_are_counted_for_each_viewer_and_by_cause() {
    let sessions = registry();
    let (entry, _preferences) = register(&sessions, "1", Role::Viewer);
    entry.count_skips(SkipCause::Queue, 0);
    assert!(!sessions.0.metrics.text().contains("live_edge_skips_total{"));
    entry.count_skips(SkipCause::Queue, 2);
    entry.count_skips(SkipCause::Delay, 1);
    assert_eq!(sessions.list()[0].skips, 3);
    let text = sessions.0.metrics.text();
    for line in
        ["porthole_live_edge_skips_total{cause=\"Queue\"} 2", "porthole_live_edge_skips_total{cause=\"Delay\"} 1"]
    {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn frames_that_are_left_out_are_counted_for_each_viewer() {
    let sessions = registry();
    let (entry, _preferences) = register(&sessions, "1", Role::Viewer);
    entry.count_left_out(0);
    assert!(!sessions.0.metrics.text().contains("at=\"Layer\""));
    entry.set_layers(Layers::Base);
    entry.count_left_out(7);
    entry.count_left_out(8);
    assert_eq!((sessions.list()[0].layers, sessions.list()[0].left_out), (Layers::Base, 15));
    let text = sessions.0.metrics.text();
    assert!(text.contains("porthole_frames_dropped_total{at=\"Layer\"} 15"), "{text}");
}

#[test]
fn what_is_known_of_a_viewers_network_is_published_until_it_leaves() {
    let sessions = registry();
    let (entry, _preferences) = register(&sessions, "1", Role::Viewer);
    assert_eq!(sessions.list()[0].network, ViewerNetwork::default());
    let rtt = Some(Duration::from_millis(50));
    let network = ViewerNetwork { estimate: Some(1_000_000), rtt, lost_per_mille: Some(20) };
    entry.set_network(network);
    assert_eq!(sessions.list()[0].network, network);
    let lines = [
        "porthole_viewer_estimate_bits_per_second{viewer=\"1\"} 1000000",
        "porthole_viewer_rtt_seconds{viewer=\"1\"} 0.05",
        "porthole_viewer_loss_ratio{viewer=\"1\"} 0.02",
    ];
    let text = sessions.0.metrics.text();
    assert!(lines.iter().all(|line| text.contains(line)), "{text}");
    entry.set_network(ViewerNetwork { estimate: None, ..network });
    let text = sessions.0.metrics.text();
    assert!(!text.contains(lines[0]) && text.contains(lines[1]), "what is no longer known is not shown: {text}");
    drop(entry);
    assert!(!sessions.0.metrics.text().contains("viewer=\"1\""));
}

#[tokio::test]
async fn a_selection_is_acknowledged_by_the_session() {
    let sessions = registry();
    let (entry, mut preferences) = register(&sessions, "1", Role::Viewer);
    let mut selection = sessions.selection("1").expect("session");
    let session = async {
        preferences.changed().await.expect("open");
        let asked = preferences.borrow_and_update().clone();
        entry.accept_selection(&asked);
    };
    let (selected, ()) = tokio::join!(sessions.select("1", 1), session);
    assert_eq!((selected, selection.borrow_and_update().camera), (Ok(()), 0), "no frame of it has been sent yet");
    entry.set_camera(1);
    assert_eq!((selection.borrow_and_update().camera, sessions.list()[0].camera), (1, 1));
    assert_eq!(sessions.0.status.snapshot().cameras.iter().map(|camera| camera.watched).collect::<Vec<_>>(), [0, 1]);

    let session = async {
        preferences.changed().await.expect("open");
        let asked = preferences.borrow_and_update().clone();
        entry.reject_selection(&asked, "too much for it".into());
    };
    let (selected, ()) = tokio::join!(sessions.select("1", 0), session);
    assert_eq!(selected, Err(SelectError::Rejected("too much for it".into())));
    assert_eq!(preferences.borrow().camera, 1, "the selection is rolled back");
}

#[tokio::test]
async fn the_later_of_two_selections_wins() {
    let sessions = registry();
    let (entry, preferences) = register(&sessions, "1", Role::Viewer);
    // Joined futures run in turn: both selections are made before the session sees either.
    let session = async {
        let asked = preferences.borrow().clone();
        entry.reject_selection(&asked, "no".into());
    };
    let (first, second, ()) = tokio::join!(sessions.select("1", 1), sessions.select("1", 0), session);
    assert_eq!((first, second), (Ok(()), Err(SelectError::Rejected("no".into()))));
    assert_eq!(sessions.select("9", 1).await, Err(SelectError::Unknown));
    let (ended, left) = tokio::join!(sessions.select("1", 1), async { drop(entry) });
    assert_eq!((ended, left), (Err(SelectError::Unknown), ()));
}

#[test]
fn the_first_end_reason_wins() {
    let sessions = registry();
    let end = CancellationToken::new();
    let session = NewSession { end: end.clone(), ..new_session("1", "somebody", Role::Viewer) };
    let (entry, _wishes) = sessions.register(session, LIMITS).expect("room");
    assert!(sessions.kick("1") && end.is_cancelled());
    assert!(!sessions.kick("1"), "it is gone");
    assert_eq!(sessions.end_sessions_of("somebody", EndReason::Revoked), 0);
    assert_eq!(entry.handle().reason(), EndReason::Kicked);
    assert!(sessions.list().is_empty());
}

#[test]
fn ending_an_owners_sessions_leaves_the_others() {
    let sessions = registry();
    let _one = sessions.register(new_session("1", "a", Role::Viewer), LIMITS).expect("room");
    let _two = sessions.register(new_session("2", "b", Role::Viewer), LIMITS).expect("room");
    assert_eq!((sessions.end_sessions_of("a", EndReason::Revoked), sessions.list().len()), (1, 1));
    assert!(sessions.get("1").is_none() && sessions.get("2").is_some());
}

#[tokio::test]
async fn messages_reach_all_subscribers() {
    let sessions = registry();
    let (mut one, mut two) = (sessions.subscribe(), sessions.subscribe());
    let values = NoticeValues::default();
    let message =
        ServerMessage::Notice { warning: false, code: "photo.taken", values, text: "the camera moves".into() };
    sessions.broadcast(message.clone());
    assert_eq!((one.recv().await, two.recv().await), (Ok(message.clone()), Ok(message)));
}
