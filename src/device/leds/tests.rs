//! Tests from the status to the LED: with a fake LED that records its values, and with a directory tree like sysfs.

use std::fs;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::led::Dimming;
use super::*;
use crate::model::status::{CameraStatus, FaultKind, PipelineState, Status};

/// An LED that reports what it is set to, and when it is dropped.
struct FakeLed(SyncSender<Option<u32>>);

impl Led for FakeLed {
    fn dimming(&self) -> Dimming {
        Dimming::Steps(255)
    }

    fn set(&mut self, step: u32) -> anyhow::Result<()> {
        self.0.try_send(Some(step)).map_err(|_| anyhow::anyhow!("the LED is gone"))
    }

    fn label(&self) -> &str {
        "fake LED"
    }
}

impl Drop for FakeLed {
    fn drop(&mut self) {
        let _ = self.0.try_send(None);
    }
}

fn config(show: Indicator) -> Config {
    Config { target: LedTarget::Sysfs("ACT".into()), show, brightness: 100 }
}

fn led() -> (Box<dyn Led>, Receiver<Option<u32>>) {
    let (sender, receiver) = sync_channel(1024);
    (Box::new(FakeLed(sender)), receiver)
}

fn next(led: &Receiver<Option<u32>>) -> Option<u32> {
    led.recv_timeout(Duration::from_secs(30)).expect("the LED should be set")
}

#[tokio::test(flavor = "multi_thread")]
async fn led_follows_the_status_until_its_guard_is_dropped() {
    let publisher = StatusPublisher::new(Status { cameras: vec![CameraStatus::default()], ..Status::default() });
    let (watched, seen) = led();
    let guard = start_with([(&config(Indicator::Watched), watched)], &publisher).unwrap();
    assert_eq!(next(&seen), Some(0));
    publisher.viewers(&[0], &[]);
    assert_eq!(next(&seen), Some(255));
    publisher.viewers(&[0, 0], &[]);
    publisher.viewers(&[], &[]);
    assert_eq!(next(&seen), Some(0), "what changes nothing is not written");
    drop(guard);
    assert_eq!(next(&seen), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_code_is_repeated() {
    let publisher = StatusPublisher::new(Status { cameras: vec![CameraStatus::default()], ..Status::default() });
    let (fault, seen) = led();
    let guard = start_with([(&config(Indicator::Fault), fault)], &publisher).unwrap();
    assert_eq!(next(&seen), Some(0));
    publisher.camera(0, |camera| (camera.state, camera.trouble) = (PipelineState::Fault, Some(FaultKind::Away)));
    for _ in 0..4 {
        assert_eq!((next(&seen), next(&seen)), (Some(255), Some(0)));
    }
    drop(guard);
    while next(&seen).is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_led_does_not_affect_the_others() {
    let publisher = StatusPublisher::new(Status::default());
    let ((broken, gone), (whole, seen)) = (led(), led());
    drop(gone);
    let configs = [config(Indicator::Ready), config(Indicator::Privacy)];
    let _guard = start_with(configs.iter().zip([broken, whole]), &publisher).unwrap();
    assert_eq!(next(&seen), Some(0));
    publisher.privacy(true);
    assert_eq!(next(&seen), Some(255));
}

#[tokio::test(flavor = "multi_thread")]
async fn sysfs_led_is_driven_and_restored_and_a_missing_one_is_skipped() {
    let tree = tempfile::tempdir().unwrap();
    let led = tree.path().join("ACT");
    fs::create_dir(&led).unwrap();
    for (file, text) in [("max_brightness", "1\n"), ("brightness", "0\n"), ("trigger", "none [heartbeat]\n")] {
        fs::write(led.join(file), text).unwrap();
    }
    let missing = Config { target: LedTarget::Sysfs("PWR".into()), ..config(Indicator::Ready) };
    assert!(open(&missing, tree.path()).is_none());
    let config = config(Indicator::Ready);
    let opened = open(&config, tree.path()).expect("should be found");
    let publisher = StatusPublisher::new(Status::default());
    let guard = start_with([(&config, opened)], &publisher).unwrap();
    let reads = |file: &str, expected: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read_to_string(led.join(file)).unwrap() != expected {
            assert!(Instant::now() < deadline, "{file} should read {expected}");
            std::thread::yield_now();
        }
    };
    reads("brightness", "1");
    reads("trigger", "none");
    drop(guard);
    reads("trigger", "heartbeat");
}

#[test]
fn missing_gpio_pin_is_skipped() {
    let pin = gpio::GpioPin { chip: Some("nochip".into()), line: 17, active_low: false };
    assert!(open(&Config { target: LedTarget::Gpio(pin), ..config(Indicator::Ready) }, Path::new("/")).is_none());
}
