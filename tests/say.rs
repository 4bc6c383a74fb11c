//! Announcements end to end: files that ffmpeg has made are posted to the running program, or handed to `porthole ctl say`, and what
//! its speaker plays is compared with them.
//!
//! Who has the floor in every case is tested beside `src/server/floor.rs`.

// Snapshots are tested in `control`.
#[allow(dead_code)]
#[path = "control/client.rs"]
mod client;
mod common;
#[path = "common/correlation.rs"]
mod correlation;
#[path = "common/speaker.rs"]
mod speaker;
// Nobody talks here.
#[allow(dead_code)]
#[path = "common/speech.rs"]
mod speech;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use client::code;
use common::footprint::call;
use common::{LIMIT, Options, Porthole, SMALL};
use correlation::find;
use serde_json::{Value, json};
use speaker::{Board, KEPT_BACK};
use speech::{STEP, speech};

/// Writes a sound of 48 kHz as a file, as ffmpeg does with these options.
fn file(folder: &Path, name: &str, sound: &[f32], options: &str) -> Result<PathBuf> {
    let (raw, path) = (folder.join("sound.raw"), folder.join(name));
    std::fs::write(&raw, sound.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>())?;
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args("-nostdin -loglevel error -y -f f32le -ar 48000 -ac 1 -i".split(' ')).arg(raw);
    let status = ffmpeg.args(options.split_whitespace()).arg(&path).status().context("start ffmpeg")?;
    ensure!(status.success(), "ffmpeg {options}: {status}");
    Ok(path)
}

/// Posts a body to `/api/say`: the status, the body of the answer, and when to try again.
async fn post(board: &Porthole, headers: &[(&str, &str)], body: Vec<u8>) -> Result<(u16, Value, Option<String>)> {
    let mut request = ureq::http::Request::post(format!("{}api/say", board.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body)?;
    let sent = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT));
        let mut response = ureq::Agent::from(config.build()).run(request)?;
        let later = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        anyhow::Ok((response.status().as_u16(), serde_json::from_slice(&response.body_mut().read_to_vec()?)?, later))
    });
    sent.await?
}

const WAV: [(&str, &str); 1] = [("content-type", "audio/wav")];

/// Posts a file whose sound must be announced: how long it is.
async fn announce(board: &Board, path: &Path) -> Result<f64> {
    let (status, answer, _) = post(&board.porthole, &WAV, std::fs::read(path)?).await?;
    ensure!(status == 200, "{}: {status} {answer}", path.display());
    answer["length"].as_f64().context("no length")
}

