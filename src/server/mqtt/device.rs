//! Which device this is: an ID that stays the same, and a name for people.
//!
//! People rename it in Home Assistant, which knows it by its ID.

use std::fs;

use ring::digest::{SHA256, digest};

use crate::util::state_dir::StateDir;
use crate::util::text;

/// The machine's ID (machine-id(5)), which must not be shown to others as it is.
const MACHINE_ID: &str = "/etc/machine-id";

/// The machine's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Bytes of the digest in the ID: enough for all devices of a home, and short in topics.
const ID_BYTES: usize = 6;

/// The longest name, in characters: as long as a host's label can be.
const MAX_NAME: usize = 63;

/// This device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeviceIdentity {
    /// Hexadecimal digits.
    pub(super) id: String,
    /// The name that it has in its network.
    pub(super) name: String,
}

impl DeviceIdentity {
    /// This machine, and this state directory: two programs on one machine are two devices.
    pub(super) fn of_this_machine(store: &StateDir) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let directory = store.directory().map(|directory| directory.display().to_string()).unwrap_or_default();
        Self::new(&read(MACHINE_ID), &read(HOST_NAME), &directory)
    }

    /// The device of a machine with this ID and name. Without an ID the name has to do.
    fn new(machine_id: &str, host: &str, directory: &str) -> Self {
        let machine = if machine_id.is_empty() { host } else { machine_id };
        let digest = digest(&SHA256, format!("porthole mqtt\n{machine}\n{directory}").as_bytes());
        let id = digest.as_ref()[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        let name: String = text::name(host).chars().take(MAX_NAME).collect();
        let name = if name.is_empty() || name == "localhost" { "porthole".into() } else { name };
        Self { id, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_differs_between_devices() {
        let device = |machine, host, directory| DeviceIdentity::new(machine, host, directory);
        let one = device("0123", "pi", "/var/lib/porthole");
        assert_eq!(one, device("0123", "pi", "/var/lib/porthole"));
        assert_eq!(one.id, device("0123", "renamed", "/var/lib/porthole").id);
        assert!(one.id.len() == 12 && one.id.bytes().all(|b| b.is_ascii_hexdigit()), "{}", one.id);
        for other in [device("4567", "pi", "/var/lib/porthole"), device("0123", "pi", "/tmp"), device("", "pi", "")] {
            assert_ne!(one.id, other.id);
        }
        assert_ne!(device("", "pi", "").id, device("", "pi2", "").id);
    }

    #[test]
    fn the_name_is_the_host_name() {
        for (host, name) in [
            ("raspberrypi", "raspberrypi"),
            ("Büro/Kamera 1", "Büro/Kamera 1"),
            ("a\u{202e}b\u{7}", "ab"),
            ("", "porthole"),
            ("localhost", "porthole"),
        ] {
            assert_eq!(DeviceIdentity::new("0", host, "").name, name, "{host:?}");
        }
        assert_eq!(DeviceIdentity::new("0", &"ä".repeat(100), "").name.chars().count(), MAX_NAME);
    }
}
