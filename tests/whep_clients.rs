//! What WHEP clients send that keep less strictly to the draft, replayed as their sources have it. Clients that do are in
//! `whep`.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::mjpeg::open_from;
use common::{LIMIT, OFFER, Options, Porthole, SMALL, Viewer, request, token};
use test_viewer::Answer;

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

/// A candidate of the offer's first section, as browsers trickle it.
const CANDIDATE: &str = "candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host generation 0 ufrag abcd network-id 1";

/// The fragment that the players with mediamtx's code make of an offer: its credentials, and the sections with candidates
/// by their number.
fn fragment(offer: &str) -> Result<String> {
    let line = |name: &str| offer.lines().find(|line| line.starts_with(name)).context("no such line");
    let (ufrag, pwd, media) = (line("a=ice-ufrag:")?, line("a=ice-pwd:")?, line("m=")?);
    Ok(format!("{ufrag}\r\n{pwd}\r\n{media}\r\na=mid:0\r\na={CANDIDATE}\r\n"))
}

/// Resolves a `Location` against the URL that was posted to, as a browser does.
fn resolve(base: &str, location: &str) -> String {
    let folder = base.split('?').next().unwrap_or_default().rsplit_once('/').map_or("", |(folder, _)| folder);
    match location.strip_prefix("../") {
        Some(rest) => format!("{}/{rest}", folder.rsplit_once('/').map_or("", |(folder, _)| folder)),
        None => format!("{folder}/{location}"),
    }
}

