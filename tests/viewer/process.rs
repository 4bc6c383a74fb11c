//! The test viewer as a process: prints the events it receives as JSON, one per line.
//!
//! `viewer URL [--camera NAME] [--seconds N] [--viewers N] [--no-decode]`

// Printing is its purpose.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use test_viewer::{Event, Options, Viewer};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options::new(&arguments.next().context("usage: viewer URL [options]")?);
    let (mut seconds, mut viewers) = (f64::INFINITY, 1usize);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--camera" => options.camera = Some(value()?),
            "--seconds" => seconds = value()?.parse()?,
            "--viewers" => viewers = value()?.parse()?,
            "--no-decode" => options.decode = false,
            other => bail!("unknown option {other}"),
        }
    }
    let end = Instant::now() + Duration::from_secs_f64(seconds.min(1e6));
    let mut tasks = Vec::new();
    for number in 0..viewers {
        let viewer = Viewer::connect(&options).await?;
        tasks.push(tokio::spawn(watch(number, viewer, end)));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn watch(number: usize, mut viewer: Viewer, end: Instant) -> Result<()> {
    let posted = viewer.posted;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(Some(event)) = tokio::time::timeout(left, viewer.events.recv()).await else { break };
        let ms = posted.elapsed().as_secs_f64() * 1e3;
        let line = match event {
            Event::Connected => json!({ "event": "connected" }),
            Event::Frame(frame) => {
                let image = frame.image.as_ref();
                json!({
                    "event": "frame",
                    "timestamp": frame.timestamp,
                    "key": frame.key,
                    "size": image.map(|image| [image.width, image.height]),
                    "number": image.and_then(|image| image.code).map(|code| code.frame),
                    "latency_ms": image.and_then(|image| {
                        image.code.map(|code| (image.decoded as f64 - code.captured as f64) / 10.0)
                    }),
                })
            }
            Event::Lost(packets) => json!({ "event": "lost", "packets": packets }),
            Event::Audio(audio) => json!({
                "event": "sound",
                "timestamp": audio.timestamp,
                "rms": rms(&audio.samples),
            }),
            Event::Binary(piece) => json!({ "event": "piece", "bytes": piece.len() }),
            Event::Message(text) => json!({ "event": "message", "text": text }),
            Event::Ended => json!({ "event": "ended" }),
        };
        let mut line = line;
        line["viewer"] = number.into();
        line["ms"] = ms.into();
        println!("{line}");
        if line["event"] == "ended" {
            return Ok(());
        }
    }
    viewer.leave().await
}

fn rms(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (power / samples.len().max(1) as f64).sqrt()
}
