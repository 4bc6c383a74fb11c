//! A room between a speaker and a microphone, both of which are ALSA's own devices for files: what the speaker has put into its file
//! comes back to the microphone at half its amplitude, 50 ms later, with what somebody in the room says.
//!
//! The microphone reads from a pipe that is kept filled with 20 to 40 ms, so that the room keeps the time of the program. The
//! speaker's device holds 120 ms before they are in the file, which the canceller has to find out besides.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::ioctl_fionread;

use crate::common::{LIMIT, POLL_INTERVAL};

/// Samples in a second.
pub const SECOND: usize = 48_000;

/// The delay of the echo in samples: 50 ms.
pub const DELAY: usize = SECOND / 20;

/// Samples that the microphone reads at once.
const FRAME: usize = 960;

/// What there was to hear at the microphone.
#[derive(Default)]
pub struct Sounds {
    /// The echo of the speaker.
    pub echo: Vec<i16>,
    /// What somebody in the room said.
    pub near: Vec<i16>,
}

/// The room, which lives on a thread.
pub struct Room {
    folder: PathBuf,
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Sounds>>,
}

#[derive(Default)]
struct Shared {
    closed: AtomicBool,
    /// Whether somebody in the room speaks.
    speaks: AtomicBool,
    /// Samples of the echo so far.
    echoed: AtomicUsize,
}

impl Room {
    /// Opens a room with its files in `folder`, in which `speech` is said when somebody speaks.
    pub fn open(folder: &Path, speech: Vec<i16>) -> Result<Self> {
        let pipe = folder.join("microphone");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).context("make a pipe")?;
        // Also for reading, so that opening it waits for nobody.
        let microphone = File::options().read(true).write(true).open(&pipe).context("open the pipe")?;
        let configuration = format!(
            "</usr/share/alsa/alsa.conf>\npcm.room {{ type plug slave {{ rate 48000 format S16_LE channels 1 pcm {{ \
             type file slave.pcm null file /dev/null infile \"{}\" format raw }} }} }}\n",
            pipe.display()
        );
        std::fs::write(folder.join("asound.conf"), configuration)?;
        let shared = Arc::new(Shared::default());
        let (folder, watched) = (folder.to_owned(), shared.clone());
        let speaker = folder.join("speaker.raw");
        let thread = std::thread::spawn(move || live(&watched, &microphone, &speaker, &speech));
        Ok(Self { folder, shared, thread })
    }

    /// The file of the speaker.
    pub fn speaker(&self) -> PathBuf {
        self.folder.join("speaker.raw")
    }

    /// The configuration of ALSA, in which the microphone is called `room`.
    pub fn alsa(&self) -> PathBuf {
        self.folder.join("asound.conf")
    }

    /// Has somebody in the room speak, or no longer.
    pub fn speak(&self, speaks: bool) {
        self.shared.speaks.store(speaks, Ordering::Relaxed);
    }

    /// Waits until there were so many samples of echo.
    pub async fn until_echo(&self, samples: usize) -> Result<()> {
        let begun = std::time::Instant::now();
        while self.shared.echoed.load(Ordering::Relaxed) < samples {
            ensure!(begun.elapsed() < LIMIT, "there is no echo");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Everything that was heard in it.
    pub fn close(self) -> Result<Sounds> {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the room has panicked")?
    }
}

/// Fills the microphone's pipe until the room is closed.
fn live(shared: &Shared, mut microphone: &File, speaker: &Path, speech: &[i16]) -> Result<Sounds> {
    let (mut sounds, mut played, mut file) = (Sounds::default(), Vec::new(), None);
    let mut said = 0;
    // What of the speaker's sound has come back, after the silence that the way takes at first.
    let (mut on_the_way, mut echoed) = (DELAY, 0);
    while !shared.closed.load(Ordering::Relaxed) {
        if ioctl_fionread(microphone)? as usize > 2 * FRAME {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        if file.is_none() {
            file = File::open(speaker).ok();
        }
        if let Some(file) = &mut file {
            file.read_to_end(&mut played)?;
        }
        let mut frame = Vec::new();
        for _ in 0..FRAME {
            let sample = |at: usize| Some(i16::from_le_bytes([*played.get(2 * at)?, *played.get(2 * at + 1)?]));
            let echo = match sample(echoed) {
                Some(_) if on_the_way > 0 => {
                    on_the_way -= 1;
                    0
                }
                Some(sample) => {
                    echoed += 1;
                    sample / 2
                }
                // Nothing was played, or the speaker has run dry: then the way becomes longer.
                None => 0,
            };
            let near = if shared.speaks.load(Ordering::Relaxed) {
                said += 1;
                speech.get(said - 1).copied().unwrap_or(0)
            } else {
                0
            };
            sounds.echo.push(echo);
            sounds.near.push(near);
            frame.extend(echo.saturating_add(near).to_le_bytes());
        }
        shared.echoed.store(echoed, Ordering::Relaxed);
        microphone.write_all(&frame)?;
    }
    Ok(sounds)
}
