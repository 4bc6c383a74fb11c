//! Recordings of a real driver's camera while it is unplugged and plugged in again, and while the board's clock is set: the files stay
//! whole, have nothing but the camera in them, and are told by the clock as it is.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_viewer::Image;

use crate::footage::SIZE;
use crate::frame_content::Scene;
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::LIMIT;
use crate::packages::run;
use crate::scenarios::CONFIGURATION;

const RECORDING: &str = r#"
[recording]
mode = "always"
directory = "/tmp/recordings"
min_free = ""
sync = 1
"#;

/// Bytes after which a file has some seconds of the camera in it.
const SOME_SECONDS: u64 = 100_000;

const HOUR: i64 = 3_600;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn recordings_stand_an_unplug_and_a_clock_that_is_set() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(&format!("{CONFIGURATION}{RECORDING}")));
        board.start_porthole();
        let first = start(&until_growing(&board, 1)[0]);
        assert!((first - clock(&board)).abs() < 60, "it starts at {first}, and it is {}", clock(&board));
        set_clock(&board, HOUR);
        // In the middle of the file, which goes on.
        let listed = until(&board, "the hour to be told", |all| is_near(&all[0], first + HOUR));
        assert!(listed.len() == 1 && listed[0]["running"] == true, "{listed:#?}");
        board.wait_until("the status to tell it, too", LIMIT, || {
            (board.status()["recording"]["cameras"][0]["since"] == listed[0]["start"]).then_some(())
        });

        board.unplug_cameras();
        let listed = until(&board, "the file to end", |all| all[0]["running"] == false);
        let (end, now) = (end(&listed[0]), clock(&board));
        assert!(end <= now + 1 && now - end < 60, "it ends at {end}, and it is {now}: {listed:#?}");
        board.plug_cameras();
        let second = start(&until_growing(&board, 2)[1]);
        assert!(second >= end - 1 && second <= clock(&board), "it starts at {second}, after {end}");
        // Back again: what has ended follows, too.
        set_clock(&board, -HOUR);
        until(&board, "the hour to be taken back", |all| is_near(&all[0], first) && is_near(&all[1], second - HOUR));
        board.unplug_cameras();
        let listed = until(&board, "the file to end", |all| all.iter().all(|one| one["running"] == false));
        assert_eq!(listed.len(), 2, "{listed:#?}");

        let folder = tempfile::tempdir().expect("a directory should be created");
        for one in &listed {
            let answer = board.http_get(one["file"].as_str().expect("a file")).expect("a recording should be served");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let file = folder.path().join("recording.mp4");
            std::fs::write(&file, &answer.body).expect("a file should be written");
            check(&file, one);
        }
        let names = board.sh("ls /tmp/recordings");
        assert_eq!(names.lines().filter(|name| name.ends_with("ms.mp4")).count(), 2, "{names}");
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

/// Checks that a file has the camera in it from its beginning to its end, in the order of time, and the sound.
fn check(file: &Path, one: &Value) {
    let length = one["length"].as_f64().expect("a length");
    for (stream, least) in [("v", 10), ("a", 50)] {
        let entries = ["-show_entries", "packet=pts_time", "-of", "csv=p=0"];
        let mut probe = Command::new("ffprobe");
        probe.args(["-v", "error", "-select_streams", stream]).args(entries).arg(file);
        let times = run(&mut probe);
        let times: Vec<f64> = times
            .split([',', '\n'])
            .filter(|time| !time.is_empty())
            .map(|time| time.parse().expect("a time"))
            .collect();
        assert!(times.len() >= least && times.windows(2).all(|pair| pair[0] < pair[1]), "{stream}: {times:?}");
        let span = times[times.len() - 1] - times[0];
        assert!((span - length).abs() < 2.0, "{span} s of {stream} in {length} s");
    }
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-show_entries", "format_tags=creation_time", "-of", "csv=p=0"]).arg(file);
    let created = run(&mut probe);
    let created = run(Command::new("date").args(["+%s", "-d", created.trim()]));
    let created: i64 = created.trim().parse().expect("date should print a number");
    assert!(is_near(one, created), "{created}: {one:#}");
    let mut decode = Command::new("ffmpeg");
    decode.args(["-nostdin", "-v", "error", "-i"]).arg(file).args(["-map", "0:v", "-fps_mode", "passthrough"]);
    // Frames of a busy machine may be closer than the frame rate of the file says.
    decode.args(["-enc_time_base", "1:90000", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
    let output = decode.output().expect("ffmpeg should start: `make setup-test` installs it");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let (width, height) = SIZE;
    let scenes = output.stdout.chunks_exact(width * height * 3 / 2).map(|frame| {
        let (y, chroma) = frame.split_at(width * height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        let [y, u, v] = [y, u, v].map(<[u8]>::to_vec);
        Scene::of(&Image { width, height, y, u, v, code: None, decoded: 0 })
    });
    let scenes: Vec<Scene> = scenes.collect();
    assert!(scenes.len() >= 10 && scenes.iter().all(|scene| *scene == Scene::Bars), "{scenes:?}");
}

/// The list of recordings once it satisfies a condition.
fn until(board: &Board, what: &str, met: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    board.wait_until(what, LIMIT, || {
        let answer = board.http_get("/api/recordings").expect("the list should be served");
        let mut listed: Value = serde_json::from_str(&answer.text()).expect("the list should be JSON");
        let listed = std::mem::take(listed["recordings"].as_array_mut().expect("a list"));
        met(&listed).then_some(listed)
    })
}

/// The list once there are so many, of which the last is being written and has some seconds in it.
fn until_growing(board: &Board, count: usize) -> Vec<Value> {
    until(board, &format!("recording {count}"), |all| {
        let last = all.get(count - 1);
        last.is_some_and(|one| one["running"] == true && one["bytes"].as_u64() > Some(SOME_SECONDS))
    })
}

fn start(one: &Value) -> i64 {
    one["start"].as_i64().expect("a start")
}

fn end(one: &Value) -> i64 {
    start(one) + one["length"].as_f64().expect("a length") as i64
}

/// Whether a recording starts then: it is told in whole seconds.
fn is_near(one: &Value, expected: i64) -> bool {
    start(one).abs_diff(expected) <= 2
}

/// The board's clock.
fn clock(board: &Board) -> i64 {
    board.sh("date +%s").trim().parse().expect("date should print a number")
}

/// Sets the board's clock forward or back.
fn set_clock(board: &Board, seconds: i64) {
    board.sh(&format!("date -s @$(($(date +%s) + {seconds}))"));
}
