//! Synthetic scenes for the sizes of frames: texture of all frequencies with hard edges, moved and lit like what a camera
//! sees, under a sensor's noise. Everything follows from the number of the frame, so that two runs are equal.

/// What the camera sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scene {
    /// A slow pan, 132 pixels a second, by fractions of a pixel.
    Pan,
    /// Nothing moves; the sensor's noise of good light.
    Static,
    /// Nothing moves; the sensor's noise of bad light.
    Dark,
    /// Another scene every two seconds, and a pan in each.
    Cut,
    /// The light goes on and off every second and a half.
    Light,
    /// A fast pan that stops and goes on every second.
    StopAndGo,
    /// Random luma: what no encoder can compress.
    WhiteNoise,
}

impl Scene {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pan => "pan",
            Self::Static => "static",
            Self::Dark => "static, dark",
            Self::Cut => "cut",
            Self::Light => "light",
            Self::StopAndGo => "stop and go",
            Self::WhiteNoise => "white noise",
        }
    }
}

/// Draws the frames of all scenes in one size.
pub struct Painter {
    width: usize,
    height: usize,
    /// Four landscapes, twice as wide as a frame.
    landscapes: Vec<Vec<f32>>,
    /// Noise of mean 0 and standard deviation 1.
    noise: Vec<f32>,
}

/// Samples of noise; a frame takes them from a place that depends on its number.
const NOISE: usize = 1 << 18;

impl Painter {
    /// A painter of frames of `width` by `height`.
    pub fn new(width: usize, height: usize) -> Self {
        let landscapes = (1..=4).map(|seed| landscape(width * 2, height, seed)).collect();
        // The sum of four uniform values is near enough to a normal distribution.
        let noise = |at: usize| {
            let sum: f32 = (0..4).map(|part| random(at as i64, part, 9)).sum();
            sum * 3f32.sqrt()
        };
        Self { width, height, landscapes, noise: (0..NOISE).map(noise).collect() }
    }

    /// Frame `number` at `fps` frames a second, in I420 without padding.
    pub fn frame(&self, scene: Scene, number: usize, fps: usize) -> Vec<u8> {
        let time = number as f32 / fps as f32;
        match scene {
            Scene::Pan => self.draw(0, time * 132.0, 1.0, 2.5, number),
            Scene::Static => self.draw(0, 80.0, 1.0, 2.5, number),
            Scene::Dark => self.draw(2, 80.0, 0.4, 5.0, number),
            Scene::Cut => {
                let shot = (time / 2.0) as usize;
                self.draw(shot % 4, shot as f32 * 37.0 + (time % 2.0) * 75.0, 1.0, 2.5, number)
            }
            Scene::Light => {
                let on = ((time / 1.5) as usize).is_multiple_of(2);
                self.draw(0, 80.0, if on { 1.0 } else { 0.35 }, 2.5, number)
            }
            Scene::StopAndGo => {
                let second = time as usize;
                let moving = second.div_ceil(2) as f32 + if second.is_multiple_of(2) { time.fract() } else { 0.0 };
                self.draw(1, moving * 300.0, 1.0, 2.5, number)
            }
            Scene::WhiteNoise => {
                let samples = self.width * self.height * 3 / 2;
                (0..samples).map(|at| ((random(at as i64, number as i64, 5) + 0.5) * 255.0) as u8).collect()
            }
        }
    }

    /// A part of a landscape, `x` pixels from its left end, and back from its right end.
    fn draw(&self, landscape: usize, x: f32, light: f32, noise: f32, number: usize) -> Vec<u8> {
        let (width, height) = (self.width, self.height);
        let room = (width - 2) as f32;
        let x = room - (x % (2.0 * room) - room).abs();
        let (whole, part) = (x as usize, x.fract());
        let mut data = Vec::with_capacity(width * height * 3 / 2);
        for (line, row) in self.landscapes[landscape].chunks(width * 2).enumerate() {
            let start = (number * 7919 + line * 6007) % NOISE;
            for (column, pair) in row[whole..].windows(2).take(width).enumerate() {
                let luma = pair[0] + (pair[1] - pair[0]) * part;
                let grain = self.noise[(start + column) % NOISE] * noise;
                data.push((luma * light + grain) as u8);
            }
        }
        // Flat colour: chroma takes few of the bits.
        data.resize(width * height * 3 / 2, 128);
        data
    }
}

/// Texture of seven octaves with boxes on it, in steps of luma.
fn landscape(width: usize, height: usize, seed: i64) -> Vec<f32> {
    let mut luma = vec![120f32; width * height];
    for octave in 0..7 {
        let (size, depth) = (256.0 / f64::from(1 << octave), 80.0 * 0.72f32.powi(octave));
        for (at, luma) in luma.iter_mut().enumerate() {
            let (x, y) = ((at % width) as f64 / size, (at / width) as f64 / size);
            *luma += depth * smooth(x, y, seed * 31 + i64::from(octave));
        }
    }
    for number in 0..120 {
        let part = |which: i64| random(number, which, seed) + 0.5;
        let (left, top) = ((part(1) * width as f32) as usize, (part(2) * height as f32) as usize);
        let (wide, high) = ((part(3) * width as f32 / 20.0) as usize, (part(4) * height as f32 / 6.0) as usize);
        for row in luma.chunks_mut(width).skip(top).take(high) {
            row.iter_mut().skip(left).take(wide).for_each(|luma| *luma = *luma * 0.4 + part(5) * 120.0);
        }
    }
    luma.iter().map(|luma| luma.clamp(16.0, 235.0)).collect()
}

/// Values of a grid with smooth transitions, from -0.5 to 0.5.
fn smooth(x: f64, y: f64, seed: i64) -> f32 {
    let ease = |part: f64| (part * part * (3.0 - 2.0 * part)) as f32;
    let (left, top) = (x.floor() as i64, y.floor() as i64);
    let (across, down) = (ease(x.fract()), ease(y.fract()));
    let row = |line: i64| {
        let (from, to) = (random(left, line, seed), random(left + 1, line, seed));
        from + (to - from) * across
    };
    let (above, below) = (row(top), row(top + 1));
    above + (below - above) * down
}

/// A value from -0.5 to 0.5 that looks random (the finaliser of SplitMix64).
fn random(x: i64, y: i64, seed: i64) -> f32 {
    let mixed = (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
        ^ (seed as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed >> 40) as f32) / 16_777_216.0 - 0.5
}
