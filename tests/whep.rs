//! The requirements of WHEP on the signalling endpoint (draft-ietf-wish-whep, RFC 9725, RFC 8840), end to end: one row
//! per requirement.
//!
//! Authentication is tested in `auth`, hostile requests in `hardening`.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::{LIMIT, OFFER, Options, Porthole, SMALL, Viewer, request};
use test_viewer::Answer;

/// A trickled candidate.
const FRAGMENT: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
    a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n";

/// The state of the program for a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Setup {
    /// Two cameras, STUN and TURN servers, one other origin, and a session `{session}` with the tag `{etag}`.
    Usual,
    /// At its limit of viewers.
    Full,
    /// A camera whose frames cannot be encoded.
    Unencodable,
}

/// A check on a response.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// A header with exactly this value.
    HeaderIs(&'static str, &'static str),
    /// A header whose value contains this; repeated headers are joined.
    HeaderContains(&'static str, &'static str),
    /// No such header.
    NoHeader(&'static str),
    /// A body that contains this.
    BodyContains(&'static str),
    /// A body that does not contain this.
    BodyLacks(&'static str),
    /// No body.
    EmptyBody,
}
use Check::{BodyContains, BodyLacks, EmptyBody, HeaderContains, HeaderIs, NoHeader};

/// A requirement, the request that tests it, and the expected response.
struct Row {
    requirement: &'static str,
    setup: Setup,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    status: u16,
    checks: &'static [Check],
}

fn row(requirement: &'static str, request: &'static str, status: u16, checks: &'static [Check]) -> Row {
    let (method, path) = request.split_once(' ').expect("a request line");
    Row { requirement, setup: Setup::Usual, method, path, headers: &[], body: String::new(), status, checks }
}

impl Row {
    fn sending(mut self, headers: &'static [(&'static str, &'static str)], body: &str) -> Self {
        (self.headers, self.body) = (headers, body.into());
        self
    }

    fn at(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }
}

type Headers = &'static [(&'static str, &'static str)];
const SDP: Headers = &[("content-type", "application/sdp")];
const TEXT: Headers = &[("content-type", "text/plain")];
const PATCH: Headers = &[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "{etag}")];

const RESTART: Headers = &[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "*")];

