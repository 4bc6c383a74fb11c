//! Tests of the screen's thread with programs of the shell.

use std::path::PathBuf;

use bytes::Bytes;

use super::*;
use crate::media::{ScreenCodec, ScreenFrame};
use crate::model::metrics::ScreenDropLabels;
use crate::model::status::{ScreenStatus, Status};

const LIMIT: Duration = Duration::from_secs(30);

/// A pipeline, and a folder for what its programs write.
struct Rig {
    input: ScreenInput,
    guard: Option<Guard>,
    metrics: Metrics,
    publisher: StatusPublisher,
    folder: tempfile::TempDir,
}

impl Rig {
    /// Runs a script of the shell, in which `DIR` stands for the folder.
    fn start(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let line = script.replace("DIR", &folder.path().to_string_lossy());
        let screen = Some(ScreenStatus::default());
        let (metrics, publisher) = (Metrics::new(), StatusPublisher::new(Status { screen, ..Status::default() }));
        let started = start(&Config { exec: Some(line) }, &metrics, &publisher).expect("a thread");
        let (input, guard) = started.expect("a program is configured");
        Self { input, guard: Some(guard), metrics, publisher, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn screen(&self) -> ScreenStatus {
        self.publisher.snapshot().screen.expect("there should be one")
    }

    fn ended(&self) -> u64 {
        self.metrics.screen_dropped.get_or_create(&ScreenDropLabels { why: ScreenDrop::Ended }).get()
    }

    /// Waits until a condition holds.
    #[track_caller]
    fn until(&self, what: &str, met: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !met(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a file has this content.
    #[track_caller]
    fn until_file(&self, name: &str, content: &[u8]) {
        let read = |rig: &Self| std::fs::read(rig.path(name)).unwrap_or_default();
        self.until(name, |rig| read(rig) == content);
    }
}

fn frame(key: bool, data: &'static [u8]) -> ScreenFrame {
    ScreenFrame { codec: ScreenCodec::H264, key, ticks: 0, data: Bytes::from_static(data) }
}

/// Whether a process runs that has this argument.
fn runs(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("list the processes").flatten();
    let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|byte| *byte == 0).any(|found| found == argument.as_bytes()))
}

#[test]
fn nothing_is_started_without_a_program() {
    let (metrics, publisher) = (Metrics::new(), StatusPublisher::new(Status::default()));
    assert!(start(&Config::default(), &metrics, &publisher).expect("nothing to fail").is_none());
}

#[test]
fn a_program_reads_each_talker_from_their_first_picture_to_their_end() {
    let rig = Rig::start("printf $PORTHOLE_CODEC > DIR/codec; cat > DIR/shown; touch DIR/over");
    let mut showing = rig.input.begin();
    assert_eq!(rig.screen().state, PipelineState::Idle, "there is no picture yet");
    showing.push(frame(true, b"key "));
    showing.push(frame(false, b"and more"));
    rig.until_file("shown", b"key and more");
    rig.until_file("codec", b"h264");
    assert_eq!((rig.screen().state, rig.metrics.screen_frames.get()), (PipelineState::Live, 2));
    drop(showing);
    rig.until("it ends by itself", |rig| rig.path("over").exists() && rig.screen().state == PipelineState::Idle);
    let mut showing = rig.input.begin();
    showing.push(frame(true, b"another"));
    rig.until_file("shown", b"another");
    assert_eq!(rig.ended(), 0);
}

#[test]
fn vp8_comes_in_ivf() {
    let rig = Rig::start("printf $PORTHOLE_CODEC > DIR/codec; cat > DIR/shown");
    let mut showing = rig.input.begin();
    let vp8 = |key, ticks, data: &'static [u8]| ScreenFrame {
        codec: ScreenCodec::Vp8,
        key,
        ticks,
        data: Bytes::from_static(data),
    };
    showing.push(vp8(true, 9_000, b"\x10\x02\0\x9d\x01\x2a\x80\x02\xe0\x01key"));
    showing.push(vp8(false, 12_000, b"\x11delta"));
    let mut expected = b"DKIF\0\0\x20\0VP80\x80\x02\xe0\x01\x90\x5f\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    expected.extend(b"\x0d\0\0\0\0\0\0\0\0\0\0\0\x10\x02\0\x9d\x01\x2a\x80\x02\xe0\x01key");
    expected.extend(b"\x06\0\0\0\xb8\x0b\0\0\0\0\0\0\x11delta");
    rig.until_file("shown", &expected);
    rig.until_file("codec", b"vp8");
}

#[test]
fn a_program_that_does_not_read_is_not_waited_for_and_ends_with_all_that_it_has_started() {
    for (index, script) in ["sleep N", "trap '' TERM; sleep N; sleep N", "setsid sleep N & sleep N"].iter().enumerate()
    {
        let number = format!("{}.{index}19", 300_000 + std::process::id());
        let rig = Rig::start(&script.replace('N', &number));
        let large = Bytes::from(vec![1; 100_000]);
        let mut showing = rig.input.begin();
        let begun = Instant::now();
        for _ in 0..1_000 {
            showing.push(ScreenFrame { data: large.clone(), ..frame(true, b"") });
        }
        assert!(begun.elapsed() < LIMIT && showing.needs_key() && !showing.has_room(), "{script}");
        rig.until("it runs", |_| runs(&number));
        drop(showing);
        rig.until("it is terminated", |_| !runs(&number));
        // Another talker is shown all the same.
        let mut showing = rig.input.begin();
        rig.until("there is room", |_| showing.has_room());
        showing.push(frame(true, b"key"));
        rig.until("it runs again", |_| runs(&number));
        drop((rig.guard, showing));
        assert!(!runs(&number), "{script}");
    }
}

#[test]
fn a_program_that_fails_is_a_fault_until_the_next_talker() {
    let rig =
        Rig::start("test -e DIR/good || { echo no display at http://user:secret@host/ >&2; exit 3; }; cat > DIR/shown");
    let mut showing = rig.input.begin();
    showing.push(frame(true, b"key"));
    rig.until("it fails", |rig| rig.screen().state == PipelineState::Fault);
    let fault = rig.screen().fault.expect("a reason");
    assert!(fault.starts_with("the program ended with exit status 3; it said: no display at"), "{fault}");
    assert!(!fault.contains("secret"), "{fault}");
    std::fs::write(rig.path("good"), "").expect("a file");
    showing.push(frame(false, b"more"));
    rig.until("it is not started again for the same talk", |rig| rig.ended() == 1);
    drop(showing);
    let mut showing = rig.input.begin();
    showing.push(frame(true, b"another"));
    rig.until_file("shown", b"another");
    assert_eq!(rig.screen(), ScreenStatus { state: PipelineState::Live, fault: None });
}

#[test]
fn a_talker_takes_the_screen_from_the_one_before() {
    let rig = Rig::start("cat > DIR/$$");
    let shown = |rig: &Rig, content: &[u8]| {
        let mut files = std::fs::read_dir(rig.folder.path()).expect("a directory").flatten();
        files.any(|file| std::fs::read(file.path()).unwrap_or_default() == content)
    };
    let mut first = rig.input.begin();
    first.push(frame(true, b"first"));
    rig.until("the first is shown", |rig| shown(rig, b"first"));
    let mut second = rig.input.begin();
    second.push(frame(true, b"second"));
    rig.until("the second is shown", |rig| shown(rig, b"second"));
    first.push(frame(true, b"late"));
    rig.until("the first is shown no more", |rig| rig.ended() == 1);
    assert!(!shown(&rig, b"firstlate") && !shown(&rig, b"secondlate"));
}

#[test]
fn nothing_is_passed_on_while_the_privacy_switch_is_on() {
    let number = format!("{}.29", 300_000 + std::process::id());
    let rig = Rig::start(&format!("cat > DIR/shown; sleep {number}"));
    let mut showing = rig.input.begin();
    showing.push(frame(true, b"key"));
    rig.until_file("shown", b"key");
    rig.input.demand().set_blocked(true);
    showing.push(frame(false, b"secret"));
    rig.until("the program is terminated", |rig| rig.screen().state == PipelineState::Idle);
    assert!(!runs(&number));
    showing.push(frame(true, b"secret"));
    drop(showing);
    rig.until("nothing waits", |rig| rig.ended() == 2);
    rig.input.demand().set_blocked(false);
    let mut showing = rig.input.begin();
    showing.push(frame(true, b"afterwards"));
    rig.until_file("shown", b"afterwards");
}
