//! Values that are written as text: addresses, devices, names, formats. Shared by the file and the command line.
//!
//! Keys and flags do not belong here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeValue;
use tracing::Level;

use crate::capture::audio::Gain;
use crate::capture::audio::speaker::TalkMode;
use crate::capture::camera::DeviceSelector;
use crate::device::leds::Indicator;
use crate::media::PixelFormat;
use crate::server::auth::{Mode, Role};
use crate::server::rtc::Advertised;

/// The longest name of a camera, in characters: it is part of URLs and shown on small screens.
const NAME_LIMIT: usize = 32;

/// The longest name of an audio device, in characters. ALSA's names, arguments included, are far shorter; a whole file
/// pasted by mistake is not.
const SOUND_DEVICE_LIMIT: usize = 128;

/// The largest gain and attenuation, in decibels: more than any sound card has.
const GAIN_LIMIT: f32 = 100.0;

/// The longest name of an LED or a GPIO chip, in characters: the kernel's limits are 64 and 32.
const KERNEL_NAME_LIMIT: usize = 64;

/// A parser for one kind of value.
pub struct ValueParser<T> {
    /// The kind of value, for the message `not {name}`.
    name: &'static str,
    /// The valid values, for messages.
    pub(super) right: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> ValueParser<T> {
    /// A parser for values of a kind with this name, of which `right` describes the valid ones.
    pub(super) const fn new(name: &'static str, right: &'static str, parse: fn(&str) -> Option<T>) -> Self {
        Self { name, right, parse }
    }

    /// Parses a value.
    ///
    /// # Errors
    ///
    /// What is wrong and what would be valid. The caller adds the key or flag, and the value.
    pub fn read(&self, text: &str) -> Result<T, String> {
        (self.parse)(text).ok_or_else(|| format!("not {}; {}", self.name, self.right))
    }

    /// Parses a text in quotes.
    pub(super) fn read_value(&self, value: &DeValue<'_>) -> Result<T, String> {
        match value.as_str() {
            Some(text) => self.read(text),
            None => Err(format!("not text in quotes; {}", self.right)),
        }
    }
}

/// A log level.
pub const LEVEL: ValueParser<Level> =
    ValueParser { name: "a log level", right: "error, warn, info, debug or trace", parse: parse_level };

/// An address to listen on; without an IP (`:8080`) all addresses of the machine.
pub const LISTEN: ValueParser<SocketAddr> = ValueParser {
    name: "an address",
    right: "IP and port from 0 to 65535, such as 192.168.1.20:8080 or [::1]:8080, or :8080 for every address",
    parse: parse_listen,
};

/// The address of the RTSP server; `off` is `None`.
pub const RTSP_LISTEN: ValueParser<Option<SocketAddr>> = ValueParser {
    name: "an address",
    right: "off, or IP and port from 0 to 65535, such as 192.168.1.20:8554 or [::1]:8554, or :8554 for every address",
    parse: |text| if text == "off" { Some(None) } else { parse_listen(text).map(Some) },
};

/// The name of a camera, which can be part of a URL unescaped.
pub const CAMERA_NAME: ValueParser<String> =
    ValueParser { name: "a name", right: "1 to 32 letters a to z, digits, - and _", parse: parse_camera_name };

/// The device of a camera.
pub const CAMERA_DEVICE: ValueParser<DeviceSelector> = ValueParser {
    name: "a camera",
    right: "auto, pattern, libcamera, exec: and a command, or a camera by its path, such as /dev/video0, as usb:VVVV:PPPP, or \
            by its card name (`porthole devices` lists them)",
    parse: DeviceSelector::parse,
};

/// A pixel format; `auto` is `None`.
pub const PIXEL_FORMAT: ValueParser<Option<PixelFormat>> = ValueParser {
    name: "a pixel format",
    right: "auto, YU12, YV12, NV12, NV21, GREY, YUYV, UYVY, RGB24, BGR24, MJPEG or H264",
    parse: parse_pixel_format,
};

/// The device of the microphone: `auto`, `camera`, `default`, `tone`, `off`, a card's id or the name of an ALSA device.
/// ALSA's own configuration defines the names, so any printable text is accepted.
pub const SOUND_DEVICE: ValueParser<String> = ValueParser {
    name: "an audio device",
    right: "auto, camera, default, tone, off, the id of a sound card or an ALSA name, such as hw:1,0 (`porthole devices` \
            lists them)",
    parse: parse_sound_device,
};

/// The gain of the microphone's input.
pub const GAIN: ValueParser<Gain> = ValueParser {
    name: "a gain",
    right: "keep, or a number with its unit, such as \"12 dB\", \"-3.5 dB\" or \"70 %\"",
    parse: parse_gain,
};

/// The device of the speaker: `auto`, `camera`, `default`, `off`, a card's id or the name of an ALSA device.
pub const SPEAKER_DEVICE: ValueParser<String> = ValueParser {
    name: "a speaker",
    right: "off, auto, camera, default, the id of a sound card or an ALSA name, such as hw:1,0 (`porthole devices` lists them)",
    parse: |text| if text == "tone" { None } else { parse_sound_device(text) },
};

/// The volume of the speaker.
pub const VOLUME: ValueParser<Gain> = ValueParser {
    name: "a volume",
    right: "keep, or a number with its unit, such as \"-6 dB\" or \"70 %\"",
    parse: parse_gain,
};

/// What the microphone does while somebody talks.
pub const TALK_MODE: ValueParser<TalkMode> = ValueParser {
    name: "a mode",
    right: "half, which turns the microphone down while somebody talks, or full, which cancels the echo",
    parse: |text| [TalkMode::Half, TalkMode::Full].into_iter().find(|mode| mode.name() == text),
};

/// A role.
pub const ROLE: ValueParser<Role> =
    ValueParser { name: "a role", right: "operator or viewer", parse: |text| text.parse().ok() };

/// A directory; empty for the default.
pub const DIRECTORY: ValueParser<Option<PathBuf>> = ValueParser {
    name: "a directory",
    right: "an absolute path, such as \"/var/lib/porthole\", or \"\" for the default",
    parse: parse_directory,
};

/// A file; empty for none.
pub const FILE: ValueParser<Option<PathBuf>> = ValueParser {
    name: "a file",
    right: "an absolute path, such as \"/etc/porthole/ca.pem\", or \"\" for none",
    parse: parse_directory,
};

/// The name of a host in a URL.
pub const HOST: ValueParser<String> = ValueParser {
    name: "a host name",
    right: "letters, digits, - and dots, such as cam.example.org, without scheme and port",
    parse: |text| is_host_name(text).then(|| text.to_ascii_lowercase()),
};

/// The origin of a page (RFC 6454), or `*` for any.
pub const ORIGIN: ValueParser<String> = ValueParser {
    name: "an origin",
    right: "scheme, host and port (if not the default), such as https://example.org, or \"*\" for every page",
    parse: parse_origin,
};

/// A network, or one address.
pub const NETWORK: ValueParser<IpNet> = ValueParser {
    name: "a network",
    right: "an address with or without its prefix, such as 192.168.0.0/16, 10.0.0.1 or fd00::/8",
    parse: |text| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)),
};

