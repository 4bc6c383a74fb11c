//! Talk back end to end: viewers speak Opus to the running program, whose speaker is ALSA's own plugin that plays into a file.
//!
//! The jitter buffer and the clocks are tested beside the code in `src/media/playout` and `src/capture/audio`, the page's button in
//! `tests/page`.

// `figures_with_jitter_and_loss` prints.
#![allow(clippy::print_stdout)]

// Snapshots are tested in `control`.
#[allow(dead_code)]
#[path = "control/client.rs"]
mod client;
mod common;
#[path = "common/correlation.rs"]
mod correlation;
#[path = "common/speaker.rs"]
mod speaker;
// Files are played in `say`.
#[allow(dead_code)]
#[path = "common/speech.rs"]
mod speech;
// Only the level is measured here.
#[allow(dead_code)]
#[path = "common/tone.rs"]
mod tone;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client::{ControlClient, code};
use common::footprint::call;
use common::{Event, LIMIT, Network, Options, POLL_INTERVAL, Porthole, SMALL, StallMonitor, request};
use correlation::find;
use serde_json::json;
use speaker::{Board, KEPT_BACK, follow};
use speech::{STEP, decoded, packets, say, speech};

const FORBIDDEN: i64 = -32000;
const BUSY: i64 = -32002;
const REFUSED: i64 = -32003;

/// Asks for the floor.
async fn start_talk(client: &mut ControlClient) -> Result<i64> {
    Ok(code(&client.call("talk.start", json!({})).await?))
}

