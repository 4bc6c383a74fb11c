//! Tests of the network settings, those of the MQTT broker included.

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

#[test]
fn the_keys_of_mqtt_reach_their_fields() {
    let text = r#"
        [mqtt]
        url = "mqtts://homeassistant.local"
        username = "porthole"
        password = "pä ss"
        password_file = "/run/credentials/porthole.service/mqtt"
        ca = "/etc/porthole/ca.pem"
        topic = "home/Büro 1"
        discovery = "ha"
        snapshot_interval = 60
        privacy = "off"
    "#;
    let config = Config::parse(text, "").unwrap().mqtt;
    let expected = mqtt::Config {
        broker: Some(mqtt::BrokerUrl { host: "homeassistant.local".into(), port: 8883, tls: true }),
        username: "porthole".into(),
        password: "pä ss".into(),
        password_file: Some("/run/credentials/porthole.service/mqtt".into()),
        ca: Some("/etc/porthole/ca.pem".into()),
        topic: "home/Büro 1".into(),
        discovery: Some("ha".into()),
        snapshot_interval: 60,
        privacy: mqtt::PrivacyCommands::Off,
    };
    assert_eq!(config, expected);
    assert!(!format!("{config:?}").contains("pä ss"), "{config:?}");
    assert_eq!(Config::parse("[mqtt]\ndiscovery = \"\"", "").unwrap().mqtt.discovery, None);
    assert_eq!(Config::parse("[mqtt]\nurl = \"\"", "").unwrap(), Config::default());
}

#[test]
fn invalid_values_of_mqtt_are_reported() {
    for (text, wrong) in [
        (
            "url = \"http://a\"",
            "mqtt.url = \"http://a\": not the URL of a broker; mqtt:// or, with TLS, mqtts://, the host",
        ),
        ("url = \"mqtt://u:hidden@a\"", "mqtt.url = \"mqtt://***@a\": with a user in it"),
        ("url = 1883", "not text in quotes; such as"),
        ("url = \"mqtt://a\"\npassword = \"hidden\"", "mqtt.username: missing, but there is a password"),
        ("username = \"u\"", "mqtt.url: missing; without the broker's URL"),
        ("password = 1234567", "mqtt.password: not text in quotes"),
        ("password = \"hidden", "porthole.toml:2"),
        ("password_file = \"secret\"", "not a file; an absolute path"),
        (
            "url = \"mqtt://a\"\nca = \"/a.pem\"",
            "mqtt.ca = \"/a.pem\": without effect, as the connection is not encrypted",
        ),
        ("ca = \"ca.pem\"", "not a file; an absolute path"),
        ("topic = \"\"", "not the beginning of a topic"),
        ("topic = \"a/#\"", "not the beginning of a topic"),
        ("discovery = \"/a\"", "not the beginning of a topic"),
        ("privacy = \"ON\"", "not known here; \"set\" to turn the privacy switch on and off"),
        ("snapshot_interval = -1", "seconds from 0 to 86400"),
        ("host = \"a\"", "the broker is url, such as"),
        ("passwrd = \"hidden\"", "mqtt.passwrd = ***: unknown key; did you mean password?"),
        ("pass = \"hidden\"", "mqtt.pass = ***: unknown key"),
        ("pwd = \"hidden\"", "mqtt.pwd = ***: unknown key"),
        ("Passphrase = \"hidden\"", "mqtt.Passphrase = ***: unknown key"),
        ("secret = \"hidden\"", "mqtt.secret = ***: unknown key"),
        ("PASSWORD = \"hidden\"", "mqtt.PASSWORD = ***: unknown key"),
        ("token = [\"hidden\"]", "mqtt.token = ***: unknown key"),
        ("user = \"a\"", "the user's name is username"),
    ] {
        let message = errors(&format!("[mqtt]\n{text}")).join("\n");
        assert!(message.contains(wrong), "{text}: {message}");
        assert!(!message.contains("hidden") && !message.contains("1234567"), "{message}");
    }
}
