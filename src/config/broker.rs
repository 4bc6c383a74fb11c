//! The MQTT broker: the section `[mqtt]`.
//!
//! The parts of its URL are in `server::mqtt`.

use toml::de::DeValue;

use super::reader::ConfigSection;
use super::value::{self, ValueParser};
use crate::server::mqtt;
use crate::server::mqtt::{BrokerUrl, PrivacyCommands};

/// The longest user name, in bytes: brokers take more, but nobody types it.
const MAX_USER: usize = 256;

/// The first part of topics.
const TOPIC: ValueParser<String> = ValueParser::new(
    "the beginning of a topic",
    "text without + and #, with / only between other letters, such as \"porthole\" or \"home/cameras\"",
    |text| mqtt::is_prefix(text).then(|| text.into()),
);

/// The first part of the topics of a discovery; empty for none.
const DISCOVERY: ValueParser<Option<String>> = ValueParser::new(
    "the beginning of a topic",
    "text without + and #, as in the settings of Home Assistant, or \"\" for no discovery",
    |text| (text.is_empty() || mqtt::is_prefix(text)).then(|| Some(text.to_owned()).filter(|text| !text.is_empty())),
);

/// Which commands for the privacy switch are taken.
const PRIVACY: ValueParser<PrivacyCommands> = ValueParser::new(
    "known here",
    "\"set\" to turn the privacy switch on and off, \"on\" only to turn it on, or \"off\" for no commands",
    |text| match text {
        "set" => Some(PrivacyCommands::Set),
        "on" => Some(PrivacyCommands::On),
        "off" => Some(PrivacyCommands::Off),
        _ => None,
    },
);

/// A user's name; empty for none.
const USER: ValueParser<String> =
    ValueParser::new("a user's name", "up to 256 letters on one line, or \"\" for none", |text| {
        (text.len() <= MAX_USER && !text.contains(char::is_control)).then(|| text.into())
    });

/// A password; empty for none.
const PASSWORD: ValueParser<String> =
    ValueParser::new("a password", "the user's password, or \"\" for none", |text| Some(text.into()));

/// Reads the section.
pub(super) fn read(section: &mut ConfigSection<'_, '_>, config: &mut mqtt::Config) {
    section.value("url", &mut config.broker, url);
    section.text("username", &mut config.username, &USER);
    section.secret("password", &mut config.password, &PASSWORD);
    section.text("password_file", &mut config.password_file, &value::FILE);
    section.text("ca", &mut config.ca, &value::FILE);
    section.text("topic", &mut config.topic, &TOPIC);
    section.text("discovery", &mut config.discovery, &DISCOVERY);
    // A day; a longer interval is a typo.
    section.number("snapshot_interval", &mut config.snapshot_interval, 0..=86_400, 1, "seconds");
    section.text("privacy", &mut config.privacy, &PRIVACY);
    let keys = ["username", "password", "password_file"].map(|key| section.has(key));
    if keys.contains(&true) && !section.has("url") {
        section.missing("url", "; without the broker's URL, such as \"mqtt://192.168.1.10:1883\", MQTT is off");
    }
    if config.ca.is_some() && config.broker.as_ref().is_some_and(|broker| !broker.tls) {
        section.reject(
            "ca",
            "",
            "without effect, as the connection is not encrypted; write mqtts:// in url, or remove ca",
        );
    }
    if (!config.password.is_empty() || config.password_file.is_some()) && config.username.is_empty() {
        section.missing("username", ", but there is a password; brokers want both");
    }
}

/// The URL of a broker; empty for none.
fn url(value: &DeValue<'_>) -> Result<Option<BrokerUrl>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(text) => BrokerUrl::parse(text).map(Some),
        None => Err("not text in quotes; such as \"mqtt://192.168.1.10:1883\", or \"\" for no MQTT".into()),
    }
}
