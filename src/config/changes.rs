//! The differences between two configurations, and which of them can be applied at run time.
//!
//! Applying them belongs to `app`.

use super::Config;
use crate::capture::audio::speaker;
use crate::capture::{audio, camera};
use crate::media::encoder;
use crate::media::motion;
use crate::media::voice::Enhancement;
use crate::pipeline::recorder::timelapse;
use crate::pipeline::{recorder, video};
use crate::server::auth;
use crate::server::http;
use crate::server::mqtt;
use crate::server::photos;
use crate::server::rtc;

impl Config {
    /// This configuration with those settings of `new` that can be applied at run time without interrupting viewers. The
    /// others open ports or devices and need a restart.
    pub fn adopting(&self, new: &Config) -> Config {
        Config {
            log_level: new.log_level,
            state_directory: self.state_directory.clone(),
            http: http::Config { listen: self.http.listen, tls: self.http.tls.clone(), ..new.http.clone() },
            auth: auth::Config { mode: self.auth.mode, ..new.auth.clone() },
            cameras: self.cameras_adopting(&new.cameras),
            audio: self.audio.clone(),
            speaker: self.speaker.clone(),
            floor: self.floor.clone(),
            screen: self.screen.clone(),
            rtc: rtc::Config { udp_port: self.rtc.udp_port, tcp: self.rtc.tcp, ..new.rtc.clone() },
            rtsp: self.rtsp.clone(),
            // It only matters at the start, so there is nothing to apply.
            privacy: new.privacy.clone(),
            photos: self.photos.clone(),
            recording: self.recording.clone(),
            timelapse: self.timelapse.clone(),
            mqtt: new.mqtt.clone(),
            publish: self.publish.clone(),
            hooks: new.hooks.clone(),
            leds: new.leds.clone(),
            buttons: new.buttons.clone(),
        }
    }

    /// These cameras with what motion detection goes on with in those of `new`. Whether it runs needs a restart.
    fn cameras_adopting(&self, new: &[video::Config]) -> Vec<video::Config> {
        let names = |cameras: &[video::Config]| -> Vec<String> {
            cameras.iter().map(|camera| camera.camera.name.clone()).collect()
        };
        let mut cameras = self.cameras.clone();
        if names(&cameras) == names(new) {
            for (camera, new) in cameras.iter_mut().zip(new) {
                camera.motion = motion::Config { enabled: camera.motion.enabled, ..new.motion.clone() };
            }
        }
        cameras
    }

    /// The keys whose values differ, spelled as in error messages about the file.
    pub fn differing(&self, other: &Config) -> Vec<String> {
        let mut keys = Vec::new();
        // Destructured, so that a new field cannot be forgotten here.
        let Config {
            log_level,
            state_directory,
            http,
            auth,
            cameras,
            audio,
            speaker,
            floor,
            screen,
            rtc,
            rtsp,
            privacy,
            photos,
            recording,
            timelapse,
            mqtt,
            publish,
            hooks,
            leds,
            buttons,
        } = self;
        note(&mut keys, "log", &[("level", *log_level != other.log_level)]);
        note(&mut keys, "state", &[("directory", *state_directory != other.state_directory)]);
        http_keys(&mut keys, http, &other.http);
        let auth::Config { mode, session_days } = auth;
        let differs = [("mode", *mode != other.auth.mode), ("session_days", *session_days != other.auth.session_days)];
        note(&mut keys, "auth", &differs);
        if cameras.len() == other.cameras.len() {
            for (index, (camera, other)) in cameras.iter().zip(&other.cameras).enumerate() {
                camera_keys(&mut keys, &format!("camera[{index}]"), camera, other);
            }
        } else {
            keys.push("[[camera]]".into());
        }
        audio_keys(&mut keys, audio, &other.audio);
        let speaker::Config { device, volume, mode } = speaker;
        let differs = [
            ("device", *device != other.speaker.device),
            ("volume", *volume != other.speaker.volume),
            ("mode", *mode != other.speaker.mode),
            ("allow", *floor != other.floor),
        ];
        note(&mut keys, "speaker", &differs);
        note(&mut keys, "screen", &[("exec", screen.exec != other.screen.exec)]);
        rtc_keys(&mut keys, rtc, &other.rtc);
        note(&mut keys, "rtsp", &[("listen", rtsp.listen != other.rtsp.listen)]);
        note(&mut keys, "privacy", &[("on", privacy.on != other.privacy.on)]);
        let photos::Config { directory, keep } = photos;
        let differs = [("directory", *directory != other.photos.directory), ("keep", *keep != other.photos.keep)];
        note(&mut keys, "photos", &differs);
        recording_keys(&mut keys, recording, &other.recording);
        timelapse_keys(&mut keys, timelapse, &other.timelapse);
        mqtt_keys(&mut keys, mqtt, &other.mqtt);
        keys.extend((*publish != other.publish).then(|| "[[publish]]".into()));
        keys.extend((*hooks != other.hooks).then(|| "[[hook]]".into()));
        keys.extend((*leds != other.leds).then(|| "[[led]]".into()));
        keys.extend((*buttons != other.buttons).then(|| "[[button]]".into()));
        keys
    }
}

