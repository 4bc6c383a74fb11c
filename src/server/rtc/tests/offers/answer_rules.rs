//! What an answer may hold, by the offer that it answers.

use std::collections::HashSet;

use crate::server::rtc::sdp::sections::{Section, bundle_group, mid, sections};

/// The values of a section's attributes with this name.
fn values<'a>(section: &'a Section<'_>, name: &'a str) -> impl Iterator<Item = &'a str> {
    section.iter().filter_map(move |line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

fn has(section: &Section<'_>, attribute: &str) -> bool {
    section.iter().any(|line| line.strip_prefix("a=") == Some(attribute))
}

/// The `packetization-mode` of a payload type of H.264.
fn packetization_mode<'a>(section: &'a Section<'_>, payload_type: &str) -> &'a str {
    let line = values(section, "fmtp").find(|fmtp| fmtp.split(' ').next() == Some(payload_type)).unwrap_or_default();
    let words = line.split([' ', ';']).map(str::trim);
    words.filter_map(|word| word.strip_prefix("packetization-mode=")).next().unwrap_or("0")
}

/// The words of the `m=` line.
fn media<'a>(section: &Section<'a>) -> Vec<&'a str> {
    section.first().map(|line| line.trim_end().split(' ').collect()).unwrap_or_default()
}

/// One line for an answer; see the rows.
pub fn summary(answer: &str) -> String {
    let part = |section: &Section<'_>| {
        let words = media(section);
        let medium = words[0].trim_start_matches("m=");
        match (medium, words[1]) {
            (_, "0") => format!("{medium} x"),
            ("application", _) => medium.to_owned(),
            _ if has(section, "inactive") => format!("{medium} -"),
            _ => format!("{medium} {}", words[3..].join("+")),
        }
    };
    sections(answer).iter().skip(1).map(part).collect::<Vec<_>>().join(", ")
}

/// The rules that an answer breaks.
pub fn violations(offer: &str, answer: &str) -> Vec<String> {
    let (offer, answer) = (sections(offer), sections(answer));
    let mut broken = Vec::new();
    let mut check = |met: bool, rule: String| {
        if !met {
            broken.push(rule);
        }
    };
    check(offer.len() == answer.len(), format!("{} sections instead of {}", answer.len(), offer.len()));
    let offered: Vec<&str> = values(&offer[0], "group").filter_map(|group| group.strip_prefix("BUNDLE ")).collect();
    let group: Vec<&str> = bundle_group(&answer).collect();
    let within = |of: &&str| group.iter().all(|mid| of.split(' ').any(|offered| offered == *mid));
    check(group.is_empty() || offered.iter().any(within), format!("the group {group:?} was not offered"));
    check(!has(&answer[0], "extmap-allow-mixed") || has(&offer[0], "extmap-allow-mixed"), "extmap-allow-mixed".into());
    let with_candidates = answer.iter().filter(|section| values(section, "candidate").next().is_some()).count();
    check(with_candidates == 1, format!("{with_candidates} sections have candidates"));
    for (number, (theirs, ours)) in offer.iter().zip(&answer).enumerate().skip(1) {
        let mut check = |met: bool, rule: String| check(met, format!("section {number}: {rule}"));
        let (their_media, our_media) = (media(theirs), media(ours));
        check(their_media[0] == our_media[0] && their_media[2] == our_media[2], format!("{our_media:?}"));
        check(our_media[3..].iter().all(|format| their_media[3..].contains(format)), format!("{our_media:?}"));
        check(mid(theirs).map(str::trim_end) == mid(ours), format!("the mid is {:?}", mid(ours)));
        check(ours.iter().any(|line| line.starts_with("c=")), "no connection".into());
        let is_live = our_media[1] != "0";
        let in_group = mid(ours).is_some_and(|mid| group.contains(&mid));
        check(!in_group || is_live, "a rejected section is in the group".into());
        check(group.is_empty() || in_group || !is_live, "a live section is not in the group".into());
        check(!is_live || their_media[1] != "0" || has(theirs, "bundle-only"), "it was not offered".into());
        let transport = ["ice-ufrag", "ice-pwd", "setup"];
        if !is_live {
            // As webrtcbin wants it.
            let offered = values(theirs, "ice-ufrag").next().is_some();
            check(!offered || transport.iter().all(|name| values(ours, name).count() == 1), "no transport".into());
            continue;
        }
        check(transport.iter().all(|name| values(ours, name).count() == 1), "no or two transports".into());
        let setup = values(ours, "setup").next().unwrap_or_default();
        let their_setup = values(theirs, "setup").chain(values(&offer[0], "setup")).next().map(str::trim_end);
        check(
            matches!(
                (their_setup, setup),
                (Some("active"), "passive")
                    | (Some("passive"), "active")
                    | (Some("actpass") | None, "active" | "passive")
            ),
            format!("{setup} answers {their_setup:?}"),
        );
        for flag in ["rtcp-mux", "rtcp-rsize"] {
            check(!has(ours, flag) || theirs.iter().any(|line| line.trim_end() == format!("a={flag}")), flag.into());
        }
        let mixed = [&offer[0], theirs].iter().any(|section| has(section, "extmap-allow-mixed"));
        for extension in values(ours, "extmap") {
            let (id, uri) = extension.split_once(' ').unwrap_or_default();
            let same = |offered: &str| {
                let (offered, of) = offered.trim_end().split_once(' ').unwrap_or_default();
                offered.split('/').next() == Some(id) && of == uri
            };
            check(values(theirs, "extmap").any(same), format!("{extension} was not offered"));
            check(mixed || id.parse().is_ok_and(|id: u8| id < 15), format!("{extension} needs the two-byte form"));
        }
        let maps: Vec<&str> = values(ours, "rtpmap").filter_map(|map| map.split(' ').next()).collect();
        let distinct: HashSet<&&str> = maps.iter().collect();
        check(distinct.len() == maps.len(), format!("payload types twice: {maps:?}"));
        check(maps.iter().all(|map| our_media[3..].contains(map)), format!("{maps:?} is not in {our_media:?}"));
        if has(ours, "sendonly") {
            let formats: HashSet<&&str> = our_media[3..].iter().collect();
            check(formats.len() + 3 == our_media.len(), format!("formats twice: {our_media:?}"));
            check(formats == distinct, format!("{our_media:?} has {maps:?}"));
            check(
                our_media[0] != "m=video" || values(ours, "fmtp").any(|fmtp| fmtp.contains("profile-level-id=")),
                "no fmtp".into(),
            );
            let modes = [ours, theirs].map(|section| packetization_mode(section, our_media[3]));
            check(our_media[0] != "m=video" || modes[0] == modes[1], format!("packetization-modes {modes:?}"));
        }
    }
    broken
}
