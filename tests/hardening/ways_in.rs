//! Every way in over HTTP, each with every check: roles, `Host` and `Origin`, and limits by address.
//!
//! RTSP, which no page in a browser can speak, is in `rtsp/access.rs`. MQTT is no way in: porthole connects to the broker.

use std::io::ErrorKind;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{LIMIT, OFFER, Porthole, SMALL, token};
use crate::{connect, request, status, with_http};

/// A way to get pictures, sound or events, or to change something.
struct Way {
    line: &'static str,
    /// The media type of its body.
    media: &'static str,
    body: &'static str,
    /// The least role that may use it.
    role: &'static str,
    /// What is answered to whoever may use it.
    allowed: u16,
    /// Whether its token may be in the query.
    takes_query: bool,
    /// Whether pages of configured origins may use it.
    is_shared: bool,
}

impl Way {
    /// One that is used by GET.
    const fn get(line: &'static str, takes_query: bool) -> Self {
        Self { line, media: "", body: "", role: "viewer", allowed: 200, takes_query, is_shared: takes_query }
    }
}

const WAYS: [Way; 10] = [
    Way {
        line: "POST /whep",
        media: "application/sdp",
        body: OFFER,
        role: "viewer",
        allowed: 201,
        takes_query: true,
        is_shared: true,
    },
    Way {
        line: "POST /webrtc",
        media: "application/json",
        body: "{\"type\":\"request\"}",
        role: "viewer",
        allowed: 200,
        takes_query: true,
        is_shared: true,
    },
    Way::get("GET /stream.mjpg", true),
    Way::get("GET /?action=stream", true),
    Way::get("GET /snapshot.jpg", true),
    Way::get("GET /?action=snapshot", true),
    Way::get("GET /api/events", false),
    Way::get("GET /api/recordings", false),
    Way {
        line: "POST /api/command",
        media: "application/json",
        body: "{\"id\":1,\"method\":\"time.sync\"}",
        role: "viewer",
        allowed: 200,
        takes_query: false,
        is_shared: false,
    },
    // There is no speaker.
    Way {
        line: "POST /api/say",
        media: "audio/wav",
        body: "RIFF",
        role: "operator",
        allowed: 409,
        takes_query: false,
        is_shared: false,
    },
];

impl Way {
    /// A request with these headers, each of which ends in CRLF.
    fn request(&self, headers: &str) -> String {
        self.request_to(self.line, headers)
    }

    fn request_to(&self, line: &str, headers: &str) -> String {
        let Self { media, body, .. } = self;
        let content = match body.len() {
            0 => String::new(),
            length => format!("Content-Type: {media}\r\nContent-Length: {length}\r\n"),
        };
        request(line, &format!("{headers}{content}")) + body
    }

    /// The same with a token in the query.
    fn with_token(&self, token: &str) -> String {
        let separator = if self.line.contains('?') { '&' } else { '?' };
        self.request_to(&format!("{}{separator}token={token}", self.line), "Host: localhost\r\n")
    }
}

