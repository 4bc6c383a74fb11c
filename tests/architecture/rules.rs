//! The architecture rules: each is a function from source files to violations, with examples that violate it.
//!
//! `architecture` applies them to the tree, `source` parses the files.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Named, Source};

/// The top-level folders and files of `src` in layer order: each imports only from those before it.
const ORDER: [&str; 12] =
    ["util", "media", "model", "device", "capture", "pipeline", "server", "config", "app", "log", "cli", "main"];

/// The same order inside `server`.
const SERVER_ORDER: [&str; 13] = [
    "auth",
    "photos",
    "publish_switches",
    "sessions",
    "floor",
    "dispatch",
    "client",
    "hooks",
    "mqtt",
    "rtc",
    "publish",
    "rtsp",
    "http",
];

/// The same order inside `server::rtc`. What is beside these folders may use all of them and be used by all.
const RTC_ORDER: [&str; 5] = ["sdp", "mux", "ice", "rate", "session"];

/// The server only receives subscriptions and handles from these; it must not import them.
const UNKNOWN_TO_SERVER: [&str; 2] = ["device", "capture"];

/// Device modules that other device modules may use; apart from these, device modules do not import each other.
const SHARED_DEVICES: [&str; 2] = ["gpio", "sysfs"];

/// Foreign crates confined to one place: the crates, and the files or folders that may use them.
const HIDDEN: &[(&[&str], &[&str])] = &[
    (&["v4l", "v4l2_sys_mit"], &["src/device/v4l2/"]),
    (&["alsa"], &["src/capture/audio/alsa.rs", "src/capture/audio/alsa/"]),
    (&["openh264", "openh264_sys2"], &["src/media/encoder/openh264.rs", "src/media/encoder/openh264/"]),
    (&["rubato"], &["src/capture/audio/resample.rs"]),
    (&["sonora"], &["src/media/voice/"]),
    (
        &["opus"],
        &[
            "src/media/playout/",
            "src/media/sound_file.rs",
            "src/pipeline/audio.rs",
            "src/pipeline/audio/",
            "src/pipeline/speaker/tests.rs",
        ],
    ),
    (&["symphonia"], &["src/media/sound_file.rs"]),
    (&["h264_reader"], &["src/media/h264/"]),
    (&["shiguredo_mp4"], &["src/media/mp4/"]),
    (&["turbojpeg", "yuv"], &["src/media/convert/"]),
    (&["fast_image_resize"], &["src/media/scale.rs"]),
    (&["rppal", "gpiocdev", "gpiocdev_uapi"], &["src/device/gpio/"]),
    (&["sd_notify", "listenfd"], &["src/device/systemd/"]),
    (&["prometheus_client"], &["src/model/metrics.rs", "src/model/metrics/"]),
    (&["rtc"], &["src/server/rtc/"]),
    (&["warp", "futures_util"], &["src/server/http/"]),
    (&["hyper", "hyper_util"], &["src/server/http/", "src/server/client/"]),
    (&["http_body_util", "url"], &["src/server/client/"]),
    (&["toml"], &["src/config/"]),
    (&["strsim"], &["src/util/suggest.rs"]),
    (&["clap", "qrcode"], &["src/main.rs", "src/cli/"]),
    // For the printed addresses, the hostnames in our own certificate, and the addresses offered to viewers.
    (&["if_addrs"], &["src/cli/address.rs", "src/server/http/hostnames.rs", "src/server/rtc/ice/"]),
    (&["rtsp_types"], &["src/server/rtsp/"]),
    (&["socket2"], &["src/server/http/connection.rs", "src/server/rtc/mux/", "src/server/rtsp/connection.rs"]),
    (&["quinn_udp"], &["src/server/rtc/mux/"]),
    (&["argon2", "subtle"], &["src/server/auth/"]),
    (&["tokio_rustls"], &["src/server/http/", "src/server/mqtt/", "src/server/client/"]),
    (&["rumqttc"], &["src/server/mqtt/"]),
    (&["rustls_native_certs"], &["src/server/mqtt/", "src/server/client/"]),
    (&["rcgen"], &["src/server/http/"]),
    (&["ring"], &["src/server/auth/", "src/server/http/", "src/server/mqtt/", "src/server/rtc/"]),
    (&["tracing_subscriber", "tracing_log"], &["src/log.rs"]),
    (&["chrono"], &["src/capture/camera/placeholder.rs", "src/pipeline/recorder/name.rs", "src/server/photos.rs"]),
];

