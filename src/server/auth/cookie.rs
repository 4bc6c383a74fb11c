//! The cookie of a browser's login session (RFC 6265). The sessions themselves are in `sessions`.

use std::time::Duration;

use crate::util::state_dir::StateDir;

/// What the cookie's name starts with, and the whole name in earlier versions. Browsers send a host's cookies to all its
/// ports, so two programs on one host must not use the same name.
pub const PREFIX: &str = "porthole_session";

/// The file in the state directory with the rest of the name.
const FILE: &str = "instance";

/// Length of the rest: among a million devices behind one host name it would hardly occur twice.
const ID_LENGTH: usize = 8;

/// How many values are looked up. A browser has one, and one more of an earlier version, or of another program on the
/// host that uses our name; a header with hundreds is an attack.
pub const MAX_VALUES: usize = 4;

/// The cookie's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name of the program with this state directory. If it cannot be stored, neither can sessions, and it is valid
    /// as long as they are.
    pub fn load(store: &StateDir) -> Self {
        let stored = store.read(FILE).inspect_err(|error| tracing::debug!("{error:#}")).ok().flatten();
        let stored = stored.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.trim().to_owned());
        let valid = |id: &String| id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = stored.filter(valid).unwrap_or_else(|| {
            let id = format!("{:08x}", rand::random::<u32>());
            if let Err(error) = store.write(FILE, format!("{id}\n").as_bytes()) {
                tracing::debug!("{error:#}");
            }
            id
        });
        Self::with_id(&id)
    }

    /// The name with this ID.
    pub fn with_id(id: &str) -> Self {
        Self(format!("{PREFIX}_{id}"))
    }

    /// The values that a `Cookie` header has under our name, or under that of earlier versions. A browser sends at most
    /// one per path; others may have been set by another program on the same host, so each has to be tried.
    pub fn values<'h>(&self, header: &'h str) -> impl Iterator<Item = &'h str> + use<'_, 'h> {
        let ours = pairs(header).filter(|(name, _)| *name == self.0);
        ours.chain(pairs(header).filter(|(name, _)| *name == PREFIX)).map(|(_, value)| value)
    }

    /// The `Set-Cookie` header that keeps a session for `age`; `secure` if the connection is encrypted. Scripts cannot
    /// read the cookie, and other sites' pages cannot make the browser send it.
    pub fn set(&self, secret: &str, age: Duration, secure: bool) -> String {
        set(&self.0, secret, age, secure)
    }

    /// The `Set-Cookie` header that deletes the cookie.
    pub fn clear(&self, secure: bool) -> String {
        self.set("", Duration::ZERO, secure)
    }
}

/// The names and values in a `Cookie` header.
fn pairs(header: &str) -> impl Iterator<Item = (&str, &str)> {
    header.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some((name.trim(), bare.unwrap_or(value)))
    })
}

/// The value under the name of earlier versions, which another program on the host may have set.
pub fn earlier(header: &str) -> Option<&str> {
    pairs(header).find(|(name, _)| *name == PREFIX).map(|(_, value)| value)
}

/// The `Set-Cookie` header that deletes the cookie of an earlier version.
pub fn clear_earlier(secure: bool) -> String {
    set(PREFIX, "", Duration::ZERO, secure)
}

fn set(name: &str, secret: &str, age: Duration, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", age.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> Name {
        Name::with_id("0123abcd")
    }

    fn all(header: &str) -> Vec<&str> {
        name().values(header).collect()
    }

    #[test]
    fn the_session_is_found_among_others() {
        assert_eq!(all("porthole_session_0123abcd=abc"), ["abc"]);
        assert_eq!(all("a=1; porthole_session_0123abcd=abc ;b=\"2\""), ["abc"]);
        assert_eq!(all("porthole_session_0123abcd=\"abc\"; porthole_session_0123abcd=d=e"), ["abc", "d=e"]);
        assert_eq!(all("porthole_session=old; porthole_session_0123abcd=new"), ["new", "old"]);
        for none in ["", ";;;", "=", "porthole_session", "xporthole_session=a", "porthole_session_9999abcd=a"] {
            assert_eq!(all(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn what_is_set_is_found_again() {
        let set = name().set("abc", Duration::from_secs(86_400), true);
        assert_eq!(set, "porthole_session_0123abcd=abc; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(all(set.split(';').next().unwrap()), ["abc"]);
        assert_eq!(name().clear(false), "porthole_session_0123abcd=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    }

    #[test]
    fn each_state_directory_keeps_a_name_of_its_own() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let stores = [0, 1].map(|index: usize| StateDir::open(Some(folders[index].path())));
        let names = stores.each_ref().map(Name::load);
        assert_ne!(names[0], names[1]);
        assert_eq!(stores.each_ref().map(Name::load), names);
        stores[0].write(FILE, b"x; Path=/evil\n").unwrap();
        let replaced = Name::load(&stores[0]);
        assert_eq!((replaced.0.len(), &replaced), ("porthole_session_0123abcd".len(), &Name::load(&stores[0])));
        let unwritable = StateDir::open(Some(std::path::Path::new("/proc/self/porthole")));
        assert_ne!(Name::load(&unwritable), Name::load(&unwritable));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in "\\PC{0,200}") {
            name().values(&header).for_each(drop);
        }

        #[test]
        fn it_is_found_whatever_stands_beside_it(before in "[^;]{0,40}", value in "[A-Za-z0-9_-]{1,60}", after in "[^;]{0,40}") {
            let name = name();
            let header = format!("{before};{}={value}; {after}", name.0);
            prop_assert!(name.values(&header).any(|found| found == value));
        }
    }
}
