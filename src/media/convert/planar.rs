//! Converts planar and semi-planar frames (I420, YV12, NV12, NV21, GREY) to I420.
//!
//! Planes that already have the layout the encoder expects are borrowed, not copied.

use super::layout::{Layout, YuvPlane};
use super::{PlaneBuffers, Planes, range};

/// The chroma value of grey.
const NEUTRAL: u8 = 128;

/// Converts I420 or YV12. The planes are passed as Y, U, V, whatever their order in memory.
pub(super) fn three<'a>([y, u, v]: [YuvPlane<'a>; 3], layout: &Layout, memory: &'a mut PlaneBuffers) -> Planes<'a> {
    let (width, height) = layout.even();
    let (y, y_stride) = lend(y, width, height, &mut memory.y);
    let len = u.stride * (height / 2);
    // Borrow both or copy both, because they share one stride.
    let (u, v, uv_stride) = match (u.data.get(..len), v.data.get(..len)) {
        (Some(whole_u), Some(whole_v)) => (whole_u, whole_v, u.stride),
        _ => {
            let u = copy(u, width / 2, height / 2, &mut memory.u);
            let v = copy(v, width / 2, height / 2, &mut memory.v);
            (u, v, width / 2)
        }
    };
    Planes { width, height, y, u, v, y_stride, uv_stride }
}

/// Converts NV12, or NV21 with `v_first`.
pub(super) fn two<'a>(
    [y, chroma]: [YuvPlane<'a>; 2],
    layout: &Layout,
    memory: &'a mut PlaneBuffers,
    v_first: bool,
) -> Planes<'a> {
    let (width, height) = layout.even();
    let PlaneBuffers { y: own, u, v, .. } = memory;
    u.resize(width / 2 * (height / 2), 0);
    v.resize(width / 2 * (height / 2), 0);
    let (first, second) = if v_first { (&mut *v, &mut *u) } else { (&mut *u, &mut *v) };
    let targets = first.chunks_exact_mut(width / 2).zip(second.chunks_exact_mut(width / 2));
    for (line, (first, second)) in chroma.data.chunks(chroma.stride).zip(targets) {
        // Written without indexing so that the compiler vectorises it.
        for ((pair, first), second) in line[..width].chunks_exact(2).zip(first).zip(second) {
            (*first, *second) = (pair[0], pair[1]);
        }
    }
    let (y, y_stride) = lend(y, width, height, own);
    Planes { width, height, y, u, v, y_stride, uv_stride: width / 2 }
}

/// Converts GREY: luma only, in full range, as infrared cameras and bare sensors send it.
pub(super) fn grey<'a>(y: YuvPlane<'_>, layout: &Layout, memory: &'a mut PlaneBuffers) -> Planes<'a> {
    let (width, height) = layout.even();
    memory.y.resize(width * height, 0);
    for (line, target) in y.data.chunks(y.stride).zip(memory.y.chunks_exact_mut(width)) {
        range::to_limited_range(&line[..width], target, range::LUMA);
    }
    memory.u.clear();
    memory.u.resize(width / 2 * (height / 2), NEUTRAL);
    Planes { width, height, y: &memory.y, u: &memory.u, v: &memory.u, y_stride: width, uv_stride: width / 2 }
}

/// Borrows a plane, or copies it to `own` if the padding after its last row is missing. Returns it with its stride.
fn lend<'a>(plane: YuvPlane<'a>, width: usize, height: usize, own: &'a mut Vec<u8>) -> (&'a [u8], usize) {
    match plane.data.get(..plane.stride * height) {
        Some(whole) => (whole, plane.stride),
        None => (copy(plane, width, height, own), width),
    }
}

/// Copies a plane to `own`, without padding.
fn copy<'a>(plane: YuvPlane<'_>, width: usize, height: usize, own: &'a mut Vec<u8>) -> &'a [u8] {
    own.resize(width * height, 0);
    for (line, target) in plane.data.chunks(plane.stride).zip(own.chunks_exact_mut(width)) {
        target.copy_from_slice(&line[..width]);
    }
    own
}
