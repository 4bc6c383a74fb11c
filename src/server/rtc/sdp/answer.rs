//! Writes the answer to an accepted offer (RFC 8829 section 5.3): as many sections as were offered, in the same order
//! (RFC 3264 section 6). Pure.

use super::accepted::{AcceptedOffer, RtpFormat, ScreenFormat};
use super::bundle::SectionRole;
use super::description::MediaSection;
use super::formats;
use super::formats::{ABS_CAPTURE_TIME, PLAYOUT_DELAY, TRANSPORT_WIDE_NUMBER, VIDEO_FEEDBACK};
use crate::media::ScreenCodec;

/// The id of the media stream, and the name of its source (RFC 3550 section 6.5.1): audio and video belong together.
pub const STREAM_ID: &str = "porthole";

/// The Opus parameters of every answer (RFC 7587 section 7).
const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1;stereo=1";

/// Our end of the connection.
#[derive(Debug, Clone)]
pub struct LocalDescription<'a> {
    /// Identifies this description (RFC 8866 section 5.2).
    pub session: u64,
    /// Our ICE username fragment.
    pub ufrag: &'a str,
    /// Our ICE password.
    pub password: &'a str,
    /// The SHA-256 fingerprint of our certificate.
    pub fingerprint: &'a str,
    /// The synchronisation source of the video.
    pub video_ssrc: u32,
    /// That of its retransmissions.
    pub rtx_ssrc: u32,
    /// That of the audio; `None` if there is none.
    pub audio_ssrc: Option<u32>,
    /// The SCTP port of data channels.
    pub sctp_port: u16,
    /// The longest message that we accept on them.
    pub max_message_size: u32,
}

