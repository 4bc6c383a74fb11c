//! Motion detection: the section `[camera.motion]`, below that of its camera.
//!
//! What it does is in `media::motion`.

use toml::Spanned;
use toml::de::DeValue;

use super::reader::ConfigSection;
use crate::media::motion;
use crate::media::motion::PictureRect;

/// The most rectangles in a list: more than anybody draws.
const MAX_RECTS: usize = 32;

/// Reads the section.
pub(super) fn read(section: &mut ConfigSection<'_, '_>, config: &mut motion::Config) {
    section.flag("enabled", &mut config.enabled);
    section.number("sensitivity", &mut config.sensitivity, 1..=100, 1, "sensitivity");
    // A minute; what moves for longer is no event any more.
    section.number("min_duration", &mut config.min_duration, 0..=60_000, 1, "milliseconds");
    section.value("include", &mut config.include, rects);
    section.value("exclude", &mut config.exclude, rects);
    if !config.enabled
        && let Some(key) =
            ["sensitivity", "min_duration", "include", "exclude"].into_iter().find(|key| section.has(key))
        && !section.has("enabled")
    {
        section.reject(key, "", "without effect, as motion is not looked for; add enabled = true");
    }
}

/// A list of rectangles.
fn rects(value: &DeValue<'_>) -> Result<Vec<PictureRect>, String> {
    let right = "a list of rectangles [left, top, width, height] in fractions of the picture, such as [[0, 0.5, 1, 0.5]] for its \
                 lower half";
    let DeValue::Array(items) = value else { return Err(format!("not {right}")) };
    if items.len() > MAX_RECTS {
        return Err(format!("{} rectangles, and {MAX_RECTS} are the most; combine some", items.len()));
    }
    items.iter().map(|item| rect(item).ok_or_else(|| format!("not {right}"))).collect()
}

/// A rectangle inside the picture.
fn rect(value: &Spanned<DeValue<'_>>) -> Option<PictureRect> {
    let sides: Vec<f32> =
        value.get_ref().as_array()?.iter().map(|side| fraction(side.get_ref())).collect::<Option<_>>()?;
    let [x, y, width, height] = sides[..] else { return None };
    // With a margin for sums of rounded fractions.
    let is_inside = x + width <= 1.001 && y + height <= 1.001 && width > 0.0 && height > 0.0;
    is_inside.then_some(PictureRect { x, y, width, height })
}

/// A number from 0 to 1.
fn fraction(value: &DeValue<'_>) -> Option<f32> {
    let text = match value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        _ => return None,
    };
    text.parse().ok().filter(|number| (0.0..=1.0).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config as All;

    fn read(text: &str) -> Result<Vec<motion::Config>, String> {
        let config = All::parse(text, "porthole.toml").map_err(|errors| errors.to_string())?;
        Ok(config.cameras.into_iter().map(|camera| camera.motion).collect())
    }

    #[test]
    fn each_camera_has_its_own_section() {
        let text = "[[camera]]\nname = \"a\"\n[camera.motion]\nenabled = true\nsensitivity = 70\nmin_duration = 0\n\
                    include = [[0, 0.5, 1, 0.5]]\nexclude = [[0.1, 0.2, 0.3, 0.4], [0, 0, 1e-1, 0.1]]\n\
                    [[camera]]\nname = \"b\"\n";
        let rect = |x, y, width, height| PictureRect { x, y, width, height };
        let first = motion::Config {
            enabled: true,
            sensitivity: 70,
            min_duration: 0,
            include: vec![rect(0.0, 0.5, 1.0, 0.5)],
            exclude: vec![rect(0.1, 0.2, 0.3, 0.4), rect(0.0, 0.0, 0.1, 0.1)],
        };
        assert_eq!(read(text).expect("valid"), [first, motion::Config::default()]);
    }

    #[test]
    fn mistakes_are_named() {
        let many = format!("enabled = true\ninclude = [{}]", "[0, 0, 1, 1],".repeat(33));
        for (text, expected) in [
            ("sensitivity = 0", "camera[0].motion.sensitivity = 0: out of range; sensitivity from 1 to 100"),
            ("sensitivity = 60", "camera[0].motion.sensitivity = 60: without effect, as motion is not looked for; add"),
            ("sensitvity = 60", "camera[0].motion.sensitvity = 60: unknown key; did you mean sensitivity?"),
            ("min_duration = -1", "camera[0].motion.min_duration = -1: out of range; milliseconds from 0 to 60000"),
            ("exclude = [0, 0, 1, 1]", "camera[0].motion.exclude = [0, 0, 1, 1]: not a list of rectangles [left, top,"),
            ("include = [[0, 0, 1]]", "not a list of rectangles"),
            ("include = [[0.5, 0, 0.6, 1]]", "not a list of rectangles"),
            ("include = [[0, 0, 0, 1]]", "not a list of rectangles"),
            ("include = [[nan, 0, 1, 1]]", "not a list of rectangles"),
            ("include = [[0x0, 0, 1, 1]]", "not a list of rectangles"),
            ("include = \"all\"", "not a list of rectangles"),
            (&many, "33 rectangles, and 32 are the most"),
        ] {
            let errors = read(&format!("[[camera]]\n[camera.motion]\n{text}\n")).expect_err(text);
            assert!(errors.contains(expected) && errors.lines().count() == 1, "{errors}");
        }
        let errors = read("[[camera]]\nmotion = true").expect_err("no section");
        assert!(errors.contains("camera[0].motion = true: not a section; write [camera.motion] on"), "{errors}");
    }
}
