//! An offer that is answered: what was chosen of it for each section. Pure.
//!
//! The video is sent on one section with one H.264 format; at most one section each of audio, data channels and a talker's
//! picture goes with it, on one transport. The answer is written in `answer`.

use super::bundle::{Bundle, SectionRole};
use super::description::{Description, MediaSection};
use super::formats;
use super::formats::{
    ABS_CAPTURE_TIME, H264Format, PLAYOUT_DELAY, TRANSPORT_FEEDBACK, TRANSPORT_WIDE_NUMBER, VIDEO_FEEDBACK,
    VIEWERS_ESTIMATE,
};
use super::transport::{SectionTransport, Setup};
use super::trickle::{MAX_CANDIDATES, TrickledCandidate};
use crate::media::ScreenCodec;

/// An offer, and how it is answered.
#[derive(Debug, Clone)]
pub struct AcceptedOffer {
    /// The viewer's end of the transport.
    pub transport: SectionTransport,
    /// The viewer's candidates for the transport that is used.
    pub candidates: Vec<TrickledCandidate>,
    /// The H.264 format that the video is sent as.
    pub format: H264Format,
    /// How video is sent.
    pub video: RtpFormat,
    /// How audio is sent, if the viewer wants it.
    pub audio: Option<RtpFormat>,
    /// How the viewer may send audio, if it offers to; whoever answers the offer may leave it out.
    pub talk: Option<TalkFormat>,
    /// How the viewer may send its picture, if it offers to; whoever answers the offer may leave it out.
    pub screen: Option<ScreenFormat>,
    /// The viewer's data channels, if it has any.
    pub data: Option<DataFormat>,
    /// Whether the viewer is the DTLS client.
    pub offerer_is_dtls_client: bool,
    /// Whether the viewer cannot check and nominate paths (RFC 8445 section 2.5).
    pub offerer_is_lite: bool,
    pub(super) description: Description,
    pub(super) bundle: Bundle,
}

/// What was negotiated for one RTP stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RtpFormat {
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// The payload type of packets that carry earlier ones too (RFC 2198).
    pub red: Option<u8>,
    /// The feedback messages that both sides know.
    pub feedback: Vec<String>,
    /// The id of the header extension for capture times.
    pub capture_time_id: Option<u8>,
    /// The id of the header extension for the playout delay.
    pub playout_delay_id: Option<u8>,
    /// The id of the header extension for the transport-wide number, if the viewer reports on it.
    pub transport_number_id: Option<u8>,
}

/// What was negotiated for the audio that the viewer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TalkFormat {
    /// The payload type of Opus.
    pub payload_type: u8,
    /// The payload type of packets that carry earlier ones too (RFC 2198).
    pub red: Option<u8>,
}

/// What was negotiated for the picture that the viewer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreenFormat {
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588). Without one they are the same packets once more.
    pub rtx: Option<u8>,
    /// How it is compressed.
    pub codec: ScreenCodec,
}

/// What was negotiated for the data channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFormat {
    /// The longest message that the viewer accepts in bytes; 0 means any.
    pub max_message_size: u32,
}

/// The longest message of a viewer that does not say what it accepts (RFC 8841 section 6.1).
const DEFAULT_MAX_MESSAGE_SIZE: u32 = 64 * 1024;

