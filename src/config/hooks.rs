//! Hooks: the sections `[[hook]]`.
//!
//! What they do is in `server::hooks`.

use std::path::Path;

use toml::de::DeValue;

use super::Config as All;
use super::reader::ConfigSection;
use super::value;
use super::value::ValueParser;
use crate::pipeline::recorder::RecordingMode;
use crate::server::client::HttpUrl;
use crate::server::hooks::{Config, HookAction, HookHeader, HookKind, HookProgram, HookTarget, HookTrigger};

/// How many seconds a hook may take, unless the configuration says so.
const TIMEOUT: u32 = 10;

/// The most headers, and arguments of a program: more than anybody needs.
const MAX_ITEMS: usize = 64;

/// Where events are posted.
const URL: ValueParser<Option<HttpUrl>> = ValueParser::new(
    "a URL",
    "an http or https URL, such as https://ntfy.example.org/door; user and password are not part of it, but in headers",
    |text| HttpUrl::parse(text).map(Some),
);

/// The name of a camera; empty for all.
const CAMERA: ValueParser<Option<String>> =
    ValueParser::new("a camera", "the name of a [[camera]] section, or \"\" for all cameras", |text| {
        Some(Some(text.to_owned()).filter(|text| !text.is_empty()))
    });

/// A hook in a configuration of which everything else was read; `None` when the section does not say what to do, or when.
pub(super) fn hook(section: &mut ConfigSection<'_, '_>, all: &All) -> Option<Config> {
    let (mut on, mut camera, mut timeout) = (Vec::new(), None, TIMEOUT);
    let (mut program, mut url, mut headers, mut headers_file) = (None, None, Vec::new(), None);
    section.value("on", &mut on, triggers);
    section.text("camera", &mut camera, &CAMERA);
    // Arguments, parts of a URL and headers may be secrets.
    section.secret_value("exec", &mut program, exec);
    section.secret("url", &mut url, &URL);
    section.secret_value("headers", &mut headers, header_list);
    section.text("headers_file", &mut headers_file, &value::FILE);
    // Ten minutes are enough for an upload; whatever takes longer had better be a service of its own.
    section.number("timeout", &mut timeout, 1..=600, 1, "seconds");

    if !section.has("on") {
        section.missing(
            "on",
            "; set it to what the hook waits for, such as \"motion\" or [\"recording.ended\", \"fault\"]",
        );
    }
    for missing in on.iter().filter_map(|trigger: &HookTrigger| missing_source(trigger.kind(), all)) {
        section.reject("on", "", missing);
    }
    let names: Vec<&str> = all.cameras.iter().map(|camera| camera.camera.name.as_str()).collect();
    if let Some(name) = camera.as_deref().filter(|name| !names.contains(name)) {
        let wrong = format!("no camera has this name; there are {}", names.join(", "));
        section.reject("camera", &format!("\"{name}\""), &wrong);
    }
    match (section.has("exec"), section.has("url")) {
        (false, false) => section.missing("exec", "; set exec to a program, or url to where the event is posted"),
        (true, true) => section.reject_secret("exec", "there is a url too; write a [[hook]] for each of them"),
        _ => {}
    }
    for key in ["headers", "headers_file"] {
        if section.has(key) && !section.has("url") {
            section.reject_secret(key, "without effect, as nothing is posted; set url, or remove it");
        }
    }
    let action = match (program, url) {
        (Some(program), None) => HookAction::Run(program),
        (_, url) => HookAction::Post(HookTarget { url: url?, headers, headers_file }),
    };
    Some(Config { on, camera, action, timeout })
}

/// Why an event never happens with this configuration.
fn missing_source(kind: HookKind, all: &All) -> Option<&'static str> {
    match kind {
        HookKind::Motion if !all.cameras.iter().any(|camera| camera.motion.enabled) => {
            Some("no camera looks for motion; add [camera.motion] with enabled = true below a [[camera]]")
        }
        HookKind::Recording if all.recording.mode == RecordingMode::Off => {
            Some("nothing is recorded; set mode in [recording]")
        }
        HookKind::Timelapse if all.timelapse.every.is_none() => {
            Some("there is no time-lapse; set every in [timelapse]")
        }
        HookKind::Talk if all.speaker.device == "off" => Some("nobody can talk; set device in [speaker]"),
        _ => None,
    }
}

/// What a hook waits for: one event, or a list.
fn triggers(value: &DeValue<'_>) -> Result<Vec<HookTrigger>, String> {
    let right = "motion, recording, timelapse, talk, watched, privacy, fault, or a list of them; with .begun or .ended for \
                 one of the two alone, such as \"motion.begun\"";
    let texts = match value {
        DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<&str>>>(),
        value => value.as_str().map(|text| vec![text]),
    };
    let triggers: Option<Vec<HookTrigger>> =
        texts.and_then(|texts| texts.into_iter().map(HookTrigger::parse).collect());
    let triggers = triggers.filter(|triggers| !triggers.is_empty() && triggers.len() <= MAX_ITEMS);
    triggers.ok_or_else(|| format!("not an event; {right}"))
}

/// A program: its path, or a list of that and its arguments.
fn exec(value: &DeValue<'_>) -> Result<Option<HookProgram>, String> {
    let right = "an absolute path, such as \"/usr/local/bin/notify\", or a list of it and its arguments, such as \
                 [\"/usr/bin/logger\", \"-t\", \"door\"]";
    let texts = match value {
        DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<&str>>>(),
        value => value.as_str().map(|text| vec![text]),
    };
    let texts = texts.filter(|texts| texts.len() <= MAX_ITEMS && !texts.iter().any(|text| text.contains('\0')));
    let (path, arguments) = match texts.as_deref() {
        Some([path, arguments @ ..]) if Path::new(path).is_absolute() => (*path, arguments),
        _ => return Err(format!("not a program; {right}")),
    };
    if arguments.is_empty() && value.as_str().is_some() && path.contains(char::is_whitespace) {
        return Err(
            "not a program; no shell reads this, so its arguments are a list: [\"/usr/bin/logger\", \"-t\", \"door\"]"
                .into(),
        );
    }
    let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
    Ok(Some(HookProgram { path: path.into(), arguments }))
}

