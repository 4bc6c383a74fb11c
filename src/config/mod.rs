//! The configuration: all settings, the TOML file they are read from, and the range of each value.
//!
//! It is composed of each module's own `Config`, where the effect of a setting is documented; for users it is documented in
//! `systemd/porthole.toml`. Acting on the configuration does not belong here.

mod board;
mod broker;
mod changes;
mod errors;
mod hints;
mod hooks;
mod motion;
mod network;
mod publish;
mod reader;
mod recording;
mod screen;
mod timelapse;
mod toml_value;
pub(crate) mod value;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

pub use errors::Errors;
use reader::{ConfigSection, Reader};

use crate::capture::audio;
use crate::capture::audio::speaker;
use crate::device::{buttons, leds};
use crate::pipeline::recorder::timelapse::Config as TimelapseConfig;
use crate::pipeline::screen::Config as ScreenConfig;
use crate::pipeline::{privacy, recorder, video};
use crate::server::auth;
use crate::server::floor;
use crate::server::hooks::Config as HookConfig;
use crate::server::http;
use crate::server::mqtt;
use crate::server::photos;
use crate::server::publish::Config as PublishConfig;
use crate::server::rtc;
use crate::server::rtsp;
use crate::server::sessions::PlayoutDelay;

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The least severe log level that is written.
    pub log_level: tracing::Level,
    /// The directory for passwords, tokens and our own certificate; `None` for the user's or the service's default.
    pub state_directory: Option<PathBuf>,
    /// The HTTP server.
    pub http: http::Config,
    /// Authentication.
    pub auth: auth::Config,
    /// The cameras; never empty.
    pub cameras: Vec<video::Config>,
    /// The microphone.
    pub audio: audio::Config,
    /// The speaker.
    pub speaker: speaker::Config,
    /// Who may talk through it.
    pub floor: floor::Config,
    /// What shows who talks.
    pub screen: ScreenConfig,
    /// WebRTC.
    pub rtc: rtc::Config,
    /// The RTSP server.
    pub rtsp: rtsp::Config,
    /// The privacy switch at the start.
    pub privacy: privacy::Config,
    /// Photos that are kept on this machine.
    pub photos: photos::Config,
    /// Recording on this machine.
    pub recording: recorder::Config,
    /// Time-lapses on this machine.
    pub timelapse: TimelapseConfig,
    /// The MQTT broker.
    pub mqtt: mqtt::Config,
    /// Cameras that are published to servers.
    pub publish: Vec<PublishConfig>,
    /// What is run or posted when something happens.
    pub hooks: Vec<HookConfig>,
    /// Status LEDs.
    pub leds: Vec<leds::Config>,
    /// Buttons.
    pub buttons: Vec<buttons::Config>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_level: tracing::Level::INFO,
            state_directory: None,
            http: http::Config::default(),
            auth: auth::Config::default(),
            cameras: vec![video::Config::default()],
            audio: audio::Config::default(),
            speaker: speaker::Config::default(),
            floor: floor::Config::default(),
            screen: ScreenConfig::default(),
            rtc: rtc::Config::default(),
            rtsp: rtsp::Config::default(),
            privacy: privacy::Config::default(),
            photos: photos::Config::default(),
            recording: recorder::Config::default(),
            timelapse: TimelapseConfig::default(),
            mqtt: mqtt::Config::default(),
            publish: Vec::new(),
            hooks: Vec::new(),
            leds: Vec::new(),
            buttons: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a configuration file. Missing keys have the values of [`Config::default`].
    ///
    /// # Errors
    ///
    /// All errors in the file at once, or why it cannot be read.
    pub fn load(path: &Path) -> Result<Self, Errors> {
        let file = path.display().to_string();
        let unreadable = |why: String| {
            let mut errors = Errors::new(&file);
            errors.add(None, why);
            errors
        };
        let bytes = std::fs::read(path)
            .map_err(|error| unreadable(format!("cannot be read: {error}; check the path and who may read it")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
            unreadable(format!("not UTF-8 text from line {line} on; save the file as UTF-8"))
        })?;
        Self::parse(&text, &file)
    }

    /// Parses a configuration from TOML. `file` is the name that error messages start with.
    ///
    /// # Errors
    ///
    /// All errors in the text at once.
    pub fn parse(text: &str, file: &str) -> Result<Self, Errors> {
        // What follows would be misunderstood, and the message would not say why.
        if let Some(at) = text.find('\0') {
            let mut errors = Errors::new(file);
            let line = 1 + text[..at].matches('\n').count();
            let wrong = "a NUL byte: the file is damaged, as after a power cut, or saved as UTF-16; restore it, or save it as \
                         UTF-8";
            errors.add(Some(line), wrong.into());
            return errors.or_ok(Self::default());
        }
        let (config, _, errors) = read(text, file);
        errors.or_ok(config)
    }
}

