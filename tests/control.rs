//! The control protocol against the running program: permissions on each transport, errors, events, snapshots, floods,
//! and an independent client.
//!
//! Message formats are tested beside the code in `src/model/protocol`, the page's use of them in `tests/page`.

#[path = "control/client.rs"]
mod client;
mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::{ControlClient, code};
use common::fake::Fake;
use common::{Event, LIMIT, Options, Porthole, SMALL, missing, request};
use porthole::model::protocol::METHODS;
use serde_json::{Value, json};
use tempfile::TempDir;

const FORBIDDEN: i64 = -32000;
const MISSING: i64 = -32001;
const BUSY: i64 = -32002;
const REFUSED: i64 = -32003;
const SESSION: i64 = -32005;

/// A camera with a control, and one of another size.
const TWO: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[[camera]]\nname = \"front\"\ndevice = \"/dev/video90\"\n\
                   bitrate = 300000\n[[camera]]\nname = \"back\"\ndevice = \"pattern\"\nwidth = 640\nheight = 360\n\
                   fps = 30\nbitrate = 300000\n";

/// Records on command, whatever there is space for.
const RECORDING: &str = "[recording]\nmode = \"manual\"\nbefore = 0\nmin_free = \"\"\n";

/// The first camera's script.
const FRONT: &str = "format YUYV 320x240@30\ncontrol 9963776 1 0 255 1 128 0 Brightness\n";

/// Valid params for a method, chosen so that they change something where possible.
fn params(method: &str) -> Value {
    match method {
        "camera.select" => json!({ "camera": "back" }),
        "controls.get" => json!({ "camera": "front", "name": "brightness" }),
        "controls.set" => json!({ "camera": "front", "values": { "brightness": 77 } }),
        "video.set" => json!({ "bitrate": 200_000 }),
        "video.quality" => json!({ "quality": "low" }),
        "audio.mute" => json!({ "muted": true }),
        "latency.set" => json!({ "mode": "smooth" }),
        "privacy.set" => json!({ "on": false }),
        "session.report" => json!({ "delay": 120 }),
        "session.limit" => json!({ "session": "nobody", "bitrate": 300_000 }),
        "session.kick" => json!({ "session": "nobody" }),
        "chat.send" => json!({ "text": "hello" }),
        _ => json!({}),
    }
}

/// A server where clients authenticate with tokens.
struct Board {
    state: TempDir,
    porthole: Porthole,
    _fake: Fake,
}

