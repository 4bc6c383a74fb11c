//! What `check-config` prints about a valid file: what porthole would do with it.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use crate::capture::audio::Gain;
use crate::config::Config;
use crate::device::leds::LedTarget;
use crate::media::motion;
use crate::pipeline::recorder;
use crate::pipeline::recorder::{RecordingMode, timelapse};
use crate::server::auth::{Mode, Role};
use crate::server::hooks;
use crate::server::hooks::{HookAction, HookProgram};
use crate::server::http;
use crate::server::http::Tls;
use crate::server::mqtt;
use crate::server::mqtt::PrivacyCommands;
use crate::server::publish;
use crate::server::publish::PublishMode;
use crate::server::rtc;
use crate::server::rtc::Advertised;
use crate::util::redact::redact;

/// Prints that the file is valid, and its settings.
///
/// # Errors
///
/// When nothing can be written.
pub fn print(out: &mut impl Write, file: &Path, config: &Config) -> io::Result<()> {
    writeln!(out, "{}: ok", file.display())?;
    writeln!(out, "  log     {}", config.log_level.as_str().to_lowercase())?;
    let state = config
        .state_directory
        .as_ref()
        .map_or("the default of the service or the user".into(), |path| path.display().to_string());
    writeln!(out, "  state   {state}")?;
    page(out, &config.http)?;
    match config.auth.mode {
        Mode::Password => writeln!(out, "  auth    password; login sessions last {} days", config.auth.session_days)?,
        Mode::None => writeln!(out, "  auth    none: anyone who can reach the page can watch and control")?,
    }
    for video in &config.cameras {
        let (camera, encoder) = (&video.camera, &video.encoder);
        let format = camera.format.map_or("auto", |format| format.name());
        let open = if video.keep_open { "always open" } else { "open while there are viewers" };
        let threads = match encoder.threads {
            0 => "as many threads as needed".into(),
            threads => format!("{threads} threads"),
        };
        writeln!(
            out,
            "  camera  {}: device {}, width {}, height {}, {} frames/s, format {format}, {open}",
            camera.name, camera.device, camera.width, camera.height, camera.fps
        )?;
        writeln!(
            out,
            "          {} bit/s, a key frame at least every {} s, {threads}",
            encoder.bitrate, encoder.keyframe_interval
        )?;
        let controls = camera.controls.iter().map(|setting| format!("{} = {}", setting.control, setting.value));
        let controls: Vec<_> = controls.collect();
        if !controls.is_empty() {
            writeln!(out, "          controls {}", controls.join(", "))?;
        }
        motion(out, &video.motion)?;
    }
    let audio = &config.audio;
    if audio.device == "off" {
        writeln!(out, "  audio   off")?;
    } else {
        let channels = if audio.channels == 2 { "stereo" } else { "mono" };
        let gain = if audio.gain == Gain::Keep { String::new() } else { format!(", gain {}", audio.gain) };
        let muted = if audio.mute { ", muted" } else { "" };
        let suppressed = if audio.enhancement.noise_suppression { ", noise suppression" } else { "" };
        let kept = if audio.enhancement.gain_control { ", gain control" } else { "" };
        writeln!(
            out,
            "  audio   device {}, {channels}, {} bit/s{gain}{suppressed}{kept}{muted}",
            audio.device, audio.bitrate
        )?;
    }
    if config.speaker.device != "off" {
        let speaker = &config.speaker;
        let volume = if speaker.volume == Gain::Keep { String::new() } else { format!(", volume {}", speaker.volume) };
        let who = match config.floor.allow {
            Role::Viewer => "viewers may talk",
            Role::Operator => "operators may talk",
        };
        writeln!(out, "  speaker device {}, {} duplex{volume}, {who}", speaker.device, speaker.mode.name())?;
    }
    if let Some(line) = &config.screen.exec {
        writeln!(out, "  screen  {}", redact(line))?;
    }
    publications(out, &config.publish)?;
    recording(out, &config.recording)?;
    timelapse(out, &config.timelapse)?;
    hooks(out, &config.hooks)?;
    privacy_leds_and_buttons(out, config)?;
    mqtt_broker(out, &config.mqtt)?;
    let delay = config.rtc.playout_delay;
    let (min, max) = (delay.min_ms, delay.max_ms);
    writeln!(out, "  viewers {} at once, playout delay {min} to {max} ms", config.rtc.max_viewers)?;
    network(out, &config.rtc)?;
    match config.rtsp.listen {
        Some(listen) => writeln!(out, "  rtsp    {listen}, not encrypted"),
        None => Ok(()),
    }
}