/// Where serde may be used: its output is a public format.
const PROMISES: [&str; 9] = [
    "src/server/auth/",
    "src/config/",
    "src/model/protocol/",
    "src/model/inventory/",
    "src/model/status.rs",
    "src/server/hooks/",
    "src/server/http/",
    "src/server/mqtt/",
    "src/server/rtc/",
];

/// Where `unsafe` is allowed: files that talk to devices and to C libraries.
const DEVICES: [&str; 6] = [
    "src/device/v4l2/",
    "src/capture/camera/",
    "src/media/encoder/",
    "src/capture/audio/",
    "src/device/leds/",
    "src/util/malloc.rs",
];

/// Where printing is allowed: the command line.
const PRINTING: [&str; 2] = ["src/main.rs", "src/cli/"];

/// Names that several public types may have, and why. They are written with their module.
const SHARED_NAMES: &[(&str, &str)] = &[
    ("Config", "the settings of one module: `camera::Config`, `rtc::Config`"),
    ("Error", "why one module's operations fail: `camera::Error`, `encoder::Error`"),
    ("Guard", "ends what one module's `start` has begun: `leds::Guard`, `hotplug::Guard`"),
];

/// A folder imports only from folders before it, and inside `server` a module only from modules before it. Test code
/// may import anything.
pub fn layers(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let Some(from) = Place::of(&source.module) else {
            wrong.push(format!("{}: `{}` is no layer; see ORDER in tests/architecture", source.path, source.module[0]));
            continue;
        };
        for path in source.paths.iter().filter(|path| !path.test) {
            let Some(target) = source.target(path) else { continue };
            if !Place::of(&target).is_some_and(|to| from.may_use(to)) {
                wrong.push(violation(
                    source,
                    path,
                    &format!("`{}` may not use `{}`", source.module.join("::"), target.join("::")),
                ));
            }
        }
    }
    wrong
}

/// Device modules do not import each other, except for shared interfaces.
pub fn devices(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let [folder, own, ..] = source.module.as_slice() else { continue };
        for path in source.paths.iter().filter(|path| folder == "device" && !path.test) {
            let Some(target) = source.target(path) else { continue };
            let [folder, other, ..] = target.as_slice() else { continue };
            if folder == "device" && other != own && !SHARED_DEVICES.contains(&other.as_str()) {
                wrong.push(violation(source, path, &format!("`{own}` may not use `{other}`")));
            }
        }
    }
    wrong
}

/// No import cycles between files.
///
/// A folder's `mod.rs` names its submodules, and they use what it defines; such a pair is not a cycle.
pub fn circles(sources: &[Source]) -> Vec<String> {
    let modules: Vec<&[String]> = sources.iter().map(|source| source.module.as_slice()).collect();
    let uses: Vec<BTreeSet<usize>> = sources.iter().map(|source| imported(source, &modules)).collect();
    // The files reachable from each file.
    let reachable = |from: usize| {
        let mut reached = BTreeSet::new();
        let mut next: Vec<usize> = uses[from].iter().copied().collect();
        while let Some(at) = next.pop() {
            if reached.insert(at) {
                next.extend(&uses[at]);
            }
        }
        reached
    };
    let reached: Vec<BTreeSet<usize>> = (0..sources.len()).map(reachable).collect();
    let mut wrong = BTreeSet::new();
    for (at, source) in sources.iter().enumerate().filter(|(at, _)| reached[*at].contains(at)) {
        let circle =
            reached[at].iter().filter(|other| reached[**other].contains(&at)).map(|other| &*sources[*other].path);
        wrong.insert(format!("{}: imports in a circle: {}", source.path, circle.collect::<Vec<_>>().join(", ")));
    }
    wrong.into_iter().collect()
}

