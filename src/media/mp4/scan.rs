//! Reads a file that was not ended, because power was cut or the program was killed: which of its fragments are whole.

use std::io::{self, Read, Seek, SeekFrom};

use shiguredo_mp4::Decode as _;
use shiguredo_mp4::boxes::MoofBox;

use super::header::FileHeader;
use super::index::{FileIndex, INDEX_BYTES};
use super::{VIDEO_TRACK, of_ticks};

/// The most bytes of a header or of the description of a fragment: far more than ours have.
const MAX_BOX: u64 = 1 << 20;

/// What is known of a file: its header, and its whole fragments. `None` if it has no header of ours.
///
/// # Errors
///
/// When it cannot be read.
pub fn scan(file: &mut (impl Read + Seek)) -> io::Result<Option<(FileHeader, FileIndex)>> {
    let total = file.seek(SeekFrom::End(0))?;
    let Some(header) = header_within(file, total)? else { return Ok(None) };
    let mut index = FileIndex::new(header.data.len() as u64);
    while let Some((kind, bytes)) = box_at(file, index.bytes(), total)? {
        let data_at = index.bytes() + bytes;
        let Some((next, data_bytes)) = box_at(file, data_at, total)? else { break };
        if (&kind, &next) != (b"moof", b"mdat") || bytes > MAX_BOX || data_at + data_bytes > total {
            break;
        }
        let moof = read_at(file, index.bytes(), bytes)?;
        let Some((start, end, key)) = MoofBox::decode(&moof).ok().and_then(|(moof, _)| times(&moof)) else { break };
        index.note(bytes + data_bytes, of_ticks(start), of_ticks(end), key);
    }
    Ok(Some((header, index)))
}

/// The header of a file; `None` if it has none of ours.
///
/// # Errors
///
/// When it cannot be read.
pub fn read_header(file: &mut (impl Read + Seek)) -> io::Result<Option<FileHeader>> {
    let total = file.seek(SeekFrom::End(0))?;
    header_within(file, total)
}

/// The header, up to and with the room for the index.
fn header_within(file: &mut (impl Read + Seek), total: u64) -> io::Result<Option<FileHeader>> {
    let mut at = 0;
    for expected in [b"ftyp", b"moov"] {
        match box_at(file, at, total)? {
            Some((kind, bytes)) if kind == *expected && bytes <= MAX_BOX => at += bytes,
            _ => return Ok(None),
        }
    }
    let end = at + INDEX_BYTES as u64;
    // It may have been ended, but not named so.
    let is_ours = matches!(box_at(file, at, total)?, Some((kind, _)) if [*b"free", *b"sidx"].contains(&kind));
    if !is_ours || end > total {
        return Ok(None);
    }
    let data = read_at(file, 0, end)?;
    let length_at = memchr::memmem::rfind(&data[..at as usize], b"mehd").map(|found| found as u64 + 8);
    Ok(length_at.map(|length_at| FileHeader { data, index_at: at, length_at }))
}

/// The type and the length of the box at an offset; `None` if there is none.
fn box_at(file: &mut (impl Read + Seek), at: u64, total: u64) -> io::Result<Option<([u8; 4], u64)>> {
    if at + 8 > total {
        return Ok(None);
    }
    let head = read_at(file, at, 8)?;
    let (length, kind) = head.split_at(4);
    let length = length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
    let kind = <[u8; 4]>::try_from(kind).unwrap_or_default();
    // Ours have neither a longer length nor one to the end of the file.
    Ok((length >= 8).then_some((kind, length)))
}

fn read_at(file: &mut (impl Read + Seek), at: u64, bytes: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut data = vec![0; bytes as usize];
    file.read_exact(&mut data)?;
    Ok(data)
}

/// When the video of a fragment starts and ends, in ticks, and whether it begins with a key frame.
fn times(moof: &MoofBox) -> Option<(u64, u64, bool)> {
    let traf = moof.traf_boxes.iter().find(|traf| traf.tfhd_box.track_id == VIDEO_TRACK)?;
    let run = traf.trun_boxes.first()?;
    let start = traf.tfdt_box.as_ref()?.base_media_decode_time;
    let default = traf.tfhd_box.default_sample_duration;
    let length: u64 = run.samples.iter().map(|sample| u64::from(sample.duration.or(default).unwrap_or_default())).sum();
    Some((start, start.checked_add(length)?, run.first_sample_flags.is_some()))
}
