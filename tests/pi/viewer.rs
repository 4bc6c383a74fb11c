//! A viewer outside the board; the expectations are in each board's test.

use std::time::{Duration, Instant};

use porthole::capture::camera::timecode::Timecode;

use crate::LIMIT;
use crate::machine::{Machine, POLL_INTERVAL};
use test_viewer::{Event, Options, Viewer};

/// Frames that show that video is running.
const FRAMES: usize = 20;

/// The result of [`receive`].
pub struct Received {
    /// Frames per second.
    pub rate: f64,
    /// Number of frames.
    pub frames: usize,
    /// Timecodes of the frames that had one.
    pub codes: Vec<Timecode>,
}

/// Connects to the board's first camera; the program may still be starting.
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

/// Receives until there were enough frames with increasing timestamps, and `is_wanted` has accepted 20 ms of one audio
/// channel.
pub async fn receive(viewer: &mut Viewer, is_wanted: impl Fn(&[i16]) -> bool) -> Received {
    let (mut stamps, mut codes, mut heard_wanted, mut first) = (Vec::new(), Vec::new(), false, None);
    let deadline = Instant::now() + LIMIT;
    while stamps.len() < FRAMES || !heard_wanted {
        let count = stamps.len();
        assert!(Instant::now() < deadline, "{count} frames, audio heard: {heard_wanted}, within {LIMIT:?}");
        match viewer.event(LIMIT).await.expect("video and audio should arrive") {
            Event::Frame(frame) => {
                let image = frame.image.expect("a frame should be decoded");
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
    assert!(moves, "timestamps should increase: {stamps:?}");
    Received { rate: (stamps.len() - 1) as f64 / took.as_secs_f64(), frames: stamps.len(), codes }
}
