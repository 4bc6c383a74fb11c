//! Decides which offered sections are accepted on the session's transport (BUNDLE, RFC 9143). Pure.
//!
//! A session has one transport: that of its video. Sections that the offerer does not bundle with it are rejected, as
//! an answer may not bundle what the offer did not.

use super::description::{Description, MediaSection};
use super::formats;

/// What becomes of an offered section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionRole {
    /// It carries the video.
    Video,
    /// It carries the audio.
    Audio,
    /// It carries the data channels.
    Data,
    /// The offerer may send a picture of whoever talks on it.
    Screen,
    /// It shares the transport, and nothing is sent on it. Its transport can be that of all others, so rejecting it
    /// would change that.
    Inactive,
    /// It is rejected (RFC 3264 section 6).
    Rejected,
}

/// The sections of an offer that are answered together with one video section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What becomes of each section, in the offer's order.
    pub roles: Vec<SectionRole>,
    /// The indices of the sections that are not rejected, in the order of their BUNDLE group. The transport of the first
    /// is that of all (RFC 9143 section 7.3).
    pub members: Vec<usize>,
    /// Whether the offer has a BUNDLE group for them.
    pub is_grouped: bool,
}

impl Bundle {
    /// The sections that are answered together with the video section `video`.
    pub fn of(description: &Description, video: usize) -> Self {
        let video_mid = description.media.get(video).and_then(MediaSection::mid);
        let mut groups = description.session.values("group").filter_map(|group| group.strip_prefix("BUNDLE "));
        let group = groups.find(|group| video_mid.is_some_and(|video| group.split(' ').any(|mid| mid == video)));
        let mids = group.unwrap_or_default().split_ascii_whitespace();
        let mut group: Vec<usize> = Vec::new();
        for section in mids.filter_map(|mid| description.find(mid)) {
            if !group.contains(&section) {
                group.push(section);
            }
        }
        let is_grouped = !group.is_empty();
        if !is_grouped {
            group.push(video);
        }
        let mut roles = vec![SectionRole::Rejected; description.media.len()];
        let (mut audio, mut data, mut screen) = (false, false, false);
        for (index, section) in description.media.iter().enumerate() {
            if !group.contains(&index) || section.is_rejected() {
                continue;
            }
            roles[index] = if index == video {
                SectionRole::Video
            } else if section.is_data() && !std::mem::replace(&mut data, true) {
                SectionRole::Data
            } else if carries_audio(description, section) && !std::mem::replace(&mut audio, true) {
                SectionRole::Audio
            } else if sends_picture(description, section) && !std::mem::replace(&mut screen, true) {
                SectionRole::Screen
            } else if section.is_rtp() && matches!(section.medium.as_str(), "audio" | "video") {
                SectionRole::Inactive
            } else {
                SectionRole::Rejected
            };
        }
        let members = group.into_iter().filter(|index| roles[*index] != SectionRole::Rejected).collect();
        Self { roles, members, is_grouped }
    }

    /// Whether a section has this role.
    pub fn has(&self, role: SectionRole) -> bool {
        self.roles.contains(&role)
    }
}

/// Whether the offerer wants to send video on this section, in a format that is passed on.
fn sends_picture(description: &Description, section: &MediaSection) -> bool {
    section.medium == "video" && section.is_rtp() && description.sends(section) && formats::screen(section).is_some()
}

/// Whether the offerer wants to receive audio on this section, and takes Opus.
fn carries_audio(description: &Description, section: &MediaSection) -> bool {
    section.medium == "audio" && section.is_rtp() && description.receives(section) && formats::opus(section).is_some()
}