/// The files that a file imports from, except its ancestors and descendants in the module tree.
fn imported(source: &Source, modules: &[&[String]]) -> BTreeSet<usize> {
    let targets = source.paths.iter().filter(|path| !path.test).filter_map(|path| source.target(path));
    let file = |target: Vec<String>| {
        let fits = modules.iter().enumerate().filter(|(_, module)| !module.is_empty() && target.starts_with(module));
        fits.max_by_key(|(_, module)| module.len()).map(|(at, _)| at)
    };
    targets
        .filter_map(file)
        .filter(|at| !modules[*at].starts_with(&source.module) && !source.module.starts_with(modules[*at]))
        .collect()
}

/// A position in the layer order.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    folder: &'a str,
    /// The module inside `server`; `None` for `server` itself.
    inside: Option<&'a str>,
    /// The folder inside `server::rtc`.
    part: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// `None` for a module outside the layers.
    fn of(module: &'a [String]) -> Option<Self> {
        let folder = module.first().map(String::as_str).filter(|folder| ORDER.contains(folder))?;
        let inside = module.get(1).map(String::as_str).filter(|name| folder == "server" && SERVER_ORDER.contains(name));
        let part = module.get(2).map(String::as_str).filter(|name| inside == Some("rtc") && RTC_ORDER.contains(name));
        Some(Self { folder, inside, part })
    }

    fn may_use(self, other: Place<'_>) -> bool {
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        let within = |name: &str| SERVER_ORDER.iter().position(|known| *known == name);
        if self.folder != other.folder {
            let hidden = self.folder == "server" && UNKNOWN_TO_SERVER.contains(&other.folder);
            return !hidden && place(other.folder) < place(self.folder);
        }
        let inside_rtc = |name: &str| RTC_ORDER.iter().position(|known| *known == name);
        if let (Some(from), Some(to)) = (self.part, other.part) {
            return inside_rtc(to) <= inside_rtc(from);
        }
        match (self.inside, other.inside) {
            (Some(from), Some(to)) => within(to) <= within(from),
            _ => true,
        }
    }
}

/// Each confined crate is used only in its own place, in test code too.
pub fn foreign_crates(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        for path in &source.paths {
            let Some(name) = source.foreign(path) else { continue };
            for (_, places) in HIDDEN.iter().filter(|(crates, _)| crates.contains(&name)) {
                if !is_in(&source.path, places) {
                    wrong.push(violation(
                        source,
                        path,
                        &format!("the crate `{name}` belongs in {}", places.join(", ")),
                    ));
                }
            }
        }
    }
    wrong
}

/// No two public types or traits share a name, so that a name means the same thing in every file.
pub fn type_names(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut defined: BTreeMap<&str, Vec<(&Source, &Named)>> = BTreeMap::new();
    for source in sources {
        for name in source.public_types.iter().filter(|name| !name.test) {
            defined.entry(&name.segments[0]).or_default().push((source, name));
        }
    }
    for (name, places) in defined {
        if places.len() < 2 || SHARED_NAMES.iter().any(|(shared, _)| *shared == name) {
            continue;
        }
        for (source, place) in &places {
            let others = places.iter().map(|(other, _)| other.path.as_str()).filter(|other| *other != source.path);
            let others = others.collect::<Vec<_>>().join(", ");
            wrong.push(violation(source, place, &format!("this name is also defined in {others}")));
        }
    }
    wrong
}

/// serde is used only for public formats. Tests may read them anywhere.
pub fn promises(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !is_in(&source.path, &PROMISES)) {
        for path in source.paths.iter().filter(|path| !path.test) {
            if matches!(source.foreign(path), Some("serde" | "serde_json")) {
                wrong.push(violation(source, path, &format!("serde belongs in {}", PROMISES.join(", "))));
            }
        }
    }
    wrong
}

/// No unbounded channels, neither tokio's nor the standard library's.
pub fn bounded_channels(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        for path in &source.paths {
            let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
            let named = segments.iter().any(|segment| segment.to_lowercase().starts_with("unbounded"));
            let standard = matches!(segments.as_slice(), ["std", "sync", "mpsc", "channel" | "Sender" | "*"])
                || (segments.ends_with(&["mpsc", "channel"]) && path.called_without_arguments);
            if named || standard {
                wrong.push(violation(source, path, "a channel needs a bound"));
            }
        }
    }
    wrong
}

