//! Suggestions for mistyped names: "did you mean ...?".
//!
//! The wording of the message does not belong here.

/// The known name closest to `name`, if one is close enough: a typo or two, more in long names.
pub fn did_you_mean<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|known| (strsim::osa_distance(name, known), *known)).min()?;
    (near.0 <= 1 + near.1.len() / 4).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised_and_an_unrelated_name_is_not() {
        let known = ["width", "height", "power_line_frequency"];
        assert_eq!(did_you_mean("wdth", &known), Some("width"));
        assert_eq!(did_you_mean("powerline_freqency", &known), Some("power_line_frequency"));
        assert_eq!(did_you_mean("colour", &known), None);
        assert_eq!(did_you_mean("", &[]), None);
    }
}
