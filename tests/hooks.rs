//! Hooks of the running program: programs and servers that are told of real events, and those that are missing, slow or hang,
//! which nobody waits for.
//!
//! What is told, and how programs are run and ended, is tested beside the code; HTTPS in `tests/publish.rs`, with the same client.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use common::footprint::call;
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, SMALL, Viewer, missing, numbers};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A script in a directory.
fn script(directory: &Path, name: &str, lines: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// A script that appends what it is told to `told`, a line each time, and then does more.
fn teller(directory: &Path, more: &str) -> Result<PathBuf> {
    let told = directory.join("told");
    script(directory, "tell", &format!("cat >> '{}'\n{more}", told.display()))
}

/// What the script was told, once that satisfies a condition.
async fn until_told(directory: &Path, what: &str, met: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(directory.join("told")).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let told = whole.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        if met(&told) {
            return Ok(told);
        }
        ensure!(Instant::now() < deadline, "{what}: {told:#?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// How often a hook ended so.
async fn runs(porthole: &Porthole, section: u32, result: &str) -> Result<f64> {
    porthole.series(&format!("porthole_hook_runs_total{{section=\"{section}\",result=\"{result}\"}}")).await
}

async fn until_runs(porthole: &Porthole, section: u32, result: &str, count: f64) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while runs(porthole, section, result).await? < count {
        ensure!(Instant::now() < deadline, "hook {section} is not {result} {count} times");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Turns the privacy switch on and off so often: two events each time.
async fn toggle(porthole: &Porthole, times: usize) -> Result<()> {
    for _ in 0..times {
        for on in [true, false] {
            call(porthole, "privacy.set", json!({ "on": on })).await?;
        }
    }
    Ok(())
}

/// Stops the program in order: how long it took, and its log.
fn stopped(porthole: Porthole) -> Result<(Duration, String)> {
    porthole.signal("TERM")?;
    let (code, took, log) = porthole.wait()?;
    ensure!(code == Some(0), "{log}");
    Ok((took, log))
}

/// A request: the head in lower case, and the body.
type Request = (String, String);

/// A server that answers each request with this, or with nothing; and the requests.
async fn serve(answer: Option<&'static str>) -> Result<(String, mpsc::Receiver<Request>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (url, (sender, requests)) = (format!("http://{}/secret-path", listener.local_addr()?), mpsc::channel(64));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(exchange(stream, answer, sender.clone()));
        }
    });
    Ok((url, requests))
}

async fn exchange(stream: TcpStream, answer: Option<&str>, sender: mpsc::Sender<Request>) -> Result<()> {
    let (mut stream, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head).await? > 0, "the request ends in its head: {head}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.context("no length")?.parse()?];
    stream.read_exact(&mut body).await?;
    let _ = sender.try_send((head, String::from_utf8(body)?));
    match answer {
        Some(answer) => Ok(stream.write_all(answer.as_bytes()).await?),
        None => std::future::pending().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_of_a_recording_and_finds_its_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = teller(folder.path(), &format!("ls -l /proc/self/fd > '{}'", folder.path().join("files").display()))?;
    let recordings = folder.path().join("recordings");
    let config = format!(
        "{SMALL}\n[auth]\nmode = \"none\"\n[recording]\nmode = \"manual\"\nbefore = 0\nafter = 0\nmin_free = \"\"\ndirectory = {recordings:?}\n\
         [[hook]]\non = \"recording\"\nexec = {program:?}\n"
    );
    let porthole = Porthole::start(&config)?;
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    call(&porthole, "record.start", json!({})).await?;
    let begun = until_told(folder.path(), "it has begun", |told| told.len() == 1).await?;
    let expected = json!({
        "event": "recording", "state": "begun", "camera": "camera", "id": 1, "cause": "manual", "file": "/recordings/1.mp4",
        "time": begun[0]["time"],
    });
    ensure!(begun[0] == expected && begun[0]["time"].as_u64() > Some(1_700_000_000_000), "{:#}", begun[0]);
    porthole.until_metric("porthole_recorded_bytes_total", |bytes| bytes > 50_000.0).await?;
    call(&porthole, "record.stop", json!({})).await?;
    let ended = until_told(folder.path(), "it has ended", |told| told.len() == 2).await?.remove(1);
    ensure!(ended["state"] == "ended" && ended["id"] == 1 && ended["file"] == "/recordings/1.mp4", "{ended:#}");
    // The file is whole by then, under its last name.
    let path = Path::new(ended["path"].as_str().context("no path")?);
    ensure!(path.starts_with(&recordings) && path.is_file(), "{ended:#}");
    let length = ended["length"].as_f64().context("no length")?;
    ensure!(path.to_string_lossy().ends_with(&format!("-manual-{:.0}ms.mp4", length * 1_000.0)), "{ended:#}");
    until_runs(&porthole, 0, "Ok", 2.0).await?;
    viewer.leave().await?;
    // Of what porthole has open, with a viewer, nothing is inherited.
    let files = std::fs::read_to_string(folder.path().join("files"))?;
    ensure!(["socket:", "anon_inode:", "/dev/snd", ".mp4"].iter().all(|ours| !files.contains(ours)), "{files}");
    stopped(porthole)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_of_motion_in_a_real_picture() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = teller(folder.path(), "")?;
    // A square that crosses the picture from the sixth second to the eleventh.
    let command = "exec ffmpeg -nostdin -loglevel error -re -f lavfi -i \"color=c=0x606060:s=320x180:r=10[wall];\
                   color=c=0xd0d0d0:s=30x30:r=10[square];[wall][square]overlay=x='-40+80*max(0,t-6)':y=70,\
                   noise=alls=10:allf=t\" -pix_fmt yuv420p -f rawvideo -";
    let config = format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n[audio]\ndevice = \"off\"\n[[camera]]\nname = \"door\"\nwidth = 320\nheight = 180\n\
         fps = 10\nformat = \"YU12\"\ndevice = '''exec:{command}'''\n[camera.motion]\nenabled = true\n\
         [[hook]]\non = \"motion\"\ncamera = \"door\"\nexec = {program:?}\n"
    );
    let _porthole = Porthole::start(&config)?;
    // On a busy machine ffmpeg draws more slowly than the square should move.
    until_told(folder.path(), "it moves", |told| !told.is_empty()).await?;
    let told = until_told(folder.path(), "it has moved", |told| told.len() == 2).await?;
    ensure!(told[0]["event"] == "motion" && told[0]["camera"] == "door", "{told:#?}");
    ensure!(told[0]["state"] == "begun" && told[1]["state"] == "ended", "{told:#?}");
    ensure!(told[1]["time"].as_u64() > told[0]["time"].as_u64(), "{told:#?}");
    ensure!(told[0]["score"].as_u64() > Some(50) && told[0]["box"]["y"].is_number(), "{told:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_with_the_headers_of_the_configuration_and_of_a_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "Authorization: Bearer geheim\n")?;
    let (url, mut requests) = serve(Some("HTTP/1.1 204 No Content\r\n\r\n")).await?;
    let (refusing, _refused) = serve(Some("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")).await?;
    let config = format!(
        "{SMALL}\n[[hook]]\non = [\"privacy.begun\", \"watched\"]\nurl = \"{url}\"\nheaders = [\"X-Tag: door\"]\n\
         headers_file = {headers:?}\n[[hook]]\non = \"privacy.begun\"\nurl = \"{refusing}\"\n"
    );
    let porthole = Porthole::start(&config)?;
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    let (head, body) = requests.recv().await.context("no request")?;
    ensure!(head.starts_with("post /secret-path http/1.1\r\n"), "{head}");
    for header in ["content-type: application/json\r\n", "x-tag: door\r\n", "authorization: bearer geheim\r\n"] {
        ensure!(head.contains(header), "{header} is not in {head}");
    }
    let event: Value = serde_json::from_str(&body)?;
    ensure!(event["event"] == "watched" && event["state"] == "begun" && event["viewers"] == 1, "{event:#}");
    viewer.leave().await?;
    let (_, body) = requests.recv().await.context("no request")?;
    ensure!(body.contains("\"event\":\"watched\"") && body.contains("\"state\":\"ended\""), "{body}");
    toggle(&porthole, 2).await?;
    for _ in 0..2 {
        let (_, body) = requests.recv().await.context("no request")?;
        ensure!(body.contains("\"event\":\"privacy\"") && body.contains("\"state\":\"begun\""), "{body}");
    }
    until_runs(&porthole, 0, "Ok", 4.0).await?;
    until_runs(&porthole, 1, "Failed", 2.0).await?;
    let (_, log) = stopped(porthole)?;
    ensure!(log.matches("hook[1], which posts to http://127.0.0.1:").count() == 1, "{log}");
    ensure!(log.contains("(status 403)") && !log.contains("secret-path") && !log.contains("geheim"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_server_that_never_answers_nor_for_a_program_that_hangs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (url, mut requests) = serve(None).await?;
    // Its children hang too, one of them in another session.
    let number = format!("{}.31", 300_000 + std::process::id());
    let lines = format!("setsid sleep {number} &\nsleep {number} &\nexec sleep {number}");
    let program = script(folder.path(), "hang", &lines)?;
    let config = format!(
        "{SMALL}\n[[hook]]\non = \"privacy\"\nurl = \"{url}\"\ntimeout = 1\n\
         [[hook]]\non = \"privacy.begun\"\nexec = {program:?}\ntimeout = 1\n\
         [[hook]]\non = \"privacy.ended\"\nexec = {program:?}\ntimeout = 600\n"
    );
    let porthole = Porthole::start(&config)?;
    toggle(&porthole, 60).await?;
    // A flood: those that the queue has no room for are left out.
    for section in 0..3 {
        ensure!(runs(&porthole, section, "Dropped").await? >= 1.0, "hook {section}");
    }
    until_runs(&porthole, 0, "TimedOut", 1.0).await?;
    until_runs(&porthole, 1, "TimedOut", 1.0).await?;
    requests.recv().await.context("no request")?;
    // Meanwhile viewers lose nothing.
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    missing(&numbers(&mut viewer, 60).await?, &porthole).await?;
    viewer.leave().await?;
    let begun = Instant::now();
    let (took, log) = stopped(porthole)?;
    ensure!(took < Duration::from_secs(6), "it took {took:?} ({:?}) to stop: {log}", begun.elapsed());
    ensure!(log.matches("is too slow: 32 events wait for it").count() == 3, "{log}");
    ensure!(log.matches("no response within 1 s").count() == 1, "{log}");
    ensure!(log.matches("it has not ended within 1 s").count() == 1, "{log}");
    let processes = std::fs::read_dir("/proc")?.flatten();
    let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    ensure!(!lines.any(|line| line.split(|byte| *byte == 0).any(|word| word == number.as_bytes())), "one is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_is_said_once_and_a_reload_brings_others() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, missing) = (folder.path().join("porthole.toml"), folder.path().join("later"));
    let config = |hook: &str| format!("{SMALL}\n[auth]\nmode = \"none\"\n[rtc]\nudp_port = 0\n{hook}");
    let later = config(&format!("[[hook]]\non = \"privacy\"\nexec = {missing:?}\n"));
    std::fs::write(&file, &later)?;
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_porthole")).arg("check-config").arg(&file).output()?;
    let printed = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    ensure!(checked.status.success() && printed.contains("hook[0].exec: "), "{printed}");
    let porthole = Porthole::start_file(&file, &[("STATE_DIRECTORY", folder.path().join("state").into())])?;
    toggle(&porthole, 2).await?;
    until_runs(&porthole, 0, "Failed", 4.0).await?;
    let program = teller(folder.path(), "")?;
    // It is there now.
    std::fs::copy(&program, &missing)?;
    toggle(&porthole, 1).await?;
    until_told(folder.path(), "it works", |told| told.len() == 2).await?;
    std::fs::write(&file, config(&format!("[[hook]]\non = \"privacy.ended\"\nexec = {program:?}\n")))?;
    porthole.signal("HUP")?;
    let (deadline, mut count) = (Instant::now() + LIMIT, 2);
    // Those that have begun are told to the former hook alone.
    loop {
        toggle(&porthole, 1).await?;
        let told = until_told(folder.path(), "more", |told| told.len() > count).await?;
        if told.windows(2).any(|pair| pair.iter().all(|told| told["state"] == "ended")) {
            break;
        }
        ensure!(Instant::now() < deadline, "{told:#?}");
        count = told.len();
    }
    let (_, log) = stopped(porthole)?;
    let shown = missing.display();
    ensure!(
        log.matches(&format!("hook[0], which runs {shown}: it cannot be started: No such file")).count() == 1,
        "{log}"
    );
    ensure!(log.contains(&format!("hook[0], which runs {shown}, works again")), "{log}");
    ensure!(log.contains("configuration reloaded; applied: [[hook]]"), "{log}");
    Ok(())
}
