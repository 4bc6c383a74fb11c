//! Parses the script of a fake camera. Other files implement it.
//!
//! A line is a keyword and its arguments; `#` starts a comment. RANGE is `3`, `3-5`, `3-` or `*`, counted from 1 over
//! the whole life of the process, so that a failed step can succeed later.
//!
//! ```text
//! card NAME                              its name; `driver NAME` and `bus NAME` likewise; `\xff` is a byte
//! kind multi                             multi-planar
//! capabilities HEX                       V4L2_CAP_* instead of those that fit
//! format YUYV 640x480@30,15 320x240@30   a pixel format with its sizes and rates; `files=FOLDER` among them shows the
//!                                        files of a folder, one a frame, by name; a range of sizes is 16x16-1920x1080
//! endless formats                        also `sizes`, `intervals`, `controls`, `events`: there is always one more
//! answer stride=704 width=648            what S_FMT answers, whatever was asked: width, height, stride, size, field, fourcc,
//!                                        colorspace, encoding, quantization, transfer (as the kernel numbers them)
//! buffers 1000                           what REQBUFS gives
//! length 0                               what QUERYBUF says of a buffer's length
//! control ID TYPE MIN MAX STEP DEFAULT FLAGS NAME     numbers as the kernel has them, FLAGS in hex
//! on DQBUF 30 ENODEV                     a call's answer: `open`, `mmap` or an ioctl without VIDIOC_; DQBUF is counted
//!                                        only where it has a frame. After ENODEV the opened camera is gone.
//! stream 1 silent                        the stream gives no frame; `spurious`: poll signals one that is missing;
//!                                        `fault`: poll reports an error
//! frame 5-9 error                        what is wrong with a frame: `error` (flag), `used=N` bytes, `index=N`, `skip=N`
//!                                        sequence numbers, `stamp=unknown|zero|future|past|still|broken`, `cut` (half
//!                                        of it came), `spoilt` (bytes in the middle are wrong)
//! ```

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// Error numbers that a script can name.
pub const ERRNOS: [(&str, i32); 12] = [
    ("EBUSY", libc::EBUSY),
    ("EIO", libc::EIO),
    ("ENODEV", libc::ENODEV),
    ("EINVAL", libc::EINVAL),
    ("ENOSPC", libc::ENOSPC),
    ("ENOTTY", libc::ENOTTY),
    ("EACCES", libc::EACCES),
    ("ENOENT", libc::ENOENT),
    ("ENOMEM", libc::ENOMEM),
    ("EINTR", libc::EINTR),
    ("EAGAIN", libc::EAGAIN),
    ("EPIPE", libc::EPIPE),
];

/// Counts from 1.
pub type Range = RangeInclusive<u64>;

/// A supported pixel format.
#[derive(Debug, Clone, Default)]
pub struct Format {
    pub fourcc: [u8; 4],
    pub sizes: Vec<Size>,
    pub files: Option<PathBuf>,
}

/// A supported size, or a range of sizes.
#[derive(Debug, Clone)]
pub struct Size {
    pub min: (u32, u32),
    pub max: (u32, u32),
    /// Frames per second.
    pub rates: Vec<u32>,
}

/// Overrides of the S_FMT result.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer {
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub stride: Option<u32>,
    pub size: Option<u32>,
    pub field: Option<u32>,
    pub fourcc: Option<[u8; 4]>,
    pub colorspace: Option<u32>,
    /// `ycbcr_enc`, `quantization` and `xfer_func`.
    pub encoding: u32,
    pub quantization: u32,
    pub transfer: u32,
}

/// A control.
#[derive(Debug, Clone)]
pub struct Control {
    pub id: u32,
    pub kind: u32,
    pub min: i64,
    pub max: i64,
    pub step: u64,
    pub default: i64,
    pub flags: u32,
    pub name: Vec<u8>,
}

/// A fault of a whole stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Good,
    Silent,
    Spurious,
    Fault,
}

/// A timestamp fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    Unknown,
    Zero,
    Future,
    Past,
    Still,
    Broken,
}

/// Frame faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameFaults {
    pub error: bool,
    pub used: Option<u32>,
    pub index: Option<u32>,
    pub skip: u32,
    pub stamp: Option<Stamp>,
    pub cut: bool,
    pub spoilt: bool,
}

/// The whole script.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub card: Vec<u8>,
    pub driver: Vec<u8>,
    pub bus: Vec<u8>,
    pub multi: bool,
    pub capabilities: Option<u32>,
    pub formats: Vec<Format>,
    pub endless: Vec<String>,
    pub answer: Answer,
    pub buffers: Option<u32>,
    pub length: Option<u32>,
    pub controls: Vec<Control>,
    faults: Vec<(String, Range, i32)>,
    streams: Vec<(Range, Stream)>,
    frames: Vec<(Range, FrameFaults)>,
}

