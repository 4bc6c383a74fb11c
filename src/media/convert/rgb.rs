//! Converts packed RGB frames (RGB24, BGR24) to I420.
//!
//! The input is assumed to be full range, the kernel's default for RGB (`V4L2_QUANTIZATION_DEFAULT`). The output is
//! YCbCr with the matrix of ITU-R BT.601 in limited range, the kernel's default for a camera's YUV formats
//! (`V4L2_COLORSPACE_SRGB`), like all streams here.
//!
//! The `yuv` crate does the work: a plain loop over three interleaved bytes takes twenty times as long. The result is
//! exact to within one step, but not bit-identical on every CPU.

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

/// Converts RGB24 (bytes in the order red, green, blue).
pub(super) fn rgb24<'m>(
    from: YuvPlane<'_>,
    layout: &Layout,
    memory: &'m mut PlaneBuffers,
) -> Result<Planes<'m>, Error> {
    convert(from, layout, memory, yuv::rgb_to_yuv420)
}

/// Converts BGR24 (bytes in the order blue, green, red).
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
    // The crate skips the last two rows if the padding after them is missing, so those are copied first.
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

/// Converts a strip of complete rows, which may be empty.
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
