//! The command line: what can be asked of the program, and the answers that are printed.
//!
//! Running the camera does not belong here.

pub mod address;
pub mod check;
pub mod devices;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::camera::Device;
use crate::config::{Config, Errors, value};

/// Turns this machine's camera into one that any browser can watch live.
#[derive(Debug, Parser)]
#[command(name = "porthole", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

impl Cli {
    /// What is asked for; `run` when nothing else is.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

/// What can be asked of the program.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve the camera until stopped; this is what porthole does without a command
    Run(Run),
    /// List the cameras, sound cards and LEDs of this machine
    Devices,
    /// Tell everything that is wrong with a configuration file, or what it sets
    CheckConfig {
        /// The file
        file: PathBuf,
    },
}

/// How to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Run {
    /// Configuration file; without it everything has its default
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The one camera to serve, instead of those in the file: auto, pattern, a path such as /dev/video0, or another name that the configuration takes
    #[arg(long, value_name = "DEVICE", value_parser = |text: &str| value::CAMERA_DEVICE.read(text))]
    pub camera: Option<Device>,
    /// Address of the viewer page, instead of the one in the file: IP and port, or :8080 for every address
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::LISTEN.read(text))]
    pub listen: Option<SocketAddr>,
}

impl Run {
    /// The configuration: the file, or the defaults, with the flags put over it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file.
    pub fn configuration(self) -> Result<Config, Errors> {
        let mut config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        if let Some(device) = self.camera {
            config.cameras.truncate(1);
            for camera in &mut config.cameras {
                camera.camera.device.clone_from(&device);
            }
        }
        if let Some(listen) = self.listen {
            config.http.listen = listen;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;
    use crate::camera::Wish;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(Cli::into_command)
    }

    #[test]
    fn clap_finds_no_fault_with_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_and_its_flags_need_no_command() {
        assert_eq!(parse("porthole").unwrap(), Command::Run(Run::default()));
        let flags = "--config a.toml --camera /dev/video2 --listen :80";
        let with = parse(&format!("porthole run {flags}")).unwrap();
        assert_eq!(with, parse(&format!("porthole {flags}")).unwrap());
        let Command::Run(run) = with else { panic!("{with:?}") };
        assert_eq!(run.config, Some("a.toml".into()));
        assert_eq!(run.camera, Device::parse("/dev/video2"));
        assert_eq!(run.listen, Some(SocketAddr::from(([0; 8], 80))));
    }

    #[test]
    fn wrong_values_of_flags_are_told_as_in_the_file() {
        let error = parse("porthole --listen 8080").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
        let text = error.to_string();
        assert!(text.contains("'8080' for '--listen <ADDR>': not an address; IP and port"), "{text}");
        let text = parse("porthole run --camera video0").unwrap_err().to_string();
        assert!(text.contains("'video0' for '--camera <DEVICE>': not a camera; auto, pattern, libcamera"), "{text}");
    }

    #[test]
    fn flags_go_over_the_file() {
        let path = std::env::temp_dir().join(format!("porthole-flags-{}.toml", std::process::id()));
        std::fs::write(&path, "[[camera]]\nname = \"a\"\nfps = 15\n[[camera]]\nname = \"b\"\n[rtc]\nmax_viewers = 3\n")
            .unwrap();
        let run = Run {
            config: Some(path.clone()),
            camera: Some(Device::Pattern),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let config = run.configuration();
        std::fs::remove_file(&path).unwrap();
        let config = config.unwrap();
        let [camera] = &config.cameras[..] else { panic!("{config:?}") };
        assert_eq!(
            (camera.camera.name.as_str(), &camera.camera.device, camera.camera.fps),
            ("a", &Device::Pattern, Wish::exact(15))
        );
        assert_eq!(config.http.listen, SocketAddr::from(([127, 0, 0, 1], 0)));
        assert_eq!(config.rtc.max_viewers, 3);
        assert_eq!(Run::default().configuration().unwrap(), Config::default());
    }
}