/// The authentication mode.
pub const AUTH_MODE: ValueParser<Mode> = ValueParser {
    name: "a mode",
    right: "password or none",
    parse: |text| match text {
        "password" => Some(Mode::Password),
        "none" => Some(Mode::None),
        _ => None,
    },
};

/// The name of a network interface, or a pattern.
pub const INTERFACE: ValueParser<String> = ValueParser {
    name: "an interface",
    right: "a name as `ip link` shows it, with * for any letters, such as eth0 or wlan*",
    parse: parse_interface,
};

/// A public address of this machine.
pub const ADVERTISED: ValueParser<Advertised> = ValueParser {
    name: "an address",
    right: "an IP address or a host name, with a port where another one is forwarded, such as 203.0.113.5, \
            cam.example.org:40000 or [2001:db8::5]:40000",
    parse: parse_advertised,
};

/// The name of a kernel LED.
pub const LED: ValueParser<String> = ValueParser {
    name: "an LED",
    right: "a name in /sys/class/leds, such as ACT",
    // It becomes part of a path.
    parse: |text| (is_short(text) && !text.contains('/') && !text.starts_with('.')).then(|| text.into()),
};

/// What an LED indicates.
pub const SHOW: ValueParser<Indicator> = ValueParser {
    name: "an LED indicator",
    right: "ready, watched, fault, camera, privacy, recording or talk",
    parse: |text| Indicator::ALL.into_iter().find(|show| show.name() == text),
};

