//! Clips that are made from a seed, for the tests: what moves, and what a camera shows while nothing does.
//!
//! They are drawn in the cells of the plane, with the noise that the mean of a cell's pixels has.

use std::f32::consts::TAU;

use super::LumaPlane;

/// The size of the plane for a picture of 16 to 9.
pub(super) const WIDTH: usize = 80;
pub(super) const HEIGHT: usize = 45;

/// A random number generator (xorshift64*), the same on every machine.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.bits();
        }
        random
    }

    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly between two numbers.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// Between two numbers, each factor as likely.
    pub(super) fn scale(&mut self, low: f32, high: f32) -> f32 {
        self.between(low.ln(), high.ln()).exp()
    }

    pub(super) fn chance(&mut self, share: f32) -> bool {
        self.between(0.0, 1.0) < share
    }

    /// Two numbers from about a normal distribution.
    fn normal(&mut self) -> [f32; 2] {
        let bits = self.bits();
        let sum = |bits: u32| {
            let sum = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24);
            (sum as f32 - 510.0) / 147.8
        };
        [sum(bits as u32), sum((bits >> 32) as u32)]
    }
}

/// What a clip shows while nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calm {
    /// A sensor at night, whose gain changes.
    Noise,
    /// The exposure changes every few seconds, at once or within two seconds.
    Exposure,
    /// Lamps are switched on and off.
    Lamp,
    /// Rain: streaks that last for a frame.
    Rain,
    /// Shadows of clouds.
    Clouds,
    /// Bands of a lamp that flickers.
    Flicker,
    /// Leaves in the wind.
    Leaves,
}

/// What crosses the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crossing {
    /// Its size in cells.
    pub width: f32,
    pub height: f32,
    /// When it enters, and for how many seconds it is in the picture.
    pub enters: f32,
    pub seconds: f32,
    /// Where its middle enters and leaves.
    from: (f32, f32),
    to: (f32, f32),
    level: f32,
}

/// A clip.
#[derive(Debug)]
pub(super) struct Clip {
    random: Random,
    background: Vec<f32>,
    noise: f32,
    calm: Option<Calm>,
    pub(super) crossing: Option<Crossing>,
    state: CalmState,
    factors: Vec<f32>,
}

/// What is going on while nothing moves.
#[derive(Debug, Default)]
struct CalmState {
    /// When the next change begins.
    next: f32,
    began: f32,
    lasts: f32,
    from: f32,
    to: [f32; 5],
}