impl Script {
    /// Parses the script.
    ///
    /// # Errors
    ///
    /// The invalid line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script =
            Self { card: b"Fake Camera".into(), driver: b"fake".into(), bus: b"usb-fake-1".into(), ..Self::default() };
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if !word.is_empty() {
                script
                    .line(word, rest.trim())
                    .ok_or_else(|| format!("{line:?} makes no sense in a camera's script"))?;
            }
        }
        Ok(script)
    }

    fn line(&mut self, word: &str, rest: &str) -> Option<()> {
        let mut words = rest.split_whitespace();
        match word {
            "card" => self.card = bytes(rest),
            "driver" => self.driver = bytes(rest),
            "bus" => self.bus = bytes(rest),
            "kind" => self.multi = rest == "multi",
            "capabilities" => self.capabilities = Some(hex(rest)?),
            "format" => self.formats.push(format(words)?),
            "endless" => self.endless.push(rest.to_owned()),
            "answer" => words.try_for_each(|word| self.answer.set(word))?,
            "buffers" => self.buffers = Some(number(rest)?),
            "length" => self.length = Some(number(rest)?),
            "control" => self.controls.push(control(words)?),
            "on" => {
                let (call, counted, name) = (words.next()?, range(words.next()?)?, words.next()?);
                let errno = ERRNOS.iter().find(|(known, _)| *known == name)?.1;
                self.faults.push((call.to_owned(), counted, errno));
            }
            "stream" => {
                let counted = range(words.next()?)?;
                let stream = match words.next()? {
                    "silent" => Stream::Silent,
                    "spurious" => Stream::Spurious,
                    "fault" => Stream::Fault,
                    _ => return None,
                };
                self.streams.push((counted, stream));
            }
            "frame" => {
                let counted = range(words.next()?)?;
                let mut faults = FrameFaults::default();
                words.try_for_each(|word| faults.set(word))?;
                self.frames.push((counted, faults));
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether an enumeration is endless.
    pub fn is_endless(&self, what: &str) -> bool {
        self.endless.iter().any(|endless| endless == what)
    }

    /// The error of call number `count`.
    pub fn fault(&self, call: &str, count: u64) -> Option<i32> {
        self.faults.iter().find(|(name, range, _)| name == call && range.contains(&count)).map(|fault| fault.2)
    }

    /// The fault of stream number `count`.
    pub fn stream(&self, count: u64) -> Stream {
        self.streams.iter().find(|(range, _)| range.contains(&count)).map_or(Stream::Good, |stream| stream.1)
    }

    /// The faults of frame number `count`.
    pub fn frame(&self, count: u64) -> FrameFaults {
        self.frames.iter().find(|(range, _)| range.contains(&count)).map_or_else(FrameFaults::default, |frame| frame.1)
    }
}

impl Answer {
    fn set(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=')?;
        match key {
            "width" => self.width = Some(number(value)?),
            "height" => self.height = Some(number(value)?),
            "stride" => self.stride = Some(number(value)?),
            "size" => self.size = Some(number(value)?),
            "field" => self.field = Some(number(value)?),
            "colorspace" => self.colorspace = Some(number(value)?),
            "encoding" => self.encoding = number(value)?,
            "quantization" => self.quantization = number(value)?,
            "transfer" => self.transfer = number(value)?,
            "fourcc" => self.fourcc = Some(value.as_bytes().try_into().ok()?),
            _ => return None,
        }
        Some(())
    }
}

impl FrameFaults {
    fn set(&mut self, word: &str) -> Option<()> {
        match word.split_once('=').unwrap_or((word, "")) {
            ("error", _) => self.error = true,
            ("cut", _) => self.cut = true,
            ("spoilt", _) => self.spoilt = true,
            ("used", value) => self.used = Some(number(value)?),
            ("index", value) => self.index = Some(number(value)?),
            ("skip", value) => self.skip = number(value)?,
            ("stamp", value) => {
                self.stamp = Some(match value {
                    "unknown" => Stamp::Unknown,
                    "zero" => Stamp::Zero,
                    "future" => Stamp::Future,
                    "past" => Stamp::Past,
                    "still" => Stamp::Still,
                    "broken" => Stamp::Broken,
                    _ => return None,
                });
            }
            _ => return None,
        }
        Some(())
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn range(text: &str) -> Option<Range> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first, last) {
        ("*", _) => Some(1..=u64::MAX),
        (first, "") => Some(number(first)?..=u64::MAX),
        (first, last) => Some(number(first)?..=number(last)?),
    }
}

fn format<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Format> {
    let mut format = Format { fourcc: words.next()?.as_bytes().try_into().ok()?, ..Format::default() };
    for word in words {
        if let Some(folder) = word.strip_prefix("files=") {
            format.files = Some(folder.into());
            continue;
        }
        let (size, rates) = word.split_once('@')?;
        let (min, max) = size.split_once('-').unwrap_or((size, size));
        let pair = |text: &str| text.split_once('x').and_then(|(w, h)| Some((number(w)?, number(h)?)));
        let rates = rates.split(',').map(number).collect::<Option<_>>()?;
        format.sizes.push(Size { min: pair(min)?, max: pair(max)?, rates });
    }
    Some(format)
}

fn control<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Control> {
    let mut word = || words.next();
    let (id, kind) = (number(word()?)?, number(word()?)?);
    let (min, max, step, default) = (number(word()?)?, number(word()?)?, number(word()?)?, number(word()?)?);
    let flags = hex(word()?)?;
    let name = bytes(&words.collect::<Vec<_>>().join(" "));
    Some(Control { id, kind, min, max, step, default, flags, name })
}

/// The bytes of a name, with `\xff` as an escape for one byte.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut name = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                name.push(byte);
                name.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => name.extend_from_slice(part.as_bytes()),
        }
    }
    name
}
