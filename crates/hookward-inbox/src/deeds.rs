//! What people did with an entry: a part of its history.

use crate::clock::Millis;
use crate::codec::{RecordReader, RecordWriter};

/// How many deeds an entry remembers.
const KEPT: usize = 10;

/// Bytes of the name of who did it, and of a destination.
const LONGEST_NAME: usize = 256;

/// What somebody did with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: Millis,
    /// What.
    pub what: DeedKind,
    /// Who, as the caller named them; empty if nobody was named.
    pub by: String,
}

/// A kind of deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// It was made due, with a budget of its own.
    Replayed,
    /// It was not to be sent again.
    Discarded,
    /// It was moved from this destination to the one that it has.
    Moved {
        /// The name of the destination before.
        from: String,
    },
}

/// Appends a deed, and forgets the oldest one where there are many.
pub(crate) fn append(deeds: &mut Vec<Deed>, at: Millis, what: DeedKind, by: &str) {
    if deeds.len() >= KEPT {
        deeds.remove(0);
    }
    let by = by.get(..by.floor_char_boundary(LONGEST_NAME)).unwrap_or_default().to_owned();
    deeds.push(Deed { at, what, by });
}

pub(crate) fn encode(deeds: &[Deed], to: &mut RecordWriter<'_>) {
    to.u8(u8::try_from(deeds.len()).unwrap_or(u8::MAX));
    for deed in deeds {
        let (kind, from) = match &deed.what {
            DeedKind::Replayed => (0, ""),
            DeedKind::Discarded => (1, ""),
            DeedKind::Moved { from } => (2, from.as_str()),
        };
        to.u64(deed.at);
        to.u8(kind);
        to.bytes(deed.by.as_bytes());
        to.bytes(from.as_bytes());
    }
}

pub(crate) fn decode(from: &mut RecordReader<'_>) -> Option<Vec<Deed>> {
    (0..from.u8()?)
        .map(|_| {
            let (at, kind) = (from.u64()?, from.u8()?);
            let (by, before) = (from.text()?.to_owned(), from.text()?.to_owned());
            let what = match kind {
                0 => DeedKind::Replayed,
                1 => DeedKind::Discarded,
                2 => DeedKind::Moved { from: before },
                _ => return None,
            };
            Some(Deed { at, what, by })
        })
        .collect()
}