impl Clip {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let background = scene(&mut random);
        let noise = random.scale(0.2, 0.7);
        let factors = vec![1.0; WIDTH * HEIGHT];
        Self { random, background, noise, calm: None, crossing: None, state: CalmState::default(), factors }
    }

    /// Nothing happens at all.
    pub(super) fn empty(seed: u64) -> Self {
        Self::new(seed)
    }

    /// Nothing moves.
    pub(super) fn calm(calm: Calm, seed: u64) -> Self {
        let mut clip = Self::new(seed);
        clip.calm = Some(calm);
        if calm == Calm::Noise {
            clip.noise = clip.random.scale(1.0, 2.5);
        }
        clip.state.next = 6.0;
        clip.state.from = if calm == Calm::Lamp { 0.0 } else { 1.0 };
        clip.state.to[0] = clip.state.from;
        clip
    }

    /// An object of this size in percent of the picture's width crosses in so many seconds.
    pub(super) fn crossing(size: (f32, f32), contrast: (f32, f32), seconds: (f32, f32), seed: u64) -> Self {
        let mut clip = Self::new(seed);
        let random = &mut clip.random;
        let size = random.scale(size.0, size.1) * WIDTH as f32 / 100.0;
        let shape = random.scale(0.6, 1.7);
        let (width, height) = (size * shape, (size / shape).min(HEIGHT as f32 * 0.8));
        let contrast = random.scale(contrast.0, contrast.1) * if random.chance(0.5) { 1.0 } else { -1.0 };
        let seconds = random.scale(seconds.0, seconds.1);
        // Through the middle part of the picture, in any direction.
        let (w, h) = (WIDTH as f32, HEIGHT as f32);
        let (a, b) = (random.between(0.2, 0.8), random.between(0.2, 0.8));
        let (mut from, mut to) = if random.chance(0.7) {
            ((-width / 2.0, a * h), (w + width / 2.0, b * h))
        } else {
            ((a * w, -height / 2.0), (b * w, h + height / 2.0))
        };
        if random.chance(0.5) {
            std::mem::swap(&mut from, &mut to);
        }
        // Its level differs from the mean of what it passes, to the side where there is room.
        let way = (0..32).map(|step| {
            let share = step as f32 / 31.0;
            let x = (from.0 + (to.0 - from.0) * share).clamp(0.0, w - 1.0) as usize;
            let y = (from.1 + (to.1 - from.1) * share).clamp(0.0, h - 1.0) as usize;
            clip.background[y * WIDTH + x]
        });
        let mean = way.sum::<f32>() / 32.0;
        let level = if (20.0..=230.0).contains(&(mean + contrast)) { mean + contrast } else { mean - contrast };
        clip.crossing = Some(Crossing { width, height, enters: 5.0, seconds, from, to, level });
        clip
    }

    /// The object enters at another time.
    pub(super) fn enter_at(&mut self, seconds: f32) {
        self.crossing.iter_mut().for_each(|crossing| crossing.enters = seconds);
    }

    /// The same in front of something that is going on.
    pub(super) fn during(mut self, calm: Calm) -> Self {
        let other = Self::calm(calm, self.random.bits());
        (self.calm, self.state) = (other.calm, other.state);
        if calm == Calm::Noise {
            self.noise = other.noise;
        }
        self
    }

    /// Draws the frame at a time.
    pub(super) fn draw(&mut self, at: f32, plane: &mut LumaPlane) {
        if plane.width() != WIDTH || plane.height() != HEIGHT {
            *plane = LumaPlane::of_cells(WIDTH, HEIGHT, vec![0; WIDTH * HEIGHT]);
        }
        self.light(at);
        let mut noise = self.noise;
        if self.calm == Some(Calm::Noise) {
            noise *= self.step(at, |random, to| to[0] = random.scale(0.5, 2.0));
        }
        let mut normal = [0.0; 2];
        let cells = plane.cells_mut();
        for cell in 0..WIDTH * HEIGHT {
            if cell % 2 == 0 {
                normal = self.random.normal();
            }
            let level = 16.0 + (self.background[cell] - 16.0) * self.factors[cell] + normal[cell % 2] * noise;
            cells[cell] = (level.clamp(16.0, 235.0) * 16.0) as u16;
        }
        if let Some(crossing) = self.crossing {
            crossing.draw(at, &self.factors, cells);
        }
        if self.calm == Some(Calm::Rain) {
            self.rain(at, cells);
        }
    }

    /// The first of the numbers that change now and then.
    fn step(&mut self, at: f32, change: impl FnOnce(&mut Random, &mut [f32; 5])) -> f32 {
        let Self { state, random, .. } = self;
        if at >= state.next {
            state.from = state.to[0];
            change(random, &mut state.to);
            state.began = state.next;
            state.lasts = if random.chance(0.5) { 0.01 } else { random.between(0.2, 2.0) };
            state.next = at + random.between(5.0, 12.0);
        }
        let share = ((at - state.began) / state.lasts.max(0.01)).clamp(0.0, 1.0);
        state.from + (state.to[0] - state.from) * share
    }

    /// The light on each cell.
    fn light(&mut self, at: f32) {
        match self.calm {
            Some(Calm::Exposure) => {
                let gain = self.step(at, |random, to| to[0] = random.scale(0.6, 1.7));
                self.factors.fill(gain);
            }
            Some(Calm::Lamp) => self.lamp(at),
            Some(Calm::Clouds) => {
                for cell in 0..WIDTH * HEIGHT {
                    let (x, y) = ((cell % WIDTH) as f32 / WIDTH as f32, (cell / WIDTH) as f32 / HEIGHT as f32);
                    let wave =
                        (TAU * (x * 0.4 + y * 0.2 - at / 37.0)).sin() + (TAU * (x * 0.2 - y * 0.25 + at / 53.0)).cos();
                    self.factors[cell] = 1.0 + 0.25 * wave / (0.8 + wave.abs());
                }
            }
            Some(Calm::Flicker) => {
                for (row, factors) in self.factors.chunks_exact_mut(WIDTH).enumerate() {
                    factors.fill(1.0 + 0.05 * (TAU * (row as f32 / HEIGHT as f32 * 1.7 + at * 0.37)).sin());
                }
            }
            Some(Calm::Leaves) => {
                // A tree in a corner; its leaves move to and fro.
                let wind = 0.5 + 0.5 * (at / 17.0).sin();
                for y in 5..20 {
                    for x in 8..26 {
                        let phase = (x * 37 + y * 91) as f32;
                        let sway = (at * (2.0 + phase % 3.0) + phase).sin();
                        self.factors[y * WIDTH + x] = 1.0 + 0.2 * wind * sway;
                    }
                }
            }
            Some(Calm::Noise | Calm::Rain) | None => {}
        }
    }

    fn lamp(&mut self, at: f32) {
        let power = self.step(at, |random, to| {
            // Each that is switched on is another one. Light through a door has edges.
            let edge = if random.chance(0.3) { random.between(0.2, 0.8) } else { 0.0 };
            *to = if to[0] > 0.0 {
                [0.0, to[1], to[2], to[3], to[4]]
            } else {
                let power = random.scale(0.4, 3.0);
                [power, random.between(0.1, 0.9), random.between(0.1, 0.9), random.between(0.15, 0.6), edge]
            };
        });
        let [_, x0, y0, radius, edge] = self.state.to;
        // The exposure follows within a second or two.
        let total = 1.0 / (1.0 + power * radius * 0.5);
        for cell in 0..WIDTH * HEIGHT {
            let (x, y) = ((cell % WIDTH) as f32 / WIDTH as f32, (cell / WIDTH) as f32 / HEIGHT as f32);
            let distance = ((x - x0).powi(2) + (y - y0).powi(2) * 0.3) / (2.0 * radius * radius);
            let lit = if edge > 0.0 && x + y * 0.3 > edge { 0.0 } else { power * (-distance).exp() };
            self.factors[cell] = (1.0 + lit) * total;
        }
    }

    fn rain(&mut self, at: f32, cells: &mut [u16]) {
        let random = &mut self.random;
        let density = 0.006 * (1.2 + (at / 29.0).sin());
        let drops = (density * (WIDTH * HEIGHT) as f32) as usize;
        for _ in 0..drops {
            let (x, y) = (random.between(0.0, WIDTH as f32) as usize, random.between(0.0, HEIGHT as f32) as usize);
            let length = random.between(1.0, 3.9) as usize;
            let light = random.between(6.0, 40.0);
            for y in y..(y + length).min(HEIGHT) {
                let cell = &mut cells[y * WIDTH + x];
                *cell = (*cell + (light * 16.0) as u16).min(235 * 16);
            }
        }
    }
}

