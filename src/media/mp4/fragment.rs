//! Collects frames and packets into fragments of about a second.

use std::time::Duration;

use shiguredo_mp4::boxes::{MfhdBox, MoofBox, TfdtBox, TfhdBox, TrafBox, TrunBox, TrunSample};
use shiguredo_mp4::{Encode, SampleFlags};

use super::{AUDIO_RATE, AUDIO_TRACK, PACKET_SAMPLES, VIDEO_RATE, VIDEO_TRACK, of_ticks, ticks};
use crate::media::h264::{AUD, FILLER, PPS, SPS, nal_type, nals};
use crate::media::{AudioPacket, EncodedFrame, Timestamp};

/// How long a fragment is: what a power cut may lose.
const FRAGMENT_LENGTH: Duration = Duration::from_secs(1);

/// The most bytes that a fragment collects; a file of that rate has more fragments.
const MAX_FRAGMENT: usize = 8 << 20;

/// How long a frame is shown if nothing is known of those around it: one of 30 a second.
const LAST_FRAME: u64 = VIDEO_RATE as u64 / 30;

/// A fragment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Its bytes.
    pub data: Vec<u8>,
    /// When its first frame is shown, from the start of the file.
    pub start: Duration,
    /// When its last frame is over.
    pub end: Duration,
    /// Whether decoding can start with it.
    pub key: bool,
}

/// A frame or packet of the fragment that is being collected.
#[derive(Debug)]
struct Sample {
    /// When it was captured, in ticks of its track from the start of the file.
    time: u64,
    bytes: usize,
}

/// Makes the fragments of one file.
#[derive(Debug)]
pub struct FragmentWriter {
    start: Timestamp,
    number: u32,
    /// Whether the fragment begins with a key frame.
    key: bool,
    video: Vec<Sample>,
    video_data: Vec<u8>,
    audio: Vec<Sample>,
    audio_data: Vec<u8>,
    /// The time of the last packet that was taken.
    heard: Option<u64>,
}

impl FragmentWriter {
    /// For a file whose first frame was captured at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            number: 0,
            key: false,
            video: Vec::new(),
            video_data: Vec::new(),
            audio: Vec::new(),
            audio_data: Vec::new(),
            heard: None,
        }
    }

    /// Adds a frame. Returns the fragment before it if that is complete: with a second of video, or because this is a key
    /// frame, with which fragments begin.
    pub fn push_video(&mut self, frame: &EncodedFrame) -> Option<Fragment> {
        let time = ticks(frame.captured.saturating_since(self.start), VIDEO_RATE);
        // The pipeline's timestamps increase; a frame that does not would spoil the file.
        if self.video.last().is_some_and(|last| last.time >= time) {
            return None;
        }
        let is_full = self.video.first().is_some_and(|first| {
            time - first.time >= ticks(FRAGMENT_LENGTH, VIDEO_RATE)
                || self.video_data.len() + frame.data.len() > MAX_FRAGMENT
        });
        let complete = if frame.key || is_full { self.finish(Some(time)) } else { None };
        if self.video.is_empty() {
            self.key = frame.key;
        }
        let before = self.video_data.len();
        // The parameter sets are in the header; the others carry nothing.
        for nal in nals(&frame.data).filter(|nal| ![SPS, PPS, AUD, FILLER].contains(&nal_type(nal))) {
            self.video_data.extend((nal.len() as u32).to_be_bytes());
            self.video_data.extend_from_slice(nal);
        }
        self.video.push(Sample { time, bytes: self.video_data.len() - before });
        complete
    }

    /// Adds a packet of audio, unless it was captured before the file's first frame.
    pub fn push_audio(&mut self, packet: &AudioPacket) {
        if packet.captured < self.start {
            return;
        }
        let time = ticks(packet.captured.saturating_since(self.start), AUDIO_RATE);
        // Rounded times of packets that follow each other may differ by a tick.
        let due = self.heard.map(|last| last + u64::from(PACKET_SAMPLES));
        let time = due.filter(|due| due.abs_diff(time) <= 1).unwrap_or(time);
        if due.is_some_and(|due| time < due) || self.audio_data.len() + packet.data.len() > MAX_FRAGMENT {
            return;
        }
        self.heard = Some(time);
        self.audio_data.extend_from_slice(&packet.data);
        self.audio.push(Sample { time, bytes: packet.data.len() });
    }

    /// The fragment of what there is; `None` without a frame.
    pub fn flush(&mut self) -> Option<Fragment> {
        self.finish(None)
    }

    /// As [`flush`](Self::flush), with a last frame that is shown until `end`.
    pub fn flush_until(&mut self, end: Timestamp) -> Option<Fragment> {
        self.finish(Some(ticks(end.saturating_since(self.start), VIDEO_RATE)))
    }

    /// Forgets what was collected since the last fragment.
    pub fn discard(&mut self) {
        self.video.clear();
        self.video_data.clear();
        self.audio.clear();
        self.audio_data.clear();
    }

    /// When the first frame of the fragment that is being collected was captured.
    pub fn since(&self) -> Option<Timestamp> {
        self.video.first().map(|first| self.start.saturating_add(of_ticks(first.time)))
    }

    /// Ends the fragment; `next` is the time of the frame after it.
    fn finish(&mut self, next: Option<u64>) -> Option<Fragment> {
        let (first, last) = (self.video.first()?.time, self.video.last()?.time);
        // The last one as long as the one before.
        let before = self.video.iter().rev().nth(1).map(|sample| last - sample.time);
        let end = next.unwrap_or(last + before.unwrap_or(LAST_FRAME));
        self.number += 1;
        let (video_bytes, audio_bytes) = (self.video_data.len(), self.audio_data.len());
        let moof = |offset: usize| MoofBox {
            mfhd_box: MfhdBox { sequence_number: self.number },
            traf_boxes: self.trafs(end, offset),
            unknown_boxes: Vec::new(),
        };
        // Its length does not depend on the offsets in it.
        let length = encode(&moof(0)).len();
        let mut data = encode(&moof(length + 8));
        data.reserve_exact(8 + video_bytes + audio_bytes);
        data.extend((8 + video_bytes as u32 + audio_bytes as u32).to_be_bytes());
        data.extend(b"mdat");
        data.extend_from_slice(&self.video_data);
        data.extend_from_slice(&self.audio_data);
        self.discard();
        Some(Fragment { data, start: of_ticks(first), end: of_ticks(end), key: self.key })
    }

    /// The tracks of a fragment whose data begins at `offset`.
    fn trafs(&self, end: u64, offset: usize) -> Vec<TrafBox> {
        let video = TrackRun {
            track: VIDEO_TRACK,
            samples: &self.video,
            end,
            offset,
            first: self.key.then_some(KEY),
            others: Some(DELTA),
        };
        let last = self.audio.last().map_or(0, |last| last.time);
        let audio = TrackRun {
            track: AUDIO_TRACK,
            samples: &self.audio,
            end: last + u64::from(PACKET_SAMPLES),
            offset: offset + self.video_data.len(),
            first: None,
            others: Some(KEY),
        };
        [video.traf(), audio.traf()].into_iter().flatten().collect()
    }
}

