//! Hostile HTTP requests against the running program: foreign hosts and origins, non-canonical paths, slow, oversized
//! and malformed requests, and floods. None of them disturbs viewers.
//!
//! Login and roles are tested in `auth`, WHEP itself in `whep`.

mod common;
#[path = "hardening/ways_in.rs"]
mod ways_in;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use common::{LIMIT, OFFER, Options, Porthole, SMALL, Viewer, missing, numbers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// The attacker's address: every address of 127.0.0.0/8 is local.
const ATTACKER: [u8; 4] = [127, 0, 0, 2];

/// Everyone else's address.
const OTHER: [u8; 4] = [127, 0, 0, 1];

/// The program's timeout for a request's header, and for its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

fn address(porthole: &Porthole) -> Result<SocketAddr> {
    let authority = porthole.base.split_once("://").context("no scheme")?.1.trim_end_matches('/');
    Ok(authority.parse()?)
}

/// Connects from a given local address.
async fn connect(porthole: &Porthole, from: [u8; 4]) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(from), 0))?;
    Ok(tokio::time::timeout(LIMIT, socket.connect(address(porthole)?)).await??)
}

/// Reads until the program closes the connection.
async fn read_response(stream: &mut TcpStream) -> Result<String> {
    let mut received = Vec::new();
    // It may close before it has read all that we sent.
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut received)).await.context("it does not close")?;
    ensure!(read.is_ok() || read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    Ok(String::from_utf8_lossy(&received).into_owned())
}

/// Sends raw bytes and returns the response.
async fn raw(porthole: &Porthole, bytes: &[u8]) -> Result<String> {
    let mut stream = connect(porthole, OTHER).await?;
    // A request that is refused early need not be read to the end.
    let _ = stream.write_all(bytes).await;
    read_response(&mut stream).await
}

/// A request with additional headers, each ending in CRLF.
fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
}

/// The status of a response; 0 if there is none.
fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

fn offer(headers: &str) -> String {
    let length = OFFER.len();
    format!(
        "POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n{headers}\r\n{OFFER}"
    )
}

