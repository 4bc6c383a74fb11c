//! The pipeline of the microphone: one thread captures, encodes to Opus and publishes, while somebody listens.
//!
//! Sending belongs to `rtc`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;

use crate::audio::{self, SAMPLE_RATE};
use crate::broadcast::{Broadcast, Linger};
use crate::media::{AudioPacket, PcmFrame};
use crate::metrics::{DropLog, Metrics};
use crate::retry::Retry;
use crate::status::{self, State};
use crate::thread::MediaThread;

/// Packets kept for a viewer's task that lags: about a second of 20 ms packets.
const RING: usize = 64;

/// How long the microphone stays open when the last listener has left.
const LINGER: Duration = Duration::from_secs(1);

/// The longest wait for sound before the thread looks whether it shall end; bounds the time of a stop.
const LOOK_UP: Duration = Duration::from_millis(200);

/// A microphone that gives no sound for this long is reopened.
const SILENCE: Duration = Duration::from_secs(5);

/// The largest Opus packet worth sending: it must fit one RTP packet.
const MAX_PACKET: usize = 1_200;

/// The loss in percent that in-band FEC is dimensioned for: Wi-Fi at the edge of its range.
const EXPECTED_LOSS: i32 = 10;

/// How hard the encoder tries, of 10: above this it takes twice the CPU for what is inaudible at these bitrates.
const COMPLEXITY: i32 = 5;

/// Ends the thread when dropped.
#[derive(Debug)]
pub struct Guard {
    sound: Broadcast<AudioPacket>,
    _thread: MediaThread,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.sound.demand().stop();
    }
}

/// Starts the pipeline for `device`, an answer of [`audio::resolve`].
///
/// # Errors
///
/// When the kernel gives no thread.
pub fn start(
    device: String,
    config: audio::Config,
    metrics: &Metrics,
    board: &status::Board,
) -> std::io::Result<(Broadcast<AudioPacket>, Guard)> {
    let sound = Broadcast::new(RING);
    let thread = MediaThread::spawn("microphone".into(), {
        let (sound, metrics, board) = (sound.clone(), metrics.clone(), board.clone());
        move || run(&device, &config, &sound, &metrics, &board)
    })?;
    Ok((sound.clone(), Guard { sound, _thread: thread }))
}

/// The retry loop of the microphone.
fn run(device: &str, config: &audio::Config, sound: &Broadcast<AudioPacket>, metrics: &Metrics, board: &status::Board) {
    let mut retry = Retry::default();
    while sound.demand().wait() {
        match run_once(device, config, sound, metrics, board, &mut retry) {
            Ok(()) => board.audio(|audio| audio.state = State::Idle),
            Err(error) => {
                let (pause, log) = retry.failed(Instant::now());
                if log {
                    tracing::warn!("no sound: {error:#}");
                }
                board.audio(|audio| {
                    audio.state = State::Fault;
                    audio.fault = Some(format!("{error:#}"));
                });
                if sound.demand().pause(pause) {
                    retry.begin_anew();
                }
            }
        }
    }
}

/// Opens the microphone and captures until nobody listens any more.
fn run_once(
    device: &str,
    config: &audio::Config,
    sound: &Broadcast<AudioPacket>,
    metrics: &Metrics,
    board: &status::Board,
    retry: &mut Retry,
) -> anyhow::Result<()> {
    let mut source = audio::open(device, config.channels)?;
    let mut encoder = encoder(source.channels(), config.bitrate)?;
    let log = DropLog::every(Duration::from_secs(1));
    let mut heard = Instant::now();
    let mut live = false;
    let mut linger = Linger::new(sound.demand(), LINGER, heard);
    while !linger.is_over(Instant::now()) {
        let Some(PcmFrame { captured, gap, samples }) = source.next(LOOK_UP)? else {
            anyhow::ensure!(heard.elapsed() < SILENCE, "{}: no sound for {} s", source.label(), SILENCE.as_secs());
            continue;
        };
        heard = Instant::now();
        if !live {
            live = true;
            let is = if retry.recovered() { "is back" } else { "is open" };
            tracing::info!("microphone {is}: {}, channels {}", source.label(), source.channels());
            board.audio(|audio| {
                audio.source = Some(source.label().into());
                audio.state = State::Live;
                audio.fault = None;
            });
        }
        if sound.subscribers() == 0 {
            continue;
        }
        match encoder.encode_vec(&samples, MAX_PACKET) {
            Ok(packet) => {
                metrics.audio_packets.inc();
                sound.publish(AudioPacket { captured, gap, data: Bytes::from(packet) });
            }
            Err(error) => {
                if let Some(count) = log.note(1, Instant::now()) {
                    tracing::warn!(count, "sound not encoded: {error}");
                }
            }
        }
    }
    Ok(())
}

fn encoder(channels: u16, bitrate: u32) -> anyhow::Result<opus::Encoder> {
    let layout = if channels == 2 { opus::Channels::Stereo } else { opus::Channels::Mono };
    // In-band FEC lives in the speech layer, which the low-delay mode does without.
    let mut encoder = opus::Encoder::new(SAMPLE_RATE, layout, opus::Application::Audio).context("open opus encoder")?;
    encoder.set_bitrate(opus::Bitrate::Bits(bitrate as i32)).with_context(|| format!("set opus bitrate {bitrate}"))?;
    encoder.set_inband_fec(true).context("switch opus FEC on")?;
    encoder.set_packet_loss_perc(EXPECTED_LOSS).context("set opus expected loss")?;
    encoder.set_complexity(COMPLEXITY).context("set opus complexity")?;
    Ok(encoder)
}
