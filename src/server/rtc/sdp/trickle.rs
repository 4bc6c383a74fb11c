//! SDP fragments with candidates and ICE credentials (`application/trickle-ice-sdpfrag`, RFC 8840 section 9): parses
//! those of viewers and writes ours. Pure.
//!
//! Whether a candidate can be used is decided in `ice::remote_candidate`, what a restart does in `ice::restart`.

use super::sections::{bundle_tag_section, sections};

/// Candidates of one fragment that are parsed: more than a browser with many networks has, each with UDP, TCP and
/// relayed ones. The rest is skipped silently, like unusable ones.
pub const MAX_CANDIDATES: usize = 64;

/// A candidate in a fragment of the viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrickledCandidate {
    /// The value of `a=candidate`, including `candidate:`.
    pub candidate: String,
    /// The mid of its media section.
    pub mid: Option<String>,
}

/// The ICE session that a viewer wants to restart with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteIce {
    /// The viewer's username fragment.
    pub ufrag: String,
    /// The viewer's password.
    pub pwd: String,
    /// The viewer's candidates so far.
    pub candidates: Vec<TrickledCandidate>,
}

/// A viewer's parsed fragment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SdpFragment {
    /// The username fragment of its ICE session.
    pub ufrag: Option<String>,
    /// Its password.
    pub pwd: Option<String>,
    /// The viewer's candidates.
    pub candidates: Vec<TrickledCandidate>,
    /// Whether no more candidates will follow.
    pub complete: bool,
}

/// Why a fragment cannot be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the body is no SDP fragment (RFC 8840 section 9): line {line} {problem}")]
pub struct SdpFragmentError {
    line: usize,
    problem: &'static str,
}

impl SdpFragment {
    /// Parses a fragment. Unknown attributes are ignored.
    ///
    /// # Errors
    ///
    /// If a line is neither `m=` nor `a=`, or the fragment names two ICE sessions.
    pub fn parse(text: &str) -> Result<Self, SdpFragmentError> {
        let mut fragment = Self::default();
        let mut mid = None;
        for (number, line) in text.lines().enumerate() {
            let error = |problem| SdpFragmentError { line: number + 1, problem };
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            if let Some(media) = line.strip_prefix("m=") {
                if media.split(' ').filter(|word| !word.is_empty()).count() < 4 {
                    return Err(error("does not name a medium, a port, a protocol and a format"));
                }
                mid = None;
                continue;
            }
            let Some(attribute) = line.strip_prefix("a=") else {
                return Err(error("begins with neither m= nor a="));
            };
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            match name {
                "" => return Err(error("has no attribute")),
                "mid" => mid = Some(value.to_owned()),
                "ice-ufrag" => set_once(&mut fragment.ufrag, value).ok_or(error("names a second ice-ufrag"))?,
                "ice-pwd" => set_once(&mut fragment.pwd, value).ok_or(error("names a second ice-pwd"))?,
                "candidate" if fragment.candidates.len() < MAX_CANDIDATES => {
                    fragment.candidates.push(TrickledCandidate { candidate: attribute.to_owned(), mid: mid.clone() });
                }
                "end-of-candidates" => fragment.complete = true,
                _ => {}
            }
        }
        Ok(fragment)
    }

    /// The ICE session to restart with, if the fragment names one.
    ///
    /// # Errors
    ///
    /// The fragment itself, if it does not.
    pub fn into_restart(self) -> Result<RemoteIce, Self> {
        match (self.ufrag, self.pwd) {
            (Some(ufrag), Some(pwd)) => Ok(RemoteIce { ufrag, pwd, candidates: self.candidates }),
            (ufrag, pwd) => Err(Self { ufrag, pwd, ..self }),
        }
    }
}

/// Sets a value that may be repeated but not changed; `None` if it differs.
fn set_once(field: &mut Option<String>, value: &str) -> Option<()> {
    (field.get_or_insert_with(|| value.to_owned()) == value).then_some(())
}