/// `unsafe` appears only in device files, below a comment that says why it is sound.
pub fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        for place in &source.unsafes {
            if !is_in(&source.path, &DEVICES) {
                wrong.push(violation(source, place, &format!("`unsafe` belongs in {}", DEVICES.join(", "))));
            }
            if !is_explained(&lines, place.line) {
                wrong.push(violation(source, place, "`unsafe` needs a comment `// SAFETY:` above it"));
            }
        }
    }
    wrong
}

/// Whether the comment above the statement on a line begins with SAFETY; the docs of an `unsafe fn` need a section on
/// safety.
fn is_explained(lines: &[&str], line: usize) -> bool {
    let above = lines[..line - 1].iter().rev().map(|line| line.trim());
    let statement = above.take_while(|line| {
        let comment = line.starts_with("//");
        // The statement may start on an earlier line, after the end of the previous one.
        comment || !(line.is_empty() || line.ends_with([';', '}', '{']))
    });
    statement.into_iter().any(|line| line.starts_with("// SAFETY:") || line.starts_with("/// # Safety"))
}

/// Only the command line prints.
pub fn printing(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !is_in(&source.path, &PRINTING)) {
        for name in source.macros.iter().filter(|name| !name.test) {
            let last = name.segments.last().map_or("", String::as_str);
            if matches!(last, "println" | "print" | "eprintln" | "eprint" | "dbg") {
                wrong.push(violation(source, name, &format!("`{last}!` belongs in {}", PRINTING.join(", "))));
            }
        }
    }
    wrong
}

/// A file begins with a comment that says what it is for: `//!` in Rust, `/**` in JavaScript.
pub fn introduction(path: &str, text: &str) -> Vec<String> {
    let begin = if path.ends_with(".js") { "/**" } else { "//!" };
    let comment: String = text.lines().take_while(|line| line.trim_start().starts_with(['/', '*'])).collect();
    let says = comment.chars().filter(|c| c.is_alphabetic()).count();
    // Anything shorter is a file name, not a purpose.
    if text.starts_with(begin) && says >= 15 {
        return Vec::new();
    }
    vec![format!("{path}:1: the file should begin with `{begin}` and a sentence on what it is for")]
}

/// Lines of code before the file's tests.
pub fn lines_of_code(text: &str) -> usize {
    let before_tests = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    before_tests.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
}

fn violation(source: &Source, place: &Named, wrong: &str) -> String {
    format!("{}:{}: {}: {wrong}", source.path, place.line, place.segments.join("::"))
}

/// Checks a rule against examples that pass and examples that violate it.
macro_rules! examples_for {
    ($rule:ident: $($path:literal $text:literal $verdict:ident),+ $(,)?) => {
        #[test]
        fn $rule() {
            $(
                let found = super::$rule(&[crate::source::Source::new($path, $text)]);
                assert_eq!(found.is_empty(), stringify!($verdict) == "right", "{}: {}: {found:?}", $path, $text);
            )+
        }
    };
}