impl Crossing {
    /// The lines that it crosses, from the first to the last.
    pub(super) fn lines(&self) -> (f32, f32) {
        let (top, bottom) = (self.from.1.min(self.to.1), self.from.1.max(self.to.1));
        ((top - self.height).max(0.0), (bottom + self.height).min(HEIGHT as f32))
    }

    /// When it has left.
    pub(super) fn leaves(&self) -> f32 {
        self.enters + self.seconds
    }

    fn draw(&self, at: f32, factors: &[f32], cells: &mut [u16]) {
        let share = (at - self.enters) / self.seconds;
        if !(0.0..=1.0).contains(&share) {
            return;
        }
        let x = self.from.0 + (self.to.0 - self.from.0) * share - self.width / 2.0;
        let y = self.from.1 + (self.to.1 - self.from.1) * share - self.height / 2.0;
        let covered = |cell: usize, from: f32, size: f32| {
            let cell = cell as f32;
            ((from + size).min(cell + 1.0) - from.max(cell)).clamp(0.0, 1.0)
        };
        for row in y.max(0.0) as usize..((y + self.height).ceil().max(0.0) as usize).min(HEIGHT) {
            for column in x.max(0.0) as usize..((x + self.width).ceil().max(0.0) as usize).min(WIDTH) {
                let cover = covered(column, x, self.width) * covered(row, y, self.height);
                let number = row * WIDTH + column;
                // It has some structure of its own.
                let is_light = ((column as f32 - x) as usize / 2).is_multiple_of(2);
                let stripe = if is_light { 4.0 } else { -4.0 };
                let level = (16.0 + (self.level + stripe - 16.0) * factors[number]).clamp(16.0, 235.0);
                let behind = f32::from(cells[number]) / 16.0;
                cells[number] = ((behind + (level - behind) * cover) * 16.0) as u16;
            }
        }
    }
}

/// A scene: large areas of some brightness with texture.
fn scene(random: &mut Random) -> Vec<f32> {
    let mut levels = vec![random.between(50.0, 150.0); WIDTH * HEIGHT];
    for _ in 0..14 {
        let (left, top) = (random.between(0.0, WIDTH as f32) as usize, random.between(0.0, HEIGHT as f32) as usize);
        let (width, height) = (random.between(4.0, 40.0) as usize, random.between(4.0, 25.0) as usize);
        let level = random.between(25.0, 215.0);
        for y in top..(top + height).min(HEIGHT) {
            levels[y * WIDTH..][left..(left + width).min(WIDTH)].fill(level);
        }
    }
    let waves: Vec<[f32; 4]> = (0..6)
        .map(|_| {
            [random.between(-1.0, 1.0), random.between(-1.0, 1.0), random.between(0.0, TAU), random.between(1.0, 6.0)]
        })
        .collect();
    for (cell, level) in levels.iter_mut().enumerate() {
        let (x, y) = ((cell % WIDTH) as f32, (cell / WIDTH) as f32);
        let texture: f32 = waves.iter().map(|[a, b, phase, weight]| (a * x + b * y + phase).sin() * weight).sum();
        *level = (*level + texture).clamp(20.0, 232.0);
    }
    levels
}
