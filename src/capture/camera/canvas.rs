//! Draws colours, shapes and antialiased text into I420 frames. What is drawn where does not belong here.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

/// A YCbCr colour in the limited range of ITU-R BT.601.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    y: f32,
    u: f32,
    v: f32,
}

impl Colour {
    /// From red, green and blue, 0 to 255 each.
    pub fn rgb(red: f32, green: f32, blue: f32) -> Self {
        // The matrix of ITU-R BT.601, scaled to limited range.
        Self {
            y: 16.0 + 0.2568 * red + 0.5041 * green + 0.0979 * blue,
            u: 128.0 - 0.1482 * red - 0.2910 * green + 0.4392 * blue,
            v: 128.0 + 0.4392 * red - 0.3678 * green - 0.0714 * blue,
        }
    }

    /// Interpolates between this colour (`share` 0) and `other` (1).
    pub fn mix(self, other: Self, share: f32) -> Self {
        let mix = |a: f32, b: f32| a + (b - a) * share;
        Self { y: mix(self.y, other.y), u: mix(self.u, other.u), v: mix(self.v, other.v) }
    }

    /// Its luma.
    pub fn luma(self) -> u8 {
        self.y.round() as u8
    }
}

/// A rectangle in pixels. All four numbers are even, so that it covers whole chroma samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// The left edge.
    pub x: usize,
    /// The top edge.
    pub y: usize,
    /// The width.
    pub width: usize,
    /// The height.
    pub height: usize,
}

impl Rect {
    /// A rectangle of these numbers, each rounded down to an even one.
    pub fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self { x: x & !1, y: y & !1, width: width & !1, height: height & !1 }
    }

    /// The centre.
    pub fn centre(self) -> (f32, f32) {
        ((self.x + self.width / 2) as f32, (self.y + self.height / 2) as f32)
    }
}

/// A plane of an I420 frame; each sample covers `step` pixels in each direction.
struct CanvasPlane<'a> {
    samples: &'a mut [u8],
    stride: usize,
    step: usize,
}

/// The three planes of a frame of `width` x `height` pixels, both even, without padding.
fn planes(data: &mut [u8], width: usize, height: usize) -> [CanvasPlane<'_>; 3] {
    let (y, chroma) = data.split_at_mut(width * height);
    let (u, v) = chroma.split_at_mut(width * height / 4);
    [(y, 1), (u, 2), (v, 2)].map(|(samples, step)| CanvasPlane { samples, stride: width / step, step })
}

/// The size in bytes of an I420 frame of `width` x `height` pixels, both even.
pub fn bytes(width: usize, height: usize) -> usize {
    width * height * 3 / 2
}

/// Draws on an I420 frame without padding.
pub struct Canvas<'a> {
    planes: [CanvasPlane<'a>; 3],
    width: usize,
    height: usize,
}

impl<'a> Canvas<'a> {
    /// Draws on `data`, a frame of `width` x `height` pixels, both even; see [`bytes`] for its length.
    pub fn new(data: &'a mut [u8], width: usize, height: usize) -> Self {
        Self { planes: planes(data, width, height), width, height }
    }

    /// The luma plane.
    pub fn luma(&mut self) -> &mut [u8] {
        self.planes[0].samples
    }

    /// Fills `area`; `colour` maps the pixel position of a sample's centre to its colour.
    pub fn shade(&mut self, area: Rect, colour: impl Fn(f32, f32) -> Colour) {
        self.blend(area, |x, y| (colour(x, y), 1.0));
    }

    /// Blends over `area`; `paint` maps the pixel position of a sample's centre to a colour and its opacity (0 to 1).
    /// Clips at the edges of the frame.
    pub fn blend(&mut self, area: Rect, paint: impl Fn(f32, f32) -> (Colour, f32)) {
        let (right, bottom) = ((area.x + area.width).min(self.width), (area.y + area.height).min(self.height));
        for (channel, plane) in self.planes.iter_mut().enumerate() {
            let step = plane.step;
            for row in area.y / step..bottom / step {
                for column in area.x / step..right / step {
                    let middle = |n: usize| (n * step) as f32 + step as f32 / 2.0;
                    let (colour, share) = paint(middle(column), middle(row));
                    if share > 0.0 {
                        let ink = [colour.y, colour.u, colour.v][channel];
                        let sample = &mut plane.samples[row * plane.stride + column];
                        // Not `round`, which is a call where the processor's baseline has no instruction for it.
                        *sample = (f32::from(*sample) * (1.0 - share) + ink * share + 0.5) as u8;
                    }
                }
            }
        }
    }

    /// Draws a disc around `centre`; `strength` is its opacity (0 to 1).
    pub fn disc(&mut self, centre: (f32, f32), radius: f32, colour: Colour, strength: f32) {
        let (left, top) = ((centre.0 - radius - 1.0).max(0.0) as usize, (centre.1 - radius - 1.0).max(0.0) as usize);
        let side = 2 * radius as usize + 6;
        self.blend(Rect::new(left, top, side, side), |x, y| {
            let (across, down) = (x - centre.0, y - centre.1);
            // Not `hypot`, whose care for overflows takes most of the time.
            let distance = (across * across + down * down).sqrt();
            (colour, (radius - distance + 0.5).clamp(0.0, 1.0) * strength)
        });
    }

