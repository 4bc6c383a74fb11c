//! What shows the picture of who talks: the section `[screen]`.
//!
//! What it does is in `pipeline::screen`.

use super::reader::ConfigSection;
use super::value::ValueParser;
use crate::pipeline::screen::Config;

/// The longest command line, in bytes: more than anybody writes.
const MAX_LINE: usize = 4_096;

/// A command line; empty for none.
const COMMAND: ValueParser<Option<String>> = ValueParser::new(
    "a command line",
    "a program with its arguments on one line, such as \"mpv --profile=low-latency -\", or \"\" for none",
    |text| {
        let is_line = text.len() <= MAX_LINE && !text.contains(['\0', '\n', '\r']);
        is_line.then(|| Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    },
);

/// Reads the section. Only who can talk can be shown.
pub(super) fn read(section: &mut ConfigSection<'_, '_>, config: &mut Config, can_talk: bool) {
    // Arguments may be secrets.
    section.secret("exec", &mut config.exec, &COMMAND);
    if config.exec.is_some() && !can_talk {
        section.reject_secret(
            "exec",
            "without effect, as nobody can talk, and who talks is shown; set device in [speaker], too",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config as All;

    fn read(text: &str) -> Result<Option<String>, String> {
        let config = All::parse(text, "a").map_err(|errors| errors.to_string())?;
        Ok(config.screen.exec)
    }

    #[test]
    fn a_command_line_is_given_where_somebody_can_talk() {
        let exec = |exec: &str| read(&format!("[speaker]\ndevice = \"auto\"\n[screen]\nexec = {exec}"));
        assert_eq!(exec("\" mpv - \""), Ok(Some("mpv -".into())));
        assert_eq!(exec("\"\""), Ok(None));
        assert_eq!(exec("'''gst-launch-1.0 fdsrc ! fakesink'''"), Ok(Some("gst-launch-1.0 fdsrc ! fakesink".into())));
        assert_eq!((read(""), read("[screen]\nexec = \"\"")), (Ok(None), Ok(None)));
    }

    #[test]
    fn mistakes_are_named_without_the_arguments() {
        for (text, expected) in [
            ("exec = 5", "a:4: screen.exec: not text in quotes; a program with its arguments on one line, such as"),
            ("exec = \"a\\nhidden\"", "a:4: screen.exec: not a command line; a program with its arguments on one"),
            ("exec = \"a\"\nprogram = \"b\"", "unknown key; the program that shows the picture is exec, such as"),
        ] {
            let errors = read(&format!("[speaker]\ndevice = \"auto\"\n[screen]\n{text}")).expect_err(text);
            assert!(errors.contains(expected) && !errors.contains("hidden"), "{text}: {errors}");
        }
        let errors = read("[screen]\nexec = \"a --password hidden\"").expect_err("nobody can talk");
        assert!(errors.contains("a:2: screen.exec: without effect, as nobody can talk"), "{errors}");
        assert!(!errors.contains("hidden"), "{errors}");
    }

    #[test]
    fn credentials_are_not_in_debug_output() {
        let config = Config { exec: Some("play http://user:hidden@host/ --token hidden".into()) };
        assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
    }
}
