//! Applies the journals to the id file at start.

use super::id_file::IdFile;
use super::journal::{self, JournalContent};
use super::record::JournalRecord;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) const ID_FILE: &str = "ids.redb";
pub(super) const JOURNALS: [&str; 2] = ["journal.0", "journal.1"];

/// The journals that are not empty, each with its number, in order.
pub(super) fn read_journals(folder: &Path) -> Result<Vec<(u64, Vec<JournalRecord>)>, String> {
    let mut journals = Vec::new();
    for name in JOURNALS {
        match journal::read(&folder.join(name)) {
            Ok(JournalContent::Empty) => {}
            Ok(JournalContent::Headless) => tracing::warn!(
                file = %folder.join(name).display(),
                "the journal was cut off before its first id, as by a power cut; how many ids are \
                 lost is not known, and retries of their events are forwarded again"
            ),
            Ok(JournalContent::Records { number, records, lost }) => {
                if lost > 0 {
                    tracing::warn!(
                        file = %folder.join(name).display(),
                        kept = records.len(),
                        lost,
                        "the journal was cut off, as by a power cut: at least so many ids are \
                         lost, and retries of their events are forwarded again"
                    );
                }
                journals.push((number, records));
            }
            Ok(JournalContent::Damaged(how)) => {
                return Err(format!(
                    "is not opened, because {name} {how}; nothing was changed. Move {name} away to \
                     start without the last ids in it"
                ));
            }
            Err(error) => return Err(format!("is not opened, because of {name}: {error}")),
        }
    }
    journals.sort_unstable_by_key(|(number, _)| *number);
    Ok(journals)
}

/// Applies the journals to the id file, and returns their highest number.
pub(super) fn replay(
    journals: Vec<(u64, Vec<JournalRecord>)>,
    file: &IdFile,
) -> Result<u64, String> {
    let mut highest = 0;
    for (number, records) in journals {
        highest = number;
        let committed = file.journal().map_err(|error| format!("cannot be used: {error}"))?;
        if number > committed && !records.is_empty() {
            file.commit(number, &records, None)
                .map_err(|error| format!("cannot be brought up to date: {error}"))?;
        }
    }
    Ok(highest)
}

/// A folder without an id file must be empty: otherwise it belongs to another program, or has lost
/// its ids.
pub(super) fn refuse_foreign(folder: &Path) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot be read: {error}"))?;
    for entry in entries {
        let name = entry.map_err(|error| format!("cannot be read: {error}"))?.file_name();
        if !["lock", "ids.new", "lost+found", "inbox"].iter().any(|ours| name == *ours) {
            return Err(format!(
                "has no {ID_FILE}, but {}; give the store a folder of its own",
                name.display()
            ));
        }
    }
    Ok(())
}

pub(super) fn journal_path(folder: &Path, number: u64) -> PathBuf {
    let [even, odd] = JOURNALS;
    folder.join(if number.is_multiple_of(2) { even } else { odd })
}
