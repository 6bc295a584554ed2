//! A row of `entries`.

use crate::commons::{Uuid, natural};
use crate::sealing::{EventName, open_name};
use hookward_inbox::{CipherKeys, EntryProgress, EntryState, Listed, Millis};
use tokio_postgres::Row;

/// The columns that are read, in their order.
macro_rules! columns {
    () => {
        "seq, state, due, began, accepted, fingerprint, ttl, size, key, alias, source, dest, name, \
         progress"
    };
}
pub(crate) use columns;

/// What is known of one destination of an event.
#[derive(Clone, Debug)]
pub(crate) struct EntryRow {
    pub(crate) seq: u64,
    pub(crate) state: u8,
    pub(crate) due: Millis,
    pub(crate) began: Millis,
    pub(crate) accepted: Millis,
    pub(crate) fingerprint: u64,
    pub(crate) ttl: Millis,
    pub(crate) size: u64,
    pub(crate) key: Uuid,
    pub(crate) alias: Option<Uuid>,
    pub(crate) source: String,
    pub(crate) to: String,
    pub(crate) name: Vec<u8>,
    /// As it is in the table, for changes that must not undo another one.
    pub(crate) written: Vec<u8>,
    pub(crate) progress: EntryProgress,
}

impl EntryRow {
    /// From the columns that are read; `None` if they are not what was written.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        let whole = |at: usize| row.try_get::<_, i64>(at).ok().map(natural);
        let written: Vec<u8> = row.try_get(13).ok()?;
        Some(Self {
            seq: whole(0)?,
            state: row.try_get::<_, i8>(1).ok()?.cast_unsigned(),
            due: whole(2)?,
            began: whole(3)?,
            accepted: whole(4)?,
            fingerprint: row.try_get::<_, i64>(5).ok()?.cast_unsigned(),
            ttl: whole(6)?,
            size: u64::try_from(row.try_get::<_, i32>(7).ok()?).ok()?,
            key: row.try_get(8).ok()?,
            alias: row.try_get(9).ok()?,
            source: row.try_get(10).ok()?,
            to: row.try_get(11).ok()?,
            name: row.try_get(12).ok()?,
            progress: EntryProgress::from_bytes(&written)?,
            written,
        })
    }

    pub(crate) fn standing(&self, now: Millis) -> EntryState {
        match self.state {
            b'q' if self.due <= now => EntryState::Ready,
            b'f' => EntryState::InFlight,
            b'x' => EntryState::Dead,
            b'd' => EntryState::Delivered,
            b'n' => EntryState::Discarded,
            _ => EntryState::Waiting,
        }
    }

    pub(crate) fn listed(self, keys: Option<&CipherKeys>, now: Millis) -> Listed {
        let state = self.standing(now);
        // One that no key opens is shown all the same: somebody has to see that it is there.
        let EventName { id, kind, .. } = open_name(keys, &self.name).unwrap_or_default();
        Listed {
            seq: self.seq,
            source: self.source,
            id,
            kind,
            to: self.to,
            state,
            accepted_at: self.accepted,
            attempts: self.progress.sent,
            fingerprint: self.fingerprint,
            next_attempt_at: (self.state == b'q').then_some(self.due),
            tries: self.progress.tries,
            deeds: self.progress.deeds,
        }
    }
}
