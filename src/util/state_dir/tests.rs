//! Tests of the state directory.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn temporary() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = StateDir::open(Some(&folder.path().join("a/state")));
    (folder, store)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_configured_directory_then_the_services_then_the_users() {
    let found = |configured: Option<&str>, variables: &[(&str, &str)]| {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
        directory(configured.map(Path::new), variable)
    };
    let all = [("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/home/a")];
    for (configured, variables, expected) in [
        (Some("/c"), &all[..], Some("/c")),
        (None, &all, Some("/var/lib/a")),
        (None, &all[1..], Some("/x/porthole")),
        (None, &all[2..], Some("/home/a/.local/state/porthole")),
        (None, &[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "x"), ("HOME", "/h")], Some("/h/.local/state/porthole")),
        (None, &[], None),
    ] {
        assert_eq!(found(configured, variables), expected.map(PathBuf::from), "{configured:?} {variables:?}");
    }
    let message = StateDir { directory: None, ..StateDir::open(None) }.create().unwrap_err().to_string();
    assert!(message.contains("set [state] directory"), "{message}");
}

#[test]
fn what_was_written_is_read_and_is_for_the_owner_only() {
    let (_folder, store) = temporary();
    assert_eq!(store.read("a.json").unwrap(), None);
    assert_eq!(store.fingerprint("a.json"), None);
    store.write("a.json", b"one").unwrap();
    let first = store.fingerprint("a.json");
    store.write("a.json", b"two").unwrap();
    assert_eq!(store.read("a.json").unwrap().unwrap(), b"two");
    assert_ne!(store.fingerprint("a.json"), first);
    drop(store.lock().unwrap());
    let directory = store.directory().unwrap();
    assert_eq!(mode(directory), 0o700);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    // No temporary file is left.
    assert_eq!(files, ["a.json", "lock"]);
    for file in files {
        assert_eq!(mode(&directory.join(file)), 0o600);
    }
}

#[test]
fn leftovers_of_interrupted_writes_are_removed_and_nothing_else() {
    let (_folder, store) = temporary();
    store.remove_leftovers();
    let directory = store.create().unwrap().to_path_buf();
    let kept = ["passwords.json", ".1-2", "..1-2", ".a.1", ".a.x-2", ".a.1-2.old", "a.1-2", ".a.1-"];
    let own = temporary_name("privacy", 0);
    let left = [".passwords.json.4194304-0", ".door-2026-11-21-20-15-00-123-000042.jpg.1-7", own.as_str()];
    for name in kept.iter().chain(&left) {
        fs::write(directory.join(name), "").unwrap();
    }
    // A write in progress.
    let writing = directory.join(temporary_name("tokens.json", 1));
    let _open = create_locked(&writing).unwrap();
    store.remove_leftovers();
    assert!(kept.iter().all(|name| directory.join(name).exists()));
    assert_eq!(left.map(|name| directory.join(name).exists()), [false; 3]);
    assert!(writing.exists());
    store.write("passwords.json", b"new").unwrap();
    assert_eq!(store.read("passwords.json").unwrap().unwrap(), b"new");
}

#[test]
fn what_cannot_be_written_is_told_with_its_path() {
    let store = StateDir::open(Some(Path::new("/proc/self/porthole")));
    let message = format!("{:#}", store.write("a.json", b"").unwrap_err());
    assert!(message.starts_with("make the state directory /proc/self/porthole: "), "{message}");
    let (_folder, store) = temporary();
    fs::create_dir_all(store.path("a.json").unwrap()).unwrap();
    for message in [store.write("a.json", b"").unwrap_err(), store.read("a.json").unwrap_err().into()] {
        assert!(format!("{message:#}").contains("/a/state/a.json"), "{message:#}");
    }
    assert_eq!(fs::read_dir(store.directory().unwrap()).unwrap().count(), 1);
}

#[test]
fn changes_under_the_lock_are_not_lost() {
    let (_folder, store) = temporary();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let _lock = store.lock().unwrap();
                    let mut bytes = store.read("count").unwrap().unwrap_or_default();
                    bytes.push(b'x');
                    store.write("count", &bytes).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(store.read("count").unwrap().unwrap().len(), 40);
}
