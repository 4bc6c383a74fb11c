//! What WHEP demands of the signalling endpoint (draft-ietf-wish-whep, RFC 9725, RFC 8840), against the whole program: a
//! row for each demand.
//!
//! Who is let in is `auth`'s business, what nobody should send `hardening`'s.

mod common;

use anyhow::{Context as _, Result, ensure};
use common::client::Answer;
use common::{LIMIT, OFFER, Options, Porthole, SMALL, Viewer, request};

/// A late candidate.
const FRAGMENT: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
    a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n";

/// In which state the program is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum House {
    /// Two cameras, STUN and TURN servers, one other origin, and a session `{session}` with the tag `{etag}`.
    Usual,
    /// As many viewers as there may be.
    Full,
    /// A camera that delivers pictures which cannot be encoded.
    Blind,
}

/// What an answer must have.
#[derive(Debug, Clone, Copy)]
enum Must {
    /// A header of exactly this value.
    Have(&'static str, &'static str),
    /// A header whose value holds this; several of the same name are one.
    Hold(&'static str, &'static str),
    /// No such header.
    Lack(&'static str),
    /// A body that holds this.
    Say(&'static str),
    /// A body that does not hold this.
    Keep(&'static str),
    /// No body.
    BeEmpty,
}
use Must::{BeEmpty, Have, Hold, Keep, Lack, Say};

/// A demand, the request that shows it, and its answer.
struct Row {
    demand: &'static str,
    house: House,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    status: u16,
    musts: &'static [Must],
}

fn row(demand: &'static str, request: &'static str, status: u16, musts: &'static [Must]) -> Row {
    let (method, path) = request.split_once(' ').expect("a request line");
    Row { demand, house: House::Usual, method, path, headers: &[], body: String::new(), status, musts }
}

impl Row {
    fn sending(mut self, headers: &'static [(&'static str, &'static str)], body: &str) -> Self {
        (self.headers, self.body) = (headers, body.into());
        self
    }

    fn at(mut self, house: House) -> Self {
        self.house = house;
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
                Have("content-type", "application/sdp"),
                Hold("location", "whep/session/"),
                Hold("etag", "\""),
                Have("accept-patch", "application/trickle-ice-sdpfrag"),
                Say("v=0\r\n"),
                Say("a=sendonly"),
                Say("a=group:BUNDLE 0 1"),
                Say("a=rtcp-mux"),
                Say("a=candidate:"),
            ],
        )
        .sending(SDP, OFFER),
        row("the tag is a strong one", "POST whep", 201, &[Hold("etag", "\"")]).sending(SDP, OFFER),
        row("the type may have parameters and any case", "POST whep", 201, &[])
            .sending(&[("content-type", "Application/SDP; charset=utf-8")], OFFER),
        row(
            "STUN and TURN servers are linked",
            "POST whep",
            201,
            &[
                Hold("link", "<stun:stun.example.org:3478>; rel=\"ice-server\""),
                Hold(
                    "link",
                    "<turn:turn.example.org:3478?transport=udp>; rel=\"ice-server\"; username=\"u \\\"x\\\"\"; \
                          credential=\"p\\\\w\"; credential-type=\"password\"",
                ),
                Hold("link", "<turns:turn.example.org:5349?transport=tcp>; rel=\"ice-server\"; username="),
            ],
        )
        .sending(SDP, OFFER),
        row("a camera by its name", "POST whep/garden", 201, &[Hold("location", "session/"), Hold("etag", "\"")])
            .sending(SDP, OFFER),
        row("an offer to talk back is answered without", "POST whep", 201, &[Say("a=sendonly"), Keep("a=sendrecv")])
            .sending(SDP, &sendrecv),
        row("another content type", "POST whep", 415, &[Say("application/sdp")]).sending(TEXT, OFFER),
        row("no content type", "POST whep", 415, &[Say("application/sdp")]).sending(&[("content-type", "")], OFFER),
        row("no SDP", "POST whep", 400, &[Say("not an SDP offer")]).sending(SDP, "this is no SDP"),
        row("half an SDP", "POST whep", 400, &[Say("not an SDP offer")]).sending(SDP, "v=0\r\nnonsense"),
        row("no H.264 in the offer", "POST whep", 406, &[Say("no H.264")]).sending(SDP, &vp8),
        row("an offer to send", "POST whep", 406, &[Say("recvonly")]).sending(SDP, &sendonly),
        row("no picture and no placeholder", "POST whep", 409, &[Have("retry-after", "5"), Say("openh264")])
            .sending(SDP, OFFER)
            .at(House::Blind),
        row("too many viewers", "POST whep", 503, &[Have("retry-after", "5"), Say("limit")])
            .sending(SDP, OFFER)
            .at(House::Full),
        row(
            "an unknown camera",
            "POST whep/attic",
            404,
            &[Say("no camera is called \\\"attic\\\"; there are: door, garden")],
        )
        .sending(SDP, OFFER),
        row("a body over the limit", "POST whep", 413, &[Say("64 KiB")]).sending(SDP, &"x".repeat(100_000)),
        row(
            "OPTIONS",
            "OPTIONS whep",
            204,
            &[
                Have("accept-post", "application/sdp"),
                Have("allow", "OPTIONS, GET, HEAD, POST"),
                BeEmpty,
                Lack("access-control-allow-origin"),
                Lack("access-control-allow-methods"),
            ],
        ),
        row(
            "OPTIONS for a configured origin",
            "OPTIONS whep/garden",
            204,
            &[
                Have("access-control-allow-origin", "https://example.org"),
                Have("access-control-allow-methods", "OPTIONS, GET, POST, PATCH, DELETE"),
                Have("access-control-allow-headers", "Authorization, Content-Type, If-Match"),
                Have("accept-post", "application/sdp"),
                Hold("vary", "Origin"),
                Lack("access-control-allow-credentials"),
            ],
        )
        .sending(&[("origin", "https://example.org"), ("access-control-request-method", "POST")], ""),
        row(
            "OPTIONS for another origin",
            "OPTIONS whep",
            204,
            &[Lack("access-control-allow-origin"), Hold("vary", "Origin")],
        )
        .sending(&[("origin", "https://example.com"), ("access-control-request-method", "POST")], ""),
        row(
            "an offer from a configured origin",
            "POST whep",
            201,
            &[
                Have("access-control-allow-origin", "https://example.org"),
                Have(
                    "access-control-expose-headers",
                    "Location, ETag, Link, Accept-Patch, Retry-After, WWW-Authenticate",
                ),
                Hold("vary", "Origin"),
            ],
        )
        .sending(&[("content-type", "application/sdp"), ("origin", "https://example.org")], OFFER),
        row(
            "a refusal can be read there too",
            "POST whep",
            415,
            &[Have("access-control-allow-origin", "https://example.org")],
        )
        .sending(&[("content-type", "text/plain"), ("origin", "https://example.org")], OFFER),
        row(
            "an offer from another origin",
            "POST whep",
            403,
            &[Lack("access-control-allow-origin"), Say("[http] origins")],
        )
        .sending(&[("content-type", "application/sdp"), ("origin", "https://example.com")], OFFER),
        row("only signalling is for other origins", "GET api/status", 200, &[Lack("access-control-allow-origin")])
            .sending(&[("origin", "https://example.org")], ""),
        row("GET", "GET whep", 204, &[BeEmpty]),
        row("HEAD", "HEAD whep/garden", 204, &[BeEmpty]),
        row("GET of an unknown camera", "GET whep/attic", 404, &[]),
        row("another method", "PUT whep", 405, &[Have("allow", "OPTIONS, GET, HEAD, POST")]).sending(SDP, OFFER),
        row("DELETE of the endpoint", "DELETE whep", 405, &[Have("allow", "OPTIONS, GET, HEAD, POST")]),
        row("PATCH of the endpoint", "PATCH whep/garden", 405, &[Have("allow", "OPTIONS, GET, HEAD, POST")])
            .sending(PATCH, FRAGMENT),
        // The session.
        row("candidates", "PATCH {session}", 204, &[BeEmpty, Lack("etag")]).sending(PATCH, FRAGMENT),
        row("candidates, a list of tags", "PATCH {session}", 204, &[BeEmpty]).sending(
            &[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"other\", {etag}")],
            FRAGMENT,
        ),
        row("a candidate that cannot be used", "PATCH {session}", 204, &[BeEmpty]).sending(PATCH, &odd),
        row("no candidates yet", "PATCH {session}", 204, &[BeEmpty])
            .sending(PATCH, "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"),
        row("without If-Match", "PATCH {session}", 428, &[Say("If-Match")])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag")], FRAGMENT),
        row("a stale tag", "PATCH {session}", 412, &[Say("entity tag")])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"other\"")], FRAGMENT),
        row("a star in quotes is a tag like others", "PATCH {session}", 412, &[])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"*\"")], FRAGMENT),
        row("a weak tag", "PATCH {session}", 412, &[])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "W/{etag}")], FRAGMENT),
        row("a tag without quotes", "PATCH {session}", 400, &[Say("in quotes")])
            .sending(&[("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "other")], FRAGMENT),
        row("a fragment of another type", "PATCH {session}", 415, &[Say("application/trickle-ice-sdpfrag")])
            .sending(&[("content-type", "application/sdp"), ("if-match", "{etag}")], FRAGMENT),
        row("a malformed fragment", "PATCH {session}", 400, &[Say("RFC 8840")]).sending(PATCH, "<xml>"),
        row("candidates of an unknown session", "PATCH whep/session/0", 404, &[Say("no such session")])
            .sending(PATCH, FRAGMENT),
        row(
            "OPTIONS of a session",
            "OPTIONS {session}",
            204,
            &[
                Have("accept-patch", "application/trickle-ice-sdpfrag"),
                Have("allow", "OPTIONS, GET, HEAD, PATCH, DELETE"),
                BeEmpty,
            ],
        ),
        row("POST to a session", "POST {session}", 405, &[Have("allow", "OPTIONS, GET, HEAD, PATCH, DELETE")])
            .sending(SDP, OFFER),
        row("GET of a session", "GET {session}", 204, &[BeEmpty]),
        row("HEAD of a session", "HEAD {session}", 204, &[BeEmpty]),
        row("GET of an unknown session", "GET whep/session/0", 404, &[]),
        row("a restart without new credentials", "PATCH {session}", 400, &[Say("ice-ufrag")])
            .sending(RESTART, "a=mid:0\r\n"),
        row("a restart with what are no credentials", "PATCH {session}", 400, &[Say("RFC 8839")])
            .sending(RESTART, &FRAGMENT.replace("abcd", "a")),
        row("the old session lives on", "PATCH {session}", 204, &[]).sending(PATCH, FRAGMENT),
        row(
            "an ICE restart",
            "PATCH {session}",
            200,
            &[
                Have("content-type", "application/trickle-ice-sdpfrag"),
                Hold("etag", "\""),
                Lack("location"),
                Say("a=ice-ufrag:"),
                Say("a=ice-pwd:"),
                Say("a=candidate:"),
            ],
        )
        .sending(RESTART, &FRAGMENT.replace("abcd", "efgh")),
        row("the tag of before the restart", "PATCH {session}", 412, &[]).sending(PATCH, FRAGMENT),
        row("a restart of an unknown session", "PATCH whep/session/0", 404, &[]).sending(RESTART, FRAGMENT),
        row("DELETE, whatever If-Match says", "DELETE {session}", 200, &[BeEmpty])
            .sending(&[("if-match", "\"other\"")], ""),
        row("candidates of an ended session", "PATCH {session}", 404, &[]).sending(PATCH, FRAGMENT),
        row("DELETE of an ended session", "DELETE {session}", 404, &[Say("no such session")]),
        // Elsewhere.
        row("an unknown address", "GET nowhere", 404, &[Say("nothing at this address")]),
        row("an unknown method there", "BREW nowhere", 404, &[]),
        row("an unknown method", "BREW whep", 405, &[Have("allow", "OPTIONS, GET, HEAD, POST"), Say("BREW")]),
    ]
}

/// The programs of a table, and what stands for `{session}` and `{etag}`.
struct Houses {
    usual: Porthole,
    full: Porthole,
    blind: Porthole,
    session: String,
    etag: String,
    _viewers: Vec<Viewer>,
}

const SERVERS: &str = r#"
ice_servers = [{ urls = "stun:stun.example.org:3478" }, { urls = ["turn:turn.example.org:3478?transport=udp",
"turns:turn.example.org:5349?transport=tcp"], username = 'u "x"', credential = 'p\w' }]
"#;

impl Houses {
    async fn build() -> Result<Self> {
        let garden = "[[camera]]\nname = \"garden\"\ndevice = \"pattern\"\nwidth = 320\nheight = 180\nfps = 5\n[audio]";
        let usual = SMALL
            .replace("127.0.0.1:0\"", "127.0.0.1:0\"\norigins = [\"https://example.org\"]")
            .replace("[[camera]]", "[[camera]]\nname = \"door\"")
            .replace("[audio]", garden);
        let usual = Porthole::start(&format!("{usual}\n[rtc]{SERVERS}"))?;
        let full = Porthole::start(&format!("{SMALL}\n[rtc]\nmax_viewers = 1\n"))?;
        let large = SMALL.replace("320", "4096").replace("180", "2400").replace("fps = 30", "fps = 1");
        let blind = Porthole::start(&large)?;
        let mut viewers = vec![Viewer::connect(&Options::new(&full.base)).await?];
        viewers.push(Viewer::connect(&Options::new(&blind.base)).await?);
        let refuses = |status: &serde_json::Value| {
            let camera = &status["cameras"][0];
            camera["state"] == "live" && camera["fault"].as_str().is_some_and(|fault| fault.contains("openh264"))
        };
        blind.until_status("the encoder refuses", refuses).await?;
        ensure!(blind.metric("porthole_encode_errors_total").await? > 0.0);
        let answer = request("POST", &format!("{}whep", usual.base), SDP, OFFER.into()).await?;
        let session = answer.header("location").context("no location")?.to_owned();
        let etag = answer.header("etag").context("no tag")?.to_owned();
        Ok(Self { usual, full, blind, session, etag, _viewers: viewers })
    }

    async fn ask(&self, row: &Row) -> Result<Answer> {
        let porthole = match row.house {
            House::Usual => &self.usual,
            House::Full => &self.full,
            House::Blind => &self.blind,
        };
        let filled = |text: &str| text.replace("{session}", &self.session).replace("{etag}", &self.etag);
        let headers: Vec<(&str, String)> = row.headers.iter().map(|(name, value)| (*name, filled(value))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(row.method, &format!("{}{}", porthole.base, filled(row.path)), &headers, row.body.clone()).await
    }
}

/// Whether an answer is what a row demands.
fn judge(row: &Row, answer: &Answer) -> Result<()> {
    ensure!(answer.status == row.status, "status {} instead of {}", answer.status, row.status);
    if answer.status >= 400 {
        problem(answer)?;
    }
    let value = |name: &str| {
        let values = answer.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    };
    for must in row.musts {
        let met = match must {
            Have(name, expected) => answer.header(name) == Some(*expected),
            Hold(name, part) => value(name).contains(part),
            Lack(name) => answer.header(name).is_none(),
            Say(words) => answer.body.contains(words),
            Keep(words) => !answer.body.contains(words),
            BeEmpty => answer.body.is_empty() && answer.header("content-length").is_none_or(|length| length == "0"),
        };
        ensure!(met, "{must:?} is not met");
    }
    Ok(())
}

/// Whether it is a problem as RFC 9457 has it.
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
    let houses = Houses::build().await?;
    let mut wrong = Vec::new();
    for row in rows() {
        let answer = houses.ask(&row).await.with_context(|| row.demand)?;
        if let Err(why) = judge(&row, &answer) {
            wrong.push(format!("{}: {} {}: {why}\n  {answer:?}", row.demand, row.method, row.path));
        }
        // No row leaves a session behind but the one that the next ones ask for.
        if let Some(location) = answer.header("location") {
            let endpoint = format!("{}{}", houses.usual.base, row.path);
            let session = format!("{}{location}", &endpoint[..=endpoint.rfind('/').context("no slash")?]);
            let gone = request("DELETE", &session, &[], String::new()).await?;
            ensure!(gone.status == 200, "{}: {location} leads nowhere: {gone:?}", row.demand);
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(houses.usual.status().await?["viewers"] == 0);
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
