//! Tests of names and identities on a simulated host: `sys` and `dev` directories in which a node is a file that holds
//! its driver's answer.

use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::capture::camera::v4l2::discover::NodeInfo;

/// A host whose cameras come and go.
struct FakeHost(TempDir);

/// What a node of [`FakeHost`] answers: its file's lines are the card and the bus; an empty file is no camera.
fn probe(path: &str) -> io::Result<Option<NodeInfo>> {
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines();
    let Some(card) = lines.next() else { return Ok(None) };
    if card == "denied" {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    Ok(Some(NodeInfo {
        card: card.into(),
        bus: lines.next().unwrap_or_default().into(),
        usable: lines.next().is_none(),
    }))
}

impl FakeHost {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().expect("should make a directory"));
        for directory in ["dev", "sys/class/video4linux"] {
            fs::create_dir_all(host.path(directory)).expect("should make directories");
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn dev(&self, name: &str) -> String {
        self.path("dev").join(name).to_str().expect("should be text").into()
    }

    /// A camera on the host itself.
    fn attach(&self, number: u32, bus: &str, card: &str) {
        self.node(&format!("sys/devices/platform/{}", bus.replace(':', "-")), number, 0, &format!("{card}\n{bus}\n"));
    }

    /// A USB camera; a real one has a node for metadata too, which gets the next number.
    fn plug(&self, port: &str, number: u32, [vendor, product, serial]: [&str; 3], card: &str) {
        let device = format!("sys/devices/usb1/{port}");
        let interface = format!("{device}/{port}:1.0");
        fs::create_dir_all(self.path(&interface)).expect("should make directories");
        for (name, text) in [("idVendor", vendor), ("idProduct", product), ("serial", serial)] {
            fs::write(self.path(&device).join(name), format!("{text}\n")).expect("should write");
        }
        fs::write(self.path(&interface).join("bInterfaceNumber"), "00\n").expect("should write");
        self.node(&interface, number, 0, &format!("{card}\nusb-0000:00:14.0-{port}\n"));
        self.node(&interface, number + 1, 1, "");
    }

    fn node(&self, parent: &str, number: u32, index: u32, info: &str) {
        let node = self.path(parent).join(format!("video4linux/video{number}"));
        fs::create_dir_all(&node).expect("should make directories");
        symlink(self.path(parent), node.join("device")).expect("should link");
        fs::write(node.join("index"), format!("{index}\n")).expect("should write");
        fs::write(node.join("name"), info.lines().next().unwrap_or_default()).expect("should write");
        symlink(&node, self.path(&format!("sys/class/video4linux/video{number}"))).expect("should link");
        fs::write(self.dev(&format!("video{number}")), info).expect("should write");
    }

    /// Takes nodes away.
    fn unplug(&self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let class = self.path(&format!("sys/class/video4linux/video{number}"));
            fs::remove_dir_all(fs::canonicalize(&class).expect("should be there")).expect("should go");
            fs::remove_file(class).expect("should go");
            fs::remove_file(self.dev(&format!("video{number}"))).expect("should go");
        }
    }

    fn pipelines<const N: usize>(&self, devices: [DeviceSelector; N]) -> [CameraSelector; N] {
        let sysfs = V4l2Sysfs::new(self.path("sys"), self.path("dev"), probe);
        let registry = Registry(Arc::new(Inner { sysfs, ..Inner::default() }));
        let names = ["front", "back", "side"];
        let configs: Vec<Config> = devices
            .into_iter()
            .zip(names)
            .map(|(device, name)| Config { name: name.into(), device, ..Config::default() })
            .collect();
        registry.selectors(&configs).try_into().expect("should be as many")
    }

    fn named(&self, name: &str) -> CameraSelector {
        let [selector] = self.pipelines([DeviceSelector::parse(name).expect("should be a name")]);
        selector
    }
}