/// A GPIO chip; empty for the default one.
pub const GPIO_CHIP: ValueParser<Option<String>> = ValueParser {
    name: "a GPIO chip",
    right: "its device, such as gpiochip1, or its label (gpiodetect lists them), or \"\" for the default",
    parse: |text| {
        (text.is_empty() || is_short(text)).then(|| Some(text.into()).filter(|name: &String| !name.is_empty()))
    },
};

fn parse_level(text: &str) -> Option<Level> {
    match text {
        "error" => Some(Level::ERROR),
        "warn" => Some(Level::WARN),
        "info" => Some(Level::INFO),
        "debug" => Some(Level::DEBUG),
        "trace" => Some(Level::TRACE),
        _ => None,
    }
}

fn parse_listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().ok().map(|port: u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        }
        _ => text.parse().ok(),
    }
}

fn parse_camera_name(text: &str) -> Option<String> {
    let fits = (1..=NAME_LIMIT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    fits.then(|| text.into())
}

fn parse_pixel_format(text: &str) -> Option<Option<PixelFormat>> {
    if text == "auto" {
        return Some(None);
    }
    PixelFormat::ALL.into_iter().find(|format| format.name() == text).map(Some)
}

fn parse_sound_device(text: &str) -> Option<String> {
    let fits = (1..=SOUND_DEVICE_LIMIT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && !text.trim().is_empty();
    fits.then(|| text.into())
}

fn parse_gain(text: &str) -> Option<Gain> {
    if text == "keep" {
        return Some(Gain::Keep);
    }
    if let Some(percent) = text.strip_suffix('%') {
        return percent.trim_end().parse().ok().filter(|percent| *percent <= 100).map(Gain::Percent);
    }
    let decibel: f32 = text.strip_suffix("dB")?.trim_end().parse().ok()?;
    (decibel.abs() <= GAIN_LIMIT).then_some(Gain::Decibel(decibel))
}

fn parse_directory(text: &str) -> Option<Option<PathBuf>> {
    if text.is_empty() {
        return Some(None);
    }
    let path = PathBuf::from(text);
    (path.is_absolute() && !text.contains('\0')).then_some(Some(path))
}

/// Whether it consists of labels according to RFC 1123 section 2.1.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn parse_origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.into());
    }
    let (scheme, rest) = text.split_once("://")?;
    let host = rest.strip_prefix('[').map_or_else(
        || is_host_name(rest.split(':').next().unwrap_or_default()),
        |rest| rest.split_once(']').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()),
    );
    let after = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
    let port = after.split_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok());
    (matches!(scheme, "http" | "https") && host && port).then(|| text.to_ascii_lowercase())
}

fn parse_interface(text: &str) -> Option<String> {
    // IFNAMSIZ of the kernel is 16, with the final NUL; a pattern may be a little longer.
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'\\');
    fits.then(|| text.into())
}

fn parse_advertised(text: &str) -> Option<Advertised> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return usable(ip).then(|| Advertised { host: ip.to_string(), port: None });
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let advertised = Advertised { host: address.ip().to_string(), port: Some(address.port()) };
        return (usable(address.ip()) && address.port() > 0).then_some(advertised);
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (text, None),
    };
    // Digits and dots alone are a mistyped address.
    let name = is_host_name(host) && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name.then(|| Advertised { host: host.to_ascii_lowercase(), port })
}

/// Whether it may be a kernel name: printable and short.
fn is_short(text: &str) -> bool {
    (1..=KERNEL_NAME_LIMIT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn usable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

#[cfg(test)]
mod tests;
