//! Puts the frames of a talker's picture together from the payloads of RTP packets that are in order: H.264 (RFC 6184) in Annex B
//! form, and VP8 (RFC 7741). Pure.
//!
//! The library has this, too, but reads beyond the end of some packets, and sets no bound to what it keeps.

use bytes::Bytes;

use super::window::PicturePacket;
use crate::media::h264::{self, IDR, SPS};
use crate::media::{ScreenCodec, ScreenFrame, ivf};

/// The largest frame: a key frame of the page has a twentieth of it.
pub const MAX_FRAME: usize = 1 << 20;

/// What stands before each NAL unit.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The types of packets that are no NAL unit: several of them in one, and a part of one (RFC 6184 section 5.4).
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Puts frames together.
#[derive(Debug)]
pub struct FrameAssembler {
    codec: ScreenCodec,
    /// The frame so far.
    data: Vec<u8>,
    /// Its RTP timestamp; `None` between two frames.
    timestamp: Option<u32>,
    /// Whether something of it is missing or malformed.
    is_damaged: bool,
    /// Whether the NAL unit at its end is not complete.
    is_cut: bool,
    /// Whether a frame is of use only if it is a key frame.
    needs_key: bool,
    /// The RTP timestamp of the last frame that came out, and its time.
    last: Option<u32>,
    ticks: u64,
    /// Frames that were of no use.
    dropped: u64,
}

impl FrameAssembler {
    /// For a stream that begins with a key frame.
    pub fn new(codec: ScreenCodec) -> Self {
        Self {
            codec,
            data: Vec::new(),
            timestamp: None,
            is_damaged: false,
            is_cut: false,
            needs_key: true,
            last: None,
            ticks: 0,
            dropped: 0,
        }
    }

    /// Begins anew with a key frame, as another stream, or after a pause. Its time goes on.
    pub fn restart(&mut self) {
        *self = Self { ticks: self.ticks.saturating_add(1), dropped: self.dropped, ..Self::new(self.codec) };
    }

    /// Whether only a key frame is of use.
    pub fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Whether the frame that is being put together seems to be a key frame.
    pub fn is_at_key(&self) -> bool {
        let begins_key = match self.codec {
            ScreenCodec::H264 => self.data.get(START_CODE.len()).is_some_and(|header| header & 0x1f == SPS),
            ScreenCodec::Vp8 => self.data.first().is_some_and(|tag| tag & 1 == 0),
        };
        begins_key && !self.is_damaged
    }

    /// How many frames were of no use since this was asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Notes that packets are missing before the next one.
    pub fn note_gap(&mut self) {
        (self.is_damaged, self.needs_key) = (true, true);
    }

    /// Takes the next packet, and appends what has become complete with it.
    pub fn push(&mut self, packet: &PicturePacket, frames: &mut Vec<ScreenFrame>) {
        if packet.payload.is_empty() {
            return;
        }
        if self.timestamp.is_some_and(|timestamp| timestamp != packet.timestamp) {
            frames.extend(self.finish());
        }
        if self.timestamp.replace(packet.timestamp).is_none() {
            (self.is_damaged, self.is_cut) = (false, false);
            self.data.clear();
        }
        if !self.is_damaged {
            self.is_damaged = self.append(&packet.payload).is_none();
        }
        if packet.marker {
            frames.extend(self.finish());
        }
    }

    /// The frame that is complete now, if it is of use.
    fn finish(&mut self) -> Option<ScreenFrame> {
        let timestamp = self.timestamp.take()?;
        let data = Bytes::from(std::mem::take(&mut self.data));
        let is_whole = !self.is_damaged && !self.is_cut && !data.is_empty();
        let key = is_whole && is_key(self.codec, &data);
        self.needs_key = !key && (self.needs_key || !is_whole);
        if self.needs_key {
            self.dropped += 1;
            return None;
        }
        let ahead = self.last.replace(timestamp).map_or(0, |last| timestamp.wrapping_sub(last) as i32);
        self.ticks = self.ticks.saturating_add(ahead.max(0).unsigned_abs().into());
        Some(ScreenFrame { codec: self.codec, key, ticks: self.ticks, data })
    }

