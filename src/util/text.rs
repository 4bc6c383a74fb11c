//! Text from people and devices: one form for what looks the same, and nothing in it that cannot be seen.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// The text in Unicode's Normalization Form C: keyboards and systems write "é" as one character or as two.
pub fn nfc(text: &str) -> Cow<'_, str> {
    const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    NFC.normalize(text)
}

/// A name on one line, as others see it: normalised, and without characters that cannot be seen or that change the order
/// of what stands beside them. Two names that look the same are therefore hardly ever different.
pub fn name(text: &str) -> String {
    let mut before = ' ';
    let mut seen = |c: char| {
        // Emoji and the scripts of India and Persia need joiners, but not between letters of others.
        let joiner = is_joiner(c) && !before.is_ascii() && !is_joiner(before);
        before = c;
        joiner || !is_invisible(c)
    };
    let visible: String = text.chars().filter(|c| seen(*c)).collect();
    nfc(visible.trim()).into_owned()
}

/// A text on any number of lines, without control characters and those that change the order of others, such as U+202E.
pub fn lines(text: &str) -> String {
    let seen = |c: &char| matches!(c, '\n' | '\t') || is_joiner(*c) || is_mark(*c) || !is_invisible(*c);
    text.chars().filter(seen).collect::<String>().trim().to_owned()
}

/// Whether the character cannot be seen: controls, and what formats the text around it.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || is_joiner(c)
        || is_mark(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Joins letters, or keeps them apart.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// A mark for the direction of a single place, which people type in texts of both directions.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_look_the_same_are_the_same() {
        for (text, expected) in [
            ("  Ann ", "Ann"),
            ("An\u{200d}n\u{200b}", "Ann"),
            ("\u{202e}nnA", "nnA"),
            ("\u{2067}Ann\u{2069}\u{feff}", "Ann"),
            ("Ann\u{200e}", "Ann"),
            ("A\u{e0041}nn", "Ann"),
            ("e\u{301}", "\u{e9}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{1f469}\u{200d}\u{1f680}", "\u{1f469}\u{200d}\u{1f680}"),
            ("\u{645}\u{6cc}\u{200c}\u{62e}", "\u{645}\u{6cc}\u{200c}\u{62e}"),
            ("\u{202e}\u{200b} ", ""),
        ] {
            assert_eq!(name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_keep_their_lines_and_marks() {
        assert_eq!(lines(" a\n\tb\u{200f} \u{202e}c\u{7}\u{2066} "), "a\n\tb\u{200f} c");
        assert_eq!(lines("\u{202e}\u{200b}"), "");
    }

    proptest! {
        #[test]
        fn a_name_is_visible_and_stays_as_it_is(text in "(\\PC|[\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}]){0,40}") {
            let name = name(&text);
            prop_assert!(!name.chars().any(|c| is_invisible(c) && !is_joiner(c)), "{name:?}");
            prop_assert_eq!(super::name(&name), name.as_str());
        }
    }
}
