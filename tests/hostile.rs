//! Misbehaving V4L2 drivers: the program neither crashes nor hangs, reports the fault, shows no broken frame, leaks
//! nothing and recovers. The driver is a library preloaded into the program (tests/fake); hostile/cases.rs has the
//! table of its behaviours.

#[path = "hostile/cases.rs"]
mod cases;
mod common;
// Its constants define the image of the fake camera.
#[allow(dead_code)]
#[path = "fake/frame.rs"]
mod frame;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cases::{CASES, CONTROL, Case, Expect};
use common::fake::{DEVICE, Fake};
use common::{LIMIT, Options, POLL_INTERVAL, Porthole, Viewer};
use porthole::capture::camera::timecode::Timecode;
use porthole::media::encoder;
use porthole::media::{Colorimetry, PixelFormat, RawFrame, Timestamp, VideoFormat};
use test_viewer::{Frame, Image};
use tokio::sync::Semaphore;

/// Programs in parallel: a case mostly waits.
const AT_ONCE: usize = 8;

/// Frames checked after the first one: longer than any fault in the table lasts.
const FRAMES: usize = 40;

/// The requested size.
const SIZE: (u32, u32) = (320, 240);

/// Tolerance of a colour after two conversions and the encoding.
const TOLERANCE: f64 = 10.0;

/// An ideal size, which a camera may answer with another.
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
[[camera]]
device = "/dev/video90"
width = { ideal = 320 }
height = { ideal = 240 }
fps = { ideal = 30 }
bitrate = 1000000
[audio]
device = "off"
"#;

