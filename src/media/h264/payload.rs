//! Cuts H.264 access units into RTP payloads (RFC 6184), once for all viewers. Sending them does not belong here.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{AUD, FILLER, PPS, SPS, nal_type, nals};

/// The maximum RTP payload in bytes: with RTP header, extensions and SRTP tag a packet stays below 1200 bytes, which
/// passes every path that IPv6 (RFC 8200 section 5) and common tunnels allow.
pub const MAX_PAYLOAD: usize = 1_140;

/// What the header extensions of a frame's first packet take more than those of the others: its payload is so much shorter,
/// so that all packets of the frame have one length and the kernel takes them in one system call.
pub const FIRST_EXTENSIONS: usize = 20;

/// The header of an aggregation packet (STAP-A, section 5.7.1) with the priority of a parameter set.
const STAP_A: u8 = 0x78;

/// The type of a fragment (FU-A, section 5.8).
const FU_A: u8 = 28;

/// The mask of the type in a NAL unit's header.
const NAL_TYPE: u8 = 0x1f;

/// NAL units that carry nothing: access unit delimiter, filler data.
const EMPTY: [u8; 2] = [AUD, FILLER];

/// One RTP payload: a NAL unit, several, or a fragment of one, which refers to the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The two bytes before a fragment.
    fragment: Option<[u8; 2]>,
    data: Bytes,
}

impl Payload {
    /// Its length in bytes.
    pub fn byte_count(&self) -> usize {
        self.fragment.map_or(0, |header| header.len()) + self.data.len()
    }

    /// Appends it to a packet.
    pub fn write(&self, packet: &mut Vec<u8>) {
        packet.extend_from_slice(self.fragment.as_ref().map_or(&[], <[u8; 2]>::as_slice));
        packet.extend_from_slice(&self.data);
    }
}

/// The payloads of one frame, cut when they are needed first, and shared by all who send it.
#[derive(Debug, Clone, Default)]
pub struct SharedPayloads(Arc<Cut>);

/// The payloads in each packetization mode.
#[derive(Debug, Default)]
struct Cut {
    non_interleaved: OnceLock<Arc<[Payload]>>,
    single_nal_units: OnceLock<Arc<[Payload]>>,
}

impl SharedPayloads {
    /// The payloads of `access_unit`, which is always the same: NAL units are cut or put together (section 5.4,
    /// packetization-mode 1).
    pub fn non_interleaved(&self, access_unit: &Bytes) -> Arc<[Payload]> {
        self.0.non_interleaved.get_or_init(|| cut(access_unit, MAX_PAYLOAD, FIRST_EXTENSIONS).into()).clone()
    }

    /// The payloads of `access_unit`, each of one NAL unit (packetization-mode 0).
    pub fn single_nal_units(&self, access_unit: &Bytes) -> Arc<[Payload]> {
        let payload = |nal| Payload { fragment: None, data: access_unit.slice_ref(nal) };
        self.0.single_nal_units.get_or_init(|| nals(access_unit).map(payload).collect()).clone()
    }
}

/// The payloads of an access unit in Annex B format, of `limit` bytes at most; the first one has `less`.
fn cut(access_unit: &Bytes, limit: usize, less: usize) -> Vec<Payload> {
    let mut payloads = Vec::new();
    let mut aggregate = vec![STAP_A];
    let flush = |aggregate: &mut Vec<u8>, payloads: &mut Vec<Payload>| {
        if aggregate.len() > 1 {
            let data = std::mem::replace(aggregate, vec![STAP_A]).into();
            payloads.push(Payload { fragment: None, data });
        }
    };
    for nal in nals(access_unit) {
        let nal_type = nal_type(nal);
        if EMPTY.contains(&nal_type) || nal.is_empty() {
            continue;
        }
        if matches!(nal_type, SPS | PPS) && nal.len() + 3 <= limit {
            if aggregate.len() + 2 + nal.len() > limit {
                flush(&mut aggregate, &mut payloads);
            }
            aggregate.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            aggregate.extend_from_slice(nal);
            continue;
        }
        flush(&mut aggregate, &mut payloads);
        let less = if payloads.is_empty() { less } else { 0 };
        push_nal(&access_unit.slice_ref(nal), limit, less, &mut payloads);
    }
    flush(&mut aggregate, &mut payloads);
    payloads
}