/// Every rule finds its violations and accepts everything else.
mod examples {
    examples_for! { layers:
        "src/media/mod.rs" "use std::time::Duration;" right,
        "src/model/status.rs" "use crate::media::Timestamp;" right,
        "src/model/metrics.rs" "use super::status::Status;" right,
        "src/capture/camera/mod.rs" "use crate::{device::v4l2, media::RawFrame};" right,
        "src/capture/camera/mod.rs" "mod v4l2; use self::v4l2::V4l2Capture; use super::camera::Error;" right,
        "src/capture/camera/mod.rs" "#[cfg(test)] mod tests { use crate::pipeline; }" right,
        "src/server/http/mod.rs" "use crate::server::rtc;" right,
        "src/server/http/mod.rs" "use super::rtc;" right,
        "src/server/rtsp/mod.rs" "use crate::server::rtc::CameraStream;" right,
        "src/server/publish/mod.rs" "use crate::server::rtc::SessionManager;" right,
        "src/server/rtc/mod.rs" "use crate::server::publish;" wrong,
        "src/server/publish/mod.rs" "use crate::server::http;" wrong,
        "src/server/dispatch/mod.rs" "use crate::pipeline::video::Handle;" right,
        "src/config/mod.rs" "use crate::{capture, server::{http, rtc}};" right,
        "src/server/rtc/session/mod.rs" "use crate::server::rtc::{config, ice, rate};" right,
        "src/server/rtc/ice/mod.rs" "use super::error::AcceptError;" right,
        "src/server/rtc/ice/mod.rs" "use crate::server::rtc::rate::pacer;" wrong,
        "src/server/rtc/rate/mod.rs" "use super::session::answer;" wrong,
        "src/main.rs" "use porthole::app::App;" right,
        "src/util/mailbox.rs" "use crate::media::RawFrame;" wrong,
        "src/media/mod.rs" "use crate::model::status::Status;" wrong,
        "src/model/status.rs" "use crate::device::gpio;" wrong,
        "src/device/v4l2/mod.rs" "use crate::capture::camera;" wrong,
        "src/capture/camera/mod.rs" "use crate::pipeline;" wrong,
        "src/capture/camera/mod.rs" "fn f() { crate::pipeline::start() }" wrong,
        "src/capture/camera/mod.rs" "fn f() { tokio::select! { _ = crate::pipeline::x() => {} } }" wrong,
        "src/capture/camera/mod.rs" "use super::super::pipeline;" wrong,
        "src/capture/camera/mod.rs" "mod a { use super::super::super::pipeline; }" wrong,
        "src/capture/camera/mod.rs" "#[cfg(test)] fn t() {} use crate::pipeline;" wrong,
        "src/pipeline/video/mod.rs" "use crate::server::rtc;" wrong,
        "src/server/rtc/mod.rs" "use crate::capture::camera::Config;" wrong,
        "src/server/http/whep.rs" "use crate::device::systemd;" wrong,
        "src/server/auth/mod.rs" "use crate::server::sessions;" wrong,
        "src/server/sessions/mod.rs" "use super::dispatch;" wrong,
        "src/server/dispatch/mod.rs" "use super::rtc;" wrong,
        "src/server/mqtt/mod.rs" "use crate::server::dispatch::Dispatcher;" right,
        "src/server/mqtt/mod.rs" "use crate::server::http;" wrong,
        "src/server/rtc/mod.rs" "use crate::server::http;" wrong,
        "src/server/rtc/mod.rs" "use crate::server::rtsp;" wrong,
        "src/server/http/mod.rs" "use crate::config::Config;" wrong,
        "src/config/mod.rs" "use crate::app::App;" wrong,
        "src/app.rs" "use crate::cli;" wrong,
        "src/app.rs" "use crate::*;" wrong,
        "src/utils.rs" "" wrong,
    }

    examples_for! { devices:
        "src/device/leds/mod.rs" "use crate::device::gpio;" right,
        "src/device/leds/led.rs" "use super::pattern::LedPattern;" right,
        "src/device/leds/mod.rs" "#[cfg(test)] mod tests { use crate::device::v4l2; }" right,
        "src/capture/camera/mod.rs" "use crate::device::{hotplug, v4l2};" right,
        "src/device/leds/mod.rs" "use crate::device::v4l2;" wrong,
        "src/device/buttons.rs" "use super::leds;" wrong,
    }

    #[test]
    fn circles() {
        let tree = |texts: &[(&str, &str)]| {
            let sources: Vec<_> = texts.iter().map(|(path, text)| crate::source::Source::new(path, text)).collect();
            super::circles(&sources)
        };
        let right = [
            ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub struct A;"),
            ("src/a/b.rs", "use super::A; use super::c::C;"),
            ("src/a/c.rs", "#[cfg(test)] mod tests { use crate::a::b::B; }"),
        ];
        assert_eq!(tree(&right), [""; 0]);
        let pair = [("src/a/b.rs", "use super::c::C;"), ("src/a/c.rs", "fn f() { crate::a::b::f() }")];
        assert_eq!(tree(&pair).len(), 2);
        let three = [
            ("src/a/b.rs", "use super::c::C;"),
            ("src/a/c.rs", "use crate::d::D;"),
            ("src/d.rs", "use crate::a::b::B;"),
            ("src/e.rs", "use crate::d::D;"),
        ];
        assert_eq!(tree(&three).len(), 3);
    }