fn start(fake: &Fake) -> Result<Porthole> {
    Porthole::start_with(CONFIG, &fake.environment()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_driver_in_the_table() -> Result<()> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    // To run a single case: PORTHOLE_CASE="half of an MJPEG" cargo test --test hostile table
    let only = std::env::var("PORTHOLE_CASE").ok();
    for case in CASES.iter().filter(|case| only.as_ref().is_none_or(|only| only == case.name)) {
        let slots = slots.clone();
        running.spawn(async move {
            let _slot = slots.acquire_owned().await?;
            run(case).await.with_context(|| format!("{} ({} {})", case.name, case.format, case.script))
        });
    }
    let outcomes = running.join_all().await;
    ensure!(!outcomes.is_empty(), "no case has this name");
    let wrong: Vec<String> =
        outcomes.into_iter().filter_map(|outcome| outcome.err().map(|error| format!("{error:#}"))).collect();
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

async fn run(case: &Case) -> Result<()> {
    let fake = Fake::new(&format!("format {}\n{CONTROL}\n{}\n", case.format, case.script))?;
    let grey = case.format.starts_with("GREY");
    let porthole = start(&fake)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    match case.expect {
        Expect::Video(width, height) => {
            watch(&mut viewer, (width, height), grey).await?;
            ensure!(fault(&porthole).await?.is_none(), "{}", fault(&porthole).await?.unwrap_or_default());
        }
        Expect::Dropped(place, count) => {
            watch(&mut viewer, SIZE, grey).await?;
            let series = format!("porthole_frames_dropped_total{{at=\"{place}\"}}");
            let dropped = porthole.series(&series).await?;
            // A busy machine loses frames before they are looked at, too.
            let (count, lost) = (count as f64, porthole.not_encoded().await?);
            let right = if place == "Driver" {
                dropped >= count
            } else {
                dropped <= count && dropped + lost >= count && dropped > 0.0
            };
            ensure!(right, "{dropped} frames dropped at {place}, not {count}");
            ensure!(fault(&porthole).await?.is_none(), "{}", fault(&porthole).await?.unwrap_or_default());
        }
        Expect::Fault(text) => {
            wait_for_fault(&porthole, text).await?;
            let before = settled(&porthole, &fake, 1).await?;
            let after = settled(&porthole, &fake, 2).await?;
            ensure!(
                after.0 <= before.0 && after.1 <= before.1 && after.2 <= before.2,
                "descriptors, threads and mappings grow with each try: {before:?}, {after:?}"
            );
        }
        Expect::Continues => until_code(&mut viewer, FRAMES as u32).await?,
        Expect::Recovers(_) => {
            recovered(&mut viewer, false).await?;
            ensure!(fault(&porthole).await?.is_none(), "{}", fault(&porthole).await?.unwrap_or_default());
        }
    }
    viewer.leave().await?;
    let log = end(porthole, &fake).await?;
    // Half a second later the status no longer has it, which may be before the viewer has connected.
    if let Expect::Recovers(text) = case.expect {
        ensure!(log.lines().any(|line| line.contains(text) && line.contains(DEVICE)), "no fault with `{text}`: {log}");
    }
    Ok(())
}

/// The camera's fault in the status.
async fn fault(porthole: &Porthole) -> Result<Option<String>> {
    Ok(porthole.status().await?["cameras"][0]["fault"].as_str().map(str::to_owned))
}

/// Waits until the status reports a fault of this camera that contains `text`.
async fn wait_for_fault(porthole: &Porthole, text: &str) -> Result<()> {
    let has_fault = |status: &serde_json::Value| {
        let fault = status["cameras"][0]["fault"].as_str().unwrap_or_default();
        fault.contains(text) && fault.contains(DEVICE)
    };
    porthole.until_status(&format!("a fault with `{text}`"), has_fault).await.map(drop)
}

/// Waits for the camera's first frame and checks the following ones: each is correct and newer than the one before.
async fn watch(viewer: &mut Viewer, size: (u32, u32), grey: bool) -> Result<()> {
    let mut checker = FrameChecker::default();
    let deadline = Instant::now() + LIMIT;
    while checker.frames < FRAMES {
        ensure!(Instant::now() < deadline, "{} of {FRAMES} frames in {LIMIT:?}", checker.frames);
        let frame = viewer.frame(LIMIT).await?;
        // Before the first camera frame there may be placeholder frames.
        if !checker.check(&frame, size, grey)? {
            ensure!(checker.frames == 0, "after {} good frames one that is not the camera's", checker.frames);
        }
    }
    Ok(())
}

/// Waits until a failed camera is shown again: past the frames from before the fault, and past the placeholder. A fault
/// of half a second at startup may be over before any viewer sees the placeholder.
async fn recovered(viewer: &mut Viewer, require_placeholder: bool) -> Result<()> {
    let (mut checker, mut placeholder) = (FrameChecker::default(), !require_placeholder);
    let deadline = Instant::now() + LIMIT;
    while !placeholder || checker.frames < FRAMES {
        ensure!(Instant::now() < deadline, "placeholder {placeholder}, then {} frames in {LIMIT:?}", checker.frames);
        if !checker.check(&viewer.frame(LIMIT).await?, SIZE, false)? {
            (checker, placeholder) = (FrameChecker::default(), true);
        }
    }
    Ok(())
}

/// Checks consecutive camera frames.
#[derive(Default)]
struct FrameChecker {
    frames: usize,
    /// Number and RTP timestamp of the last one.
    last: Option<(u32, u32)>,
}

impl FrameChecker {
    /// Checks a frame; `false` if it is not from the camera.
    fn check(&mut self, frame: &Frame, size: (u32, u32), grey: bool) -> Result<bool> {
        let image = frame.image.as_ref().context("a frame was not decoded")?;
        let Some(code) = image.code else { return Ok(false) };
        let shown = (image.width as u32, image.height as u32);
        ensure!(shown == size, "frame {} is {shown:?} and not {size:?}", code.frame);
        colours(image, grey)?;
        if let Some((number, timestamp)) = self.last {
            ensure!(code.frame > number, "frame {} after frame {number}", code.frame);
            let ticks = frame.timestamp.wrapping_sub(timestamp).cast_signed();
            ensure!((1..900_000).contains(&ticks), "{ticks} ticks of 90 kHz from frame {number} to {}", code.frame);
        }
        captured_now(frame)?;
        self.last = Some((code.frame, frame.timestamp));
        self.frames += 1;
        Ok(true)
    }
}

/// The reported capture time is close to now, whatever clock the driver has.
fn captured_now(frame: &Frame) -> Result<()> {
    let Some(ntp) = frame.capture_ntp else { return Ok(()) };
    let unix = (ntp >> 32) as f64 - 2_208_988_800.0 + (ntp & 0xffff_ffff) as f64 / 4_294_967_296.0;
    let age = test_viewer::unix_tenths() as f64 / 1e4 - unix;
    ensure!((-0.1..LIMIT.as_secs_f64()).contains(&age), "by its timestamp, a frame is {age} s old");
    Ok(())
}

/// The two fields in the lower half have the colours that the fake camera painted; a grey image has none.
fn colours(image: &Image, grey: bool) -> Result<()> {
    let (width, height) = (image.width / 2, image.height / 2);
    let mean = |plane: &[u8], side: usize| {
        let lines = plane.chunks(width).take(height - 8).skip(height / 2 + 8);
        let values: Vec<f64> = lines
            .flat_map(|line| {
                line[side * width / 2 + 8..(side + 1) * width / 2 - 8].iter().map(|value| f64::from(*value))
            })
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    for (side, (blue, red)) in [frame::LEFT, frame::RIGHT].into_iter().enumerate() {
        let (blue, red) = if grey { (128, 128) } else { (blue, red) };
        for (plane, wanted) in [(&image.u, blue), (&image.v, red)] {
            let value = mean(plane, side);
            ensure!((value - f64::from(wanted)).abs() < TOLERANCE, "a colour is {value:.0} instead of {wanted}");
        }
    }
    Ok(())
}

/// Waits until the camera was tried `tries` more times; returns the program's descriptors, threads and mapped buffers.
async fn settled(porthole: &Porthole, fake: &Fake, tries: usize) -> Result<(usize, usize, usize)> {
    let until = fake.count("open")? + tries;
    let deadline = Instant::now() + LIMIT;
    while fake.count("open")? < until {
        ensure!(Instant::now() < deadline, "the camera was not tried {tries} times in {LIMIT:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    stable_usage(porthole, fake).await
}

/// Waits until the numbers are stable, because a retry may be running and the thread pool grows and shrinks.
async fn stable_usage(porthole: &Porthole, fake: &Fake) -> Result<(usize, usize, usize)> {
    let deadline = Instant::now() + LIMIT;
    let (mut last, mut same) = ((0, 0, 0), 0);
    while same < 20 {
        ensure!(Instant::now() < deadline, "what is held does not settle: {last:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
        let mapped = mapped(fake)?.saturating_sub(fake.count("munmap")?);
        let now = (porthole.files()?, porthole.threads()?, mapped);
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

/// Stops the program: in time, without a panic, with all resources released. Returns its log.
async fn end(porthole: Porthole, fake: &Fake) -> Result<String> {
    porthole.until_metric("porthole_cameras_open", |open| open == 0.0).await?;
    porthole.signal("TERM")?;
    let (code, took, log) = tokio::task::spawn_blocking(|| porthole.wait()).await??;
    ensure!(code == Some(0) && took < Duration::from_secs(5), "ended with {code:?} after {took:?}: {log}");
    ensure!(!log.contains("panicked"), "{log}");
    let opened = fake.calls()?.lines().filter(|line| line.starts_with("open = ") && !line.contains('E')).count();
    ensure!(opened == fake.count("close")?, "opened {opened} times, closed {} times", fake.count("close")?);
    ensure!(mapped(fake)? == fake.count("munmap")?, "mapped and unmapped differ: {}", fake.calls()?);
    Ok(log)
}

fn mapped(fake: &Fake) -> Result<usize> {
    Ok(fake.calls()?.lines().filter(|line| line.starts_with("mmap") && line.ends_with("bytes")).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn reopening_a_camera_leaks_nothing() -> Result<()> {
    const TIMES: usize = 6;
    let script = "format YUYV 320x240@30\n";
    let fake = Fake::new(script)?;
    let porthole = start(&fake)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    watch(&mut viewer, SIZE, false).await?;
    let mut before = None;
    for _ in 0..TIMES {
        fake.unplug()?;
        wait_for_fault(&porthole, "").await?;
        fake.plug(script)?;
        recovered(&mut viewer, true).await?;
        let now = stable_usage(&porthole, &fake).await?;
        // After the first round all one-time allocations are done.
        let (descriptors, threads, mapped) = *before.get_or_insert(now);
        ensure!(now.0 <= descriptors && now.1 <= threads && now.2 <= mapped, "before {before:?}, now {now:?}");
    }
    viewer.leave().await?;
    end(porthole, &fake).await.map(drop)
}

/// Skips frames up to the camera frame with this number or a later one.
async fn until_code(viewer: &mut Viewer, number: u32) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let code = viewer.frame(LIMIT).await?.image.and_then(|image| image.code);
        if code.is_some_and(|code| code.frame >= number) {
            return Ok(());
        }
    }
    bail!("no frame of the camera in {LIMIT:?}")
}

/// A camera with its own encoder: its stream consists of files encoded here.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_h264_passthrough_never_shows_a_broken_frame() -> Result<()> {
    let fake = Fake::new("format YUYV 320x240@30\n")?;
    let folder = fake.frames(&stream(300)?)?;
    let format = format!("format H264 files={} 320x240@30\n", folder.display());
    for (fault_script, damaged) in [("", 0.0), ("frame 20-22 error\n", 3.0), ("frame 20-22 used=0\n", 3.0)] {
        fake.plug(&format!("{format}{fault_script}"))?;
        let porthole = Porthole::start_with(CONFIG, &fake.environment()?)?;
        let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
        watch(&mut viewer, SIZE, false).await?;
        let camera = &porthole.status().await?["cameras"][0];
        ensure!(camera["format"] == "H264" && camera["encoder"] != "openh264", "{camera}");
        let dropped = porthole.series("porthole_frames_dropped_total{at=\"Damaged\"}").await?;
        ensure!(dropped == damaged, "{dropped} frames damaged, not {damaged}: {fault_script}");
        viewer.leave().await?;
        end(porthole, &fake).await?;
    }
    Ok(())
}

/// Encodes `count` access units of the fake camera's image, with a key frame every second.
fn stream(count: u32) -> Result<Vec<Vec<u8>>> {
    let (width, height) = SIZE;
    let format =
        VideoFormat { pixel: PixelFormat::I420, width, height, stride: width, fps: 30.0, color: Colorimetry::SRGB };
    let settings = encoder::Config { bitrate: 1_000_000, ..encoder::Config::default() };
    let mut encoder = encoder::open(&settings, &format)?;
    let unit = |number: u32| -> Result<Vec<u8>> {
        let at = Timestamp::from_start(Duration::from_secs(1) / 30 * number);
        let image = frame::paint(width as usize, height as usize, &Timecode::new(number, at, 0));
        let frame = RawFrame::new(at, format, [image.y, image.u, image.v].concat().into());
        let encoded = encoder.encode(&frame, number.is_multiple_of(30))?.context("the encoder returned no frame")?;
        Ok(encoded.data.to_vec())
    };
    (0..count).map(unit).collect()
}

/// libcamera's preloaded shim needs this as well: every call on a camera goes through a libc function.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_goes_through_libc() -> Result<()> {
    let fake = Fake::new("format YUYV 320x240@30\n")?;
    let porthole = start(&fake)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    watch(&mut viewer, SIZE, false).await?;
    viewer.leave().await?;
    end(porthole, &fake).await?;
    let calls = fake.calls()?;
    for call in ["open = ", "mmap ", "munmap", "close "] {
        ensure!(fake.count(call)? > 0, "no {call:?} in\n{calls}");
    }
    for call in ["QUERYCAP", "S_FMT", "REQBUFS", "QUERYBUF", "QBUF", "STREAMON", "DQBUF", "STREAMOFF"] {
        ensure!(fake.count(&format!("ioctl {call} = 0"))? > 0, "no {call} in\n{calls}");
    }
    ensure!(fake.count("ioctl unknown")? == 0, "a call that the fake camera does not know: {calls}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_ignores_an_exact_size_is_rejected() -> Result<()> {
    let fake = Fake::new("format YUYV 320x240@30\nanswer width=352 height=288\n")?;
    let exact = CONFIG.replace("{ ideal = 320 }", "320").replace("{ ideal = 240 }", "240");
    let porthole = Porthole::start_with(&exact, &fake.environment()?)?;
    let viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    wait_for_fault(&porthole, "the driver insists on YUYV 352x288").await?;
    viewer.leave().await?;
    end(porthole, &fake).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_control_does_not_stop_video() -> Result<()> {
    let fake = Fake::new(&format!("format YUYV 320x240@30\n{CONTROL}\non S_CTRL * EIO\non S_EXT_CTRLS * EIO\n"))?;
    let settings = "[camera.controls]\nbrightness = 200\n[audio]";
    let porthole = Porthole::start_with(&CONFIG.replace("[audio]", settings), &fake.environment()?)?;
    let mut viewer = Viewer::connect(&Options::new(&porthole.base)).await?;
    watch(&mut viewer, SIZE, false).await?;
    viewer.leave().await?;
    let tried = fake.count("ioctl S_CTRL = EIO")? + fake.count("ioctl S_EXT_CTRLS = EIO")?;
    ensure!(tried > 0, "the control was not set: {}", fake.calls()?);
    let log = end(porthole, &fake).await?;
    ensure!(log.contains("brightness = 200"), "the log does not mention the control: {log}");
    Ok(())
}

#[test]
fn odd_devices_are_listed() -> Result<()> {
    let fake = Fake::new(
        "card \\xff\\xfe strange\n\
         format YUYV 320x240@30\n\
         endless formats\n\
         endless controls\n\
         control 9963776 1 0 255 1 128 0 \\xffBrightness\n",
    )?;
    let text = listed(&fake)?;
    ensure!(text.contains("\u{fffd}\u{fffd} strange"), "{text}");

    fake.plug(
        "format YUYV 320x240@30\n\
         control 9963776 1 0 255 1 128 0 Brightness\n\
         control 9963800 3 0 9223372036854775807 1 0 0 Endless menu\n\
         control 9963801 9 -9223372036854775808 9223372036854775807 1 0 0 Endless numbers\n\
         control 9963802 3000 0 0 0 0 0 Unknown kind\n\
         control 9963803 5 -9223372036854775808 9223372036854775807 1 7 0 Wide\n\
         control 9963804 1 100 0 0 500 0 Upside down\n\
         control 9963805 1 0 1 1 0 0x40 Write only\n",
    )?;
    let text = listed(&fake)?;
    for name in ["brightness", "endless_menu", "endless_numbers", "wide", "upside_down", "write_only"] {
        ensure!(text.contains(name), "no {name} in\n{text}");
    }
    Ok(())
}

/// The output of `porthole devices` for the camera.
fn listed(fake: &Fake) -> Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_porthole"));
    let output = command.arg("devices").envs(fake.environment()?).output()?;
    let text = String::from_utf8(output.stdout).context("the list should be text")?;
    ensure!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains(DEVICE), "{text}");
    Ok(text)
}
