//! What reading an entry told of it.

use crate::progress::EntryProgress;
use crate::record::Location;

/// What is known about an entry after reading it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The record that was read.
    pub(crate) at: Location,
    /// Its accept record.
    pub(crate) home: Location,
    pub(crate) progress: EntryProgress,
}
