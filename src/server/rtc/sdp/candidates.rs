//! Puts our candidates into an answer. Pure.
//!
//! Which candidates we offer is decided in `ice`, which of a viewer's are used in `ice::remote_candidate`.

use super::sections::{bundle_tag_section, sections};

/// The answer with these `candidates` (values of `a=candidate`, including `candidate:`), all in the BUNDLE tag section,
/// followed by `a=end-of-candidates` (RFC 8840 section 4.1).
pub fn with_candidates(sdp: &str, candidates: &[String]) -> String {
    let sections = sections(sdp);
    let tagged_section = bundle_tag_section(&sections);
    let mut description = String::with_capacity(sdp.len() + candidates.len() * 100);
    let mut push = |line: &[&str]| {
        line.iter().for_each(|part| description.push_str(part));
        description.push_str("\r\n");
    };
    for (number, section) in sections.iter().enumerate() {
        section.iter().for_each(|line| push(&[line]));
        if number == tagged_section {
            candidates.iter().for_each(|candidate| push(&["a=", candidate]));
            push(&["a=end-of-candidates"]);
        }
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1 2\r\n\
        m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=sendonly\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";

    #[test]
    fn our_candidates_go_into_the_tag_section() {
        let ours = ["candidate:7 1 udp 5 192.0.2.1 8189 typ host".to_owned()];
        let expected = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1 2\r\n\
            m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=sendonly\r\n\
            a=candidate:7 1 udp 5 192.0.2.1 8189 typ host\r\na=end-of-candidates\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";
        assert_eq!(with_candidates(ANSWER, &ours), expected);
    }

    #[test]
    fn without_a_bundle_ours_go_into_the_first_section_that_is_answered() {
        let answer = with_candidates(&ANSWER.replace("a=group:BUNDLE 1 2\r\n", ""), &["candidate:7".into()]);
        assert!(answer.contains("a=sendonly\r\na=candidate:7\r\na=end-of-candidates\r\nm=application"), "{answer}");
    }
}
