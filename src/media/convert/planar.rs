//! Frames whose luma is a plane of its own: I420, YV12, NV12, NV21 and GREY.
//!
//! Planes that are already laid out as the encoder takes them are borrowed, not copied.

use super::layout::{Layout, YuvPlane};
use super::{PlaneBuffers, Planes, range};

/// The value of chroma without colour.
const NEUTRAL: u8 = 128;

/// I420 and YV12: the planes as Y, U, V, in whichever order they lie in memory.
pub(super) fn three<'a>([y, u, v]: [YuvPlane<'a>; 3], layout: &Layout, memory: &'a mut PlaneBuffers) -> Planes<'a> {
    let (width, height) = layout.even();
    let (y, y_stride) = lend(y, width, height, &mut memory.y);
    let len = u.stride * (height / 2);
    // Both or none, for they have one stride.
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

/// NV12, or NV21 with `v_first`.
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
        // In this form, without an index, the compiler makes vector code of it.
        for ((pair, first), second) in line[..width].chunks_exact(2).zip(first).zip(second) {
            (*first, *second) = (pair[0], pair[1]);
        }
    }
    let (y, y_stride) = lend(y, width, height, own);
    Planes { width, height, y, u, v, y_stride, uv_stride: width / 2 }
}

/// Luma alone: that of a sensor, or of an infrared camera, which has the full range.
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

/// The plane where it lies, or a copy in `own` where the padding after its last line is missing; and its stride.
fn lend<'a>(plane: YuvPlane<'a>, width: usize, height: usize, own: &'a mut Vec<u8>) -> (&'a [u8], usize) {
    match plane.data.get(..plane.stride * height) {
        Some(whole) => (whole, plane.stride),
        None => (copy(plane, width, height, own), width),
    }
}

/// The plane without padding, in `own`.
fn copy<'a>(plane: YuvPlane<'_>, width: usize, height: usize, own: &'a mut Vec<u8>) -> &'a [u8] {
    own.resize(width * height, 0);
    for (line, target) in plane.data.chunks(plane.stride).zip(own.chunks_exact_mut(width)) {
        target.copy_from_slice(&line[..width]);
    }
    own
}
