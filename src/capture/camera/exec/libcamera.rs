//! The command line for a CSI camera: `rpicam-vid`, Raspberry Pi OS's program on top of libcamera (called
//! `libcamera-vid` before 2024). Options: <https://www.raspberrypi.com/documentation/computers/camera_software.html>.

use std::path::Path;

use super::super::{Config, Error};
use crate::media::PixelFormat;

/// The names of the program, the newest first.
const PROGRAMS: [&str; 2] = ["rpicam-vid", "libcamera-vid"];

/// libcamera pads raw rows to a multiple of this many bytes on a Raspberry Pi 5; a padded row would skew the image.
const RAW_ALIGNMENT: u32 = 64;

/// The command line, and the format it writes. `path` is the `PATH`, `video` the kernel's directory of video nodes.
///
/// # Errors
///
/// If the program is not installed, or does not support what is requested.
pub fn command_line(config: &Config, path: &str, video: &Path) -> Result<(String, PixelFormat), Error> {
    let program =
        PROGRAMS.into_iter().find(|program| path.split(':').any(|dir| Path::new(dir).join(program).is_file()));
    let unsupported = |requested: String, supported: &str| Error::Unsupported {
        device: "libcamera".into(),
        requested,
        supported: supported.into(),
    };
    let program = program.ok_or_else(|| {
        unsupported("a CSI camera".into(), "rpicam-vid is not installed; install the package rpicam-apps")
    })?;
    let (width, height, fps) = (config.width.target(), config.height.target(), config.fps.target());
    let aligned = width % RAW_ALIGNMENT == 0;
    let format = match config.format {
        // The hardware encoder costs nothing. Without one the program would encode in software, as we do, but without
        // key frame requests: raw frames are better then, and MJPEG if rows would be padded.
        None if has_encoder(video) => PixelFormat::H264,
        None if aligned => PixelFormat::I420,
        None => PixelFormat::Mjpeg,
        Some(PixelFormat::I420) if !aligned => {
            let supported =
                "the width of raw frames must be a multiple of 64; choose such a width, or the format MJPEG";
            return Err(unsupported(format!("YU12 {width} pixels wide"), supported));
        }
        Some(format @ (PixelFormat::H264 | PixelFormat::I420 | PixelFormat::Mjpeg)) => format,
        Some(format) => {
            return Err(unsupported(format!("format {}", format.name()), "it gives H264, MJPEG and YU12"));
        }
    };
    let codec = match format {
        PixelFormat::H264 => {
            // A pipe has no back channel for key frame requests: with one per second, a viewer waits at most a second.
            format!("h264 --profile baseline --inline --intra {fps} --bitrate {}", config.bitrate)
        }
        PixelFormat::Mjpeg => "mjpeg".into(),
        _ => "yuv420".into(),
    };
    let line = format!(
        "exec {program} --nopreview --timeout 0 --width {width} --height {height} --framerate {fps} --codec {codec} --flush \
         --output -"
    );
    Ok((line, format))
}

/// Whether the host has the H.264 encoder of the Raspberry Pi 4 and older.
fn has_encoder(video: &Path) -> bool {
    let Ok(nodes) = std::fs::read_dir(video) else { return false };
    let name = |node: std::fs::DirEntry| std::fs::read_to_string(node.path().join("name")).unwrap_or_default();
    nodes.flatten().map(name).any(|name| name.trim() == "bcm2835-codec-encode")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::capture::camera::Constraint;

    #[test]
    fn command_line_follows_the_configuration() {
        let root = tempfile::tempdir().expect("should make a directory");
        let (bin, video) = (root.path().join("bin"), root.path().join("video4linux"));
        fs::create_dir_all(&bin).expect("should make a directory");
        let path = format!("/nowhere:{}", bin.display());
        let config = Config { bitrate: 1_500_000, fps: Constraint::exact(25), ..Config::default() };
        let message = command_line(&config, &path, &video).expect_err("should miss the program").to_string();
        assert!(message.contains("install the package rpicam-apps"), "{message}");

        fs::write(bin.join("libcamera-vid"), "").expect("should write");
        let (old, format) = command_line(&config, &path, &video).expect("should have a line");
        assert!(old.starts_with("exec libcamera-vid ") && format == PixelFormat::I420, "{old}");
        fs::write(bin.join("rpicam-vid"), "").expect("should write");
        assert_eq!(
            command_line(&config, &path, &video).expect("should have a line").0,
            "exec rpicam-vid --nopreview --timeout 0 --width 1280 --height 720 --framerate 25 --codec yuv420 --flush --output -"
        );
        let odd = Config { width: Constraint::exact(800), ..config.clone() };
        assert_eq!(command_line(&odd, &path, &video).expect("should have a line").1, PixelFormat::Mjpeg);
        let raw = Config { format: Some(PixelFormat::I420), ..odd };
        assert!(command_line(&raw, &path, &video).is_err());
        let yuyv = Config { format: Some(PixelFormat::Yuyv), ..config.clone() };
        assert!(command_line(&yuyv, &path, &video).is_err());

        fs::create_dir_all(video.join("video11")).expect("should make a directory");
        fs::write(video.join("video11/name"), "bcm2835-codec-encode\n").expect("should write");
        let (line, format) = command_line(&config, &path, &video).expect("should have a line");
        assert_eq!(format, PixelFormat::H264);
        assert!(
            line.contains("--codec h264 --profile baseline --inline --intra 25 --bitrate 1500000 --flush"),
            "{line}"
        );
    }
}
