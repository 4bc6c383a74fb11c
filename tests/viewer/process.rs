//! The test viewer as a process: prints the events it receives as JSON, one per line.
//!
//! `viewer URL [--camera NAME] [--seconds N] [--viewers N] [--no-decode] [--lose-one-in N] [--control]`
//!
//! With `--control` it sends each line of its standard input on the control channel, and leaves at the end of the input.

// Printing is its purpose.
#![allow(clippy::print_stdout)]

mod ticks;
// Ticks are what it measures.
#[allow(dead_code)]
#[path = "../common/tone.rs"]
mod tone;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use test_viewer::{Event, Network, Options, Reports, Viewer};
use ticks::Ticks;
use tokio::sync::mpsc;

/// Lines of standard input that wait to be sent; reading pauses while it is full.
const WAITING_LINES: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options::new(&arguments.next().context("usage: viewer URL [options]")?);
    let (mut seconds, mut viewers, mut control) = (f64::INFINITY, 1usize, false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--camera" => options.camera = Some(value()?),
            "--seconds" => seconds = value()?.parse()?,
            "--viewers" => viewers = value()?.parse()?,
            "--no-decode" => options.decode = false,
            "--lose-one-in" => options.network = Some(Network::lossy(value()?.parse()?)),
            "--control" => control = true,
            other => bail!("unknown option {other}"),
        }
    }
    ensure!(!control || viewers == 1, "--control is for one viewer");
    let end = Instant::now() + Duration::from_secs_f64(seconds.min(1e6));
    let mut input = control.then(input);
    let mut tasks = Vec::new();
    for number in 0..viewers {
        let viewer = Viewer::connect(&options).await?;
        tasks.push(tokio::spawn(watch(number, viewer, end, input.take())));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// The lines of standard input. They are read by a thread of their own, which the program does not wait for.
fn input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(WAITING_LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

async fn watch(
    number: usize,
    mut viewer: Viewer,
    end: Instant,
    mut input: Option<mpsc::Receiver<String>>,
) -> Result<()> {
    let posted = viewer.posted;
    let mut ticks = Ticks::default();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let next_line = async {
            match &mut input {
                Some(lines) => lines.recv().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = tokio::time::timeout(left, viewer.events.recv()) => event,
            line = next_line => match line {
                Some(line) => {
                    viewer.send(&line).await?;
                    continue;
                }
                None => break,
            },
        };
        let Ok(Some(event)) = event else { break };
        // As players do: what follows cannot be decoded.
        if matches!(event, Event::Lost(_)) {
            viewer.request_key_frame().await?;
        }
        let ended = matches!(event, Event::Ended);
        let mut line = describe(event, &viewer.reports, &mut ticks);
        line["viewer"] = number.into();
        line["ms"] = (posted.elapsed().as_secs_f64() * 1e3).into();
        println!("{line}");
        if ended {
            return Ok(());
        }
    }
    viewer.leave().await
}

fn describe(event: Event, reports: &Reports, ticks: &mut Ticks) -> Value {
    match event {
        Event::Connected => json!({ "event": "connected" }),
        Event::Frame(frame) => {
            let image = frame.image.as_ref();
            let code = image.and_then(|image| image.code);
            let reported = reports.unix(frame.ssrc, frame.timestamp, 90_000.0);
            json!({
                "event": "frame",
                "timestamp": frame.timestamp,
                "key": frame.key,
                "size": image.map(|image| [image.width, image.height]),
                "number": code.map(|code| code.frame),
                "latency_ms": image.and_then(|image| {
                    image.code.map(|code| (image.decoded as f64 - code.captured as f64) / 10.0)
                }),
                // The error of the clock that the sender reports give the stream.
                "clock_ms": reported.zip(code).map(|(at, code)| at * 1e3 - code.captured as f64 / 10.0),
            })
        }
        Event::Lost(packets) => json!({ "event": "lost", "packets": packets }),
        Event::Audio(audio) => {
            let now = test_viewer::unix_tenths() as f64 / 10.0;
            let reported = |timestamp| reports.unix(audio.ssrc, timestamp, f64::from(ticks::RATE));
            json!({
                "event": "sound",
                "timestamp": audio.timestamp,
                "rms": rms(&audio.samples),
                "latency_ms": reported(audio.timestamp).map(|at| now - at * 1e3),
                "clock_ms": ticks.add(&audio).and_then(reported).map(after_second),
            })
        }
        Event::Binary(piece) => json!({ "event": "piece", "bytes": piece.len() }),
        Event::Message(text) => json!({ "event": "message", "text": text }),
        Event::Ended => json!({ "event": "ended" }),
    }
}

/// Milliseconds from the nearest full second, when the tone ticks.
fn after_second(unix: f64) -> f64 {
    (unix - unix.round()) * 1e3
}

fn rms(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (power / samples.len().max(1) as f64).sqrt()
}
