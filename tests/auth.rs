//! Authentication against the running program: passwords, sessions, tokens, and what is stored and logged about them.
//!
//! `hardening` has the table of routes and roles; the login form is tested in a browser.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::{Event, LIMIT, OFFER, Options, Porthole, SMALL, Viewer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// A server with authentication whose state outlives the process.
struct Board {
    state: TempDir,
}

impl Board {
    fn new() -> Result<Self> {
        Ok(Self { state: tempfile::tempdir()? })
    }

    fn start(&self) -> Result<Porthole> {
        let config = format!("{SMALL}\n[auth]\nmode = \"password\"\n");
        Porthole::start_with(&config, &[("STATE_DIRECTORY", self.state.path().into())])
    }

    /// Runs the command line with one line of input.
    fn run(&self, arguments: &str, input: &str) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
        command.args(arguments.split_whitespace()).env("STATE_DIRECTORY", self.state.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // The program need not read all of its input.
        let _ = child.stdin.take().context("no stdin")?.write_all(input.as_bytes());
        Ok(child.wait_with_output()?)
    }

    /// The output of a command that must succeed, without the trailing newline.
    fn printed(&self, arguments: &str, input: &str) -> Result<String> {
        let output = self.run(arguments, input)?;
        ensure!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    fn set_password(&self, role: &str, password: &str) -> Result<()> {
        self.printed(&format!("password {role}"), &format!("{password}\n")).map(drop)
    }
}

/// An HTTP response.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|pair| pair.1)
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }

    /// The `Cookie` header that a browser sends after this response.
    fn cookie(&self) -> Result<String> {
        let set = self.header("set-cookie").with_context(|| format!("no cookie: {self:?}"))?;
        Ok(set.split(';').next().unwrap_or_default().to_owned())
    }
}

/// All of 127.0.0.0/8 is local, so one machine has many addresses.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