impl Board {
    fn start(config: &str) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let fake = Fake::new(FRONT)?;
        let [one, two] = fake.environment()?;
        let environment = [one, two, ("STATE_DIRECTORY", state.path().into())];
        let porthole = Porthole::start_with(&format!("{config}\n[auth]\nmode = \"password\"\n"), &environment)?;
        Ok(Self { state, porthole, _fake: fake })
    }

    /// Runs the command line on the same state: whether it succeeded, and its stdout or stderr.
    fn run(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
        command.args(arguments).env("STATE_DIRECTORY", self.state.path()).env_remove("RUNTIME_DIRECTORY");
        let output = command.stdin(Stdio::null()).output()?;
        let good = output.status.success();
        let printed = String::from_utf8_lossy(if good { &output.stdout } else { &output.stderr });
        Ok((good, printed.trim_end().to_owned()))
    }

    fn token(&self, role: &str) -> Result<String> {
        let (good, token) = self.run(&["token", "add", role, "--role", role])?;
        ensure!(good, "{token}");
        Ok(token)
    }

    async fn watch(&self, token: &str) -> Result<ControlClient> {
        ControlClient::connect(&Options { token: Some(token.into()), ..Options::new(&self.porthole.base) }).await
    }

    /// `POST /api/command`: status and body.
    async fn post(&self, token: Option<&str>, body: &Value) -> Result<(u16, Value)> {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let answer = request("POST", &format!("{}api/command", self.porthole.base), &headers, body.to_string()).await?;
        Ok((answer.status, serde_json::from_str(&answer.body)?))
    }

    /// The photo directory.
    fn photos(&self) -> PathBuf {
        self.state.path().join("photos")
    }

    /// The settings that a viewer might have changed.
    async fn settings(&self, token: &str) -> Result<Value> {
        let (_, answer) = self.post(Some(token), &json!({ "method": "status" })).await?;
        let cameras = answer["result"]["cameras"].as_array().context("no cameras")?;
        let of = |camera: &Value| json!([camera["name"], camera["controls"], camera["bitrate"]]);
        Ok(json!([answer["result"]["privacy"], cameras.iter().map(of).collect::<Value>()]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_hold_on_every_transport() -> Result<()> {
    let board = Board::start(TWO)?;
    let [viewer, operator] = [board.token("viewer")?, board.token("operator")?];
    let mut viewer_client = board.watch(&viewer).await?;
    let mut operator_client = board.watch(&operator).await?;
    // The first frame means that the camera's controls are known.
    viewer_client.viewer.frame(LIMIT).await?;
    let before = board.settings(&viewer).await?;
    for method in METHODS {
        let (name, params) = (method.name, params(method.name));
        let request = json!({ "id": 1, "method": name, "params": params });
        // A viewer, on the data channel and over HTTP.
        let own = code(&viewer_client.call(name, params.clone()).await?);
        let (status, posted) = board.post(Some(&viewer), &request).await?;
        if method.operator {
            ensure!((own, code(&posted), status) == (FORBIDDEN, FORBIDDEN, 403), "{name}: {own} {status} {posted}");
        } else if method.session {
            // There is no speaker.
            let expected = if name == "talk.start" { REFUSED } else { 0 };
            ensure!((own, code(&posted), status) == (expected, SESSION, 409), "{name}: {own} {status} {posted}");
        } else {
            ensure!((own, code(&posted), status) == (0, 0, 200), "{name}: {own} {status} {posted}");
        }
        // Without credentials.
        let (status, refused) = board.post(None, &request).await?;
        ensure!(status == 401, "{name}: {status} {refused}");
    }
    let after = board.settings(&viewer).await?;
    ensure!(before == after, "a viewer has changed something:\n{before}\n{after}");
    ensure!(!board.photos().exists(), "a viewer has had a photo kept");
    for method in METHODS {
        let (name, params) = (method.name, params(method.name));
        let request = json!({ "id": 1, "method": name, "params": params });
        let is_missing = name.starts_with("publish.") || matches!(name, "session.kick" | "session.limit");
        let expected = match name {
            // Nothing is recorded in this configuration.
            "record.start" | "record.stop" => REFUSED,
            _ if is_missing => MISSING,
            "talk.start" => REFUSED,
            _ => 0,
        };
        let own = code(&operator_client.call(name, params.clone()).await?);
        ensure!(own == expected, "{name}: {own}");
        let outside = if method.session { SESSION } else { expected };
        let (status, posted) = board.post(Some(&operator), &request).await?;
        ensure!(code(&posted) == outside, "{name}: {status} {posted}");
        // `porthole ctl` on the board.
        let (good, printed) = board.run(&["ctl", name, &params.to_string()])?;
        let reported = outside == 0 || printed.contains(&format!("({outside}"));
        ensure!(good == (outside == 0) && reported, "ctl {name}: {printed}");
    }
    let changed = board.settings(&operator).await?;
    ensure!(changed != after, "an operator has changed nothing: {changed}");
    // One from each transport.
    ensure!(fs::read_dir(board.photos())?.count() == 3, "{:?}", fs::read_dir(board.photos())?.collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_over_http_needs_a_role_and_a_camera() -> Result<()> {
    let board = Board::start(TWO)?;
    let token = format!("Bearer {}", board.token("viewer")?);
    let get_snapshot = |query: &'static str, token: &str| {
        let (url, token) = (format!("{}snapshot.jpg{query}", board.porthole.base), token.to_owned());
        tokio::task::spawn_blocking(move || client::get(&url, &token))
    };
    // Other names in the query, such as OctoPrint's number against caches, are ignored.
    for (query, size) in [
        ("", (320, 240)),
        ("?camera=back", (640, 360)),
        ("?1620136984425", (320, 240)),
        ("?size=1&&%zz=%ff", (320, 240)),
        ("?t=1&camera=back&t=2", (640, 360)),
    ] {
        let (status, kind, body) = get_snapshot(query, &token).await??;
        ensure!((status, kind.as_str()) == (200, "image/jpeg"), "{query}: {status} {kind}");
        ensure!(client::jpeg_size(&body) == Some(size), "{query}: {:?}", client::jpeg_size(&body));
    }
    for (query, token, status) in
        [("", "", 401), ("?t", "", 401), ("?camera=x&t", &token, 404), ("?camera", &token, 404)]
    {
        let (found, ..) = get_snapshot(query, token).await??;
        ensure!(found == status, "{query}: {found}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_get_errors_in_order() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut client = ControlClient::connect(&Options::new(&porthole.base)).await?;
    let long = "x".repeat(17_000);
    for (message, code) in [
        ("", -32700),
        ("{", -32700),
        ("null", -32600),
        (r#"{"id":1,"method":"fly"}"#, -32601),
        (r#"{"id":1,"method":"audio.mute","params":{"muted":1}}"#, -32602),
        (&long, -32600),
    ] {
        client.viewer.send(message).await?;
        let answer = client.answer().await?;
        ensure!(answer["error"]["code"] == code, "{message:?}: {answer}");
    }
    client.viewer.send_binary(b"{}").await?;
    let answer = client.answer().await?;
    ensure!(answer["error"]["code"] == -32700, "{answer}");
    // Half of them are invalid.
    let methods = ["time.sync", "fly", "camera.list", "session.list", "x"];
    for id in 0..25 {
        client.viewer.send(&json!({ "id": id, "method": methods[id % 5] }).to_string()).await?;
    }
    for id in 0..25 {
        let answer = client.answer().await?;
        ensure!(answer["id"] == id, "{id}: {answer}");
    }
    // A notification gets no response.
    client.viewer.send(r#"{"method":"time.sync"}"#).await?;
    ensure!(code(&client.call("time.sync", json!({})).await?) == 0);
    client.viewer.frame(LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pre_negotiated_data_channel_works() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut client = ControlClient::connect(&Options { negotiated: true, ..Options::new(&porthole.base) }).await?;
    let answer = client.call("time.sync", json!({})).await?;
    ensure!(answer["result"]["sent"].as_f64() >= answer["result"]["received"].as_f64(), "{answer}");
    client.event("status").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_every_viewer() -> Result<()> {
    let fake = Fake::new(FRONT)?;
    let porthole = Porthole::start_with(TWO, &fake.environment()?)?;
    let mut first = ControlClient::connect(&Options::new(&porthole.base)).await?;
    let status = first.event("status").await?;
    ensure!(status["cameras"][0]["controls"] == json!([]), "{status}");
    let viewers = first.event("viewers").await?;
    ensure!(viewers == json!({ "count": 1, "operators": 1, "names": ["viewer 1"] }), "{viewers}");
    let mut second = ControlClient::connect(&Options::new(&porthole.base)).await?;
    ensure!(first.event("viewers").await?["count"] == 2);
    second.event("viewers").await?;

    ensure!(code(&second.call("chat.send", json!({ "text": " hi\nall ", "name": "Ada" })).await?) == 0);
    for (client, you) in [(&mut first, false), (&mut second, true)] {
        let chat = client.event("chat").await?;
        ensure!(chat["from"] == "Ada" && chat["text"] == "hi\nall" && chat["you"] == you, "{chat}");
    }
    let taken = first.call("chat.send", json!({ "text": "me too", "name": "Ada" })).await?;
    ensure!(taken["error"]["data"]["param"] == "name", "{taken}");
    // At once: a busy machine takes longer for six answers than for the next message to be allowed.
    for _ in 0..6 {
        second.viewer.send(r#"{"id":"again","method":"chat.send","params":{"text":"again"}}"#).await?;
    }
    let mut last = json!(null);
    for _ in 0..6 {
        last = second.answer().await?;
    }
    ensure!(code(&last) == BUSY && last["error"]["data"]["retry"].as_u64() > Some(0), "{last}");

    let set = second.call("controls.set", json!({ "values": { "brightness": 5 } })).await?;
    ensure!(code(&set) == 0, "{set}");
    // One with the values that the camera opened with may come before.
    let mut changed = json!(null);
    while changed["controls"][0]["value"] != 5 {
        changed = first.event("control.changed").await?;
        ensure!(changed["controls"][0]["name"] == "brightness", "{changed}");
    }

    let you = second.call("status", json!({})).await?;
    ensure!(you["result"]["you"]["name"] == "Ada" && you["result"]["you"]["role"] == "operator", "{you}");
    let id = you["result"]["you"]["session"].clone();
    ensure!(code(&first.call("session.kick", json!({ "session": id })).await?) == 0);
    let end = second.event("session.end").await?;
    ensure!(end["code"] == "kicked", "{end}");
    second.viewer.until(LIMIT, |event| matches!(event, Event::Ended)).await?;
    ensure!(first.event("notice").await?["text"].as_str().is_some_and(|text| text.contains("Ada")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_arrive_intact_during_live_video() -> Result<()> {
    let porthole =
        Porthole::start(&SMALL.replace("320", "1920").replace("180", "1080").replace("fps = 30", "fps = 15"))?;
    let mut client = ControlClient::connect(&Options::new(&porthole.base)).await?;
    client.viewer.frame(LIMIT).await?;
    let begun = Instant::now();
    for number in 1..=20 {
        let snapshot = client.snapshot().await?;
        ensure!(snapshot.transfer == number, "transfer {} in place of {number}", snapshot.transfer);
        ensure!(client::jpeg_size(&snapshot.content) == Some((1920, 1080)), "snapshot {number}");
    }
    let took = begun.elapsed();
    ensure!(client.lost == 0, "{} packets of the live video are lost", client.lost);
    ensure!(client.numbers.len() > 5, "no live video within {took:?}");
    // A request while another transfer is running.
    client.viewer.send(r#"{"id":"a","method":"snapshot"}"#).await?;
    client.viewer.send(r#"{"id":"b","method":"snapshot"}"#).await?;
    let refused = client.answer().await?;
    ensure!(refused["id"] == "b" && code(&refused) == BUSY, "{refused}");
    missing(&client.numbers, &porthole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_does_not_disturb_other_viewers() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer_client = ControlClient::connect(&Options::new(&porthole.base)).await?;
    viewer_client.viewer.frame(LIMIT).await?;
    let mut flooding_client =
        ControlClient::connect(&Options { decode: false, ..Options::new(&porthole.base) }).await?;
    flooding_client.event("viewers").await?;
    let flood = async {
        let begun = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut sent = 0u32;
        while sent < 30_000 {
            tick.tick().await;
            // Catches up when the machine was too slow for the tick.
            while sent < 30_000 && f64::from(sent) < begun.elapsed().as_secs_f64() * 10_000.0 {
                flooding_client.viewer.send(r#"{"id":1,"method":"session.list"}"#).await?;
                sent += 1;
            }
        }
        anyhow::Ok(())
    };
    let watch = async {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            viewer_client.receive(LIMIT).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(flood, watch)?;
    ensure!(viewer_client.lost == 0, "{} packets lost", viewer_client.lost);
    ensure!(viewer_client.numbers.len() > 30, "only {} frames in three seconds", viewer_client.numbers.len());
    missing(&viewer_client.numbers, &porthole).await?;
    // The flooding client gets errors and keeps its video.
    let busy = loop {
        let answer = flooding_client.answer().await?;
        if code(&answer) == BUSY {
            break answer;
        }
    };
    ensure!(busy["error"]["data"]["retry"].as_u64() > Some(0), "{busy}");
    flooding_client.viewer.frame(LIMIT).await?;
    ensure!(code(&viewer_client.call("time.sync", json!({})).await?) == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_client_speaks_the_whole_protocol() -> Result<()> {
    let fake = Fake::new(FRONT)?;
    // Nobody listens there.
    let publish = "[[publish]]\nurl = \"http://127.0.0.1:9/whip\"\ncamera = \"front\"\nmode = \"on_demand\"\n";
    let speaker = "[speaker]\ndevice = \"null\"\n";
    let config = format!("{TWO}[audio]\ndevice = \"tone\"\n{speaker}[auth]\nmode = \"none\"\n{RECORDING}{publish}");
    let porthole = Porthole::start_with(&config, &fake.environment()?)?;
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/control/client.py");
    let lines = std::fs::read_to_string(client)?.lines().count();
    ensure!(lines < 100, "the example has {lines} lines");
    let base = porthole.base.clone();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", "/usr/bin/python3", client, &base]);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await?.context("run python3; the Debian package python3-aiortc has what the client needs")?;
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "{printed}");
    for method in METHODS {
        ensure!(printed.contains(&format!("{method}: ")), "the client has not called {method}:\n{printed}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctl_uses_the_socket_in_the_state_directory() -> Result<()> {
    let board = Board::start(SMALL)?;
    let (good, printed) = board.run(&["ctl", "camera.list"])?;
    let list: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
    ensure!(good && list["cameras"][0]["name"] == "camera" && list["selected"].is_null(), "{printed}");
    let (good, printed) = board.run(&["ctl", "video.set", "{\"fps\":0}"])?;
    ensure!(!good && printed.contains("video.set: fps: not a whole number") && printed.contains("-32602"), "{printed}");
    let (good, printed) = board.run(&["ctl", "status", "{"])?;
    ensure!(!good && printed.contains("the params are not JSON"), "{printed}");
    let socket = board.state.path().join("control.sock");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket)?.permissions());
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let Board { state, porthole, _fake } = board;
    porthole.signal("TERM")?;
    let (exit, ..) = porthole.wait()?;
    ensure!(exit == Some(0) && !socket.exists(), "{exit:?}; the socket is still there");
    let left = Board { state, porthole: Porthole::start(SMALL)?, _fake };
    let (good, printed) = left.run(&["ctl", "status"])?;
    ensure!(!good && printed.contains("is porthole running"), "{printed}");
    Ok(())
}
