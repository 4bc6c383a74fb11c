//! Packed 4:2:2 frames: YUYV and UYVY.
//!
//! They have chroma in every row; that of two rows is averaged. The `yuv` crate's own conversion to 4:2:0 takes the
//! chroma of either the upper or the lower row, depending on the column and the processor. Its conversion to 4:2:2 is
//! exact, and with the averaging after it takes a third of the time of a plain loop.

use yuv::{BufferStoreMut, YuvError, YuvPackedImage, YuvPlanarImageMut};

use super::layout::{Layout, YuvPlane};
use super::{Error, PlaneBuffers, Planes, average};

/// Takes lines apart into Y, U and V at full height.
type Unpack = fn(&mut YuvPlanarImageMut<'_, u8>, &YuvPackedImage<'_, u8>) -> Result<(), YuvError>;

/// Y0 U Y1 V.
pub(super) fn yuyv<'m>(from: YuvPlane<'_>, layout: &Layout, memory: &'m mut PlaneBuffers) -> Result<Planes<'m>, Error> {
    convert(from, layout, memory, yuv::yuyv422_to_yuv422)
}

/// U Y0 V Y1.
pub(super) fn uyvy<'m>(from: YuvPlane<'_>, layout: &Layout, memory: &'m mut PlaneBuffers) -> Result<Planes<'m>, Error> {
    convert(from, layout, memory, yuv::uyvy422_to_yuv422)
}

fn convert<'m>(
    from: YuvPlane<'_>,
    layout: &Layout,
    memory: &'m mut PlaneBuffers,
    unpack: Unpack,
) -> Result<Planes<'m>, Error> {
    let (width, height) = layout.even();
    // Four lines of chroma, between unpacking and averaging.
    let mut scratch = std::mem::take(&mut memory.scratch);
    scratch.resize(width * 2, 0);
    let (upper_chroma, lower_chroma) = scratch.split_at_mut(width);
    let (y, u, v) = memory.resize(width, height);
    let chroma = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
    for ((lines, y), (u, v)) in from.data.chunks(from.stride * 2).zip(y.chunks_exact_mut(width * 2)).zip(chroma) {
        let (upper, lower) = lines.split_at(from.stride);
        let (y_upper, y_lower) = y.split_at_mut(width);
        for (packed, y, chroma) in [(upper, y_upper, &mut *upper_chroma), (lower, y_lower, &mut *lower_chroma)] {
            unpack_line(&packed[..width * 2], y, chroma, unpack).map_err(|error| Error::library(layout, &error))?;
        }
        let (u_upper, v_upper) = upper_chroma.split_at(width / 2);
        let (u_lower, v_lower) = lower_chroma.split_at(width / 2);
        average(u_upper, u_lower, u);
        average(v_upper, v_lower, v);
    }
    memory.scratch = scratch;
    Ok(memory.planes(width, height))
}

/// Line by line, because the crate leaves out a last line whose padding is missing.
fn unpack_line(packed: &[u8], y: &mut [u8], chroma: &mut [u8], unpack: Unpack) -> Result<(), YuvError> {
    let width = y.len() as u32;
    let (u, v) = chroma.split_at_mut(y.len() / 2);
    let packed = YuvPackedImage { yuy: packed, yuy_stride: width * 2, width, height: 1 };
    let mut planar = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: width / 2,
        width,
        height: 1,
    };
    unpack(&mut planar, &packed)
}