fn http_keys(keys: &mut Vec<String>, config: &http::Config, other: &http::Config) {
    let http::Config { listen, tls, redirect, hosts, origins, trusted_proxies } = config;
    let differs = [
        ("listen", *listen != other.listen),
        ("tls", *tls != other.tls),
        ("redirect", *redirect != other.redirect),
        ("hosts", *hosts != other.hosts),
        ("origins", *origins != other.origins),
        ("trusted_proxies", *trusted_proxies != other.trusted_proxies),
    ];
    note(keys, "http", &differs);
}

fn camera_keys(keys: &mut Vec<String>, section: &str, config: &video::Config, other: &video::Config) {
    let video::Config { camera, encoder, keep_open, motion } = config;
    let camera::Config { name, device, width, height, fps, format, bitrate, controls } = camera;
    let encoder::Config { bitrate: encoded, keyframe_interval, threads } = encoder;
    let differs = [
        ("name", *name != other.camera.name),
        ("device", *device != other.camera.device),
        ("width", *width != other.camera.width),
        ("height", *height != other.camera.height),
        ("fps", *fps != other.camera.fps),
        ("format", *format != other.camera.format),
        ("keep_open", *keep_open != other.keep_open),
        ("bitrate", (*bitrate, *encoded) != (other.camera.bitrate, other.encoder.bitrate)),
        ("keyframe_interval", *keyframe_interval != other.encoder.keyframe_interval),
        ("encoder_threads", *threads != other.encoder.threads),
        ("controls", *controls != other.camera.controls),
    ];
    note(keys, section, &differs);
    let motion::Config { enabled, sensitivity, min_duration, include, exclude } = motion;
    let differs = [
        ("enabled", *enabled != other.motion.enabled),
        ("sensitivity", *sensitivity != other.motion.sensitivity),
        ("min_duration", *min_duration != other.motion.min_duration),
        ("include", *include != other.motion.include),
        ("exclude", *exclude != other.motion.exclude),
    ];
    note(keys, &format!("{section}.motion"), &differs);
}

fn audio_keys(keys: &mut Vec<String>, config: &audio::Config, other: &audio::Config) {
    let audio::Config { device, channels, bitrate, gain, mute, enhancement } = config;
    let Enhancement { noise_suppression, gain_control } = enhancement;
    let differs = [
        ("device", *device != other.device),
        ("channels", *channels != other.channels),
        ("bitrate", *bitrate != other.bitrate),
        ("gain", *gain != other.gain),
        ("mute", *mute != other.mute),
        ("noise_suppression", *noise_suppression != other.enhancement.noise_suppression),
        ("gain_control", *gain_control != other.enhancement.gain_control),
    ];
    note(keys, "audio", &differs);
}

fn rtc_keys(keys: &mut Vec<String>, config: &rtc::Config, other: &rtc::Config) {
    let rtc::Config {
        max_viewers,
        playout_delay,
        udp_port,
        tcp,
        interfaces,
        exclude_interfaces,
        networks,
        advertise,
        ice_servers,
    } = config;
    let differs = [
        ("max_viewers", *max_viewers != other.max_viewers),
        ("playout_delay_min", playout_delay.min_ms != other.playout_delay.min_ms),
        ("playout_delay_max", playout_delay.max_ms != other.playout_delay.max_ms),
        ("udp_port", *udp_port != other.udp_port),
        ("tcp", *tcp != other.tcp),
        ("interfaces", *interfaces != other.interfaces),
        ("exclude_interfaces", *exclude_interfaces != other.exclude_interfaces),
        ("networks", *networks != other.networks),
        ("advertise", *advertise != other.advertise),
        ("ice_servers", *ice_servers != other.ice_servers),
    ];
    note(keys, "rtc", &differs);
}

