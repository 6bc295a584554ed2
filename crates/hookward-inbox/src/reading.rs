//! Reading entries back from the log.

use crate::known::Known;
use crate::log::{Payload, ReadError};
use crate::record::{Location, LogRecord, Note};
use crate::segment::Reach;
use crate::shared::Shared;
use crate::stored_event::StoredEvent;
use std::time::Duration;

impl Shared {
    /// Reads an entry. It may be copied forward meanwhile, so its place is asked for again.
    pub(crate) fn event(&self, seq: u64) -> Result<(StoredEvent, Known), ReadError> {
        let mut result = self.event_within(Reach::Disk, seq);
        for _ in 0..3 {
            if result.is_ok() {
                break;
            }
            result = self.event_within(Reach::Disk, seq);
        }
        result
    }

    /// As [`event`](Self::event), if the kernel has it in memory.
    pub(crate) fn event_at_hand(&self, seq: u64) -> Option<(StoredEvent, Known)> {
        self.event_within(Reach::Memory, seq).ok()
    }

    fn event_within(&self, reach: Reach, seq: u64) -> Result<(StoredEvent, Known), ReadError> {
        let at = self.place_of(seq)?;
        let mut payload = self.shelf.read_within(reach, at)?;
        let known = Known::read(&payload, seq, at)?;
        if known.home != at {
            payload = self.shelf.read_within(reach, known.home)?;
        }
        let LogRecord::Accept(record) = payload.record()? else { return Err(ReadError::Damaged) };
        let part = record.parts.iter().find(|part| part.seq == seq).ok_or(ReadError::Damaged)?;
        let keys = record.keys.as_chunks().0.to_vec();
        let to = part.to.to_owned();
        let (source, id, kind) =
            (record.source.to_owned(), record.id.to_owned(), record.kind.to_owned());
        let (accepted_at, fingerprint, ttl) = (record.accepted_at, record.fingerprint, record.ttl);
        let (head, body) = (record.head.len(), record.body.len());
        // Both are at the end of the payload, each with its length before it.
        let bytes = bytes::Bytes::from(payload.bytes);
        let body = bytes.slice(bytes.len() - body..);
        let head_end = bytes.len() - body.len() - 4;
        let head = bytes.slice(head_end - head..head_end);
        let event = StoredEvent {
            seq,
            source,
            id,
            kind,
            to,
            accepted_at,
            fingerprint,
            ttl: Duration::from_millis(ttl),
            keys,
            sent: known.progress.sent,
            replays: known.progress.replays,
            as_new: (known.progress.as_new != 0).then_some(known.progress.as_new),
            head,
            body,
        };
        Ok((event, known))
    }

    /// Where the log has an entry, and what is known of its attempts.
    pub(crate) fn known(&self, seq: u64) -> Result<Known, ReadError> {
        self.known_at(seq, self.place_of(seq)?)
    }

    pub(crate) fn known_at(&self, seq: u64, at: Location) -> Result<Known, ReadError> {
        Known::read(&self.shelf.read(at)?, seq, at)
    }

    /// The record that says the latest about an entry.
    fn place_of(&self, seq: u64) -> Result<Location, ReadError> {
        let at = self.core.lock().index.get(seq).map(|entry| entry.at);
        at.ok_or(ReadError::NoSegment)
    }
}

impl Known {
    /// What a record at `at` says about an entry.
    fn read(payload: &Payload, seq: u64, at: Location) -> Result<Self, ReadError> {
        match payload.record()? {
            LogRecord::Accept(record) => {
                let mut parts = record.parts.into_iter();
                let part = parts.find(|part| part.seq == seq).ok_or(ReadError::Damaged)?;
                Ok(Self { at, home: at, progress: part.progress })
            }
            LogRecord::Note(Note::State { seq: found, home, progress, .. }) if found == seq => {
                Ok(Self { at, home, progress })
            }
            LogRecord::Note(_) => Err(ReadError::Damaged),
        }
    }
}
