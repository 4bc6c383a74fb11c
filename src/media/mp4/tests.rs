//! Tests of the MP4 writer. What players make of the files is tested in `tests/recordings.rs`.

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use shiguredo_mp4::Decode as _;
use shiguredo_mp4::boxes::{MoofBox, SidxBox};

use super::index::INDEX_BYTES;
use super::*;
use crate::media::{AudioPacket, EncodedFrame, Timestamp};

/// Baseline, 1280x720, and high profile.
const SPS: [&[u8]; 2] = [
    &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x28, 0x02, 0xdc, 0x80],
    &[
        0x67, 0x64, 0x00, 0x0a, 0xac, 0x72, 0x84, 0x44, 0x26, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03,
        0x00, 0xca, 0x3c, 0x48, 0x96, 0x11, 0x80,
    ],
];

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(10_000 + milliseconds))
}

fn frame(milliseconds: u64, key: bool) -> EncodedFrame {
    let slice = [&[0, 0, 1, if key { 0x65 } else { 0x41 }][..], &[1; 40]].concat();
    let sets = [&[0, 0, 0, 1][..], SPS[0], &[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]].concat();
    let data: Bytes = if key { [sets, slice].concat().into() } else { slice.into() };
    EncodedFrame::new(at(milliseconds), key, data)
}

fn packet(milliseconds: u64) -> AudioPacket {
    AudioPacket { captured: at(milliseconds), gap: false, data: Bytes::from_static(&[7; 20]) }
}

fn setup() -> VideoSetup {
    VideoSetup::of(&frame(0, true).data).expect("parameter sets")
}

/// A file of so many seconds of 25 frames each, with a key frame every `interval` seconds, and the fragments in it.
fn record(seconds: u64, interval: u64) -> (FileHeader, Vec<Fragment>) {
    let header = header(&setup(), Some(1), Duration::from_secs(1_764_530_000)).expect("a header");
    let mut writer = FragmentWriter::new(at(0));
    let mut fragments = Vec::new();
    for tick in 0..seconds * 50 {
        writer.push_audio(&packet(tick * 20));
        if tick % 2 == 0 {
            fragments.extend(writer.push_video(&frame(tick * 20, tick % (50 * interval) == 0)));
        }
    }
    fragments.extend(writer.flush());
    (header, fragments)
}

fn file(header: &FileHeader, fragments: &[Fragment]) -> Vec<u8> {
    let data = fragments.iter().map(|fragment| fragment.data.as_slice());
    std::iter::once(header.data.as_slice()).chain(data).collect::<Vec<_>>().concat()
}

#[test]
fn setups_differ_with_their_parameter_sets() {
    let setup = setup();
    assert_eq!((setup.width, setup.height), (1280, 720));
    assert_eq!(VideoSetup::of(&frame(9, true).data), Some(setup.clone()));
    let high = [&[0, 0, 1][..], SPS[1], &[0, 0, 1, 0x68, 0xce, 0x3c, 0x80]].concat();
    let high = VideoSetup::of(&high).expect("parameter sets");
    assert!(high != setup && header(&high, None, Duration::ZERO).is_some());
    for without in [frame(0, false).data, Bytes::new(), Bytes::from_static(&[0, 0, 1, 0x67, 0x42, 0, 0, 1, 0x68])] {
        assert_eq!(VideoSetup::of(&without), None);
    }
}

#[test]
fn fragments_are_a_second_and_begin_with_key_frames() {
    let (_, fragments) = record(12, 5);
    let starts: Vec<_> = fragments.iter().map(|fragment| (fragment.start.as_secs(), fragment.key)).collect();
    let expected: Vec<_> = (0..12).map(|second| (second, second % 5 == 0)).collect();
    assert_eq!(starts, expected);
    assert!(fragments.windows(2).all(|pair| pair[0].end == pair[1].start));
    let mut writer = FragmentWriter::new(at(0));
    assert_eq!(writer.push_video(&frame(0, true)), None);
    assert_eq!(writer.push_video(&frame(300, false)), None);
    let cut = writer.push_video(&frame(400, true)).expect("the fragment before the key frame");
    assert_eq!((cut.start, cut.end, cut.key), (Duration::ZERO, Duration::from_millis(400), true));
    // One that goes back in time is left out.
    assert_eq!(writer.push_video(&frame(400, false)), None);
    let last = writer.flush().expect("the rest");
    assert_eq!((last.start.as_millis(), last.key, writer.flush()), (400, true, None));
}

#[test]
fn tracks_have_the_times_of_capture_across_gaps() {
    let mut writer = FragmentWriter::new(at(0));
    writer.push_audio(&packet(0));
    // From before the first frame.
    let early = AudioPacket { captured: Timestamp::default(), ..packet(0) };
    writer.push_audio(&early);
    writer.push_video(&frame(0, true));
    for time in [20, 40, 100] {
        writer.push_audio(&packet(time));
    }
    // Again, and out of order.
    writer.push_audio(&packet(100));
    writer.push_audio(&packet(60));
    writer.push_video(&frame(40, false));
    let before = writer.flush().expect("a fragment");
    writer.push_video(&frame(7_000, true));
    writer.push_audio(&packet(7_020));
    let after = writer.flush().expect("a fragment");
    let times = |fragment: &Fragment| {
        let (moof, _) = MoofBox::decode(&fragment.data).expect("a moof");
        let track = |traf: &shiguredo_mp4::boxes::TrafBox| {
            let start = traf.tfdt_box.as_ref().expect("a time").base_media_decode_time;
            let samples = &traf.trun_boxes[0].samples;
            let default = traf.tfhd_box.default_sample_duration;
            let durations: Vec<_> =
                samples.iter().map(|sample| sample.duration.or(default).expect("a duration")).collect();
            (traf.tfhd_box.track_id, start, durations)
        };
        moof.traf_boxes.iter().map(track).collect::<Vec<_>>()
    };
    assert_eq!(
        times(&before),
        [(1, 0, vec![3_600, 3_600]), (2, 0, vec![960, 960, 2_880, 960])],
        "{:?}",
        times(&before)
    );
    assert_eq!(times(&after), [(1, 630_000, vec![3_000]), (2, 336_960, vec![960])]);
}

