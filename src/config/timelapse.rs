//! Time-lapses: the section `[timelapse]`.
//!
//! What they are is in `pipeline::recorder::timelapse`.

use std::time::Duration;

use super::reader::ConfigSection;
use super::recording::SIZE;
use super::value::ValueParser;
use crate::pipeline::recorder::timelapse::Config;

/// The interval between two pictures.
const EVERY: ValueParser<Option<Duration>> = ValueParser::new(
    "an interval",
    "off, or a whole number of s, min or h up to a day, such as \"10 s\" or \"1 min\"",
    |text| if text == "off" { Some(None) } else { parse_interval(text).map(Some) },
);

/// The longest interval: a day.
const MAX_INTERVAL: Duration = Duration::from_secs(86_400);

/// Reads the section.
pub(super) fn read(section: &mut ConfigSection<'_, '_>, config: &mut Config) {
    section.text("every", &mut config.every, &EVERY);
    // Screens show no more.
    section.number("fps", &mut config.fps, 1..=60, 1, "pictures a second");
    section.text("keep_bytes", &mut config.keep_bytes, &SIZE);
    section.number("keep_days", &mut config.keep_days, 0..=3650, 1, "days");
    if !section.has("every")
        && let Some(key) = ["fps", "keep_bytes", "keep_days"].into_iter().find(|key| section.has(key))
    {
        section.reject(key, "", "without effect, as there is no time-lapse; add every, such as every = \"10 s\"");
    }
}

fn parse_interval(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim_start() {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let interval = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    (!interval.is_zero() && interval <= MAX_INTERVAL).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config as All;

    #[test]
    fn intervals_have_a_unit() {
        for (text, seconds) in [("1 s", 1), ("10s", 10), ("5 min", 300), ("24 h", 86_400), ("86400 s", 86_400)] {
            assert_eq!(parse_interval(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "10", "s", "0 s", "25 h", "1.5 s", "-1 s", "+1 s", "1 d", "10 s ", "99999999999999999999 s"] {
            assert_eq!(parse_interval(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let read = |text: &str| All::parse(&format!("[timelapse]\n{text}"), "a").map(|config| config.timelapse);
        let expected = Config { every: Some(Duration::from_secs(60)), fps: 30, keep_bytes: 0, keep_days: 7 };
        let text = "every = \"1 min\"\nfps = 30\nkeep_bytes = \"\"\nkeep_days = 7";
        assert_eq!(read(text).expect("valid"), expected);
        assert_eq!(read("every = \"off\"\nfps = 25").expect("valid"), Config::default());
        for (text, expected) in [
            (
                "every = 10",
                "a:2: timelapse.every = 10: not text in quotes; off, or a whole number of s, min or h up to a day",
            ),
            (
                "every = \"2 days\"",
                "a:2: timelapse.every = \"2 days\": not an interval; off, or a whole number of s, min",
            ),
            ("every = \"1 s\"\nfps = 0", "a:3: timelapse.fps = 0: out of range; pictures a second from 1 to 60"),
            ("fps = 30", "a:2: timelapse.fps = 30: without effect, as there is no time-lapse; add every, such as"),
            ("interval = \"10 s\"", "a:2: timelapse.interval = \"10 s\": unknown key; how often is every, such as"),
        ] {
            let errors = read(text).expect_err(text).to_string();
            assert!(errors.starts_with(expected) && errors.lines().count() == 1, "{errors}");
        }
    }
}
