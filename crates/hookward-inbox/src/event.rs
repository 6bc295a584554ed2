//! The input and output of the inbox.

use crate::attempt::Attempt;
use crate::clock::Millis;
use crate::deeds::Deed;
use crate::hold::LaneHold;
use crate::tries::{Tried, Try};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// An event to be stored, with the destinations that miss it.
#[derive(Debug, Default)]
pub struct Accept {
    /// The name of its source.
    pub source: String,
    /// Its id; the same on every delivery of it.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Of the body, to notice that another one came under the same id.
    pub fingerprint: u64,
    /// How long a discarded event is remembered.
    pub ttl: Duration,
    /// Other names of the event, as a signature that came with it; each is a key of 16 bytes that is
    /// as good as random. An entry is found by them as long as it is there.
    pub keys: Vec<[u8; 16]>,
    /// Another name under which the event must not come again; kept by a shared inbox, which notes
    /// deliveries itself.
    pub alias: Option<String>,
    /// What copies are told that wait for the claim on another instance.
    pub note: String,
    /// Events with the same key reach a destination in the order of their acceptance.
    pub order_key: Option<String>,
    /// What a dead event does to those behind it in that order.
    pub on_dead: OnDead,
    /// The head of the request, in the caller's own encoding.
    pub head: Bytes,
    /// The body of the request.
    pub body: Bytes,
    /// Where it goes.
    pub targets: Vec<AcceptTarget>,
}

/// One destination of an event that is being stored.
#[derive(Debug)]
pub struct AcceptTarget {
    /// The name of the destination.
    pub to: String,
    /// What became of the live attempt, if there was one.
    pub live: Live,
    /// The hold on its lane that the live attempt had. The event then takes the place in the order
    /// that the hold reserved.
    pub hold: Option<LaneHold>,
    /// The fence of the claim under which it is handed in; a shared inbox ends that claim in the
    /// same step. Absent: it is held under none.
    pub fence: Option<u64>,
}

impl AcceptTarget {
    /// A destination that was not tried yet.
    #[must_use]
    pub fn new(to: impl Into<String>) -> Self {
        Self { to: to.into(), live: Live::None, hold: None, fence: None }
    }
}

/// An attempt that was made before the event was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// There was none: the event is due now.
    None,
    /// It failed so. It counts as the first attempt.
    Failed(Tried),
    /// It began then and goes on; the [`Attempt`] that is handed out has to be ended.
    UnderWay(Millis),
}

/// What a dead event means for the events behind it in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    /// They go on.
    #[default]
    Skip,
    /// They wait until it is replayed, discarded or gone.
    Hold,
}

/// An event is durable: one answer for each target, in their order.
#[derive(Debug)]
pub struct Accepted {
    /// What became of each target.
    pub targets: Vec<Stored>,
}

/// The result for one target.
#[derive(Debug)]
pub enum Stored {
    /// It was stored under this number.
    Queued {
        /// The number.
        seq: u64,
        /// A dead entry was superseded, and its place in the order taken.
        revived: bool,
    },
    /// It was stored, and the live attempt goes on.
    UnderWay(Attempt),
    /// The destination has an entry for it already, in this state; nothing was stored.
    Already(EntryState),
}

/// Why an event was not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptError {
    /// It does not fit: `max_bytes`, `min_free`, or a disk that is full.
    #[error("the inbox is full: {0}")]
    Full(Limit),
    /// Larger than the log takes, 1 GiB with its head.
    #[error("the event is too large for the inbox")]
    TooLarge,
    /// The disk refused it. It is not stored.
    #[error("the event could not be made durable: {0}")]
    Failed(Arc<io::Error>),
    /// The database did not say whether it is stored. It must not be sent now.
    #[error("whether the event is stored is not known: {0}")]
    InDoubt(String),
    /// The inbox was closed.
    #[error("the inbox is closed")]
    Closed,
}

/// The resource that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The setting `max_bytes`.
    MaxBytes,
    /// The setting `min_free`.
    MinFree,
    /// Space or quota of the file system.
    Disk,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxBytes => "max_bytes is reached",
            Self::MinFree => "less than min_free is left on the disk",
            Self::Disk => "the disk refuses more",
        })
    }
}

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// Due, and not taken yet.
    Ready,
    /// Not due yet, or behind another one of its key.
    Waiting,
    /// Being sent.
    InFlight,
    /// Given up.
    Dead,
    /// Accepted by the receiver; its bytes are kept for a replay.
    Delivered,
    /// An operator said never.
    Discarded,
}

/// One entry, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub seq: u64,
    /// The name of its source.
    pub source: String,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The name of the destination.
    pub to: String,
    /// Its state.
    pub state: EntryState,
    /// When it was accepted.
    pub accepted_at: Millis,
    /// How many requests were sent with it.
    pub attempts: u32,
    /// Of the body, as the caller gave it.
    pub fingerprint: u64,
    /// When it is due, if it waits for that.
    pub next_attempt_at: Option<Millis>,
    /// The last 20 tries, oldest first.
    pub tries: Vec<Try>,
    /// What people did with it, oldest first; the last ten.
    pub deeds: Vec<Deed>,
}

/// Selects entries. Every given condition must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The name of the source.
    pub source: Option<String>,
    /// The name of the destination.
    pub to: Option<String>,
    /// Its state.
    pub state: Option<EntryState>,
    /// The event type.
    pub kind: Option<String>,
    /// The event id.
    pub id: Option<String>,
    /// Accepted at this time or later.
    pub since: Option<Millis>,
    /// Accepted before this time.
    pub until: Option<Millis>,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries, by number.
    pub events: Vec<Listed>,
    /// Where the next part begins; `None`: this was the last.
    pub next: Option<u64>,
}
