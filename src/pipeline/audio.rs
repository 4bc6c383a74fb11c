//! The audio pipeline: one thread captures, encodes to Opus and publishes while there are subscribers. While the
//! microphone is unavailable it publishes silence and keeps trying to open it.
//!
//! Sending belongs to `server::rtc`.

mod near_end;
mod packetizer;

use std::time::{Duration, Instant};

use crate::capture::audio::{CaptureSource, Microphone};
use crate::media::voice::FarEndReceiver;
use crate::media::{AudioPacket, Timestamp};
use crate::model::metrics::Metrics;
use crate::model::status;
use crate::model::status::PipelineState;
use crate::pipeline::ducking::Ducking;
use crate::util::backoff::Backoff;
use crate::util::broadcast::{Broadcast, Linger, Wake};
use crate::util::thread::{MediaThread, set_nice};

use near_end::NearEnd;
use packetizer::AudioPacketizer;

/// Packets kept for a session that lags: about a second of 20 ms packets.
const RING: usize = 64;

/// How long the microphone stays open after the last subscriber has left.
const LINGER: Duration = Duration::from_secs(1);

/// The longest wait for audio before the thread checks whether it should stop; bounds the time of a shutdown.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A microphone that delivers no audio for this long is reopened.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How late after its start a frame of an open device may arrive before silence takes its slot: enough for a device with
/// periods of 200 ms.
const LATE_AFTER: Duration = Duration::from_millis(300);

/// How late after its start a slot of silence is published while there is no device: when an audio frame would arrive.
const SILENCE_DELAY: Duration = Duration::from_millis(20);

/// The nice value of the thread. Audio takes little of a processor, but a sound card holds only a fraction of a second: on a
/// board whose processors are busy with pictures the thread would come too late and lose most of the audio.
const NICE: i32 = -10;

/// How long to wait when `auto` finds no microphone; plugging one in ends the wait.
const RESCAN_INTERVAL: Duration = Duration::from_secs(10);

/// Stops the thread when dropped.
#[derive(Debug)]
pub struct Guard {
    audio: Broadcast<AudioPacket>,
    _thread: MediaThread,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.audio.demand().stop();
    }
}

/// Starts the pipeline of `microphone`, whose device is not `off`. With `far_end`, which has what the speaker plays, its echo is
/// cancelled; otherwise the microphone is turned down meanwhile.
///
/// # Errors
///
/// When the thread or the Opus encoder cannot be created.
pub fn start(
    microphone: Microphone,
    ducking: Ducking,
    far_end: Option<FarEndReceiver>,
    metrics: &Metrics,
    publisher: &status::StatusPublisher,
) -> anyhow::Result<(Broadcast<AudioPacket>, Guard)> {
    let audio = Broadcast::new(RING);
    // Before there can be demand.
    audio.demand().set_blocked(publisher.snapshot().privacy);
    let near_end = NearEnd::new(microphone.config(), ducking, far_end, publisher.clone());
    let packetizer =
        AudioPacketizer::new(microphone.config(), audio.clone(), near_end, metrics.clone(), publisher.clone())?;
    let pipeline = Pipeline {
        microphone,
        packetizer,
        audio: audio.clone(),
        publisher: publisher.clone(),
        backoff: Backoff::default(),
    };
    let thread = MediaThread::spawn("microphone".into(), move || {
        set_nice(NICE);
        pipeline.run();
    })?;
    Ok((audio.clone(), Guard { audio, _thread: thread }))
}

struct Pipeline {
    microphone: Microphone,
    packetizer: AudioPacketizer,
    audio: Broadcast<AudioPacket>,
    publisher: status::StatusPublisher,
    backoff: Backoff,
}

/// Why capturing ended without an error.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// There are no subscribers any more.
    NoListeners,
    /// There is no microphone, and the configuration names none.
    NoMicrophone,
}

