//! IVF, the container of a VP8 stream that is read from a pipe: a header, and one before each frame. Pure.
//!
//! Numbers in it are little-endian. The format has no standard but its writer in libvpx (`ivfenc.c`).

/// The header of a stream of this size in pixels, whose time is counted in ticks of `rate` hertz.
pub fn stream_header((width, height): (u16, u16), rate: u32) -> [u8; 32] {
    let mut header = [0; 32];
    header[..4].copy_from_slice(b"DKIF");
    // Version 0, and the length of the header.
    header[6..8].copy_from_slice(&32_u16.to_le_bytes());
    header[8..12].copy_from_slice(b"VP80");
    header[12..14].copy_from_slice(&width.to_le_bytes());
    header[14..16].copy_from_slice(&height.to_le_bytes());
    header[16..20].copy_from_slice(&rate.to_le_bytes());
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    // The number of frames, which nobody knows, stays zero.
    header
}

/// The header of a frame of so many bytes, at this time in ticks.
pub fn frame_header(bytes: u32, ticks: u64) -> [u8; 12] {
    let mut header = [0; 12];
    header[..4].copy_from_slice(&bytes.to_le_bytes());
    header[4..].copy_from_slice(&ticks.to_le_bytes());
    header
}

/// Width and height of a VP8 frame in pixels, if it is a key frame (RFC 6386 section 9.1).
pub fn key_frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    let [tag, _, _, 0x9d, 0x01, 0x2a, width @ .., height_low, height_high] = *frame.first_chunk::<10>()? else {
        return None;
    };
    // Without the two bits of a scale.
    let size = |bytes| u16::from_le_bytes(bytes) & 0x3fff;
    let (width, height) = (size(width), size([height_low, height_high]));
    (tag & 1 == 0 && width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_libvpx_writes_them() {
        let header = stream_header((640, 480), 90_000);
        assert_eq!(header[..16], *b"DKIF\0\0\x20\0VP80\x80\x02\xe0\x01");
        assert_eq!(header[16..], *b"\x90\x5f\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(frame_header(258, 3_000), *b"\x02\x01\0\0\xb8\x0b\0\0\0\0\0\0");
    }

    #[test]
    fn key_frames_have_a_size() {
        let frame = [0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xe0, 0x01, 9];
        assert_eq!(key_frame_size(&frame), Some((640, 480)), "scaled by 5/4");
        for (at, byte, expected) in
            [(0, 0x11, None), (3, 0, None), (7, 0, Some((128, 480))), (9, 0x80, Some((640, 224)))]
        {
            let mut other = frame;
            other[at] = byte;
            assert_eq!(key_frame_size(&other), expected, "{at}");
        }
        assert_eq!(key_frame_size(&frame[..9]), None);
    }
}