impl AcceptedOffer {
    /// The offer with the video sent as `format` on one section, together with the others of its `bundle`.
    pub fn new(description: &Description, format: H264Format, bundle: &Bundle, transport: &SectionTransport) -> Self {
        let section = |role| {
            let mut sections = bundle.roles.iter().zip(&description.media);
            sections.find(|(of, _)| **of == role).map(|(_, section)| section)
        };
        let data = section(SectionRole::Data);
        // The libraries that use the old form of data channel sections (aiortc) start SCTP themselves and ignore our
        // INIT, and ours can't do both. So the viewer is made the client of DTLS, which opens the association.
        let old_data = data.is_some_and(|section| section.old_sctp_port().is_some());
        let offerer_is_dtls_client = match transport.setup {
            Setup::Active => true,
            Setup::Passive => false,
            Setup::Any => old_data,
        };
        let video = section(SectionRole::Video).map(|section| video(description, section, format)).unwrap_or_default();
        let own = section(SectionRole::Screen).and_then(formats::screen);
        let own = own.map(|(payload_type, codec)| ScreenFormat { payload_type, rtx: None, codec });
        // On the section of the video it is sent as what is received there.
        let shared = section(SectionRole::Video).filter(|section| description.sends(section)).map(|_| ScreenFormat {
            payload_type: video.payload_type,
            rtx: video.rtx,
            codec: ScreenCodec::H264,
        });
        let is_numbered = video.transport_number_id.is_some();
        let talks = section(SectionRole::Audio).is_some_and(|section| description.sends(section));
        let audio = section(SectionRole::Audio).and_then(|section| audio(description, section, is_numbered));
        let talk = audio.as_ref().filter(|_| talks);
        let talk = talk.map(|audio| TalkFormat { payload_type: audio.payload_type, red: audio.red });
        Self {
            transport: transport.clone(),
            candidates: candidates(description, bundle, transport),
            format,
            video,
            audio,
            talk,
            screen: own.or(shared),
            data: data.map(data_format),
            offerer_is_dtls_client,
            offerer_is_lite: description.session.has("ice-lite"),
            description: description.clone(),
            bundle: bundle.clone(),
        }
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

/// How video is sent on its section.
fn video(description: &Description, section: &MediaSection, format: H264Format) -> RtpFormat {
    let payload_type = format.payload_type;
    let offered = formats::feedback(section, payload_type);
    let (transport_number_id, congestion) = congestion_feedback(description, section, &offered);
    let others = offered.iter().filter(|message| VIDEO_FEEDBACK.contains(&message.as_str())).cloned();
    RtpFormat {
        payload_type,
        rtx: formats::rtx(section, payload_type),
        red: None,
        feedback: others.chain(congestion).collect(),
        capture_time_id: extension_id(description, section, ABS_CAPTURE_TIME),
        playout_delay_id: extension_id(description, section, PLAYOUT_DELAY),
        transport_number_id,
    }
}

/// How audio is sent on its section. It has transport-wide numbers only together with the video: the numbers are for all that
/// is sent.
fn audio(description: &Description, section: &MediaSection, is_video_numbered: bool) -> Option<RtpFormat> {
    let payload_type = formats::opus(section)?;
    let capture_time_id = extension_id(description, section, ABS_CAPTURE_TIME);
    let offered = formats::feedback(section, payload_type);
    let (transport_number_id, congestion) = congestion_feedback(description, section, &offered);
    let transport_number_id = transport_number_id.filter(|_| is_video_numbered);
    let feedback = congestion.into_iter().filter(|_| transport_number_id.is_some()).collect();
    let red = formats::red(section, payload_type);
    Some(RtpFormat { payload_type, red, capture_time_id, feedback, transport_number_id, ..RtpFormat::default() })
}

/// How the viewer reports what its network carries: the id of the extension for the transport-wide number if it offers
/// that together with the feedback on it, and the message; otherwise its own estimate, if it offers that.
fn congestion_feedback(
    description: &Description,
    section: &MediaSection,
    offered: &[String],
) -> (Option<u8>, Option<String>) {
    let offers = |message: &str| offered.iter().any(|offered| offered == message);
    let id = extension_id(description, section, TRANSPORT_WIDE_NUMBER).filter(|_| offers(TRANSPORT_FEEDBACK));
    let message = if id.is_some() { TRANSPORT_FEEDBACK } else { VIEWERS_ESTIMATE };
    (id, offers(message).then(|| message.to_owned()))
}

/// The id of a header extension that we send. The two-byte form is used only where it may alternate with the other.
fn extension_id(description: &Description, section: &MediaSection, uri: &str) -> Option<u8> {
    let mixed = formats::allows_mixed_extensions(description, section);
    formats::extension_id(description, section, uri, mixed)
}

fn data_format(section: &MediaSection) -> DataFormat {
    let size = section.attributes.value("max-message-size").and_then(|size| size.parse::<u32>().ok());
    DataFormat { max_message_size: size.unwrap_or(DEFAULT_MAX_MESSAGE_SIZE) }
}
