//! Tests of the sections of lamps and buttons.

use super::*;
use crate::device::gpio;
use crate::device::leds::{Indicator, LedTarget};

#[test]
fn lamps_and_buttons_are_at_pins_or_of_the_kernel() {
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
fn wrong_lamps_and_buttons_are_told() {
    for (text, wrong) in [
        ("[[led]]", ":1: led[0].gpio: missing, as is sysfs; one of the two tells which lamp is meant"),
        ("[[led]]\ngpio = 2000", ":2: led[0].gpio = 2000: out of range; the pin's number from 0 to 1023"),
        (
            "[[led]]\ngpio = 1\nsysfs = \"ACT\"",
            ":3: led[0].sysfs = \"ACT\": beside gpio; a section has one lamp, so write another [[led]] for the other",
        ),
        (
            "[[led]]\nsysfs = \"ACT\"\nchip = \"gpiochip0\"",
            ":3: led[0].chip = \"gpiochip0\": of a pin, and this lamp is an LED of the kernel; take it out",
        ),
        (
            "[[led]]\nsysfs = \"../x\"",
            ":2: led[0].sysfs = \"../x\": not an LED; a name in /sys/class/leds, such as ACT",
        ),
        (
            "[[led]]\ngpio = 1\nshow = \"all\"",
            ":3: led[0].show = \"all\": not what a lamp can show; ready, watched, fault, camera or privacy",
        ),
        (
            "[[led]]\ngpio = 1\nshow = \"recording\"",
            ":3: led[0].show = \"recording\": not what a lamp can show; ready, watched, fault, camera or privacy",
        ),
        (
            "[[led]]\ngpio = 1\nshow = \"talk\"",
            ":3: led[0].show = \"talk\": not what a lamp can show; ready, watched, fault, camera or privacy",
        ),
        ("[[button]]\npress = \"privacy.toggle\"", ":1: button[0].gpio: missing; it tells at which pin the button is"),
        (
            "[[button]]\ngpio = 1",
            ":1: button[0].press: missing, as is release; one of the two tells what the button does",
        ),
        (
            "[[button]]\ngpio = 1\npress = \"privacy.set on\"",
            ":3: button[0].press = \"privacy.set on\": not a command: expected value at line 1 column 1; a method, and its \
             parameters where it has any, such as 'privacy.toggle' or 'privacy.set {\"on\": true}'",
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
            ":3: button[0].press = \"snapshot\": snapshot is of the session of a viewer, and a button has none; photo.take \
             keeps a picture on the board",
        ),
    ] {
        assert_eq!(errors(text), [format!("porthole.toml{wrong}")]);
    }
}
