//! Parses the `If-Match` header (RFC 9110 section 13.1.1), for the strong comparison that it requires. Pure.

use warp::http::{HeaderMap, header};

/// What a request requires of the session's entity tag.
#[derive(Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such header.
    Missing,
    /// `*`: any tag; in WHEP it requests an ICE restart.
    Any,
    /// One of these, without their quotes. A weak tag never matches and is left out.
    OneOf(Vec<String>),
    /// The header cannot be parsed.
    Malformed,
}

impl Precondition {
    /// Parses the headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
        if values.peek().is_none() {
            return Self::Missing;
        }
        let mut all = String::new();
        for value in values {
            let Ok(text) = value.to_str() else { return Self::Malformed };
            if !all.is_empty() {
                all.push(',');
            }
            all.push_str(text);
        }
        if all.trim() == "*" {
            return Self::Any;
        }
        tags(&all).map_or(Self::Malformed, Self::OneOf)
    }
}

/// The strong tags of a list; `None` if it is not a list of tags.
fn tags(text: &str) -> Option<Vec<String>> {
    let mut strong = Vec::new();
    let mut rest = text.trim_start();
    let mut any = false;
    while !rest.is_empty() {
        // A list may have empty members (RFC 9110 section 5.6.1.2).
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            continue;
        }
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if tag.bytes().any(|b| b == b' ' || b.is_ascii_control()) {
            return None;
        }
        if !weak {
            strong.push(tag.to_owned());
        }
        any = true;
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
    any.then_some(strong)
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Precondition {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_str(value).unwrap());
        }
        Precondition::of(&headers)
    }

    fn one_of(tags: &[&str]) -> Precondition {
        Precondition::OneOf(tags.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tags_lists_and_the_star() {
        assert_eq!(of(&[]), Precondition::Missing);
        assert_eq!(of(&["*"]), Precondition::Any);
        assert_eq!(of(&[" * "]), Precondition::Any);
        assert_eq!(of(&["\"a\""]), one_of(&["a"]));
        assert_eq!(of(&["\"a\", \"b\""]), one_of(&["a", "b"]));
        assert_eq!(of(&["\"a\" , , \"b,c\"", "\"d\""]), one_of(&["a", "b,c", "d"]));
        assert_eq!(of(&["\"\""]), one_of(&[""]));
    }

    #[test]
    fn a_weak_tag_matches_nothing() {
        assert_eq!(of(&["W/\"a\""]), one_of(&[]));
        assert_eq!(of(&["W/\"a\", \"b\""]), one_of(&["b"]));
    }

    #[test]
    fn anything_else_is_malformed() {
        for wrong in ["", ",", "a", "\"a", "a\"", "\"a\" \"b\"", "\"a\";", "*, \"a\"", "w/\"a\"", "\"a b\"", "W/", "é"]
        {
            assert_eq!(of(&[wrong]), Precondition::Malformed, "{wrong}");
        }
    }
}