/// All valid keys, as `section.key`.
pub fn keys() -> BTreeSet<String> {
    // One section of each list, so that its keys are read.
    read("[[camera]]\n[[publish]]\n[[hook]]\n[[led]]\n[[button]]", "").1
}

fn read(text: &str, file: &str) -> (Config, BTreeSet<String>, Errors) {
    let mut config = Config::default();
    let reader = Reader::new(text, file);

    reader.section("log", |log| log.text("level", &mut config.log_level, &value::LEVEL));
    reader.section("state", |state| state.text("directory", &mut config.state_directory, &value::DIRECTORY));
    reader.section("http", |http| {
        let config = &mut config.http;
        http.text("listen", &mut config.listen, &value::LISTEN);
        http.value("tls", &mut config.tls, network::tls);
        http.flag("redirect", &mut config.redirect);
        http.texts("hosts", &mut config.hosts, &value::HOST);
        http.texts("origins", &mut config.origins, &value::ORIGIN);
        http.texts("trusted_proxies", &mut config.trusted_proxies, &value::NETWORK);
    });
    reader.section("auth", |auth| {
        auth.text("mode", &mut config.auth.mode, &value::AUTH_MODE);
        // Ten years are forever.
        auth.number("session_days", &mut config.auth.session_days, 1..=3650, 1, "days");
    });

    let mut cameras = Vec::new();
    let mut names = HashSet::new();
    reader.list("camera", |section| {
        let camera = read_camera(section);
        if !names.insert(camera.camera.name.clone()) {
            let wrong = "another camera has this name already; give each camera a name of its own";
            section.reject("name", &format!("\"{}\"", camera.camera.name), wrong);
        }
        cameras.push(camera);
    });
    if !cameras.is_empty() {
        config.cameras = cameras;
    }

    reader.section("audio", |audio| {
        let config = &mut config.audio;
        audio.text("device", &mut config.device, &value::SOUND_DEVICE);
        audio.number("channels", &mut config.channels, 1..=2, 1, "channels");
        // RFC 7587 section 3.1.1 gives the range of Opus.
        audio.number("bitrate", &mut config.bitrate, 6_000..=510_000, 1, "bit/s");
        audio.text("gain", &mut config.gain, &value::GAIN);
        audio.flag("mute", &mut config.mute);
        audio.flag("noise_suppression", &mut config.enhancement.noise_suppression);
        audio.flag("gain_control", &mut config.enhancement.gain_control);
    });
    reader.section("speaker", |section| {
        let speaker = &mut config.speaker;
        section.text("device", &mut speaker.device, &value::SPEAKER_DEVICE);
        section.text("volume", &mut speaker.volume, &value::VOLUME);
        section.text("mode", &mut speaker.mode, &value::TALK_MODE);
        section.text("allow", &mut config.floor.allow, &value::ROLE);
    });
    let can_talk = config.speaker.device != "off";
    reader.section("screen", |section| screen::read(section, &mut config.screen, can_talk));
    reader.section("rtc", |rtc| {
        let config = &mut config.rtc;
        // A thousand viewers are beyond any small board; a larger number is a typo.
        rtc.number("max_viewers", &mut config.max_viewers, 1..=1000, 1, "viewers");
        // The header extension has 12 bits for each delay, in steps of 10 ms.
        let PlayoutDelay { min_ms: min, max_ms: max } = &mut config.playout_delay;
        rtc.number("playout_delay_min", min, 0..=40_950, 10, "milliseconds");
        rtc.number("playout_delay_max", max, 0..=40_950, 10, "milliseconds");
        if min > max {
            let wrong = format!("above playout_delay_max, which is {max}; raise that one or lower this one");
            rtc.reject("playout_delay_min", &min.to_string(), &wrong);
        }
        rtc.number("udp_port", &mut config.udp_port, 0..=65_535, 1, "the port's number");
        rtc.flag("tcp", &mut config.tcp);
        rtc.texts("interfaces", &mut config.interfaces, &value::INTERFACE);
        rtc.texts("exclude_interfaces", &mut config.exclude_interfaces, &value::INTERFACE);
        rtc.texts("networks", &mut config.networks, &value::NETWORK);
        rtc.texts("advertise", &mut config.advertise, &value::ADVERTISED);
        rtc.value("ice_servers", &mut config.ice_servers, network::ice_servers);
    });

    reader.section("rtsp", |rtsp| {
        rtsp.text("listen", &mut config.rtsp.listen, &value::RTSP_LISTEN);
        if let Some(listen) = config.rtsp.listen.filter(|listen| network::overlap(*listen, config.http.listen)) {
            let wrong = "[http] listen has this port already; choose another one, such as 8554";
            rtsp.reject("listen", &listen.to_string(), wrong);
        }
    });
    reader.section("privacy", |privacy| privacy.flag("on", &mut config.privacy.on));
    reader.section("photos", |photos| {
        let config = &mut config.photos;
        photos.text("directory", &mut config.directory, &value::DIRECTORY);
        // A larger directory is slow to list.
        photos.number("keep", &mut config.keep, 1..=100_000, 1, "photos");
    });
    let has_motion = config.cameras.iter().any(|camera| camera.motion.enabled);
    reader.section("recording", |section| recording::read(section, &mut config.recording, has_motion));
    reader.section("timelapse", |section| timelapse::read(section, &mut config.timelapse));
    reader.section("mqtt", |section| broker::read(section, &mut config.mqtt));
    let names: Vec<String> = config.cameras.iter().map(|camera| camera.camera.name.clone()).collect();
    reader.list("publish", |section| config.publish.extend(publish::publication(section, &names)));
    let mut claims = board::Claims::default();
    reader.list("hook", |section| {
        let hook = hooks::hook(section, &config);
        config.hooks.extend(hook);
    });
    reader.list("led", |led| config.leds.extend(board::led(led, &mut claims)));
    reader.list("button", |button| config.buttons.extend(board::button(button, &mut claims)));

    let (keys, errors) = reader.finish();
    (config, keys, errors)
}