/// Sends a request from a given source address, which our HTTP client does not support.
async fn send_request(
    base: &str,
    from: Ipv4Addr,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let to: SocketAddr = base.trim_start_matches("http://").trim_end_matches('/').parse()?;
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind((IpAddr::from(from), 0).into())?;
    let mut stream = socket.connect(to).await?.into_std()?;
    let mut text =
        format!("{request} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("\r\n{body}"));
    let answer = tokio::task::spawn_blocking(move || {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(text.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::Ok(answer)
    });
    let answer = answer.await??;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| answer.clone())?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn sign_in(porthole: &Porthole, from: Ipv4Addr, shown: &Value) -> Result<Answer> {
    send_request(&porthole.base, from, "POST /api/session", &[JSON], &shown.to_string()).await
}

async fn with_password(porthole: &Porthole, from: Ipv4Addr, password: &str) -> Result<Answer> {
    sign_in(porthole, from, &json!({ "password": password })).await
}

/// The role that a cookie has.
async fn role(porthole: &Porthole, cookie: &str) -> Result<Value> {
    let answer = send_request(&porthole.base, HERE, "GET /api/session", &[("Cookie", cookie)], "").await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.json()?["role"].clone())
}

/// The response to a request with a token.
async fn with_token(porthole: &Porthole, request: &str, token: &str) -> Result<Answer> {
    send_request(&porthole.base, HERE, request, &[("Authorization", &format!("Bearer {token}"))], "").await
}

#[tokio::test]
async fn first_start_prints_passwords_that_log_in_until_logout() -> Result<()> {
    let board = Board::new()?;
    let porthole = board.start()?;
    let mut secrets = Vec::new();
    let mut cookies = Vec::new();
    for who in ["viewer", "operator"] {
        let password = porthole.wait_for_output(&format!("password of the {who}: "))?;
        let answer = with_password(&porthole, HERE, &password).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()?, json!({ "role": who, "mode": "password" }));
        let set = answer.header("set-cookie").unwrap_or_default();
        assert!(set.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"), "{set}");
        let cookie = answer.cookie()?;
        assert_eq!(role(&porthole, &cookie).await?, who);
        secrets.extend([password, cookie.split_once('=').context("no value")?.1.to_owned()]);
        cookies.push(cookie);
    }
    let link = porthole.wait_for_output(&format!("sign in: {}#sign-in=", porthole.base))?;
    let answer = sign_in(&porthole, HERE, &json!({ "link": link })).await?;
    assert_eq!(answer.json()?["role"], "operator");
    secrets.push(link);

    let wrong = with_password(&porthole, HERE, "not-the-password").await?;
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(wrong.header("content-type"), Some("application/problem+json"));
    assert_eq!((wrong.json()?["status"].clone(), wrong.header("set-cookie")), (json!(401), None));
    for (headers, body, status) in [
        (&[JSON][..], "{\"password\":\"not-the-password\"", 400),
        (&[JSON], "{\"password\":\"a\",\"link\":\"b\"}", 400),
        (&[("Content-Type", "text/plain")], "{\"password\":\"not-the-password\"}", 415),
        (&[JSON], &"x".repeat(9_000), 413),
    ] {
        let answer = send_request(&porthole.base, HERE, "POST /api/session", headers, body).await?;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!answer.body.contains("not-the-password"));
    }

    assert_eq!(role(&porthole, "porthole_session=x").await?, Value::Null);
    let out = send_request(&porthole.base, HERE, "DELETE /api/session", &[("Cookie", &cookies[0])], "").await?;
    assert_eq!((out.status, out.json()?["role"].clone()), (200, Value::Null));
    let (name, _) = cookies[0].split_once('=').context("no value")?;
    assert!(
        out.header("set-cookie").unwrap_or_default().starts_with(&format!("{name}=; Path=/; Max-Age=0;")),
        "{out:?}"
    );
    assert_eq!(role(&porthole, &cookies[0]).await?, Value::Null);
    assert_eq!(role(&porthole, &cookies[1]).await?, "operator");

    porthole.signal("TERM")?;
    let (code, _, log) = porthole.wait()?;
    assert_eq!(code, Some(0));
    assert!(log.contains("the operator signed in from 127.0.0.1"), "{log}");
    secrets.push("not-the-password".into());
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret} in {log}");
    }
    // Nor is it in the stored state.
    for file in fs::read_dir(board.state.path())? {
        let file = file?;
        assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        let text = fs::read_to_string(file.path())?;
        assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{:?}: {text}", file.path());
    }
    Ok(())
}

