//! The cookie of a browser's login session (RFC 6265). The sessions themselves are in `sessions`.

use std::time::Duration;

/// The cookie's name.
pub const NAME: &str = "porthole_session";

/// How many values are looked up. A browser has one, and one more for each other program on the device that uses our
/// name; a header with hundreds is an attack.
pub const MAX_VALUES: usize = 4;

/// The values that a `Cookie` header has under our name. A browser sends at most one per path; further ones may have
/// been set by a program on another port of the same host, so each has to be tried.
pub fn values(header: &str) -> impl Iterator<Item = &str> {
    header.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim();
        (name.trim() == NAME)
            .then(|| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    })
}

/// The `Set-Cookie` header that keeps a session for `age`; `secure` if the connection is encrypted. Scripts cannot read
/// the cookie, and other sites' pages cannot make the browser send it.
pub fn set(secret: &str, age: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{NAME}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", age.as_secs())
}

/// The `Set-Cookie` header that deletes the cookie.
pub fn clear(secure: bool) -> String {
    set("", Duration::ZERO, secure)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(header: &str) -> Vec<&str> {
        values(header).collect()
    }

    #[test]
    fn the_session_is_found_among_others() {
        assert_eq!(all("porthole_session=abc"), ["abc"]);
        assert_eq!(all("a=1; porthole_session=abc ;b=\"2\""), ["abc"]);
        assert_eq!(all("porthole_session=\"abc\"; porthole_session=d=e"), ["abc", "d=e"]);
        for none in ["", ";;;", "=", "porthole_session", "xporthole_session=a", "Porthole_Session=a"] {
            assert_eq!(all(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn what_is_set_is_found_again() {
        let set = set("abc", Duration::from_secs(86_400), true);
        assert_eq!(set, "porthole_session=abc; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(all(set.split(';').next().unwrap()), ["abc"]);
        assert_eq!(clear(false), "porthole_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in "\\PC{0,200}") {
            values(&header).for_each(drop);
        }

        #[test]
        fn it_is_found_whatever_stands_beside_it(before in "[^;]{0,40}", value in "[A-Za-z0-9_-]{1,60}", after in "[^;]{0,40}") {
            let header = format!("{before};{NAME}={value}; {after}");
            prop_assert!(values(&header).any(|found| found == value));
        }
    }
}
