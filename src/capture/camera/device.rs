//! How a camera is named in the configuration and on the command line: parsing and printing.
//!
//! Finding the camera that a name refers to does not belong here; see `select`.

use std::fmt;

use crate::util::redact::redact;

/// The maximum length of a card name, in characters: V4L2 keeps 32 bytes. A longer one is probably a line pasted by
/// mistake.
const CARD_LIMIT: usize = 32;

/// The maximum length of the command of [`DeviceSelector::Exec`], in bytes: longer than any line a person writes,
/// shorter than a file pasted by mistake.
const COMMAND_LIMIT: usize = 4096;

/// A camera as named in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSelector {
    /// The first camera of the host that no other section uses; the test pattern if there has never been one.
    Auto,
    /// The test pattern.
    Pattern,
    /// A CSI camera, through libcamera's own program.
    Libcamera,
    /// A program that writes video to its standard output: a command line for `/bin/sh`.
    Exec(String),
    /// The path of a V4L2 node or of a symlink to one. A node number stands for the camera that has it at the first
    /// opening.
    Path(String),
    /// A USB camera, wherever it is plugged in.
    Usb {
        /// The vendor's number.
        vendor: u16,
        /// The product's number.
        product: u16,
        /// The serial number, for several of the same kind.
        serial: Option<String>,
    },
    /// The driver's name for the hardware or its bus (`platform:vivid-000`), or a part of the name that matches only
    /// one camera.
    Card(String),
}

impl DeviceSelector {
    /// Parses a name; `None` if it is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let printable = !text.is_empty() && !text.contains(char::is_control);
        match text {
            "auto" => Some(Self::Auto),
            "pattern" => Some(Self::Pattern),
            "libcamera" => Some(Self::Libcamera),
            _ if !printable => None,
            _ => {
                if let Some(command) = text.strip_prefix("exec:") {
                    let command = command.trim();
                    (!command.is_empty() && command.len() <= COMMAND_LIMIT).then(|| Self::Exec(command.into()))
                } else if let Some(name) = text.strip_prefix("usb:") {
                    parse_usb(name)
                } else if text.starts_with('/') {
                    (text.starts_with("/dev/") && text.len() > "/dev/".len()).then(|| Self::Path(text.into()))
                } else {
                    parse_card(text)
                }
            }
        }
    }
}

fn parse_usb(name: &str) -> Option<DeviceSelector> {
    let mut parts = name.splitn(3, ':');
    let mut number = || {
        let part = parts.next().filter(|part| part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u16::from_str_radix(part, 16).ok()
    };
    let (vendor, product) = (number()?, number()?);
    let serial = parts.next();
    (serial != Some("")).then(|| DeviceSelector::Usb { vendor, product, serial: serial.map(Into::into) })
}

/// A card name may be anything. Obvious mistakes are rejected, because porthole would wait forever for such a camera.
fn parse_card(text: &str) -> Option<DeviceSelector> {
    let keyword = ["auto", "pattern", "libcamera"].iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    let node = text.strip_prefix("video").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let fits = text.chars().count() <= CARD_LIMIT && text.trim() == text;
    (fits && !keyword && !node).then(|| DeviceSelector::Card(text.into()))
}

/// As written in the configuration, without credentials: viewers and readers of the log see it.
impl fmt::Display for DeviceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Pattern => f.write_str("pattern"),
            Self::Libcamera => f.write_str("libcamera"),
            Self::Exec(command) => write!(f, "exec:{}", redact(command)),
            Self::Path(path) => f.write_str(path),
            Self::Usb { vendor, product, serial } => {
                write!(f, "usb:{vendor:04x}:{product:04x}")?;
                serial.as_ref().map_or(Ok(()), |serial| write!(f, ":{serial}"))
            }
            // A URL by mistake.
            Self::Card(name) => f.write_str(&redact(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_name_is_displayed_as_written() {
        for name in [
            "auto",
            "pattern",
            "libcamera",
            "exec:rpicam-vid -t 0 -o -",
            "/dev/video0",
            "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0",
            "usb:046d:082d",
            "usb:046d:082d:5AF2:17DF",
            "HD Pro Webcam C920",
            "vivid",
        ] {
            assert_eq!(DeviceSelector::parse(name).expect(name).to_string(), name);
        }
    }

    #[test]
    fn obvious_typo_is_rejected_as_a_name() {
        let long = "x".repeat(33);
        for wrong in [
            "",
            " ",
            "Auto",
            "video0",
            "/dev/",
            "/tmp/video0",
            "/dev/a\nb",
            "exec:",
            "exec: ",
            "usb:",
            "usb:46d:82d",
            "usb:046d:082d:",
            "usb:046d:zzzz",
            "name ",
            &long,
        ] {
            assert_eq!(DeviceSelector::parse(wrong), None, "{wrong:?}");
        }
    }
}