impl Pipeline {
    /// The retry loop of the microphone.
    fn run(mut self) {
        let mut rescan = true;
        let mut logged = false;
        while self.wait() {
            if self.audio.demand().blocked_since().is_some() {
                self.silence_while_blocked();
                rescan = true;
                continue;
            }
            if std::mem::take(&mut rescan) {
                self.microphone.forget_if_unplugged();
            }
            match self.run_once() {
                Ok(End::NoListeners) => {
                    self.publisher.audio(|audio| audio.state = PipelineState::Idle);
                    rescan = true;
                    continue;
                }
                Ok(End::NoMicrophone) => {
                    if !std::mem::replace(&mut logged, true) {
                        tracing::info!("no microphone found; one that is plugged in will be used");
                    }
                    self.publisher
                        .audio(|audio| (audio.state, audio.source, audio.fault) = (PipelineState::Off, None, None));
                    self.silence_for(RESCAN_INTERVAL);
                }
                Err(error) => {
                    let (pause, log) = self.backoff.failed(Instant::now());
                    if log {
                        tracing::warn!("no audio: {error:#}");
                    }
                    self.publisher.audio(|audio| {
                        audio.state = PipelineState::Fault;
                        audio.fault = Some(format!("{error:#}"));
                    });
                    self.silence_for(pause);
                }
            }
            rescan = self.audio.demand().guards() == 0;
        }
    }

    /// Waits, at rest, until somebody listens (`true`) or the thread has to stop (`false`).
    fn wait(&mut self) -> bool {
        loop {
            // Whoever was heard may have left while there was nothing to encode.
            self.packetizer.is_heard();
            match self.audio.demand().wait_or_wake() {
                Wake::Demand => return true,
                Wake::Device => self.note_new_device(),
                Wake::Stopped => return false,
            }
        }
    }

    /// A device was plugged in while nobody listens. If it is the first microphone, viewers have to know: they cannot unmute
    /// what is off.
    fn note_new_device(&mut self) {
        if self.publisher.snapshot().audio.state != PipelineState::Off {
            return;
        }
        if let Some(source) = self.microphone.source() {
            self.publisher.audio(|audio| (audio.state, audio.source) = (PipelineState::Idle, Some(source)));
        }
    }

    /// Opens the microphone and captures until there are no subscribers any more.
    fn run_once(&mut self) -> anyhow::Result<End> {
        let Some(mut source) = self.microphone.open()? else { return Ok(End::NoMicrophone) };
        let demand = self.audio.demand().clone();
        let mut last_frame_at = Instant::now();
        let mut live = false;
        let mut linger = Linger::new(&demand, LINGER, last_frame_at);
        while !linger.is_over(Instant::now()) {
            let Some(frame) = source.next(POLL_INTERVAL)? else {
                let silent = last_frame_at.elapsed();
                anyhow::ensure!(
                    silent < STALL_TIMEOUT,
                    "{}: no audio for {} s",
                    source.label(),
                    STALL_TIMEOUT.as_secs()
                );
                self.packetizer.fill_silence(Timestamp::now().saturating_sub(LATE_AFTER));
                continue;
            };
            last_frame_at = Instant::now();
            if demand.blocked_since().is_some() {
                // Captured after the privacy switch was turned on.
                break;
            }
            if !live {
                live = true;
                self.report_live(source.as_ref());
            }
            self.packetizer.push(frame);
        }
        Ok(End::NoListeners)
    }

    fn report_live(&mut self, source: &dyn CaptureSource) {
        let is = if self.backoff.recovered() { "is back" } else { "is open" };
        tracing::info!("microphone {is}: {}, channels {}", source.label(), source.channels());
        self.publisher.audio(|audio| {
            audio.source = Some(source.label().into());
            audio.state = PipelineState::Live;
            audio.fault = None;
        });
    }

    /// Publishes silence while the privacy switch is on and there are subscribers.
    fn silence_while_blocked(&mut self) {
        while self.audio.demand().wait_while_blocked(Some(SILENCE_DELAY)) {
            self.packetizer.fill_silence(Timestamp::now().saturating_sub(SILENCE_DELAY));
        }
    }

