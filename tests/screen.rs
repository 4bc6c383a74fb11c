//! The talker's picture end to end: viewers send H.264 to the running program, which passes it on to programs of the shell.
//!
//! How frames are put together is tested beside the code in `src/server/rtc/session/screen`, how programs are run in
//! `src/pipeline/screen`, a real browser's H.264 and VP8 in `tests/page`.

// Snapshots are tested in `control`.
#[allow(dead_code)]
#[path = "control/client.rs"]
mod client;
mod common;
#[path = "common/speaker.rs"]
mod speaker;
// What is said is tested in `talk`.
#[allow(dead_code)]
#[path = "common/speech.rs"]
mod speech;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client::{ControlClient, code};
use common::{Event, LIMIT, Options, POLL_INTERVAL};
use porthole::media::h264;
use serde_json::{Value, json};
use speaker::Board;
use speech::{packets, say};

/// Frames between two key frames of the stream.
const KEY_INTERVAL: usize = 15;

/// The time of a frame of 30 a second.
const FRAME_TIME: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// The longest payload of a packet.
const MAX_PAYLOAD: usize = 1_100;

/// What a talker shows: the NAL units of each frame, encoded by ffmpeg.
fn picture(frames: usize) -> Result<Vec<Vec<Vec<u8>>>> {
    let encoder = format!(
        "-nostdin -loglevel error -f lavfi -i testsrc2=size=320x240:rate=30 -frames:v {frames} -c:v libx264 -profile:v baseline \
         -pix_fmt yuv420p -x264-params keyint={KEY_INTERVAL}:min-keyint={KEY_INTERVAL}:scenecut=0:slices=1:sliced-threads=0 \
         -bsf:v filter_units=remove_types=6|9 -f h264 -"
    );
    let output = Command::new("ffmpeg").args(encoder.split_whitespace()).output().context("start ffmpeg")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut units = vec![Vec::new()];
    for nal in h264::nals(&output.stdout) {
        units.last_mut().context("a unit")?.push(nal.to_vec());
        if matches!(h264::nal_type(nal), h264::SLICE | h264::IDR) {
            units.push(Vec::new());
        }
    }
    units.pop();
    ensure!(units.len() == frames && units[0].len() == 3, "{} frames, {:?}", units.len(), units[0]);
    Ok(units)
}

/// Frames as a program gets them.
fn annex_b<'a>(units: impl IntoIterator<Item = &'a Vec<Vec<u8>>>) -> Vec<u8> {
    units.into_iter().flatten().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect()
}

/// The payloads of a NAL unit (RFC 6184 sections 5.6 and 5.8).
fn payloads(nal: &[u8]) -> Vec<Bytes> {
    if nal.len() <= MAX_PAYLOAD {
        return vec![Bytes::copy_from_slice(nal)];
    }
    let parts: Vec<&[u8]> = nal[1..].chunks(MAX_PAYLOAD).collect();
    let header = |at: usize| nal[0] & 0x1f | u8::from(at == 0) << 7 | u8::from(at + 1 == parts.len()) << 6;
    let payload = |(at, part): (usize, &&[u8])| [&[nal[0] & 0x60 | 28, header(at)][..], *part].concat();
    parts.iter().enumerate().map(payload).map(Bytes::from).collect()
}

/// Sends frames, one in each `interval`, the first packet of those that are `lost` excepted.
async fn show(
    client: &ControlClient,
    units: &[Vec<Vec<u8>>],
    interval: Duration,
    lost: impl Fn(usize) -> bool,
) -> Result<()> {
    let begun = tokio::time::Instant::now();
    let mut number = 65_000_u16;
    for (at, unit) in units.iter().enumerate() {
        tokio::time::sleep_until(begun + interval * at as u32).await;
        let payloads: Vec<Bytes> = unit.iter().flat_map(|nal| payloads(nal)).collect();
        for (part, payload) in payloads.iter().enumerate() {
            number = number.wrapping_add(1);
            if part > 0 || !lost(at) {
                let (timestamp, marker) = (3_000 * at as u32, part + 1 == payloads.len());
                client.viewer.send_picture(number, timestamp, marker, payload.clone()).await?;
            }
        }
    }
    Ok(())
}

/// A board whose screen is this command line.
fn board(exec: &str, more: &str) -> Result<Board> {
    Board::start("", &format!("[screen]\nexec = '''{exec}'''\n{more}"))
}

/// A viewer that can talk and be seen, and is connected.
async fn viewer(board: &Board) -> Result<ControlClient> {
    let mut client = board.viewer(Options { shows: true, ..board.options() }).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    Ok(client)
}

/// The direction of the video section of the answer.
fn direction(client: &ControlClient) -> &str {
    let section = client.viewer.answer.split("m=").find(|section| section.starts_with("video")).unwrap_or_default();
    section.lines().find(|line| line.starts_with("a=send") || line.starts_with("a=recv")).unwrap_or_default()
}

