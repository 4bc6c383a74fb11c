//! The candidates of an SDP answer: those of the stack, which has virtual sockets, give way to ours. Pure.
//!
//! Which candidates we have is `ice`'s business.

/// The answer with `candidates` (values of `a=candidate`, with their `candidate:`) and no others, all of them in the
/// section whose transport the others share (RFC 9143 section 7.1), followed by the word that there are no more
/// (RFC 8840 section 4.1).
pub fn with_candidates(sdp: &str, candidates: &[String]) -> String {
    let own = |line: &&str| !line.starts_with("a=candidate:") && *line != "a=end-of-candidates";
    let lines: Vec<&str> = sdp.lines().filter(own).collect();
    // The session's own lines stand before the first section.
    let mut sections: Vec<&[&str]> = Vec::new();
    let mut rest = lines.as_slice();
    while !rest.is_empty() {
        let next = rest.iter().skip(1).position(|line| line.starts_with("m=")).map_or(rest.len(), |next| next + 1);
        let (section, others) = rest.split_at(next);
        sections.push(section);
        rest = others;
    }
    let tagged = tagged(&sections);
    let mut answer = String::with_capacity(sdp.len() + candidates.len() * 100);
    let mut put = |line: &str| {
        answer.push_str(line);
        answer.push_str("\r\n");
    };
    for (number, section) in sections.iter().enumerate() {
        section.iter().for_each(|line| put(line));
        if number == tagged {
            candidates.iter().for_each(|candidate| put(&format!("a={candidate}")));
            put("a=end-of-candidates");
        }
    }
    answer
}

/// The number of the section that the BUNDLE group names first; the first one where there is no group.
fn tagged(sections: &[&[&str]]) -> usize {
    let group =
        sections.first().and_then(|session| session.iter().find_map(|line| line.strip_prefix("a=group:BUNDLE ")));
    let mid = group.and_then(|mids| mids.split_ascii_whitespace().next());
    let has_mid = |section: &&[&str]| section.iter().any(|line| line.strip_prefix("a=mid:") == mid);
    mid.and_then(|_| sections.iter().position(has_mid)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1 2\r\n\
        m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n\
        a=candidate:1 2 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\na=sendonly\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=candidate:1 1 udp 1 ::1 9 typ host\r\n";

    #[test]
    fn ours_stand_in_the_bundles_section_and_the_stacks_nowhere() {
        let ours = ["candidate:7 1 udp 5 192.0.2.1 8189 typ host".to_owned()];
        let expected = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1 2\r\n\
            m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=sendonly\r\n\
            a=candidate:7 1 udp 5 192.0.2.1 8189 typ host\r\na=end-of-candidates\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";
        assert_eq!(with_candidates(ANSWER, &ours), expected);
    }

    #[test]
    fn without_a_bundle_ours_stand_in_the_first_section() {
        let answer = with_candidates(&ANSWER.replace("a=group:BUNDLE 1 2\r\n", ""), &["candidate:7".into()]);
        assert!(answer.contains("a=mid:0\r\na=candidate:7\r\na=end-of-candidates\r\nm=video"), "{answer}");
    }
}
