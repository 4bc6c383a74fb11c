//! The frame that viewers see while their camera delivers none: the camera's name, what is wrong and since when, and
//! what to do about it.
//!
//! Pure: drawing, and the text for each [`Error`]. When it is shown is up to the pipeline.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local};

use super::canvas::{Canvas, Colour, Rect, bytes, letter_width};
use super::{Error, silence_advice};
use crate::media::{Colorimetry, PixelFormat, VideoFormat};

/// The frame rate: high enough that a new viewer sees a frame at once and a player does not consider the stream dead;
/// low enough to cost nothing.
pub const FPS: u32 = 2;

/// The maximum side length of the placeholder in pixels. Text needs no more, and every encoder supports it.
const LARGEST: u32 = 1920;

/// The minimum side length in pixels that encoders support.
const SMALLEST: u32 = 16;

/// The minimum legible text height in pixels.
const LEGIBLE: usize = 11;

/// The maximum text height, as a fraction of the shorter side: larger text only breaks into more lines.
const LARGEST_LINE: usize = 16;

/// Line spacing in hundredths of the text height.
const LINE_PITCH: usize = 135;

/// Share of the frame that text may cover in each direction, in hundredths: the rest is margin.
const TEXT_AREA: usize = 92;

/// One day; older faults are shown with their date.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A human-readable description of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceholderText {
    title: &'static str,
    hint: String,
}

impl PlaceholderText {
    /// The text for an error.
    pub fn of(error: &Error) -> Self {
        let (title, hint) = match error {
            Error::NotFound { .. }
            | Error::Absent { .. }
            | Error::Away { .. }
            | Error::Unplugged { .. }
            | Error::Replaced => ("camera is disconnected", "plug it in; the video then starts by itself".into()),
            Error::Busy { .. } => {
                ("camera is in use by another program", "end that program; the video then starts by itself".into())
            }
            Error::Ambiguous { device, .. } => ("camera is ambiguous", format!("several cameras are called {device}")),
            Error::Taken { camera, .. } => ("camera is in use", format!("porthole's camera {camera} uses it")),
            Error::Ended { how, .. } => ("camera program has ended", how.clone()),
            Error::Silent { device, .. } => ("camera sends no video", silence_advice(device).into()),
            Error::Unsupported { requested, .. } => {
                ("camera lacks the configured mode", format!("{requested}: porthole devices lists what it supports"))
            }
            Error::Io { call, source, .. } => ("camera reports a fault", format!("{call}: {source}")),
        };
        Self { title, hint }
    }

    /// The text for a camera that takes its time for the first frame.
    pub fn starting() -> Self {
        Self { title: "waiting for the camera's first frame", hint: "it is starting".into() }
    }

    /// The text for a camera whose frames cannot be shown.
    pub fn of_stream(reason: &str) -> Self {
        Self { title: "camera sends video that cannot be shown", hint: reason.into() }
    }

    /// The text for a camera that is closed by the privacy switch.
    pub fn privacy() -> Self {
        let hint = "an operator, or the button on the device, can switch them on".into();
        Self { title: "camera and microphone are switched off", hint }
    }

    /// The lines to show: what is wrong and since when, and what to do about it. `since` and `now` are wall-clock
    /// times.
    pub fn lines(&self, since: SystemTime, now: SystemTime) -> [String; 2] {
        let recent = now.duration_since(since).unwrap_or_default() < DAY;
        let form = if recent { "%H:%M" } else { "%-d %b %H:%M" };
        let since = DateTime::<Local>::from(since).format(form);
        [format!("{} since {since}", self.title), self.hint.clone()]
    }
}

/// The format of the placeholder for a camera of `width` x `height` pixels: the same size, if an encoder supports it,
/// otherwise the nearest of the same aspect ratio.
pub fn format(width: u32, height: u32) -> VideoFormat {
    let (mut width, mut height) = (width.max(1), height.max(1));
    while width > LARGEST || height > LARGEST {
        (width, height) = (width / 2, height / 2);
    }
    let side = |pixels: u32| pixels.max(SMALLEST) & !1;
    let (width, height) = (side(width), side(height));
    VideoFormat {
        pixel: PixelFormat::I420,
        width,
        height,
        stride: width,
        fps: f64::from(FPS),
        color: Colorimetry::SRGB,
    }
}