/// Silence of so many seconds: who has the floor says something.
fn silence(seconds: usize) -> Result<Vec<Bytes>> {
    packets(&vec![0.0; seconds * 48_000])
}

async fn talk(client: &mut ControlClient, method: &str) -> Result<()> {
    let answer = client.call(method, json!({})).await?;
    ensure!(code(&answer) == 0, "{answer}");
    Ok(())
}

/// `screen` of the status that a token sees.
async fn screen_status(board: &Board, token: &str) -> Result<Value> {
    let (url, bearer) = (format!("{}api/status", board.porthole.base), format!("Bearer {token}"));
    let answer = common::request("GET", &url, &[("authorization", &bearer)], String::new()).await?;
    let mut status: Value = serde_json::from_str(&answer.body)?;
    Ok(status["screen"].take())
}

/// Whether a process runs that has this argument.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("list the processes").flatten();
    let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|byte| *byte == 0).any(|found| found == argument.as_bytes()))
}

/// Waits until a file has this content.
async fn until_file(file: &Path, content: &[u8]) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = std::fs::read(file).unwrap_or_default();
        if found == content {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} bytes instead of {}", found.len(), content.len());
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What ffprobe decodes of a stream: codec, width, height and frames.
fn decoded(file: &Path) -> Result<String> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-count_frames", "-of", "csv=p=0", "-show_entries"]);
    let output =
        probe.arg("stream=codec_name,width,height,nb_read_frames").arg(file).output().context("start ffprobe")?;
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_talker_shows_is_passed_on_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shown.h264");
    let board = board(&format!("test $PORTHOLE_CODEC = h264 && exec cat > {}", file.display()), "")?;
    let mut client = viewer(&board).await?;
    ensure!(direction(&client) == "a=sendrecv", "{}", client.viewer.answer);
    let status = board.porthole.status().await?;
    ensure!(status["screen"] == json!({ "state": "idle", "fault": null }) && !file.exists(), "{status:#}");

    let (units, silence) = (picture(90)?, silence(3)?);
    talk(&mut client, "talk.start").await?;
    let (said, shown) =
        tokio::join!(say(&client.viewer, &silence, 0, |_| Some(0)), show(&client, &units, FRAME_TIME, |_| false));
    said.and(shown)?;
    board.porthole.until_metric("porthole_screen_frames_total", |frames| frames == 90.0).await?;
    let status = board.porthole.status().await?;
    ensure!(status["screen"]["state"] == "live", "{status:#}");
    talk(&mut client, "talk.stop").await?;
    board.porthole.until_status("the program has ended", |status| status["screen"]["state"] == "idle").await?;
    ensure!(std::fs::read(&file)? == annex_b(&units), "it should be the same");
    ensure!(decoded(&file)? == "h264,320,240,90", "{}", decoded(&file)?);
    for why in ["Lost", "Full", "Ended"] {
        let name = format!("porthole_screen_frames_dropped_total{{why=\"{why}\"}}");
        ensure!(board.porthole.series(&name).await? == 0.0, "{why}");
    }
    ensure!(client.viewer.reports.key_requests() == 0, "the first frame was a key frame, and nothing was lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_the_next_key_frame_is_asked_for_and_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shown.h264");
    let board = board(&format!("cat > {}", file.display()), "")?;
    let mut client = viewer(&board).await?;
    let (units, silence) = (picture(60)?, silence(2)?);
    talk(&mut client, "talk.start").await?;
    // It joins in the middle, and loses a packet of a frame that depends on others.
    let begin = 4;
    let (said, shown) = tokio::join!(
        say(&client.viewer, &silence, 0, |_| Some(0)),
        show(&client, &units[begin..], FRAME_TIME, |at| at + begin == 20)
    );
    said.and(shown)?;
    // Those from the first key frame to the loss, and from the next one on.
    let expected = [&units[15..20], &units[30..]].concat();
    let passed_on = expected.len() as f64;
    board.porthole.until_metric("porthole_screen_frames_total", |frames| frames >= passed_on).await?;
    talk(&mut client, "talk.stop").await?;
    board.porthole.until_status("the program has ended", |status| status["screen"]["state"] == "idle").await?;
    ensure!(std::fs::read(&file)? == annex_b(&expected), "{} bytes", std::fs::metadata(&file)?.len());
    ensure!(decoded(&file)? == format!("h264,320,240,{passed_on}"), "{}", decoded(&file)?);
    let lost = board.porthole.series("porthole_screen_frames_dropped_total{why=\"Lost\"}").await?;
    ensure!((20.0..=21.0).contains(&lost), "{lost} of the 11 before the first key frame and the 10 after the loss");
    let requests = client.viewer.reports.key_requests();
    ensure!((2..=4).contains(&requests), "{requests} requests for a key frame");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_never_reads_delays_nobody() -> Result<()> {
    let number = format!("{}.39", 400_000 + std::process::id());
    let board = board(&format!("sleep {number}"), "")?;
    let mut client = viewer(&board).await?;
    let (units, silence) = (picture(300)?, silence(3)?);
    talk(&mut client, "talk.start").await?;
    let (said, shown) = tokio::join!(
        say(&client.viewer, &silence, 0, |_| Some(0)),
        show(&client, &units, Duration::from_millis(10), |_| false)
    );
    said.and(shown)?;
    let full = "porthole_screen_frames_dropped_total";
    board.porthole.until_metric(full, |dropped| dropped > 0.0).await?;
    let status = board.porthole.status().await?;
    ensure!(status["screen"]["state"] == "live" && status["speaker"]["state"] == "live" && runs(&number), "{status:#}");
    ensure!(board.porthole.series(&format!("{full}{{why=\"Lost\"}}")).await? == 0.0);
    // The viewer's own picture goes on.
    while client.viewer.events.try_recv().is_ok() {}
    client.viewer.frame(LIMIT).await?;
    ensure!(client.viewer.reports.key_requests() <= 2, "there is no room for what it would ask for");
    talk(&mut client, "talk.stop").await?;
    board.porthole.until_status("the program has ended", |status| status["screen"]["state"] == "idle").await?;
    ensure!(!runs(&number));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_talks_is_shown_and_nobody_while_the_privacy_switch_is_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shown.h264");
    let board = board(&format!("cat >> {}", file.display()), "")?;
    let (mut talker, other) = (viewer(&board).await?, viewer(&board).await?);
    let (units, silence) = (picture(30)?, silence(3)?);
    talk(&mut talker, "talk.start").await?;
    let (said, first, second) = tokio::join!(
        say(&talker.viewer, &silence[..50], 0, |_| Some(0)),
        show(&talker, &units, FRAME_TIME, |_| false),
        show(&other, &units, FRAME_TIME, |_| false)
    );
    said.and(first).and(second)?;
    until_file(&file, &annex_b(&units)).await?;
    let refused = board.porthole.series("porthole_talk_packets_dropped_total{why=\"Floor\"}").await?;
    ensure!(refused >= 30.0, "{refused} packets of who does not talk");
    let answer = talker.call("privacy.set", json!({ "on": true })).await?;
    ensure!(code(&answer) == 0, "{answer}");
    board.porthole.until_status("the program is terminated", |status| status["screen"]["state"] == "idle").await?;
    show(&talker, &units, Duration::from_millis(10), |_| false).await?;
    let answer = talker.call("privacy.set", json!({ "on": false })).await?;
    ensure!(code(&answer) == 0, "{answer}");
    ensure!(std::fs::read(&file)? == annex_b(&units), "only what was shown before");
    ensure!(board.porthole.metric("porthole_screen_frames_total").await? == 30.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_can_be_shown_is_asked_for_a_picture() -> Result<()> {
    let auth = "[auth]\nmode = \"password\"";
    let (with, without) = (board("cat > /dev/null", auth)?, Board::start("", auth)?);
    for (board, role, talks, shows, expected) in [
        (&with, "operator", true, true, "a=sendrecv"),
        (&with, "operator", true, false, "a=sendonly"),
        // Only who talks is shown.
        (&with, "operator", false, true, "a=sendonly"),
        (&with, "viewer", true, true, "a=sendonly"),
        (&without, "operator", true, true, "a=sendonly"),
    ] {
        let token = board.token(&format!("{role}-{talks}-{shows}"), role)?;
        let options = Options { talks, shows, token: Some(token), ..board.options() };
        let client = ControlClient::connect(&options).await?;
        ensure!(direction(&client) == expected, "{role} {talks} {shows}: {}", client.viewer.answer);
    }
    let screen = screen_status(&without, &without.token("status", "operator")?).await?;
    ensure!(screen.is_null(), "{screen}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_a_fault_for_operators() -> Result<()> {
    let board = board("echo no display >&2; exit 7", "[auth]\nmode = \"password\"")?;
    let (operator, onlooker) = (board.token("a", "operator")?, board.token("b", "viewer")?);
    let options = Options { shows: true, token: Some(operator.clone()), ..board.options() };
    let mut client = board.viewer(options).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    let units = picture(15)?;
    talk(&mut client, "talk.start").await?;
    show(&client, &units, FRAME_TIME, |_| false).await?;
    while client.event("status").await?["screen"]["state"] != "fault" {}
    let fault = "the program ended with exit status 7; it said: no display";
    let (told, hidden) = (screen_status(&board, &operator).await?, screen_status(&board, &onlooker).await?);
    ensure!(told == json!({ "state": "fault", "fault": fault }), "{told}");
    ensure!(hidden == json!({ "state": "fault", "fault": null }), "{hidden}");
    Ok(())
}