/// A camera's motion detection.
fn motion(out: &mut impl Write, motion: &motion::Config) -> io::Result<()> {
    let motion::Config { enabled, sensitivity, min_duration, include, exclude } = motion;
    if !enabled {
        return Ok(());
    }
    write!(out, "          motion of at least {min_duration} ms at sensitivity {sensitivity}")?;
    for (word, rects) in [("inside", include), ("outside", exclude)].into_iter().filter(|(_, rects)| !rects.is_empty())
    {
        let rects = rects.iter().map(|rect| format!("[{}, {}, {}, {}]", rect.x, rect.y, rect.width, rect.height));
        write!(out, ", {word} {}", rects.collect::<Vec<_>>().join(" "))?;
    }
    writeln!(out)
}

/// Servers that cameras are published to.
fn publications(out: &mut impl Write, publish: &[publish::Config]) -> io::Result<()> {
    for publish::Config { url, token, camera, mode } in publish {
        let with = if token.is_some() { "with a token" } else { "without a token" };
        let when = match mode {
            PublishMode::Always => "always",
            PublishMode::OnDemand => "on demand",
        };
        writeln!(out, "  publish {camera} to {} {with}, {when}", url.server())?;
    }
    Ok(())
}

/// Recording on this machine.
fn recording(out: &mut impl Write, config: &recorder::Config) -> io::Result<()> {
    let recorder::Config { mode, directory, audio, file_minutes, before, after, sync, .. } = config;
    let what = match mode {
        RecordingMode::Off => return Ok(()),
        RecordingMode::Always => "everything".into(),
        RecordingMode::Manual => format!("on command, from {before} s before to {after} s after"),
        RecordingMode::Events => format!("motion, from {before} s before to {after} s after, and on command"),
    };
    let sound = if *audio { "with audio" } else { "without audio" };
    let place =
        directory.as_ref().map_or("recordings/ in the state directory".into(), |path| path.display().to_string());
    let who = if config.viewers_may_see { "viewers" } else { "operators" };
    writeln!(out, "  record  {what}, {sound}, in {place}, a file at least every {file_minutes} minutes")?;
    let megabytes = |bytes: u64| format!("{} MB", bytes / 1_000_000);
    let bytes =
        if config.keep_bytes == 0 { "any size".into() } else { format!("up to {}", megabytes(config.keep_bytes)) };
    let days = if config.keep_days == 0 { String::new() } else { format!(" and {} days", config.keep_days) };
    let free = megabytes(config.min_free);
    writeln!(out, "          {bytes}{days}, {free} stay free, on the card after {sync} s, for {who}")
}

/// Time-lapses on this machine.
fn timelapse(out: &mut impl Write, config: &timelapse::Config) -> io::Result<()> {
    let timelapse::Config { every: Some(every), fps, keep_bytes, keep_days } = config else { return Ok(()) };
    let bytes = if *keep_bytes == 0 { "any size".into() } else { format!("up to {} MB", keep_bytes / 1_000_000) };
    let days = if *keep_days == 0 { String::new() } else { format!(" and {keep_days} days") };
    writeln!(out, "  lapse   a picture every {} s, {fps} a second, {bytes}{days}", every.as_secs())
}

/// What is run or posted when something happens, without secrets.
fn hooks(out: &mut impl Write, hooks: &[hooks::Config]) -> io::Result<()> {
    for hooks::Config { on, camera, action, timeout } in hooks {
        let on = on.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let of = camera.as_ref().map_or(String::new(), |camera| format!(" of {camera}"));
        let does = match action {
            HookAction::Run(HookProgram { path, arguments }) if arguments.is_empty() => {
                format!("runs {}", path.display())
            }
            HookAction::Run(HookProgram { path, .. }) => format!("runs {} with arguments", path.display()),
            HookAction::Post(target) => format!("posts to {}", target.url.server()),
        };
        writeln!(out, "  hook    {on}{of}: {does}, for up to {timeout} s")?;
    }
    Ok(())
}

