//! A viewer's session description, line by line: its sections, their attributes and directions. Pure.
//!
//! No library parses a viewer's text. What is used of an offer is read here.

use super::offer_error::OfferError;

/// A session description: the attributes of the session, and its media sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The attributes before the first media section.
    pub session: Attributes,
    /// The media sections.
    pub media: Vec<MediaSection>,
}

/// The `a=` lines of one section, without `a=`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<String>);

/// One `m=` line and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSection {
    /// `audio`, `video`, `application`, or what we do not know.
    pub medium: String,
    /// The port; zero means rejected, unless the section is `bundle-only`.
    pub port: u16,
    /// The transport protocol, as in `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// The formats; for RTP these are payload types.
    pub formats: Vec<String>,
    /// Its attributes.
    pub attributes: Attributes,
}

impl Attributes {
    /// The values of all attributes with this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The value of the first attribute with this name.
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// Whether there is an attribute without a value that has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|line| line == name)
    }

    /// Whether media flows to and from the offerer; `None` if no direction is given.
    fn direction(&self) -> Option<(bool, bool)> {
        let directions = [
            ("sendrecv", (true, true)),
            ("recvonly", (true, false)),
            ("sendonly", (false, true)),
            ("inactive", (false, false)),
        ];
        directions.into_iter().find(|(name, _)| self.has(name)).map(|(_, direction)| direction)
    }
}

impl Description {
    /// Parses a description.
    ///
    /// # Errors
    ///
    /// If a line is malformed, or two sections have the same `a=mid`.
    pub fn parse(sdp: &str) -> Result<Self, OfferError> {
        let mut description = Self { session: Attributes::default(), media: Vec::new() };
        for (number, line) in sdp.trim_start().lines().enumerate() {
            let line = line.trim_end();
            let malformed = |what: &str| OfferError::Malformed(format!("line {} {what}", number + 1));
            if line.is_empty() {
                continue;
            }
            if line.contains(['\r', '\0']) {
                return Err(malformed("has a control character"));
            }
            let (name, value) = line.split_once('=').ok_or_else(|| malformed("has no ="))?;
            if name.len() != 1 || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
                return Err(malformed("does not begin with a letter and ="));
            }
            match name {
                "m" => {
                    let section = MediaSection::parse(value);
                    let problem = "is not m= with a medium, a port, a protocol and formats";
                    description.media.push(section.ok_or_else(|| malformed(problem))?);
                }
                "a" => {
                    let section = description.media.last_mut().map(|media| &mut media.attributes);
                    section.unwrap_or(&mut description.session).0.push(value.to_owned());
                }
                _ => {}
            }
        }
        let mut mids: Vec<&str> = description.media.iter().filter_map(MediaSection::mid).collect();
        mids.sort_unstable();
        if mids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(OfferError::Malformed("two sections have the same a=mid".into()));
        }
        Ok(description)
    }

    /// The index of the section with this mid.
    pub fn find(&self, mid: &str) -> Option<usize> {
        self.media.iter().position(|section| section.mid() == Some(mid))
    }

    /// Whether the offerer wants to receive on this section: `sendrecv` is the default (RFC 8866 section 6.7).
    pub fn receives(&self, section: &MediaSection) -> bool {
        self.direction(section).0
    }

    /// Whether the offerer may send on this section.
    pub fn sends(&self, section: &MediaSection) -> bool {
        self.direction(section).1
    }

    fn direction(&self, section: &MediaSection) -> (bool, bool) {
        section.attributes.direction().or(self.session.direction()).unwrap_or((true, true))
    }

    /// The value of an attribute that may be given for the section or for the whole session.
    pub fn inherited<'a>(&'a self, section: &'a MediaSection, name: &'a str) -> Option<&'a str> {
        section.attributes.value(name).or_else(|| self.session.value(name))
    }
}

impl MediaSection {
    /// Parses what follows `m=`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (medium, port, protocol) = (words.next()?, words.next()?, words.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        let formats: Vec<String> = words.map(String::from).collect();
        let attributes = Attributes::default();
        let section = Self { medium: medium.into(), port, protocol: protocol.into(), formats, attributes };
        Some(section).filter(|section| !section.formats.is_empty())
    }

    /// Its `a=mid`.
    pub fn mid(&self) -> Option<&str> {
        self.attributes.value("mid")
    }

    /// Whether the offerer has rejected or removed it (RFC 3264 section 8.2). A `bundle-only` section has port zero,
    /// too, and is offered all the same (RFC 9143 section 6).
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.attributes.has("bundle-only")
    }

    /// Whether it is for RTP; all profiles of RFC 8829 section 5.1.2 end in DTLS-SRTP when there is a fingerprint.
    pub fn is_rtp(&self) -> bool {
        self.protocol.split('/').any(|part| part == "RTP")
    }

    /// Whether it is for data channels.
    pub fn is_data(&self) -> bool {
        self.medium == "application"
            && self.protocol.ends_with("DTLS/SCTP")
            && (self.formats == ["webrtc-datachannel"] || self.old_sctp_port().is_some())
    }

    /// The SCTP port of a data channel section in the form before RFC 8841, which has it as its format.
    pub fn old_sctp_port(&self) -> Option<u16> {
        self.formats.first()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sdp: &str) -> Description {
        Description::parse(sdp).expect("a description")
    }

    #[test]
    fn a_direction_is_inherited_and_sendrecv_by_default() {
        let receives = |session: &str, media: &str| {
            let description = parse(&format!("v=0\n{session}m=video 9 RTP/SAVPF 96\n{media}"));
            description.receives(&description.media[0])
        };
        assert!(receives("", "") && receives("a=recvonly\n", "") && receives("a=inactive\n", "a=recvonly \n"));
        assert!(!receives("a=sendonly\r\n", "") && !receives("a=recvonly\r\n", "a=inactive\r\n"));
        let sends = |media: &str| {
            let description = parse(&format!("v=0\nm=audio 9 RTP/SAVPF 96\n{media}"));
            description.sends(&description.media[0])
        };
        assert!(sends("") && sends("a=sendrecv\n") && sends("a=sendonly\n"));
        assert!(!sends("a=recvonly\n") && !sends("a=inactive\n"));
    }

    #[test]
    fn port_zero_is_a_rejection_unless_the_section_is_bundle_only() {
        let rejected = |sdp: &str| parse(sdp).media[0].is_rejected();
        assert!(rejected("v=0\nm=video 0 UDP/TLS/RTP/SAVPF 96\n"));
        assert!(!rejected("v=0\nm=video 0 UDP/TLS/RTP/SAVPF 96\na=bundle-only\n"));
        assert!(!rejected("v=0\nm=video 9/2 UDP/TLS/RTP/SAVPF 96\n"));
    }

    #[test]
    fn malformed_lines_are_named() {
        for (sdp, words) in [
            ("v=0\r\nnonsense", "line 2 has no ="),
            ("v=0\r\nab=c", "line 2 does not begin"),
            ("v=0\r\n\r\nm=video", "line 3 is not m="),
            ("v=0\nm=video x RTP/SAVPF 96", "line 2 is not m="),
            ("v=0\nm=video 9 RTP/SAVPF", "line 2 is not m="),
            ("v=0\nm=video 9 RTP/SAVPF 96\na=mid:0\nm=audio 9 RTP/SAVPF 0\na=mid:0\n", "same a=mid"),
        ] {
            let error = Description::parse(sdp).expect_err(sdp).to_string();
            assert!(error.contains(words), "{sdp:?}: {error}");
        }
    }
}
