//! Who may see, delete and protect recordings, and ranges of files as curl asks for them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::common::footprint::call;
use crate::common::{Porthole, request, token};
use crate::{config, files, has_ended, list, until_listed, until_recorded};

/// The status, the header in lower case, and the body of what curl gets.
fn curl(url: &str, arguments: &[&str]) -> Result<(u16, String, Vec<u8>)> {
    let output = Command::new("curl").args(["-s", "-i"]).args(arguments).arg(url).output()?;
    let found = output.stdout.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no header")?;
    let header = String::from_utf8_lossy(&output.stdout[..found]).to_ascii_lowercase();
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, header, output.stdout[found + 4..].to_vec()))
}

/// A recording that has ended; its ID.
async fn record(porthole: &Porthole) -> Result<u64> {
    let written = porthole.metric("porthole_recorded_bytes_total").await?;
    call(porthole, "record.start", json!({})).await?;
    until_recorded(porthole, written + 60_000.0).await?;
    call(porthole, "record.stop", json!({})).await?;
    let listed = until_listed(porthole, "it has ended", has_ended).await?;
    listed.last().and_then(|one| one["id"].as_u64()).context("no recording")
}

const MANUAL: &str = "mode = \"manual\"\nbefore = 0\nafter = 0";

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_whole_and_in_ranges() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), MANUAL))?;
    let id = record(&porthole).await?;
    let (url, file) = (format!("{}recordings/{id}.mp4", porthole.base), std::fs::read(files::only(folder.path())?)?);
    let length = file.len();
    let (status, header, body) = curl(&url, &[])?;
    ensure!(status == 200 && body == file, "{header}: {} of {length} bytes", body.len());
    for line in ["content-type: video/mp4", "accept-ranges: bytes", "cache-control: no-store", "etag: \"1-"] {
        ensure!(header.contains(line), "{line}: {header}");
    }
    for (range, part) in [
        ("0-0", 0..1),
        ("0-", 0..length),
        ("100-70100", 100..70_101.min(length)),
        ("-500", length - 500..length),
        ("5-99999999999", 5..length),
    ] {
        let (status, header, body) = curl(&url, &["-r", range])?;
        let expected = format!("content-range: bytes {}-{}/{length}", part.start, part.end - 1);
        ensure!(status == 206 && header.contains(&expected), "{range}: {header}");
        ensure!(header.contains(&format!("content-length: {}", part.len())), "{range}: {header}");
        ensure!(body == file[part], "{range}: {} bytes", body.len());
    }
    let (status, header, _) = curl(&url, &["-H", &format!("Range: bytes={length}-")])?;
    ensure!(status == 416 && header.contains(&format!("content-range: bytes */{length}")), "{header}");
    for ignored in ["Range: bytes=0-1,5-6", "Range: lines=0-1"] {
        let (status, _, body) = curl(&url, &["-H", ignored])?;
        ensure!(status == 200 && body == file, "{ignored}: {status}");
    }
    // A range of what has changed meanwhile would not fit.
    let (status, ..) = curl(&url, &["-r", "0-9", "-H", "If-Range: \"1-5\""])?;
    ensure!(status == 200, "{status}");
    let tag = header_value(&curl(&url, &["-I"])?.1, "etag").context("no tag")?;
    let (status, ..) = curl(&url, &["-r", "0-9", "-H", &format!("If-Range: {tag}")])?;
    ensure!(status == 206, "{status}");
    let (status, header, body) = curl(&url, &["-I"])?;
    let whole = header.contains(&format!("content-length: {length}"));
    ensure!(status == 200 && whole && body.is_empty(), "{header}");
    let (status, header, picture) = curl(&format!("{}recordings/{id}.jpg", porthole.base), &[])?;
    ensure!(status == 200 && header.contains("image/jpeg") && picture.starts_with(&[0xff, 0xd8]), "{header}");
    for nothing in
        ["recordings/2.mp4", "recordings/0.mp4", "recordings/2.jpg", "recordings/..%2f1.mp4", "recordings/x.mp4"]
    {
        let (status, ..) = curl(&format!("{}{nothing}", porthole.base), &["--path-as-is"])?;
        ensure!(status == 404, "{nothing}: {status}");
    }
    Ok(())
}

fn header_value(header: &str, name: &str) -> Option<String> {
    header.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_recording_is_sent_as_far_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"always\""))?;
    until_recorded(&porthole, 80_000.0).await?;
    let url = format!("{}recordings/1.mp4", porthole.base);
    let (status, header, first) = curl(&url, &["-r", "0-"])?;
    ensure!(status == 206 && !header.contains("etag"), "{header}");
    ensure!(first.len() >= 80_000 && &first[4..8] == b"ftyp", "{} bytes", first.len());
    // It can be played.
    let copy = folder.path().join("copy");
    std::fs::write(&copy, &first)?;
    files::numbers(&copy, (320, 180))?;
    // What has been added meanwhile follows.
    until_recorded(&porthole, first.len() as f64 + 40_000.0).await?;
    let (status, _, rest) = curl(&url, &["-r", &format!("{}-", first.len())])?;
    ensure!(status == 206, "{status}");
    std::fs::write(&copy, [first, rest].concat())?;
    files::numbers(&copy, (320, 180))?;
    let answer = request("DELETE", &format!("{}api/recordings/1", porthole.base), &[], String::new()).await?;
    ensure!(answer.status == 409 && answer.body.contains("being written"), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_protected_and_deleted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), MANUAL))?;
    let (first, second) = (record(&porthole).await?, record(&porthole).await?);
    let send = async |method: &str, path: String| {
        let answer = request(method, &format!("{}api/recordings/{path}", porthole.base), &[], String::new()).await?;
        anyhow::Ok(answer.status)
    };
    ensure!(send("PUT", format!("{first}/protected")).await? == 204);
    ensure!(send("DELETE", format!("{first}")).await? == 409);
    ensure!(list(&porthole).await?[0]["protected"] == true);
    ensure!(send("DELETE", format!("{second}")).await? == 204);
    ensure!(send("DELETE", format!("{second}")).await? == 404);
    ensure!(send("PUT", format!("{second}/protected")).await? == 404);
    ensure!(files::all(folder.path())?.len() == 1);
    ensure!(send("DELETE", format!("{first}/protected")).await? == 204);
    ensure!(send("DELETE", format!("{first}")).await? == 204);
    ensure!(list(&porthole).await?.is_empty());
    ensure!(std::fs::read_dir(folder.path())?.count() == 0, "a picture is left");
    // Numbers are not used again.
    ensure!(record(&porthole).await? == 3);
    Ok(())
}