/// As [`CameraSelector::open`] does, without a stream: the number of the node, and what keeps it taken.
fn open(selector: &CameraSelector) -> Result<Option<(u32, Claim)>, Error> {
    let found = selector.registry.resolve(selector.index, &selector.config.device)?;
    Ok(found.map(|(node, claim)| {
        selector.registry.update(selector.index, |pipeline| pipeline.opened = Some(node.identity));
        let number = node.path.rsplit_once("video").expect("should be a node").1;
        (number.parse().expect("should be a number"), claim)
    }))
}

/// Opens the camera and closes it again.
#[track_caller]
fn number(selector: &CameraSelector) -> u32 {
    open(selector).expect("should find it").expect("should be a camera").0
}

#[track_caller]
fn error(selector: &CameraSelector) -> String {
    open(selector).expect_err("should be an error").to_string()
}

const C920: [&str; 3] = ["046d", "082d", "5AF2"];
const TWIN: [&str; 3] = ["1bcf", "2284", ""];

#[test]
fn name_selects_the_matching_camera() {
    let host = FakeHost::new();
    host.attach(0, "platform:vivid-000", "vivid");
    host.plug("1-2", 1, C920, "HD Pro Webcam C920");
    host.plug("1-3", 3, TWIN, "USB Camera");
    for (name, expected) in [
        ("vivid", 0),
        ("platform:vivid-000", 0),
        ("HD Pro Webcam C920", 1),
        ("hd pro", 1),
        ("c920", 1),
        ("usb:046d:082d", 1),
        ("usb:046D:082D:5AF2", 1),
        ("usb:1bcf:2284", 3),
        ("USB Camera", 3),
        ("auto", 0),
    ] {
        let selector = host.named(name);
        assert_eq!(number(&selector), expected, "{name}");
        let found = selector.registry.locate(&selector.config.device).expect("should find it");
        assert_eq!(found, host.dev(&format!("video{expected}")), "{name}");
    }
    assert!(host.named("auto").registry.locate(&DeviceSelector::Pattern).is_err());
    let selector = host.named("c920");
    number(&selector);
    assert_eq!(selector.identity().as_deref(), Some("usb:046d:082d:5AF2"));
}

#[test]
fn path_may_be_a_symlink() {
    let host = FakeHost::new();
    host.plug("1-2", 4, C920, "C920");
    symlink(host.dev("video4"), host.dev("front")).expect("should link");
    for name in ["video4", "front"] {
        let [selector] = host.pipelines([DeviceSelector::Path(host.dev(name))]);
        assert_eq!(number(&selector), 4, "{name}");
    }
}

#[test]
fn unknown_or_ambiguous_name_is_an_error_with_a_list() {
    let host = FakeHost::new();
    assert_eq!(error(&host.named("C920")), "no camera is called C920; there is none");
    host.attach(0, "platform:vivid-000", "vivid");
    host.attach(1, "platform:vivid-001", "vivid");
    host.plug("1-2", 2, C920, "C920");
    let list = format!(
        "{} (vivid, platform:vivid-000), {} (vivid, platform:vivid-001)",
        host.dev("video0"),
        host.dev("video1")
    );
    let c920 = format!("{} (C920, usb:046d:082d:5AF2)", host.dev("video2"));
    assert_eq!(
        error(&host.named("Brio")),
        format!("no camera is called Brio; there are: {list}, {c920}"),
        "without the node for metadata"
    );
    assert_eq!(
        error(&host.named("vivid")),
        format!("several cameras are called vivid; name one by its path or its identity: {list}")
    );
    let absent = host.named("usb:046d:082d:0000").take_missing();
    assert!(absent.expect("should be missing").to_string().starts_with("no camera is called usb:046d:082d:0000;"));
    assert!(host.named("usb:046d:082d").take_missing().is_none());
}

