//! Who may watch by RTSP, how many at once, and what is refused.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, INTERLEAVED};
use crate::common::{Porthole, SMALL, request, token, until_idle};
use crate::config;

/// The value of a header with a password of Basic authentication, which is the argument in base64.
fn basic(pair: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_passwords_are_needed_counted_and_revoked() -> Result<()> {
    let state = tempfile::tempdir()?;
    let config = format!("{}\n[auth]\nmode = \"password\"\n", config());
    let environment = [("STATE_DIRECTORY", state.path().into()), ("PORTHOLE_LOG", "trace".into())];
    let porthole = Porthole::start_with(&config, &environment)?;
    let secret = token(state.path(), &["add", "player", "--role", "viewer"])?;
    let password = porthole.wait_for_output("password of the viewer: ")?;
    let mut client = Client::new(&porthole).await?;
    ensure!(client.request("OPTIONS", "*", &[]).await?.status == 200, "players begin with it");
    let refused = client.request("DESCRIBE", "camera", &[]).await?;
    ensure!(
        refused.status == 401 && refused.header("www-authenticate") == Some("Basic realm=\"porthole\""),
        "{refused:?}"
    );
    for (path, method) in
        [("camera/trackID=0", "SETUP"), ("camera", "PLAY"), ("camera", "GET_PARAMETER"), ("attic", "DESCRIBE")]
    {
        ensure!(client.request(method, path, &[]).await?.status == 401, "{method}");
    }
    for pair in [format!("any:{secret}"), format!("{secret}:"), format!("any:{password}")] {
        let mut client = Client::new(&porthole).await?;
        client.headers.push(("Authorization".into(), basic(&pair)));
        client.play("camera").await?;
        client.frame().await?;
    }
    // A recorder that opens all its streams at once with a password that was right.
    let header = basic(&format!("any:{password}"));
    let mut streams = JoinSet::new();
    for _ in 0..8 {
        let (mut client, header) = (Client::from(&porthole, [127, 0, 0, 5]).await?, header.clone());
        streams.spawn(async move { client.request("DESCRIBE", "camera", &[("Authorization", &header)]).await });
    }
    while let Some(answer) = streams.join_next().await {
        let answer = answer??;
        ensure!(answer.status == 200, "{answer:?}");
    }
    // What ends the access ends the session.
    client.headers.push(("Authorization".into(), basic(&format!("any:{secret}"))));
    client.play("camera").await?;
    token(state.path(), &["revoke", "player"])?;
    client.until_closed().await?;
    // Players begin with no secret or with another scheme, which is no attempt to guess one.
    for sent in ["Digest username=\"any\"", "Basic not base64", "Basic", "Basic Og=="].repeat(5) {
        let mut client = Client::from(&porthole, [127, 0, 0, 7]).await?;
        let refused = client.request("DESCRIBE", "camera", &[("Authorization", sent)]).await?;
        ensure!(refused.status == 401, "{sent}: {refused:?}");
    }
    // Wrong passwords count like those on the page, and for it.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&503) {
        let mut client = Client::from(&porthole, [127, 0, 0, 7]).await?;
        statuses.push(client.request("DESCRIBE", "camera", &[("Authorization", &basic("any:wrong"))]).await?.status);
        ensure!(statuses.len() < 10, "{statuses:?}");
    }
    ensure!(statuses == [401, 401, 401, 401, 401, 503], "{statuses:?}");
    let mut right = Client::from(&porthole, [127, 0, 0, 7]).await?;
    let late = right.request("DESCRIBE", "camera", &[("Authorization", &basic(&format!("any:{password}")))]).await?;
    ensure!(late.status == 503 && late.header("retry-after").is_some(), "{late:?}");
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    for secret in [&secret[4..], &password] {
        ensure!(!log.contains(secret), "a secret is in the log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_starts_over_and_over_has_to_wait() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut playing = Client::new(&porthole).await?;
    playing.play("camera").await?;
    let mut eager = Client::from(&porthole, [127, 0, 0, 7]).await?;
    let mut count = 0;
    let refused = loop {
        let answer = eager.request("SETUP", "camera/trackID=0", &[("Transport", INTERLEAVED[0])]).await?;
        if answer.status != 200 {
            break answer;
        }
        ensure!(eager.request("TEARDOWN", "camera", &[]).await?.status == 200);
        count += 1;
        ensure!(count < 200, "{count} times");
    };
    ensure!(refused.status == 503 && refused.header("retry-after").is_some() && count >= 20, "{count}: {refused:?}");
    // Nobody else has.
    playing.frame().await?;
    Client::from(&porthole, [127, 0, 0, 8]).await?.play("camera").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_cut_off_and_disturbs_nobody() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut playing = Client::new(&porthole).await?;
    playing.play("camera").await?;
    for _ in 0..3 {
        let mut flood = Client::from(&porthole, [127, 0, 0, 7]).await?;
        // It is closed before all of it was sent.
        let _ = flood.send("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(2_000).as_bytes()).await;
        flood.until_closed().await?;
        playing.frame().await?;
    }
    // Each of them was refused once.
    ensure!(porthole.series("porthole_http_refused_total{reason=\"Rate\"}").await? == 3.0);
    let described = Client::from(&porthole, [127, 0, 0, 8]).await?.request("DESCRIBE", "camera", &[]).await?;
    ensure!(described.status == 200, "{described:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_the_connection_and_no_more() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let long = format!("OPTIONS * RTSP/1.0\r\nCSeq: {}\r\n\r\n", "1".repeat(10_000));
    let blank = "\r\n".repeat(33);
    for garbage in [
        &b"POST / HTTP/1.1\r\nHost: board\r\nContent-Length: 40\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"$\x00\xff\xff",
        b"$\x00\x00\x01a",
        blank.as_bytes(),
        b"DESCRIBE rtsp://board/ RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999999\r\n\r\n",
        long.as_bytes(),
    ] {
        let mut client = Client::new(&porthole).await?;
        // It may be closed before all of it was sent.
        let _ = client.send(garbage).await;
        client.until_closed().await?;
    }
    let mut client = Client::new(&porthole).await?;
    client.send(b"\r\n\r\nOPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\nOPTIONS * RTSP/1.0\r\n\r\n").await?;
    ensure!(client.answer().await?.status == 505 && client.answer().await?.status == 400);
    client.play("camera").await?;
    client.frame().await?;
    // Packets of a player are taken, too many are not.
    for _ in 0..1_000 {
        let _ = client.send(b"$\x01\x00\x04abcd").await;
    }
    client.until_closed().await?;
    until_idle(&porthole).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_viewers_has_a_limit_and_an_operator_ends_sessions() -> Result<()> {
    let porthole = Porthole::start(&config().replace("[rtsp]", "[rtc]\nmax_viewers = 2\n[rtsp]"))?;
    let mut clients = [Client::new(&porthole).await?, Client::new(&porthole).await?];
    for client in &mut clients {
        client.play("camera").await?;
    }
    let mut third = Client::new(&porthole).await?;
    let refused = third.request("SETUP", "camera/trackID=0", &[("Transport", INTERLEAVED[0])]).await?;
    ensure!(refused.status == 503 && refused.header("retry-after") == Some("5"), "{refused:?}");
    let call = async |method: &str, params: Value| {
        let body = json!({ "id": 1, "method": method, "params": params }).to_string();
        let headers = [("content-type", "application/json")];
        let answer = request("POST", &format!("{}api/command", porthole.base), &headers, body).await?;
        serde_json::from_str::<Value>(&answer.body).with_context(|| answer.body.clone())
    };
    let listed = call("session.list", json!({})).await?;
    let sessions = listed["result"]["sessions"].as_array().with_context(|| listed.to_string())?;
    ensure!(sessions.len() == 2 && sessions[0]["camera"] == "camera", "{listed}");
    call("session.kick", json!({ "session": sessions[0]["session"] })).await?;
    clients[0].until_closed().await?;
    third.play("camera").await?;
    clients[1].frame().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_there_is_no_rtsp_and_a_port_in_use_is_reported() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let config = format!("{SMALL}\n[rtsp]\nlisten = \"127.0.0.1:{port}\"\n");
    let (code, stderr) = Porthole::fail(&config)?;
    ensure!(code == Some(1) && stderr.contains(&format!("port {port} is in use")), "{code:?} {stderr}");
    ensure!(stderr.contains("[rtsp] listen"), "{stderr}");
    drop(listener);
    let porthole = Porthole::start(&config.replace(&format!("127.0.0.1:{port}"), "off"))?;
    ensure!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    porthole.signal("TERM")?;
    ensure!(porthole.wait()?.0 == Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_keep_others_out() -> Result<()> {
    let porthole = Porthole::start(&config())?;
    let mut playing = Client::new(&porthole).await?;
    playing.play("camera").await?;
    let mut idle = Vec::new();
    for number in 0..200_u8 {
        // More than there may be, from a few addresses; some send part of a request.
        let mut client = Client::from(&porthole, [127, 0, 0, 2 + number % 4]).await?;
        let _ = client.send(if number % 2 == 0 { b"" } else { b"OPTIONS * RTSP/1.0\r\nCS" }).await;
        idle.push(client);
    }
    let mut late = Client::from(&porthole, [127, 0, 0, 9]).await?;
    late.play("camera").await?;
    let closing = async {
        for mut client in idle {
            client.until_closed().await?;
        }
        anyhow::Ok(())
    };
    tokio::pin!(closing);
    loop {
        tokio::select! {
            closed = &mut closing => break closed?,
            frame = playing.frame() => drop(frame?),
            frame = late.frame() => drop(frame?),
        }
    }
    playing.frame().await?;
    drop((playing, late));
    until_idle(&porthole).await
}
