//! What is printed at the start: the page's URLs, how to sign in, and both as a QR code.
//!
//! Binding addresses and authentication do not belong here.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::server::auth::Role;
use crate::server::rtc;

/// Black on white, whatever the terminal's colours: not every phone reads an inverted code.
const BLACK_ON_WHITE: &str = "\x1b[30;107m";

/// Resets the terminal's colours.
const RESET: &str = "\x1b[0m";

/// The URLs of the page for a server bound to `bound`, the most useful first; never empty. For a server on all addresses
/// these are the machine's IPv4 addresses, or its IPv6 addresses if it has none; the loopback address only if there is
/// nothing else.
pub fn urls(bound: SocketAddr, encrypted: bool) -> Vec<String> {
    urls_of(if encrypted { "https" } else { "http" }, bound)
}

/// The URLs of the first camera on an RTSP server bound to `bound`, as [`urls`].
pub fn rtsp_urls(bound: SocketAddr) -> Vec<String> {
    urls_of("rtsp", bound)
}

fn urls_of(scheme: &str, bound: SocketAddr) -> Vec<String> {
    // Without the list of interfaces, the loopback address is still right on this machine.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses: Vec<_> = interfaces.into_iter().map(|interface| (interface.ip(), interface.name)).collect();
    reachable(bound, &addresses)
        .into_iter()
        .map(|ip| format!("{scheme}://{}/", SocketAddr::new(ip, bound.port())))
        .collect()
}

fn reachable(bound: SocketAddr, interfaces: &[(IpAddr, String)]) -> Vec<IpAddr> {
    let bound_ip = bound.ip().to_canonical();
    if !bound_ip.is_unspecified() {
        return vec![bound_ip];
    }
    // `[::]` accepts IPv4 too, `0.0.0.0` accepts nothing else.
    let both = bound_ip.is_ipv6();
    let mut found: Vec<(u8, IpAddr)> = interfaces
        .iter()
        .filter(|(ip, _)| ip.is_ipv4() || both)
        .filter_map(|(ip, name)| Some((rank(*ip, name)?, *ip)))
        .collect();
    if found.iter().any(|(_, ip)| ip.is_ipv4()) {
        found.retain(|(_, ip)| ip.is_ipv4());
    }
    found.sort_by_key(|(rank, _)| *rank);
    if found.is_empty() {
        let loopback = if both && interfaces.iter().all(|(ip, _)| ip.is_ipv6()) && !interfaces.is_empty() {
            IpAddr::from(Ipv6Addr::LOCALHOST)
        } else {
            IpAddr::from([127, 0, 0, 1])
        };
        return vec![loopback];
    }
    found.into_iter().map(|(_, ip)| ip).collect()
}

/// The rank of an address by how likely a viewer can reach it, lowest first; `None` when no other machine can.
fn rank(ip: IpAddr, interface: &str) -> Option<u8> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // Browsers accept no zone, and a link-local IPv6 address is ambiguous without one.
        IpAddr::V6(ip) if ip.is_unicast_link_local() => return None,
        IpAddr::V6(_) => false,
    };
    if ip.is_loopback() {
        return None;
    }
    if rtc::is_virtual(interface) {
        return Some(2);
    }
    Some(u8::from(link_local))
}

/// How to sign in for the first time, or again.
#[derive(Default)]
pub struct SignInHint {
    /// Passwords that were just generated, and are shown once.
    pub passwords: Vec<(Role, String)>,
    /// The secret of a link that signs the operator in for some time; `None` when authentication is off.
    pub link: Option<String>,
}

