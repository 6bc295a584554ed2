//! The state of all entries, and what to do next: a state machine that neither reads a clock nor
//! touches a file.
//!
//! Records of the log are applied to it, the same way at the start and while it runs; only
//! [`Core::take`] runs ahead of the log.

use crate::clock::Millis;
use crate::destination::Backlog;
use crate::index::{Entry, EntrySize, Index, Stand, U48};
use crate::lanes::{LaneId, Lanes};
use crate::named::EventNames;
use crate::names::NameTable;
use crate::record::{AcceptRecord, End, EventPart, Location, Note, Pause, Phase};
use crate::usage::Usage;
use crate::usual::Usual;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Expiry is looked at in slots of 4 s.
pub(crate) const EXPIRY_BITS: u32 = 12;

/// An entry that was taken to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenEntry {
    pub(crate) seq: u64,
    pub(crate) source: u16,
    pub(crate) to: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Core {
    pub(crate) names: NameTable,
    /// Entries by other names of their events.
    pub(crate) named: EventNames,
    pub(crate) index: Index,
    pub(crate) lanes: Lanes,
    pub(crate) destinations: Vec<Backlog>,
    pub(crate) usage: Usage,
    pub(crate) usual: Arc<Usual>,
    pub(crate) keep_dead: Millis,
    /// Of accept records whose entries are there.
    pub(crate) live_bytes: u64,
    pub(crate) next_seq: u64,
    /// Sources that the configuration has; `None`: all.
    pub(crate) sources: Option<HashSet<u16>>,
    /// While the log is read nothing is scheduled.
    pub(crate) is_recovering: bool,
    pub(crate) expiry: BTreeMap<u64, Vec<U48>>,
    hasher: RandomState,
    pub(crate) latest: Millis,
}

impl Core {
    /// Nothing is known yet; the log is about to be read.
    pub(crate) fn recovering(keep_dead: Millis) -> Self {
        Self { keep_dead, next_seq: 1, is_recovering: true, ..Self::default() }
    }

    pub(crate) fn hash(&self, source: &str, id: &str, to: &str) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one((source, id, to)).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn key_hash(&self, key: &[u8; 16], to: &str) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one((key, to, "key")).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn lane_hash(&self, source: &str, to: &str, key: &str) -> u64 {
        self.hasher.hash_one((source, to, key, "lane"))
    }

    /// The number of a name, and room for what belongs to it.
    pub(crate) fn intern(&mut self, name: &str) -> u16 {
        let number = self.names.intern(name).unwrap_or(u16::MAX);
        while self.destinations.len() <= usize::from(number) {
            self.destinations.push(Backlog::default());
        }
        number
    }

    pub(crate) fn destination(&mut self, number: u16) -> Option<&mut Backlog> {
        self.destinations.get_mut(usize::from(number))
    }

    pub(crate) fn schedule(&mut self, to: u16, seq: u64, now: Millis) {
        if let Some(destination) = self.destinations.get_mut(usize::from(to)) {
            destination.schedule(&mut self.index, seq, now);
        }
    }

    /// Applies an accept record at `at` that takes `size` bytes there.
    pub(crate) fn accept(
        &mut self,
        record: &AcceptRecord<'_>,
        at: Location,
        size: u64,
        now: Millis,
    ) {
        self.usage.placed(at, size);
        let count = u64::try_from(record.parts.len()).unwrap_or(1).max(1);
        let share = EntrySize::of(size.div_ceil(count));
        for part in &record.parts {
            self.next_seq = self.next_seq.max(part.seq + 1);
            if part.revives != 0 {
                let old = self.index.get(part.revives).map(|entry| self.names.name(entry.to));
                let is_moved = old.is_some_and(|old| *old != *part.to);
                let end = if is_moved { End::Expired } else { End::Revived };
                self.remove(part.revives, part.revives_home, end, now);
            }
            if self.index.get(part.seq).is_some() {
                self.moved(part.seq, record.copied_from, at, share, now);
                // A copy must not undo that its entry was taken meanwhile.
                if !self.is_recovering {
                    continue;
                }
            } else {
                self.add(record, part, at, share);
            }
            self.set_phase(part.seq, part.phase, now);
        }
    }

    fn add(
        &mut self,
        record: &AcceptRecord<'_>,
        part: &EventPart<'_>,
        at: Location,
        size: EntrySize,
    ) {
        let source = self.intern(record.source);
        let to = self.intern(part.to);
        let mut entry = Entry::default();
        entry.hash = self.hash(record.source, record.id, part.to);
        entry.at = at;
        entry.to = to;
        entry.source = source;
        entry.size = size;
        entry.set_accepted(record.accepted_at);
        entry.set_holds(record.holds);
        if let Some(key) = record.order_key {
            entry.lane = self.lanes.open(self.lane_hash(record.source, part.to, key));
            self.lanes.join(entry.lane, part.place, part.seq);
        }
        self.index.insert(part.seq, entry);
        for key in record.keys.as_chunks::<16>().0 {
            let hash = self.key_hash(key, part.to);
            self.named.insert(hash, part.seq, |seq| self.index.get(seq).is_some());
        }
        self.usage.lives(at, size.bytes());
        self.live_bytes += size.bytes();
        if let Some(destination) = self.destination(to) {
            destination.counts.queued += 1;
            destination.bytes += size.bytes();
            destination.oldest = destination.oldest.min(part.seq);
        }
    }

