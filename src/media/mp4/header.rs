//! The beginning of a file: `ftyp` and `moov`, which describe its tracks, and the room for the index.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use shiguredo_mp4::boxes::{
    AudioSampleEntryFields, Avc1Box, Brand, DinfBox, DopsBox, EdtsBox, ElstBox, ElstEntry, FtypBox, HdlrBox, MdhdBox,
    MdiaBox, MehdBox, MinfBox, MoovBox, MvexBox, MvhdBox, OpusBox, SampleEntry, SmhdBox, StblBox, StcoBox, StscBox,
    StsdBox, StszBox, SttsBox, TkhdBox, TrakBox, TrexBox, VisualSampleEntryFields, VmhdBox,
};
use shiguredo_mp4::{Either, Encode, FixedPointNumber, Mp4FileTime, SampleFlags, Utf8String};

use super::index::{INDEX_BYTES, free};
use super::{AUDIO_RATE, AUDIO_TRACK, MOVIE_RATE, PRE_SKIP, VIDEO_RATE, VIDEO_TRACK, VideoSetup};

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// Its bytes. Fragments follow.
    pub data: Vec<u8>,
    /// Where the index goes, of `INDEX_BYTES` bytes, once the file has ended.
    pub index_at: u64,
    /// Where the length goes then: in milliseconds, 32 bits, big endian.
    pub length_at: u64,
}

impl FileHeader {
    /// Where in the file its times of creation and of the last change are, one after the other, and how these are written for one
    /// that begins at the time `wall` since the Unix epoch: the clock may be set while it is being written.
    pub fn times(&self, wall: Duration) -> Option<(Vec<u64>, [u8; 8])> {
        let seconds = u32::try_from(Mp4FileTime::from_unix_time(wall).as_secs()).ok()?.to_be_bytes();
        let boxes = &self.data[..usize::try_from(self.index_at).ok()?];
        let found = TIMED_BOXES.iter().flat_map(|kind| memchr::memmem::find_iter(boxes, kind));
        // After the type there are the version, which is zero for times of 32 bits, and flags.
        let places = found.filter(|at| boxes.get(at + 4) == Some(&0)).map(|at| at as u64 + 8);
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..].copy_from_slice(&seconds);
        Some((places.collect(), bytes))
    }
}

/// The types of boxes that begin with times.
static TIMED_BOXES: [&[u8]; 3] = [b"mvhd", b"tkhd", b"mdhd"];

/// One track's part of the header.
struct Track {
    id: u32,
    rate: u32,
    handler: [u8; 4],
    entry: SampleEntry,
    /// Media from before this time is not shown.
    start: i64,
}

/// The header of a file of this video, and of audio of so many channels if there is any, that begins at the time `wall` since
/// the Unix epoch. `None` if the stream cannot be described.
pub fn header(setup: &VideoSetup, channels: Option<u8>, wall: Duration) -> Option<FileHeader> {
    let created = Mp4FileTime::from_unix_time(wall);
    let video = Track {
        id: VIDEO_TRACK,
        rate: VIDEO_RATE,
        handler: HdlrBox::HANDLER_TYPE_VIDE,
        entry: SampleEntry::Avc1(video_entry(setup)),
        start: 0,
    };
    let audio = channels.map(|channels| Track {
        id: AUDIO_TRACK,
        rate: AUDIO_RATE,
        handler: HdlrBox::HANDLER_TYPE_SOUN,
        entry: SampleEntry::Opus(audio_entry(channels)),
        start: PRE_SKIP.into(),
    });
    let tracks: Vec<Track> = [Some(video), audio].into_iter().flatten().collect();
    let brands = [Brand::ISOM, Brand::ISO5, Brand::ISO6, Brand::MP41, Brand::AVC1];
    let ftyp = FtypBox { major_brand: Brand::ISO5, minor_version: 0, compatible_brands: brands.into() };
    let trex = |track: &Track| TrexBox {
        track_id: track.id,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: SampleFlags::empty(),
    };
    let moov = MoovBox {
        mvhd_box: MvhdBox {
            creation_time: created,
            modification_time: created,
            timescale: rate(MOVIE_RATE),
            duration: 0,
            rate: MvhdBox::DEFAULT_RATE,
            volume: MvhdBox::DEFAULT_VOLUME,
            matrix: MvhdBox::DEFAULT_MATRIX,
            next_track_id: AUDIO_TRACK + 1,
        },
        mvex_box: Some(MvexBox {
            mehd_box: Some(MehdBox { fragment_duration: 0 }),
            trex_boxes: tracks.iter().map(trex).collect(),
            unknown_boxes: Vec::new(),
        }),
        trak_boxes: tracks.into_iter().map(|track| trak(track, setup, created)).collect(),
        unknown_boxes: Vec::new(),
    };
    let mut data = ftyp.encode_to_vec().ok()?;
    data.extend(moov.encode_to_vec().ok()?);
    let length_at = memchr::memmem::rfind(&data, b"mehd")? as u64 + 8;
    let index_at = data.len() as u64;
    data.extend(free(INDEX_BYTES));
    Some(FileHeader { data, index_at, length_at })
}

