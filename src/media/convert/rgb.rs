//! Packed RGB frames: RGB24 and BGR24.
//!
//! They are assumed to be full range, which is the kernel's default for RGB (`V4L2_QUANTIZATION_DEFAULT`), and are
//! converted to YCbCr with the matrix of ITU-R BT.601 in limited range: the kernel's default for a camera's YUV formats
//! (`V4L2_COLORSPACE_SRGB`), and that of all streams here.
//!
//! The `yuv` crate does it: a plain loop over three interleaved bytes takes twenty times as long. It is exact to within
//! one step, and not bit-identical on every processor.

use yuv::{BufferStoreMut, YuvConversionMode, YuvError, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

use super::layout::{Layout, YuvPlane};
use super::{Error, PlaneBuffers, Planes};

type Convert = fn(
    &mut YuvPlanarImageMut<'_, u8>,
    &[u8],
    u32,
    YuvRange,
    YuvStandardMatrix,
    YuvConversionMode,
) -> Result<(), YuvError>;

/// Red, green, blue.
pub(super) fn rgb24<'m>(
    from: YuvPlane<'_>,
    layout: &Layout,
    memory: &'m mut PlaneBuffers,
) -> Result<Planes<'m>, Error> {
    convert(from, layout, memory, yuv::rgb_to_yuv420)
}

/// Blue, green, red.
pub(super) fn bgr24<'m>(
    from: YuvPlane<'_>,
    layout: &Layout,
    memory: &'m mut PlaneBuffers,
) -> Result<Planes<'m>, Error> {
    convert(from, layout, memory, yuv::bgr_to_yuv420)
}

fn convert<'m>(
    from: YuvPlane<'_>,
    layout: &Layout,
    memory: &'m mut PlaneBuffers,
    run: Convert,
) -> Result<Planes<'m>, Error> {
    let (width, height) = layout.even();
    let row = width * 3;
    let mut scratch = std::mem::take(&mut memory.scratch);
    let (y, u, v) = memory.resize(width, height);
    // The crate leaves out the last two lines when the padding after them is missing; they are copied then.
    let whole = (from.data.len() / from.stride).min(height) & !1;
    let (y, last_y) = y.split_at_mut(width * whole);
    let (u, last_u) = u.split_at_mut(width / 2 * (whole / 2));
    let (v, last_v) = v.split_at_mut(width / 2 * (whole / 2));
    let done = strip(&from.data[..whole * from.stride], from.stride, width, (y, u, v), run).and_then(|()| {
        scratch.clear();
        for line in from.data[whole * from.stride..].chunks(from.stride).take(height - whole) {
            scratch.extend_from_slice(&line[..row]);
        }
        strip(&scratch, row, width, (last_y, last_u, last_v), run)
    });
    memory.scratch = scratch;
    done.map_err(|error| Error::library(layout, &error))?;
    Ok(memory.planes(width, height))
}

/// Converts whole lines; none is fine.
fn strip(
    lines: &[u8],
    stride: usize,
    width: usize,
    (y, u, v): (&mut [u8], &mut [u8], &mut [u8]),
    run: Convert,
) -> Result<(), YuvError> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut planar = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width as u32,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: width as u32 / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: width as u32 / 2,
        width: width as u32,
        height: (lines.len() / stride) as u32,
    };
    let mode = YuvConversionMode::Balanced;
    run(&mut planar, lines, stride as u32, YuvRange::Limited, YuvStandardMatrix::Bt601, mode)
}
