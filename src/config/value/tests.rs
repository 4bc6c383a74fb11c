//! Tests of how values are read.

use super::*;

#[test]
fn addresses_with_and_without_an_ip() {
    assert_eq!(LISTEN.read(":8080").unwrap(), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)));
    assert_eq!(LISTEN.read("0.0.0.0:80").unwrap(), SocketAddr::from(([0, 0, 0, 0], 80)));
    assert_eq!(LISTEN.read("[::1]:0").unwrap(), SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    for wrong in ["", ":", "8080", ":99999", ":+80", "localhost:8080", "::8080", "0.0.0.0"] {
        assert!(LISTEN.read(wrong).unwrap_err().starts_with("not an address; IP and port"), "{wrong}");
    }
}

#[test]
fn camera_names_are_valid_in_a_url() {
    assert_eq!(CAMERA_NAME.read("Front-door_2").unwrap(), "Front-door_2");
    assert!(CAMERA_NAME.read(&"x".repeat(32)).is_ok());
    for wrong in ["", "front door", "a/b", "küche", &"x".repeat(33)] {
        assert!(CAMERA_NAME.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn sound_devices() {
    for right in ["auto", "default", "tone", "off", "hw:1,0", "plug:SLAVE='hw:0,0'"] {
        assert_eq!(SOUND_DEVICE.read(right).unwrap(), right);
    }
    for wrong in ["", "  ", "hw:0\n", "größe", &"x".repeat(129)] {
        assert!(SOUND_DEVICE.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn gains_have_a_unit() {
    for (text, gain) in [
        ("keep", Gain::Keep),
        ("12 dB", Gain::Decibel(12.0)),
        ("-3.5dB", Gain::Decibel(-3.5)),
        ("0 %", Gain::Percent(0)),
        ("100%", Gain::Percent(100)),
    ] {
        assert_eq!(GAIN.read(text).unwrap(), gain);
        assert_eq!(GAIN.read(&gain.to_string()).unwrap(), gain);
    }
    for wrong in ["", "12", "12 db", "dB", "%", "101 %", "-1 %", "1.5 %", "NaN dB", "inf dB", "1e9 dB"] {
        assert!(GAIN.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn hosts_origins_networks_and_interfaces() {
    assert_eq!(HOST.read("Cam.Example.org").unwrap(), "cam.example.org");
    for wrong in ["", "http://a", "a:80", "a..b", "-a", "a b", &"x".repeat(64)] {
        assert!(HOST.read(wrong).is_err(), "{wrong}");
    }
    for right in ["https://example.org", "http://example.org:8080", "https://[2001:db8::1]:8443", "*"] {
        assert_eq!(ORIGIN.read(right).unwrap(), right);
    }
    for wrong in ["", "example.org", "ftp://a", "https://a/", "https://a:x", "https://[x]", "null"] {
        assert!(ORIGIN.read(wrong).is_err(), "{wrong}");
    }
    assert_eq!(NETWORK.read("10.0.0.1").unwrap(), "10.0.0.1/32".parse().unwrap());
    assert_eq!(NETWORK.read("fd00::/8").unwrap(), "fd00::/8".parse().unwrap());
    assert!(NETWORK.read("10.0.0.0/33").is_err());
    assert_eq!(INTERFACE.read("wlan*").unwrap(), "wlan*");
    assert!(INTERFACE.read("a/b").is_err());
    assert_eq!(DIRECTORY.read("").unwrap(), None);
    assert!(DIRECTORY.read("relative").is_err());
}

#[test]
fn advertised_addresses_with_and_without_a_port() {
    for (text, host, port) in [
        ("203.0.113.5", "203.0.113.5", None),
        ("203.0.113.5:40000", "203.0.113.5", Some(40_000)),
        ("2001:db8::5", "2001:db8::5", None),
        ("[2001:db8::5]:40000", "2001:db8::5", Some(40_000)),
        ("Cam.example.org", "cam.example.org", None),
        ("cam.example.org:40000", "cam.example.org", Some(40_000)),
    ] {
        assert_eq!(ADVERTISED.read(text).unwrap(), Advertised { host: host.into(), port });
    }
    for wrong in ["", "0.0.0.0", "203.0.113", "203.0.113.5:0", "a:b", "a:70000", "[::]:1", "224.0.0.1", "a b"] {
        assert!(ADVERTISED.read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn leds_chips_and_commands() {
    assert_eq!(LED.read("led0:green").unwrap(), "led0:green");
    for wrong in ["", "a/b", "..", ".", "a b", &"x".repeat(65)] {
        assert!(LED.read(wrong).is_err(), "{wrong}");
    }
    for show in Indicator::ALL {
        assert_eq!(SHOW.read(show.name()).unwrap(), show);
        assert!(SHOW.right.contains(show.name()));
    }
    assert_eq!(GPIO_CHIP.read("").unwrap(), None);
    assert_eq!(GPIO_CHIP.read("/dev/gpiochip1").unwrap().as_deref(), Some("/dev/gpiochip1"));
}

#[test]
fn each_format_is_parsed_by_its_own_name() {
    for format in PixelFormat::ALL {
        assert_eq!(PIXEL_FORMAT.read(format.name()).unwrap(), Some(format));
    }
    assert_eq!(PIXEL_FORMAT.read("auto").unwrap(), None);
    assert!(PIXEL_FORMAT.read("H265").is_err());
}
