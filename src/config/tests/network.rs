//! Tests of the network settings.

use super::*;
use crate::server::rtc;

#[test]
fn network_keys_reach_their_fields() {
    let text = r#"
        [state]
        directory = "/var/lib/p"
        [http]
        tls = { cert = "/a.pem", key = "/b.pem" }
        redirect = false
        hosts = ["Cam.example.org"]
        origins = ["https://example.org"]
        trusted_proxies = ["127.0.0.1"]
        [auth]
        mode = "none"
        session_days = 1
        [rtc]
        udp_port = 0
        tcp = false
        interfaces = ["eth0"]
        exclude_interfaces = []
        networks = ["10.0.0.0/8"]
        advertise = ["203.0.113.5:1"]
        ice_servers = [{ urls = "stun:a" }, { urls = ["turn:b", "turns:b"], secret = "s" }]
    "#;
    let config = Config::parse(text, "").unwrap();
    assert_eq!(config.state_directory, Some("/var/lib/p".into()));
    assert_eq!(
        config.http,
        http::Config {
            tls: http::Tls::Files { cert: "/a.pem".into(), key: "/b.pem".into() },
            redirect: false,
            hosts: vec!["cam.example.org".into()],
            origins: vec!["https://example.org".into()],
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
            ..http::Config::default()
        }
    );
    assert_eq!(config.auth, auth::Config { mode: auth::Mode::None, session_days: 1 });
    let server = |urls: &[&str], secret: Option<&str>| rtc::IceServer {
        urls: urls.iter().map(|url| (*url).into()).collect(),
        secret: secret.map(Into::into),
        ..rtc::IceServer::default()
    };
    assert_eq!(
        config.rtc,
        rtc::Config {
            udp_port: 0,
            tcp: false,
            interfaces: vec!["eth0".into()],
            exclude_interfaces: Vec::new(),
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            advertise: vec![rtc::Advertised { host: "203.0.113.5".into(), port: Some(1) }],
            ice_servers: vec![server(&["stun:a"], None), server(&["turn:b", "turns:b"], Some("s"))],
            ..rtc::Config::default()
        }
    );
    assert_eq!(Config::parse("http.tls = \"self-signed\"", "").unwrap().http.tls, http::Tls::SelfSigned);
}

#[test]
fn invalid_network_values_are_reported() {
    for (text, wrong) in [
        ("http.tls = \"on\"", "unknown; \"off\", \"self-signed\""),
        ("http.tls = { cert = \"a\" }", "key is missing"),
        ("http.tls = { cart = \"a\" }", "cart is unknown here; known are cert, key"),
        ("http.hosts = \"a\"", "not a list of texts in quotes; letters"),
        ("http.hosts = [1]", "not a list of texts in quotes; letters"),
        ("http.hosts = [\"a b\"]", "\"a b\" is not a host name; letters"),
        ("rtc.ice_servers = 1", "not a list"),
        ("rtc.ice_servers = [1]", "not a table"),
        ("rtc.ice_servers = [{ url = \"stun:a\" }]", "url is unknown here"),
        ("rtc.ice_servers = [{}]", "urls is missing"),
        ("rtc.ice_servers = [{ urls = \"http://a\" }]", "\"http://a\" is no URL"),
        ("rtc.ice_servers = [{ urls = \"turn:a\" }]", "TURN wants either"),
        (
            "rtc.ice_servers = [{ urls = \"turn:a\", username = \"u\", credential = \"c\", secret = \"s\" }]",
            "TURN wants either",
        ),
    ] {
        let message = errors(text).join("\n");
        assert!(message.contains(wrong), "{text}: {message}");
    }
}