fn with_http(lines: &str) -> String {
    SMALL.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"127.0.0.1:0\"\n{lines}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_side_gets_the_whole_response() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    // An image takes a while, so that the end of the client's side arrives before it.
    for path in ["/snapshot.jpg", "/api/status", "/"] {
        let mut stream = connect(&porthole, OTHER).await?;
        // Ranges are ignored.
        let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n");
        stream.write_all(get.as_bytes()).await?;
        stream.shutdown().await?;
        let mut received = Vec::new();
        tokio::time::timeout(LIMIT, stream.read_to_end(&mut received)).await.context("it does not close")??;
        let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.with_context(|| format!("{path}: no response but {} bytes", received.len()))?;
        let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        let length = format!("content-length: {}", received.len() - end - 4);
        ensure!(head.starts_with("http/1.1 200 ") && head.contains(&length), "{path}: {head}");
        ensure!(path != "/snapshot.jpg" || head.contains("accept-ranges: none"), "{path}: {head}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_origin_requests_are_rejected() -> Result<()> {
    let porthole = Porthole::start(&with_http("origins = [\"https://example.org\"]"))?;
    let cases = [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: http://localhost:1\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://localhost\r\nOrigin: http://evil.example\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Origin: http://localhost\r\nSec-Fetch-Site: same-site\r\n", 403),
        ("Origin: http://localhost\r\n", 201),
        ("Origin: https://example.org\r\nSec-Fetch-Site: cross-site\r\n", 201),
        ("Sec-Fetch-Site: none\r\n", 201),
        ("", 201),
    ];
    for (headers, expected) in cases {
        let answer = raw(&porthole, offer(&format!("{headers}Connection: close\r\n")).as_bytes()).await?;
        ensure!(status(&answer) == expected, "{headers}: {answer}");
    }
    // Other routes are closed even to configured origins.
    for line in ["POST /api/session", "DELETE /api/session", "POST /api/tokens", "DELETE /api/tokens/a"] {
        let headers = "Host: localhost\r\nOrigin: https://example.org\r\nContent-Length: 0\r\n";
        let answer = raw(&porthole, request(line, headers).as_bytes()).await?;
        ensure!(status(&answer) == 403 && answer.contains("pages of other sites"), "{line}: {answer}");
    }
    ensure!(porthole.series("porthole_http_refused_total{reason=\"Origin\"}").await? == 11.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_configured_origins_embed_images() -> Result<()> {
    let porthole = Porthole::start(&with_http("origins = [\"http://printer\"]"))?;
    for path in ["/snapshot.jpg", "/stream.mjpg", "/?action=stream", "/?action=snapshot"] {
        for (headers, readers) in [
            ("", "same-origin"),
            ("Referer: http://localhost/\r\n", "same-origin"),
            ("Referer: http://evil.example/\r\n", "same-origin"),
            ("Referer: http://printer.evil.example/\r\n", "same-origin"),
            ("Referer: http://evil.example/?http://printer/\r\n", "same-origin"),
            ("Referer: http://printer/\r\nOrigin: http://evil.example\r\n", "same-origin"),
            ("Referer: http://printer/\r\n", "cross-origin"),
            ("Referer: http://printer/webcam\r\nSec-Fetch-Site: cross-site\r\n", "cross-origin"),
            ("Origin: http://printer\r\n", "cross-origin"),
        ] {
            let headers = format!("Host: localhost\r\n{headers}");
            let answer = raw(&porthole, request(&format!("HEAD {path}"), &headers).as_bytes()).await?;
            let policy = format!("cross-origin-resource-policy: {readers}\r\n");
            ensure!(status(&answer) == 200 && answer.contains(&policy), "{path} {headers}: {answer}");
        }
        // Other names for this device are no way in.
        let answer = raw(&porthole, request(&format!("GET {path}"), "Host: evil.example\r\n").as_bytes()).await?;
        ensure!(status(&answer) == 421, "{path}: {answer}");
    }
    // Nothing but images.
    let headers = "Host: localhost\r\nReferer: http://printer/\r\n";
    let answer = raw(&porthole, request("GET /api/status", headers).as_bytes()).await?;
    ensure!(answer.contains("cross-origin-resource-policy: same-origin"), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_host_headers_are_rejected() -> Result<()> {
    let config =
        format!("{}\n[rtc]\nadvertise = [\"cam.example.net:4000\"]\n", with_http("hosts = [\"cam.example.org\"]"));
    let porthole = Porthole::start(&config)?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    let mut right: Vec<String> =
        ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "192.0.2.7:80", "[::1]:8080"]
            .into_iter()
            .chain(["[2001:db8::1]", "cam.example.org", "Cam.Example.Org:443", "cam.example.net"])
            .map(String::from)
            .collect();
    right.extend([name.clone(), format!("{}.local:8080", name.split('.').next().unwrap_or_default())]);
    for host in right {
        let answer = raw(&porthole, request("GET /api/status", &format!("Host: {host}\r\n")).as_bytes()).await?;
        ensure!(status(&answer) == 200, "{host}: {answer}");
    }
    for (headers, expected) in [
        ("Host: evil.example\r\n", 421),
        ("Host: evil.example:8080\r\n", 421),
        ("Host: localhost.evil.example\r\n", 421),
        ("Host: cam.example.org.evil.example\r\n", 421),
        ("Host: 127.0.0.1.evil.example\r\n", 421),
        ("Host: evil.example\r\nX-Forwarded-Host: localhost\r\n", 421),
        ("Host: evil@localhost\r\n", 400),
        ("Host: localhost\r\nHost: evil.example\r\n", 400),
        ("Host: \r\n", 400),
        ("Host: a b\r\n", 400),
        ("", 400),
    ] {
        for line in ["GET /", "GET /api/status", "GET /nowhere", "OPTIONS /whep"] {
            let answer = raw(&porthole, request(line, headers).as_bytes()).await?;
            ensure!(status(&answer) == expected, "{line} {headers}: {answer}");
            ensure!(expected == 400 || answer.contains("[http] hosts"), "{answer}");
        }
    }
    let absolute =
        raw(&porthole, request("GET http://evil.example/api/status", "Host: localhost\r\n").as_bytes()).await?;
    ensure!(status(&absolute) == 421, "{absolute}");
    // Health checks may use any hostname.
    let health = raw(&porthole, request("GET /healthz", "Host: backend\r\n").as_bytes()).await?;
    ensure!(status(&health) == 200, "{health}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_headers_of_a_trusted_proxy_are_used() -> Result<()> {
    let state = tempfile::tempdir()?;
    let lines = "tls = \"self-signed\"\ntrusted_proxies = [\"127.0.0.1\"]\nhosts = [\"cam.example.org\"]";
    let porthole =
        Porthole::start(&format!("{}\n[state]\ndirectory = \"{}\"\n", with_http(lines), state.path().display()))?;
    let forwarded = "Host: upstream\r\nX-Forwarded-Host: cam.example.org\r\nX-Forwarded-Proto: https\r\n";
    let answer = raw(&porthole, request("GET /", forwarded).as_bytes()).await?;
    ensure!(status(&answer) == 200 && answer.contains("cross-origin-opener-policy"), "{answer}");
    let plain = forwarded.replace("https", "http");
    let answer = raw(&porthole, request("GET /", &plain).as_bytes()).await?;
    ensure!(status(&answer) == 308 && answer.contains("location: https://cam.example.org/\r\n"), "{answer}");
    let mut stream = connect(&porthole, ATTACKER).await?;
    stream.write_all(request("GET /", forwarded).as_bytes()).await?;
    let answer = read_response(&mut stream).await?;
    ensure!(status(&answer) == 421, "believed somebody else: {answer}");
    // Each client behind the proxy is rate-limited separately.
    let mut many = connect(&porthole, OTHER).await?;
    let requests = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
    many.write_all(requests.repeat(900).as_bytes()).await?;
    many.write_all(request("GET /healthz", "Host: a\r\nX-Forwarded-For: 198.51.100.7\r\n").as_bytes()).await?;
    let received = read_response(&mut many).await?;
    ensure!(received.contains("HTTP/1.1 429") && received.contains("198.51.100.7"), "not limited");
    let other =
        raw(&porthole, request("GET /healthz", "Host: a\r\nX-Forwarded-For: 198.51.100.8\r\n").as_bytes()).await?;
    ensure!(status(&other) == 200, "{other}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_canonical_paths_are_routed_and_authorized() -> Result<()> {
    let porthole = Porthole::start(&format!("{SMALL}\n[auth]\nmode = \"password\"\n"))?;
    let get =
        async |line: &str| raw(&porthole, request(line, "Host: localhost\r\nContent-Length: 0\r\n").as_bytes()).await;
    for line in [
        "GET /api/status",
        "GET /metrics",
        "HEAD /metrics",
        "GET /snapshot.jpg",
        "GET /stream.mjpg",
        "GET /api/events",
        "HEAD /stream.mjpg",
        "GET /?action=stream",
        "GET /?action=snapshot",
        "HEAD /?action=stream_0",
        "POST /whep",
        "GET /whep",
        "POST /whep/camera",
        "PATCH /whep/session/0",
        "DELETE /whep/session/0",
        "GET /whep/session/0",
        "POST /whep/",
        "POST /whep/camera/",
        "POST /webrtc",
        "POST /webrtc/",
        "POST /api/command",
        "DELETE /whep/session/0/",
        "DELETE /whep/0123456789abcdef0123456789abcdef",
        "PATCH /whep/camera/0123456789abcdef0123456789abcdef",
        "GET /api/tokens",
        "POST /api/tokens",
        "DELETE /api/tokens/a",
        "GET http://localhost/metrics",
    ] {
        let answer = get(line).await?;
        ensure!(status(&answer) == 401 && answer.contains("www-authenticate: Bearer"), "{line}: {answer}");
    }
    for (line, expected) in [
        ("GET /", 200),
        ("GET /viewer.js", 200),
        ("GET /healthz", 200),
        ("GET /api/session", 200),
        ("OPTIONS /whep", 204),
        ("OPTIONS /whep/session/0", 204),
        ("OPTIONS /api/status", 204),
        ("PUT /api/status", 405),
        ("POST /?action=stream", 405),
        ("GET /?action=streams", 200),
        ("GET /?actio=stream", 200),
    ] {
        let answer = get(line).await?;
        ensure!(status(&answer) == expected, "{line}: {answer}");
    }
    for path in [
        "//api/status",
        "/api//status",
        "/api/status/",
        "/api/./status",
        "/./api/status",
        "/x/../api/status",
        "/healthz/../api/status",
        "/api%2fstatus",
        "/api%2Fstatus",
        "/%61pi/status",
        "/api/%73tatus",
        "/api/status%00",
        "/api/status%20",
        "/API/status",
        "/api\\status",
        "/metrics/",
        "/stream.mjpg/",
        "//stream.mjpg",
        "/stream%2emjpg",
        "//?action=stream",
        "/x?action=stream",
        "//metrics",
        "/;/metrics",
        "/metrics;a",
        "/metrics%3f",
        "//whep",
        "/whep//",
        "/whep//session/0",
        "/whep/session/0//",
        "/whep/session/..",
        "/whep/session/../metrics/",
        "/whep/%2e%2e/metrics",
        "//webrtc",
        "/webrtc//",
        "/webrtc/camera",
        "/api/events/",
        "/api/command/",
        "/api/tokens/",
        "/api/tokens/../status",
        "/viewer.js/..%2fapi/status",
        "*",
        "localhost:80",
    ] {
        for method in ["GET", "POST", "DELETE", "CONNECT", "TRACE"] {
            let answer = get(&format!("{method} {path}")).await?;
            ensure!(matches!(status(&answer), 400 | 404), "{method} {path}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_do_not_starve_others() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut slow = Vec::new();
    // More than the connection limit, from several addresses; some send nothing, some part of a header, some part of a
    // body.
    for number in 0..400_usize {
        let mut stream = connect(&porthole, [127, 0, 0, 2 + (number % 4) as u8]).await?;
        let bytes: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHost: loc",
            _ => b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 500\r\n\r\nv",
        };
        let _ = stream.write_all(bytes).await;
        slow.push(stream);
    }
    let started = Instant::now();
    let mut kept = Vec::new();
    for _ in 0..6 {
        let mut stream = connect(&porthole, OTHER).await?;
        stream.write_all(request("GET /", "Host: localhost\r\n").as_bytes()).await?;
        kept.push(stream);
    }
    for stream in &mut kept {
        let answer = read_response(stream).await?;
        ensure!(status(&answer) == 200, "{answer}");
    }
    ensure!(started.elapsed() < REQUEST_TIMEOUT / 2, "answered after {:?}", started.elapsed());
    // All of them are closed.
    for mut stream in slow {
        let answer = read_response(&mut stream).await?;
        ensure!(matches!(status(&answer), 0 | 408), "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_request_body_times_out_with_408() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (encoding, piece) in [("Content-Length: 5000", "v"), ("Transfer-Encoding: chunked", "1\r\nv\r\n")] {
        let mut stream = connect(&porthole, OTHER).await?;
        let head =
            format!("POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n{encoding}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let begun = Instant::now();
        // One chunk per second, so the connection is never idle.
        let (mut reader, mut writer) = stream.split();
        let mut received = Vec::new();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let drip = async {
            loop {
                second.tick().await;
                if writer.write_all(piece.as_bytes()).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            read = reader.read_to_end(&mut received) => drop(read),
            () = drip => {}
            () = tokio::time::sleep(LIMIT) => bail!("{encoding}: it does not close"),
        }
        let answer = String::from_utf8_lossy(&received);
        ensure!(status(&answer) == 408 && begun.elapsed() >= REQUEST_TIMEOUT, "{:?} {answer}", begun.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_and_malformed_requests_are_refused() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let host = "Host: localhost\r\n";
    let sdp = "Content-Type: application/sdp\r\n";
    let many: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    let chunk = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000));
    let chunked = request("POST /whep", &format!("{host}{sdp}Transfer-Encoding: chunked\r\n"));
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("a long path", request(&format!("GET /{}", "a".repeat(60_000)), host).into(), &[414, 431, 400]),
        ("a long query", request(&format!("GET /?{}", "a".repeat(60_000)), host).into(), &[414, 431, 400]),
        ("a long header", request("GET /", &format!("{host}X: {}\r\n", "a".repeat(60_000))).into(), &[431]),
        ("many headers", request("GET /", &format!("{host}{many}")).into(), &[431]),
        ("a long method", request(&format!("{} /", "A".repeat(60_000)), host).into(), &[400, 405, 431, 414]),
        ("a body too long", request("POST /whep", &format!("{host}{sdp}Content-Length: 70000\r\n")).into(), &[413]),
        ("a body of terabytes", request("POST /whep", &format!("{host}{sdp}Content-Length: 99999999999999\r\n")).into(), &[413]),
        ("a length beyond numbers", request("POST /whep", &format!("{host}{sdp}Content-Length: 99999999999999999999999\r\n")).into(), &[400]),
        ("a negative length", request("POST /whep", &format!("{host}{sdp}Content-Length: -1\r\n")).into(), &[400]),
        ("two lengths", request("POST /whep", &format!("{host}{sdp}Content-Length: 1\r\nContent-Length: 2\r\n")).into(), &[400]),
        ("too long in chunks", format!("{chunked}{chunk}{chunk}0\r\n\r\n").into(), &[413]),
        ("no chunk", format!("{chunked}zz\r\n\r\n").into(), &[400]),
        ("a chunk beyond numbers", format!("{chunked}ffffffffffffffffff\r\n").into(), &[400]),
        ("an unknown encoding", request("POST /whep", &format!("{host}{sdp}Transfer-Encoding: gzip\r\n")).into(), &[400]),
        ("length and chunks", format!("POST /whep HTTP/1.1\r\n{host}{sdp}Content-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n").into(), &[400]),
        ("a body that is no text", [request("POST /whep", &format!("{host}{sdp}Content-Length: 4\r\n")).as_bytes(), &[0xff, 0, 0xfe, 0x80]].concat(), &[400]),
        ("NUL in the path", request("GET /\0", host).into(), &[400]),
        ("NUL in a header", request("GET /", &format!("{host}X: \0\r\n")).into(), &[400]),
        ("a line feed alone", b"GET / HTTP/1.1\nHost: localhost\n\n\r\n\r\n\0".to_vec(), &[200, 400]),
        ("a folded header", request("GET /", &format!("{host}X: a\r\n b\r\n")).into(), &[400]),
        ("a space before the colon", request("GET /", &format!("{host}X : a\r\n")).into(), &[400]),
        ("an unknown version", format!("GET / HTTP/9.9\r\n{host}\r\n").into(), &[0, 400, 505]),
        ("HTTP/2 without an upgrade", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[0, 400, 505]),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), &[400]),
        ("TLS where there is none", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 13, 10, 13, 10], &[400]),
        ("noise", (0..4096_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect(), &[0, 400, 431]),
        ("a JSON that is none", request("POST /api/session", &format!("{host}Content-Type: application/json\r\nContent-Length: 1\r\n")).replace("close\r\n\r\n", "close\r\n\r\n{").into(), &[400, 422]),
        ("deep JSON", [request("POST /api/session", &format!("{host}Content-Type: application/json\r\nContent-Length: 8000\r\n")).as_bytes(), &[b'['; 8000]].concat(), &[400, 422]),
        ("a message too long", request("POST /webrtc", &format!("{host}Content-Length: 70000\r\n")).into(), &[413]),
        ("a command too long", request("POST /api/command", &format!("{host}Content-Type: application/json\r\nContent-Length: 70000\r\n")).into(), &[413]),
        ("a message in deep JSON", [request("POST /webrtc", &format!("{host}Content-Length: 60000\r\n")).as_bytes(), &[b'['; 60_000]].concat(), &[400]),
        ("a token that is none", request("GET /api/status", &format!("{host}Authorization: Bearer \u{7f}\r\n")).into(), &[200, 400]),
    ];
    for (what, bytes, expected) in cases {
        let answer = raw(&porthole, &bytes).await.with_context(|| what)?;
        ensure!(expected.contains(&status(&answer)), "{what}: {answer:.300}");
    }
    let health = raw(&porthole, request("GET /healthz", host).as_bytes()).await?;
    ensure!(status(&health) == 200, "{health}");
    porthole.signal("TERM")?;
    let (code, _, log) = tokio::task::spawn_blocking(|| porthole.wait()).await??;
    ensure!(code == Some(0) && !log.contains("panicked"), "{code:?} {log}");
    Ok(())
}

/// Posts offers one after another; counts each response status.
async fn post(porthole: &Porthole, count: usize) -> Result<Vec<u16>> {
    let mut stream = connect(porthole, ATTACKER).await?;
    let offer = offer("");
    let mut statuses = Vec::new();
    let mut received = String::new();
    while statuses.len() < count {
        stream.write_all(offer.as_bytes()).await?;
        // A response is complete when its body has the announced length.
        loop {
            if let Some((head, body)) = received.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
                if body.len() >= length.parse()? {
                    break;
                }
            }
            let mut piece = [0; 8192];
            let read = tokio::time::timeout(LIMIT, stream.read(&mut piece)).await??;
            ensure!(read > 0, "closed after {} answers", statuses.len());
            received += &String::from_utf8_lossy(&piece[..read]);
        }
        statuses.push(status(&received));
        received.clear();
    }
    Ok(statuses)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_offers_does_not_disturb_viewers() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let burst = async |count: usize| -> Result<Vec<u16>> {
        let posts = futures_of(20, || post(&porthole, count / 20)).await?;
        Ok(posts.concat())
    };
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    // One-time allocations, such as session memory, exist after the first requests.
    burst(200).await?;
    let before = porthole.memory()?;
    let (frame_numbers, answered) = tokio::join!(numbers(&mut viewer, 150), burst(2_000));
    missing(&frame_numbers?, &porthole).await?;
    let answered = answered?;
    let count = |wanted: u16| answered.iter().filter(|status| **status == wanted).count();
    ensure!(answered.len() == 2_000 && count(429) > 1_000, "429 to {} of {}", count(429), answered.len());
    ensure!(answered.iter().all(|status| matches!(status, 201 | 429 | 503)), "{answered:?}");
    // All connections together may hold 8 MiB of headers; session memory existed before.
    let after = porthole.memory()?;
    ensure!(after <= before + 8 * 1024 * 1024, "memory grew from {before} to {after} bytes");
    ensure!(porthole.series("porthole_http_refused_total{reason=\"Rate\"}").await? >= count(429) as f64);
    // Other clients are served meanwhile.
    let health = raw(&porthole, request("GET /api/status", "Host: localhost\r\n").as_bytes()).await?;
    ensure!(status(&health) == 200, "{health}");
    viewer.leave().await
}

/// Runs this many concurrently and waits for all of them.
async fn futures_of<T, F: Future<Output = Result<T>>>(count: usize, make: impl Fn() -> F) -> Result<Vec<T>> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                done.push(result);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_security_headers() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    for (line, caching) in [
        ("GET /", "no-cache"),
        ("GET /viewer.js", "no-cache"),
        ("GET /api/status", "no-store"),
        ("GET /nowhere", "no-store"),
        ("GET /whep", "no-store"),
        ("PUT /whep", "no-store"),
        ("OPTIONS /whep", "no-store"),
    ] {
        let answer = raw(&porthole, request(line, "Host: localhost\r\n").as_bytes()).await?;
        for header in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "x-frame-options: SAMEORIGIN",
            "content-security-policy: default-src ",
            "permissions-policy: camera=(self)",
            "cross-origin-resource-policy: same-origin",
            &format!("cache-control: {caching}"),
        ] {
            ensure!(answer.contains(header), "{line}: no {header} in {answer:.800}");
        }
        ensure!(!answer.contains("access-control-"), "{line}: {answer:.800}");
        ensure!(answer.contains("frame-ancestors"), "{line}: {answer:.800}");
    }
    Ok(())
}
