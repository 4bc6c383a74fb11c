//! Which H.264 format of an offer can carry a stream: the profiles of RFC 6184 section 8.1, and which decoders support
//! which. Pure.

use std::fmt;

use crate::media::h264::Profile;

/// A named profile (RFC 6184 table 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum H264Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    /// High 4:4:4 Predictive, which includes High. Chromium offers it when it decodes in software, and High only when
    /// the hardware decodes.
    High444,
    /// Extended, High 10 and High 4:2:2, which no browser supports.
    Other,
}

impl H264Profile {
    fn of(profile: Profile) -> Self {
        let set = |bits: u8| profile.constraints & bits == bits;
        match profile.idc {
            66 if set(0x40) => Self::ConstrainedBaseline,
            66 => Self::Baseline,
            77 if set(0x80) => Self::ConstrainedBaseline,
            77 => Self::Main,
            88 if set(0xc0) => Self::ConstrainedBaseline,
            100 if set(0x0c) => Self::ConstrainedHigh,
            100 => Self::High,
            244 => Self::High444,
            _ => Self::Other,
        }
    }

    /// The decoders that support a stream of this profile, the best fit first.
    ///
    /// Baseline adds three tools to constrained baseline (FMO, ASO, redundant slices), and High adds interlacing and
    /// B-frames to constrained High. Encoders in cameras use none of these tools, and streams with B-frames are not
    /// passed through, so both of a pair count as one.
    const fn decoders(self) -> &'static [Self] {
        match self {
            Self::ConstrainedBaseline => &[
                Self::ConstrainedBaseline,
                Self::Baseline,
                Self::Main,
                Self::ConstrainedHigh,
                Self::High,
                Self::High444,
            ],
            Self::Baseline => &[
                Self::Baseline,
                Self::ConstrainedBaseline,
                Self::Main,
                Self::ConstrainedHigh,
                Self::High,
                Self::High444,
            ],
            Self::Main => &[Self::Main, Self::High, Self::ConstrainedHigh, Self::High444],
            Self::ConstrainedHigh => &[Self::ConstrainedHigh, Self::High, Self::High444],
            Self::High => &[Self::High, Self::ConstrainedHigh, Self::High444],
            Self::High444 => &[Self::High444],
            Self::Other => &[],
        }
    }
}

impl fmt::Display for H264Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConstrainedBaseline => "constrained baseline",
            Self::Baseline => "baseline",
            Self::Main => "main",
            Self::ConstrainedHigh => "constrained high",
            Self::High => "high",
            Self::High444 => "high 4:4:4 predictive",
            Self::Other => "another profile",
        })
    }
}

/// The offered format to send a stream of profile `stream` as; the first of several that fit equally well.
///
/// Levels are not compared: browsers offer the level of their weakest decoder (3.1), decode far larger frames, and
/// nearly all allow the two directions to differ (`level-asymmetry-allowed`).
///
/// # Errors
///
/// A message, if none fits.
pub fn choose(stream: Profile, offered: &[Profile]) -> Result<Profile, String> {
    let kind = H264Profile::of(stream);
    let mut fitting =
        kind.decoders().iter().filter_map(|fit| offered.iter().find(|offer| H264Profile::of(**offer) == *fit));
    if let Some(best) = fitting.next() {
        return Ok(*best);
    }
    let list: Vec<String> = offered.iter().map(|offer| format!("{} ({offer})", H264Profile::of(*offer))).collect();
    let list = list.join(", ");
    Err(if stream == Profile::CONSTRAINED_BASELINE {
        format!("the offer has H.264 only as {list}; porthole sends {kind} ({stream})")
    } else {
        format!(
            "the camera encodes H.264 itself, as {kind} ({stream}), and the offer has only {list}; set format = \"MJPEG\" \
             for this camera, or another profile in the camera"
        )
    })
}

/// Whether a stream of profile `stream` can be sent in a session negotiated for `negotiated`.
///
/// # Errors
///
/// A message, if it could not be decoded.
pub fn fits(stream: Profile, negotiated: Profile) -> Result<(), String> {
    let (kind, decoder) = (H264Profile::of(stream), H264Profile::of(negotiated));
    if kind.decoders().contains(&decoder) {
        return Ok(());
    }
    Err(format!(
        "that camera encodes H.264 itself, as {kind} ({stream}), and this session was negotiated for {decoder} \
         ({negotiated}); connect anew to that camera, or set format = \"MJPEG\" for it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Profile {
        Profile::parse(text).expect(text)
    }

    fn chosen(stream: &str, offered: &str) -> Option<String> {
        let offered: Vec<Profile> = offered.split(' ').map(profile).collect();
        choose(profile(stream), &offered).ok().map(|profile| profile.to_string())
    }

    /// As browsers offer them with packetization-mode=1: Chromium decoding in software (measured with 156), with a decoder
    /// in hardware, and Safari; and as the least that RFC 7742 section 6.2 asks of every browser.
    const SOFTWARE: &str = "42001f 42e01f 4d001f f4001f";
    const HARDWARE: &str = "42001f 42e01f 4d001f 64001f";
    const SAFARI: &str = "640c1f 42e01f";
    const LEAST: &str = "42e01f";

    #[test]
    fn a_stream_takes_the_format_that_fits_best() {
        for (stream, offered, expected) in [
            ("42e01f", SOFTWARE, "42e01f"),
            ("42c01f", HARDWARE, "42e01f"),
            ("42e01f", SAFARI, "42e01f"),
            ("42e01f", "64001f", "64001f"),
            ("420028", SOFTWARE, "42001f"),
            ("420028", SAFARI, "42e01f"),
            ("4d0028", SOFTWARE, "4d001f"),
            ("4d4028", SAFARI, "640c1f"),
            ("4de01f", LEAST, "42e01f"),
            ("640028", HARDWARE, "64001f"),
            ("640028", SOFTWARE, "f4001f"),
            ("640028", SAFARI, "640c1f"),
            ("640c28", HARDWARE, "64001f"),
            ("f40028", SOFTWARE, "f4001f"),
        ] {
            assert_eq!(chosen(stream, offered).as_deref(), Some(expected), "{stream} in {offered}");
        }
    }

    #[test]
    fn a_stream_that_no_format_carries_is_refused_with_the_way_out() {
        for (stream, offered) in
            [("640028", LEAST), ("4d0028", LEAST), ("6e0028", SOFTWARE), ("58001f", HARDWARE), ("f4001f", HARDWARE)]
        {
            assert_eq!(chosen(stream, offered), None, "{stream} in {offered}");
        }
        let message = choose(profile("640028"), &[profile("42e01f")]).expect_err("should refuse");
        assert!(
            message.contains("as high (640028)") && message.contains("only constrained baseline (42e01f)"),
            "{message}"
        );
        assert!(message.contains("format = \"MJPEG\""), "{message}");
    }

    #[test]
    fn a_session_takes_the_streams_that_its_decoder_takes() {
        for (stream, negotiated, expected) in [
            ("42e01f", "42e01f", true),
            ("42e01f", "640c1f", true),
            ("420028", "42e01f", true),
            ("640028", "640c1f", true),
            ("640028", "42e01f", false),
            ("4d0028", "42001f", false),
        ] {
            assert_eq!(fits(profile(stream), profile(negotiated)).is_ok(), expected, "{stream} as {negotiated}");
        }
        let message = fits(profile("640028"), profile("42e01f")).expect_err("should refuse");
        assert!(
            message.contains("as high (640028)") && message.contains("for constrained baseline (42e01f)"),
            "{message}"
        );
    }
}
