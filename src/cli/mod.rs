//! The command line: its commands and flags, and what they print.
//!
//! Running the camera does not belong here.

pub mod address;
pub mod check;
pub mod controls;
pub mod ctl;
pub mod devices;
pub mod password;
pub mod startup_check;
pub mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser};

use crate::capture::camera::DeviceSelector;
use crate::config::{Config, Errors, value};
use crate::model::inventory::Setting;
use crate::server::auth::Role;
use crate::util::state_dir::StateDir;

/// Turns this machine's camera into one that any browser can watch live.
#[derive(Debug, Parser)]
#[command(name = "porthole", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Subcommand>,
    #[command(flatten)]
    run: Run,
}

impl Cli {
    /// The command; `run` when none is given.
    pub fn into_command(self) -> Subcommand {
        self.command.unwrap_or(Subcommand::Run(self.run))
    }
}

/// The commands.
#[derive(Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Subcommand {
    /// Serve the camera until stopped; this is what porthole does without a command
    Run(Run),
    /// List the cameras, encoders, sound cards and LEDs of this machine, and what `auto` takes of them
    Devices {
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// List the controls of a camera (brightness, exposure, focus...), or set some, also while it streams
    Controls(ControlsArgs),
    /// Set the password of a role: asked for on a terminal, otherwise one line of standard input
    Password {
        /// Whose password: viewer (watches) or operator (also controls)
        #[arg(value_parser = |text: &str| text.parse::<Role>())]
        role: Role,
        /// Make one and print it
        #[arg(long)]
        random: bool,
        #[command(flatten)]
        state_dir: StateDirArg,
    },
    /// Make, list and revoke the tokens with which programs sign in
    Token {
        #[command(subcommand)]
        action: token::Action,
        #[command(flatten)]
        state_dir: StateDirArg,
    },
    /// Send one command to the porthole that runs on this device, and print the result as JSON
    Ctl {
        /// The method, such as status, camera.list or controls.set; or say, to play a sound on the speaker
        method: String,
        /// Its params, such as '{ "values": { "brightness": 10 } }'; for say a WAV, FLAC or Ogg Opus file, or - for standard input
        params: Option<String>,
        #[command(flatten)]
        state_dir: StateDirArg,
    },
    /// Print the addresses of the page, without starting anything
    Address {
        /// Configuration file; without it everything has its default
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file: print all its errors and whatever else would keep porthole from starting with it, or the settings
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
    pub camera: Option<DeviceSelector>,
    /// Address of the viewer page, instead of the one in the file: IP and port, or :8080 for every address
    #[arg(long, value_name = "ADDR", value_parser = |text: &str| value::LISTEN.read(text))]
    pub listen: Option<SocketAddr>,
}

/// The state directory, where passwords and tokens are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct StateDirArg {
    /// Configuration file, whose state directory is used
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// State directory, instead of the one in the file; that of the service is /var/lib/porthole
    #[arg(long, value_name = "DIR", global = true)]
    pub state: Option<PathBuf>,
}

impl StateDirArg {
    /// The state directory.
    ///
    /// # Errors
    ///
    /// All errors in the configuration file.
    pub fn store(self) -> Result<StateDir, Errors> {
        let configured = match (self.state, self.config) {
            (Some(directory), _) => Some(directory),
            (None, Some(file)) => Config::load(&file)?.state_directory,
            (None, None) => None,
        };
        Ok(StateDir::open(configured.as_deref()))
    }
}

/// A camera, and the controls to set.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(override_usage = "porthole controls [--json] [DEVICE] [NAME=VALUE]...")]
pub struct ControlsArgs {
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
    /// The camera, as the configuration names it; without it the one that `auto` takes
    #[arg(value_name = "DEVICE", value_parser = FirstArg::parse)]
    first: Option<FirstArg>,
    /// What a control shall be; the list has the names, and what each may be. A menu takes the number or the name of an entry
    #[arg(value_name = "NAME=VALUE", value_parser = read_setting)]
    settings: Vec<Setting>,
}

impl ControlsArgs {
    /// The request and its camera.
    pub fn into_request(self) -> controls::ControlsRequest {
        let Self { json, first, mut settings } = self;
        let device = match first {
            Some(FirstArg::Device(device)) => device,
            Some(FirstArg::Setting(setting)) => {
                settings.insert(0, setting);
                DeviceSelector::Auto
            }
            None => DeviceSelector::Auto,
        };
        controls::ControlsRequest { device, settings, json }
    }
}

/// The first argument of `controls`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FirstArg {
    Device(DeviceSelector),
    Setting(Setting),
}

impl FirstArg {
    /// A path may contain `=`; no other name of a camera does.
    fn parse(text: &str) -> Result<Self, String> {
        match Setting::parse(text).filter(|_| !text.starts_with('/')) {
            Some(setting) => Ok(Self::Setting(setting)),
            None => value::CAMERA_DEVICE.read(text).map(Self::Device),
        }
    }
}

fn read_setting(text: &str) -> Result<Setting, String> {
    Setting::parse(text).ok_or_else(|| "not NAME=VALUE; `porthole controls` lists the names".into())
}

impl Run {
    /// The configuration: the file, or the defaults, overridden by the flags.
    ///
    /// # Errors
    ///
    /// All errors in the file.
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
    use crate::capture::camera::Constraint;

