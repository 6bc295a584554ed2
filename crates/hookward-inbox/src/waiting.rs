//! How many events wait, by source and destination: for names that a configuration has no more.

use crate::cipher::CipherKeys;
use crate::clock::Millis;
use crate::core::Core;
use crate::inbox::Inbox;
use crate::index::Stand;
use crate::log::Shelf;
use crate::recover::{OpenError, refused, scan};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

/// Events of a source that wait at a destination or are being sent there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingCount {
    /// The source's name.
    pub source: String,
    /// The destination's name.
    pub to: String,
    /// How many.
    pub events: u64,
}

impl Core {
    fn waiting(&self) -> Vec<WaitingCount> {
        let mut counts: BTreeMap<(u16, u16), u64> = BTreeMap::new();
        for (_, entry) in self.index.from(0) {
            if matches!(entry.stand(), Stand::Queued | Stand::InFlight) {
                *counts.entry((entry.source, entry.to)).or_default() += 1;
            }
        }
        let named = |((source, to), events)| WaitingCount {
            source: self.names.name(source).to_string(),
            to: self.names.name(to).to_string(),
            events,
        };
        counts.into_iter().map(named).collect()
    }
}

impl Inbox {
    /// Counts what waits or is being sent. Looks at every entry, about 10 ns each.
    #[must_use]
    pub fn waiting(&self) -> Vec<WaitingCount> {
        self.shared.core.lock().waiting()
    }
}

/// Counts what waits in the inbox in a folder that no process has open. Reads the whole log and changes
/// nothing; without an inbox there, the counts are empty.
///
/// # Errors
/// As of [`Inbox::open`].
pub fn waiting_in(
    folder: &Path,
    keys: Option<CipherKeys>,
    now: Millis,
) -> Result<Vec<WaitingCount>, OpenError> {
    let path = folder.join("lock");
    let lock = match File::open(&path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(refused(&path)(fault)),
    };
    match lock.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(fault)) => return Err(refused(&path)(fault)),
    }
    let mut core = Core::recovering(Millis::MAX);
    scan(folder, &Shelf::new(keys), &mut core, now)?;
    Ok(core.waiting())
}
