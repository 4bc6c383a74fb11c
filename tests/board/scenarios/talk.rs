//! Talking to the board: what a viewer says, and what is announced, comes out of the sound card. The other end of the loopback
//! records it.

// --nocapture shows the figures.
#![allow(clippy::print_stdout)]

use std::io::Read as _;
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use test_viewer::{Event, Options, Viewer};
use tokio::runtime::Runtime;

use crate::correlation::find;
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::LIMIT;
use crate::scenarios::median;
use crate::speech::{STEP, decoded, packets, say, speech, wav};

/// No microphone, and nearly no picture: an emulated processor shall have time for the sound.
const CONFIGURATION: &str = r#"
[[camera]]
device = "pattern"
width = 64
height = 64
fps = 1
[audio]
device = "off"
[speaker]
device = "plughw:CARD=Loopback,DEV=1"
[state]
directory = "/tmp/state"
"#;

/// The port on which the board sends what its speaker plays.
const PORT: u16 = 5_000;

/// Samples of a piece that is looked for in the recording.
const PIECE: usize = 12_000;

/// The least correlation of what was heard with what was said.
const INTACT: f64 = 0.9;

/// A recording of what the speaker plays.
struct Recording {
    stream: TcpStream,
    thread: JoinHandle<Recorded>,
}

/// The samples, and when so many had arrived here.
#[derive(Default)]
struct Recorded {
    samples: Vec<i16>,
    arrivals: Vec<(Instant, usize)>,
}

impl Recording {
    /// Begins.
    fn start(board: &Board) -> Self {
        // The recorder starts with the connection, so that it waits for nobody.
        board.start(&format!(
            "nc -l -p {PORT} -e arecord -q -D plughw:CARD=Loopback,DEV=0 -f S16_LE -r 48000 -c 1 -t raw --period-time=10000"
        ));
        let mut stream = board.wait_until("the recorder", LIMIT, || board.connect(PORT).ok());
        let shared = stream.try_clone().expect("a socket should have a second handle");
        // It records silence until something is played.
        stream.read_exact(&mut [0; 2]).expect("the recorder should send");
        let thread = thread::spawn(move || {
            let (mut recorded, mut bytes, mut chunk) = (Recorded::default(), Vec::new(), [0; 4_096]);
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..read]);
                recorded.arrivals.push((Instant::now(), bytes.len() / 2));
            }
            recorded.samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
            recorded
        });
        Self { stream: shared, thread }
    }

    fn stop(self) -> Recorded {
        self.stream.shutdown(std::net::Shutdown::Both).expect("the connection should be open");
        self.thread.join().expect("the recorder's thread should not panic")
    }
}

impl Recorded {
    /// Looks for pieces of `sound`, from its second second on: the correlation of each, and how long after it was said it arrived
    /// here, if the sound began at `begun`.
    fn find(&self, sound: &[f32], begun: Instant) -> Vec<(f64, Duration)> {
        let pieces = (48_000..sound.len() - PIECE).step_by(PIECE);
        let find = |from: usize| {
            let (correlation, at) = find(&sound[from..from + PIECE], &self.samples, STEP);
            let arrived = self.arrivals.iter().find(|(_, count)| *count > at).map_or(begun, |(arrived, _)| *arrived);
            let said = begun + Duration::from_secs_f64(from as f64 / 48_000.0);
            (correlation, arrived.saturating_duration_since(said))
        };
        pieces.map(find).collect()
    }
}

/// Sends a request on the control channel and waits for its result.
async fn call(viewer: &mut Viewer, method: &str) {
    let request = format!(r#"{{"id":"{method}","method":"{method}"}}"#);
    viewer.send(&request).await.expect("the request should be sent");
    let is_answer =
        |event: &Event| matches!(event, Event::Message(text) if text.contains(&format!(r#""id":"{method}""#)));
    let answer = viewer.until(LIMIT, is_answer).await.expect("there should be an answer");
    assert!(matches!(&answer, Event::Message(text) if text.contains("result")), "{method}: {answer:?}");
}

/// How often what was played was not what was said, as far as the board knows: where the speaker ran dry, as an emulated one does on
/// a busy machine, and where packets came too late.
fn disturbances(board: &Board) -> u64 {
    let counters = ["speaker_underruns_total", "talk_packets_concealed_total"];
    let counts = counters.map(|name| board.counter(&format!("porthole_{name}")));
    println!("{counters:?}: {counts:?}");
    counts.iter().sum()
}

fn until_closed(board: &Board) {
    let is_idle = || (board.status()["speaker"]["state"] == "idle").then_some(());
    board.wait_until("the speaker to be closed", LIMIT, is_idle);
}

/// Checks that what was not disturbed was heard as it was said, and a third of it in any case. A disturbance may spoil the two pieces
/// beside it. Returns the delay in the middle.
fn judge(what: &str, found: &[(f64, Duration)], disturbances: u64) -> Duration {
    println!("{what}: correlations and delays {found:.3?}");
    let delays: Vec<Duration> = found.iter().filter(|(one, _)| *one > INTACT).map(|(_, delay)| *delay).collect();
    let spoilt = found.len() - delays.len();
    assert!(
        spoilt as u64 <= 1 + 2 * disturbances,
        "{what}: {spoilt} pieces in {disturbances} disturbances: {found:.3?}"
    );
    assert!(delays.len() * 3 > found.len(), "{what}: {spoilt} of {} pieces spoilt: {found:.3?}", found.len());
    median(&delays)
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn what_is_said_is_heard_on_the_sound_card() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let recording = Recording::start(&board);
        let spoken = packets(&speech(10)).expect("libopus should encode");
        let runtime = Runtime::new().expect("a runtime should start");
        let begun = runtime.block_on(async {
            let options = Options { decode: false, talks: true, ..Options::new(&board.url()) };
            let mut viewer = Viewer::connect(&options).await.expect("the viewer should connect");
            viewer.until(LIMIT, |event| matches!(event, Event::Connected)).await.expect("it should be connected");
            call(&mut viewer, "video.pause").await;
            call(&mut viewer, "talk.start").await;
            let begun = say(&viewer, &spoken, 0, |_| Some(0)).await.expect("the packets should be sent");
            call(&mut viewer, "talk.stop").await;
            viewer.leave().await.expect("the viewer should leave");
            begun
        });
        until_closed(&board);
        let sound = decoded(&spoken).expect("libopus should decode");
        let delay = judge("said", &recording.stop().find(&sound, begun), disturbances(&board));
        println!("from mouth to ear: {delay:.1?} in the middle, with the recorder and the emulated network");
        // Not the figure of a board, but one for an emulated processor.
        assert!(delay < Duration::from_millis(500), "{delay:?}");
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_what_is_announced_is_heard_on_the_sound_card() {
    isolated(|| {
        let guest = Guest::with_porthole(CONFIGURATION);
        let announced = speech(6);
        guest.file("/bell.wav", wav(&announced));
        let board = Board::boot(guest);
        board.start_porthole();
        assert_eq!(board.status()["speaker"]["state"], "idle");
        let recording = Recording::start(&board);
        let begun = Instant::now();
        let answer = board.sh("porthole ctl say /bell.wav --state /tmp/state");
        assert!(answer.contains("\"length\": 6.0"), "{answer}");
        board.wait_until("the sound to end", LIMIT, || board.status()["speaker"]["talker"].is_null().then_some(()));
        until_closed(&board);
        judge("announced", &recording.stop().find(&announced, begun), disturbances(&board));
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}