    /// An accept record was copied forward.
    fn moved(&mut self, seq: u64, from: Location, at: Location, size: EntrySize, now: Millis) {
        let Some(entry) = self.index.get_mut(seq) else { return };
        let old = std::mem::replace(&mut entry.size, size);
        entry.at = at;
        entry.set_noted(false);
        let to = entry.to;
        self.usage.ended(from, old.bytes(), now);
        self.usage.lives(at, size.bytes());
        self.live_bytes = (self.live_bytes + size.bytes()).saturating_sub(old.bytes());
        if let Some(destination) = self.destination(to) {
            destination.bytes = (destination.bytes + size.bytes()).saturating_sub(old.bytes());
        }
        if self.is_recovering
            && let Some(segment) = self.usage.segments.get_mut(&from.segment)
        {
            segment.is_half_copied = true;
        }
    }

    /// The same numbers, each once, by their places in the orders of their keys.
    pub(crate) fn in_order(&self, seqs: Vec<u64>) -> Vec<u64> {
        let place = |seq: u64| {
            let lane = self.index.get(seq).map_or(0, |entry| entry.lane);
            self.lanes.place(lane, seq).unwrap_or(seq)
        };
        let mut placed: Vec<(u64, u64)> = seqs.into_iter().map(|seq| (place(seq), seq)).collect();
        placed.sort_unstable();
        placed.dedup();
        placed.into_iter().map(|(_, seq)| seq).collect()
    }

    /// Applies a note. `at` is absent if the note could not be written yet.
    pub(crate) fn note(&mut self, note: &Note, at: Option<(Location, u64)>, now: Millis) {
        if let Some((at, size)) = at {
            self.usage.placed(at, size);
        }
        let at = at.map(|(at, _)| at);
        match note {
            Note::State { seq, home, phase, .. } => {
                self.next_seq = self.next_seq.max(seq + 1);
                if let Some(at) = at {
                    self.usage.speaks_of(at, *home);
                    if let Some(entry) = self.index.get_mut(*seq) {
                        entry.at = at;
                        entry.set_noted(true);
                    }
                }
                self.set_phase(*seq, *phase, now);
            }
            Note::Attempt { seq, at: since } => {
                self.next_seq = self.next_seq.max(seq + 1);
                self.set_phase(*seq, Phase::InFlight { since: *since }, now);
            }
            Note::Gone { seq, home, end } => {
                self.next_seq = self.next_seq.max(seq + 1);
                if let Some(at) = at {
                    self.usage.speaks_of(at, *home);
                }
                // A note about a record that was replaced by a later one says nothing of that.
                let is_replaced = |entry: &Entry| !entry.is_noted() && entry.at != *home;
                if !self.index.get(*seq).is_some_and(is_replaced) {
                    self.remove(*seq, *home, *end, now);
                }
            }
            Note::Scrubbed { home } => {
                if let Some(at) = at {
                    self.usage.speaks_of(at, *home);
                }
            }
            Note::Pauses(pauses) => self.set_pauses(pauses),
        }
    }

    /// A note was copied forward from one segment to another.
    pub(crate) fn relocate(&mut self, note: &Note, at: Location, size: u64) {
        self.usage.placed(at, size);
        match note {
            Note::State { seq, home, .. } => {
                self.usage.speaks_of(at, *home);
                if let Some(entry) = self.index.get_mut(*seq) {
                    entry.at = at;
                    entry.set_noted(true);
                }
            }
            Note::Gone { home, .. } | Note::Scrubbed { home } => self.usage.speaks_of(at, *home),
            Note::Attempt { .. } | Note::Pauses(_) => {}
        }
    }

    /// The state of an entry, as the log keeps it.
    pub(crate) fn phase(&self, entry: &Entry) -> Phase {
        let due = entry.due();
        match entry.stand() {
            Stand::Queued => Phase::Queued { due },
            Stand::InFlight => Phase::InFlight { since: due },
            Stand::Dead => Phase::Dead { at: due.saturating_sub(self.keep_dead) },
            Stand::Delivered => Phase::Delivered { until: due },
            Stand::Discarded => Phase::Discarded { until: due },
        }
    }

    /// All pauses that still matter.
    pub(crate) fn pauses(&mut self, now: Millis) -> Vec<Pause> {
        self.destinations.iter_mut().for_each(|destination| destination.prune_pauses(now));
        self.destinations
            .iter()
            .flat_map(|destination| destination.pauses.iter().cloned())
            .collect()
    }