fn rows() -> Vec<Row> {
    let sendrecv = OFFER.replace("a=mid:1\r\na=recvonly", "a=mid:1\r\na=sendrecv");
    let sendonly = OFFER.replace("a=recvonly", "a=sendonly");
    let vp8 = OFFER.replace("H264", "VP8");
    let odd = FRAGMENT.replace("192.0.2.1 5000", "nowhere 99999");
    vec![
        // The endpoint.
        row(
            "an offer is answered",
            "POST whep",
            201,
            &[
                HeaderIs("content-type", "application/sdp"),
                HeaderContains("location", "whep/session/"),
                HeaderContains("etag", "\""),
                HeaderIs("accept-patch", "application/trickle-ice-sdpfrag"),
                BodyContains("v=0\r\n"),
                BodyContains("a=sendonly"),
                BodyContains("a=group:BUNDLE 0 1"),
                BodyContains("a=rtcp-mux"),
                BodyContains("a=candidate:"),
            ],
        )
        .sending(SDP, OFFER),
        row("the tag is a strong one", "POST whep", 201, &[HeaderContains("etag", "\"")]).sending(SDP, OFFER),
        row("the type may have parameters and any case", "POST whep", 201, &[])
            .sending(&[("content-type", "Application/SDP; charset=utf-8")], OFFER),
        row(
            "STUN and TURN servers are linked",
            "POST whep",
            201,
            &[
                HeaderContains("link", "<stun:stun.example.org:3478>; rel=\"ice-server\""),
                HeaderContains(
                    "link",
                    "<turn:turn.example.org:3478?transport=udp>; rel=\"ice-server\"; username=\"u \\\"x\\\"\"; \
                          credential=\"p\\\\w\"; credential-type=\"password\"",
                ),
                HeaderContains("link", "<turns:turn.example.org:5349?transport=tcp>; rel=\"ice-server\"; username="),
            ],
        )
        .sending(SDP, OFFER),
        row(
            "a camera by its name",
            "POST whep/garden",
            201,
            &[HeaderContains("location", "session/"), HeaderContains("etag", "\"")],
        )
        .sending(SDP, OFFER),
        row(
            "an offer to talk back is answered without",
            "POST whep",
            201,
            &[BodyContains("a=sendonly"), BodyLacks("a=sendrecv")],
        )
        .sending(SDP, &sendrecv),
        row("another content type", "POST whep", 415, &[BodyContains("application/sdp")]).sending(TEXT, OFFER),
        row("no content type", "POST whep", 415, &[BodyContains("application/sdp")])
            .sending(&[("content-type", "")], OFFER),
        row("no SDP", "POST whep", 400, &[BodyContains("not an SDP offer")]).sending(SDP, "this is no SDP"),
        row("half an SDP", "POST whep", 400, &[BodyContains("not an SDP offer")]).sending(SDP, "v=0\r\nnonsense"),
        row("no H.264 in the offer", "POST whep", 406, &[BodyContains("no H.264")]).sending(SDP, &vp8),
        row("an offer to send", "POST whep", 406, &[BodyContains("recvonly")]).sending(SDP, &sendonly),
        // Its viewers see the placeholder.
        row("a camera whose frames cannot be encoded", "POST whep", 201, &[])
            .sending(SDP, OFFER)
            .at(Setup::Unencodable),
        row("too many viewers", "POST whep", 503, &[HeaderIs("retry-after", "5"), BodyContains("limit")])
            .sending(SDP, OFFER)
            .at(Setup::Full),
        row(
            "an unknown camera",
            "POST whep/attic",
            404,
            &[BodyContains("no camera is called \\\"attic\\\"; there are: door, garden")],
        )
        .sending(SDP, OFFER),
        row("a body over the limit", "POST whep", 413, &[BodyContains("64 KiB")]).sending(SDP, &"x".repeat(100_000)),
        row(
            "OPTIONS",
            "OPTIONS whep",
            204,
            &[
                HeaderIs("accept-post", "application/sdp"),
                HeaderIs("allow", "OPTIONS, GET, HEAD, POST"),
                EmptyBody,
                NoHeader("access-control-allow-origin"),
                NoHeader("access-control-allow-methods"),
            ],
        ),
        row(
            "OPTIONS for a configured origin",
            "OPTIONS whep/garden",
            204,
            &[
                HeaderIs("access-control-allow-origin", "https://example.org"),
                HeaderIs("access-control-allow-methods", "OPTIONS, GET, POST, PATCH, DELETE"),
                HeaderIs("access-control-allow-headers", "Authorization, Content-Type, If-Match"),
                HeaderIs("accept-post", "application/sdp"),
                HeaderContains("vary", "Origin"),
                NoHeader("access-control-allow-credentials"),
            ],
        )
        .sending(&[("origin", "https://example.org"), ("access-control-request-method", "POST")], ""),
        row(
            "OPTIONS for another origin",
            "OPTIONS whep",
            204,
            &[NoHeader("access-control-allow-origin"), HeaderContains("vary", "Origin")],
        )
        .sending(&[("origin", "https://example.com"), ("access-control-request-method", "POST")], ""),
        row(
            "an offer from a configured origin",
            "POST whep",
            201,
            &[
                HeaderIs("access-control-allow-origin", "https://example.org"),
                HeaderIs(
                    "access-control-expose-headers",
                    "Location, ETag, Link, Accept-Patch, Retry-After, WWW-Authenticate",
                ),
                HeaderContains("vary", "Origin"),
            ],
        )
        .sending(&[("content-type", "application/sdp"), ("origin", "https://example.org")], OFFER),
        row(
            "a refusal can be read there too",
            "POST whep",
            415,
            &[HeaderIs("access-control-allow-origin", "https://example.org")],
        )
        .sending(&[("content-type", "text/plain"), ("origin", "https://example.org")], OFFER),
        row(
            "an offer from another origin",
            "POST whep",
            403,
            &[NoHeader("access-control-allow-origin"), BodyContains("[http] origins")],
        )
        .sending(&[("content-type", "application/sdp"), ("origin", "https://example.com")], OFFER),
        row("only signalling is for other origins", "GET api/status", 200, &[NoHeader("access-control-allow-origin")])
            .sending(&[("origin", "https://example.org")], ""),
        row("GET", "GET whep", 204, &[EmptyBody]),
        row("HEAD", "HEAD whep/garden", 204, &[EmptyBody]),
        row("GET of an unknown camera", "GET whep/attic", 404, &[]),
        row("another method", "PUT whep", 405, &[HeaderIs("allow", "OPTIONS, GET, HEAD, POST")]).sending(SDP, OFFER),
        row("DELETE of the endpoint", "DELETE whep", 405, &[HeaderIs("allow", "OPTIONS, GET, HEAD, POST")]),
        row("PATCH of the endpoint", "PATCH whep/garden", 405, &[HeaderIs("allow", "OPTIONS, GET, HEAD, POST")])
            .sending(PATCH, FRAGMENT),
        // The session.
        row("candidates", "PATCH {session}", 204, &[EmptyBody, NoHeader("etag")]).sending(PATCH, FRAGMENT),
        row("candidates, a list of tags", "PATCH {session}", 204, &[EmptyBody]).sending(
            &[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"other\", {etag}")],
            FRAGMENT,
        ),
        row("a candidate that cannot be used", "PATCH {session}", 204, &[EmptyBody]).sending(PATCH, &odd),
        row("no candidates yet", "PATCH {session}", 204, &[EmptyBody])
            .sending(PATCH, "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"),
        row("without If-Match", "PATCH {session}", 428, &[BodyContains("If-Match")])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag")], FRAGMENT),
        row("a stale tag", "PATCH {session}", 412, &[BodyContains("entity tag")])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"other\"")], FRAGMENT),
        row("a star in quotes is a tag like others", "PATCH {session}", 412, &[])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"*\"")], FRAGMENT),
        row("a weak tag", "PATCH {session}", 412, &[])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "W/{etag}")], FRAGMENT),
        row("a tag without quotes", "PATCH {session}", 400, &[BodyContains("in quotes")])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "other")], FRAGMENT),
        row("a fragment of another type", "PATCH {session}", 415, &[BodyContains("application/trickle-ice-sdpfrag")])
            .sending(&[("content-type", "application/sdp"), ("if-match", "{etag}")], FRAGMENT),
        row("a malformed fragment", "PATCH {session}", 400, &[BodyContains("RFC 8840")]).sending(PATCH, "<xml>"),
        row("candidates of an unknown session", "PATCH whep/session/0", 404, &[BodyContains("no such session")])
            .sending(PATCH, FRAGMENT),
        row(
            "OPTIONS of a session",
            "OPTIONS {session}",
            204,
            &[
                HeaderIs("accept-patch", "application/trickle-ice-sdpfrag"),
                HeaderIs("allow", "OPTIONS, GET, HEAD, PATCH, DELETE"),
                EmptyBody,
            ],
        ),
        row("POST to a session", "POST {session}", 405, &[HeaderIs("allow", "OPTIONS, GET, HEAD, PATCH, DELETE")])
            .sending(SDP, OFFER),
        row("GET of a session", "GET {session}", 204, &[EmptyBody]),
        row("HEAD of a session", "HEAD {session}", 204, &[EmptyBody]),
        row("GET of an unknown session", "GET whep/session/0", 404, &[]),
        row("a restart without new credentials", "PATCH {session}", 400, &[BodyContains("ice-ufrag")])
            .sending(RESTART, "a=mid:0\r\n"),
        row("a restart with what are no credentials", "PATCH {session}", 400, &[BodyContains("RFC 8839")])
            .sending(RESTART, &FRAGMENT.replace("abcd", "a")),
        row("the old session lives on", "PATCH {session}", 204, &[]).sending(PATCH, FRAGMENT),
        row(
            "an ICE restart",
            "PATCH {session}",
            200,
            &[
                HeaderIs("content-type", "application/trickle-ice-sdpfrag"),
                HeaderContains("etag", "\""),
                NoHeader("location"),
                BodyContains("a=ice-ufrag:"),
                BodyContains("a=ice-pwd:"),
                BodyContains("a=candidate:"),
            ],
        )
        .sending(RESTART, &FRAGMENT.replace("abcd", "efgh")),
        row("the tag of before the restart", "PATCH {session}", 412, &[]).sending(PATCH, FRAGMENT),
        row("a restart of an unknown session", "PATCH whep/session/0", 404, &[]).sending(RESTART, FRAGMENT),
        row("DELETE ignores If-Match", "DELETE {session}", 200, &[EmptyBody]).sending(&[("if-match", "\"other\"")], ""),
        row("candidates of an ended session", "PATCH {session}", 404, &[]).sending(PATCH, FRAGMENT),
        row("DELETE of an ended session", "DELETE {session}", 404, &[BodyContains("no such session")]),
        // Other paths.
        row("an unknown address", "GET nowhere", 404, &[BodyContains("nothing at this path")]),
        row("an unknown method there", "BREW nowhere", 404, &[]),
        row(
            "an unknown method",
            "BREW whep",
            405,
            &[HeaderIs("allow", "OPTIONS, GET, HEAD, POST"), BodyContains("BREW")],
        ),
    ]
}

