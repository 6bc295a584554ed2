//! What is to be written for an event.

use crate::clock::{Millis, millis};
use crate::event::{Accept, OnDead, Stored};
use crate::progress::EntryProgress;
use crate::record::{AcceptRecord, EventPart, Location, Phase};
use bytes::Bytes;
use std::time::Duration;

/// What is to be written for an event.
pub(crate) struct Plan {
    pub(crate) accept: Box<Accept>,
    pub(crate) keys: Vec<u8>,
    pub(crate) accepted_at: Millis,
    pub(crate) copied_from: Location,
    pub(crate) parts: Vec<PlannedPart>,
    /// For each target an answer, or nothing if it is one of the parts.
    pub(crate) targets: Vec<Option<Stored>>,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedPart {
    pub(crate) seq: u64,
    pub(crate) to: String,
    pub(crate) place: u64,
    pub(crate) revives: u64,
    pub(crate) revives_home: Location,
    pub(crate) phase: Phase,
    pub(crate) progress: EntryProgress,
}

impl Plan {
    pub(crate) fn record(&self) -> AcceptRecord<'_> {
        let parts = self.parts.iter().map(|part| EventPart {
            seq: part.seq,
            to: &part.to,
            place: part.place,
            revives: part.revives,
            revives_home: part.revives_home,
            phase: part.phase,
            progress: part.progress.clone(),
        });
        AcceptRecord {
            source: &self.accept.source,
            id: &self.accept.id,
            kind: &self.accept.kind,
            accepted_at: self.accepted_at,
            fingerprint: self.accept.fingerprint,
            ttl: millis(self.accept.ttl),
            order_key: self.accept.order_key.as_deref(),
            holds: self.accept.on_dead == OnDead::Hold,
            keys: &self.keys,
            copied_from: self.copied_from,
            parts: parts.collect(),
            head: &self.accept.head,
            body: &self.accept.body,
        }
    }

    /// A copy of a record with some of its parts.
    pub(crate) fn copy(
        record: &AcceptRecord<'_>,
        from: Location,
        parts: Vec<PlannedPart>,
        has_bytes: bool,
    ) -> Self {
        let bytes = |bytes: &[u8]| {
            if has_bytes { Bytes::copy_from_slice(bytes) } else { Bytes::new() }
        };
        let accept = Accept {
            source: record.source.to_owned(),
            id: record.id.to_owned(),
            kind: record.kind.to_owned(),
            fingerprint: record.fingerprint,
            ttl: Duration::from_millis(record.ttl),
            keys: Vec::new(),
            order_key: record.order_key.map(str::to_owned),
            on_dead: if record.holds { OnDead::Hold } else { OnDead::Skip },
            head: bytes(record.head),
            body: bytes(record.body),
            ..Accept::default()
        };
        Self {
            accept: Box::new(accept),
            keys: record.keys.to_vec(),
            accepted_at: record.accepted_at,
            copied_from: from,
            parts,
            targets: Vec::new(),
        }
    }
}

impl PlannedPart {
    pub(crate) fn of(part: &EventPart<'_>, phase: Phase, progress: EntryProgress) -> Self {
        Self {
            seq: part.seq,
            to: part.to.to_owned(),
            place: part.place,
            revives: 0,
            revives_home: Location::default(),
            phase,
            progress,
        }
    }
}
