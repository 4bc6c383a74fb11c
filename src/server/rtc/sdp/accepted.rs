//! An offer that is answered: its description for webrtc-rs, and the answer for the viewer. Pure.
//!
//! webrtc-rs takes only a part of what a legal offer may hold, and its answer lacks the sections that it does not know.
//! So it is given an offer of our own, with just what was chosen of the viewer's: one video section with one H.264
//! format, at most one each of audio and data channels, on one transport. Its answer's sections are then put in the places
//! of the viewer's (RFC 3264 section 6: as many, in the same order), and what was not offered is left out.

use super::bundle::{Bundle, SectionRole};
use super::description::{Description, MediaSection};
use super::formats;
use super::formats::{EXTENSIONS, H264Format, TWO_BYTE_EXTENSIONS};
use super::sections::sections;
use super::transport::{SectionTransport, Setup};
use super::trickle::{MAX_CANDIDATES, TrickledCandidate};

/// An offer, and how it is answered.
#[derive(Debug, Clone)]
pub struct AcceptedOffer {
    /// The offer for webrtc-rs.
    pub library_offer: String,
    /// The viewer's candidates for the transport that is used.
    pub candidates: Vec<TrickledCandidate>,
    /// The H.264 format that the video is sent as.
    pub format: H264Format,
    /// Whether the viewer wants audio.
    pub wants_audio: bool,
    /// Whether the viewer has data channels.
    pub wants_data: bool,
    /// Whether the viewer wants to be the DTLS client.
    pub offerer_is_dtls_client: bool,
    description: Description,
    bundle: Bundle,
}

impl AcceptedOffer {
    /// The offer with the video sent as `format` on one section, together with the others of its `bundle`.
    pub fn new(description: &Description, format: H264Format, bundle: &Bundle, transport: &SectionTransport) -> Self {
        let data = bundle.roles.iter().zip(&description.media).find(|(role, _)| **role == SectionRole::Data);
        // The libraries that use the old form of data channel sections (aiortc) start SCTP themselves and ignore our
        // INIT, and webrtc-rs ignores theirs if it is the DTLS client. So the viewer is made the client of both.
        let old_data = data.is_some_and(|(_, section)| section.old_sctp_port().is_some());
        let offerer_is_dtls_client = match transport.setup {
            Setup::Active => true,
            Setup::Passive => false,
            Setup::Any => old_data,
        };
        Self {
            library_offer: library_offer(description, format, bundle, transport, offerer_is_dtls_client),
            candidates: candidates(description, bundle, transport),
            format,
            wants_audio: bundle.has(SectionRole::Audio),
            wants_data: bundle.has(SectionRole::Data),
            offerer_is_dtls_client,
            description: description.clone(),
            bundle: bundle.clone(),
        }
    }

    /// The answer for the viewer, made of that of webrtc-rs.
    pub fn answer(&self, library_answer: &str) -> String {
        let library = sections(library_answer);
        let mut negotiated = library.iter().skip(1);
        let mut lines: Vec<String> = Vec::new();
        let session = library.first().into_iter().flatten();
        let ours = |line: &&&str| !line.starts_with("a=group:") && **line != "a=extmap-allow-mixed";
        lines.extend(session.filter(ours).map(|line| (*line).to_owned()));
        let mids = self.bundle.members.iter().filter_map(|member| self.description.media[*member].mid());
        if self.bundle.is_grouped {
            lines.push(format!("a=group:BUNDLE {}", mids.collect::<Vec<_>>().join(" ")));
        }
        if self.description.session.has("extmap-allow-mixed") {
            lines.push("a=extmap-allow-mixed".into());
        }
        let transport = library.get(1).map_or(&[][..], Vec::as_slice);
        for (offered, role) in self.description.media.iter().zip(&self.bundle.roles) {
            match role {
                SectionRole::Video | SectionRole::Audio | SectionRole::Data => {
                    let section = negotiated.next().map_or(&[][..], Vec::as_slice);
                    lines.extend(answered(offered, section));
                }
                SectionRole::Inactive => lines.extend(inactive(offered, transport)),
                SectionRole::Rejected => lines.extend(rejected(offered, transport)),
            }
        }
        lines.iter().flat_map(|line| [line, "\r\n"]).collect()
    }
}