#[test]
fn usb_camera_is_recognised_in_another_port_and_under_another_number() {
    let host = FakeHost::new();
    host.plug("1-2", 0, C920, "C920");
    host.attach(2, "platform:vivid-000", "vivid");
    let link = host.dev("link");
    symlink(host.dev("video0"), &link).expect("should link");
    let selectors =
        [DeviceSelector::Path(host.dev("video0")), DeviceSelector::Path(link)].map(|device| host.pipelines([device]));
    let by_name = [["usb:046d:082d"], ["C920"], ["auto"]].map(|[name]| [host.named(name)]);
    for [selector] in selectors.iter().chain(&by_name) {
        assert_eq!(number(selector), 0);
    }
    host.unplug([0, 1]);
    host.plug("1-4.1", 7, C920, "C920");
    for [selector] in selectors.iter().chain(&by_name) {
        assert_eq!(number(selector), 7, "{}", selector.config.device);
        assert_eq!(selector.identity().as_deref(), Some("usb:046d:082d:5AF2"));
    }
}

#[test]
fn built_in_camera_is_recognised_under_another_number() {
    let host = FakeHost::new();
    host.attach(0, "platform:vivid-000", "vivid");
    let [selector] = host.pipelines([DeviceSelector::Path(host.dev("video0"))]);
    assert_eq!(number(&selector), 0);
    host.unplug([0]);
    assert_eq!(
        error(&selector),
        format!("{}: the camera platform:vivid-000 is not connected; there is none", host.dev("video0"))
    );
    host.attach(1, "platform:vivid-000", "vivid");
    assert_eq!(number(&selector), 1);
}

#[test]
fn another_camera_under_the_same_number_is_not_selected() {
    let host = FakeHost::new();
    host.plug("1-2", 0, C920, "C920");
    let [number_only] = host.pipelines([DeviceSelector::Path(host.dev("video0"))]);
    let [link] = host.pipelines([DeviceSelector::Path(host.dev("by-path"))]);
    symlink(host.dev("video0"), host.dev("by-path")).expect("should link");
    let exact = host.named("usb:046d:082d:5AF2");
    for selector in [&number_only, &link, &exact] {
        assert_eq!(number(selector), 0);
    }
    host.unplug([0, 1]);
    host.plug("1-2", 0, ["046d", "082d", "OTHER"], "C920");
    let why = error(&number_only);
    let other = format!("{} (C920, usb:046d:082d:OTHER)", host.dev("video0"));
    assert_eq!(
        why,
        format!(
            "{}: the camera usb:046d:082d:5AF2 is not connected; another camera is there now: {other}; restart porthole to take that one",
            host.dev("video0")
        )
    );
    let name = "usb:046d:082d:5AF2";
    assert_eq!(error(&exact), format!("{name}: the camera {name} is not connected; there are: {other}"));
    // A link says which camera is meant, here the one in that port.
    assert_eq!(number(&link), 0);
    assert_eq!(link.identity().as_deref(), Some("usb:046d:082d:OTHER"));
}

#[test]
fn right_node_of_a_multi_node_camera_is_selected_again() {
    let host = FakeHost::new();
    host.plug("1-2", 0, C920, "Depth");
    host.node("sys/devices/usb1/1-2/1-2:1.0", 2, 2, "Depth\nusb-0000:00:14.0-1-2\n");
    let [selector] = host.pipelines([DeviceSelector::Path(host.dev("video2"))]);
    assert_eq!(number(&selector), 2);
    host.unplug([0, 1, 2]);
    host.plug("1-3", 5, C920, "Depth");
    host.node("sys/devices/usb1/1-3/1-3:1.0", 4, 2, "Depth\nusb-0000:00:14.0-1-3\n");
    assert_eq!(number(&selector), 4);
    assert_eq!(number(&host.named("Depth")), 4, "several nodes of one camera are no several cameras");
}