#[test]
fn samples_are_where_the_fragment_says() {
    let mut writer = FragmentWriter::new(at(0));
    writer.push_video(&frame(0, true));
    writer.push_audio(&packet(0));
    let fragment = writer.flush().expect("a fragment");
    let (moof, length) = MoofBox::decode(&fragment.data).expect("a moof");
    let offset = |track: usize| moof.traf_boxes[track].trun_boxes[0].data_offset.expect("an offset") as usize;
    assert_eq!(offset(0), length + 8);
    // The slice without the parameter sets, with its length.
    assert_eq!(&fragment.data[offset(0)..offset(0) + 6], [0, 0, 0, 41, 0x65, 1]);
    assert_eq!(&fragment.data[offset(1)..], [7; 20]);
}

#[test]
fn what_is_whole_of_a_file_is_found_wherever_it_ends() {
    let (header, fragments) = record(4, 2);
    let whole = file(&header, &fragments);
    let mut ends = vec![header.data.len()];
    for fragment in &fragments {
        ends.push(ends[ends.len() - 1] + fragment.data.len());
    }
    for length in 0..=whole.len() {
        let found = scan(&mut Cursor::new(&whole[..length])).expect("reading from memory");
        let Some((found, index)) = found else {
            assert!(length < header.data.len(), "{length}");
            continue;
        };
        assert_eq!(found, header);
        let expected = ends.iter().rev().find(|end| **end <= length).copied().expect("the header");
        let count = ends.iter().filter(|end| **end <= length).count() as u64 - 1;
        assert_eq!((index.bytes(), index.length()), (expected as u64, Duration::from_secs(count)), "{length}");
    }
}

#[test]
fn noise_is_no_file() {
    for data in [vec![], vec![0; 64], vec![0xff; 4_096], b"\0\0\0\x08ftyp\0\0\0\x08moov\0\0\0\x08free".to_vec()] {
        assert_eq!(scan(&mut Cursor::new(&data)).expect("reading from memory"), None);
    }
}

#[test]
fn the_index_covers_the_file_from_key_frame_to_key_frame() {
    let (header, fragments) = record(12, 5);
    let mut index = FileIndex::new(header.data.len() as u64);
    assert!(index.is_empty() && index.block().is_none());
    fragments.iter().for_each(|fragment| index.push(fragment));
    let whole = file(&header, &fragments);
    let scanned = scan(&mut Cursor::new(&whole)).expect("reading from memory").expect("a file").1;
    assert_eq!((&scanned, index.bytes()), (&index, whole.len() as u64));
    assert_eq!(index.length_field(), 12_000_u32.to_be_bytes());
    let block = index.block().expect("an index");
    assert_eq!(block.len(), INDEX_BYTES);
    let (sidx, length) = SidxBox::decode(&block).expect("a sidx");
    assert_eq!(&block[length + 4..length + 8], b"free");
    assert_eq!(sidx.first_offset as usize, INDEX_BYTES - length);
    let seconds: Vec<_> = sidx.references.iter().map(|part| part.subsegment_duration / VIDEO_RATE).collect();
    assert_eq!(seconds, [5, 5, 2]);
    let sizes: u32 = sidx.references.iter().map(|part| part.referenced_size).sum();
    assert_eq!(sizes as usize, whole.len() - header.data.len());
}

#[test]
fn an_index_of_many_key_frames_lists_some_of_them() {
    let mut index = FileIndex::new(1_000);
    for second in 0..10_000 {
        index.note(100, Duration::from_secs(second), Duration::from_secs(second + 1), true);
    }
    let (sidx, _) = SidxBox::decode(&index.block().expect("an index")).expect("a sidx");
    assert!((300..=800).contains(&sidx.references.len()), "{}", sidx.references.len());
    assert_eq!(sidx.references.iter().map(|part| part.referenced_size).sum::<u32>(), 1_000_000);
    let total: u64 = sidx.references.iter().map(|part| u64::from(part.subsegment_duration)).sum();
    assert_eq!(total, 10_000 * u64::from(VIDEO_RATE));
}

#[test]
fn a_header_is_told_another_time() {
    let times = [1_764_530_000, 1_764_533_600].map(Duration::from_secs);
    let [mut before, after] = times.map(|wall| header(&setup(), Some(1), wall).expect("a header"));
    assert_ne!(before, after);
    let (places, bytes) = before.times(times[1]).expect("a time of 32 bits");
    // Of the file, and two of each track.
    assert_eq!(places.len(), 5);
    for at in places {
        before.data[at as usize..][..8].copy_from_slice(&bytes);
    }
    assert_eq!(before, after);
    assert_eq!(after.times(Duration::from_secs(1 << 40)), None);
}