/// Adds a NAL unit as it is, or in fragments of one length.
fn push_nal(nal: &Bytes, limit: usize, less: usize, payloads: &mut Vec<Payload>) {
    if nal.len() + less <= limit {
        payloads.push(Payload { fragment: None, data: nal.clone() });
        return;
    }
    let (header, mut rest) = (nal[0], nal.slice(1..));
    let count = (rest.len() + less).div_ceil(limit - 2);
    let size = (rest.len() + less).div_ceil(count);
    let (mut start, mut next) = (0x80, size - less);
    while !rest.is_empty() {
        let data = rest.split_to(next.min(rest.len()));
        let end = if rest.is_empty() { 0x40 } else { 0 };
        payloads.push(Payload { fragment: Some([header & !NAL_TYPE | FU_A, start | end | header & NAL_TYPE]), data });
        (start, next) = (0, size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_all(units: &[&[u8]], limit: usize) -> Vec<Vec<u8>> {
        let data: Vec<u8> = units.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect();
        let payloads = cut(&data.into(), limit, 0);
        payloads.iter().map(written).collect()
    }

    fn written(payload: &Payload) -> Vec<u8> {
        let mut packet = Vec::new();
        payload.write(&mut packet);
        assert_eq!(packet.len(), payload.byte_count());
        packet
    }

    #[test]
    fn all_parameter_sets_are_sent_before_the_frame() {
        let (sps, one, two) = (&[0x67, 66, 0xc0, 31][..], &[0x68, 0xce][..], &[0x68, 0x5e][..]);
        let (idr, slice) = (&[0x65, 0x88][..], &[0x41, 0x9a][..]);
        let pair = [&[STAP_A, 0, 4][..], sps, &[0, 2], one].concat();
        assert_eq!(cut_all(&[sps, one, idr, idr], 100), [pair.clone(), idr.to_vec(), idr.to_vec()]);
        assert_eq!(cut_all(&[sps, one, two, idr], 100), [[&pair[..], &[0, 2], two].concat(), idr.to_vec()]);
        let next = [&[STAP_A, 0, 2][..], two].concat();
        assert_eq!(cut_all(&[sps, one, two, idr], pair.len()), [pair, next, idr.to_vec()]);
        assert_eq!(cut_all(&[slice], 100), [slice]);
        assert_eq!(cut_all(&[&[9, 0xf0], slice, &[12, 0xff]], 100), [slice], "nothing of empty units");
        assert_eq!(cut_all(&[], 100), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn fragments_have_one_length_and_make_up_the_unit() {
        for len in [200, 201, 1_000, 3_333] {
            let nal: Vec<u8> = [0x65].into_iter().chain((1..len).map(|at: usize| at as u8 | 1)).collect();
            let data: Vec<u8> = [&[0, 0, 0, 1][..], &nal].concat();
            for less in [0, 20] {
                let payloads: Vec<_> = cut(&data.clone().into(), 199, less).iter().map(written).collect();
                let last = payloads.len() - 1;
                assert!(payloads.iter().all(|payload| payload.len() <= 199));
                assert!(payloads[1..last].iter().all(|payload| payload.len() == payloads[0].len() + less), "{len}");
                assert!(payloads[last].len() <= payloads[0].len() + less, "{len}");
                assert!(payloads.iter().all(|payload| payload[0] == 0x60 | FU_A));
                let bits: Vec<u8> = payloads.iter().map(|payload| payload[1]).collect();
                assert_eq!((bits[0], bits[last]), (0x85, 0x45));
                assert!(bits[1..last].iter().all(|header| *header == 5));
                let unit: Vec<u8> = payloads.iter().flat_map(|payload| payload[2..].to_vec()).collect();
                assert_eq!(unit, nal[1..]);
            }
        }
    }

    #[test]
    fn each_nal_unit_is_a_payload_in_mode_0() {
        let (sps, idr) = (&[0x67, 66, 0xc0, 31][..], &[0x65, 0x88][..]);
        let frame = Bytes::from([&[0, 0, 0, 1][..], sps, &[0, 0, 1], idr].concat());
        let payloads: Vec<_> = SharedPayloads::default().single_nal_units(&frame).iter().map(written).collect();
        assert_eq!(payloads, [sps, idr]);
    }

    #[test]
    fn a_frame_is_cut_once() {
        let (shared, frame) = (SharedPayloads::default(), Bytes::from_static(&[0, 0, 0, 1, 0x41, 0x9a]));
        assert!(Arc::ptr_eq(&shared.non_interleaved(&frame), &shared.clone().non_interleaved(&frame)));
    }
}