fn read_camera(section: &mut ConfigSection<'_, '_>) -> video::Config {
    let mut config = video::Config::default();
    let camera = &mut config.camera;
    section.text("name", &mut camera.name, &value::CAMERA_NAME);
    section.text("device", &mut camera.device, &value::CAMERA_DEVICE);
    // 8K is the largest frame of H.264 level 6; the 4:2:0 chroma planes need even sides, and a macroblock has 16.
    section.constraint("width", &mut camera.width, 16..=7680, 2, "pixels");
    section.constraint("height", &mut camera.height, 16..=4320, 2, "pixels");
    section.constraint("fps", &mut camera.fps, 1..=240, 1, "frames a second");
    section.text("format", &mut camera.format, &value::PIXEL_FORMAT);
    section.flag("keep_open", &mut config.keep_open);
    section.settings("controls", &mut camera.controls);
    section.section("motion", "camera.motion", |section| motion::read(section, &mut config.motion));

    let encoder = &mut config.encoder;
    section.number("bitrate", &mut encoder.bitrate, 50_000..=50_000_000, 1, "bit/s");
    camera.bitrate = encoder.bitrate;
    // A viewer requests a key frame when it needs one, so an hour without does no harm.
    section.number("keyframe_interval", &mut encoder.keyframe_interval, 1..=3600, 1, "seconds");
    // More threads than any board has cores; a larger number is a typo.
    section.number("encoder_threads", &mut encoder.threads, 0..=64, 1, "threads");
    config
}

#[cfg(test)]
mod tests;
