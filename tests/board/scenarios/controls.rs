//! Camera controls: listed as by `v4l2-ctl`, set and read back, validated with helpful errors, and set at every open.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::frame_content::Scene;
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::Observer;
use crate::scenarios::CONFIGURATION;

/// The flags that both programs report; the others concern display or notification.
const FLAGS: [&str; 6] = ["disabled", "grabbed", "read-only", "inactive", "write-only", "volatile"];

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_controls_are_listed_set_and_validated() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));

        let theirs = listed(&board.sh("v4l2-ctl -d /dev/video0 --list-ctrls-menus"));
        assert!(theirs.len() > 20, "v4l2-ctl should list vivid's controls: {theirs:?}");
        let ours: Value = serde_json::from_str(&board.sh("porthole controls /dev/video0 --json")).expect("JSON");
        let ours: Vec<Value> = ours.as_array().expect("a list").iter().map(comparable).collect();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "porthole's word and v4l2-ctl's");
        }
        assert_eq!(ours.len(), theirs.len());

        for (control, value, read) in [
            ("brightness", "200", "200"),
            ("hue", "-5", "-5"),
            ("mute", "true", "1"),
            ("menu", "'Menu Item 4'", "4 (Menu Item 4)"),
            ("integer_menu", "8", "8 (42 0x2a)"),
            ("integer_64_bits", "-9000000000", "-9000000000"),
            ("string", "abc", "'abc'"),
            ("bitmask", "0x402000", "4202496"),
            ("percentage_of_dropped_buffers", "7", "7"),
        ] {
            board.sh(&format!("porthole controls /dev/video0 {control}={value}"));
            let answer = board.sh(&format!("v4l2-ctl -d /dev/video0 -C {control}"));
            assert_eq!(answer.trim(), format!("{control}: {read}"));
        }

        for (wrong, right) in [
            ("brightness=256", "brightness = 256: out of range; 0 to 255 in steps of 1"),
            ("menu=2", "1: Menu Item 1, 3: Menu Item 3, 4: Menu Item 4"),
            ("read_only_integer_32_bits=1", "read-only"),
            ("brightnes=1", "did you mean brightness?"),
        ] {
            let printed = board.sh(&format!("! porthole controls /dev/video0 {wrong}"));
            assert!(printed.contains(right), "{wrong}: {printed}");
        }
        assert_eq!(board.sh("v4l2-ctl -d /dev/video0 -C brightness").trim(), "brightness: 200");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn configured_controls_are_set_at_every_open() {
    isolated(|| {
        // The volume does not change the image.
        let board = Board::boot(Guest::with_porthole(
            &CONFIGURATION.replace("[audio]", "[camera.controls]\nvolume = 11\n\n[audio]"),
        ));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_scene(Scene::Bars);
        assert_eq!(board.sh("v4l2-ctl -d /dev/video0 -C volume").trim(), "volume: 11");

        // A rebound driver has lost it.
        board.unplug_cameras();
        viewer.expect_scene(Scene::Placeholder);
        board.plug_cameras();
        viewer.expect_scene(Scene::Bars);
        assert_eq!(board.sh("v4l2-ctl -d /dev/video0 -C volume").trim(), "volume: 11");
    });
}

/// The output of `v4l2-ctl --list-ctrls-menus`, converted to porthole's JSON:
///
/// ```text
/// User Controls
///
///                      brightness 0x00980900 (int)    : min=0 max=255 step=1 default=128 value=128 flags=slider
///                            menu 0x0098f904 (menu)   : min=1 max=4 default=3 value=3 (Menu Item 3)
///                 1: Menu Item 1
/// ```
fn listed(text: &str) -> Vec<Value> {
    let mut controls: Vec<Value> = Vec::new();
    let mut class = "";
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((head, facts)) = line.split_once(':') else {
            class = line.trim();
            continue;
        };
        let head: Vec<&str> = head.split_whitespace().collect();
        if let [index] = head[..] {
            // An entry of an integer menu also has a hexadecimal value.
            let name = facts.trim().split(" (0x").next().unwrap_or_default();
            let index: i64 = index.parse().expect("an entry should have a number");
            let menu = controls.last_mut().and_then(|control| control["menu"].as_array_mut());
            menu.expect("an entry should follow its menu").push(json!({ "index": index, "name": name }));
            continue;
        }
        let (name, id) = (head[0], u32::from_str_radix(head[1].trim_start_matches("0x"), 16).expect("a number"));
        let kind = head[2].trim_matches(['(', ')']);
        let facts: BTreeMap<&str, &str> = facts.split(' ').filter_map(|fact| fact.split_once('=')).collect();
        let flags = line.split_once("flags=").map_or("", |(_, flags)| flags);
        let flags: BTreeSet<&str> = flags.split(", ").filter(|flag| FLAGS.contains(flag)).collect();
        let number = |fact: &str| facts.get(fact).map_or(Value::Null, |text| integer(text));
        let value = |fact: &str| match kind {
            "bool" => json!(facts.get(fact) == Some(&"1")),
            "str" => json!(line.split('\'').nth(1)),
            // Bitmasks are printed as signed numbers.
            "bitmask" => json!(number(fact).as_i64().map(|bits| bits as u32)),
            _ => number(fact),
        };
        let (kind, facts) = match kind {
            "int" => {
                ("integer", json!([number("min"), number("max"), number("step"), value("default"), value("value")]))
            }
            "int64" => {
                ("integer64", json!([number("min"), number("max"), number("step"), value("default"), value("value")]))
            }
            "bool" => ("boolean", json!([value("default"), value("value")])),
            "menu" => ("menu", json!([number("min"), number("max"), value("default"), value("value")])),
            "intmenu" => ("integer-menu", json!([number("min"), number("max"), value("default"), value("value")])),
            "bitmask" => ("bitmask", json!([number("max"), value("default"), value("value")])),
            "str" => ("string", json!([number("min"), number("max"), number("step"), value("value")])),
            "button" => ("button", json!([])),
            _ => ("compound", json!([])),
        };
        let facts = if flags.contains("volatile") { json!([]) } else { facts };
        let control =
            json!({ "class": class, "name": name, "id": id, "type": kind, "facts": facts, "flags": flags, "menu": [] });
        controls.push(control);
    }
    controls
}

fn integer(text: &str) -> Value {
    match text.strip_prefix("0x") {
        Some(digits) => json!(i64::from_str_radix(digits, 16).expect("a hexadecimal number")),
        None => json!(text.parse::<i64>().expect("a number")),
    }
}

/// A control from porthole's JSON in the form of [`listed`].
fn comparable(control: &Value) -> Value {
    let facts: &[&str] = match control["type"].as_str().expect("a type") {
        "integer" | "integer64" => &["min", "max", "step", "default", "value"],
        "boolean" => &["default", "value"],
        "menu" | "integer-menu" => &["min", "max", "default", "value"],
        "bitmask" => &["max", "default", "value"],
        "string" => &["min", "max", "step", "value"],
        _ => &[],
    };
    let flags: BTreeSet<&str> = control["flags"].as_array().expect("flags").iter().filter_map(Value::as_str).collect();
    // Volatile values may change between the two programs.
    let facts = if flags.contains("volatile") { &[] } else { facts };
    let facts: Vec<&Value> = facts.iter().map(|fact| &control[*fact]).collect();
    json!({
        "class": control["class"], "name": control["name"], "id": control["id"], "type": control["type"],
        "facts": facts, "flags": flags, "menu": control["menu"],
    })
}
