//! Network settings with a syntax of their own: the TLS certificate, STUN and TURN servers.
//!
//! Values that are written as text are in `value`.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use crate::server::http::Tls;
use crate::server::rtc::IceServer;

/// The valid values of `tls`.
const TLS: &str = "\"off\", \"self-signed\", or { cert = \"FILE\", key = \"FILE\" } with PEM files";

/// The syntax of a STUN or TURN server.
const ICE_SERVER: &str = "{ urls = [\"stun:HOST:PORT\"] }, or { urls = [\"turn:HOST:PORT?transport=udp\"], ... } with either \
                          username and credential, or secret";

/// The TLS mode and certificate.
pub(super) fn tls(value: &DeValue<'_>) -> Result<Tls, String> {
    match value {
        DeValue::String(text) if text == "off" => Ok(Tls::Off),
        DeValue::String(text) if text == "self-signed" => Ok(Tls::SelfSigned),
        DeValue::Table(table) => {
            known(table, &["cert", "key"])?;
            let file = |key: &str| match text(table, key)? {
                Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
                _ => Err(format!("{key} is missing; {TLS}")),
            };
            Ok(Tls::Files { cert: file("cert")?, key: file("key")? })
        }
        _ => Err(format!("unknown; {TLS}")),
    }
}

/// Whether not both of these can be listened on. Port 0 is a free one.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // `[::]` is every IPv4 address too.
    let covers = |one: SocketAddr, other: SocketAddr| one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    let shares_address = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    one.port() == other.port() && one.port() != 0 && shares_address
}

/// A list of STUN and TURN servers.
pub(super) fn ice_servers(value: &DeValue<'_>) -> Result<Vec<IceServer>, String> {
    let DeValue::Array(items) = value else { return Err(format!("not a list; [{ICE_SERVER}]")) };
    items.iter().map(|item| ice_server(item.get_ref())).collect()
}

fn ice_server(value: &DeValue<'_>) -> Result<IceServer, String> {
    let DeValue::Table(table) = value else { return Err(format!("not a table; {ICE_SERVER}")) };
    known(table, &["urls", "username", "credential", "secret"])?;
    let urls: Vec<String> = match table.get("urls").map(|urls| urls.get_ref()) {
        Some(DeValue::String(url)) => vec![url.to_string()],
        Some(DeValue::Array(urls)) => urls.iter().filter_map(|url| url.get_ref().as_str().map(String::from)).collect(),
        _ => Vec::new(),
    };
    let wrong = |url: &&String| !url.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && is_place(rest));
    if let Some(url) = urls.iter().find(wrong) {
        return Err(format!("\"{url}\" is no URL of a STUN or TURN server; {ICE_SERVER}"));
    }
    if urls.is_empty() {
        return Err(format!("urls is missing; {ICE_SERVER}"));
    }
    let part = |key: &str| Ok::<_, String>(text(table, key)?.map(String::from));
    let (username, credential, secret) = (part("username")?, part("credential")?, part("secret")?);
    let turn = urls.iter().any(|url| url.starts_with("turn"));
    match (&username, &credential, &secret) {
        (Some(_), Some(_), None) | (_, None, Some(_)) => {}
        (None, None, None) if !turn => {}
        _ => return Err(format!("TURN wants either username and credential, or secret; {ICE_SERVER}")),
    }
    Ok(IceServer { urls, username, credential, secret })
}

fn is_scheme(scheme: &str) -> bool {
    matches!(scheme, "stun" | "stuns" | "turn" | "turns")
}

/// The part after the scheme, which goes into a header unescaped.
fn is_place(rest: &str) -> bool {
    !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b',' | b';'))
}

fn known(table: &DeTable<'_>, keys: &[&str]) -> Result<(), String> {
    match table.keys().find(|key| !keys.contains(&key.get_ref().as_ref())) {
        Some(key) => Err(format!("{} is unknown here; known are {}", key.get_ref(), keys.join(", "))),
        None => Ok(()),
    }
}

/// The text of a key; `None` where it is missing.
fn text<'t>(table: &'t DeTable<'_>, key: &str) -> Result<Option<&'t str>, String> {
    let Some(value) = table.get(key) else { return Ok(None) };
    let text = value.get_ref().as_str().ok_or_else(|| format!("{key} is not text in quotes"))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn one_port_of_one_address_is_for_one_listener() {
        for (one, other, overlaps) in [
            ("[::]:8080", "[::]:8080", true),
            ("[::]:8080", "127.0.0.1:8080", true),
            ("0.0.0.0:8080", "192.0.2.1:8080", true),
            ("0.0.0.0:8080", "[::1]:8080", false),
            ("192.0.2.1:8080", "192.0.2.2:8080", false),
            ("[::]:8080", "[::]:8554", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let [one, other] = [one, other].map(|text| text.parse().unwrap());
            assert_eq!((overlap(one, other), overlap(other, one)), (overlaps, overlaps), "{one} {other}");
        }
        let error = Config::parse("[rtsp]\nlisten = \":8080\"", "porthole.toml").unwrap_err().to_string();
        let expected = "porthole.toml:2: rtsp.listen = \":8080\": [http] listen has this port already; choose another";
        assert!(error.contains(expected), "{error}");
    }
}
