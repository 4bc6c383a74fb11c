//! The `Range` of a request (RFC 9110 section 14.2). Pure.

use std::ops::Range;

/// What of a file a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedRange {
    /// All of it: there is no range, or one that is ignored, as of other units, several, or that cannot be read.
    Whole,
    /// A part.
    Part(Range<u64>),
    /// Something beyond its end.
    Unsatisfiable,
}

/// What the value of `Range` asks for, of a file of so many bytes.
pub fn parse(value: Option<&str>, bytes: u64) -> RequestedRange {
    let range = value.and_then(|value| value.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
        return RequestedRange::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        // Longer ones are beyond every file.
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(bytes),
        (Some(first), None) if last.is_empty() => first..bytes,
        (None, Some(count)) if first.is_empty() => match count {
            0 => return RequestedRange::Unsatisfiable,
            count => bytes.saturating_sub(count)..bytes,
        },
        _ => return RequestedRange::Whole,
    };
    if range.start < range.end { RequestedRange::Part(range) } else { RequestedRange::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_served() {
        for (value, expected) in [
            ("bytes=0-", 0..100),
            ("bytes=0-0", 0..1),
            ("bytes=10-19", 10..20),
            ("bytes=99-", 99..100),
            ("bytes=90-1000", 90..100),
            ("bytes=0-99999999999999999999999", 0..100),
            ("bytes=-1", 99..100),
            ("bytes=-1000", 0..100),
            (" bytes= 5-6 ", 5..7),
        ] {
            assert_eq!(parse(Some(value), 100), RequestedRange::Part(expected), "{value}");
        }
        for value in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(parse(Some(value), 100), RequestedRange::Unsatisfiable, "{value}");
        }
        assert_eq!(parse(Some("bytes=0-"), 0), RequestedRange::Unsatisfiable);
        for value in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=0-1,5-6", "lines=0-1", "bytes=+1-2"]
        {
            assert_eq!(parse(Some(value), 100), RequestedRange::Whole, "{value}");
        }
        assert_eq!(parse(None, 100), RequestedRange::Whole);
    }
}
