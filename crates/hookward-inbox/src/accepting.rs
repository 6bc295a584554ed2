//! From an event that was handed in to the record that is written.

use crate::attempt::Attempt;
use crate::clock::{Millis, millis};
use crate::event::{Accept, AcceptError, AcceptTarget, EntryState, Live, OnDead, Stored};
use crate::event::{Accepted, Limit};
use crate::frame;
use crate::group::{Group, GroupStep};
use crate::index::Stand;
use crate::progress::EntryProgress;
use crate::record::{AcceptRecord, EventPart, Location, Phase};
use crate::record::{End, Note};
use crate::shared::state;
use crate::writer::{AcceptReply, Writer, WriterCommand};
use bytes::Bytes;
use std::sync::Arc;
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

impl Writer {
    /// Finds out which destinations miss the event, and how each part begins.
    pub(crate) fn prepare(&mut self, accept: Box<Accept>, at: Millis) -> Result<Plan, AcceptError> {
        const OVERHEAD: usize = 1 << 20;
        let texts = accept.id.len() + accept.kind.len();
        if accept.head.len() + accept.body.len() + texts > frame::LARGEST - OVERHEAD
            || accept.targets.len() > usize::from(u16::MAX)
        {
            return Err(AcceptError::TooLarge);
        }
        let mut parts = Vec::with_capacity(accept.targets.len());
        let mut targets = Vec::with_capacity(accept.targets.len());
        for (n, target) in accept.targets.iter().enumerate() {
            let is_named_twice = accept.targets.iter().take(n).any(|other| other.to == target.to);
            let planned = if is_named_twice {
                Err(EntryState::Waiting)
            } else {
                self.part(&accept, target, at)
            };
            match planned {
                Ok(part) => {
                    parts.push(part);
                    targets.push(None);
                }
                Err(already) => targets.push(Some(Stored::Already(already))),
            }
        }
        let keys = accept.keys.concat();
        let copied_from = Location::default();
        Ok(Plan { accept, keys, accepted_at: at, copied_from, parts, targets })
    }

    fn part(
        &mut self,
        accept: &Accept,
        target: &AcceptTarget,
        at: Millis,
    ) -> Result<PlannedPart, EntryState> {
        let existing = self.shared.find(&accept.source, &accept.id, &target.to);
        let (mut revives, mut revives_home, mut place) = (0, Location::default(), None);
        if let Some((seq, entry)) = existing {
            if entry.stand() != Stand::Dead {
                return Err(state(&entry, at));
            }
            revives = seq;
            revives_home = self.shared.known(seq).map(|known| known.home).unwrap_or_default();
            place = self.shared.core.lock().lanes.place(entry.lane, seq);
        }
        let (seq, to) = {
            let mut core = self.shared.core.lock();
            let seq = core.next_seq.max(1);
            core.next_seq = seq + 1;
            (seq, core.intern(&target.to))
        };
        let mut progress = EntryProgress { budget_from: at, ..EntryProgress::default() };
        let phase = match &target.live {
            Live::None => Phase::Queued { due: at },
            Live::Failed(tried) => {
                let now = self.shared.clock.now();
                self.after_failure(to, &mut progress, tried, now)
            }
            Live::UnderWay(since) => Phase::InFlight { since: *since },
        };
        let held = target.hold.as_ref().map(crate::hold::LaneHold::place);
        let place = place.or(held).unwrap_or(seq);
        let to = target.to.clone();
        Ok(PlannedPart { seq, to, place, revives, revives_home, phase, progress })
    }

    pub(crate) fn plan(
        &mut self,
        group: &mut Group,
        accept: Box<Accept>,
        at: Millis,
        reply: AcceptReply,
    ) {
        let command = WriterCommand::Accept { accept, at, reply };
        let touched = self.touches(&command);
        let WriterCommand::Accept { accept, at, reply } = command else { return };
        let plan = match self.prepare(accept, at) {
            Ok(plan) => plan,
            Err(error) => return answer(reply, Err(error)),
        };
        if plan.parts.is_empty() {
            let targets = plan.targets.into_iter().flatten().collect();
            return answer(reply, Ok(Accepted { targets }));
        }
        let before = group.bytes.len();
        let framed = self.log.accept(&mut group.bytes, &plan.record());
        let (at, size) = match framed {
            Ok(framed) => framed,
            Err(error) => {
                group.bytes.truncate(before);
                return answer(reply, Err(AcceptError::Failed(Arc::new(error))));
            }
        };
        if let Err(limit) = self.has_room(group.accepted_bytes + size) {
            group.bytes.truncate(before);
            return answer(reply, Err(AcceptError::Full(limit)));
        }
        group.accepted_bytes += size;
        group.must_flush = true;
        group.touched.extend(touched);
        let revived = plan.parts.iter().filter(|part| part.revives != 0);
        let revived: Vec<Note> = revived
            .map(|part| Note::Gone {
                seq: part.revives,
                home: part.revives_home,
                end: End::Revived,
            })
            .collect();
        group.steps.push(GroupStep::Accept { plan: Box::new(plan), at, size, reply });
        // The accept record says it too, but may be gone before the dead one's is.
        for note in revived {
            if let Ok((at, size)) = self.log.note(&mut group.bytes, &note) {
                group.steps.push(GroupStep::Copy { note, at, size });
            }
        }
    }

    pub(crate) fn has_room(&self, bytes: u64) -> Result<(), Limit> {
        let held = self.shared.core.lock().live_bytes;
        if held.saturating_add(bytes) > self.limits.max_bytes {
            return Err(Limit::MaxBytes);
        }
        // A file system that does not tell has room until a write fails.
        let free = self.log.free().unwrap_or(u64::MAX);
        if free < self.limits.min_free.saturating_add(bytes) {
            return Err(Limit::MinFree);
        }
        Ok(())
    }

    pub(crate) fn answer(&self, plan: Plan, now: Millis) -> Accepted {
        let mut parts = plan.parts.iter();
        let stored = plan.targets.into_iter().map(|already| {
            already.unwrap_or_else(|| {
                let Some(part) = parts.next() else {
                    return Stored::Already(EntryState::Waiting);
                };
                let seq = part.seq;
                match part.phase {
                    Phase::InFlight { since } => Stored::UnderWay(
                        Attempt::new(
                            Arc::clone(&self.shared),
                            seq,
                            plan.accept.source.as_str().into(),
                            part.to.as_str().into(),
                            since.min(now),
                        )
                        .under_way(),
                    ),
                    _ => Stored::Queued { seq, revived: part.revives != 0 },
                }
            })
        });
        Accepted { targets: stored.collect() }
    }
}

/// The caller may have stopped waiting; the decision holds anyway.
fn answer(reply: AcceptReply, result: Result<Accepted, AcceptError>) {
    _ = reply.send(result);
}
