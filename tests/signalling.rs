//! Session setup end to end: the page's assets, what an answer omits, and the control channel.
//!
//! WHEP itself is tested in `whep`, hostile requests in `hardening`.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, Options, Porthole, SMALL, Viewer, request};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_microphone_the_audio_section_is_inactive() -> Result<()> {
    let porthole = Porthole::start(&SMALL.replace("\"tone\"", "\"off\""))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let audio = viewer.answer.split("m=").find(|section| section.starts_with("audio")).context("no audio section")?;
    ensure!(audio.contains("a=inactive") && !audio.contains("a=msid"), "{audio}");
    viewer.frame(LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_http_port_is_reported() -> Result<()> {
    let holder = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = holder.local_addr()?.port();
    let (code, stderr) = Porthole::fail(&SMALL.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")))?;
    ensure!(code == Some(1) && stderr.contains(&format!("port {port} is in use")), "{code:?} {stderr}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_assets_are_served() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (path, kind) in [("", "text/html"), ("viewer.js", "text/javascript"), ("viewer.css", "text/css")] {
        let answer = request("GET", &format!("{}{path}", porthole.base), &[], String::new()).await?;
        ensure!(answer.status == 200 && !answer.body.is_empty(), "/{path}: {answer:?}");
        ensure!(answer.header("content-type").is_some_and(|found| found.starts_with(kind)), "/{path}: {answer:?}");
        ensure!(answer.header("content-security-policy").is_some(), "/{path}");
    }
    let health = request("GET", &format!("{}healthz", porthole.base), &[], String::new()).await?;
    ensure!((health.status, health.body.as_str()) == (200, "ok\n"));
    let missing = request("GET", &format!("{}favicon.ico", porthole.base), &[], String::new()).await?;
    ensure!(missing.status == 404, "{missing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_channel_survives_malformed_messages() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    for message in ["nonsense", r#"{"id":1,"method":"fly"}"#, r#"{"id":2,"method":"time.sync"}"#] {
        viewer.send(message).await?;
    }
    let mut answers = Vec::new();
    while answers.len() < 3 {
        if let common::Event::Message(text) = viewer.event(LIMIT).await? {
            let message: serde_json::Value = serde_json::from_str(&text)?;
            // The server also sends status events.
            answers.extend(message.get("id").is_some().then_some(message));
        }
    }
    ensure!(answers[0]["error"]["code"] == -32700, "{answers:?}");
    ensure!(answers[1]["id"] == 1 && answers[1]["error"]["code"] == -32601, "{answers:?}");
    let ours = test_viewer::unix_tenths() as f64 / 10.0;
    let theirs = answers[2]["result"]["sent"].as_f64().context("no time")?;
    ensure!((ours - theirs).abs() < 5_000.0, "the server's clock reads {theirs}, ours {ours}");
    viewer.frame(LIMIT).await?;
    Ok(())
}