fn recording_keys(keys: &mut Vec<String>, config: &recorder::Config, other: &recorder::Config) {
    let recorder::Config {
        mode,
        directory,
        audio,
        viewers_may_see,
        file_minutes,
        before,
        after,
        sync,
        keep_bytes,
        keep_days,
        min_free,
    } = config;
    let differs = [
        ("mode", *mode != other.mode),
        ("directory", *directory != other.directory),
        ("audio", *audio != other.audio),
        ("allow", *viewers_may_see != other.viewers_may_see),
        ("file_minutes", *file_minutes != other.file_minutes),
        ("before", *before != other.before),
        ("after", *after != other.after),
        ("sync", *sync != other.sync),
        ("keep_bytes", *keep_bytes != other.keep_bytes),
        ("keep_days", *keep_days != other.keep_days),
        ("min_free", *min_free != other.min_free),
    ];
    note(keys, "recording", &differs);
}

fn timelapse_keys(keys: &mut Vec<String>, config: &timelapse::Config, other: &timelapse::Config) {
    let timelapse::Config { every, fps, keep_bytes, keep_days } = config;
    let differs = [
        ("every", *every != other.every),
        ("fps", *fps != other.fps),
        ("keep_bytes", *keep_bytes != other.keep_bytes),
        ("keep_days", *keep_days != other.keep_days),
    ];
    note(keys, "timelapse", &differs);
}

fn mqtt_keys(keys: &mut Vec<String>, config: &mqtt::Config, other: &mqtt::Config) {
    let mqtt::Config { broker, username, password, password_file, ca, topic, discovery, snapshot_interval, privacy } =
        config;
    let differs = [
        ("url", *broker != other.broker),
        ("username", *username != other.username),
        ("password", *password != other.password),
        ("password_file", *password_file != other.password_file),
        ("ca", *ca != other.ca),
        ("topic", *topic != other.topic),
        ("discovery", *discovery != other.discovery),
        ("snapshot_interval", *snapshot_interval != other.snapshot_interval),
        ("privacy", *privacy != other.privacy),
    ];
    note(keys, "mqtt", &differs);
}