#[tokio::test]
async fn damaged_files_are_set_aside_and_give_nobody_access() -> Result<()> {
    const FILES: [&str; 3] = ["passwords.json", "sessions.json", "tokens.json"];
    let board = Board::new()?;
    // Signed in with the link while the operator has no password: once there is none again, this must not be valid.
    board.set_password("viewer", "correct horse")?;
    let porthole = board.start()?;
    let link = porthole.wait_for_output(&format!("sign in: {}#sign-in=", porthole.base))?;
    let early = sign_in(&porthole, HERE, &json!({ "link": link })).await?.cookie()?;
    assert_eq!(role(&porthole, &early).await?, "operator");
    board.set_password("operator", "battery staple")?;
    let cookie = with_password(&porthole, HERE, "battery staple").await?.cookie()?;
    let token = board.printed("token add door --role operator", "")?;
    assert_eq!(with_token(&porthole, "GET /api/status", &token).await?.status, 200);
    porthole.signal("TERM")?;
    porthole.wait()?;
    for damaged in [&FILES[..1], &FILES[1..], &FILES] {
        for name in damaged {
            fs::write(board.state.path().join(name), "[{\"secret\": 1")?;
        }
        let porthole = board.start()?;
        assert_eq!(role(&porthole, &early).await?, Value::Null, "{damaged:?}");
        assert_eq!(role(&porthole, &cookie).await?, Value::Null, "{damaged:?}");
        let wrong = with_password(&porthole, HERE, "battery staple").await?;
        assert_eq!(wrong.status, 401, "{damaged:?} {wrong:?}");
        let known = with_token(&porthole, "GET /api/status", &token).await?.status;
        assert_eq!(known, if damaged.contains(&"tokens.json") { 401 } else { 200 }, "{damaged:?}");
        let new = board.printed(&format!("token add new-{} --role viewer", damaged.len()), "")?;
        let status = with_token(&porthole, "GET /api/status", &new).await?.json()?;
        let listed: Vec<&str> =
            status["damaged_files"].as_array().context("no list")?.iter().flat_map(Value::as_str).collect();
        for name in damaged {
            assert!(listed.iter().any(|file| file.starts_with(&format!("{name}.damaged-"))), "{listed:?}");
        }
        porthole.signal("TERM")?;
        let (code, _, log) = porthole.wait()?;
        assert_eq!(code, Some(0), "{log}");
        for name in damaged {
            assert_eq!(log.matches(&format!("{name} was damaged and is now called ")).count(), 1, "{log}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_sign_out_that_cannot_be_stored_is_stored_later() -> Result<()> {
    let board = Board::new()?;
    board.set_password("operator", "battery staple")?;
    let porthole = board.start()?;
    let cookie = with_password(&porthole, HERE, "battery staple").await?.cookie()?;
    let file = board.state.path().join("sessions.json");
    let before = fs::read_to_string(&file)?;
    // A directory in the place of the lock: nothing can be written, by root neither.
    let lock = board.state.path().join("lock");
    fs::remove_file(&lock)?;
    fs::create_dir(&lock)?;
    let out = send_request(&porthole.base, HERE, "DELETE /api/session", &[("Cookie", &cookie)], "").await?;
    assert_eq!(out.status, 200);
    assert_eq!(role(&porthole, &cookie).await?, Value::Null);
    assert_eq!(fs::read_to_string(&file)?, before);
    fs::remove_dir(&lock)?;
    let deadline = Instant::now() + LIMIT;
    while fs::read_to_string(&file)? == before {
        ensure!(Instant::now() < deadline, "the sign-out is not stored");
        tokio::time::sleep(common::POLL_INTERVAL).await;
    }
    porthole.signal("KILL")?;
    porthole.wait()?;
    assert_eq!(role(&board.start()?, &cookie).await?, Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_restart_keeps_passwords_and_sessions_until_they_expire() -> Result<()> {
    let board = Board::new()?;
    board.set_password("viewer", "correct horse")?;
    let porthole = board.start()?;
    let cookie = with_password(&porthole, HERE, "correct horse").await?.cookie()?;
    drop(porthole);

    let porthole = board.start()?;
    assert_eq!(role(&porthole, &cookie).await?, "viewer");
    // With one password set, the operator has configured the board, so none is generated.
    porthole.wait_for_output("sign in: ")?;
    assert!(!fs::read_to_string(board.state.path().join("passwords.json"))?.contains("\"operator\": \"$"));
    drop(porthole);

    let file = board.state.path().join("sessions.json");
    let mut sessions: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    sessions[0]["expires"] = json!(1_000_000_000);
    fs::write(&file, sessions.to_string())?;
    let porthole = board.start()?;
    assert_eq!(role(&porthole, &cookie).await?, Value::Null);
    let answer = send_request(&porthole.base, HERE, "GET /api/status", &[("Cookie", &cookie)], "").await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn changing_a_password_ends_the_sessions_of_its_role() -> Result<()> {
    let board = Board::new()?;
    board.set_password("viewer", "correct horse")?;
    board.set_password("operator", "battery staple")?;
    let porthole = board.start()?;
    let viewer = with_password(&porthole, HERE, "correct horse").await?.cookie()?;
    let operator = with_password(&porthole, HERE, "battery staple").await?.cookie()?;
    board.set_password("viewer", "another horse")?;
    assert_eq!(role(&porthole, &viewer).await?, Value::Null);
    assert_eq!(role(&porthole, &operator).await?, "operator");
    assert_eq!(with_password(&porthole, HERE, "correct horse").await?.status, 401);
    assert_eq!(with_password(&porthole, HERE, "another horse").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn login_throttling_affects_only_the_guessing_address() -> Result<()> {
    let board = Board::new()?;
    board.set_password("operator", "battery staple")?;
    let porthole = board.start()?;
    let (attacker, owner) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
    for number in 0..5 {
        let answer = with_password(&porthole, attacker, &format!("guess {number}")).await?;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    loop {
        let answer = with_password(&porthole, attacker, "one more guess").await?;
        // On a slow machine where ten seconds have passed, another attempt is allowed.
        if answer.status == 401 {
            continue;
        }
        assert_eq!((answer.status, answer.header("content-type")), (429, Some("application/problem+json")));
        let wait: u64 = answer.header("retry-after").context("no Retry-After")?.parse()?;
        assert!((1..=10).contains(&wait), "{wait}");
        // The correct password is rejected in the same way.
        let started = Instant::now();
        let right = with_password(&porthole, attacker, "battery staple").await?;
        if started.elapsed() + Duration::from_secs(1) < Duration::from_secs(wait) {
            assert_eq!((right.status, right.header("set-cookie")), (429, None));
            break;
        }
    }
    let answer = with_password(&porthole, owner, "battery staple").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let metrics = send_request(&porthole.base, owner, "GET /metrics", &[("Cookie", &answer.cookie()?)], "").await?;
    let refused =
        metrics.body.lines().find_map(|line| line.strip_prefix("porthole_sign_ins_total{outcome=\"TooOften\"} "));
    assert!(refused.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count >= 2)), "{}", metrics.body);
    Ok(())
}

#[tokio::test]
async fn a_flood_of_logins_is_refused_within_bounded_memory() -> Result<()> {
    let board = Board::new()?;
    board.set_password("operator", "battery staple")?;
    let porthole = board.start()?;
    assert_eq!(with_password(&porthole, HERE, "battery staple").await?.status, 200);
    let before = porthole.memory()?;
    let (mut statuses, mut most) = (Vec::new(), 0);
    for round in 0..4 {
        let mut answers = JoinSet::new();
        // Each comes from another address, so only the queue for password hashes limits them.
        for host in 1..=60 {
            let base = porthole.base.clone();
            let guess = json!({ "password": "guess" }).to_string();
            let from = Ipv4Addr::new(127, 1, round, host);
            answers.spawn(async move { send_request(&base, from, "POST /api/session", &[JSON], &guess).await });
        }
        while let Some(answer) = answers.join_next().await {
            statuses.push(answer??.status);
            most = most.max(porthole.memory()?);
        }
    }
    assert!(statuses.iter().all(|status| matches!(status, 401 | 503)), "{statuses:?}");
    assert!(statuses.contains(&401) && statuses.contains(&503), "{statuses:?}");
    // At most two hashes of 19 MiB at a time, freed when done.
    assert!(most < before + (48 << 20), "{before} bytes became {most}");
    assert_eq!(with_password(&porthole, HERE, "battery staple").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_token_has_its_role_until_it_is_revoked() -> Result<()> {
    let board = Board::new()?;
    let viewer = board.printed("token add garage --role viewer", "")?;
    let porthole = board.start()?;
    // Created while the program runs.
    let operator = board.printed("token add house --role operator", "")?;
    assert!(viewer.starts_with("pht_") && operator.starts_with("pht_"), "{viewer} {operator}");

    assert_eq!(send_request(&porthole.base, HERE, "GET /api/status", &[], "").await?.status, 401);
    assert_eq!(with_token(&porthole, "GET /api/status", "pht_wrong").await?.status, 401);
    assert_eq!(with_token(&porthole, "GET /api/status", &viewer).await?.status, 200);
    for request in ["GET /api/tokens", "POST /api/tokens", "DELETE /api/tokens/house"] {
        assert_eq!(send_request(&porthole.base, HERE, request, &[], "").await?.status, 401, "{request}");
        let answer = with_token(&porthole, request, &viewer).await?;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (403, Some("application/problem+json")),
            "{request}"
        );
    }
    let listed = with_token(&porthole, "GET /api/tokens", &operator).await?.json()?;
    let names: Vec<&Value> = listed.as_array().context("no list")?.iter().map(|token| &token["name"]).collect();
    assert_eq!(names, ["garage", "house"]);
    assert!(!listed.to_string().contains("pht_"), "{listed}");

    let bearer = format!("Bearer {operator}");
    let headers = [("Authorization", bearer.as_str()), JSON];
    let made =
        send_request(&porthole.base, HERE, "POST /api/tokens", &headers, "{\"name\":\"door\",\"role\":\"viewer\"}")
            .await?;
    assert_eq!(made.status, 201, "{made:?}");
    let door = made.json()?["token"].as_str().context("no token")?.to_owned();
    assert_eq!(with_token(&porthole, "GET /api/status", &door).await?.status, 200);
    for (body, status) in [
        ("{\"name\":\"door\",\"role\":\"viewer\"}", 409),
        ("{\"name\":\"../door\",\"role\":\"viewer\"}", 400),
        ("{\"name\":\"gate\",\"role\":\"admin\"}", 400),
    ] {
        assert_eq!(
            send_request(&porthole.base, HERE, "POST /api/tokens", &headers, body).await?.status,
            status,
            "{body}"
        );
    }
    assert_eq!(with_token(&porthole, "DELETE /api/tokens/door", &operator).await?.status, 204);
    assert_eq!(with_token(&porthole, "DELETE /api/tokens/door", &operator).await?.status, 404);
    assert_eq!(with_token(&porthole, "GET /api/status", &door).await?.status, 401);

    // Revoking a token ends the session of a viewer that uses it, without another request.
    let options = Options { decode: false, token: Some(viewer.clone()), ..Options::new(&porthole.base) };
    let mut watching = Viewer::connect(&options).await?;
    watching.frame(LIMIT).await?;
    board.printed("token revoke garage", "")?;
    watching.until(LIMIT, |event| matches!(event, Event::Ended)).await?;
    assert_eq!(with_token(&porthole, "GET /api/status", &viewer).await?.status, 401);
    let list = board.printed("token list", "")?;
    assert!(list.starts_with("house  operator  made within the last hour, last used within the last hour"), "{list}");

    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    for secret in [viewer, operator, door] {
        assert!(!log.contains(&secret[4..]), "{secret} in {log}");
    }
    Ok(())
}

#[tokio::test]
async fn access_revoked_while_a_body_is_sent_is_denied() -> Result<()> {
    let board = Board::new()?;
    let porthole = board.start()?;
    for (number, (request, media_type, body)) in [
        ("POST /api/command", "application/json", "{\"method\":\"chat.send\",\"params\":{\"text\":\"still here\"}}"),
        ("POST /whep", "application/sdp", OFFER),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("program{number}");
        let token = board.printed(&format!("token add {name} --role viewer"), "")?;
        let to: SocketAddr = porthole.base.trim_start_matches("http://").trim_end_matches('/').parse()?;
        let mut stream = std::net::TcpStream::connect(to)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             Authorization: Bearer {token}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // The server asks for the body once it has checked the head.
        let mut interim = [0; 25];
        stream.read_exact(&mut interim)?;
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        board.printed(&format!("token revoke {name}"), "")?;
        assert_eq!(with_token(&porthole, "GET /api/status", &token).await?.status, 401);
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{request}: {answer}");
    }
    Ok(())
}

#[test]
fn the_command_line_rejects_invalid_passwords() -> Result<()> {
    let board = Board::new()?;
    for (input, expected) in [
        ("\n", "the password is empty; with [auth] mode = \"none\" in the configuration nobody needs one\n"),
        ("1234567\n", "the password has 7 characters; choose one with at least 8\n"),
    ] {
        let output = board.run("password viewer", input)?;
        assert_eq!((output.status.code(), String::from_utf8(output.stderr)?.as_str()), (Some(1), expected));
    }
    let random = board.printed("password viewer --random", "")?;
    assert_eq!((random.len(), random.matches('-').count()), (19, 3), "{random}");
    let output = board.run("password operator", &random)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(stderr.starts_with("the viewer has this password already; each role needs its own"), "{stderr}");
    Ok(())
}

#[test]
fn the_password_prompt_asks_twice_without_echo() -> Result<()> {
    for (typed, expected) in [
        ("correct horse\ncorrect horse\n", "the viewer's password is set in "),
        ("correct horse\ncorrect house\n", "the passwords do not match; nothing was changed"),
    ] {
        let board = Board::new()?;
        let line = format!("{} password viewer", env!("CARGO_BIN_EXE_porthole"));
        // script(1) gives it a terminal.
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        command.env("STATE_DIRECTORY", board.state.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("run script(1), of bsdutils")?;
        let (mut keyboard, mut screen) =
            (child.stdin.take().context("no stdin")?, child.stdout.take().context("no stdout")?);
        let mut shown = Vec::new();
        let mut lines = typed.split_inclusive('\n');
        for question in ["new password of the viewer: ", "repeat it: "] {
            // Input typed before the prompt would be echoed.
            while !String::from_utf8_lossy(&shown).contains(question) {
                let mut byte = [0];
                screen.read_exact(&mut byte).with_context(|| String::from_utf8_lossy(&shown).into_owned())?;
                shown.extend(byte);
            }
            keyboard.write_all(lines.next().context("no line")?.as_bytes())?;
        }
        screen.read_to_end(&mut shown)?;
        let shown = String::from_utf8(shown)?;
        assert!(shown.contains(expected) && !shown.contains("horse"), "{shown}");
        assert_eq!(child.wait()?.success(), expected.contains("is set"));
    }
    Ok(())
}

#[test]
fn passwords_are_never_printed_to_the_journal() -> Result<()> {
    let board = Board::new()?;
    let config = board.state.path().join("porthole.toml");
    fs::write(&config, format!("{SMALL}\n[rtc]\nudp_port = 0\n"))?;
    let (mut journal, stdout) = std::io::pipe()?;
    // How systemd describes the journal's socket, which the program compares with its stdout.
    let file = fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&stdout)))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    command.args(["run", "--config"]).arg(&config).env("STATE_DIRECTORY", board.state.path());
    command.env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()));
    let mut child = command.stderr(stdout.try_clone()?).stdout(stdout).spawn()?;
    drop(command);
    let mut printed = Vec::new();
    while !String::from_utf8_lossy(&printed).contains("http://") {
        let mut byte = [0];
        journal.read_exact(&mut byte)?;
        printed.extend(byte);
    }
    common::signal(child.id(), "TERM")?;
    journal.read_to_end(&mut printed)?;
    child.wait()?;
    let printed = String::from_utf8(printed)?;
    let hint = format!("run `sudo porthole password operator --state {}`", board.state.path().display());
    assert!(printed.contains("nobody can sign in: no password is set") && printed.contains(&hint), "{printed}");
    assert!(!printed.contains("password of") && !printed.contains("sign-in="), "{printed}");
    assert!(!Path::new(&board.state.path().join("passwords.json")).exists());
    Ok(())
}

#[tokio::test]
async fn authentication_mode_none_grants_operator() -> Result<()> {
    let porthole = Porthole::start(SMALL)?;
    let session = send_request(&porthole.base, HERE, "GET /api/session", &[], "").await?;
    assert_eq!(session.json()?, json!({ "role": "operator", "mode": "none" }));
    assert_eq!(send_request(&porthole.base, HERE, "GET /api/tokens", &[], "").await?.status, 404);
    porthole.signal("TERM")?;
    let (_, _, log) = porthole.wait()?;
    assert!(log.contains("[auth] mode = \"none\": anybody who reaches http://127.0.0.1:"), "{log}");
    Ok(())
}