/// Privacy switch, LEDs and buttons.
fn privacy_leds_and_buttons(out: &mut impl Write, config: &Config) -> io::Result<()> {
    if config.privacy.on {
        writeln!(out, "  privacy on at every start: cameras and microphone stay closed")?;
    }
    for led in &config.leds {
        let lamp = match &led.target {
            LedTarget::Gpio(pin) => pin.to_string(),
            LedTarget::Sysfs(name) => name.clone(),
        };
        writeln!(out, "  led     {lamp} shows {} at {} %", led.show.name(), led.brightness)?;
    }
    for button in &config.buttons {
        let orders = [("pressed", &button.press), ("released", &button.release)];
        let orders = orders.map(|(when, request)| request.as_ref().map(|request| format!("{when}: {request}")));
        writeln!(out, "  button  {}, {}", button.pin, orders.into_iter().flatten().collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

/// The MQTT broker.
fn mqtt_broker(out: &mut impl Write, config: &mqtt::Config) -> io::Result<()> {
    let Some(broker) = &config.broker else { return Ok(()) };
    // The password is never printed.
    let user = if config.username.is_empty() { String::new() } else { format!(" as {}", config.username) };
    writeln!(out, "  mqtt    {broker}{user}, topics below {}", config.topic)?;
    let discovery = config.discovery.as_ref().map_or("no discovery".into(), |topic| format!("discovery below {topic}"));
    let pictures = match config.snapshot_interval {
        0 => "no pictures".into(),
        seconds => format!("pictures every {seconds} s"),
    };
    let commands = match config.privacy {
        PrivacyCommands::Set => "commands turn the privacy switch on and off",
        PrivacyCommands::On => "commands turn the privacy switch on",
        PrivacyCommands::Off => "no commands",
    };
    writeln!(out, "          {discovery}, {pictures}, {commands}")?;
    let files = [("password in", &config.password_file), ("authorities in", &config.ca)];
    let files = files.into_iter().filter_map(|(what, path)| Some(format!("{what} {}", path.as_ref()?.display())));
    list(out, "with", &files.collect::<Vec<_>>())
}

/// The HTTP server.
fn page(out: &mut impl Write, config: &http::Config) -> io::Result<()> {
    let tls = match &config.tls {
        Tls::Off => "plain HTTP".into(),
        Tls::SelfSigned => "HTTPS with a self-signed certificate".into(),
        Tls::Files { cert, key } => format!("HTTPS with {} and {}", cert.display(), key.display()),
    };
    let plain = match (&config.tls, config.redirect) {
        (_, true) => "",
        (Tls::Off, false) => "; no redirect",
        (_, false) => "; plain HTTP is also served",
    };
    writeln!(out, "  page    {}, {tls}{plain}", config.listen)?;
    list(out, "hosts", &config.hosts)?;
    list(out, "origins", &config.origins)?;
    list(out, "trusted proxies", &config.trusted_proxies)
}

/// The network settings of WebRTC.
fn network(out: &mut impl Write, config: &rtc::Config) -> io::Result<()> {
    let port = if config.udp_port == 0 { "random ports".into() } else { format!("port {}", config.udp_port) };
    let tcp = if config.tcp { "UDP and TCP" } else { "UDP" };
    writeln!(out, "          {tcp} on {port}")?;
    list(out, "interfaces", &config.interfaces)?;
    list(out, "excluded interfaces", &config.exclude_interfaces)?;
    list(out, "networks", &config.networks)?;
    let advertised = config.advertise.iter().map(|Advertised { host, port }| match port {
        Some(port) => format!("{host} with port {port}"),
        None => host.clone(),
    });
    list(out, "advertised", &advertised.collect::<Vec<_>>())?;
    for server in &config.ice_servers {
        // Credentials are never printed.
        let with = match (&server.username, &server.secret) {
            (Some(username), _) => format!(" as {username}"),
            (None, Some(_)) => " with a shared secret".into(),
            (None, None) => String::new(),
        };
        writeln!(out, "          ICE server {}{with}", server.urls.join(", "))?;
    }
    Ok(())
}

/// A line with a list, unless it is empty.
fn list(out: &mut impl Write, title: &str, items: &[impl Display]) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    writeln!(out, "          {title} {}", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_differs_shows() {
        let show = |text: &str| {
            let mut out = Vec::new();
            print(&mut out, Path::new("a.toml"), &Config::parse(text, "a.toml").unwrap()).unwrap();
            String::from_utf8(out).unwrap()
        };
        let default = show("");
        assert!(default.starts_with("a.toml: ok\n"), "{default}");
        for text in [
            "log.level = \"warn\"",
            "http.listen = \":1\"",
            "http.tls = \"self-signed\"",
            "http.tls = { cert = \"/c.pem\", key = \"/k.pem\" }",
            "http.redirect = false",
            "http.hosts = [\"cam.example.org\"]",
            "http.origins = [\"https://example.org\"]",
            "http.trusted_proxies = [\"127.0.0.1\"]",
            "auth.mode = \"none\"",
            "auth.session_days = 1",
            "state.directory = \"/s\"",
            "camera = [{ name = \"x\" }]",
            "camera = [{ device = \"pattern\" }]",
            "camera = [{ width = 640 }]",
            "camera = [{ height = 480 }]",
            "camera = [{ fps = 5 }]",
            "camera = [{ format = \"NV12\" }]",
            "camera = [{ keep_open = true }]",
            "camera = [{ controls = { hue = 1 } }]",
            "camera = [{ motion = { enabled = true } }]",
            "camera = [{ bitrate = 100_000 }]",
            "camera = [{ keyframe_interval = 1 }]",
            "camera = [{ encoder_threads = 3 }]",
            "audio.device = \"off\"",
            "audio.channels = 2",
            "audio.bitrate = 6_000",
            "audio.gain = \"50 %\"",
            "audio.mute = true",
            "audio.noise_suppression = true",
            "audio.gain_control = true",
            "rtc.max_viewers = 1",
            "rtc = { playout_delay_min = 10, playout_delay_max = 10 }",
            "rtc.playout_delay_max = 10",
            "rtc.udp_port = 0",
            "rtc.tcp = false",
            "rtc.interfaces = [\"eth0\"]",
            "rtc.exclude_interfaces = []",
            "rtc.networks = [\"10.0.0.0/8\"]",
            "rtc.advertise = [\"203.0.113.5\"]",
            "rtc.advertise = [\"203.0.113.5:4000\"]",
            "rtc.ice_servers = [{ urls = [\"stun:stun.example.org:3478\"] }]",
            "rtsp.listen = \":8554\"",
            "speaker.device = \"auto\"",
        ] {
            assert_ne!(show(text), default, "{text}");
        }
    }

    #[test]
    fn motion_detection_shows_its_settings() {
        let show = |more: &str| {
            let text = format!("camera = [{{ motion = {{ enabled = true, {more} }} }}]");
            let mut out = Vec::new();
            print(&mut out, Path::new("a.toml"), &Config::parse(&text, "a.toml").unwrap()).unwrap();
            String::from_utf8(out).unwrap()
        };
        let shown =
            show("sensitivity = 70, min_duration = 500, include = [[0, 0.5, 1, 0.5]], exclude = [[0, 0, 0.1, 0.2]]");
        let line = "motion of at least 500 ms at sensitivity 70, inside [0, 0.5, 1, 0.5], outside [0, 0, 0.1, 0.2]\n";
        assert!(shown.contains(line), "{shown}");
    }

    #[test]
    fn recording_shows_unless_it_is_off() {
        let show = |more: &str| {
            let mut out = Vec::new();
            let text = format!("[recording]\n{more}");
            print(&mut out, Path::new("a.toml"), &Config::parse(&text, "a.toml").unwrap()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(!show("").contains("record"));
        let default = show("mode = \"manual\"");
        assert!(
            default.contains("  record  on command, from 10 s before to 10 s after, with audio, in recordings/"),
            "{default}"
        );
        for more in [
            "directory = \"/r\"",
            "audio = false",
            "allow = \"viewer\"",
            "file_minutes = 5",
            "before = 0",
            "after = 0",
            "sync = 1",
            "keep_bytes = \"\"",
            "keep_days = 0",
            "min_free = \"\"",
        ] {
            assert_ne!(show(&format!("mode = \"manual\"\n{more}")), default, "{more}");
        }
        assert!(show("mode = \"always\"").contains("  record  everything"));
        let events = show("mode = \"events\"\n[[camera]]\nmotion = { enabled = true }");
        assert!(events.contains("  record  motion, from 10 s before to 10 s after, and on command, with"), "{events}");
    }

    #[test]
    fn the_settings_of_a_speaker_show() {
        let show = |more: &str| {
            let text = format!("[speaker]\ndevice = \"hw:1\"\n{more}");
            let mut out = Vec::new();
            print(&mut out, Path::new("a.toml"), &Config::parse(&text, "a.toml").unwrap()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(show("").contains("  speaker device hw:1, half duplex, operators may talk\n"), "{}", show(""));
        let all = show("volume = \"70 %\"\nmode = \"full\"\nallow = \"viewer\"");
        assert!(all.contains("  speaker device hw:1, full duplex, volume 70 %, viewers may talk\n"), "{all}");
        let screen = show("[screen]\nexec = \"play --token hidden -\"");
        assert!(screen.contains("  screen  play --token *** -\n") && !screen.contains("hidden"), "{screen}");
    }

    #[test]
    fn the_broker_shows_without_its_password() {
        let show = |more: &str| {
            let text = format!("[mqtt]\nurl = \"mqtts://a\"\nusername = \"u\"\npassword = \"hidden\"\n{more}");
            let mut out = Vec::new();
            print(&mut out, Path::new("a.toml"), &Config::parse(&text, "a.toml").unwrap()).unwrap();
            String::from_utf8(out).unwrap()
        };
        let default = show("");
        assert!(default.contains("  mqtt    mqtts://a:8883 as u, topics below porthole\n"), "{default}");
        assert!(!default.contains("hidden"), "{default}");
        for more in [
            "password_file = \"/p\"",
            "ca = \"/c\"",
            "topic = \"t\"",
            "discovery = \"\"",
            "snapshot_interval = 5",
            "privacy = \"set\"",
            "privacy = \"off\"",
        ] {
            assert_ne!(show(more), default, "{more}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        let text = "[rtc]\nice_servers = [{ urls = [\"turn:a:1\"], username = \"u\", credential = \"hidden\" }, \
                    { urls = [\"turn:b:1\"], secret = \"hidden\" }]";
        let mut out = Vec::new();
        print(&mut out, Path::new("a.toml"), &Config::parse(text, "a.toml").unwrap()).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.contains("server turn:a:1 as u\n") && out.contains("server turn:b:1 with a shared secret\n"),
            "{out}"
        );
        assert!(!out.contains("hidden"), "{out}");
    }

    #[test]
    fn time_lapses_and_hooks_are_shown_without_secrets() {
        let text = "[timelapse]\nevery = \"5 min\"\n[[hook]]\non = [\"fault\", \"privacy.begun\"]\nexec = [\"/a\", \"hidden\"]\n\
                    [[hook]]\non = \"fault\"\nurl = \"http://a/hidden\"\nheaders = [\"X: hidden\"]\ntimeout = 60";
        let mut out = Vec::new();
        print(&mut out, Path::new("a.toml"), &Config::parse(text, "a.toml").unwrap()).unwrap();
        let out = String::from_utf8(out).unwrap();
        for line in [
            "  lapse   a picture every 300 s, 25 a second, up to 4000 MB and 365 days\n",
            "  hook    fault, privacy.begun: runs /a with arguments, for up to 10 s\n",
            "  hook    fault: posts to http://a, for up to 60 s\n",
        ] {
            assert!(out.contains(line), "{out}");
        }
        assert!(!out.contains("hidden"), "{out}");
    }
}