async fn until_quiet(board: &Board) -> Result<()> {
    board.porthole.until_status("the speaker is closed", |status| status["speaker"]["state"] == "idle").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_is_heard_as_it_is() -> Result<()> {
    let sound = speech(3);
    for (name, options) in [
        ("sound.wav", "-ar 44100 -af pan=stereo|c0=c0|c1=c0"),
        ("wide.wav", "-c:a pcm_s24le"),
        ("sound.flac", "-ar 16000"),
        ("wide.flac", "-ar 96000 -af pan=stereo|c0=c0|c1=c0 -sample_fmt s32"),
        ("sound.opus", "-c:a libopus -b:a 96k"),
        ("stereo.ogg", "-af pan=stereo|c0=c0|c1=c0 -c:a libopus -b:a 128k -f ogg"),
    ] {
        let board = Board::start("", "")?;
        let path = file(board.folder.path(), name, &sound, options)?;
        let length = announce(&board, &path).await?;
        ensure!((length - 3.0).abs() < 0.01, "{name}: {length} s");
        let playing =
            |status: &Value| status["speaker"]["talker"] == "operator" && status["speaker"]["state"] == "live";
        board.porthole.until_status("it is playing", playing).await?;
        board.porthole.until_status("it has ended", |status| status["speaker"]["talker"].is_null()).await?;
        until_quiet(&board).await?;
        let heard = board.heard()?;
        // In three places: on a busy machine the speaker may run dry in one of them.
        let mut found = [12_000, 60_000, 108_000].map(|from| (find(&sound[from..from + 24_000], &heard, STEP), from));
        found.sort_by(|((one, _), _), ((other, _), _)| one.total_cmp(other));
        let [_, ((correlation, at), from), _] = found;
        ensure!(correlation > 0.9, "{name}: {found:?} of {}", heard.len());
        let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|sample| sample * sample).sum::<f64>();
        let ratio = power(&mut heard[at..at + 24_000].iter().map(|sample| f64::from(*sample) / 32_768.0))
            / power(&mut sound[from..from + 24_000].iter().map(|sample| f64::from(*sample)));
        ensure!((0.8..1.2).contains(&ratio), "{name}: {ratio} of the power");
        ensure!(board.porthole.metric("porthole_announcements_total").await? == 1.0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_sound_is_refused_and_says_why() -> Result<()> {
    let board = Board::start("", "")?;
    let folder = board.folder.path();
    let made =
        |name: &str, sound: &[f32], options: &str| std::fs::read(file(folder, name, sound, options)?).context("read");
    let flac = made("a.flac", &speech(2), "")?;
    let opus = made("a.opus", &speech(2), "-c:a libopus")?;
    let mut damaged = flac.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 3_000].fill(0);
    // 44.1 kHz in 16 bits, and then nothing.
    let empty =
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xac\0\0\x88\x58\x01\0\x02\0\x10\0data\0\0\0\0".to_vec();
    let cases: [(&str, &str, Vec<u8>, u16, &str); 14] = [
        ("no type", "", flac.clone(), 415, "Content-Type"),
        ("the type of a form", "text/plain", flac.clone(), 415, "Content-Type"),
        ("nothing", "audio/wav", Vec::new(), 415, "no WAV, FLAC or Ogg Opus"),
        ("text", "audio/wav", b"hello".to_vec(), 415, "no WAV, FLAC or Ogg Opus"),
        ("MP3", "audio/mpeg", made("a.mp3", &speech(1), "-c:a libmp3lame")?, 415, "no WAV, FLAC or Ogg Opus"),
        ("Vorbis", "audio/ogg", made("a.ogg", &speech(1), "-c:a libvorbis")?, 415, "codec"),
        ("ADPCM", "audio/wav", made("b.wav", &speech(1), "-c:a adpcm_ms")?, 415, "codec"),
        ("5.1 in Opus", "audio/ogg", made("b.opus", &speech(1), "-ac 6 -c:a libopus")?, 415, "channels"),
        ("too long", "audio/wav", made("c.wav", &speech(61), "-ar 8000 -c:a pcm_u8")?, 413, "longer than 60 s"),
        ("too large", "audio/wav", vec![0; 12 * 1024 * 1024 + 1], 413, "longer than 12 MiB"),
        ("no samples", "audio/wav", empty, 422, "no sound in it"),
        ("half a FLAC file", "audio/flac", flac[..flac.len() / 2].to_vec(), 422, "damaged or cut off"),
        ("half an Ogg file", "audio/ogg", opus[..opus.len() / 2].to_vec(), 422, "damaged or cut off"),
        ("a damaged FLAC file", "audio/flac", damaged, 422, "damaged"),
    ];
    for (what, media_type, body, expected, words) in cases {
        // What is refused by its length alone is not sent.
        let mut headers = vec![("expect", "100-continue"), ("content-type", media_type)];
        headers.retain(|(_, value)| !value.is_empty());
        let (status, answer, _) = post(&board.porthole, &headers, body).await.context(what)?;
        ensure!(status == expected && answer["status"] == expected, "{what}: {status} {answer}");
        ensure!(answer["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{what}: {answer}");
    }
    let status = board.porthole.status().await?;
    ensure!(status["speaker"]["talker"].is_null() && status["speaker"]["state"] == "idle", "{status:#}");
    ensure!(!board.file().exists(), "the speaker was opened");
    // And afterwards a good one is heard.
    let good = file(folder, "good.wav", &speech(1), "")?;
    announce(&board, &good).await?;
    until_quiet(&board).await?;
    board.porthole.signal("TERM")?;
    let (exit, _, log) = tokio::task::spawn_blocking(|| board.porthole.wait()).await??;
    ensure!(exit == Some(0) && !log.contains("panicked") && !log.contains("symphonia"), "{exit:?} {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operator_announces() -> Result<()> {
    let board = Board::start("", "[auth]\nmode = \"password\"")?;
    let wav = std::fs::read(file(board.folder.path(), "a.wav", &speech(1), "")?)?;
    let [viewer, operator] = [("a", "viewer"), ("bell", "operator")].map(|(name, role)| board.token(name, role));
    for (token, expected) in [("none".to_owned(), 401), (viewer?, 403), (operator?, 200)] {
        let bearer = format!("Bearer {token}");
        let headers = [WAV[0], ("authorization", &*bearer)];
        let (status, answer, _) = post(&board.porthole, &headers, wav.clone()).await?;
        ensure!(status == expected, "{expected}: {status} {answer}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_heard_the_answer_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let wav = std::fs::read(file(folder.path(), "a.wav", &speech(1), "")?)?;
    let mute = Porthole::start(SMALL)?;
    let (status, answer, _) = post(&mute, &WAV, wav.clone()).await?;
    ensure!(status == 409 && answer.to_string().contains("set device in [speaker]"), "{status} {answer}");
    let broken = Porthole::start(&format!("{SMALL}[speaker]\ndevice = \"plughw:CARD=Missing\"\n"))?;
    let (status, answer, _) = post(&broken, &WAV, wav.clone()).await?;
    ensure!(status == 503 && answer.to_string().contains("no such audio device"), "{status} {answer}");
    let status = broken.until_status("the floor is free", |status| status["speaker"]["talker"].is_null()).await?;
    ensure!(status["speaker"]["state"] == "fault", "{status:#}");
    let board = Board::start("", "")?;
    call(&board.porthole, "privacy.set", json!({ "on": true })).await?;
    let (status, answer, _) = post(&board.porthole, &WAV, wav).await?;
    ensure!(status == 409 && answer.to_string().contains("privacy switch is on"), "{status} {answer}");
    Ok(())
}

/// How much longer than `before` samples the file gets until nothing is heard any more: what sounds loud in it, in samples.
fn loud_after(board: &Board, before: usize) -> Result<usize> {
    let heard = board.heard()?;
    let last = heard.iter().rposition(|sample| sample.unsigned_abs() > 60).unwrap_or(0);
    Ok(last.saturating_sub(before))
}

#[tokio::test(flavor = "multi_thread")]
async fn talk_stop_and_the_privacy_switch_cut_it_off() -> Result<()> {
    let sound = speech(20);
    for (method, params) in [("talk.stop", json!({})), ("privacy.set", json!({ "on": true }))] {
        let board = Board::start("", "")?;
        let path = file(board.folder.path(), "long.flac", &sound, "")?;
        ensure!((announce(&board, &path).await? - 20.0).abs() < 0.01);
        let begun = Instant::now();
        while board.heard()?.len() < 48_000 {
            ensure!(begun.elapsed() < LIMIT, "nothing is heard");
            tokio::time::sleep(common::POLL_INTERVAL).await;
        }
        ensure!(board.porthole.status().await?["speaker"]["talker"] == "operator");
        call(&board.porthole, method, params).await?;
        let before = board.heard()?.len();
        ensure!(board.porthole.status().await?["speaker"]["talker"].is_null(), "{method}");
        until_quiet(&board).await?;
        // At most 50 ms more, besides what the plugin has kept back.
        let more = loud_after(&board, before)?;
        ensure!(more <= KEPT_BACK + 2_400, "{method}: {more} samples more");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_the_floor_from_a_viewer_and_an_operator_takes_it_back() -> Result<()> {
    let board = Board::start("allow = \"viewer\"", "[auth]\nmode = \"password\"")?;
    let (viewer, operator) = (board.token("a", "viewer")?, board.token("bell", "operator")?);
    let with = |token: &str| Options { token: Some(token.into()), ..board.options() };
    let mut one = board.viewer(with(&viewer)).await?;
    let mut chief = board.viewer(with(&operator)).await?;
    for client in [&mut one, &mut chief] {
        // From then on events are sent.
        client.event("viewers").await?;
    }
    let flac = std::fs::read(file(board.folder.path(), "long.flac", &speech(20), "")?)?;
    let bearer = format!("Bearer {operator}");
    let headers = [WAV[0], ("authorization", &*bearer)];
    ensure!(code(&one.call("talk.start", json!({})).await?) == 0);
    let (status, answer, _) = post(&board.porthole, &headers, flac.clone()).await?;
    ensure!(status == 200, "{status} {answer}");
    while one.event("talk").await? != json!({ "name": "bell", "you": false }) {}
    // One after the other, and a viewer has to wait.
    let (status, answer, later) = post(&board.porthole, &headers, flac.clone()).await?;
    ensure!(status == 409 && answer.to_string().contains("bell is talking"), "{status} {answer}");
    ensure!(later.as_deref() == Some("1"), "{later:?}");
    ensure!(code(&one.call("talk.start", json!({})).await?) == -32002);
    ensure!(code(&one.call("talk.stop", json!({})).await?) == 0, "it ends only what the viewer says");
    ensure!(code(&chief.call("talk.start", json!({})).await?) == 0);
    let next = one.event("talk").await?;
    ensure!(next == json!({ "name": "viewer 2", "you": false }), "{next}");
    let (status, answer, _) = post(&board.porthole, &headers, flac).await?;
    ensure!(status == 409 && answer.to_string().contains("viewer 2 is talking"), "{status} {answer}");
    Ok(())
}

/// Runs `porthole ctl` with these arguments, and this on its standard input: whether it succeeded, and what it printed.
fn ctl(board: &Board, arguments: &[&str], input: Option<&Path>) -> Result<(bool, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    command.arg("ctl").args(arguments).arg("--state").arg(board.state()).env_remove("RUNTIME_DIRECTORY");
    command.stdin(match input {
        Some(file) => Stdio::from(std::fs::File::open(file)?),
        None => Stdio::null(),
    });
    let output = command.output()?;
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok((output.status.success(), printed.concat()))
}

#[test]
fn porthole_ctl_says_a_file_or_standard_input() -> Result<()> {
    let board = Board::start("", "[auth]\nmode = \"password\"")?;
    let folder = board.folder.path();
    let (long, short) = (file(folder, "long.wav", &speech(30), "")?, file(folder, "short.wav", &speech(1), "")?);
    let [long, text, large, missing] =
        [long, folder.join("text.wav"), folder.join("large.wav"), folder.join("missing.wav")]
            .map(|path| path.to_string_lossy().into_owned());
    std::fs::write(&text, "no sound")?;
    std::fs::File::create(&large)?.set_len(12 * 1024 * 1024 + 1)?;
    for (file, words) in [
        (Some(&text), "this is no WAV, FLAC or Ogg Opus file"),
        (Some(&large), "large.wav: longer than 12 MiB"),
        (Some(&missing), "missing.wav: No such file"),
        (None, "which file? `porthole ctl say FILE`"),
    ] {
        let arguments: Vec<&str> = ["say"].into_iter().chain(file.map(String::as_str)).collect();
        let refused = ctl(&board, &arguments, None)?;
        ensure!(!refused.0 && refused.1.contains(words), "{refused:?}");
    }
    let said = ctl(&board, &["say", &long], None)?;
    ensure!(said == (true, "{\n  \"length\": 30.0\n}\n".into()), "{said:?}");
    let busy = ctl(&board, &["say", &long], None)?;
    ensure!(!busy.0 && busy.1.contains("the device is talking"), "{busy:?}");
    ensure!(ctl(&board, &["talk.stop"], None)?.0);
    let said = ctl(&board, &["say", "-"], Some(&short))?;
    ensure!(said == (true, "{\n  \"length\": 1.0\n}\n".into()), "{said:?}");

    board.porthole.signal("TERM")?;
    let (folder, state) = (board.folder, board.porthole.wait()?);
    ensure!(state.0 == Some(0), "{state:?}");
    let short = folder.path().join("short.wav");
    let nobody = Command::new(env!("CARGO_BIN_EXE_porthole"))
        .args(["ctl", "say"])
        .arg(short)
        .arg("--state")
        .arg(folder.path().join("state"))
        .env_remove("RUNTIME_DIRECTORY")
        .output()?;
    let printed = String::from_utf8_lossy(&nobody.stderr);
    ensure!(!nobody.status.success() && printed.contains("is porthole running"), "{printed}");
    Ok(())
}