fn note(keys: &mut Vec<String>, section: &str, differs: &[(&str, bool)]) {
    keys.extend(differs.iter().filter(|(_, differs)| *differs).map(|(key, _)| format!("{section}.{key}")));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A value other than the default for every key.
    const OTHER: &str = r#"
        [log]
        level = "debug"
        [state]
        directory = "/p"
        [http]
        listen = ":80"
        tls = "self-signed"
        redirect = false
        hosts = ["a"]
        origins = ["https://a"]
        trusted_proxies = ["127.0.0.1"]
        [auth]
        mode = "none"
        session_days = 1
        [[camera]]
        name = "door"
        device = "pattern"
        width = 640
        height = 360
        fps = 15
        format = "MJPEG"
        keep_open = true
        bitrate = 1_000_000
        keyframe_interval = 10
        encoder_threads = 2
        [camera.controls]
        hue = 1
        [camera.motion]
        enabled = true
        sensitivity = 60
        min_duration = 500
        include = [[0, 0, 1, 1]]
        exclude = [[0.5, 0.5, 0.25, 0.25]]
        [audio]
        device = "off"
        channels = 2
        bitrate = 32_000
        gain = "0 dB"
        mute = true
        noise_suppression = true
        gain_control = true
        [speaker]
        device = "auto"
        volume = "50 %"
        mode = "full"
        allow = "viewer"
        [screen]
        exec = "a"
        [rtc]
        max_viewers = 5
        playout_delay_min = 10
        playout_delay_max = 20
        udp_port = 1
        tcp = false
        interfaces = ["a"]
        exclude_interfaces = []
        networks = ["10.0.0.0/8"]
        advertise = ["a"]
        ice_servers = [{ urls = "stun:a" }]
        [rtsp]
        listen = ":8554"
        [privacy]
        on = true
        [photos]
        directory = "/a"
        keep = 1
        [recording]
        mode = "always"
        directory = "/a"
        audio = false
        allow = "viewer"
        file_minutes = 1
        before = 1
        after = 1
        sync = 1
        keep_bytes = "1 MB"
        keep_days = 1
        min_free = ""
        [timelapse]
        every = "1 min"
        fps = 30
        keep_bytes = ""
        keep_days = 1
        [mqtt]
        url = "mqtts://a"
        username = "a"
        password = "a"
        password_file = "/a"
        ca = "/a"
        topic = "a"
        discovery = ""
        snapshot_interval = 1
        privacy = "set"
        [[publish]]
        url = "http://a/b"
        token = "c"
        camera = "door"
        mode = "on_demand"
        [[hook]]
        on = "fault"
        exec = "/a"
        [[led]]
        gpio = 17
        [[button]]
        gpio = 27
        press = "privacy.toggle"
    "#;

    /// What takes effect without a restart.
    const LIVE: [&str; 31] = [
        "log.level",
        "http.redirect",
        "http.hosts",
        "http.origins",
        "http.trusted_proxies",
        "auth.session_days",
        "camera[0].motion.sensitivity",
        "camera[0].motion.min_duration",
        "camera[0].motion.include",
        "camera[0].motion.exclude",
        "rtc.max_viewers",
        "rtc.playout_delay_min",
        "rtc.playout_delay_max",
        "rtc.interfaces",
        "rtc.exclude_interfaces",
        "rtc.networks",
        "rtc.advertise",
        "rtc.ice_servers",
        "privacy.on",
        "mqtt.url",
        "mqtt.username",
        "mqtt.password",
        "mqtt.password_file",
        "mqtt.ca",
        "mqtt.topic",
        "mqtt.discovery",
        "mqtt.snapshot_interval",
        "mqtt.privacy",
        "[[hook]]",
        "[[led]]",
        "[[button]]",
    ];

    #[test]
    fn every_key_that_differs_is_named() {
        let (old, new) = (Config::default(), Config::parse(OTHER, "").unwrap());
        assert_eq!(old.differing(&old), [""; 0]);
        let named: BTreeSet<String> =
            old.differing(&new).into_iter().map(|key| key.replace("camera[0]", "camera")).collect();
        // Publications, hooks, LEDs and buttons are compared as whole lists.
        let whole = |key: String| match key.split_once('.') {
            Some((section @ ("publish" | "hook" | "led" | "button"), _)) => format!("[[{section}]]"),
            _ => key,
        };
        // A section with keys of its own is compared by them.
        let keys = super::super::keys();
        let is_section = |key: &str| keys.iter().any(|other| other.starts_with(&format!("{key}.")));
        let compared = keys.iter().filter(|key| !is_section(key));
        assert_eq!(named, compared.cloned().map(whole).collect());
        let two = Config { cameras: vec![video::Config::default(); 2], ..Config::default() };
        assert_eq!(old.differing(&two), ["[[camera]]"]);
    }

    #[test]
    fn settings_that_need_a_restart_are_distinguished() {
        let (old, new) = (Config::default(), Config::parse(OTHER, "").unwrap());
        // What a camera goes on with is found by its name.
        let mut new = new;
        let name = std::mem::replace(&mut new.cameras[0].camera.name, "camera".into());
        let running = old.adopting(&new);
        assert_eq!(old.differing(&running), LIVE);
        new.cameras[0].camera.name = name;
        let live: Vec<&str> = LIVE.into_iter().filter(|key| !key.starts_with("camera")).collect();
        let running = old.adopting(&new);
        assert_eq!(old.differing(&running), live);
        let rest: BTreeSet<String> = running.differing(&new).into_iter().collect();
        let all: BTreeSet<String> = old.differing(&new).into_iter().collect();
        let live: BTreeSet<String> = live.into_iter().map(String::from).collect();
        assert_eq!(rest, all.difference(&live).cloned().collect());
        // What was not applied is reported again the next time.
        assert_eq!(running.adopting(&new), running);
    }
}
