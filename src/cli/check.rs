//! What `check-config` prints about a file without errors: what porthole would do with it.

use std::io::{self, Write};
use std::path::Path;

use crate::audio::Gain;
use crate::config::Config;

/// Prints that the file is right, and what it sets.
///
/// # Errors
///
/// When nothing can be written.
pub fn print(out: &mut impl Write, file: &Path, config: &Config) -> io::Result<()> {
    writeln!(out, "{}: ok", file.display())?;
    writeln!(out, "  log     {}", config.log_level.as_str().to_lowercase())?;
    writeln!(out, "  page    {}", config.http.listen)?;
    for video in &config.cameras {
        let (camera, encoder) = (&video.camera, &video.encoder);
        let format = camera.format.map_or("auto", |format| format.name());
        let open = if video.keep_open { "always open" } else { "open while somebody watches" };
        let threads = match encoder.threads {
            0 => "half of the cores".into(),
            threads => format!("{threads} threads"),
        };
        writeln!(
            out,
            "  camera  {}: device {}, width {}, height {}, {} frames a second, format {format}, {open}",
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
    }
    let audio = &config.audio;
    if audio.device == "off" {
        writeln!(out, "  sound   off")?;
    } else {
        let channels = if audio.channels == 2 { "stereo" } else { "mono" };
        let gain = if audio.gain == Gain::Keep { String::new() } else { format!(", gain {}", audio.gain) };
        let muted = if audio.mute { ", muted" } else { "" };
        writeln!(out, "  sound   device {}, {channels}, {} bit/s{gain}{muted}", audio.device, audio.bitrate)?;
    }
    let (min, max) = config.rtc.playout_delay;
    writeln!(out, "  viewers {} at once, playout delay {min} to {max} ms", config.rtc.max_viewers)
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
            "camera = [{ name = \"x\" }]",
            "camera = [{ device = \"pattern\" }]",
            "camera = [{ width = 640 }]",
            "camera = [{ height = 480 }]",
            "camera = [{ fps = 5 }]",
            "camera = [{ format = \"NV12\" }]",
            "camera = [{ keep_open = true }]",
            "camera = [{ controls = { hue = 1 } }]",
            "camera = [{ bitrate = 100_000 }]",
            "camera = [{ keyframe_interval = 1 }]",
            "camera = [{ encoder_threads = 3 }]",
            "audio.device = \"off\"",
            "audio.channels = 2",
            "audio.bitrate = 6_000",
            "audio.gain = \"50 %\"",
            "audio.mute = true",
            "rtc.max_viewers = 1",
            "rtc = { playout_delay_min = 10, playout_delay_max = 10 }",
            "rtc.playout_delay_max = 10",
        ] {
            assert_ne!(show(text), default, "{text}");
        }
    }
}