/// The status and the header of the response, in lower case; what follows it may have no end. Each way in has an address of its
/// own, whose limits the others do not use up.
async fn answered(porthole: &Porthole, number: usize, request: &str) -> Result<(u16, String)> {
    let mut stream = connect(porthole, [127, 0, 3, number as u8 + 1]).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut received = String::new();
    while !received.contains("\r\n\r\n") {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(LIMIT, stream.read(&mut piece)).await.context("no answer")??;
        ensure!(read > 0, "closed after {received}");
        received += &String::from_utf8_lossy(&piece[..read]);
    }
    let header = received.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    Ok((status(&received), header))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_needs_a_role() -> Result<()> {
    let state = tempfile::tempdir()?;
    // Who may see recordings is a question of its own, in `recordings/access.rs`.
    let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n[recording]\nallow = \"viewer\"\n");
    let porthole = Porthole::start_with(&config, &[("STATE_DIRECTORY", state.path().into())])?;
    let viewer = token(state.path(), &["add", "player", "--role", "viewer"])?;
    let operator = token(state.path(), &["add", "owner", "--role", "operator"])?;
    let revoked = token(state.path(), &["add", "former", "--role", "operator"])?;
    token(state.path(), &["revoke", "former"])?;
    for (number, way) in WAYS.iter().enumerate() {
        let bearer = |token: &str| way.request(&format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n"));
        let in_query = if way.takes_query { way.allowed } else { 401 };
        let is_for_viewers = way.role == "viewer";
        let secret = if is_for_viewers { &viewer } else { &operator };
        for (request, expected) in [
            (way.request("Host: localhost\r\n"), 401),
            (way.request("Host: localhost\r\nCookie: porthole=0123456789abcdef\r\n"), 401),
            (bearer("wrong"), 401),
            (bearer(&revoked), 401),
            (way.with_token(&revoked), 401),
            (bearer(&viewer), if is_for_viewers { way.allowed } else { 403 }),
            (bearer(secret), way.allowed),
            (way.with_token(secret), in_query),
        ] {
            let (found, header) = answered(&porthole, number, &request).await?;
            ensure!(found == expected, "{request}: {header}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_checks_host_and_origin() -> Result<()> {
    let porthole = Porthole::start(&with_http("origins = [\"http://printer\"]"))?;
    for (number, way) in WAYS.iter().enumerate() {
        let reads = way.line.starts_with("GET");
        // A page can read nothing of a response without permission, but a request that changes something is refused.
        let foreign = if reads { way.allowed } else { 403 };
        let shared = if way.is_shared { way.allowed } else { foreign };
        for (headers, expected, origin) in [
            ("Host: localhost\r\n", way.allowed, ""),
            ("Host: localhost\r\nOrigin: http://localhost\r\n", way.allowed, ""),
            ("Host: evil.example\r\n", 421, ""),
            ("Host: evil.example\r\nX-Forwarded-Host: localhost\r\n", 421, ""),
            ("Host: localhost\r\nHost: evil.example\r\n", 400, ""),
            ("", 400, ""),
            ("Host: localhost\r\nOrigin: http://evil.example\r\n", foreign, ""),
            ("Host: localhost\r\nOrigin: null\r\n", foreign, ""),
            ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", foreign, ""),
            ("Host: localhost\r\nOrigin: http://printer\r\n", shared, "http://printer"),
        ] {
            let (found, header) = answered(&porthole, number, &way.request(headers)).await?;
            ensure!(found == expected, "{} {headers}: {header}", way.line);
            let allowed = Some(origin).filter(|origin| way.is_shared && !origin.is_empty());
            let named = header.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
            ensure!(named == allowed, "{} {headers}: {header}", way.line);
            let policy = header.lines().find_map(|line| line.strip_prefix("cross-origin-resource-policy: "));
            let readers = if allowed.is_some() { "cross-origin" } else { "same-origin" };
            ensure!(policy == Some(readers), "{} {headers}: {header}", way.line);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_is_limited_by_address() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (number, way) in WAYS.iter().enumerate() {
        let from = [127, 0, 4, number as u8 + 1];
        // It costs nothing to say that there is no such camera, and events are only asked about.
        let separator = if way.line.contains('?') { '&' } else { '?' };
        let line = match way.line {
            "GET /api/events" => "HEAD /api/events".to_owned(),
            line if line.starts_with("GET") => format!("{line}{separator}camera=attic"),
            line => line.to_owned(),
        };
        let last = way.request_to(&line, "Host: localhost\r\n");
        let one = last.replace("Connection: close\r\n", "");
        let mut stream = connect(&porthole, from).await?;
        let (mut reader, mut writer) = stream.split();
        let mut received = Vec::new();
        let sending = async {
            // More than any limit.
            writer.write_all(one.repeat(2_000).as_bytes()).await?;
            writer.write_all(last.as_bytes()).await
        };
        let reading = tokio::time::timeout(2 * LIMIT, reader.read_to_end(&mut received));
        // Whoever is refused may be cut off while still sending.
        let (_, read) = tokio::join!(sending, reading);
        if let Err(error) = read.context("it does not close")? {
            ensure!(error.kind() == ErrorKind::ConnectionReset, "{line}: {error}");
        }
        let received = String::from_utf8_lossy(&received);
        let refused = received.split("HTTP/1.1 ").filter(|answer| answer.starts_with("429 "));
        let later = refused.clone().filter(|answer| answer.contains("retry-after: ")).count();
        ensure!(later > 0 && later == refused.count(), "{line}: {received:.500}");
        // Nobody else is.
        let (found, header) = answered(&porthole, number, &way.request("Host: localhost\r\n")).await?;
        ensure!(found == way.allowed || found == 503, "{line}: {header}");
    }
    Ok(())
}
