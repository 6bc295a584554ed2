//! A group: records that are written together, flushed once, and then applied.

use crate::command::{AcceptReply, Done};
use crate::event::{AcceptError, Limit};
use crate::plan::Plan;
use crate::record::{Location, Note};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// A step of a group: written, and applied once that is durable.
pub(crate) enum GroupStep {
    Accept {
        plan: Box<Plan>,
        at: Location,
        size: u64,
        reply: AcceptReply,
    },
    Note {
        note: Note,
        at: Location,
        size: u64,
        done: Option<Done>,
    },
    /// Another accept record takes the place of one that is gone, or neither happens.
    Replace {
        gone: Note,
        gone_at: (Location, u64),
        plan: Box<Plan>,
        at: Location,
        size: u64,
    },
    /// A note that is copied forward: it changes nothing but its own place.
    Copy {
        note: Note,
        at: Location,
        size: u64,
    },
}

/// The contents of a group.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) bytes: Vec<u8>,
    pub(crate) steps: Vec<GroupStep>,
    /// Events and entries that it changes. What depends on one of them waits for the next group.
    pub(crate) touched: HashSet<u64>,
    pub(crate) must_flush: bool,
    /// Of its accept records.
    pub(crate) accepted_bytes: u64,
}

/// A group that was written, and waits for its flush.
pub(crate) struct PendingGroup {
    pub(crate) steps: Vec<GroupStep>,
    pub(crate) touched: HashSet<u64>,
    pub(crate) accepted_bytes: u64,
    /// Where it ends in the segment.
    pub(crate) end: u32,
}

/// The entry that a note is about.
pub(crate) fn subject(note: &Note) -> Option<u64> {
    match note {
        Note::State { seq, .. } | Note::Attempt { seq, .. } | Note::Gone { seq, .. } => Some(*seq),
        Note::Scrubbed { .. } | Note::Pauses(_) => None,
    }
}

pub(crate) fn refusal(error: &io::Error) -> AcceptError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AcceptError::Full(Limit::Disk),
        kind => AcceptError::Failed(Arc::new(io::Error::new(kind, error.to_string()))),
    }
}