fn video_entry(setup: &VideoSetup) -> Avc1Box {
    let visual = VisualSampleEntryFields {
        data_reference_index: NonZeroU16::MIN,
        width: setup.width,
        height: setup.height,
        horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
        vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
        frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
        compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
        depth: VisualSampleEntryFields::DEFAULT_DEPTH,
    };
    Avc1Box { visual, avcc_box: setup.avcc(), unknown_boxes: Vec::new() }
}

fn audio_entry(channels: u8) -> OpusBox {
    let audio = AudioSampleEntryFields {
        data_reference_index: NonZeroU16::MIN,
        channelcount: channels.into(),
        samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
        samplerate: FixedPointNumber::new(AUDIO_RATE as u16, 0),
    };
    let dops_box =
        DopsBox { output_channel_count: channels, pre_skip: PRE_SKIP, input_sample_rate: AUDIO_RATE, output_gain: 0 };
    OpusBox { audio, dops_box, unknown_boxes: Vec::new() }
}

fn trak(track: Track, setup: &VideoSetup, created: Mp4FileTime) -> TrakBox {
    let is_video = track.id == VIDEO_TRACK;
    // An edit to the end of the file: its length is not known (ISO/IEC 14496-12 section 8.6.6).
    let edit = ElstEntry { edit_duration: 0, media_time: track.start, media_rate: FixedPointNumber::new(1, 0) };
    let edts = EdtsBox { elst_box: Some(ElstBox { entries: vec![edit] }), unknown_boxes: Vec::new() };
    // Samples are described in the fragments.
    let stbl_box = StblBox {
        stsd_box: StsdBox { entries: vec![track.entry] },
        stts_box: SttsBox { entries: Vec::new() },
        ctts_box: None,
        cslg_box: None,
        stsc_box: StscBox { entries: Vec::new() },
        stsz_box: StszBox::Variable { entry_sizes: Vec::new() },
        stco_or_co64_box: Either::A(StcoBox { chunk_offsets: Vec::new() }),
        stss_box: None,
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    };
    let media = if is_video { Either::B(VmhdBox::default()) } else { Either::A(SmhdBox::default()) };
    let side = |pixels: u16| FixedPointNumber::new(if is_video { pixels as i16 } else { 0 }, 0);
    TrakBox {
        tkhd_box: TkhdBox {
            flag_track_enabled: true,
            flag_track_in_movie: true,
            flag_track_in_preview: false,
            flag_track_size_is_aspect_ratio: false,
            creation_time: created,
            modification_time: created,
            track_id: track.id,
            duration: 0,
            layer: TkhdBox::DEFAULT_LAYER,
            alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
            volume: if is_video { TkhdBox::DEFAULT_VIDEO_VOLUME } else { TkhdBox::DEFAULT_AUDIO_VOLUME },
            matrix: TkhdBox::DEFAULT_MATRIX,
            width: side(setup.width),
            height: side(setup.height),
        },
        edts_box: (track.start > 0).then_some(edts),
        mdia_box: MdiaBox {
            mdhd_box: MdhdBox {
                creation_time: created,
                modification_time: created,
                timescale: rate(track.rate),
                duration: 0,
                language: MdhdBox::LANGUAGE_UNDEFINED,
            },
            hdlr_box: HdlrBox { handler_type: track.handler, name: Utf8String::EMPTY.into_null_terminated_bytes() },
            minf_box: MinfBox {
                smhd_or_vmhd_box: Some(media),
                dinf_box: DinfBox::LOCAL_FILE,
                stbl_box,
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    }
}

fn rate(hertz: u32) -> NonZeroU32 {
    NonZeroU32::new(hertz).expect("a rate should not be zero")
}