    fn parse(line: &str) -> Result<Subcommand, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(Cli::into_command)
    }

    #[test]
    fn the_definition_passes_claps_checks() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_and_its_flags_need_no_command() {
        assert_eq!(parse("porthole").unwrap(), Subcommand::Run(Run::default()));
        let flags = "--config a.toml --camera /dev/video2 --listen :80";
        let with = parse(&format!("porthole run {flags}")).unwrap();
        assert_eq!(with, parse(&format!("porthole {flags}")).unwrap());
        let Subcommand::Run(run) = with else { panic!("{with:?}") };
        assert_eq!(run.config, Some("a.toml".into()));
        assert_eq!(run.camera, DeviceSelector::parse("/dev/video2"));
        assert_eq!(run.listen, Some(SocketAddr::from(([0; 8], 80))));
    }

    #[test]
    fn controls_of_a_camera_are_listed_or_set() {
        let request = |line: &str| match parse(line).unwrap() {
            Subcommand::Controls(arguments) => arguments.into_request(),
            other => panic!("{other:?}"),
        };
        let all = controls::ControlsRequest { device: DeviceSelector::Auto, settings: Vec::new(), json: false };
        assert_eq!(request("porthole controls"), all);
        let device = DeviceSelector::parse("/dev/v4l/by-path/a=b").unwrap();
        let named = controls::ControlsRequest { device: device.clone(), json: true, ..all.clone() };
        assert_eq!(request("porthole controls /dev/v4l/by-path/a=b --json"), named);
        let settings = vec![Setting::parse("hue=-5").unwrap(), Setting::parse("zoom=2").unwrap()];
        assert_eq!(
            request("porthole controls hue=-5 zoom=2"),
            controls::ControlsRequest { settings: settings.clone(), ..all }
        );
        let set = controls::ControlsRequest { settings, json: false, device };
        assert_eq!(request("porthole controls /dev/v4l/by-path/a=b hue=-5 zoom=2"), set);
        for (line, words) in [
            ("porthole controls hue", "not NAME=VALUE"),
            ("porthole controls video0", "not a camera; auto, pattern"),
            ("porthole controls hue=1 zoom", "not NAME=VALUE; `porthole controls` lists the names"),
        ] {
            if let Err(error) = parse(line) {
                assert!(error.to_string().contains(words), "{line}: {error}");
            } else {
                // An argument that is not a path may be a card's name.
                assert_eq!(request(line).device, DeviceSelector::Card("hue".into()));
            }
        }
    }

    #[test]
    fn passwords_and_tokens_have_a_role_and_a_place() {
        let state_dir = StateDirArg { state: Some("/s".into()), config: None };
        assert_eq!(state_dir.clone().store().unwrap().directory().unwrap(), std::path::Path::new("/s"));
        let password = Subcommand::Password { role: Role::Viewer, random: true, state_dir: state_dir.clone() };
        assert_eq!(parse("porthole password viewer --random --state /s").unwrap(), password);
        let action = token::Action::Add { name: "a".into(), role: Role::Operator };
        let add = Subcommand::Token { action, state_dir };
        assert_eq!(parse("porthole token add a --role operator --state /s").unwrap(), add);
        assert_eq!(parse("porthole token --state /s add a --role operator").unwrap(), add);
        let text = parse("porthole password admin").unwrap_err().to_string();
        assert!(text.contains("'admin' for '<ROLE>': not a role; viewer (watches) or operator"), "{text}");
    }

    #[test]
    fn a_command_has_a_method_and_may_have_params() {
        let Subcommand::Ctl { method, params, state_dir } = parse("porthole ctl status --state /s").unwrap() else {
            panic!()
        };
        assert_eq!((method.as_str(), params, state_dir.state), ("status", None, Some("/s".into())));
        let Subcommand::Ctl { params, .. } = parse("porthole ctl audio.mute {\"muted\":true}").unwrap() else {
            panic!()
        };
        assert_eq!(params.as_deref(), Some("{\"muted\":true}"));
    }

    #[test]
    fn invalid_flags_have_the_messages_of_the_file() {
        let error = parse("porthole --listen 8080").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ValueValidation);
        let text = error.to_string();
        assert!(text.contains("'8080' for '--listen <ADDR>': not an address; IP and port"), "{text}");
        let text = parse("porthole run --camera video0").unwrap_err().to_string();
        assert!(text.contains("'video0' for '--camera <DEVICE>': not a camera; auto, pattern, libcamera"), "{text}");
    }

    #[test]
    fn flags_override_the_file() {
        let path = std::env::temp_dir().join(format!("porthole-flags-{}.toml", std::process::id()));
        std::fs::write(&path, "[[camera]]\nname = \"a\"\nfps = 15\n[[camera]]\nname = \"b\"\n[rtc]\nmax_viewers = 3\n")
            .unwrap();
        let run = Run {
            config: Some(path.clone()),
            camera: Some(DeviceSelector::Pattern),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let config = run.configuration();
        std::fs::remove_file(&path).unwrap();
        let config = config.unwrap();
        let [camera] = &config.cameras[..] else { panic!("{config:?}") };
        assert_eq!(
            (camera.camera.name.as_str(), &camera.camera.device, camera.camera.fps),
            ("a", &DeviceSelector::Pattern, Constraint::exact(15))
        );
        assert_eq!(config.http.listen, SocketAddr::from(([127, 0, 0, 1], 0)));
        assert_eq!(config.rtc.max_viewers, 3);
        assert_eq!(Run::default().configuration().unwrap(), Config::default());
    }
}