/// Writes our fragment: the credentials and candidates (values of `a=candidate`) of the ICE session, in the BUNDLE tag
/// section of `answer`.
pub fn write_fragment(answer: &str, ufrag: &str, pwd: &str, candidates: &[String]) -> String {
    let sections = sections(answer);
    let group = sections.iter().flatten().find(|line| line.starts_with("a=group:BUNDLE "));
    let section = sections.get(bundle_tag_section(&sections)).map_or(&[][..], Vec::as_slice);
    let named = |prefix: &str| section.iter().find(|line| line.starts_with(prefix)).map(|line| (*line).to_owned());
    let lines = group
        .map(|line| (*line).to_owned())
        .into_iter()
        .chain(named("m="))
        .chain(named("a=mid:"))
        .chain([format!("a=ice-ufrag:{ufrag}"), format!("a=ice-pwd:{pwd}")])
        .chain(candidates.iter().map(|candidate| format!("a={candidate}")))
        .chain(["a=end-of-candidates".to_owned()]);
    lines.flat_map(|line| [line, "\r\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of RFC 9725 section 4.3.3.
    const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:0\r\na=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
        a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0\r\na=end-of-candidates\r\n";

    #[test]
    fn a_fragment_gives_credentials_and_candidates_with_their_section() {
        let fragment = SdpFragment::parse(RESTART).expect("should be a fragment");
        assert_eq!(fragment.ufrag.as_deref(), Some("ysXw"));
        assert_eq!(fragment.pwd.as_deref(), Some("vw5LmwG4y/e6dPP/zAP9Gp5k"));
        assert!(fragment.complete);
        let [first, second] = fragment.candidates.as_slice() else { panic!("{fragment:?}") };
        assert_eq!(first.mid.as_deref(), Some("0"));
        assert!(first.candidate.starts_with("candidate:1387637174 1 udp"), "{first:?}");
        assert!(second.candidate.ends_with("generation 0"), "{second:?}");
        let restart = fragment.into_restart().expect("should ask for a restart");
        assert_eq!((restart.ufrag.as_str(), restart.candidates.len()), ("ysXw", 2));
    }

    #[test]
    fn candidates_alone_ask_for_no_restart() {
        for text in ["", "\r\n", "a=mid:0\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\n", "a=ice-ufrag:abcd\r\n"] {
            let fragment = SdpFragment::parse(text).expect("should be a fragment");
            assert_eq!(fragment.clone().into_restart(), Err(fragment), "{text:?}");
        }
    }

    #[test]
    fn malformed_fragments_are_rejected_with_the_line() {
        for (text, words) in [
            ("<html>", "line 1 begins with neither"),
            ("v=0\r\na=mid:0", "line 1 begins with neither"),
            ("a=mid:0\r\n=x", "line 2 begins with neither"),
            ("a=\r\n", "line 1 has no attribute"),
            ("m=audio\r\n", "line 1 does not name"),
            ("a=ice-ufrag:abcd\r\nm=audio 9 RTP/AVP 0\r\na=ice-ufrag:efgh\r\n", "line 3 names a second ice-ufrag"),
        ] {
            let error = SdpFragment::parse(text).expect_err("should be refused").to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_flood_of_candidates_is_cut_off() {
        let text = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(1_000);
        assert_eq!(SdpFragment::parse(&text).expect("should be a fragment").candidates.len(), MAX_CANDIDATES);
    }

    #[test]
    fn ours_names_the_section_of_the_bundle() {
        let answer = "v=0\r\ns=-\r\na=group:BUNDLE 1 2\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                      m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=ice-ufrag:old\r\na=sendonly\r\n";
        let fragment = write_fragment(answer, "abcd", "secret", &["candidate:1 1 udp 1 192.0.2.1 9 typ host".into()]);
        assert_eq!(
            fragment,
            "a=group:BUNDLE 1 2\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:secret\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            mid in "[a-z0-9]{1,8}", ufrag in "[a-zA-Z0-9+/]{4,32}", pwd in "[a-zA-Z0-9+/]{22,32}",
            values in prop::collection::vec("candidate:[a-z0-9 ]{1,40}[a-z]", 0..MAX_CANDIDATES),
        ) {
            let answer = format!("v=0\r\na=group:BUNDLE {mid}\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:{mid}\r\n");
            let candidates = values.iter().map(|value| TrickledCandidate { candidate: value.clone(), mid: Some(mid.clone()) });
            let candidates = candidates.collect();
            let expected = SdpFragment { ufrag: Some(ufrag.clone()), pwd: Some(pwd.clone()), candidates, complete: true };
            prop_assert_eq!(SdpFragment::parse(&write_fragment(&answer, &ufrag, &pwd, &values)), Ok(expected));
        }

        #[test]
        fn no_candidate_panics(text in "((a=|m=|a=mid:|a=ice-ufrag:|a=candidate:|\\PC)\\PC{0,20}(\r\n|\n)?){0,12}") {
            if let Ok(fragment) = SdpFragment::parse(&text) {
                prop_assert!(fragment.candidates.len() <= MAX_CANDIDATES);
            }
        }
    }
}
