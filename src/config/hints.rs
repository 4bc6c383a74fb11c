//! Hints for keys that do not exist but that people write: under which names, or where, their settings are.
//!
//! Mistyped names of keys are recognised by `util::suggest`.

/// Where controls are set.
const CONTROLS: &str = "controls are in a section of their own below the camera: [camera.controls]";

/// What to write in place of an unknown key of a section; `None` if it is not one of those that people expect.
pub(super) fn hint(section: &str, key: &str) -> Option<&'static str> {
    let hint = match (section, key.to_ascii_lowercase().as_str()) {
        ("camera", "resolution" | "size" | "video_size" | "mode") => "write two keys: width = 1280 and height = 720",
        ("camera", "framerate" | "frame_rate" | "rate") => "the frame rate is fps, such as fps = 30",
        ("camera", "path" | "source" | "input" | "url") => "the camera is device, such as device = \"/dev/video0\"",
        ("camera", "brightness" | "contrast" | "saturation" | "exposure" | "focus" | "zoom" | "gain") => CONTROLS,
        ("auth", "password" | "passwords" | "user" | "users" | "username" | "viewer" | "operator") => {
            "passwords are not in this file; `porthole password operator` and `porthole password viewer` set them"
        }
        ("auth", "token" | "tokens") => {
            "tokens are not in this file; `porthole token add NAME --role viewer` makes one and prints it"
        }
        ("http", "port" | "address" | "bind") => "address and port are listen, such as listen = \":8080\"",
        ("http", "cert" | "certificate" | "key" | "https") => {
            "certificate and key are tls = { cert = \"FILE\", key = \"FILE\" }"
        }
        ("audio", "enabled" | "enable" | "on") => "audio is on unless device = \"off\"",
        ("audio", "volume" | "level") => "the volume is gain, such as gain = \"12 dB\"",
        ("audio" | "speaker", "echo_cancellation" | "aec") => "echo is cancelled with mode = \"full\" in [speaker]",
        ("speaker", "enabled" | "enable" | "on") => "a speaker is used unless device = \"off\"",
        ("speaker", "gain" | "level") => "how loud it is is volume, such as volume = \"70 %\"",
        ("speaker", "role" | "roles" | "who") => "who may talk is allow, such as allow = \"viewer\"",
        ("screen", "command" | "cmd" | "run" | "program" | "device" | "enabled" | "on") => {
            "the program that shows the picture is exec, such as exec = \"mpv --profile=low-latency -\""
        }
        ("recording", "enabled" | "enable" | "on") => "what is recorded is mode, such as mode = \"always\"",
        ("recording", "motion" | "events" | "trigger") => "what moves is recorded with mode = \"events\"",
        ("mqtt", "host" | "broker" | "server" | "port" | "address" | "enabled") => {
            "the broker is url, such as url = \"mqtt://192.168.1.10:1883\""
        }
        ("mqtt", "user" | "login") => "the user's name is username",
        ("publish", "server" | "address" | "endpoint" | "whip") => "the server's WHIP endpoint is url",
        ("publish", "password" | "key" | "user" | "bearer" | "stream_key") => "what the server asks for is token",
        ("timelapse", "interval" | "seconds" | "enabled" | "mode" | "on") => {
            "how often is every, such as every = \"10 s\""
        }
        ("hook", "event" | "events" | "when" | "trigger") => "what it waits for is on, such as on = \"motion\"",
        ("hook", "command" | "cmd" | "run" | "program" | "script") => {
            "the program is exec, such as exec = [\"/usr/local/bin/notify\", \"door\"]"
        }
        ("hook", "token" | "password" | "bearer" | "authorization") => {
            "a token is in headers, such as headers = [\"Authorization: Bearer TOKEN\"]"
        }
        ("log", "file" | "path" | "output") => "the log goes to standard error; the journal keeps that of the service",
        _ => return None,
    };
    Some(hint)
}