/// Draws the placeholder of the camera `name` in the format from [`format()`]: the name, and `lines` below it, as large
/// as they fit.
pub fn draw(format: &VideoFormat, name: &str, lines: &[String; 2]) -> Vec<u8> {
    let (width, height) = (format.width as usize, format.height as usize);
    let mut data = vec![0; bytes(width, height)];
    let mut canvas = Canvas::new(&mut data, width, height);
    let (top, bottom) = (Colour::rgb(20.0, 26.0, 34.0), Colour::rgb(10.0, 13.0, 17.0));
    canvas.shade(Rect::new(0, 0, width, height), |_, y| top.mix(bottom, y / height as f32));
    let [title, hint] = lines;
    let (bright, muted) = (Colour::rgb(240.0, 243.0, 246.0), Colour::rgb(139.0, 150.0, 163.0));
    let all = [(name, muted), (title.as_str(), bright), (hint.as_str(), muted)];
    // In a small frame the most important line remains.
    let block = [&all[..], &all[1..], &all[1..2]].into_iter().find_map(|texts| Block::fit(texts, width, height));
    if let Some(block) = block {
        block.paint(&mut canvas, width, height);
    }
    data
}

/// Text wrapped to fit a frame.
struct Block<'a> {
    size: usize,
    lines: Vec<(Vec<&'a str>, Colour)>,
}

