//! From an event that was handed in to the record that is written.

use crate::clock::Millis;
use crate::command::{AcceptReply, WriterCommand};
use crate::event::{Accept, AcceptError, AcceptTarget, Accepted, EntryState, Limit, Live, Stored};
use crate::frame;
use crate::group::{Group, GroupStep};
use crate::index::Stand;
use crate::logged::LoggedAttempt;
use crate::plan::{Plan, PlannedPart};
use crate::progress::EntryProgress;
use crate::record::{End, Location, Note, Phase};
use crate::shared::state;
use crate::writer::Writer;
use std::sync::Arc;

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
        let pending: u64 = self.pending.iter().map(|group| group.accepted_bytes).sum();
        let held = self.shared.core.lock().live_bytes.saturating_add(pending);
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
                    Phase::InFlight { since } => Stored::UnderWay(LoggedAttempt::of(
                        Arc::clone(&self.shared),
                        seq,
                        (plan.accept.source.as_str().into(), part.to.as_str().into()),
                        since.min(now),
                        true,
                    )),
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
