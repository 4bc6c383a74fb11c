//! Ends the files of recordings: in order, and after a crash.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::Context as _;

use super::Library;
use crate::media::mp4;
use crate::media::mp4::{FileHeader, FileIndex};
use crate::pipeline::recorder::name;

impl Library {
    /// Ends the recordings that a crash has left, and deletes pictures without a recording.
    pub fn recover(&self) {
        let Ok(listed) = self.list() else { return };
        for recording in listed.iter().filter(|recording| recording.name.length.is_none() && !recording.is_running) {
            let number = recording.name.number;
            match self.recover_one(number) {
                Ok(Some(length)) => {
                    tracing::info!("recording {number} was not ended; it has {:.1} s", length.as_secs_f64());
                }
                Ok(None) => tracing::info!("recording {number} was not begun when porthole ended; it is deleted"),
                Err(error) => tracing::warn!("recording {number} was not ended, and cannot be now: {error:#}"),
            }
        }
        let numbers: BTreeSet<u64> = listed.iter().map(|recording| recording.name.number).collect();
        let Ok(entries) = self.0.store.directory().and_then(|directory| Ok(fs::read_dir(directory)?)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let number = path.file_name().and_then(OsStr::to_str).and_then(name::parse_picture);
            if number.is_some_and(|number| !numbers.contains(&number)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The length of a recording that is whole now; `None` if there was nothing in it.
    fn recover_one(&self, number: u64) -> anyhow::Result<Option<Duration>> {
        let (path, _) = self.find(number)?;
        let shown = || path.display().to_string();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).with_context(shown)?;
        let found = mp4::scan(&mut file).with_context(shown)?.filter(|(_, index)| !index.is_empty());
        let Some((header, index)) = found else {
            self.abandon(number, true);
            return Ok(None);
        };
        file.set_len(index.bytes()).with_context(shown)?;
        seal(&file, &header, &index).with_context(shown)?;
        self.finish(number, index.length())?;
        Ok(Some(index.length()))
    }
}

/// Ends a file whose fragments are written: its length and its index go into the header. It can be played at every moment.
///
/// # Errors
///
/// When it cannot be written.
pub fn seal(file: &File, header: &FileHeader, index: &FileIndex) -> io::Result<()> {
    /// Length and type of a box.
    const BOX_HEAD: usize = 8;
    file.sync_data()?;
    if let Some(block) = index.block() {
        let (head, content) = block.split_at(BOX_HEAD);
        file.write_all_at(content, header.index_at + BOX_HEAD as u64)?;
        file.write_all_at(&index.length_field(), header.length_at)?;
        file.sync_data()?;
        // Only this makes it an index.
        file.write_all_at(head, header.index_at)?;
        file.sync_data()?;
    }
    Ok(())
}
