//! Recording on this machine: the section `[recording]`.
//!
//! What it does is in `pipeline::recorder`.

use super::reader::ConfigSection;
use super::value;
use super::value::ValueParser;
use crate::pipeline::recorder::{Config, RecordingMode};

/// What is recorded.
const MODE: ValueParser<RecordingMode> =
    ValueParser::new("a mode", "off, always, manual or events", |text| match text {
        "off" => Some(RecordingMode::Off),
        "always" => Some(RecordingMode::Always),
        "manual" => Some(RecordingMode::Manual),
        "events" => Some(RecordingMode::Events),
        _ => None,
    });

/// Whether viewers may see recordings.
const ALLOW: ValueParser<bool> = ValueParser::new("a role", "operator or viewer", |text| match text {
    "operator" => Some(false),
    "viewer" => Some(true),
    _ => None,
});

/// A size; empty for none.
pub(super) const SIZE: ValueParser<u64> = ValueParser::new(
    "a size",
    "a whole number of MB or GB, such as \"500 MB\" or \"8 GB\", or \"\" for no limit",
    parse_size,
);

/// The largest size: 100 TB.
const MAX_SIZE: u64 = 100_000_000_000_000;

/// Reads the section. `has_motion` is whether motion is looked for in the picture of a camera.
pub(super) fn read(section: &mut ConfigSection<'_, '_>, config: &mut Config, has_motion: bool) {
    section.text("mode", &mut config.mode, &MODE);
    if config.mode == RecordingMode::Events && !has_motion {
        let wrong = "no camera looks for motion; add [camera.motion] with enabled = true below a [[camera]], or write \"manual\" \
                     for what is started by command alone";
        section.reject("mode", "", wrong);
    }
    section.text("directory", &mut config.directory, &value::DIRECTORY);
    section.flag("audio", &mut config.audio);
    section.text("allow", &mut config.viewers_may_see, &ALLOW);
    section.number("file_minutes", &mut config.file_minutes, 1..=1440, 1, "minutes");
    // More is not kept in memory, whatever the bitrate.
    section.number("before", &mut config.before, 0..=60, 1, "seconds");
    section.number("after", &mut config.after, 0..=3600, 1, "seconds");
    section.number("sync", &mut config.sync, 1..=60, 1, "seconds");
    section.text("keep_bytes", &mut config.keep_bytes, &SIZE);
    section.number("keep_days", &mut config.keep_days, 0..=3650, 1, "days");
    section.text("min_free", &mut config.min_free, &SIZE);
}

fn parse_size(text: &str) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    let (number, unit) = match (text.strip_suffix("MB"), text.strip_suffix("GB")) {
        (Some(number), _) => (number, 1_000_000),
        (_, Some(number)) => (number, 1_000_000_000),
        _ => return None,
    };
    let number = number.trim_end();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = number.parse::<u64>().ok().filter(|_| is_number)?.checked_mul(unit)?;
    (bytes > 0 && bytes <= MAX_SIZE).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config as All;

    #[test]
    fn sizes_have_a_unit() {
        for (text, bytes) in [("", Some(0)), ("1 MB", Some(1_000_000)), ("16GB", Some(16_000_000_000))] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for text in
            ["8", "8 G", "MB", " MB", "0 MB", "-1 GB", "+1 GB", "1.5 GB", "101000 GB", "99999999999999999999 MB"]
        {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            (
                "mode = \"motion\"",
                "porthole.toml:2: recording.mode = \"motion\": not a mode; off, always, manual or events",
            ),
            (
                "mode = \"events\"",
                "porthole.toml:2: recording.mode = \"events\": no camera looks for motion; add [camera.motion] with \
                 enabled = true below a [[camera]], or write \"manual\" for what is started by command alone",
            ),
            (
                "mode = \"events\"\n[[camera]]\n[camera.motion]\nenabled = false",
                "porthole.toml:2: recording.mode = \"events\": no camera looks for motion; add [camera.motion] with \
                 enabled = true below a [[camera]], or write \"manual\" for what is started by command alone",
            ),
            ("allow = \"all\"", "porthole.toml:2: recording.allow = \"all\": not a role; operator or viewer"),
            ("before = 61", "porthole.toml:2: recording.before = 61: out of range; seconds from 0 to 60"),
            (
                "min_free = \"1\"",
                "porthole.toml:2: recording.min_free = \"1\": not a size; a whole number of MB or GB, such as \"500 MB\" or \
                 \"8 GB\", or \"\" for no limit",
            ),
        ] {
            let found = All::parse(&format!("[recording]\n{text}"), "porthole.toml").expect_err(text).to_string();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn events_need_one_camera_that_looks_for_motion() {
        // In whatever order.
        let text = "[recording]\nmode = \"events\"\n[[camera]]\nname = \"a\"\n[[camera]]\nname = \"b\"\n\
                    motion = { enabled = true }";
        assert_eq!(All::parse(text, "").expect("valid").recording.mode, RecordingMode::Events);
    }
}
