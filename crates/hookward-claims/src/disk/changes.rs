//! Changes that are not in the id file yet.

use super::record::JournalRecord;
use crate::ClaimKey;
use std::collections::HashMap;

/// The latest change of each key; of an alias, that of its link.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) keys: HashMap<ClaimKey, JournalRecord>,
    pub(super) links: HashMap<ClaimKey, JournalRecord>,
}

impl Changes {
    pub(super) fn add(&mut self, record: JournalRecord) {
        match record {
            JournalRecord::Delivered { key, .. }
            | JournalRecord::Uncertain { key, .. }
            | JournalRecord::Forgotten { key } => self.keys.insert(key, record),
            JournalRecord::Link { alias, .. } => self.links.insert(alias, record),
        };
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.links.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn all_keys(&self) -> impl Iterator<Item = ClaimKey> {
        self.keys.keys().chain(self.links.keys()).copied()
    }

    /// Removes all, and keeps the memory if the next changes are likely to need it.
    pub(super) fn empty(&mut self) {
        for changes in [&mut self.keys, &mut self.links] {
            let were = changes.len();
            changes.clear();
            changes.shrink_to(were.saturating_mul(2));
        }
    }

    /// In the order of the file, so that each of its pages is touched once.
    pub(super) fn sorted(&self) -> Vec<JournalRecord> {
        let mut entries: Vec<(&ClaimKey, &JournalRecord)> =
            self.keys.iter().chain(&self.links).collect();
        entries.sort_unstable_by_key(|(key, _)| **key);
        entries.into_iter().map(|(_, record)| *record).collect()
    }
}