    #[test]
    fn type_names() {
        let tree = |texts: &[(&str, &str)]| {
            let sources: Vec<_> = texts.iter().map(|(path, text)| crate::source::Source::new(path, text)).collect();
            super::type_names(&sources)
        };
        let right = [
            ("src/a.rs", "pub struct A; pub struct Config; struct Inner; impl T for A { type Output = A; }"),
            ("src/b.rs", "pub struct B; pub struct Config; struct Inner; struct A; pub use super::a::A as C;"),
            ("src/c.rs", "pub fn a() {} #[cfg(test)] mod tests { pub struct B; } // pub struct A;"),
        ];
        assert_eq!(tree(&right), [""; 0]);
        for other in [
            "pub enum A {}",
            "pub(super) struct A<T>(T);",
            "pub(in crate::b) trait A {}",
            "pub unsafe trait A {}",
            "#[derive(Debug)] pub type A = u8;",
            "mod inner { pub(crate) union A {} }",
        ] {
            assert_eq!(tree(&[("src/a.rs", "pub struct A;"), ("src/b.rs", other)]).len(), 2, "{other}");
        }
    }

    examples_for! { foreign_crates:
        "src/device/v4l2/mod.rs" "use v4l::v4l_sys;" right,
        "src/capture/audio/mod.rs" "mod alsa; fn f() { alsa::open() }" right,
        "src/media/encoder/mod.rs" "mod openh264; use openh264::Encoder;" right,
        "src/config/mod.rs" "use crate::server::rtc; fn f() { rtc::Config::default() }" right,
        "src/server/rtc/mod.rs" "use rtc::dtls; fn f() -> rtc::Error { rtc::f() }" right,
        "src/capture/camera/mod.rs" "// v4l::x\nconst TEXT: &str = \"alsa::pcm\";" right,
        "src/pipeline/audio.rs" "use opus::Encoder;" right,
        "src/main.rs" "use clap::Parser;" right,
        "src/capture/camera/v4l2.rs" "use v4l::v4l_sys;" wrong,
        "src/capture/camera/v4l2.rs" "fn f() { ::v4l::f() }" wrong,
        "src/capture/audio/mod.rs" "mod alsa; fn f() { ::alsa::open() }" wrong,
        "src/capture/audio/mod.rs" "use ::alsa::pcm;" wrong,
        "src/capture/audio/test_tone.rs" "use alsa as sound;" wrong,
        "src/pipeline/video/mod.rs" "use openh264::encoder::Encoder;" wrong,
        "src/pipeline/video/mod.rs" "#[cfg(test)] mod tests { use openh264::decoder::Decoder; }" wrong,
        "src/pipeline/video/mod.rs" "use opus::Encoder;" wrong,
        "src/server/http/whep.rs" "use quinn_udp::{self, Transmit};" wrong,
        "src/server/http/whep.rs" "fn f() -> rtc::Error { g!(rtc::x()) }" wrong,
        "src/server/rtc/mod.rs" "use warp::Filter;" wrong,
        "src/server/mqtt/link.rs" "use rumqttc::v5::AsyncClient;" right,
        "src/app.rs" "use rumqttc::v5::AsyncClient;" wrong,
        "src/app.rs" "use {hyper::server, std::io};" wrong,
        "src/app.rs" "use hyper_util::rt;" wrong,
        "src/capture/camera/mod.rs" "use turbojpeg;" wrong,
        "src/media/encoder/mod.rs" "use yuv::x;" wrong,
        "src/app.rs" "use clap::Parser;" wrong,
        "src/server/http/mod.rs" "qrcode::QrCode::new(1);" wrong,
        "src/server/rtc/mod.rs" "if_addrs::get_if_addrs();" wrong,
        "src/server/http/mod.rs" "toml::from_str();" wrong,
        "src/app.rs" "tracing_subscriber::fmt();" wrong,
        "src/model/status.rs" "prometheus_client::x();" wrong,
    }

    examples_for! { promises:
        "src/model/status.rs" "#[derive(serde::Serialize)] struct S;" right,
        "src/server/rtc/session/control_channel.rs" "use serde_json::json;" right,
        "src/server/dispatch/mod.rs" "#[cfg(test)] mod tests { use serde_json::Value; }" right,
        "src/media/mod.rs" "#[derive(Debug, serde::Serialize)] struct S;" wrong,
        "src/capture/camera/mod.rs" "use serde_json::json;" wrong,
        "src/pipeline/video/mod.rs" "use serde::{Deserialize, Serialize};" wrong,
    }