/// The running programs, and the values of `{session}` and `{etag}`.
struct Setups {
    usual: Porthole,
    full: Porthole,
    unencodable: Porthole,
    session: String,
    etag: String,
    _viewers: Vec<Viewer>,
}

const SERVERS: &str = r#"
ice_servers = [{ urls = "stun:stun.example.org:3478" }, { urls = ["turn:turn.example.org:3478?transport=udp",
"turns:turn.example.org:5349?transport=tcp"], username = 'u "x"', credential = 'p\w' }]
"#;

impl Setups {
    async fn build() -> Result<Self> {
        let garden = "[[camera]]\nname = \"garden\"\ndevice = \"pattern\"\nwidth = 320\nheight = 180\nfps = 5\n[audio]";
        let usual = SMALL
            .replace("127.0.0.1:0\"", "127.0.0.1:0\"\norigins = [\"https://example.org\"]")
            .replace("[[camera]]", "[[camera]]\nname = \"door\"")
            .replace("[audio]", garden);
        let usual = Porthole::start(&format!("{usual}\n[rtc]{SERVERS}"))?;
        let full = Porthole::start(&format!("{SMALL}\n[rtc]\nmax_viewers = 1\n"))?;
        let large = SMALL.replace("320", "4096").replace("180", "2400").replace("fps = 30", "fps = 1");
        let unencodable = Porthole::start(&large)?;
        let mut viewers = vec![Viewer::connect(&Options::new(&full.base)).await?];
        viewers.push(Viewer::connect(&Options::new(&unencodable.base)).await?);
        let refuses = |status: &serde_json::Value| {
            let camera = &status["cameras"][0];
            camera["state"] == "fault" && camera["fault"].as_str().is_some_and(|fault| fault.contains("openh264"))
        };
        unencodable.until_status("the encoder refuses", refuses).await?;
        ensure!(unencodable.metric("porthole_encode_errors_total").await? > 0.0);
        let answer = request("POST", &format!("{}whep", usual.base), SDP, OFFER.into()).await?;
        let session = answer.header("location").context("no location")?.to_owned();
        let etag = answer.header("etag").context("no tag")?.to_owned();
        Ok(Self { usual, full, unencodable, session, etag, _viewers: viewers })
    }