    /// Publishes silence for `pause`, or until a device is plugged in, a subscriber comes, the last one goes, or the thread
    /// has to stop.
    fn silence_for(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while Instant::now() < end && self.audio.demand().guards() > 0 {
            self.packetizer.fill_silence(Timestamp::now().saturating_sub(SILENCE_DELAY));
            let begin = Instant::now();
            if self.audio.demand().pause(SILENCE_DELAY) {
                return self.backoff.reset();
            }
            // Cut short: there is new demand, or the thread has to stop.
            if begin.elapsed() < SILENCE_DELAY {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::audio;
    use crate::capture::audio::{Config, DeviceContext};
    use crate::util::broadcast::Subscriber;

    fn started(device: &str) -> (Subscriber<AudioPacket>, Guard, status::StatusPublisher) {
        let publisher = status::StatusPublisher::new(status::Status::default());
        let config = Config { device: device.into(), ..Default::default() };
        let context = DeviceContext { pattern: false, camera: Box::new(|| None) };
        let microphone = Microphone::new(config, context);
        let started = start(microphone, Ducking::default(), None, &Metrics::new(), &publisher);
        let (audio, guard) = started.expect("should start");
        (audio.subscribe(), guard, publisher)
    }

    /// The capture times of the next packets, and whether the last of them is silent.
    async fn listen(listener: &mut Subscriber<AudioPacket>, count: usize) -> (Vec<Timestamp>, bool) {
        let mut decoder =
            opus::Decoder::new(audio::SAMPLE_RATE, opus::Channels::Mono).expect("should open the decoder");
        let (mut captured, mut samples) = (Vec::new(), vec![0i16; audio::FRAME_SAMPLES]);
        while captured.len() < count {
            let packet = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await;
            let packet = packet.expect("packets should come").expect("none should be missed");
            captured.push(packet.captured);
            decoder.decode(&packet.data, &mut samples, false).expect("should decode");
        }
        (captured, samples.iter().all(|sample| sample.abs() < 10))
    }

    #[tokio::test]
    async fn an_unavailable_microphone_is_silence_on_the_grid_and_a_fault_in_the_status() {
        let (mut listener, _guard, publisher) = started("hw:CARD=NotThere");
        let (captured, silent) = listen(&mut listener, 100).await;
        assert!(silent);
        let mut steps = captured.windows(2).map(|pair| pair[1].saturating_since(pair[0]));
        // A busy machine may skip slots; none comes twice, and none is off the grid.
        assert!(steps.clone().all(|step| !step.is_zero() && step.as_micros() % 20_000 == 0), "{captured:?}");
        assert!(steps.any(|step| step.as_millis() == 20), "{captured:?}");
        let status = publisher.snapshot().audio;
        assert_eq!(status.state, PipelineState::Fault);
        assert!(status.fault.is_some_and(|fault| fault.contains("no such audio device")));
    }

    #[tokio::test]
    async fn without_a_microphone_auto_is_silence_and_no_fault() {
        if !audio::list().is_empty() {
            return;
        }
        let (mut listener, _guard, publisher) = started("auto");
        assert!(listen(&mut listener, 20).await.1);
        let status = publisher.snapshot().audio;
        assert_eq!((status.state, status.fault, status.source), (PipelineState::Off, None, None));
    }

    #[tokio::test]
    async fn an_available_microphone_is_captured() {
        let (mut listener, _guard, publisher) = started("tone");
        assert!(!listen(&mut listener, 20).await.1);
        let status = publisher.snapshot().audio;
        assert_eq!((status.state, status.source.as_deref()), (PipelineState::Live, Some("test tone")));
    }

    /// Waits for a state in the status.
    async fn state(publisher: &status::StatusPublisher, wanted: PipelineState) {
        let mut watch = publisher.watch();
        let found = watch.wait_for(|status| status.audio.state == wanted);
        tokio::time::timeout(Duration::from_secs(30), found).await.expect("in time").expect("board");
    }

    #[tokio::test]
    async fn a_microphone_that_is_plugged_in_while_nobody_listens_is_no_longer_off() {
        let (listener, guard, publisher) = started("tone");
        state(&publisher, PipelineState::Live).await;
        drop(listener);
        state(&publisher, PipelineState::Idle).await;
        // As if none had been found.
        publisher.audio(|audio| (audio.state, audio.source) = (PipelineState::Off, None));
        guard.audio.demand().wake();
        state(&publisher, PipelineState::Idle).await;
        assert_eq!(publisher.snapshot().audio.source.as_deref(), Some("tone"));
    }

    #[tokio::test]
    async fn a_blocked_microphone_is_closed_and_silent_until_it_is_unblocked() {
        let (mut listener, guard, publisher) = started("tone");
        state(&publisher, PipelineState::Live).await;
        guard.audio.demand().set_blocked(true);
        state(&publisher, PipelineState::Idle).await;
        // Packets in flight, and the tail that the codec makes of them.
        listen(&mut listener, 10).await;
        let (captured, silent) = listen(&mut listener, 1).await;
        assert!(silent && captured.len() == 1);
        guard.audio.demand().set_blocked(false);
        state(&publisher, PipelineState::Live).await;
        assert!(!listen(&mut listener, 20).await.1);
    }
}
