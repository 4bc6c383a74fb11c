//! What a viewer outside sees and hears of a board. What it has to be is said in each board's story.

use std::time::{Duration, Instant};

use porthole::capture::camera::timecode::Code;

use crate::LIMIT;
use crate::client::{Event, Options, Viewer};
use crate::machine::{Machine, POLL_INTERVAL};

/// Pictures that show that the picture goes on.
const FRAMES: usize = 20;

/// What was seen while [`look`] looked.
pub struct Received {
    /// Pictures a second.
    pub rate: f64,
    /// How many pictures there were.
    pub frames: usize,
    /// The test pattern's block codes of those that had one.
    pub codes: Vec<Code>,
}

/// A viewer of the board's first camera; the program may be starting still.
pub async fn connect(board: &Machine, token: Option<&str>) -> Viewer {
    let options = Options { token: token.map(str::to_owned), ..Options::new(&board.page()) };
    let deadline = Instant::now() + LIMIT;
    loop {
        match Viewer::connect(&options).await {
            Ok(viewer) => return viewer,
            Err(error) => assert!(Instant::now() < deadline, "a viewer should connect: {error:#}"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Watches until there were pictures that went on, and `heard` has found what it listens for in 20 ms of one channel.
pub async fn receive(viewer: &mut Viewer, is_wanted: impl Fn(&[i16]) -> bool) -> Received {
    let (mut stamps, mut codes, mut heard_wanted, mut first) = (Vec::new(), Vec::new(), false, None);
    let deadline = Instant::now() + LIMIT;
    while stamps.len() < FRAMES || !heard_wanted {
        let count = stamps.len();
        assert!(Instant::now() < deadline, "{count} pictures, and the sound: {heard_wanted}, within {LIMIT:?}");
        match viewer.event(LIMIT).await.expect("pictures and sound should come") {
            Event::Frame(frame) => {
                let image = frame.image.expect("a picture should be decoded");
                assert_eq!((image.width, image.height), (320, 180));
                first.get_or_insert_with(Instant::now);
                stamps.push(frame.timestamp);
                codes.extend(image.code);
            }
            Event::Audio(audio) => {
                heard_wanted |= is_wanted(&audio.samples.iter().copied().step_by(2).collect::<Vec<_>>());
            }
            Event::Ended => panic!("the session ended"),
            _ => {}
        }
    }
    let took = first.map_or(Duration::ZERO, |first: Instant| first.elapsed());
    let moves = stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < u32::MAX / 2 && pair[1] != pair[0]);
    assert!(moves, "the pictures' times should go on: {stamps:?}");
    Received { rate: (stamps.len() - 1) as f64 / took.as_secs_f64(), frames: stamps.len(), codes }
}