async fn post(url: &str, offer: &str) -> Result<Answer> {
    let answer = request("POST", url, &[SDP], offer.into()).await?;
    ensure!(answer.status == 201, "{url}: {answer:?}");
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_of_mediamtx_trickles_with_a_star() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let url = format!("{}whep", porthole.base);
    let options = request("OPTIONS", &url, &[], String::new()).await?;
    ensure!(options.status == 204, "{options:?}");
    let session = resolve(&url, post(&url, OFFER).await?.header("location").context("no location")?);
    let headers = [FRAGMENT, ("if-match", "*")];
    for _ in 0..2 {
        let patched = request("PATCH", &session, &headers, fragment(OFFER)?).await?;
        ensure!(patched.status == 204 && patched.body.is_empty(), "{patched:?}");
        ensure!(patched.header("etag").is_none(), "{patched:?}");
    }
    // Other credentials are a restart, as the draft has it.
    let restart = fragment(OFFER)?.replace("abcd", "efgh");
    let restarted = request("PATCH", &session, &headers, restart).await?;
    ensure!(restarted.status == 200 && restarted.header("etag").is_some(), "{restarted:?}");
    // The offer's are those of an ICE session that is over.
    let deleted = request("DELETE", &session, &[], String::new()).await?;
    ensure!(deleted.status == 200, "{deleted:?}");
    let late = request("PATCH", &session, &headers, fragment(OFFER)?).await?;
    ensure!(late.status == 404, "{late:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn video_goes_on_when_candidates_are_trickled_with_a_star() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    let patched = viewer.patch("*", &fragment(&viewer.offer)?).await?;
    ensure!(patched.status == 204, "{patched:?}");
    for _ in 0..10 {
        viewer.frame(LIMIT).await?;
    }
    // A lost response to a restart is still repeated.
    viewer.restart().await?;
    viewer.frame(LIMIT).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mainsail_and_fluidd_look_for_the_session_below_the_endpoint() -> Result<()> {
    let config = SMALL.replace("[[camera]]", "[[camera]]\nname = \"bed\"");
    let config = config.replace("127.0.0.1:0\"", "127.0.0.1:0\"\norigins = [\"http://printer.local\"]");
    let porthole = Porthole::start(&config)?;
    let origin = ("origin", "http://printer.local");
    // Mainsail offers to send, too.
    let sendrecv = OFFER.replace("a=recvonly", "a=sendrecv");
    for (endpoint, offer) in [("whep", sendrecv.as_str()), ("whep/bed", OFFER)] {
        let url = format!("{}{endpoint}", porthole.base);
        let options = request("OPTIONS", &url, &[origin], String::new()).await?;
        let exposed = options.header("access-control-expose-headers").unwrap_or_default();
        ensure!(["Location", "ETag", "Link"].iter().all(|name| exposed.contains(name)), "{options:?}");
        let answer = request("POST", &url, &[SDP, origin], offer.into()).await?;
        ensure!(answer.status == 201 && answer.body.contains("a=sendonly"), "{answer:?}");
        let location = answer.header("location").context("no location")?;
        let session = format!("{url}/{}", location.rsplit('/').next().unwrap_or_default());
        let etag = answer.header("etag").context("no ETag")?;
        // Fluidd has the star, Mainsail the ETag.
        for tag in ["*", etag] {
            let headers = [FRAGMENT, origin, ("if-match", tag)];
            let patched = request("PATCH", &session, &headers, fragment(offer)?).await?;
            ensure!(patched.status == 204, "{tag}: {patched:?}");
        }
        let deleted = request("DELETE", &session, &[origin], String::new()).await?;
        ensure!(deleted.status == 200, "{deleted:?}");
    }
    porthole.until_status("they are gone", |status| status["viewers"] == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn options_name_the_ice_servers() -> Result<()> {
    let servers = "ice_servers = [{ urls = \"stun:stun.example.org:3478\" }, { urls = [\"turn:turn.example.org:3478\"], \
                   username = \"user\", credential = \"password\" }]";
    let state = tempfile::tempdir()?;
    let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n[rtc]\n{servers}\n");
    let porthole = Porthole::start_with(&config, &[("STATE_DIRECTORY", state.path().into())])?;
    let token = token(state.path(), &["add", "player", "--role", "viewer"])?;
    let links = async |path: &str, headers: &[(&str, &str)]| {
        let answer = request("OPTIONS", &format!("{}{path}", porthole.base), headers, String::new()).await?;
        ensure!(answer.status == 204, "{answer:?}");
        let links = answer.headers.into_iter().filter(|(name, _)| name == "link");
        anyhow::Ok(links.map(|(_, value)| value).collect::<Vec<_>>())
    };
    let stun = "<stun:stun.example.org:3478>; rel=\"ice-server\"";
    let turn = "<turn:turn.example.org:3478>; rel=\"ice-server\"; username=\"user\"; credential=\"password\"; \
                credential-type=\"password\"";
    // Passwords are for those who may watch.
    ensure!(links("whep", &[]).await? == [stun]);
    let bearer = format!("Bearer {token}");
    ensure!(links("whep", &[("authorization", &bearer)]).await? == [stun, turn]);
    ensure!(links(&format!("whep/?token={token}"), &[]).await? == [stun, turn]);
    ensure!(links("api/status", &[("authorization", &bearer)]).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_may_end_in_a_slash() -> Result<()> {
    let porthole = Porthole::start(&SMALL.replace("[[camera]]", "[[camera]]\nname = \"bed\""))?;
    for endpoint in ["whep", "whep/", "whep/bed", "whep/bed/"] {
        let url = format!("{}{endpoint}", porthole.base);
        let charset = [("content-type", "application/sdp; charset=utf-8")];
        let answer = request("POST", &url, &charset, OFFER.into()).await?;
        ensure!(answer.status == 201, "{endpoint}: {answer:?}");
        let session = resolve(&url, answer.header("location").context("no location")?);
        let deleted = request("DELETE", &format!("{session}/"), &[], String::new()).await?;
        ensure!(deleted.status == 200, "{session}: {deleted:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn token_may_be_a_password_or_in_the_query_and_is_never_logged() -> Result<()> {
    let state = tempfile::tempdir()?;
    let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n");
    let environment = [("STATE_DIRECTORY", state.path().into()), ("RUST_LOG", "trace".into())];
    let porthole = Porthole::start_with(&config, &environment)?;
    let secret = token(state.path(), &["add", "player", "--role", "viewer"])?;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        anyhow::Ok(request("HEAD", &format!("{}{path}", porthole.base), headers, String::new()).await?.status)
    };
    // go2rtc, mediamtx and ffmpeg send what is in `http://anybody:TOKEN@board/` so.
    let basic = |pair: String| format!("Basic {}", base64(pair.as_bytes()));
    for (pair, status) in [
        (format!("anybody:{secret}"), 200),
        (format!(":{secret}"), 200),
        (format!("{secret}:"), 200),
        (format!("{secret}:wrong"), 401),
        ("anybody:wrong".to_owned(), 401),
    ] {
        for path in ["stream.mjpg", "snapshot.jpg", "?action=stream", "api/status"] {
            let answered = get(path, &[("authorization", &basic(pair.clone()))]).await?;
            ensure!(answered == status, "{path} {pair}: {answered}");
        }
    }
    for path in ["stream.mjpg", "snapshot.jpg", "?action=snapshot", "whep"] {
        let query = if path.contains('?') { "&token=" } else { "?token=" };
        let right = get(&format!("{path}{query}{secret}"), &[]).await?;
        ensure!(matches!(right, 200 | 204), "{path}: {right}");
        ensure!(get(&format!("{path}{query}wrong"), &[]).await? == 401, "{path}");
        // A header counts more.
        ensure!(get(&format!("{path}{query}{secret}"), &[("authorization", "Bearer wrong")]).await? == 401, "{path}");
    }
    for path in ["api/status", "metrics", "api/tokens"] {
        ensure!(get(&format!("{path}?token={secret}"), &[]).await? == 401, "{path}");
    }
    let command = format!("{}api/command?token={secret}", porthole.base);
    let body = "{\"id\":1,\"method\":\"status\"}".to_owned();
    ensure!(request("POST", &command, &[("content-type", "application/json")], body).await?.status == 401);
    // The session of an offer with a token in the query has it too.
    let url = format!("{}whep?token={secret}", porthole.base);
    let session = resolve(&url, post(&url, OFFER).await?.header("location").context("no location")?);
    ensure!(session.ends_with(&format!("?token={secret}")), "no token");
    ensure!(request("DELETE", &session, &[], String::new()).await?.status == 200);
    // Programs send a password only when they are asked for it; browsers would ask their users.
    for (agent, asked) in [("Lavf/60.16.100", true), ("Mozilla/5.0 (X11; Linux x86_64)", false)] {
        for (path, is_for_players) in [("/stream.mjpg", true), ("/whep", true), ("/api/status", false)] {
            let headers = format!("User-Agent: {agent}\r\n");
            let refused = open_from(&porthole, [127, 0, 0, 1], path, &headers).await?;
            let basic = refused.head.contains("www-authenticate: basic realm=\"porthole\"");
            ensure!(refused.status() == 401 && refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
            ensure!(basic == (asked && is_for_players), "{agent} {path}: {}", refused.head);
        }
    }
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    ensure!(!log.contains(&secret[4..]), "the token is in the log");
    Ok(())
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks(3).flat_map(|chunk| {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        (0..4).map(move |at| if at <= chunk.len() { LETTERS[(bits >> (18 - 6 * at)) as usize & 63] } else { b'=' })
    });
    letters.map(char::from).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn signalling_of_camera_streamer_is_bounded_and_answers_nonsense() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let post = async |path: &str, body: &str| {
        request("POST", &format!("{}{path}", porthole.base), &[("content-type", "text/plain")], body.into()).await
    };
    for (path, body, status) in [
        ("webrtc", "", 400),
        ("webrtc", "nothing", 400),
        ("webrtc", "{}", 400),
        ("webrtc", r#"{"type":"offer","sdp":""}"#, 400),
        ("webrtc", r#"{"type":"answer","id":"1"}"#, 400),
        ("webrtc", r#"{"type":"answer","id":"1","sdp":"v=0"}"#, 404),
        ("webrtc", r#"{"type":"remote_candidate","id":"1","candidates":[{"candidate":"x"}]}"#, 404),
        ("webrtc?camera=attic", r#"{"type":"request"}"#, 404),
        ("webrtc/", r#"{"type":"request","iceServers":[{"urls":"stun:stun.example.org"}]}"#, 200),
    ] {
        let answer = post(path, body).await?;
        ensure!(answer.status == status, "{path} {body}: {answer:?}");
    }
    let offered = post("webrtc", r#"{"type":"request"}"#).await?;
    let offer: serde_json::Value = serde_json::from_str(&offered.body)?;
    let sdp = offer["sdp"].as_str().context("no SDP")?;
    for line in ["a=ice-lite", "a=sendonly", "a=setup:actpass", "a=candidate:", "a=group:BUNDLE 0 1"] {
        ensure!(sdp.contains(line), "no {line}: {sdp}");
    }
    ensure!(offer["type"] == "offer" && offer["iceServers"].is_array(), "{offer:#}");
    // An answer that is none uses the offer up.
    for status in [400, 404] {
        let body = serde_json::json!({ "type": "answer", "id": offer["id"], "sdp": "nothing" }).to_string();
        ensure!(post("webrtc", &body).await?.status == status);
    }
    // As many wait as may connect at once.
    let mut last = 0;
    for _ in 0..17 {
        last = post("webrtc", r#"{"type":"request"}"#).await?.status;
    }
    ensure!(last == 503, "{last}");
    ensure!(porthole.status().await?["viewers"] == 0);
    Ok(())
}
