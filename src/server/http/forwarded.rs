//! Who sent a request: the client's address, whether its connection is encrypted, and the host it requested; trusted
//! proxies report these with `X-Forwarded-For`, `-Proto` and `-Host`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use warp::http::uri::Authority;
use warp::http::{HeaderMap, header};

/// The connection that a request arrived on.
#[derive(Debug, Clone, Copy)]
pub struct ConnInfo {
    /// The peer's address.
    pub peer: IpAddr,
    /// Our own address on this connection.
    pub local: IpAddr,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// How a request arrived, as far as its method, path and headers do not say it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The connection that it arrived on.
    pub conn: ConnInfo,
    /// The authority of an absolute-form URI.
    pub authority: Option<Authority>,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The client's address, as far as trusted proxies know it.
    pub address: IpAddr,
    /// Whether the request was encrypted all the way, as far as trusted proxies know.
    pub secure: bool,
}

/// The client of a request, and the requested host; `None` if that cannot be parsed.
pub fn of(arrival: &Arrival, headers: &HeaderMap, trusted: &[IpNet]) -> (Client, Option<Authority>) {
    let conn = arrival.conn;
    let peer = conn.peer.to_canonical();
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !is_trusted(&peer) {
        return (Client { address: peer, secure: conn.encrypted }, host(arrival, headers));
    }
    let mut address = peer;
    // The nearest proxy appended the last address. Whatever precedes the first untrusted one may be forged.
    for value in members(headers, "x-forwarded-for").rev() {
        let Some(ip) = value.and_then(read_address) else { break };
        address = ip;
        if !is_trusted(&ip) {
            break;
        }
    }
    let scheme = members(headers, "x-forwarded-proto").next_back().flatten();
    let secure = scheme.map_or(conn.encrypted, |scheme| scheme.eq_ignore_ascii_case("https"));
    let host = match members(headers, "x-forwarded-host").next_back() {
        Some(value) => value.and_then(|value| value.parse().ok()),
        None => host(arrival, headers),
    };
    (Client { address, secure }, host)
}

/// The list members of all headers of one name, in order; `None` for a header that is not text.
fn members<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> impl DoubleEndedIterator<Item = Option<&'h str>> + use<'h> {
    let values: Vec<Option<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    values.into_iter().flat_map(|value| match value {
        Some(text) => text.split(',').map(|member| Some(member.trim())).collect::<Vec<_>>(),
        None => vec![None],
    })
}

/// Parses an address, to which some proxies add a port.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

/// The host of an absolute-form URI, which takes precedence (RFC 9112 section 3.2.2), or of the single `Host` header.
fn host(arrival: &Arrival, headers: &HeaderMap) -> Option<Authority> {
    let mut named = headers.get_all(header::HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return None;
    }
    match &arrival.authority {
        Some(authority) => Some(authority.clone()),
        None => first?.to_str().ok()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use warp::http::Request;

    use super::*;

    fn asked(peer: &str, headers: &[(&str, &str)]) -> (String, bool, Option<String>) {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let conn = ConnInfo { peer: peer.parse().unwrap(), local: peer.parse().unwrap(), encrypted: false };
        let arrival = Arrival { conn, authority: parts.uri.authority().cloned() };
        let (client, host) =
            of(&arrival, &parts.headers, &["127.0.0.0/8", "10.0.0.0/24"].map(|net| net.parse().unwrap()));
        (client.address.to_string(), client.secure, host.map(|host| host.to_string()))
    }

    #[test]
    fn forwarded_headers_count_from_trusted_proxies_only() {
        let value = [("host", "cam"), ("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")];
        assert_eq!(asked("192.0.2.1", &value), ("192.0.2.1".into(), false, Some("cam".into())));
        assert_eq!(asked("127.0.0.1", &value), ("198.51.100.1".into(), true, Some("cam".into())));
        assert_eq!(asked("::ffff:127.0.0.1", &value), ("198.51.100.1".into(), true, Some("cam".into())));
        let host = [("host", "127.0.0.1:8080"), ("x-forwarded-host", "evil, cam.example.org")];
        assert_eq!(asked("10.0.0.1", &host).2, Some("cam.example.org".into()));
        assert_eq!(asked("10.0.1.1", &host).2, Some("127.0.0.1:8080".into()));
    }

    #[test]
    fn the_last_untrusted_address_counts() {
        let chain = |value: &str| asked("127.0.0.1", &[("x-forwarded-for", value)]).0;
        assert_eq!(chain("1.1.1.1, 198.51.100.1, 10.0.0.7"), "198.51.100.1");
        assert_eq!(chain("198.51.100.1:5000"), "198.51.100.1");
        assert_eq!(chain("[2001:db8::1]:5000"), "2001:db8::1");
        assert_eq!(chain("[2001:db8::1]"), "2001:db8::1");
        assert_eq!(chain("198.51.100.1, nonsense"), "127.0.0.1");
        assert_eq!(chain(""), "127.0.0.1");
        assert_eq!(chain("10.0.0.7"), "10.0.0.7");
        let two = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(asked("127.0.0.1", &two).0, "198.51.100.1");
    }

    #[test]
    fn there_is_exactly_one_host() {
        assert_eq!(asked("192.0.2.1", &[]).2, None);
        assert_eq!(asked("192.0.2.1", &[("host", "a"), ("host", "b")]).2, None);
        assert_eq!(asked("192.0.2.1", &[("host", "a b")]).2, None);
        assert_eq!(asked("192.0.2.1", &[("host", "[fd00::1]:80")]).2, Some("[fd00::1]:80".into()));
    }
}