    /// Appends a payload; `None` if it is malformed, or does not belong there.
    fn append(&mut self, payload: &[u8]) -> Option<()> {
        match self.codec {
            ScreenCodec::H264 => self.append_h264(payload),
            ScreenCodec::Vp8 => self.append_vp8(payload),
        }
    }

    fn append_h264(&mut self, payload: &[u8]) -> Option<()> {
        match nal_type(payload)? {
            FU_A => {
                let [indicator, header, part @ ..] = payload else { return None };
                let (begins, ends) = (header & 0x80 != 0, header & 0x40 != 0);
                if begins == self.is_cut || part.is_empty() {
                    return None;
                }
                if begins {
                    let first = indicator & 0x60 | header & 0x1f;
                    is_nal(&[first])?;
                    self.extend(&START_CODE)?;
                    self.extend(&[first])?;
                }
                self.is_cut = !ends;
                self.extend(part)
            }
            _ if self.is_cut => None,
            STAP_A => {
                let mut rest = payload.get(1..).filter(|rest| !rest.is_empty())?;
                while let [high, low, tail @ ..] = rest {
                    let (nal, after) = tail.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
                    self.append_nal(nal)?;
                    rest = after;
                }
                rest.is_empty().then_some(())
            }
            _ => self.append_nal(payload),
        }
    }

    fn append_nal(&mut self, nal: &[u8]) -> Option<()> {
        is_nal(nal)?;
        self.extend(&START_CODE)?;
        self.extend(nal)
    }

    fn append_vp8(&mut self, payload: &[u8]) -> Option<()> {
        let (descriptor, mut rest) = payload.split_first()?;
        let mut next = || {
            let (byte, after) = rest.split_first()?;
            rest = after;
            Some(*byte)
        };
        // The extensions, none of which matters here (RFC 7741 section 4.2).
        if descriptor & 0x80 != 0 {
            let extensions = next()?;
            if extensions & 0x80 != 0 && next()? & 0x80 != 0 {
                next()?;
            }
            if extensions & 0x40 != 0 {
                next()?;
            }
            if extensions & 0x30 != 0 {
                next()?;
            }
        }
        // The first packet of a frame begins its first partition.
        let begins = descriptor & 0x10 != 0 && descriptor & 0x07 == 0;
        if begins != self.data.is_empty() || rest.is_empty() {
            return None;
        }
        self.extend(rest)
    }

    fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        if self.data.len() + bytes.len() > MAX_FRAME {
            return None;
        }
        self.data.extend_from_slice(bytes);
        Some(())
    }
}

/// The type of a NAL unit or packet; `None` if the sender says that it is damaged.
fn nal_type(nal: &[u8]) -> Option<u8> {
    nal.first().filter(|header| **header & 0x80 == 0).map(|header| header & 0x1f)
}

/// Whether this begins a NAL unit, and no packet of another kind.
fn is_nal(nal: &[u8]) -> Option<()> {
    nal_type(nal).filter(|kind| (1..STAP_A).contains(kind)).map(|_| ())
}

