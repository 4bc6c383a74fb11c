//! The address of a broker, as a URL: `mqtt://host:port`, or `mqtts://` for TLS.
//!
//! User and password are settings of their own, so that the URL can be logged.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The ports that are registered for MQTT, plain and with TLS.
const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

/// The longest name of a host (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// The valid form, for messages.
const FORM: &str = "mqtt:// or, with TLS, mqtts://, the host and the port, such as mqtt://192.168.1.10:1883";

/// The address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// A name or an IP address, an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl BrokerUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// What is wrong and what would be valid. The caller adds the key and the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("not the URL of a broker; {FORM}");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err(wrong()),
        };
        let place = rest.strip_suffix('/').unwrap_or(rest);
        if place.contains('@') {
            return Err("with a user in it; user and password have keys of their own, username and password".into());
        }
        let (host, port) = split(place).ok_or_else(wrong)?;
        if host.parse().is_ok_and(|address: Ipv6Addr| address.is_unicast_link_local()) {
            return Err("a link-local address, which needs an interface too; use a name or a global address".into());
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
            None if tls => TLS_PORT,
            None => PORT,
        };
        Ok(Self { host: host.into(), port, tls })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, tls } = self;
        let scheme = if *tls { "mqtts" } else { "mqtt" };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

/// The host and the port.
fn split(place: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
    is_host(host).then_some((host, port))
}

/// Whether it is an IPv4 address or looks like the name of a host.
fn is_host(text: &str) -> bool {
    let name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    // Digits and dots alone are a mistyped address.
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (1..=MAX_HOST).contains(&text.len()) && name(text) && (!digits || text.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_host_and_a_port() {
        for (text, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtt://192.168.1.10:1884", "mqtt://192.168.1.10:1884"),
            ("mqtts://homeassistant.local/", "mqtts://homeassistant.local:8883"),
            ("mqtt://[fd00::1]", "mqtt://[fd00::1]:1883"),
            ("ssl://[::1]:1", "mqtts://[::1]:1"),
            ("tcp://a_b-c.d", "mqtt://a_b-c.d:1883"),
        ] {
            assert_eq!(BrokerUrl::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_broker_is_refused() {
        for text in [
            "",
            "broker",
            "http://broker",
            "mqtt://",
            "mqtt:broker",
            "mqtt://a b",
            "mqtt://a:0",
            "mqtt://a:65536",
            "mqtt://a:x",
            "mqtt://a/b",
            "mqtt://[a]",
            "mqtt://[::1]x",
            "mqtt://::1",
            "mqtt://1.2.3",
            "mqtt://ä",
            "mqtt://a\n",
        ] {
            let wrong = BrokerUrl::parse(text).unwrap_err();
            assert!(wrong.contains("such as mqtt://192.168.1.10:1883"), "{text}: {wrong}");
        }
        for text in ["mqtt://[fe80::1]", "mqtts://[febf::1]:1883"] {
            let wrong = BrokerUrl::parse(text).unwrap_err();
            assert!(wrong.contains("a name or a global address"), "{text}: {wrong}");
        }
        let wrong = BrokerUrl::parse("mqtt://user:secret@broker").unwrap_err();
        assert!(wrong.contains("keys of their own") && !wrong.contains("secret"), "{wrong}");
    }
}
