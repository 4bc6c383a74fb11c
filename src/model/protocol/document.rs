//! Tests that `docs/protocol.md` and the code agree.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::event::{CameraState, Chat, Event, Level, MotionBox, MotionEvent, MotionPhase, NoticeValues};
use super::result::{CallerInfo, CameraSummary, Reply, SessionSummary, SnapshotInfo};
use super::{Code, Latency, METHODS, Method, Quality, Request, limits, transfer};
use crate::model::inventory::{Control, ControlKind};
use crate::model::status;
use crate::model::status::{Layers, PipelineState, Rendition, Report, Status};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// The rows of the table below a heading, without the title.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, below) = DOCUMENT.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let lines = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    lines.skip(2).map(cells).collect()
}

/// The name in a cell of its own.
fn code(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or_else(|| panic!("no name in {cell:?}"))
}

/// The fields that a cell names: words in double quotes that no value stands before.
fn fields(cell: &str) -> BTreeSet<String> {
    let quoted = cell.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// The names of all fields in a value, `depth` objects deep.
fn keys(value: &Value, depth: usize) -> BTreeSet<String> {
    match value {
        Value::Object(members) if depth > 0 => {
            members.iter().flat_map(|(name, value)| keys(value, depth - 1).into_iter().chain([name.clone()])).collect()
        }
        Value::Array(values) => values.iter().flat_map(|value| keys(value, depth)).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn every_error_stands_in_the_document() {
    let written: Vec<_> = table("### Errors").iter().map(|row| (row[0].parse().unwrap(), row[1])).collect();
    assert_eq!(written, Code::ALL.map(|code| (code.number(), code.name())));
}

#[test]
fn every_method_stands_in_the_document_with_its_role_and_parameters() {
    let written: Vec<_> = table("## Methods").iter().map(|row| (code(row[0]), row[1], row[2].to_owned())).collect();
    let known: Vec<_> = METHODS.iter().map(|method| (method.name, role(method), parameters(method))).collect();
    assert_eq!(written, known);
}

fn role(method: &Method) -> &'static str {
    match (method.operator, method.session) {
        (false, false) => "viewer",
        (false, true) => "viewer, session",
        (true, false) => "operator",
        (true, true) => "operator, session",
    }
}

fn parameters(method: &Method) -> String {
    let mark = |required| if required { "" } else { "?" };
    let params = method.params.iter().map(|param| format!("`{}`{}", param.name, mark(param.required)));
    params.collect::<Vec<_>>().join(", ")
}

#[test]
fn every_parameter_stands_in_the_document_with_its_form() {
    let written: Vec<_> =
        table("### Parameters").iter().map(|row| (code(row[0]), code(row[1]), row[2].to_owned())).collect();
    let known = METHODS
        .iter()
        .flat_map(|method| method.params.iter().map(|param| (method.name, param.name, param.kind.to_string())));
    assert_eq!(written, known.collect::<Vec<_>>());
}

/// A good value of a parameter.
fn good(name: &str) -> Value {
    match name {
        "values" => json!({ "gain": 1 }),
        "names" => json!(["gain"]),
        "muted" | "on" => json!(true),
        "mode" | "quality" => json!("low"),
        "width" | "height" => json!(640),
        "fps" => json!(30),
        "bitrate" => json!(1_000_000),
        "delay" => json!(120),
        _ => json!("x"),
    }
}

#[test]
fn every_parameter_of_the_table_is_read() {
    for method in METHODS {
        let params: serde_json::Map<_, _> =
            method.params.iter().map(|param| (param.name.to_owned(), good(param.name))).collect();
        let request = json!({ "method": method.name, "params": params }).to_string();
        let read = Request::parse(request.as_bytes()).unwrap_or_else(|invalid| panic!("{request}: {invalid:?}"));
        // Each of them makes a difference.
        for param in method.params.iter().filter(|param| !param.required && param.name != "height") {
            let mut fewer = params.clone();
            fewer.remove(param.name);
            if param.name == "width" {
                fewer.remove("height");
            }
            let request = json!({ "method": method.name, "params": fewer }).to_string();
            let other = Request::parse(request.as_bytes()).unwrap_or_else(|invalid| panic!("{request}: {invalid:?}"));
            assert_ne!(read.command, other.command, "{method} {}", param.name);
        }
    }
}

fn report() -> Box<Report> {
    Box::new(Status { cameras: vec![status::CameraStatus::default()], ..Status::default() }.into())
}

fn control() -> Control {
    Control {
        id: 1,
        name: "gain".into(),
        title: "Gain".into(),
        class: "User Controls".into(),
        kind: ControlKind::Integer,
        min: 0,
        max: 1,
        step: 1,
        default: None,
        value: None,
        flags: Vec::new(),
        menu: Vec::new(),
    }
}

/// A result of the method.
fn reply(method: &str) -> Reply {
    let camera = String::from("x");
    match method {
        "status" => Reply::Status {
            report: report(),
            you: CallerInfo { session: None, role: "viewer".into(), name: "a".into() },
        },
        "devices.list" => Reply::Devices { cameras: Vec::new(), sounds: Vec::new() },
        "camera.list" => Reply::Cameras {
            cameras: vec![CameraSummary {
                name: camera,
                state: PipelineState::Idle,
                pattern: true,
                width: None,
                height: None,
                fps: None,
                bitrate: None,
                watched: 0,
                fault: None,
            }],
            selected: None,
        },
        "camera.select" => Reply::Selected { camera, width: None, height: None },
        "controls.get" => Reply::Control { camera, control: Box::new(control()) },
        "controls.list" | "controls.set" | "controls.reset" => Reply::Controls { camera, controls: vec![control()] },
        "video.set" => Reply::Video { camera, width: 1, height: 1, fps: 1, bitrate: 1 },
        "video.quality" => Reply::Quality { quality: Quality::Auto },
        "audio.mute" => Reply::Muted { muted: true },
        "latency.set" => Reply::Latency { mode: Latency::Low, min: 0, max: 0 },
        "snapshot" => Reply::Snapshot(SnapshotInfo {
            transfer: 1,
            bytes: 1,
            media_type: "image/jpeg",
            width: 1,
            height: 1,
            sha256: String::new(),
        }),
        "photo.take" => Reply::Photo { camera, file: String::new(), bytes: 1, width: 1, height: 1 },
        "session.status" => Reply::Session {
            camera,
            quality: Quality::Auto,
            rendition: Rendition::Main,
            layers: Layers::All,
            estimate: None,
            rtt: None,
            loss: None,
            delay: None,
            skips: 0,
            left_out: 0,
        },
        "session.list" => Reply::Sessions {
            sessions: vec![SessionSummary {
                session: "a".into(),
                name: "a".into(),
                role: "viewer".into(),
                camera,
                rendition: Rendition::Main,
                layers: Layers::All,
                since: 0,
                you: true,
                undecoded: false,
                estimate: None,
                rtt: None,
                loss: None,
                delay: None,
                skips: 0,
                left_out: 0,
                limit: None,
            }],
        },
        "privacy.set" | "privacy.toggle" => Reply::Privacy { on: true, kept: true },
        "time.sync" => Reply::Times { received: 0.0, sent: 0.0, video: None },
        "video.keyframe" | "video.pause" | "video.resume" | "session.report" | "session.limit" | "session.kick"
        | "chat.send" | "talk.start" | "talk.stop" => Reply::Done {},
        "publish.start" | "publish.stop" => Reply::Done {},
        "record.start" | "record.stop" => Reply::Record { camera, on: true },
        _ => panic!("{method} should have a result here"),
    }
}

#[test]
fn every_result_stands_in_the_document() {
    for row in table("## Methods") {
        let (method, result) = (code(row[0]), fields(row[3]));
        let mut value = json!(reply(method));
        let depth = match method {
            // What stands in the status and in a control is told elsewhere.
            "status" => {
                for name in keys(&json!(report()), 1) {
                    value.as_object_mut().unwrap().remove(&name);
                }
                2
            }
            "camera.list" | "session.list" => 2,
            _ => 1,
        };
        assert_eq!(result, keys(&value, depth), "{method}");
    }
}

#[test]
fn every_event_stands_in_the_document() {
    let camera = String::from("x");
    let events = [
        Event::Status(report()),
        Event::CameraChanged(CameraState {
            camera: camera.clone(),
            state: PipelineState::Live,
            width: None,
            height: None,
            fps: None,
            pattern: false,
            fault: None,
            selected: false,
        }),
        Event::ControlChanged { camera, controls: vec![control()] },
        Event::DevicesChanged {},
        Event::Recording(status::CameraRecording { camera: "x".into(), ..Default::default() }),
        Event::Viewers { count: 0, operators: 0, names: Vec::new() },
        Event::Talk { name: Some("a".into()), you: true },
        Event::Chat(Chat { from: "a".into(), text: "b".into(), time: 0, you: true }),
        Event::Motion(MotionEvent {
            camera: "x".into(),
            state: MotionPhase::Begun,
            score: 50,
            area: MotionBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 },
            time: 0,
        }),
        Event::Notice { level: Level::Info, text: "a".into(), code: "photo.taken", values: NoticeValues::default() },
        Event::SessionEnd { reason: "a".into(), code: "closed" },
    ];
    let rows = table("## Events");
    assert_eq!(rows.len(), events.len());
    for (row, event) in rows.iter().zip(events) {
        let message: Value = serde_json::from_str(&event.message()).unwrap();
        assert_eq!(message["method"], code(row[0]));
        assert!(message["params"].is_object() && message.as_object().unwrap().len() == 2, "{message}");
        if !matches!(event, Event::Status(_)) {
            assert_eq!(fields(row[1]), keys(&message["params"], 1), "{}", row[0]);
        }
    }
}

#[test]
fn every_bound_stands_in_the_document() {
    let text = DOCUMENT.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        format!("at most {} bytes when sent to porthole", limits::MAX_MESSAGE_LEN),
        format!("burst of {} requests and {} a second after that", limits::REQUEST_RATE.0, limits::REQUEST_RATE.1),
        format!("up to {} may be queued", limits::MAX_QUEUED),
        format!("fewer than {} bytes are unacknowledged", limits::MAX_BUFFERED_AMOUNT),
        format!("header of {} bytes", transfer::HEADER),
        format!("at most {} bytes. | bytes", transfer::MAX_MESSAGE),
    ] {
        assert!(text.contains(&words), "the document should say: {words}");
    }
}