/// Prints the URLs, one per line, and how to sign in; on a terminal also the sign-in link, or else the first URL, as a QR
/// code.
///
/// # Errors
///
/// When nothing can be written.
pub fn print(out: &mut impl Write, urls: &[String], hint: &SignInHint, terminal: bool) -> io::Result<()> {
    for url in urls {
        writeln!(out, "{url}")?;
    }
    for (role, password) in &hint.passwords {
        writeln!(out, "password of the {role}: {password}")?;
    }
    if !hint.passwords.is_empty() {
        writeln!(
            out,
            "they are not shown again; `porthole password viewer` and `porthole password operator` set others"
        )?;
    }
    // The fragment stays in the browser: no server and no proxy's log sees it.
    let link = |url: &String| hint.link.as_ref().map(|secret| format!("{url}#sign-in={secret}"));
    if let Some(link) = urls.first().and_then(link) {
        writeln!(out, "sign in: {link}")?;
    }
    if terminal {
        let url = urls.first().map(|url| link(url).unwrap_or_else(|| url.clone()));
        // A URL is far below the capacity of a QR code.
        let code = url.and_then(|url| QrCode::new(url).ok());
        if let Some(code) = code {
            for line in code.render::<Dense1x2>().build().lines() {
                writeln!(out, "{BLACK_ON_WHITE}{line}{RESET}")?;
            }
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bound: &str, interfaces: &[(&str, &str)]) -> Vec<String> {
        let interfaces: Vec<(IpAddr, String)> =
            interfaces.iter().map(|(ip, name)| (ip.parse().unwrap(), (*name).to_owned())).collect();
        let bound: SocketAddr = bound.parse().unwrap();
        reachable(bound, &interfaces).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_network_before_the_machine_itself() {
        let interfaces = [
            ("127.0.0.1", "lo"),
            ("::1", "lo"),
            ("172.17.0.1", "docker0"),
            ("169.254.7.7", "usb0"),
            ("192.168.1.20", "wlan0"),
            ("fe80::1", "wlan0"),
            ("2001:db8::20", "wlan0"),
        ];
        for bound in ["[::]:8080", "0.0.0.0:8080"] {
            assert_eq!(shown(bound, &interfaces), ["192.168.1.20", "169.254.7.7", "172.17.0.1"]);
        }
        assert_eq!(shown("127.0.0.1:8080", &interfaces), ["127.0.0.1"]);
        assert_eq!(shown("[::1]:8080", &interfaces), ["::1"]);
        assert_eq!(shown("192.168.1.20:8080", &interfaces), ["192.168.1.20"]);
    }

    #[test]
    fn ipv6_where_there_is_no_ipv4() {
        let interfaces = [("::1", "lo"), ("fe80::1", "eth0"), ("2001:db8::20", "eth0")];
        assert_eq!(shown("[::]:80", &interfaces), ["2001:db8::20"]);
        assert_eq!(shown("[::]:80", &interfaces[..2]), ["::1"]);
    }

    #[test]
    fn the_loopback_address_when_there_is_nothing_else() {
        assert_eq!(shown("[::]:80", &[("127.0.0.1", "lo"), ("::1", "lo")]), ["127.0.0.1"]);
        assert_eq!(shown("0.0.0.0:80", &[]), ["127.0.0.1"]);
        assert_eq!(shown("[::]:80", &[]), ["127.0.0.1"]);
    }

    #[test]
    fn a_url_has_brackets_around_ipv6_and_the_real_port() {
        assert_eq!(urls("[::1]:8443".parse().unwrap(), true), ["https://[::1]:8443/"]);
        assert_eq!(urls("127.0.0.1:80".parse().unwrap(), false), ["http://127.0.0.1:80/"]);
    }

    #[test]
    fn only_a_terminal_gets_the_code() {
        let urls = ["http://192.168.1.20:8080/".to_owned(), "http://10.0.0.2:8080/".to_owned()];
        let mut plain = Vec::new();
        print(&mut plain, &urls, &SignInHint::default(), false).unwrap();
        assert_eq!(String::from_utf8(plain).unwrap(), "http://192.168.1.20:8080/\nhttp://10.0.0.2:8080/\n");

        let mut shown = Vec::new();
        print(&mut shown, &urls, &SignInHint::default(), true).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let code: Vec<&str> = shown.lines().skip(2).collect();
        // Version 2, 25 modules, with 4 quiet ones on each side, two in a character above each other.
        assert_eq!(code.len(), 33_usize.div_ceil(2));
        for line in code {
            let modules = line.strip_prefix(BLACK_ON_WHITE).unwrap().strip_suffix(RESET).unwrap();
            assert_eq!(modules.chars().count(), 33);
            assert!(modules.starts_with("    ") && modules.ends_with("    "), "{line}");
        }
    }

    #[test]
    fn how_to_sign_in_stands_below_the_addresses() {
        let urls = ["http://192.168.1.20:8080/".to_owned(), "http://10.0.0.2:8080/".to_owned()];
        let passwords = vec![(Role::Viewer, "aaaa".into()), (Role::Operator, "bbbb".into())];
        let hint = SignInHint { passwords, link: Some("secret".into()) };
        let mut out = Vec::new();
        print(&mut out, &urls, &hint, false).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(
            out.lines().collect::<Vec<_>>(),
            [
                "http://192.168.1.20:8080/",
                "http://10.0.0.2:8080/",
                "password of the viewer: aaaa",
                "password of the operator: bbbb",
                "they are not shown again; `porthole password viewer` and `porthole password operator` set others",
                "sign in: http://192.168.1.20:8080/#sign-in=secret",
            ]
        );
        // The code carries the link, which takes more modules than the address.
        let lines = |hint: &SignInHint| {
            let mut out = Vec::new();
            print(&mut out, &urls, hint, true).unwrap();
            String::from_utf8(out).unwrap().lines().filter(|line| line.starts_with(BLACK_ON_WHITE)).count()
        };
        let secret = "x".repeat(43);
        assert!(lines(&SignInHint { link: Some(secret), ..SignInHint::default() }) > lines(&SignInHint::default()));
    }
}
