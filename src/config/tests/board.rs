//! Tests of the sections of LEDs and buttons.

use super::*;
use crate::device::gpio;
use crate::device::leds::{Indicator, LedTarget};

#[test]
fn leds_and_buttons_are_at_gpio_pins_or_in_sysfs() {
    let text = r#"
        [privacy]
        on = true
        [[led]]
        gpio = 17
        [[led]]
        gpio = 3
        chip = "gpiochip1"
        active_low = true
        show = "fault"
        brightness = 30
        [[led]]
        sysfs = "ACT"
        show = "watched"
        [[button]]
        gpio = 27
        press = "privacy.toggle"
        [[button]]
        gpio = 22
        active_low = false
        debounce = 5
        press = 'privacy.set {"on":true}'
        release = 'privacy.set {"on":false}'
    "#;
    let config = Config::parse(text, "").unwrap();
    assert!(config.privacy.on);
    let pin = |chip: Option<&str>, line, active_low| gpio::GpioPin { chip: chip.map(Into::into), line, active_low };
    assert_eq!(
        config.leds,
        [
            leds::Config { target: LedTarget::Gpio(pin(None, 17, false)), show: Indicator::Ready, brightness: 100 },
            leds::Config {
                target: LedTarget::Gpio(pin(Some("gpiochip1"), 3, true)),
                show: Indicator::Fault,
                brightness: 30
            },
            leds::Config { target: LedTarget::Sysfs("ACT".into()), show: Indicator::Watched, brightness: 100 },
        ]
    );
    let request = |text: &str| Some(text.to_owned());
    let set = |on: bool| request(&format!(r#"{{"method":"privacy.set","params":{{"on":{on}}}}}"#));
    assert_eq!(
        config.buttons,
        [
            buttons::Config {
                pin: pin(None, 27, true),
                debounce: Duration::from_millis(30),
                press: request(r#"{"method":"privacy.toggle","params":{}}"#),
                release: None,
            },
            buttons::Config {
                pin: pin(None, 22, false),
                debounce: Duration::from_millis(5),
                press: set(true),
                release: set(false),
            },
        ]
    );
}

#[test]
fn invalid_leds_and_buttons_are_reported() {
    for (text, wrong) in [
        ("[[led]]", ":1: led[0].gpio: missing, and so is sysfs; set one of them to select the LED"),
        ("[[led]]\ngpio = 2000", ":2: led[0].gpio = 2000: out of range; the pin's number from 0 to 1023"),
        (
            "[[led]]\ngpio = 1\nsysfs = \"ACT\"",
            ":3: led[0].sysfs = \"ACT\": not allowed together with gpio; add another [[led]] section for a second LED",
        ),
        (
            "[[led]]\nsysfs = \"ACT\"\nchip = \"gpiochip0\"",
            ":3: led[0].chip = \"gpiochip0\": only valid with gpio, but this is a kernel LED; remove the key",
        ),
        (
            "[[led]]\nsysfs = \"../x\"",
            ":2: led[0].sysfs = \"../x\": not an LED; a name in /sys/class/leds, such as ACT",
        ),
        (
            "[[led]]\ngpio = 1\nshow = \"all\"",
            ":3: led[0].show = \"all\": not an LED indicator; ready, watched, fault, camera, privacy, recording or talk",
        ),
        ("[[button]]\npress = \"privacy.toggle\"", ":1: button[0].gpio: missing; the number of the button's pin"),
        (
            "[[button]]\ngpio = 1",
            ":1: button[0].press: missing, and so is release; set one of them to the button's command",
        ),
        (
            "[[button]]\ngpio = 1\npress = \"privacy.set on\"",
            ":3: button[0].press = \"privacy.set on\": not a command: expected value at line 1 column 1; a method with its \
             parameters, if any, such as 'privacy.toggle' or 'privacy.set {\"on\": true}'",
        ),
        (
            "[[button]]\ngpio = 1\npress = \"privacy.togle\"",
            ":3: button[0].press = \"privacy.togle\": no method is called \"privacy.togle\"; did you mean privacy.toggle?",
        ),
        (
            "[[button]]\ngpio = 1\npress = \"privacy.set\"",
            ":3: button[0].press = \"privacy.set\": privacy.set needs the parameter on: true or false",
        ),
        (
            "[[button]]\ngpio = 1\npress = \"snapshot\"",
            ":3: button[0].press = \"snapshot\": snapshot needs a viewer's session, which a button does not have; photo.take \
             stores a photo on the device",
        ),
    ] {
        assert_eq!(errors(text), [format!("porthole.toml{wrong}")]);
    }
}

#[test]
fn a_pin_or_an_led_in_two_sections_is_reported() {
    let text = r#"
        [[led]]
        gpio = 17
        [[led]]
        gpio = 17
        show = "fault"
        [[led]]
        gpio = 17
        chip = "gpiochip1"
        [[led]]
        sysfs = "ACT"
        [[led]]
        sysfs = "ACT"
        [[button]]
        gpio = 17
        press = "privacy.toggle"
        [[button]]
        gpio = 17
        chip = "/dev/gpiochip1"
        press = "privacy.toggle"
        [[button]]
        gpio = 18
        press = "privacy.toggle"
    "#;
    let pin = |section: &str, user: &str| {
        format!("{section}.gpio = 17: {user} uses this pin already; give each LED and each button a pin of its own")
    };
    assert_eq!(
        errors(text),
        [
            format!("porthole.toml:5: {}", pin("led[1]", "led[0]")),
            "porthole.toml:13: led[4].sysfs = \"ACT\": led[3] uses this LED already; an LED shows one thing".into(),
            format!("porthole.toml:15: {}", pin("button[0]", "led[0]")),
            format!("porthole.toml:18: {}", pin("button[1]", "led[2]")),
        ]
    );
}
