//! Entries that are moved to another destination.
//!
//! A moved entry is written anew, under a number of its own, by a record that says which entry it
//! supersedes: the log has either the one or the other, whenever the process ends. It keeps its
//! place in the order of its key.

use crate::clock::Millis;
use crate::command::{Change, ChangeError, Reply};
use crate::group::Group;
use crate::inbox::Inbox;
use crate::index::Stand;
use crate::plan::{Plan, PlannedPart};
use crate::record::{End, Location, LogRecord, Note, Phase};
use crate::writer::Writer;
use std::collections::HashSet;
use std::io;

/// So many entries are changed at once.
const PART: usize = 1_000;

/// What is copied with one flush.
const FLUSHED_BYTES: usize = 4 << 20;

/// An entry that is about to be moved. Nobody sends it meanwhile.
struct HeldEntry {
    seq: u64,
    due: Millis,
    plan: Plan,
}

impl Inbox {
    /// Moves entries that wait to another destination, where each is due now, with a budget of its
    /// own and a new number. The order of a key, the time of acceptance and the history stay. One that
    /// is not waiting, or whose event that destination has an entry of, stays as it is.
    ///
    /// Gives how many were moved, durably.
    ///
    /// # Errors
    /// If the change is not durable. Some may have been moved then.
    pub async fn move_to(&self, seqs: Vec<u64>, to: &str, by: &str) -> Result<usize, ChangeError> {
        // The first of a key first, so that none is overtaken on its way.
        let seqs = self.shared.core.lock().in_order(seqs);
        let (to, by) = (|| to.to_owned(), || by.to_owned());
        self.in_parts(&seqs, |seqs, reply| Change::Move { seqs, to: to(), by: by(), reply }).await
    }

    /// Changes many entries, a part with each flush; between two of them others have their turn.
    pub(crate) async fn in_parts(
        &self,
        seqs: &[u64],
        change: impl Fn(Vec<u64>, Reply<usize>) -> Change,
    ) -> Result<usize, ChangeError> {
        let mut changed = 0;
        for some in seqs.chunks(PART) {
            changed += self.change(|reply| change(some.to_vec(), reply)).await?;
        }
        Ok(changed)
    }
}

impl Writer {
    /// Moves the entries that wait to another destination, and gives how many. One whose event is
    /// there already stays where it is.
    pub(crate) fn move_to(&mut self, seqs: &[u64], to: &str, by: &str) -> io::Result<usize> {
        let (mut batch, mut bytes, mut changed) = (Vec::new(), 0, 0);
        let mut events = HashSet::new();
        for seq in seqs {
            let Some(held) = self.hold(*seq, to, by) else { continue };
            let accept = &held.plan.accept;
            let event = self.shared.core.lock().hash(&accept.source, &accept.id, to);
            if !events.insert(event) || bytes >= FLUSHED_BYTES {
                changed += self.write_moved(std::mem::take(&mut batch))?;
                bytes = 0;
                events = HashSet::from([event]);
            }
            let accept = &held.plan.accept;
            if self.shared.find(&accept.source, &accept.id, to).is_some() {
                self.let_go(held.seq, held.due);
                continue;
            }
            bytes += accept.head.len() + accept.body.len();
            batch.push(held);
        }
        Ok(changed + self.write_moved(batch)?)
    }

    /// Takes an entry that waits, so that nobody sends it, and plans its successor.
    fn hold(&mut self, seq: u64, to: &str, by: &str) -> Option<HeldEntry> {
        let now = self.shared.clock.now();
        let (due, place) = {
            let mut core = self.shared.core.lock();
            let entry = *core.index.get(seq)?;
            if entry.stand() != Stand::Queued || *core.names.name(entry.to) == *to {
                return None;
            }
            let place = core.lanes.place(entry.lane, seq);
            core.set_phase(seq, Phase::InFlight { since: now }, now);
            (entry.due(), place)
        };
        let plan = self.successor(seq, to, by, place, now);
        if plan.is_none() {
            self.let_go(seq, due);
        }
        Some(HeldEntry { seq, due, plan: plan? })
    }

    /// The record of the entry that supersedes one: due now, with a budget of its own.
    fn successor(
        &mut self,
        seq: u64,
        to: &str,
        by: &str,
        place: Option<u64>,
        now: Millis,
    ) -> Option<Plan> {
        let known = self.shared.known(seq).ok()?;
        let payload = self.shared.shelf.read(known.home).ok()?;
        let Ok(LogRecord::Accept(record)) = payload.record() else { return None };
        let old = record.parts.iter().find(|part| part.seq == seq)?;
        let mut progress = match self.unwritten.get(&seq) {
            Some(Note::State { progress, .. }) => progress.clone(),
            _ => known.progress,
        };
        progress.moved(now, old.to, by);
        let part = PlannedPart {
            seq: {
                let mut core = self.shared.core.lock();
                let next = core.next_seq.max(1);
                core.next_seq = next + 1;
                next
            },
            to: to.to_owned(),
            place: place.unwrap_or(old.place),
            revives: seq,
            revives_home: known.home,
            phase: Phase::Queued { due: now },
            progress,
        };
        Some(Plan::copy(&record, Location::default(), vec![part], true))
    }

    /// Gives an entry back that was not moved.
    fn let_go(&self, seq: u64, due: Millis) {
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock();
        if core.index.get(seq).is_some_and(|entry| entry.stand() == Stand::InFlight) {
            core.set_phase(seq, Phase::Queued { due }, now);
        }
        drop(core);
        self.shared.wake.notify_waiters();
    }

    fn write_moved(&mut self, batch: Vec<HeldEntry>) -> io::Result<usize> {
        let held: Vec<(u64, Millis)> = batch.iter().map(|held| (held.seq, held.due)).collect();
        let written = self.write_successors(batch);
        if written.is_err() {
            for (seq, due) in &held {
                self.let_go(*seq, *due);
            }
        }
        written.map(|()| held.len())
    }

    fn write_successors(&mut self, batch: Vec<HeldEntry>) -> io::Result<()> {
        self.make_room()?;
        let mut group = Group { must_flush: true, ..Group::default() };
        let mut gone = Vec::with_capacity(batch.len());
        for HeldEntry { plan, .. } in batch {
            gone.extend(plan.parts.iter().map(|part| Note::Gone {
                seq: part.revives,
                home: part.revives_home,
                end: End::Expired,
            }));
            self.push_accept(&mut group, plan)?;
        }
        // The records say it too, but may be gone before those of the superseded ones are.
        for note in gone {
            self.push_copy(&mut group, note)?;
        }
        self.commit_group(group)
    }
}