/// Waits for the event `talk` with these values.
async fn talk_event(client: &mut ControlClient, name: Option<&str>, you: bool) -> Result<()> {
    let expected = json!({ "name": name, "you": you });
    while client.event("talk").await.with_context(|| expected.to_string())? != expected {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_heard_intact_and_soon() -> Result<()> {
    let board = Board::start("", "")?;
    let mut client = board.viewer(board.options()).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    let status = board.porthole.status().await?;
    ensure!(status["speaker"]["state"] == "idle" && status["speaker"]["talker"].is_null(), "{status:#}");
    ensure!(!board.file().exists(), "the speaker is open, and nobody talks");

    let spoken = packets(&speech(4))?;
    let (done, until) = tokio::sync::watch::channel(false);
    let sizes = follow(board.file(), until);
    ensure!(start_talk(&mut client).await? == 0);
    talk_event(&mut client, Some("viewer 1"), true).await?;
    let begun = say(&client.viewer, &spoken, 65_500, |_| Some(0)).await?;
    let status = board.porthole.status().await?;
    ensure!(status["speaker"]["state"] == "live" && status["speaker"]["talker"] == "viewer 1", "{status:#}");
    ensure!(code(&client.call("talk.stop", json!({})).await?) == 0);
    talk_event(&mut client, None, false).await?;
    board.porthole.until_status("the speaker is closed", |status| status["speaker"]["state"] == "idle").await?;
    done.send_replace(true);

    let heard = board.heard()?;
    // From the second second on: the first is that of the codec and of an opening device. The codec changes the sound, so what is
    // heard is compared with what comes out of it, in three places: on a busy machine the speaker may run dry in one of them.
    let decoded = decoded(&spoken)?;
    let mut found = [48_000, 80_000, 112_000].map(|from| (find(&decoded[from..from + 24_000], &heard, STEP), from));
    found.sort_by(|((one, _), _), ((other, _), _)| one.total_cmp(other));
    let [_, ((correlation, at), from), _] = found;
    ensure!(correlation > 0.9, "{found:?} of {}", heard.len());
    let underruns = board.porthole.metric("porthole_speaker_underruns_total").await?;
    // When that sample was in the file, it had been in the card for as long as the plugin keeps it back.
    let sizes = sizes.join().ok().context("the follower has panicked")?;
    let written = sizes.iter().find(|(_, size)| *size > at).context("it should be in the file")?.0;
    let spoken_at = begun + Duration::from_secs_f64(from as f64 / 48_000.0);
    let kept_back = Duration::from_secs_f64(KEPT_BACK as f64 / 48_000.0);
    let delay = written.saturating_duration_since(spoken_at).saturating_sub(kept_back);
    // Not the figure of a board, but one for a busy machine.
    ensure!(delay < Duration::from_secs(1), "{delay:?} from mouth to ear, {underruns} underruns");
    let played = board.porthole.metric("porthole_talk_packets_played_total").await?;
    ensure!(played > 190.0, "{played} of 200 packets were played");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_and_jitter_leave_no_gap() -> Result<()> {
    let board = Board::start("", "")?;
    let mut client = board.viewer(board.options()).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    let spoken = packets(&speech(10))?;
    ensure!(start_talk(&mut client).await? == 0);
    let random = |number: usize| (number.wrapping_mul(2_654_435_761) >> 7) % 1_000;
    let late = |number: usize| (random(number) >= 100).then(|| random(number + 77) as u64 * 30 / 1_000);
    say(&client.viewer, &spoken, 0, late).await?;
    client.call("talk.stop", json!({})).await?;
    board.porthole.until_status("the speaker is closed", |status| status["speaker"]["state"] == "idle").await?;
    let heard = board.heard()?;
    let is_loud = |frame: &[i16]| frame.iter().any(|sample| sample.unsigned_abs() > 60);
    let frames: Vec<bool> = heard.chunks_exact(480).map(is_loud).collect();
    let begin = frames.iter().position(|loud| *loud).context("nothing was heard")?;
    let end = frames.iter().rposition(|loud| *loud).unwrap_or(0);
    let gap = frames[begin..end].split(|loud| *loud).map(<[bool]>::len).max().unwrap_or(0);
    // Without loss concealment, each of the longest losses would be silent; a busy machine adds underruns.
    ensure!(gap <= 50, "{} ms of silence", gap * 10);
    ensure!(end - begin > 900, "{} ms were heard", (end - begin) * 10);
    let (recovered, concealed) = (
        board.porthole.metric("porthole_talk_packets_recovered_total").await?,
        board.porthole.metric("porthole_talk_packets_concealed_total").await?,
    );
    ensure!(recovered > 20.0 && concealed < 100.0, "{recovered} recovered, {concealed} concealed of 500");
    Ok(())
}

/// What becomes of a talk of `SECONDS` on a network that loses a share of the packets, and delays the others by up to 30 ms.
struct Measured {
    /// How long it takes from mouth to ear, in each half second.
    delays: Vec<Duration>,
    /// The correlation of each half second with what was said.
    correlations: Vec<f64>,
    /// The longest silence, in milliseconds.
    gap: usize,
    /// The shares of the packets that were made up for by the one after them, and concealed.
    recovered: f64,
    concealed: f64,
    underruns: f64,
}

/// How long each network is measured.
const SECONDS: usize = 40;

async fn measure(loss_per_mille: usize) -> Result<Measured> {
    const PIECE: usize = 24_000;
    let board = Board::start("", "")?;
    let mut client = board.viewer(board.options()).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    let spoken = packets(&speech(SECONDS))?;
    let (done, until) = tokio::sync::watch::channel(false);
    let sizes = follow(board.file(), until);
    ensure!(start_talk(&mut client).await? == 0);
    let random = |number: usize| (number.wrapping_mul(2_654_435_761) >> 7) % 1_000;
    let late = |number: usize| (random(number) >= loss_per_mille).then(|| random(number + 77) as u64 * 30 / 1_000);
    let begun = say(&client.viewer, &spoken, 0, late).await?;
    client.call("talk.stop", json!({})).await?;
    board.porthole.until_status("the speaker is closed", |status| status["speaker"]["state"] == "idle").await?;
    done.send_replace(true);
    let (heard, decoded) = (board.heard()?, decoded(&spoken)?);
    let sizes = sizes.join().ok().context("the follower has panicked")?;
    let kept_back = Duration::from_secs_f64(KEPT_BACK as f64 / 48_000.0);
    // After two seconds the jitter is known. Each piece is looked for within half a second around where the one before it was.
    let first = 96_000;
    let mut lag = find(&decoded[first..first + PIECE], &heard[..first + 2 * PIECE], STEP).1 as i64 - first as i64;
    let (mut delays, mut correlations) = (Vec::new(), Vec::new());
    for from in (first..decoded.len() - 2 * PIECE).step_by(PIECE) {
        let lowest = (from as i64 + lag - PIECE as i64 / 2).max(0) as usize;
        let highest = (lowest + 2 * PIECE).min(heard.len());
        let (correlation, at) = find(&decoded[from..from + PIECE], &heard[lowest..highest], STEP);
        correlations.push(correlation);
        if correlation > 0.9 {
            let at = lowest + at;
            lag = at as i64 - from as i64;
            let written = sizes.iter().find(|(_, size)| *size > at).context("it should be in the file")?.0;
            let said = begun + Duration::from_secs_f64(from as f64 / 48_000.0);
            delays.push(written.saturating_duration_since(said).saturating_sub(kept_back));
        }
    }
    delays.sort_unstable();
    correlations.sort_by(f64::total_cmp);
    let frames: Vec<bool> =
        heard.chunks_exact(48).map(|frame| frame.iter().any(|sample| sample.unsigned_abs() > 60)).collect();
    let loud = |frame: &bool| *frame;
    let (begin, end) = (frames.iter().position(loud), frames.iter().rposition(loud));
    let gap = frames[begin.context("silence")?..end.unwrap_or(0)].split(loud).map(<[bool]>::len).max().unwrap_or(0);
    let share = async |name: &str| -> Result<f64> {
        Ok(board.porthole.metric(&format!("porthole_talk_packets_{name}_total")).await? / spoken.len() as f64)
    };
    let (recovered, concealed) = (share("recovered").await?, share("concealed").await?);
    let underruns = board.porthole.metric("porthole_speaker_underruns_total").await?;
    Ok(Measured { delays, correlations, gap, recovered, concealed, underruns })
}

/// The figures of docs/talk.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes of an otherwise idle machine"]
async fn figures_with_jitter_and_loss() -> Result<()> {
    for (loss_per_mille, most_concealed) in [(0, 0.01), (20, 0.01), (100, 0.05)] {
        let measured = measure(loss_per_mille).await?;
        let Measured { delays, correlations, gap, recovered, concealed, underruns } = measured;
        let of = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied().unwrap_or(Duration::MAX);
        println!(
            "{} % lost, 30 ms of jitter: {:.0?} from mouth to ear (from {:.0?} to {:.0?}), correlation {:.3} (at least {:.3}), at \
             most {gap} ms of silence, {:.1} % made up for, {:.1} % concealed, {underruns} underruns",
            loss_per_mille as f64 / 10.0,
            of(0.5),
            of(0.0),
            of(0.99),
            correlations[correlations.len() / 2],
            correlations[0],
            recovered * 100.0,
            concealed * 100.0,
        );
        ensure!(of(0.5) <= Duration::from_millis(150), "{:?} from mouth to ear", of(0.5));
        ensure!(gap <= 60, "{gap} ms of silence");
        ensure!(concealed <= most_concealed, "{concealed} concealed");
        ensure!(correlations[correlations.len() / 2] > 0.9, "{correlations:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_microphone_is_turned_down_while_somebody_talks() -> Result<()> {
    let board = Board::start("", "")?;
    let mut client = board.viewer(Options::new(&board.porthole.base)).await?;
    // The level of a second of the tone that it hears.
    async fn level(client: &mut ControlClient) -> Result<f64> {
        let mut samples = Vec::new();
        while samples.len() < 48_000 {
            if let Event::Audio(audio) = client.viewer.event(LIMIT).await? {
                samples.extend(audio.samples.chunks(2).map(|pair| pair[0]));
            }
        }
        // Without the tick at the begin of a second.
        let mut levels: Vec<f64> = samples.chunks(4_800).map(tone::dbfs).collect();
        levels.sort_by(f64::total_cmp);
        Ok(levels[levels.len() / 2])
    }
    let before = level(&mut client).await?;
    let silence = packets(&vec![0.0; 48_000 * 4])?;
    let mut listener = board.viewer(Options::new(&board.porthole.base)).await?;
    listener.viewer.until(LIMIT, |event| matches!(event, Event::Audio(_))).await?;
    ensure!(start_talk(&mut client).await? == 0);
    // What has arrived meanwhile.
    while listener.viewer.events.try_recv().is_ok() {}
    let listen = async {
        level(&mut listener).await?;
        level(&mut listener).await
    };
    let (during, said) = tokio::join!(listen, say(&client.viewer, &silence, 0, |_| Some(0)));
    said?;
    let during = during?;
    ensure!(during < before - 20.0, "{during:.1} dB instead of {before:.1} dB");
    client.call("talk.stop", json!({})).await?;
    // What has arrived meanwhile.
    while client.viewer.events.try_recv().is_ok() {}
    let mut after = level(&mut client).await?;
    for _ in 0..5 {
        if (after - before).abs() < 3.0 {
            break;
        }
        after = level(&mut client).await?;
    }
    ensure!((after - before).abs() < 3.0, "{after:.1} dB after {before:.1} dB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_viewer_talks_at_a_time_and_an_operator_may_take_the_floor() -> Result<()> {
    let board = Board::start("allow = \"viewer\"", "[auth]\nmode = \"password\"")?;
    let (viewer, operator) = (board.token("a", "viewer")?, board.token("b", "operator")?);
    let with = |token: &str| Options { token: Some(token.into()), ..board.options() };
    let mut one = board.viewer(with(&viewer)).await?;
    let mut other = board.viewer(with(&viewer)).await?;
    let mut chief = board.viewer(with(&operator)).await?;
    for client in [&mut one, &mut other, &mut chief] {
        // From then on events are sent.
        client.event("viewers").await?;
    }
    ensure!(start_talk(&mut one).await? == 0);
    talk_event(&mut one, Some("viewer 1"), true).await?;
    talk_event(&mut other, Some("viewer 1"), false).await?;
    let taken = other.call("talk.start", json!({})).await?;
    ensure!(
        code(&taken) == BUSY && taken["error"]["message"].as_str().is_some_and(|text| text.contains("viewer 1")),
        "{taken}"
    );
    // Those of whoever does not have the floor are dropped.
    let silence = packets(&[0.0; 48_000])?;
    say(&other.viewer, &silence, 0, |_| Some(0)).await?;
    let bearer = format!("Bearer {operator}");
    let headers = [("authorization", bearer.as_str())];
    let metrics = request("GET", &format!("{}metrics", board.porthole.base), &headers, String::new()).await?.body;
    let series = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let dropped = series("porthole_talk_packets_dropped_total{why=\"Floor\"}");
    ensure!(dropped.is_some_and(|dropped| dropped > 40.0), "{metrics}");
    ensure!(series("porthole_talk_packets_played_total ") == Some(0.0), "nothing was said by who may: {metrics}");
    ensure!(start_talk(&mut one).await? == 0, "nothing came of it, and it is free again");
    ensure!(start_talk(&mut chief).await? == 0);
    talk_event(&mut one, Some("viewer 3"), false).await?;
    ensure!(start_talk(&mut one).await? == BUSY, "not from an operator");
    // Whoever leaves frees the floor.
    chief.viewer.leave().await?;
    talk_event(&mut other, None, false).await?;
    ensure!(start_talk(&mut other).await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_talk_is_asked_for_audio() -> Result<()> {
    let board = Board::start("", "[auth]\nmode = \"password\"")?;
    let audio = |client: &ControlClient| {
        let section = client.viewer.answer.split("m=").find(|section| section.starts_with("audio")).unwrap_or_default();
        section
            .lines()
            .find(|line| line.starts_with("a=send") || line.starts_with("a=recv"))
            .unwrap_or_default()
            .to_owned()
    };
    for (role, talks, direction, answer) in [
        ("operator", true, "a=sendrecv", 0),
        ("operator", false, "a=sendonly", REFUSED),
        ("viewer", true, "a=sendonly", FORBIDDEN),
        ("viewer", false, "a=sendonly", FORBIDDEN),
    ] {
        let token = board.token(&format!("{role}-{talks}"), role)?;
        let options = Options { talks, token: Some(token), ..board.options() };
        let mut client = ControlClient::connect(&options).await?;
        ensure!(audio(&client) == direction, "{role} {talks}: {}", client.viewer.answer);
        let found = start_talk(&mut client).await?;
        ensure!(found == answer, "{role} {talks}: {found}");
        client.viewer.leave().await?;
    }
    let deaf = Porthole::start(SMALL)?;
    let options = Options { talks: true, decode: false, ..Options::new(&deaf.base) };
    let mut client = ControlClient::connect(&options).await?;
    ensure!(audio(&client) == "a=sendonly" && start_talk(&mut client).await? == REFUSED, "there is no speaker");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_floor_of_a_talker_who_vanishes_is_free_within_two_seconds() -> Result<()> {
    let board = Board::start("", "")?;
    let network = Network::default();
    let mut talker = board.viewer(Options { network: Some(network.clone()), ..board.options() }).await?;
    let mut other = board.viewer(board.options()).await?;
    for client in [&mut talker, &mut other] {
        client.event("viewers").await?;
    }
    let spoken = packets(&speech(1))?;
    ensure!(start_talk(&mut talker).await? == 0);
    talk_event(&mut other, Some("viewer 1"), false).await?;
    say(&talker.viewer, &spoken, 0, |_| Some(0)).await?;
    let stall_monitor = StallMonitor::watch();
    network.vanish();
    let gone = Instant::now();
    talk_event(&mut other, None, false).await?;
    let took = stall_monitor.end().running(gone, Instant::now());
    ensure!(took < Duration::from_secs(2), "{took:?}");
    ensure!(start_talk(&mut other).await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privacy_switch_silences_in_the_middle_of_a_word() -> Result<()> {
    let board = Board::start("", "")?;
    let mut client = board.viewer(board.options()).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    let spoken = packets(&speech(4))?;
    ensure!(start_talk(&mut client).await? == 0);
    let switched = async {
        board.porthole.until_metric("porthole_talk_packets_played_total", |played| played > 50.0).await?;
        call(&board.porthole, "privacy.set", json!({ "on": true })).await?;
        anyhow::Ok((Instant::now(), std::fs::metadata(board.file())?.len()))
    };
    let (said, switched) = tokio::join!(say(&client.viewer, &spoken, 0, |_| Some(0)), switched);
    said?;
    let (_, before) = switched?;
    // At most 50 ms more in the file, besides what the plugin has kept back when the device was closed.
    let more = (std::fs::metadata(board.file())?.len() - before) as usize / 2;
    ensure!(more <= KEPT_BACK + 2_400, "{more} samples after the switch was turned on");
    let status = board.porthole.status().await?;
    ensure!(status["speaker"]["state"] == "idle" && status["speaker"]["talker"].is_null(), "{status:#}");
    let refused = client.call("talk.start", json!({})).await?;
    ensure!(code(&refused) == REFUSED, "{refused}");
    call(&board.porthole, "privacy.set", json!({ "on": false })).await?;
    ensure!(start_talk(&mut client).await? == 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_and_garbage_are_bounded_and_counted() -> Result<()> {
    let board = Board::start("", "")?;
    let mut client = board.viewer(board.options()).await?;
    client.viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await?;
    ensure!(start_talk(&mut client).await? == 0);
    let spoken = packets(&speech(1))?;
    // Ten times what is allowed, with gaps, timestamps that jump now and then, and payloads that are no Opus, of which some are due
    // to be played in between. Many more, and the kernel drops so many in a row that SRTP no longer knows their numbers (RFC 3711
    // section 3.3.1).
    let mut number = 0u16;
    let mut flood = async || -> Result<std::convert::Infallible> {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            for _ in 0..40 {
                number = number.wrapping_add(1 + number % 5);
                let payload = match number % 3 {
                    0 => spoken[usize::from(number) % spoken.len()].clone(),
                    1 => Bytes::from(vec![0xff; 1 + usize::from(number) % 1_000]),
                    _ => Bytes::from(vec![number as u8; 3]),
                };
                let timestamp = u32::from(number) * 960 + u32::from(number / 500) * 6_552_100;
                client.viewer.send_audio(number, timestamp, payload).await?;
            }
        }
    };
    let counted = async {
        for (why, count) in [("Rate", 100.0), ("Malformed", 1.0)] {
            let dropped = format!("porthole_talk_packets_dropped_total{{why=\"{why}\"}}");
            board.porthole.until_metric(&dropped, |dropped| dropped >= count).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        counted = counted => counted?,
        failed = flood() => match failed? {},
    }
    // It goes on, and the talker is heard again.
    client.call("talk.stop", json!({})).await?;
    ensure!(start_talk(&mut client).await? == 0);
    let before = board.porthole.metric("porthole_talk_packets_played_total").await?;
    let said = say(&client.viewer, &spoken, number.wrapping_add(1), |_| Some(0));
    said.await?;
    let played =
        board.porthole.until_metric("porthole_talk_packets_played_total", |played| played > before + 30.0).await?;
    ensure!(played > before);
    Ok(())
}