/// Headers of a request.
fn header_list(value: &DeValue<'_>) -> Result<Vec<HookHeader>, String> {
    let parsed = value.as_array().filter(|items| items.len() <= MAX_ITEMS).and_then(|items| {
        items.iter().map(|item| HookHeader::parse(item.get_ref().as_str()?)).collect::<Option<Vec<HookHeader>>>()
    });
    parsed.ok_or_else(|| {
        "not a list of headers, such as [\"Authorization: Bearer TOKEN\"]; those of the connection and Content-Type are not \
         among them"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Config>, String> {
        All::parse(text, "a").map(|config| config.hooks).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_hook_runs_a_program_or_posts() {
        let on = |texts: &[&str]| texts.iter().map(|text| HookTrigger::parse(text).expect(text)).collect::<Vec<_>>();
        let program = |arguments: &[&str]| HookProgram {
            path: "/a b".into(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        };
        let expected = Config {
            on: on(&["privacy"]),
            camera: None,
            action: HookAction::Run(HookProgram { path: "/a".into(), ..program(&[]) }),
            timeout: 10,
        };
        let only = read("[[hook]]\non = \"privacy\"\nexec = \"/a\"").expect("valid");
        assert_eq!(only, std::slice::from_ref(&expected));
        let text = "[[camera]]\nname = \"door\"\n[[hook]]\non = [\"watched.begun\", \"fault\"]\ncamera = \"door\"\n\
                    exec = [\"/a b\", \"-c\", \"$(x)\"]\ntimeout = 60\n\
                    [[hook]]\non = \"fault\"\nurl = \"https://a/b\"\nheaders = [\"X-Key: geheim\"]\nheaders_file = \"/c\"";
        let target = HookTarget {
            url: HttpUrl::parse("https://a/b").expect("a URL"),
            headers: vec![HookHeader::parse("X-Key: geheim").expect("a header")],
            headers_file: Some("/c".into()),
        };
        let first = Config {
            on: on(&["watched.begun", "fault"]),
            camera: Some("door".into()),
            action: HookAction::Run(program(&["-c", "$(x)"])),
            timeout: 60,
        };
        let second = Config { on: on(&["fault"]), action: HookAction::Post(target), ..expected };
        assert_eq!(read(text).expect("valid"), [first, second]);
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not() {
        let (run, post) = ("exec = \"/a\"", "url = \"http://a\"");
        for (text, expected) in [
            (run.to_owned(), "a:1: hook[0].on: missing; set it to what the hook waits for, such as"),
            (
                format!("on = \"rain\"\n{run}"),
                "a:2: hook[0].on = \"rain\": not an event; motion, recording, timelapse,",
            ),
            (format!("on = []\n{run}"), "not an event"),
            (format!("on = [\"fault\", 1]\n{run}"), "not an event"),
            (format!("on = \"motion\"\n{run}"), "no camera looks for motion; add [camera.motion]"),
            (format!("on = \"recording\"\n{run}"), "nothing is recorded; set mode in [recording]"),
            (format!("on = \"timelapse\"\n{run}"), "there is no time-lapse; set every in [timelapse]"),
            (format!("on = \"talk\"\n{run}"), "nobody can talk; set device in [speaker]"),
            ("on = \"fault\"".into(), "hook[0].exec: missing; set exec to a program, or url to where"),
            (format!("on = \"fault\"\n{run}\n{post}"), "a:3: hook[0].exec: there is a url too; write a [[hook]] for"),
            ("on = \"fault\"\nexec = \"notify geheim\"".into(), "hook[0].exec: not a program; an absolute path, such"),
            ("on = \"fault\"\nexec = \"/a geheim\"".into(), "not a program; no shell reads this, so its arguments"),
            ("on = \"fault\"\nexec = []".into(), "not a program"),
            ("on = \"fault\"\nexec = [\"/a\", 5]".into(), "not a program"),
            ("on = \"fault\"\nurl = \"a/geheim\"".into(), "hook[0].url: not a URL; an http or https URL, such as"),
            (format!("on = \"fault\"\n{post}\nheaders = [\"geheim\"]"), "hook[0].headers: not a list of headers, such"),
            (
                format!("on = \"fault\"\n{run}\nheaders = [\"A: geheim\"]"),
                "hook[0].headers: without effect, as nothing",
            ),
            (
                format!("on = \"fault\"\n{run}\ncamera = \"b\""),
                "camera = \"b\": no camera has this name; there are camera",
            ),
            (format!("on = \"fault\"\n{run}\ntimeout = 0"), "timeout = 0: out of range; seconds from 1 to 600"),
            (format!("on = \"fault\"\n{post}\ntoken = \"geheim\""), "token = ***: unknown key; a token is in headers,"),
            (
                format!("on = \"fault\"\ncommand = \"geheim\"\n{run}"),
                "command = ***: unknown key; the program is exec,",
            ),
        ] {
            let errors = read(&format!("[[hook]]\n{text}")).expect_err(&text);
            assert!(errors.contains(expected) && errors.lines().count() == 1, "{text}: {errors}");
            assert!(!errors.contains("geheim"), "{errors}");
        }
    }
}