/// The statuses that a token gets, in the order of [`PATHS`].
async fn statuses(porthole: &Porthole, token: &str) -> Result<Vec<u16>> {
    let authorization = format!("Bearer {token}");
    let mut statuses = Vec::new();
    for (method, path) in PATHS {
        let headers = [("authorization", authorization.as_str())];
        let answer = request(method, &format!("{}{path}", porthole.base), &headers, String::new()).await?;
        statuses.push(answer.status);
    }
    Ok(statuses)
}

const PATHS: [(&str, &str); 6] = [
    ("GET", "api/recordings"),
    ("GET", "recordings/1.mp4"),
    ("GET", "recordings/1.jpg"),
    ("PUT", "api/recordings/1/protected"),
    ("DELETE", "api/recordings/1/protected"),
    ("DELETE", "api/recordings/1"),
];

/// A program that has made a recording, and then asks for passwords.
async fn guarded(folder: &Path, lines: &str) -> Result<(Porthole, [String; 2])> {
    let (recordings, state) = (folder.join("recordings"), folder.join("state"));
    let open = config(&recordings, &format!("{MANUAL}\n{lines}"));
    let porthole = Porthole::start(&open)?;
    record(&porthole).await?;
    drop(porthole);
    let guarded = open.replace("mode = \"none\"", "mode = \"password\"");
    let porthole = Porthole::start_with(&guarded, &[("STATE_DIRECTORY", state.clone().into())])?;
    let add = |role: &str| token(&state, &["add", role, "--role", role]);
    Ok((porthole, [add("viewer")?, add("operator")?]))
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_for_operators_unless_viewers_may_see_them() -> Result<()> {
    for (lines, viewer_statuses) in
        [("", [403, 403, 403, 403, 403, 403]), ("allow = \"viewer\"", [200, 200, 200, 403, 403, 403])]
    {
        let folder = tempfile::tempdir()?;
        let (porthole, [viewer, operator]) = guarded(folder.path(), lines).await?;
        let found = statuses(&porthole, &viewer).await?;
        ensure!(found == viewer_statuses, "{lines}: {found:?}");
        let found = statuses(&porthole, "wrong").await?;
        ensure!(found == [401; 6], "{lines}: {found:?}");
        let found = statuses(&porthole, &operator).await?;
        ensure!(found == [200, 200, 200, 204, 204, 204], "{lines}: {found:?}");
        let (url, bearer) = (format!("{}api/command", porthole.base), format!("Bearer {viewer}"));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = request("POST", &url, &headers, r#"{"method":"record.start"}"#.into()).await?;
        let answer: Value = serde_json::from_str(&answer.body)?;
        ensure!(answer["error"]["code"] == -32000, "{answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_in_parts_and_shown_when_recording_is_off() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let porthole = Porthole::start(&config(folder.path(), "mode = \"off\""))?;
    ensure!(porthole.status().await?["recording"].is_null(), "nothing was recorded");
    drop(porthole);
    // As a card from elsewhere brings them.
    for number in 1..=9 {
        let camera = if number % 3 == 0 { "yard" } else { "camera" };
        let name = format!("{camera}-2026-11-30-19-24-56+0100-{number:06}-motion-61500ms.mp4");
        std::fs::write(folder.path().join(name), "x")?;
    }
    let porthole = Porthole::start(&config(folder.path(), "mode = \"off\"\nallow = \"viewer\""))?;
    let status = porthole.status().await?["recording"].clone();
    ensure!(status["mode"] == "off" && status["allow"] == "viewer" && status["cameras"] == json!([]), "{status}");
    for (query, expected) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("?limit=4", vec![6, 7, 8, 9]),
        ("?limit=4&before=6", vec![2, 3, 4, 5]),
        ("?limit=4&before=2", vec![1]),
        ("?before=1", vec![]),
        ("?camera=yard&limit=2", vec![6, 9]),
        ("?camera=yard&limit=2&before=9", vec![3, 6]),
        ("?camera=attic", vec![]),
    ] {
        let url = format!("{}api/recordings{query}", porthole.base);
        let answer = request("GET", &url, &[], String::new()).await?;
        let listed: Value = serde_json::from_str(&answer.body)?;
        let ids = listed["recordings"].as_array().context("no list")?.iter().filter_map(|one| one["id"].as_u64());
        ensure!(ids.collect::<Vec<_>>() == expected, "{query}: {listed:#}");
    }
    for wrong in ["limit=0", "limit=1001", "limit=x", "before=-1", "before=1.5", "before=99999999999999999999"] {
        let answer = request("GET", &format!("{}api/recordings?{wrong}", porthole.base), &[], String::new()).await?;
        ensure!(answer.status == 400, "{wrong}: {answer:?}");
    }
    Ok(())
}
