//! Rewrites offers that describe data channels in the form before RFC 8841, which webrtc-rs does not parse. Pure.

/// Rewrites each old data channel section: the SCTP port moves to `a=sctp-port`, and `webrtc-datachannel` takes its
/// place.
///
/// The libraries that use the old form (aiortc) start SCTP themselves and ignore our INIT, and webrtc-rs ignores theirs
/// if it is the DTLS client. So it must not be: the viewer is made the client of both.
pub fn upgrade_sctpmap(sdp: &str) -> String {
    let upgraded = sdp.lines().any(|line| parse_old_section(line).is_some());
    let mut lines: Vec<String> = Vec::new();
    // The attribute to add at the end of the section.
    let mut port: Option<String> = None;
    for line in sdp.lines() {
        if line.starts_with("m=") {
            lines.extend(port.take());
        }
        if let Some((transport, sctp)) = parse_old_section(line) {
            lines.push(format!("m=application {transport} UDP/DTLS/SCTP webrtc-datachannel"));
            port = Some(format!("a=sctp-port:{sctp}"));
        } else if upgraded && line == "a=setup:actpass" {
            lines.push("a=setup:active".into());
        } else if port.is_none() || !line.starts_with("a=sctpmap:") {
            lines.push(line.into());
        }
    }
    lines.extend(port);
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

/// The transport port and the SCTP port, if this line starts an old section.
fn parse_old_section(line: &str) -> Option<(&str, u16)> {
    let mut words = line.strip_prefix("m=application ")?.split(' ');
    let (transport, protocol, format) = (words.next()?, words.next()?, words.next()?);
    let is_old = matches!(protocol, "DTLS/SCTP" | "UDP/DTLS/SCTP");
    Some((transport, format.parse().ok().filter(|_| is_old)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_section_becomes_a_new_one_and_others_stay() {
        let offered = "m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:0\r\na=setup:actpass\r\n";
        let video = &offered.replace("actpass", "active");
        let old = "m=application 9 DTLS/SCTP 5000\r\na=mid:1\r\na=sctpmap:5000 webrtc-datachannel 65535\r\n";
        let new = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\na=sctp-port:5000\r\n";
        let session = "v=0\r\n";
        assert_eq!(upgrade_sctpmap(&format!("{session}{old}{offered}")), format!("{session}{new}{video}"));
        assert_eq!(upgrade_sctpmap(&format!("{session}{offered}{old}")), format!("{session}{video}{new}"));
        let both = format!("{offered}{new}");
        assert_eq!(upgrade_sctpmap(&both), both);
        assert_eq!(upgrade_sctpmap(""), "");
    }
}