    /// Draws `text` with its top left corner at pixel (`x`, `y`).
    pub fn text(&mut self, text: &str, x: usize, y: usize, size: usize, colour: Colour) {
        for (index, letter) in text.chars().enumerate() {
            let glyph = Glyph::new(letter, size);
            let left = x + index * glyph.width;
            let area = Rect::new(left, y, glyph.width + 2, glyph.height + 2);
            self.blend(area, |px, py| (colour, glyph.coverage(px - left as f32, py - y as f32)));
        }
    }

    /// Copies the frame `from`, which has the size of `area`, into `area`, shifted left by `shift` pixels (even) with
    /// wrap-around.
    pub fn paste(&mut self, area: Rect, from: &[u8], shift: usize) {
        let mut rest = from;
        for plane in &mut self.planes {
            let (width, height) = (area.width / plane.step, area.height / plane.step);
            let (source, next) = rest.split_at(width * height);
            rest = next;
            let cut = (shift / plane.step) % width.max(1);
            let lines = plane.samples.chunks_exact_mut(plane.stride).skip(area.y / plane.step);
            for (to, from) in lines.zip(source.chunks_exact(width.max(1))) {
                let to = &mut to[area.x / plane.step..][..width];
                to[..width - cut].copy_from_slice(&from[cut..]);
                to[width - cut..].copy_from_slice(&from[..cut]);
            }
        }
    }

    /// Copies the content of `area`, for [`paste`](Self::paste).
    pub fn copy(&self, area: Rect) -> Vec<u8> {
        let mut copy = Vec::with_capacity(bytes(area.width, area.height));
        for plane in &self.planes {
            let lines = plane.samples.chunks_exact(plane.stride).skip(area.y / plane.step);
            for line in lines.take(area.height / plane.step) {
                copy.extend_from_slice(&line[area.x / plane.step..][..area.width / plane.step]);
            }
        }
        copy
    }
}

/// The distance of the sampling points from a pixel's centre in an enlarged glyph, in pixels of the font's raster: less
/// leaves jagged edges, more fills the corners.
const SMOOTH: f32 = 0.45;

/// A glyph at one size, as coverage 0 to 255.
pub struct Glyph {
    /// The advance width in pixels, equal for all glyphs of a size.
    pub width: usize,
    /// The line height in pixels.
    pub height: usize,
    coverage: Vec<u8>,
}

impl Glyph {
    /// The glyph of `letter` with a line height of `size` pixels; a question mark if the font lacks it.
    pub fn new(letter: char, size: usize) -> Self {
        let raster_height = if size <= 16 { RasterHeight::Size16 } else { RasterHeight::Size32 };
        let raster = get_raster(letter, FontWeight::Bold, raster_height)
            .or_else(|| get_raster('?', FontWeight::Bold, raster_height))
            .expect("the font should have a question mark");
        let scale = size as f32 / raster_height.val() as f32;
        let width = letter_width(size);
        let source = |x: f32, y: f32| bilinear(&raster, x, y);
        // Reduced: four samples per pixel preserve thin strokes. Enlarged: four samples about a raster pixel apart
        // smooth the jagged edges, and the soft edge is then sharpened to one pixel.
        let reach = (scale * SMOOTH).max(0.25);
        let pixel = |x: usize, y: usize| {
            let at =
                |dx: f32, dy: f32| source((x as f32 + 0.5 + dx) / scale - 0.5, (y as f32 + 0.5 + dy) / scale - 0.5);
            let mean = (at(-reach, -reach) + at(reach, -reach) + at(-reach, reach) + at(reach, reach)) / 4.0;
            (((mean - 0.5) * scale.max(1.0) + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8
        };
        let coverage = (0..size).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
        Self { width, height: size, coverage }
    }

    /// The luma of the glyph in the colour `ink` on `paper`, row by row.
    pub fn luma(&self, ink: Colour, paper: Colour) -> Vec<u8> {
        self.coverage.iter().map(|share| paper.mix(ink, f32::from(*share) / 255.0).luma()).collect()
    }

    fn coverage(&self, x: f32, y: f32) -> f32 {
        if x < 0.0 || y < 0.0 || x >= self.width as f32 || y >= self.height as f32 {
            return 0.0;
        }
        f32::from(self.coverage[y as usize * self.width + x as usize]) / 255.0
    }
}

/// The advance width in pixels for a line height of `size` pixels.
pub fn letter_width(size: usize) -> usize {
    let (raster, across) = if size <= 16 { (RasterHeight::Size16, 16) } else { (RasterHeight::Size32, 32) };
    (get_raster_width(FontWeight::Bold, raster) * size).div_ceil(across)
}

/// The raster interpolated at (`x`, `y`), 0 to 1; the origin is the centre of its first pixel. 0 outside of it.
fn bilinear(raster: &RasterizedChar, x: f32, y: f32) -> f32 {
    let at = |x: f32, y: f32| {
        let share = (x >= 0.0 && y >= 0.0).then(|| raster.pixel(x as usize, y as usize)).flatten();
        share.map_or(0.0, |share| f32::from(share) / 255.0)
    };
    let (left, top) = (x.floor(), y.floor());
    let (right, bottom) = (x - left, y - top);
    let above = at(left, top) * (1.0 - right) + at(left + 1.0, top) * right;
    let below = at(left, top + 1.0) * (1.0 - right) + at(left + 1.0, top + 1.0) * right;
    above * (1.0 - bottom) + below * bottom
}