/// Decoding can start with it.
const KEY: SampleFlags = SampleFlags::from_fields(0, 2, 0, 0, 0, false, 0);

/// It depends on others.
const DELTA: SampleFlags = SampleFlags::from_fields(0, 1, 0, 0, 0, true, 0);

/// What a fragment says of one track.
struct TrackRun<'a> {
    track: u32,
    samples: &'a [Sample],
    /// When the last of them is over.
    end: u64,
    offset: usize,
    /// Flags of the first sample, if they differ from those of the others.
    first: Option<SampleFlags>,
    others: Option<SampleFlags>,
}

impl TrackRun<'_> {
    /// `None` without samples.
    fn traf(&self) -> Option<TrafBox> {
        let first = self.samples.first()?;
        let ends = self.samples.iter().skip(1).map(|sample| sample.time).chain([self.end]);
        let durations: Vec<u32> =
            self.samples.iter().zip(ends).map(|(sample, end)| (end - sample.time) as u32).collect();
        // Audio without a gap needs no more than the sizes.
        let same = durations.first().copied().filter(|one| durations.iter().all(|other| other == one));
        let sample = |(sample, duration): (&Sample, u32)| TrunSample {
            duration: same.is_none().then_some(duration),
            size: Some(sample.bytes as u32),
            flags: None,
            composition_time_offset: None,
        };
        Some(TrafBox {
            tfhd_box: TfhdBox {
                track_id: self.track,
                base_data_offset: None,
                sample_description_index: None,
                default_sample_duration: same,
                default_sample_size: None,
                default_sample_flags: self.others,
                duration_is_empty: false,
                default_base_is_moof: true,
            },
            tfdt_box: Some(TfdtBox { version: 1, base_media_decode_time: first.time }),
            trun_boxes: vec![TrunBox {
                data_offset: Some(self.offset as i32),
                first_sample_flags: self.first,
                samples: self.samples.iter().zip(durations).map(sample).collect(),
            }],
            unknown_boxes: Vec::new(),
        })
    }
}

fn encode(moof: &MoofBox) -> Vec<u8> {
    moof.encode_to_vec().expect("a fragment of a second should be small enough")
}
