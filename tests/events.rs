//! Server-sent events of the running program: what they tell, how many readers there may be, and how they end.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::events::EventReader;
use common::{Options, Porthole, SMALL, Viewer, request, token};
use serde_json::{Value, json};

async fn call(porthole: &Porthole, method: &str, params: Value) -> Result<Value> {
    let body = json!({ "id": 1, "method": method, "params": params }).to_string();
    let headers = [("content-type", "application/json")];
    let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
    serde_json::from_str(&answer.body).with_context(|| answer.body.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_of_cameras_viewers_privacy_and_photos() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut reader = EventReader::open(&porthole, "").await?;
    ensure!(reader.status() == 200 && reader.head.contains("content-type: text/event-stream"), "{}", reader.head);
    let (name, status) = reader.event().await?;
    ensure!(name == "status" && status["privacy"] == false && status["cameras"][0]["state"] == "idle", "{status:#}");
    let (name, viewers) = reader.event().await?;
    ensure!(name == "viewers" && viewers["count"] == 0, "{viewers:#}");
    // Reading events opens no camera.
    ensure!(porthole.metric("porthole_cameras_open").await? == 0.0);
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    reader.find("viewers", |viewers| viewers["count"] == 1).await?;
    reader.find("camera.changed", |camera| camera["state"] == "live" && camera["camera"] == "camera").await?;
    call(&porthole, "photo.take", json!({})).await?;
    reader.find("notice", |notice| notice["code"] == "photo.taken").await?;
    call(&porthole, "privacy.set", json!({ "on": true })).await?;
    reader.find("notice", |notice| notice["code"] == "privacy.on").await?;
    reader.find("status", |status| status["privacy"] == true).await?;
    viewer.leave().await?;
    reader.find("viewers", |viewers| viewers["count"] == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_limited_and_end_with_their_access_and_the_program() -> Result<()> {
    let state = tempfile::tempdir()?;
    let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n");
    let porthole = Porthole::start_with(&config, &[("STATE_DIRECTORY", state.path().into())])?;
    let header = |name: &str| {
        let secret = token(state.path(), &["add", name, "--role", "viewer"])?;
        anyhow::Ok(format!("Authorization: Bearer {secret}\r\n"))
    };
    let (one, other) = (header("one")?, header("other")?);
    ensure!(EventReader::open(&porthole, "").await?.status() == 401);
    let mut readers = Vec::new();
    for _ in 0..11 {
        readers.push(EventReader::open(&porthole, &one).await?);
    }
    let mut survivor = EventReader::open(&porthole, &other).await?;
    let refused = EventReader::open(&porthole, &one).await?;
    ensure!(refused.status() == 429 && refused.head.contains("retry-after: 5"), "{}", refused.head);
    token(state.path(), &["revoke", "one"])?;
    for reader in readers {
        reader.finish().await?;
    }
    survivor.find("viewers", |_| true).await?;
    porthole.signal("TERM")?;
    let (code, _, log) = tokio::task::spawn_blocking(move || porthole.wait()).await??;
    ensure!(code == Some(0), "{log}");
    survivor.finish().await?;
    Ok(())
}
