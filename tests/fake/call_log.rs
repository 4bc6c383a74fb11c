//! The log of calls on the cameras, a file for the tests to read. Results of calls are decided elsewhere.

use std::fmt::Arguments;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

static FILE: OnceLock<Option<File>> = OnceLock::new();

/// Logs a call and its result if the file `FOLDER/calls` exists; the test creates it.
pub fn note(folder: &Path, text: Arguments<'_>) {
    let file = FILE.get_or_init(|| File::options().append(true).open(folder.join("calls")).ok());
    if let Some(mut file) = file.as_ref() {
        // One write per line, so that lines of two threads do not mix.
        let line = format!("{text}\n");
        file.write_all(line.as_bytes()).expect("the calls should be noted");
    }
}

/// The symbolic name of an error number, for those that a script can name.
pub fn errno_name(number: i32) -> &'static str {
    crate::script::ERRNOS.iter().find(|(_, known)| *known == number).map_or("another error", |(name, _)| name)
}