    fn porthole(&self, row: &Row) -> &Porthole {
        match row.setup {
            Setup::Usual => &self.usual,
            Setup::Full => &self.full,
            Setup::Unencodable => &self.unencodable,
        }
    }

    async fn send(&self, row: &Row) -> Result<Answer> {
        let porthole = self.porthole(row);
        let filled = |text: &str| text.replace("{session}", &self.session).replace("{etag}", &self.etag);
        let headers: Vec<(&str, String)> = row.headers.iter().map(|(name, value)| (*name, filled(value))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(row.method, &format!("{}{}", porthole.base, filled(row.path)), &headers, row.body.clone()).await
    }
}

/// Checks a response against a row.
fn check_answer(row: &Row, answer: &Answer) -> Result<()> {
    ensure!(answer.status == row.status, "status {} instead of {}", answer.status, row.status);
    if answer.status >= 400 {
        problem(answer)?;
    }
    let value = |name: &str| {
        let values = answer.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    };
    for check in row.checks {
        let met = match check {
            HeaderIs(name, expected) => answer.header(name) == Some(*expected),
            HeaderContains(name, part) => value(name).contains(part),
            NoHeader(name) => answer.header(name).is_none(),
            BodyContains(words) => answer.body.contains(words),
            BodyLacks(words) => !answer.body.contains(words),
            EmptyBody => answer.body.is_empty() && answer.header("content-length").is_none_or(|length| length == "0"),
        };
        ensure!(met, "{check:?} is not met");
    }
    Ok(())
}

/// Checks for a problem document (RFC 9457).
fn problem(answer: &Answer) -> Result<()> {
    ensure!(answer.header("content-type") == Some("application/problem+json"), "no problem+json");
    let body: serde_json::Value = serde_json::from_str(&answer.body)?;
    ensure!(body["type"] == "about:blank" && body["status"] == answer.status, "type or status");
    for part in ["title", "detail"] {
        ensure!(body[part].as_str().is_some_and(|text| !text.is_empty()), "no {part}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_requirement_is_met() -> Result<()> {
    let setups = Setups::build().await?;
    let mut wrong = Vec::new();
    for row in rows() {
        let answer = setups.send(&row).await.with_context(|| row.requirement)?;
        if let Err(why) = check_answer(&row, &answer) {
            wrong.push(format!("{}: {} {}: {why}\n  {answer:?}", row.requirement, row.method, row.path));
        }
        // Deletes any session that a row created; only the shared one stays.
        if let Some(location) = answer.header("location") {
            let endpoint = format!("{}{}", setups.porthole(&row).base, row.path);
            let session = format!("{}{location}", &endpoint[..=endpoint.rfind('/').context("no slash")?]);
            let gone = request("DELETE", &session, &[], String::new()).await?;
            ensure!(gone.status == 200, "{}: {location} leads nowhere: {gone:?}", row.requirement);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(setups.usual.status().await?["viewers"] == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_media_sections_share_one_msid() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let lines: Vec<&str> = viewer.answer.lines().collect();
    let having = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).copied().collect::<Vec<_>>();
    ensure!(having("a=sendonly").len() == 2, "{}", viewer.answer);
    ensure!(having("a=candidate:").iter().any(|line| line.contains(" 127.0.0.1 ")), "{}", viewer.answer);
    ensure!(having("a=group:BUNDLE").len() == 1 && having("a=rtcp-mux").len() >= 2, "{}", viewer.answer);
    let streams: Vec<&str> = having("a=msid:").iter().filter_map(|line| line[7..].split(' ').next()).collect();
    ensure!(streams == ["porthole", "porthole"], "{streams:?} in {}", viewer.answer);
    ensure!(having("a=msid:").iter().all(|line| line.split(' ').count() == 2), "{}", viewer.answer);
    ensure!(viewer.answer.contains("packetization-mode=1") && viewer.answer.contains("42e01f"), "{}", viewer.answer);
    viewer.frame(LIMIT).await?;
    ensure!(viewer.session.starts_with(&format!("{}whep/session/", porthole.base)), "{}", viewer.session);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_frees_its_slot_at_once() -> Result<()> {
    let porthole = Porthole::start(&format!("{SMALL}\n[rtc]\nmax_viewers = 1\n"))?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    viewer.frame(LIMIT).await?;
    ensure!(viewer.delete().await? == 200);
    ensure!(porthole.status().await?["viewers"] == 0);
    Viewer::connect(&Options::new(&porthole.base)).await?.leave().await
}