/// The candidates of the viewer for the transport that is used: those of the sections with its username fragment, or
/// with none of their own.
fn candidates(description: &Description, bundle: &Bundle, transport: &SectionTransport) -> Vec<TrickledCandidate> {
    let sections = bundle.members.iter().map(|member| &description.media[*member]);
    let sections = sections.filter(|section| {
        let ufrag = section.attributes.value("ice-ufrag");
        ufrag.is_none_or(|ufrag| ufrag == transport.ufrag)
    });
    let mut candidates: Vec<TrickledCandidate> = Vec::new();
    for value in sections.flat_map(|section| section.attributes.values("candidate")) {
        let candidate = format!("candidate:{value}");
        if candidates.len() < MAX_CANDIDATES && candidates.iter().all(|known| known.candidate != candidate) {
            candidates.push(TrickledCandidate { candidate, mid: None });
        }
    }
    candidates
}

/// The offer for webrtc-rs.
fn library_offer(
    description: &Description,
    format: H264Format,
    bundle: &Bundle,
    transport: &SectionTransport,
    offerer_is_dtls_client: bool,
) -> String {
    let setup = match transport.setup {
        _ if offerer_is_dtls_client => "active",
        Setup::Passive => "passive",
        Setup::Active | Setup::Any => "actpass",
    };
    let common = [
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=ice-ufrag:{}", transport.ufrag),
        format!("a=ice-pwd:{}", transport.password),
        format!("a=fingerprint:sha-256 {}", transport.fingerprint),
        format!("a=setup:{setup}"),
    ];
    let mut media = Vec::new();
    let mut count = 0;
    for (section, role) in description.media.iter().zip(&bundle.roles) {
        let lines = match role {
            SectionRole::Video => video(description, section, format),
            SectionRole::Audio => audio(description, section),
            SectionRole::Data => data(section),
            SectionRole::Inactive | SectionRole::Rejected => continue,
        };
        let mut lines = lines.into_iter();
        media.extend(lines.next());
        media.extend(common.iter().cloned());
        media.push(format!("a=mid:{count}"));
        media.extend(lines);
        count += 1;
    }
    let mids: String = (0..count).map(|mid| format!(" {mid}")).collect();
    let mut lines = vec!["v=0".to_owned(), "o=- 1 1 IN IP4 0.0.0.0".into(), "s=-".into(), "t=0 0".into()];
    lines.push(format!("a=group:BUNDLE{mids}"));
    if description.session.has("ice-lite") {
        lines.push("a=ice-lite".into());
    }
    lines.extend(media);
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

/// The video section with the chosen format and its retransmissions.
fn video(description: &Description, section: &MediaSection, format: H264Format) -> Vec<String> {
    let payload_type = format.payload_type;
    let rtx = formats::rtx(section, payload_type);
    let mut lines = vec![format!("m=video 9 UDP/TLS/RTP/SAVPF {payload_type}")];
    if let (Some(rtx), Some(line)) = (rtx, lines.first_mut()) {
        line.push_str(&format!(" {rtx}"));
    }
    lines.push(format!("a=rtpmap:{payload_type} H264/90000"));
    lines.push(format!("a=fmtp:{payload_type} {}", format.parameters()));
    lines.extend(
        formats::feedback(section, payload_type)
            .into_iter()
            .map(|message| format!("a=rtcp-fb:{payload_type} {message}")),
    );
    if let Some(rtx) = rtx {
        lines.extend([format!("a=rtpmap:{rtx} rtx/90000"), format!("a=fmtp:{rtx} apt={payload_type}")]);
    }
    lines.extend(rtp(description, section));
    lines
}

/// The audio section with Opus.
fn audio(description: &Description, section: &MediaSection) -> Vec<String> {
    let Some((payload_type, parameters)) = formats::opus(section) else { return Vec::new() };
    let mut lines =
        vec![format!("m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}"), format!("a=rtpmap:{payload_type} opus/48000/2")];
    if !parameters.is_empty() {
        lines.push(format!("a=fmtp:{payload_type} {parameters}"));
    }
    lines.extend(
        formats::feedback(section, payload_type)
            .into_iter()
            .map(|message| format!("a=rtcp-fb:{payload_type} {message}")),
    );
    lines.extend(rtp(description, section));
    lines
}

/// The direction of an RTP section and the header extensions that we send. We receive nothing from viewers.
fn rtp(description: &Description, section: &MediaSection) -> Vec<String> {
    let mixed = formats::allows_mixed_extensions(description, section);
    let mut lines = vec!["a=recvonly".to_owned(), "a=rtcp-mux".into()];
    for uri in EXTENSIONS {
        let two_bytes = mixed && TWO_BYTE_EXTENSIONS.contains(&uri);
        if let Some(id) = formats::extension_id(description, section, uri, two_bytes) {
            lines.push(format!("a=extmap:{id} {uri}"));
        }
    }
    lines
}

/// The data channel section, in the form of RFC 8841.
fn data(section: &MediaSection) -> Vec<String> {
    let port = section.old_sctp_port().or_else(|| section.attributes.value("sctp-port")?.parse().ok());
    let size = section.attributes.value("max-message-size").and_then(|size| size.parse::<u32>().ok());
    let mut lines = vec![
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned(),
        format!("a=sctp-port:{}", port.unwrap_or(5_000)),
    ];
    lines.extend(size.map(|size| format!("a=max-message-size:{size}")));
    lines
}

/// A section that webrtc-rs has answered, in the form of the offered one.
fn answered(offered: &MediaSection, section: &[&str]) -> Vec<String> {
    let formats = section.first().into_iter().flat_map(|line| line.split(' ').skip(3));
    let old_sctp_port = offered.old_sctp_port().filter(|_| offered.is_data());
    let formats = match old_sctp_port {
        Some(_) => "5000".to_owned(),
        None => formats.collect::<Vec<_>>().join(" "),
    };
    let port = section.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("0");
    let mut lines = vec![format!("m={} {port} {} {formats}", offered.medium, offered.protocol)];
    for line in section.iter().skip(1) {
        match *line {
            line if line.starts_with("a=mid:") => lines.extend(offered.mid().map(|mid| format!("a=mid:{mid}"))),
            "a=rtcp-rsize" if !offered.attributes.has("rtcp-rsize") => {}
            "a=sctp-port:5000" if old_sctp_port.is_some() => {
                lines.push("a=sctpmap:5000 webrtc-datachannel 65535".into());
            }
            line => lines.push(line.into()),
        }
    }
    if offered.attributes.has("extmap-allow-mixed") {
        lines.push("a=extmap-allow-mixed".into());
    }
    lines
}

/// The answer to a section that shares the transport and carries nothing, with the first format of the offer (RFC 3264
/// section 6.1).
fn inactive(offered: &MediaSection, transport: &[&str]) -> Vec<String> {
    let format = offered.formats.first().map_or("0", String::as_str);
    let mut lines = vec![
        format!("m={} 9 {} {format}", offered.medium, offered.protocol),
        "c=IN IP4 0.0.0.0".into(),
        "a=inactive".into(),
    ];
    lines.extend(offered.mid().map(|mid| format!("a=mid:{mid}")));
    lines.extend(Some("a=rtcp-mux".to_owned()).filter(|_| offered.attributes.has("rtcp-mux")));
    lines.extend(transport_attributes(transport));
    for name in ["rtpmap", "fmtp"] {
        let values = offered.attributes.values(name);
        let of = values.filter(|value| value.split(' ').next() == Some(format));
        lines.extend(of.map(|value| format!("a={name}:{value}")));
    }
    lines
}

/// The attributes of a section's transport.
fn transport_attributes<'a>(section: &'a [&str]) -> impl Iterator<Item = String> + use<'a> {
    let names = ["a=ice-ufrag:", "a=ice-pwd:", "a=setup:"];
    let lines = section.iter().filter(move |line| names.iter().any(|name| line.starts_with(name)));
    lines.map(|line| (*line).to_owned())
}

/// The answer to a section that is rejected (RFC 3264 section 6). GStreamer's webrtcbin rejects an answer in which one of them
/// has no ICE credentials, so those of the `transport` in use stand there too if the offer had some; they mean nothing.
fn rejected(offered: &MediaSection, transport: &[&str]) -> Vec<String> {
    let formats = offered.formats.join(" ");
    let mut lines = vec![format!("m={} 0 {} {formats}", offered.medium, offered.protocol), "c=IN IP4 0.0.0.0".into()];
    lines.extend(offered.mid().map(|mid| format!("a=mid:{mid}")));
    lines.extend(Some("a=inactive".to_owned()).filter(|_| offered.is_rtp()));
    if offered.attributes.value("ice-ufrag").is_some() {
        lines.extend(transport_attributes(transport));
    }
    lines
}
