//! Reading entries back from the log.

use crate::known::Known;
use crate::log::ReadError;
use crate::record::{Location, LogRecord};
use crate::shared::Shared;
use crate::stored_event::StoredEvent;
use std::time::Duration;

impl Shared {
    /// Reads an entry. It may be copied forward meanwhile, so its place is asked for again.
    pub(crate) fn event(&self, seq: u64) -> Result<(StoredEvent, Known), ReadError> {
        let mut result = self.event_once(seq);
        for _ in 0..3 {
            if result.is_ok() {
                break;
            }
            result = self.event_once(seq);
        }
        result
    }

    fn event_once(&self, seq: u64) -> Result<(StoredEvent, Known), ReadError> {
        let known = self.known(seq)?;
        let payload = self.shelf.read(known.home)?;
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
        let at = self.core.lock().index.get(seq).map(|entry| entry.at);
        let at = at.ok_or(ReadError::NoSegment)?;
        self.known_at(seq, at)
    }

    pub(crate) fn known_at(&self, seq: u64, at: Location) -> Result<Known, ReadError> {
        let payload = self.shelf.read(at)?;
        match payload.record()? {
            LogRecord::Accept(record) => {
                let mut parts = record.parts.into_iter();
                let part = parts.find(|part| part.seq == seq).ok_or(ReadError::Damaged)?;
                Ok(Known { at, home: at, progress: part.progress })
            }
            LogRecord::Note(crate::record::Note::State { seq: found, home, progress, .. })
                if found == seq =>
            {
                Ok(Known { at, home, progress })
            }
            LogRecord::Note(_) => Err(ReadError::Damaged),
        }
    }
}
