//! Publications to servers: the sections `[[publish]]`.
//!
//! What they do is in `server::publish`.

use super::reader::ConfigSection;
use super::value::ValueParser;
use crate::server::client::HttpUrl;
use crate::server::publish::{BearerToken, Config, PublishMode};

/// The URL of a server's WHIP endpoint.
const URL: ValueParser<Option<HttpUrl>> = ValueParser::new(
    "a WHIP endpoint",
    "an http or https URL, such as http://192.168.1.5:8889/camera/whip; user and password are not part of it, but token",
    |text| HttpUrl::parse(text).map(Some),
);

/// A token for it; empty for none.
const TOKEN: ValueParser<Option<BearerToken>> = ValueParser::new(
    "a token",
    "the server's token, without \"Bearer\" and without blanks, or \"\" for none",
    |text| {
        if text.is_empty() { Some(None) } else { BearerToken::parse(text).map(Some) }
    },
);

/// The name of a camera; empty for the only one.
const CAMERA: ValueParser<String> =
    ValueParser::new("a camera", "the name of a [[camera]] section, or \"\" for the only camera", |text| {
        Some(text.into())
    });

/// When the camera is published.
const MODE: ValueParser<PublishMode> = ValueParser::new("a mode", "always or on_demand", |text| match text {
    "always" => Some(PublishMode::Always),
    "on_demand" => Some(PublishMode::OnDemand),
    _ => None,
});

/// A publication of one of these cameras; `None` when the section does not say where to.
pub(super) fn publication(section: &mut ConfigSection<'_, '_>, cameras: &[String]) -> Option<Config> {
    let (mut url, mut token, mut camera, mut mode) = (None, None, String::new(), PublishMode::default());
    // Parts of it may be secrets, too.
    section.secret("url", &mut url, &URL);
    section.secret("token", &mut token, &TOKEN);
    section.text("camera", &mut camera, &CAMERA);
    section.text("mode", &mut mode, &MODE);
    if url.is_none() && !section.has("url") {
        section.missing("url", "; set it to the server's WHIP endpoint");
    }
    match cameras {
        [only] if camera.is_empty() => camera.clone_from(only),
        _ if camera.is_empty() => {
            section.missing("camera", &format!("; there are several: {}", cameras.join(", ")));
        }
        _ if !cameras.contains(&camera) => {
            section.reject("camera", "", &format!("no camera has this name; there are {}", cameras.join(", ")));
        }
        _ => {}
    }
    Some(Config { url: url?, token, camera, mode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config as All;

    const TWO: &str = "[[camera]]\nname = \"a\"\n[[camera]]\nname = \"b\"\n";

    fn read(text: &str) -> Result<Vec<Config>, String> {
        All::parse(text, "porthole.toml").map(|config| config.publish).map_err(|errors| errors.to_string())
    }

    #[test]
    fn publication_is_of_the_only_camera_or_of_the_one_that_is_named() {
        let only = read("[[publish]]\nurl = \"http://a/whip\"").expect("valid");
        let url = HttpUrl::parse("http://a/whip").expect("a URL");
        let expected = Config { url, token: None, camera: "camera".into(), mode: PublishMode::Always };
        assert_eq!(only, std::slice::from_ref(&expected));
        let named = "[[publish]]\nurl = \"http://a/whip\"\ntoken = \"t\"\ncamera = \"b\"\nmode = \"on_demand\"\n";
        let token = BearerToken::parse("t");
        let expected = Config { token, camera: "b".into(), mode: PublishMode::OnDemand, ..expected };
        assert_eq!(read(&format!("{TWO}{named}")).expect("valid"), [expected]);
    }

    #[test]
    fn mistakes_are_named_and_tokens_are_not() {
        for (text, expected) in [
            ("[[publish]]", "publish[0].url: missing; set it to the server's WHIP endpoint"),
            ("[[publish]]\nurl = \"rtmp://a/b\"", "publish[0].url: not a WHIP endpoint; an http or https URL"),
            ("[[publish]]\nurl = \"http://u:secret@a/b\"", "publish[0].url: not a WHIP endpoint;"),
            ("[[publish]]\nurl = \"htps://a/secret/whip\"", "publish[0].url: not a WHIP endpoint;"),
            (
                "[[publish]]\nurl = \"http://a\"\ntoken = \"Bearer secret\"",
                "publish[0].token: not a token; the server's",
            ),
            ("[[publish]]\nurl = \"http://a\"\ntoken = 123456", "publish[0].token: not text in quotes; the server's"),
            ("[[publish]]\nurl = \"http://a\"\ncamera = \"x\"", "no camera has this name; there are camera"),
            ("[[publish]]\nurl = \"http://a\"\nurls = \"http://a/secret\"", "publish[0].urls = ***: unknown key; did"),
            ("[[publish]]\nurl = \"http://a\"\nmode = \"never\"", "not a mode; always or on_demand"),
        ] {
            let errors = read(text).expect_err(text);
            assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
            assert!(!errors.contains("secret") && !errors.contains("123456"), "{errors}");
        }
        let unclear = read(&format!("{TWO}[[publish]]\nurl = \"http://a\"")).expect_err("two cameras");
        assert!(unclear.contains("publish[0].camera: missing; there are several: a, b"), "{unclear}");
    }
}