    pub(crate) fn set_phase(&mut self, seq: u64, phase: Phase, now: Millis) {
        let Some(&entry) = self.index.get(seq) else { return };
        let Entry { to, lane, .. } = entry;
        let before = entry.stand();
        let (stand, due) = match phase {
            Phase::Queued { due } => (Stand::Queued, due),
            Phase::InFlight { since } => (Stand::InFlight, since),
            Phase::Dead { at } => (Stand::Dead, at.saturating_add(self.keep_dead)),
            Phase::Delivered { until } => (Stand::Delivered, until),
            Phase::Discarded { until } => (Stand::Discarded, until),
        };
        if let Some(destination) = self.destinations.get_mut(usize::from(to)) {
            destination.unschedule(&mut self.index, seq);
            let old = destination.counts.of(before);
            *old = old.saturating_sub(1);
            *destination.counts.of(stand) += 1;
            if matches!(stand, Stand::Queued | Stand::InFlight) {
                destination.oldest = destination.oldest.min(seq);
            }
            if !self.is_recovering && stand != before {
                match stand {
                    Stand::Dead => destination.ends.dead += 1,
                    Stand::Delivered => destination.ends.delivered += 1,
                    Stand::Discarded => destination.ends.discarded += 1,
                    Stand::Queued | Stand::InFlight => {}
                }
            }
        }
        let Some(entry) = self.index.get_mut(seq) else { return };
        entry.set_stand(stand);
        entry.set_due(due);
        let holds = entry.holds();
        if matches!(stand, Stand::Delivered | Stand::Discarded) {
            entry.lane = 0;
            self.lanes.leave(lane, seq);
        } else if stand == Stand::Dead && !holds {
            self.lanes.stand_aside(lane, seq);
        } else if before == Stand::Dead && stand != Stand::Dead {
            self.lanes.return_to_place(lane, seq);
        }
        match stand {
            Stand::Queued if lane == 0 && !self.is_recovering => self.schedule(to, seq, now),
            Stand::Queued | Stand::InFlight => {}
            Stand::Dead | Stand::Delivered | Stand::Discarded => {
                self.expiry.entry(due >> EXPIRY_BITS).or_default().push(seq.into());
            }
        }
        self.refresh_lane(lane, to, now);
    }

    /// Sees to it that the head of a lane is scheduled, and that a blocked one is counted.
    pub(crate) fn refresh_lane(&mut self, lane: LaneId, to: u16, now: Millis) {
        if lane == 0 {
            return;
        }
        let head = self.lanes.head(lane);
        let entry = head.and_then(|seq| self.index.get(seq)).copied().unwrap_or_default();
        let is_blocked = head.is_some() && entry.stand() == Stand::Dead;
        if self.lanes.set_blocked(lane, is_blocked)
            && let Some(destination) = self.destination(to)
        {
            let count = destination.blocked_lanes;
            destination.blocked_lanes =
                if is_blocked { count + 1 } else { count.saturating_sub(1) };
        }
        if let Some(seq) = head
            && entry.stand() == Stand::Queued
            && !entry.is_scheduled()
            && !self.is_recovering
            && !self.lanes.is_held(lane)
        {
            self.schedule(to, seq, now);
        }
    }

    fn remove(&mut self, seq: u64, home: Location, end: End, now: Millis) {
        let Some(&Entry { to, lane, .. }) = self.index.get(seq) else { return };
        if let Some(destination) = self.destinations.get_mut(usize::from(to)) {
            destination.unschedule(&mut self.index, seq);
        }
        let Some(entry) = self.index.remove(seq) else { return };
        let bytes = entry.size.bytes();
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        self.usage.ended(home, bytes, now);
        let is_recovering = self.is_recovering;
        if let Some(destination) = self.destination(to) {
            let count = destination.counts.of(entry.stand());
            *count = count.saturating_sub(1);
            destination.bytes = destination.bytes.saturating_sub(bytes);
            match end {
                _ if is_recovering => {}
                End::Delivered => destination.ends.delivered += 1,
                End::Erased => destination.ends.erased += 1,
                End::Revived => destination.ends.revived += 1,
                End::Expired => {}
            }
        }
        self.lanes.leave(lane, seq);
        self.refresh_lane(lane, to, now);
    }

    /// Entries that can be this one; the log tells which of them are.
    pub(crate) fn candidates(&self, source: &str, id: &str, to: &str) -> Vec<(u64, Entry)> {
        // So it is while every receiver is well, and every delivery asks.
        if self.index.len() == 0 {
            return Vec::new();
        }
        let (Some(source_number), Some(to_number)) =
            (self.names.number(source), self.names.number(to))
        else {
            return Vec::new();
        };
        self.index
            .with_hash(self.hash(source, id, to))
            .into_iter()
            .filter_map(|seq| Some((seq, *self.index.get(seq)?)))
            .filter(|(_, entry)| entry.source == source_number && entry.to == to_number)
            .collect()
    }
}
