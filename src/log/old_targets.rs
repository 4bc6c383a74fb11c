//! Aliases for the log targets from before the modules moved into folders: `PORTHOLE_LOG=porthole::rtc=debug` is used in
//! drop-in files and keeps working.
//!
//! New names do not belong here.

/// Old and new module paths below `porthole`. The longest match wins.
const MOVED: &[(&str, &str)] = &[
    ("audio", "capture::audio"),
    ("auth", "server::auth"),
    ("auth::kept", "server::auth::persisted"),
    ("auth::sign_in", "server::auth::login"),
    ("auth::verifier", "server::auth::hash_worker"),
    ("auth::watch", "server::auth::inotify"),
    ("buttons", "device::buttons"),
    ("camera", "capture::camera"),
    ("camera::find", "capture::camera::select"),
    ("control", "server::dispatch"),
    ("control::cameras", "server::dispatch::camera_commands"),
    ("control::socket", "server::dispatch::unix_socket"),
    ("gpio", "device::gpio"),
    ("hotplug", "device::hotplug"),
    ("http", "server::http"),
    ("http::answer", "server::http::response"),
    ("http::names", "server::http::hostnames"),
    ("http::sign_in", "server::http::login"),
    ("leds", "device::leds"),
    ("leds::sysfs", "device::leds::sysfs_led"),
    ("microphone", "pipeline::audio"),
    ("microphone::line", "pipeline::audio::packetizer"),
    ("photos", "server::photos"),
    ("privacy", "pipeline::privacy"),
    ("rtc", "server::rtc"),
    ("rtc::channel", "server::rtc::session::control_channel"),
    ("rtc::forward", "server::rtc::session::send_loop"),
    ("rtc::ice::names", "server::rtc::ice::resolver"),
    ("rtc::ice::reflexive", "server::rtc::ice::server_reflexive"),
    ("rtc::ice::remote", "server::rtc::ice::remote_candidate"),
    ("rtc::ice::watch", "server::rtc::ice::netlink"),
    ("rtc::mux::addresses", "server::rtc::mux::sockets"),
    ("rtc::pictures", "server::rtc::session::switcher"),
    ("rtc::restart", "server::rtc::ice::restart"),
    ("systemd", "device::systemd"),
    ("thread", "util::thread"),
    ("v4l2", "device::v4l2"),
    ("video", "pipeline::video"),
];

/// A filter with old targets replaced by new ones, such as `porthole::server::rtc=debug` for `porthole::rtc=debug`.
/// Everything else stays as it is.
pub fn respell(filter: &str) -> String {
    filter.split(',').map(directive).collect::<Vec<_>>().join(",")
}

fn directive(text: &str) -> String {
    let begin = text.len() - text.trim_start().len();
    let end = text.find(['=', '[']).unwrap_or(text.trim_end().len());
    let Some(module) = text.get(begin..end).and_then(|target| target.strip_prefix("porthole::")) else {
        return text.to_owned();
    };
    let fits = |old: &str| module.strip_prefix(old).filter(|rest| rest.is_empty() || rest.starts_with("::"));
    let moved = MOVED.iter().filter_map(|(old, new)| Some((old.len(), new, fits(old)?))).max_by_key(|(len, ..)| *len);
    match moved {
        Some((_, new, rest)) => format!("{}porthole::{new}{rest}{}", &text[..begin], &text[end..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_targets_are_respelled_and_others_are_not() {
        for (old, new) in [
            ("porthole::rtc=debug", "porthole::server::rtc=debug"),
            ("porthole::rtc::pictures=trace", "porthole::server::rtc::session::switcher=trace"),
            ("info, porthole::camera::v4l2=debug", "info, porthole::capture::camera::v4l2=debug"),
            ("porthole::http[request]=debug", "porthole::server::http[request]=debug"),
            ("porthole::video", "porthole::pipeline::video"),
            ("porthole::server::rtc=debug", "porthole::server::rtc=debug"),
            ("porthole::rtcx=debug", "porthole::rtcx=debug"),
            ("porthole=debug,rtc=warn,hyper=info", "porthole=debug,rtc=warn,hyper=info"),
            ("", ""),
        ] {
            assert_eq!(respell(old), new, "{old}");
        }
    }

    #[test]
    fn every_new_name_is_a_module() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for (old, new) in MOVED {
            let path = sources.join(new.replace("::", "/"));
            assert!(path.is_dir() || path.with_extension("rs").is_file(), "{old} -> {new}");
        }
    }
}
