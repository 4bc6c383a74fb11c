//! H.264 access units as RTP payloads (RFC 6184). Sending them does not belong here.

use bytes::Bytes;
use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::packetizer::Payloader as _;

use crate::media::h264::{PPS, SPS, nal_type, nals};
use crate::server::rtc::sdp::formats::PacketizationMode;

/// The header of an aggregation packet (STAP-A, section 5.7.1) with the priority of a parameter set.
const STAP_A: u8 = 0x78;

/// The shortest start code, which stands before each NAL unit.
const START_CODE: usize = 3;

/// The payloads of an access unit in Annex B format in this mode. Where NAL units can be cut, they have `limit` bytes at most.
pub fn payloads(
    access_unit: &Bytes,
    mode: PacketizationMode,
    limit: usize,
) -> Result<Vec<Bytes>, webrtc::error::Error> {
    match mode {
        PacketizationMode::SingleNalUnit => Ok(nals(access_unit).map(|nal| access_unit.slice_ref(nal)).collect()),
        PacketizationMode::NonInterleaved => non_interleaved(access_unit, limit),
    }
}

/// The payloads of an access unit, of `limit` bytes at most. The parameter sets at its beginning are
/// aggregated here, however many there are: the library sends one of each kind and forgets the others.
fn non_interleaved(access_unit: &Bytes, limit: usize) -> Result<Vec<Bytes>, webrtc::error::Error> {
    let mut payloads = Vec::new();
    let mut aggregate = vec![STAP_A];
    let mut rest = access_unit.len();
    for nal in nals(access_unit) {
        if !matches!(nal_type(nal), SPS | PPS) {
            rest = nal.as_ptr() as usize - access_unit.as_ptr() as usize - START_CODE;
            break;
        }
        if aggregate.len() > 1 && aggregate.len() + 2 + nal.len() > limit {
            payloads.push(std::mem::replace(&mut aggregate, vec![STAP_A]).into());
        }
        // A set beyond the limit, which no camera has, is lost, as with the library.
        if aggregate.len() + 2 + nal.len() <= limit {
            aggregate.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            aggregate.extend_from_slice(nal);
        }
    }
    if aggregate.len() > 1 {
        payloads.push(aggregate.into());
    }
    payloads.extend(H264Payloader::default().payload(limit, &access_unit.slice(rest..))?);
    Ok(payloads)
}

/// Whether a payload begins with a sequence parameter set, as every key frame does.
pub fn begins_key_frame(payload: &[u8]) -> bool {
    match payload {
        [STAP_A, _, _, first, ..] | [first, ..] => first & 0x1f == SPS,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads_in(mode: PacketizationMode, units: &[&[u8]], limit: usize) -> Vec<Vec<u8>> {
        let data: Vec<u8> = units.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect();
        payloads(&data.into(), mode, limit).expect("cut").iter().map(|payload| payload.to_vec()).collect()
    }

    fn cut(units: &[&[u8]], limit: usize) -> Vec<Vec<u8>> {
        payloads_in(PacketizationMode::NonInterleaved, units, limit)
    }

    #[test]
    fn single_nal_units_are_neither_aggregated_nor_cut() {
        let units = [&[0x67, 66, 0xc0, 31][..], &[0x68, 0xce], &[0x65, 0x88, 7], &[0x65, 0x89]];
        assert_eq!(payloads_in(PacketizationMode::SingleNalUnit, &units, 3), units);
    }

    #[test]
    fn all_parameter_sets_are_sent_before_the_frame() {
        let (sps, one, two) = (&[0x67, 66, 0xc0, 31][..], &[0x68, 0xce][..], &[0x68, 0x5e][..]);
        let (idr, slice) = (&[0x65, 0x88][..], &[0x41, 0x9a][..]);
        let pair = [&[STAP_A, 0, 4][..], sps, &[0, 2], one].concat();
        assert_eq!(cut(&[sps, one, idr, idr], 100), [pair.clone(), idr.to_vec(), idr.to_vec()]);
        assert_eq!(cut(&[sps, one, two, idr], 100), [[&pair[..], &[0, 2], two].concat(), idr.to_vec()]);
        let next = [&[STAP_A, 0, 2][..], two].concat();
        assert_eq!(cut(&[sps, one, two, idr], pair.len()), [pair, next, idr.to_vec()]);
        assert!(begins_key_frame(&cut(&[sps, one, idr], 100)[0]) && begins_key_frame(sps));
        assert!(!begins_key_frame(slice) && !begins_key_frame(&[]) && !begins_key_frame(&[STAP_A, 0]));
        assert_eq!(cut(&[slice], 100), [slice]);
        assert_eq!(cut(&[], 100), Vec::<Vec<u8>>::new());
    }
}
