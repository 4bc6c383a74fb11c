//! A sound that is announced: decoded and resampled before it is played, and how far it has been played.
//!
//! Whoever announces it keeps it: when they drop it, nothing more of it is heard. Decoding itself belongs to
//! `media::sound_file`.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::capture::audio::{SAMPLE_RATE, SoundResampler};
use crate::media::sound_file::{SoundFile, SoundFileError};

/// The longest sound: an announcement, and not a concert. It takes 6 MB of memory.
pub const MAX_LENGTH: Duration = Duration::from_secs(60);

/// The largest file: that length as WAV at 48 kHz in stereo, with some room for what is beside the sound.
pub const MAX_FILE_BYTES: usize = 12 * 1024 * 1024;

/// Samples over which the sound fades when it is cut off: 5 ms, so that it does not click.
const FADE: usize = 240;

/// Why a file cannot be announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncementError {
    /// It cannot be decoded.
    #[error(transparent)]
    File(#[from] SoundFileError),
    /// It is too long.
    #[error("the sound is longer than {} s; cut it", MAX_LENGTH.as_secs())]
    TooLong,
    /// There is nothing to hear.
    #[error("the file has no sound in it")]
    Empty,
}

/// How far an announcement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnnouncementState {
    /// The speaker is not open yet.
    Waiting,
    /// It is heard.
    Playing,
    /// It was heard to its end.
    Played,
    /// It was interrupted.
    Cut,
    /// The configuration names no speaker, and there is none.
    NoSpeaker,
    /// The speaker cannot be opened, or has failed meanwhile.
    Failed(String),
}

impl AnnouncementState {
    /// Whether nothing more of it will be heard.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Playing)
    }
}

/// A sound to announce.
#[derive(Debug)]
pub struct Announcement {
    /// One channel at 48 kHz.
    samples: Vec<i16>,
    state: watch::Sender<AnnouncementState>,
}

impl Announcement {
    /// Decodes a file, which takes a while.
    ///
    /// # Errors
    ///
    /// See [`AnnouncementError`].
    pub fn read(file: Bytes) -> Result<Self, AnnouncementError> {
        const MOST: usize = MAX_LENGTH.as_secs() as usize * SAMPLE_RATE as usize;
        let mut file = SoundFile::open(file)?;
        let mut resampler = SoundResampler::new(file.rate());
        let (mut resampled, mut samples) = (Vec::new(), Vec::new());
        let mut take = |resampled: &mut Vec<f32>| {
            samples.extend(resampled.drain(..).map(|sample| (sample * 32_767.0) as i16));
            if samples.len() > MOST { Err(AnnouncementError::TooLong) } else { Ok(()) }
        };
        while let Some(piece) = file.next_samples()? {
            resampler.push(piece, &mut resampled);
            take(&mut resampled)?;
        }
        resampler.finish(&mut resampled);
        take(&mut resampled)?;
        samples.shrink_to_fit();
        if samples.is_empty() { Err(AnnouncementError::Empty) } else { Ok(Self::new(samples)) }
    }

    fn new(samples: Vec<i16>) -> Self {
        Self { samples, state: watch::Sender::new(AnnouncementState::Waiting) }
    }

    /// How long it is heard.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(SAMPLE_RATE))
    }

    /// Subscribes to how far it is; closed when it is dropped.
    pub fn watch(&self) -> watch::Receiver<AnnouncementState> {
        self.state.subscribe()
    }

    /// Says how far it is.
    pub(super) fn set_state(&self, state: AnnouncementState) {
        self.state.send_if_modified(|known| {
            let is_news = !known.is_over() && *known != state;
            if is_news {
                *known = state;
            }
            is_news
        });
    }
}

/// Plays an announcement for as long as somebody keeps it.
#[derive(Debug)]
pub(super) struct AnnouncementPlayer {
    announcement: Weak<Announcement>,
    /// The next sample.
    at: usize,
    /// The last sample that was played, from which it fades.
    last: f32,
}