#[test]
fn identical_cameras_keep_their_ports() {
    let host = FakeHost::new();
    host.plug("1-1", 0, TWIN, "Cam");
    host.plug("1-2", 2, TWIN, "Cam");
    let twin = || DeviceSelector::parse("usb:1bcf:2284").expect("should be a name");
    let [front, back] = host.pipelines([twin(), twin()]);
    // The second is watched first: the first one's is kept for it all the same.
    assert_eq!((number(&back), number(&front)), (2, 0));

    // Numbers change places, ports don't.
    host.unplug(0..4);
    host.plug("1-2", 0, TWIN, "Cam");
    host.plug("1-1", 2, TWIN, "Cam");
    assert_eq!((number(&front), number(&back)), (2, 0));

    // One is disconnected; the other is idle, but still assigned to the other section.
    host.unplug([2, 3]);
    assert_eq!(
        error(&front),
        "usb:1bcf:2284: the camera `back` of the configuration uses it; name another one in one of the two"
    );
    host.plug("1-7", 4, TWIN, "Cam");
    assert_eq!((number(&front), number(&back)), (4, 0));
}

#[test]
fn each_auto_gets_its_own_camera_in_configuration_order() {
    let host = FakeHost::new();
    host.attach(0, "platform:vivid-000", "vivid");
    host.plug("1-2", 1, C920, "C920");
    host.plug("1-3", 3, TWIN, "Cam");
    let [front, back, side] =
        host.pipelines([DeviceSelector::Auto, DeviceSelector::Auto, DeviceSelector::Card("vivid".into())]);
    assert_eq!((number(&back), number(&side), number(&front)), (3, 0, 1));

    let [front, back] =
        host.pipelines([DeviceSelector::Path(host.dev("video1")), DeviceSelector::Path(host.dev("video1"))]);
    let taken = open(&front).expect("should find it");
    assert!(error(&back).contains("the camera `front` of the configuration uses it"));
    drop(taken);
    assert_eq!(number(&back), 1, "one after the other is no harm");
}

#[test]
fn auto_waits_for_any_camera_once_it_had_one() {
    let host = FakeHost::new();
    let [auto] = host.pipelines([DeviceSelector::Auto]);
    assert!(auto.is_pattern());
    assert!(open(&auto).expect("should be the pattern").is_none());

    // A node whose permissions come later is left alone until then.
    host.attach(0, "platform:vivid-000", "denied");
    assert!(open(&auto).expect("should be the pattern").is_none());
    host.unplug([0]);
    host.plug("1-2", 0, C920, "C920");
    assert_eq!(number(&auto), 0);
    assert!(!auto.is_pattern());

    host.unplug([0, 1]);
    assert_eq!(error(&auto), "auto: the camera usb:046d:082d:5AF2 is not connected; there is none");
    host.attach(3, "platform:vivid-000", "vivid");
    assert_eq!(number(&auto), 3);
}

#[test]
fn test_pattern_ends_when_a_camera_is_plugged_in() {
    let host = FakeHost::new();
    let [mut auto, _named] = host.pipelines([DeviceSelector::Auto, DeviceSelector::Card("vivid".into())]);
    let mut pattern = auto.open(&Config::default()).expect("should be the pattern");
    let wait = std::time::Duration::from_secs(5);
    assert!(pattern.is_pattern());
    assert!(pattern.next(wait).expect("should go on").is_some());

    // Something else, and a camera that another pipeline waits for.
    host.attach(0, "platform:vivid-000", "vivid");
    auto.registry.notify_hotplug();
    assert!(pattern.next(wait).expect("should go on").is_some());

    host.plug("1-2", 1, C920, "C920");
    assert!(pattern.next(wait).expect("should go on").is_some(), "no hot-plug event was received");
    auto.registry.notify_hotplug();
    assert!(matches!(pattern.next(wait), Err(Error::Replaced)));
}

#[test]
fn test_pattern_polls_for_cameras_without_hotplug_events() {
    let host = FakeHost::new();
    let [auto] = host.pipelines([DeviceSelector::Auto]);
    let mut watch = Watch::new(&auto.registry, auto.index, auto.registry.generation());
    let start = std::time::Instant::now();
    host.plug("1-2", 0, C920, "C920");
    assert!(!watch.camera_available(start));
    assert!(watch.camera_available(start + std::time::Duration::from_secs(60)));
}
