//! Splits a session description into its sections, and reads its BUNDLE groups (RFC 9143). Pure.

/// The lines of one section, without their ends.
pub type Section<'a> = Vec<&'a str>;

/// The sections of a description: the session's lines first, then those of each media section.
pub fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut sections = vec![Vec::new()];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
}

/// The `a=mid` of a media section.
pub fn mid<'a>(section: &Section<'a>) -> Option<&'a str> {
    section.iter().find_map(|line| line.strip_prefix("a=mid:"))
}

/// The mids of the BUNDLE group; none when there is no group.
pub fn bundle_group<'a>(sections: &[Section<'a>]) -> impl Iterator<Item = &'a str> + use<'a> {
    let session = sections.first().into_iter().flatten();
    let group = session.filter_map(|line| line.strip_prefix("a=group:BUNDLE ")).next();
    group.unwrap_or_default().split_ascii_whitespace()
}

/// The index of the section whose transport the others share: the one that the BUNDLE group names first (RFC 9143
/// section 7.1), or the first media section that is not rejected if there is no group.
pub fn bundle_tag_section(sections: &[Section<'_>]) -> usize {
    let is_answered = |section: &Section<'_>| {
        section.first().is_some_and(|line| line.starts_with("m=") && line.split(' ').nth(1) != Some("0"))
    };
    let tag = bundle_group(sections).next();
    let tagged = sections.iter().position(|section| tag.is_some() && mid(section) == tag);
    tagged.or_else(|| sections.iter().position(is_answered)).unwrap_or(1)
}

/// Whether there is a section with this mid that shares the transport of another one.
pub fn is_bundled(sdp: &str, wanted: &str) -> bool {
    let sections = sections(sdp);
    let index = sections.iter().position(|section| mid(section) == Some(wanted));
    index.is_some_and(|index| index != bundle_tag_section(&sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\na=group:BUNDLE 1 2\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";

    #[test]
    fn sections_share_the_transport_of_the_first() {
        assert!(!is_bundled(ANSWER, "1"));
        assert!(is_bundled(ANSWER, "2"));
        assert!(!is_bundled(ANSWER, "video"), "nobody knows it");
    }

    #[test]
    fn without_a_group_the_first_section_that_is_answered_is_the_tag() {
        assert_eq!(bundle_tag_section(&sections(ANSWER)), 2);
        assert_eq!(bundle_tag_section(&sections(&ANSWER.replace("BUNDLE", "LS"))), 2, "the audio is rejected");
        assert_eq!(bundle_group(&sections(ANSWER)).collect::<Vec<_>>(), ["1", "2"]);
    }
}
