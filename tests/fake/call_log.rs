//! What was called on the cameras, in a file for the tests to read. What an answer shall be does not belong here.

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

static FILE: OnceLock<Option<File>> = OnceLock::new();

/// Notes a call and its answer, where there is a file for it: `FOLDER/calls`, made by whoever wants to read it.
pub fn note(folder: &Path, text: Arguments<'_>) {
    let file = FILE.get_or_init(|| File::options().append(true).open(folder.join("calls")).ok());
    if let Some(mut file) = file.as_ref() {
        // One write for each line, so that the lines of two threads do not mix.
        let line = format!("{text}\n");
        file.write_all(line.as_bytes()).expect("the calls should be noted");
    }
}

/// The kernel's name of an error number, for those that a script can name.
pub fn errno_name(number: i32) -> &'static str {
    crate::script::ERRNOS.iter().find(|(_, known)| *known == number).map_or("another error", |(name, _)| name)
}