    examples_for! { bounded_channels:
        "src/pipeline/video/mod.rs" "use tokio::sync::mpsc; fn f() { mpsc::channel(8); }" right,
        "src/pipeline/video/mod.rs" "fn f() { tokio::sync::oneshot::channel(); std::sync::mpsc::sync_channel(1); }" right,
        "src/pipeline/video/mod.rs" "tokio::sync::mpsc::unbounded_channel();" wrong,
        "src/pipeline/video/mod.rs" "use tokio::sync::mpsc::{Sender, UnboundedReceiver};" wrong,
        "src/pipeline/video/mod.rs" "crossbeam_channel::unbounded();" wrong,
        "src/pipeline/video/mod.rs" "use std::sync::mpsc; fn f() { mpsc::channel(); }" wrong,
        "src/pipeline/video/mod.rs" "use std::sync::mpsc::{channel, Receiver};" wrong,
        "src/pipeline/video/mod.rs" "use std::sync::mpsc::*;" wrong,
    }

    examples_for! { unsafe_code:
        "src/device/v4l2/mod.rs" "fn f() {\n    // SAFETY: the pointer is\n    // ours.\n    let x =\n        unsafe { g() };\n}" right,
        "src/device/v4l2/mod.rs" "/// # Safety\n/// The pointer must be good.\npub unsafe fn f() {}" right,
        "src/device/v4l2/mod.rs" "// SAFETY: plain data.\nunsafe impl Plain for u8 {}" right,
        "src/pipeline/video/mod.rs" "// unsafe\nfn f() { \"unsafe\"; }" right,
        "src/device/v4l2/mod.rs" "fn f() {\n    unsafe { g() };\n}" wrong,
        "src/device/v4l2/mod.rs" "fn f() {\n    // It works.\n    unsafe { g() };\n}" wrong,
        "src/device/v4l2/mod.rs" "fn f() {\n    // SAFETY: one.\n    unsafe { g() };\n    unsafe { g() };\n}" wrong,
        "src/device/v4l2/mod.rs" "// SAFETY: one.\n\nunsafe impl Plain for u8 {}" wrong,
        "src/pipeline/video/mod.rs" "fn f() {\n    // SAFETY: sound.\n    unsafe { g() };\n}" wrong,
    }

    examples_for! { printing:
        "src/cli/mod.rs" "fn f() { println!(); }" right,
        "src/main.rs" "fn f() { eprintln!(); }" right,
        "src/pipeline/video/mod.rs" "fn f() { writeln!(out); format!(\"print!()\"); }" right,
        "src/pipeline/video/mod.rs" "#[cfg(test)] mod tests { fn f() { println!(); } }" right,
        "src/pipeline/video/mod.rs" "fn f() { println!(); }" wrong,
        "src/pipeline/video/mod.rs" "fn f() { g!(std::eprint!()); }" wrong,
        "src/pipeline/video/mod.rs" "fn f() { dbg!(x); }" wrong,
    }

    #[test]
    fn introduction() {
        let right = [
            ("a.rs", "//! Converts raw frames of every layout to I420.\n\nuse std;"),
            ("a.js", "/**\n * A session with a camera.\n */"),
        ];
        for (path, text) in right {
            assert_eq!(super::introduction(path, text), [""; 0]);
        }
        let wrong = [
            ("a.rs", ""),
            ("a.rs", "use std;\n//! Converts raw frames of every layout to I420."),
            ("a.rs", "// Converts raw frames of every layout to I420."),
            ("a.rs", "//! a.rs\n\nuse very::long::text;"),
            ("a.js", "// A session with a camera."),
            ("a.js", "/** */ const session = 'with a camera';".split_once(" const").unwrap().0),
        ];
        for (path, text) in wrong {
            assert_eq!(super::introduction(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn lines_of_code() {
        let text = "//! A file.\n\nfn f() {\n    // why\n    g();\n}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(super::lines_of_code(text), 3);
    }
}