impl<'a> Block<'a> {
    /// `texts` in the largest size in which they fit; `None` if they would not be legible.
    fn fit(texts: &[(&'a str, Colour)], width: usize, height: usize) -> Option<Self> {
        let (across, down) = (width * TEXT_AREA / 100, height * TEXT_AREA / 100);
        (LEGIBLE..=(width.min(height) / LARGEST_LINE).max(LEGIBLE)).rev().find_map(|size| {
            let columns = across / letter_width(size);
            let lines: Option<Vec<_>> =
                texts.iter().map(|(text, colour)| Some((wrap(text, columns)?, *colour))).collect();
            let block = Self { size, lines: lines? };
            (block.height() <= down).then_some(block)
        })
    }

    fn rows(&self) -> usize {
        self.lines.iter().map(|(rows, _)| rows.len()).sum()
    }

    fn height(&self) -> usize {
        self.rows() * self.size * LINE_PITCH / 100
    }

    /// Centres every line and the whole block.
    fn paint(&self, canvas: &mut Canvas<'_>, width: usize, height: usize) {
        let mut y = height.saturating_sub(self.height()) / 2;
        for (rows, colour) in &self.lines {
            for row in rows {
                let long = row.chars().count() * letter_width(self.size);
                canvas.text(row, width.saturating_sub(long) / 2, y, self.size, *colour);
                y += self.size * LINE_PITCH / 100;
            }
        }
    }
}

/// Wraps `text` into rows of at most `columns` characters, between words; `None` if a word is longer than that.
fn wrap(text: &str, columns: usize) -> Option<Vec<&str>> {
    let mut rows = Vec::new();
    let mut rest = text.trim();
    while rest.chars().count() > columns {
        let end = rest.char_indices().nth(columns).map_or(rest.len(), |(at, _)| at);
        // A space right after the last column ends the row as well.
        let after = rest[end..].chars().next().map_or(end, |next| end + next.len_utf8());
        let space = rest[..after].rfind(' ')?;
        rows.push(rest[..space].trim_end());
        rest = rest[space..].trim_start();
    }
    rows.push(rest);
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(error: &Error) -> [String; 2] {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        PlaceholderText::of(error).lines(noon, noon + Duration::from_secs(60))
    }

    /// Every error that a camera can have.
    fn errors() -> Vec<Error> {
        let device = || "/dev/video0".to_owned();
        vec![
            Error::NotFound { device: device() },
            Error::Busy { device: device() },
            Error::Unplugged { device: device() },
            Error::Absent { device: device(), available: "there is none".into() },
            Error::Away { device: device(), camera: "usb:046d:082d".into(), available: "there is none".into() },
            Error::Ambiguous { device: device(), matches: "/dev/video0, /dev/video2".into() },
            Error::Taken { device: device(), camera: "door".into() },
            Error::Ended { device: device(), how: "ended with exit status 1".into() },
            Error::Silent { device: device(), seconds: 5 },
            Error::Unsupported {
                device: device(),
                requested: "1920x1080 at 240 frames/s".into(),
                supported: "MJPEG".into(),
            },
            Error::Io { device: device(), call: "VIDIOC_S_FMT", source: std::io::Error::from_raw_os_error(5) },
        ]
    }

    /// Where there is text: pixels that are as bright as nothing of the background is.
    fn lit(format: &VideoFormat, data: &[u8]) -> Vec<(usize, usize)> {
        let (width, luma) = (format.width as usize, (format.width * format.height) as usize);
        let pixels = data[..luma].iter().enumerate().filter(|(_, luma)| **luma > 90);
        pixels.map(|(at, _)| (at % width, at / width)).collect()
    }

    #[test]
    fn text_says_what_is_wrong_since_when_and_what_to_do() {
        for error in errors() {
            let [title, hint] = lines(&error);
            let time = title.rsplit_once(" since ").map(|(_, time)| time.to_owned()).unwrap_or_default();
            assert!(title.starts_with("camera") && !hint.is_empty(), "{title} / {hint}");
            assert!(time.len() == 5 && time.as_bytes()[2] == b':', "{title}");
        }
        let now = SystemTime::now();
        let [title, _] = PlaceholderText::of(&errors()[0]).lines(now - 3 * DAY, now);
        assert!(title.contains(|c: char| c.is_ascii_uppercase()), "no month: {title}");
        // A clock that was set back meanwhile.
        assert!(
            PlaceholderText::of(&errors()[0]).lines(now + DAY, now)[0].starts_with("camera is disconnected since ")
        );
    }

    #[test]
    fn text_is_drawn_inside_every_size() {
        for (width, height) in
            [(160, 120), (320, 180), (641, 481), (1280, 720), (720, 1280), (3840, 2160), (1920, 1080)]
        {
            let format = format(width, height);
            assert!((format.width | format.height) & 1 == 0, "{format:?}");
            for error in errors() {
                let data = draw(&format, "front door", &lines(&error));
                assert_eq!(data.len(), (format.width * format.height * 3 / 2) as usize);
                let lit = lit(&format, &data);
                assert!(lit.len() > 100, "{width}x{height}: {} pixels of text", lit.len());
                let (w, h) = (format.width as usize, format.height as usize);
                let edge =
                    |(x, y): &&(usize, usize)| *x < w / 50 || *x >= w - w / 50 || *y < h / 50 || *y >= h - h / 50;
                assert_eq!(lit.iter().find(edge), None, "{width}x{height}: {:?}", lines(&error));
            }
        }
    }

    #[test]
    fn frame_too_small_for_text_is_dark_and_encodable() {
        for (width, height) in [(0, 0), (1, 1), (16, 16), (48, 8), (100_000, 1)] {
            let format = format(width, height);
            assert!(format.width >= 16 && format.height >= 16 && format.width.max(format.height) <= 1920);
            let data = draw(&format, "camera", &lines(&errors()[0]));
            assert_eq!(data.len(), (format.width * format.height * 3 / 2) as usize);
            assert!(format.width > 100 || lit(&format, &data).is_empty(), "{format:?}");
        }
    }

    #[test]
    fn text_wraps_only_between_words() {
        assert_eq!(wrap("camera is busy since 12:31", 12), Some(vec!["camera is", "busy since", "12:31"]));
        assert_eq!(wrap("camera is", 9), Some(vec!["camera is"]));
        assert_eq!(wrap("a camera", 3), None);
        assert_eq!(wrap("", 3), Some(vec![""]));
    }
}