impl AnnouncementPlayer {
    pub(super) fn new(announcement: Weak<Announcement>) -> Self {
        Self { announcement, at: 0, last: 0.0 }
    }

    /// Appends the next `count` samples; silence after its end.
    pub(super) fn fill(&mut self, samples: &mut Vec<f32>, count: usize) {
        let announcement = self.announcement.upgrade();
        let rest =
            announcement.as_ref().and_then(|announcement| announcement.samples.get(self.at..)).unwrap_or_default();
        let piece = &rest[..count.min(rest.len())];
        samples.extend(piece.iter().map(|sample| f32::from(*sample) / 32_768.0));
        self.at += piece.len();
        let silent = count - piece.len();
        if let Some(last) = piece.last() {
            self.last = f32::from(*last) / 32_768.0;
        }
        if silent > 0 {
            let last = std::mem::take(&mut self.last);
            samples.extend((0..silent).map(|at| last * (1.0 - at as f32 / FADE as f32).max(0.0)));
        }
    }

    /// Says that what [`fill`](Self::fill) has appended is being played.
    pub(super) fn note_played(&self) {
        let Some(announcement) = self.announcement.upgrade() else { return };
        let is_whole = self.at >= announcement.samples.len();
        announcement.set_state(if is_whole { AnnouncementState::Played } else { AnnouncementState::Playing });
    }

    /// Whether nothing more of it will be heard.
    pub(super) fn is_over(&self) -> bool {
        self.announcement.upgrade().is_none_or(|announcement| self.at >= announcement.samples.len())
    }

    /// Says that it cannot be heard.
    pub(super) fn fail(&self, state: AnnouncementState) {
        if let Some(announcement) = self.announcement.upgrade() {
            announcement.set_state(state);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;

    /// A loud tone of so many samples.
    pub(in super::super) fn tone(count: usize) -> Announcement {
        let sample = |at: usize| (13_000.0 * (std::f32::consts::TAU * 440.0 * at as f32 / 48_000.0).sin()) as i16;
        Announcement::new((0..count).map(sample).collect())
    }

    #[test]
    fn it_is_played_once_and_its_end_fades() {
        let announcement = Arc::new(Announcement::new(vec![8_192; 1_000]));
        let state = announcement.watch();
        let mut player = AnnouncementPlayer::new(Arc::downgrade(&announcement));
        let mut samples = Vec::new();
        player.fill(&mut samples, 960);
        assert!(samples.iter().all(|sample| *sample == 0.25) && !player.is_over());
        player.note_played();
        assert_eq!(*state.borrow(), AnnouncementState::Playing);
        samples.clear();
        player.fill(&mut samples, 960);
        assert!(samples.len() == 960 && player.is_over());
        assert!(samples[..40].iter().all(|sample| *sample == 0.25));
        assert!(samples[40..].windows(2).all(|pair| pair[1] <= pair[0] && pair[0] - pair[1] < 0.002));
        assert_eq!(samples[40 + FADE..], [0.0; 960 - 40 - FADE]);
        player.note_played();
        assert_eq!(*state.borrow(), AnnouncementState::Played);
        samples.clear();
        player.fill(&mut samples, 960);
        assert_eq!(samples, [0.0; 960]);
        // What comes afterwards changes nothing.
        player.fail(AnnouncementState::NoSpeaker);
        assert_eq!(*state.borrow(), AnnouncementState::Played);
    }

    #[test]
    fn what_nobody_keeps_is_not_heard() {
        let announcement = Arc::new(tone(48_000));
        let mut player = AnnouncementPlayer::new(Arc::downgrade(&announcement));
        let mut samples = Vec::new();
        player.fill(&mut samples, 1_000);
        drop(announcement);
        assert!(player.is_over());
        samples.clear();
        player.fill(&mut samples, 960);
        assert!(samples[FADE..].iter().all(|sample| *sample == 0.0), "it has faded");
        player.note_played();
        player.fail(AnnouncementState::NoSpeaker);
    }
}