impl AcceptedOffer {
    /// The answer, without candidates.
    pub fn answer(&self, local: &LocalDescription<'_>) -> String {
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=- {} 1 IN IP4 0.0.0.0", local.session >> 1),
            "s=-".into(),
            "t=0 0".into(),
        ];
        let mids = self.bundle.members.iter().filter_map(|member| self.description.media[*member].mid());
        if self.bundle.is_grouped {
            lines.push(format!("a=group:BUNDLE {}", mids.collect::<Vec<_>>().join(" ")));
        }
        if self.description.session.has("extmap-allow-mixed") {
            lines.push("a=extmap-allow-mixed".into());
        }
        for (offered, role) in self.description.media.iter().zip(&self.bundle.roles) {
            match (role, local.audio_ssrc, &self.audio) {
                (SectionRole::Video, ..) => lines.extend(self.video_section(offered, local)),
                (SectionRole::Audio, ssrc, Some(format)) if ssrc.is_some() || self.talk.is_some() => {
                    lines.extend(self.audio_section(offered, format, local));
                }
                (SectionRole::Data, ..) => lines.extend(self.data_section(offered, local)),
                (SectionRole::Screen, ..) => lines.extend(match &self.screen {
                    Some(format) => self.screen_section(offered, format, local),
                    None => self.inactive(offered, local),
                }),
                (SectionRole::Inactive | SectionRole::Audio, ..) => lines.extend(self.inactive(offered, local)),
                (SectionRole::Rejected, ..) => lines.extend(self.rejected(offered, local)),
            }
        }
        lines.iter().flat_map(|line| [line, "\r\n"]).collect()
    }

    fn video_section(&self, offered: &MediaSection, local: &LocalDescription<'_>) -> Vec<String> {
        let RtpFormat { payload_type, rtx, feedback, .. } = &self.video;
        let formats: Vec<String> = [Some(*payload_type), *rtx].iter().flatten().map(u8::to_string).collect();
        let is_shared = self.screen.is_some() && !self.bundle.has(SectionRole::Screen);
        let direction = if is_shared { "sendrecv" } else { "sendonly" };
        let mut lines = self.begin_rtp(offered, &formats.join(" "), direction, local);
        lines.push(format!("a=rtpmap:{payload_type} H264/90000"));
        lines.push(format!("a=fmtp:{payload_type} {}", self.format.parameters()));
        lines.extend(feedback.iter().map(|message| format!("a=rtcp-fb:{payload_type} {message}")));
        if let Some(rtx) = rtx {
            lines.extend([format!("a=rtpmap:{rtx} rtx/90000"), format!("a=fmtp:{rtx} apt={payload_type}")]);
            lines.push(format!("a=ssrc-group:FID {} {}", local.video_ssrc, local.rtx_ssrc));
        }
        let sources = [Some(local.video_ssrc), rtx.map(|_| local.rtx_ssrc)];
        lines.extend(extensions(&self.video));
        lines.extend(sender("video", sources.into_iter().flatten()));
        lines
    }

    fn audio_section(&self, offered: &MediaSection, format: &RtpFormat, local: &LocalDescription<'_>) -> Vec<String> {
        let RtpFormat { payload_type, red, .. } = format;
        let formats: Vec<String> = [Some(*payload_type), *red].iter().flatten().map(u8::to_string).collect();
        let direction = match (local.audio_ssrc, self.talk) {
            (Some(_), Some(_)) => "sendrecv",
            (Some(_), None) => "sendonly",
            // A speaker without a microphone.
            (None, _) => "recvonly",
        };
        let mut lines = self.begin_rtp(offered, &formats.join(" "), direction, local);
        lines.push(format!("a=rtpmap:{payload_type} opus/48000/2"));
        lines.push(format!("a=fmtp:{payload_type} {OPUS_PARAMETERS}"));
        if let Some(red) = red {
            lines.push(format!("a=rtpmap:{red} red/48000/2"));
            lines.push(format!("a=fmtp:{red} {payload_type}/{payload_type}"));
        }
        lines.extend(format.feedback.iter().map(|message| format!("a=rtcp-fb:{payload_type} {message}")));
        lines.extend(extensions(format));
        lines.extend(local.audio_ssrc.iter().flat_map(|ssrc| sender("audio", [*ssrc])));
        lines
    }

    /// The section on which the viewer sends its picture. What is lost of it is asked for with the feedback of the offer; what its
    /// network carries is left to the reports on what was lost.
    fn screen_section(
        &self,
        offered: &MediaSection,
        format: &ScreenFormat,
        local: &LocalDescription<'_>,
    ) -> Vec<String> {
        let ScreenFormat { payload_type, codec, .. } = format;
        let mut lines = self.begin_rtp(offered, &payload_type.to_string(), "recvonly", local);
        match codec {
            ScreenCodec::H264 => {
                lines.push(format!("a=rtpmap:{payload_type} H264/90000"));
                let h264 = formats::h264(offered).into_iter().find(|h264| h264.payload_type == *payload_type);
                lines.extend(h264.map(|h264| format!("a=fmtp:{payload_type} {}", h264.parameters())));
            }
            ScreenCodec::Vp8 => lines.push(format!("a=rtpmap:{payload_type} VP8/90000")),
        }
        let feedback = formats::feedback(offered, *payload_type).into_iter();
        let known = feedback.filter(|message| VIDEO_FEEDBACK.contains(&message.as_str()));
        lines.extend(known.map(|message| format!("a=rtcp-fb:{payload_type} {message}")));
        lines
    }

    /// The data channel section, in the form of the offered one.
    fn data_section(&self, offered: &MediaSection, local: &LocalDescription<'_>) -> Vec<String> {
        let port = local.sctp_port;
        let is_old = offered.old_sctp_port().is_some();
        let mut lines =
            self.begin(offered, &if is_old { port.to_string() } else { "webrtc-datachannel".into() }, local);
        lines.push(match is_old {
            true => format!("a=sctpmap:{port} webrtc-datachannel 65535"),
            false => format!("a=sctp-port:{port}"),
        });
        lines.push(format!("a=max-message-size:{}", local.max_message_size));
        lines
    }

    /// The answer to a section that shares the transport and carries nothing, with the first format of the offer (RFC
    /// 3264 section 6.1).
    fn inactive(&self, offered: &MediaSection, local: &LocalDescription<'_>) -> Vec<String> {
        let format = offered.formats.first().map_or("0", String::as_str);
        let mut lines = self.begin(offered, format, local);
        lines.push("a=inactive".into());
        lines.extend(Some("a=rtcp-mux".to_owned()).filter(|_| offered.attributes.has("rtcp-mux")));
        for name in ["rtpmap", "fmtp"] {
            let values = offered.attributes.values(name);
            let of = values.filter(|value| value.split(' ').next() == Some(format));
            lines.extend(of.map(|value| format!("a={name}:{value}")));
        }
        lines
    }

    /// The first lines of an RTP section that carries media.
    fn begin_rtp(
        &self,
        offered: &MediaSection,
        formats: &str,
        direction: &str,
        local: &LocalDescription<'_>,
    ) -> Vec<String> {
        let mut lines = self.begin(offered, formats, local);
        lines.extend([format!("a={direction}"), "a=rtcp-mux".into()]);
        for attribute in ["rtcp-rsize", "extmap-allow-mixed"] {
            lines.extend(Some(format!("a={attribute}")).filter(|_| offered.attributes.has(attribute)));
        }
        lines
    }

    /// The first lines of a section: what it is, and its transport.
    fn begin(&self, offered: &MediaSection, formats: &str, local: &LocalDescription<'_>) -> Vec<String> {
        let mut lines =
            vec![format!("m={} 9 {} {formats}", offered.medium, offered.protocol), "c=IN IP4 0.0.0.0".into()];
        lines.extend(offered.mid().map(|mid| format!("a=mid:{mid}")));
        lines.extend(self.transport(local));
        lines
    }

    /// The answer to a section that is rejected (RFC 3264 section 6). GStreamer's webrtcbin rejects an answer in which one
    /// of them has no ICE credentials, so ours stand there too if the offer had some; they mean nothing.
    fn rejected(&self, offered: &MediaSection, local: &LocalDescription<'_>) -> Vec<String> {
        let formats = offered.formats.join(" ");
        let mut lines =
            vec![format!("m={} 0 {} {formats}", offered.medium, offered.protocol), "c=IN IP4 0.0.0.0".into()];
        lines.extend(offered.mid().map(|mid| format!("a=mid:{mid}")));
        lines.extend(Some("a=inactive".to_owned()).filter(|_| offered.is_rtp()));
        if offered.attributes.value("ice-ufrag").is_some() {
            lines.extend(self.transport(local));
        }
        lines
    }

    /// The attributes of the transport.
    fn transport(&self, local: &LocalDescription<'_>) -> [String; 4] {
        let setup = if self.offerer_is_dtls_client { "passive" } else { "active" };
        [
            format!("a=setup:{setup}"),
            format!("a=fingerprint:sha-256 {}", local.fingerprint),
            format!("a=ice-ufrag:{}", local.ufrag),
            format!("a=ice-pwd:{}", local.password),
        ]
    }
}

/// The header extensions of a stream.
fn extensions(format: &RtpFormat) -> impl Iterator<Item = String> {
    let ids = [
        (format.playout_delay_id, PLAYOUT_DELAY),
        (format.capture_time_id, ABS_CAPTURE_TIME),
        (format.transport_number_id, TRANSPORT_WIDE_NUMBER),
    ];
    ids.into_iter().filter_map(|(id, uri)| Some(format!("a=extmap:{} {uri}", id?)))
}

/// The track and its sources.
pub fn sender(track: &str, sources: impl IntoIterator<Item = u32>) -> Vec<String> {
    let msid = format!("msid:{STREAM_ID} {track}");
    let attributes = |source| [format!("a=ssrc:{source} cname:{STREAM_ID}"), format!("a=ssrc:{source} {msid}")];
    [format!("a={msid}")].into_iter().chain(sources.into_iter().flat_map(attributes)).collect()
}
