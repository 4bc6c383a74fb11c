//! Rewrites offers whose bundled sections each describe a transport of their own. Pure.
//!
//! An offerer does so for answerers that cannot bundle ("balanced" and "max-compat" of RFC 8829 section 4.1.1). We can,
//! and use the transport of the tagged section (RFC 9143 section 7.3.2). webrtc-rs expects it in every section, and
//! rejects offers with several.

use super::sections::{Section, bundle_group, mid, sections};

/// The attributes that describe a transport.
const TRANSPORT_ATTRIBUTES: [&str; 6] =
    ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:", "a=candidate:", "a=end-of-candidates"];

/// Those that every section needs.
const REQUIRED_ATTRIBUTES: [&str; 4] = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"];

/// Puts the transport of the BUNDLE tag section into all bundled sections; an offer without BUNDLE stays as it is.
pub fn apply_bundle_transport(sdp: &str) -> String {
    let mut sections = sections(sdp);
    let mut group = bundle_group(&sections);
    let tag = group.next();
    let tagged = sections.iter().find(|section| tag.is_some() && mid(section) == tag);
    let transport: Section<'_> =
        tagged.into_iter().flatten().copied().filter(|line| starts_with_any(line, &REQUIRED_ATTRIBUTES)).collect();
    for other_mid in group.take_while(|_| !transport.is_empty()) {
        for section in sections.iter_mut().filter(|section| mid(section) == Some(other_mid)) {
            section.retain(|line| !starts_with_any(line, &TRANSPORT_ATTRIBUTES));
            section.extend(&transport);
        }
    }
    sections.concat().into_iter().flat_map(|line| [line, "\r\n"]).collect()
}

fn starts_with_any(line: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| line.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(mid: &str, ufrag: &str) -> String {
        format!(
            "m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:of-{ufrag}\r\n\
             a=fingerprint:sha-256 {ufrag}\r\na=setup:actpass\r\na=candidate:{ufrag}\r\n"
        )
    }

    fn unified(sdp: &str) -> String {
        apply_bundle_transport(sdp)
    }

    #[test]
    fn the_first_section_of_the_group_has_the_transport_of_all() {
        let session = "v=0\r\na=group:BUNDLE 1 0\r\n";
        let sdp = unified(&format!("{session}{}{}{}", section("0", "aa"), section("1", "bb"), section("2", "cc")));
        assert!(!sdp.contains("aa"), "{sdp}");
        assert_eq!(sdp.matches("a=ice-ufrag:bb\r\n").count(), 2);
        assert_eq!(sdp.matches("a=ice-pwd:of-bb\r\n").count(), 2);
        assert_eq!(sdp.matches("a=fingerprint:sha-256 bb\r\n").count(), 2);
        assert_eq!(sdp.matches("a=setup:actpass\r\n").count(), 3);
        assert_eq!(sdp.matches("a=candidate:bb\r\n").count(), 1);
        assert!(sdp.ends_with(&section("2", "cc")), "the third is not in the group: {sdp}");
    }

    #[test]
    fn what_is_not_bundled_stays_as_it_is() {
        for session in
            ["v=0\r\n", "v=0\r\na=group:BUNDLE\r\n", "v=0\r\na=group:BUNDLE 0\r\n", "v=0\r\na=group:LS 0 1\r\n"]
        {
            let sdp = format!("{session}{}{}", section("0", "aa"), section("1", "bb"));
            assert_eq!(unified(&sdp), sdp);
        }
    }

    #[test]
    fn a_group_of_sections_that_are_not_there_does_no_harm() {
        let sdp = format!("v=0\r\na=group:BUNDLE 7 8 8 0\r\n{}", section("0", "aa"));
        assert_eq!(unified(&sdp), sdp);
        assert_eq!(unified(""), "");
    }
}