/// Whether a frame can be decoded without those before it.
fn is_key(codec: ScreenCodec, frame: &[u8]) -> bool {
    match codec {
        ScreenCodec::H264 => [SPS, IDR].iter().all(|kind| h264::nals(frame).any(|nal| h264::nal_type(nal) == *kind)),
        ScreenCodec::Vp8 => ivf::key_frame_size(frame).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet at `timestamp`, the last one of its frame if it has a marker.
    fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> PicturePacket {
        PicturePacket { timestamp, marker, payload: Bytes::copy_from_slice(payload) }
    }

    /// What comes out: whether it is a key frame, its time, and its bytes.
    fn frames(assembler: &mut FrameAssembler, packets: &[PicturePacket]) -> Vec<(bool, u64, Vec<u8>)> {
        let mut frames = Vec::new();
        packets.iter().for_each(|packet| assembler.push(packet, &mut frames));
        frames.into_iter().map(|frame| (frame.key, frame.ticks, frame.data.to_vec())).collect()
    }

    /// The parameter sets in one packet, and an IDR in three.
    fn key(timestamp: u32) -> [PicturePacket; 4] {
        [
            packet(timestamp, false, &[0x78, 0, 3, 0x67, 0x42, 1, 0, 2, 0x68, 2]),
            packet(timestamp, false, &[0x7c, 0x85, 1, 2]),
            packet(timestamp, false, &[0x7c, 0x05, 3]),
            packet(timestamp, true, &[0x7c, 0x45, 4]),
        ]
    }

    const KEY: [u8; 22] = [0, 0, 0, 1, 0x67, 0x42, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 1, 2, 3, 4];

    fn delta(timestamp: u32) -> PicturePacket {
        packet(timestamp, true, &[0x41, 9])
    }

    const DELTA: [u8; 6] = [0, 0, 0, 1, 0x41, 9];

    #[test]
    fn h264_is_put_together_in_annex_b_form() {
        let mut h264 = FrameAssembler::new(ScreenCodec::H264);
        assert!(frames(&mut h264, &[delta(0)]).is_empty() && h264.needs_key());
        let found = frames(&mut h264, &[&key(u32::MAX - 999)[..], &[delta(2_000), packet(2_000, true, &[])]].concat());
        assert_eq!(found, [(true, 0, KEY.to_vec()), (false, 3_000, DELTA.to_vec())]);
        // A frame without a marker ends with the next one.
        let found = frames(&mut h264, &[packet(5_000, false, &[0x41, 9]), delta(8_000)]);
        assert_eq!(found, [(false, 6_000, DELTA.to_vec()), (false, 9_000, DELTA.to_vec())]);
        assert_eq!(h264.take_dropped(), 1);
    }

    #[test]
    fn nothing_comes_between_a_loss_and_the_next_key_frame() {
        for lost in 0..5 {
            let mut h264 = FrameAssembler::new(ScreenCodec::H264);
            assert_eq!(frames(&mut h264, &key(0)).len(), 1);
            let mut packets = [&key(3_000)[..], &[delta(6_000)]].concat();
            packets.remove(lost);
            let mut found = frames(&mut h264, &packets[..lost]);
            h264.note_gap();
            assert!(h264.needs_key());
            found.extend(frames(&mut h264, &packets[lost..]));
            found.extend(frames(&mut h264, &[delta(9_000)]));
            assert_eq!(found.len(), usize::from(lost == 4), "{lost}");
            let found = frames(&mut h264, &[&key(12_000)[..], &[delta(15_000)]].concat());
            assert_eq!(found.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), [true, false], "{lost}");
        }
    }

    #[test]
    fn another_stream_begins_with_a_key_frame_and_its_time_goes_on() {
        let mut h264 = FrameAssembler::new(ScreenCodec::H264);
        frames(&mut h264, &[&key(0)[..], &[delta(3_000), packet(6_000, false, &[0x41])]].concat());
        h264.restart();
        assert!(frames(&mut h264, &[delta(7)]).is_empty() && !h264.is_at_key());
        let [sets, rest @ ..] = key(9);
        assert!(frames(&mut h264, &[sets]).is_empty() && h264.is_at_key());
        assert_eq!(frames(&mut h264, &rest), [(true, 3_001, KEY.to_vec())]);
    }

    #[test]
    fn malformed_h264_is_no_frame() {
        for payload in [
            &[0x80 | 0x41, 1][..],
            &[0, 1],
            &[25, 1, 1],
            &[30, 1],
            &[0x78],
            &[0x78, 0],
            &[0x78, 0, 0],
            &[0x78, 0, 9, 0x41],
            &[0x78, 0, 1, 0x41, 7],
            &[0x78, 0, 2, 0x78, 0],
            &[0x7c],
            &[0x7c, 0x85],
            &[0x7c, 0x45, 1],
            &[0x7c, 0x9c, 1],
            // Its end is missing.
            &[0x7c, 0x81, 1],
        ] {
            let mut h264 = FrameAssembler::new(ScreenCodec::H264);
            frames(&mut h264, &key(0));
            assert!(frames(&mut h264, &[packet(3_000, true, payload)]).is_empty(), "{payload:x?}");
            assert!(h264.needs_key() && h264.take_dropped() == 1, "{payload:x?}");
        }
    }

    #[test]
    fn vp8_is_put_together_behind_its_descriptors() {
        let mut vp8 = FrameAssembler::new(ScreenCodec::Vp8);
        let start = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0xe0, 1];
        let first = |descriptor: &[u8]| [descriptor, &start[..]].concat();
        // All extensions, with a picture ID of 15 bits, and none.
        let found = frames(
            &mut vp8,
            &[packet(0, false, &first(&[0x90, 0xf0, 0x81, 2, 3, 4])), packet(0, true, &[0x80, 0x80, 0x05, 7, 8])],
        );
        assert_eq!(found, [(true, 0, [&start[..], &[7, 8]].concat())]);
        assert_eq!(frames(&mut vp8, &[packet(3_000, true, &[0x10, 0x11, 5])]), [(false, 3_000, vec![0x11, 5])]);
        for (payload, why) in [
            (&[0x00, 1][..], "it begins in the middle"),
            (&[0x12, 1], "it begins with another partition"),
            (&[0x10], "it is empty"),
            (&[0x90, 0x80, 0x80, 1], "it is cut off"),
            (&[0x90], "it is cut off"),
        ] {
            let mut vp8 = FrameAssembler::new(ScreenCodec::Vp8);
            assert_eq!(frames(&mut vp8, &[packet(0, true, &first(&[0x10]))]).len(), 1);
            assert!(frames(&mut vp8, &[packet(3_000, true, payload)]).is_empty() && vp8.needs_key(), "{why}");
            assert!(frames(&mut vp8, &[packet(6_000, true, &[0x10, 0x11])]).is_empty(), "{why}");
            assert_eq!(frames(&mut vp8, &[packet(9_000, true, &first(&[0x10]))]).len(), 1, "{why}");
        }
    }

    #[test]
    fn a_frame_has_a_bound() {
        for codec in [ScreenCodec::H264, ScreenCodec::Vp8] {
            let mut assembler = FrameAssembler::new(codec);
            let (first, more) = match codec {
                ScreenCodec::H264 => ([0x7c, 0x85], [0x7c, 0x05]),
                ScreenCodec::Vp8 => ([0x10, 0x10], [0x00, 0x10]),
            };
            for number in 0..3_000 {
                let begin = if number == 0 { first } else { more };
                assert!(frames(&mut assembler, &[packet(0, false, &[&begin[..], &[1; 1_200]].concat())]).is_empty());
                assert!(assembler.data.len() <= MAX_FRAME);
            }
            assert!(frames(&mut assembler, &[packet(1, true, &first)]).is_empty() && assembler.take_dropped() > 0);
        }
    }

    proptest! {
        #[test]
        fn hostile_packets_give_bounded_frames(
            vp8 in any::<bool>(),
            packets in prop::collection::vec(
                (0..4_u32, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40), 0..6_usize), 0..60,
            ),
        ) {
            let kinds: [u8; 6] = [0x7c, 0x78, 0x67, 0x65, 0x10, 0x90];
            let mut assembler = FrameAssembler::new(if vp8 { ScreenCodec::Vp8 } else { ScreenCodec::H264 });
            let (mut bytes, mut frames) = (0, Vec::new());
            for (timestamp, marker, gap, mut payload, kind) in packets {
                if let Some(first) = payload.first_mut() {
                    *first = kinds[kind];
                }
                bytes += payload.len() * 5;
                if gap {
                    assembler.note_gap();
                }
                assembler.push(&packet(timestamp, marker, &payload), &mut frames);
            }
            prop_assert!(frames.iter().map(|frame| frame.data.len()).sum::<usize>() <= bytes);
            prop_assert!(frames.first().is_none_or(|frame| frame.key));
        }
    }
}
