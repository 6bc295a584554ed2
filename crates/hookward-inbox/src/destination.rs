//! One destination: due and waiting entries, and how many are sent at once.

use crate::clock::{Millis, millis};
use crate::index::{Index, Stand, U48};
use crate::policy::Policy;
use crate::ramp::Ramp;
use crate::record::Pause;
use crate::tries::TryOutcome;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Timers share a slot of 64 ms.
const SLOT_BITS: u32 = 6;
const PAUSES_KEPT: usize = 1_000;

/// How many entries are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Due or waiting.
    pub(crate) queued: u64,
    pub(crate) in_flight: u64,
    pub(crate) dead: u64,
    pub(crate) delivered: u64,
    pub(crate) discarded: u64,
}

impl Counts {
    pub(crate) fn of(&mut self, stand: Stand) -> &mut u64 {
        match stand {
            Stand::Queued => &mut self.queued,
            Stand::InFlight => &mut self.in_flight,
            Stand::Dead => &mut self.dead,
            Stand::Delivered => &mut self.delivered,
            Stand::Discarded => &mut self.discarded,
        }
    }
}

/// How many entries ended how since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Accepted by the receiver.
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
    /// Discarded by an operator.
    pub discarded: u64,
    /// Superseded by a newer delivery after they had died.
    pub revived: u64,
    /// Erased.
    pub erased: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Absent where the configuration no longer has it: its entries wait.
    pub(crate) policy: Option<Policy>,
    pub(crate) counts: Counts,
    pub(crate) ends: Ends,
    pub(crate) blocked_lanes: u64,
    pub(crate) bytes: u64,
    pub(crate) pauses: Vec<Pause>,
    /// No entry that waits has a lower number.
    pub(crate) oldest: u64,
    pub(crate) ready_count: u64,
    ready: VecDeque<U48>,
    timers: BTreeMap<u64, Vec<U48>>,
    ramp: Ramp,
}

impl Backlog {
    /// Puts an entry that was not scheduled where it belongs.
    pub(crate) fn schedule(&mut self, index: &mut Index, seq: u64, now: Millis) {
        let Some(entry) = index.get_mut(seq) else { return };
        entry.set_scheduled(true);
        // A clock that stepped back must not make anything wait longer than it may.
        let latest = now.saturating_add(self.longest_wait());
        if entry.due() > latest {
            entry.set_due(latest);
        }
        if entry.due() <= now {
            self.make_ready(index, seq);
        } else {
            self.timers.entry(entry.due() >> SLOT_BITS).or_default().push(seq.into());
        }
    }

    fn longest_wait(&self) -> Millis {
        let policy = self.policy.clone().unwrap_or_default();
        millis(policy.longest.max(policy.uncertain_hold))
    }

    fn make_ready(&mut self, index: &mut Index, seq: u64) {
        if let Some(entry) = index.get_mut(seq) {
            entry.set_ready(true);
            self.ready_count += 1;
            self.ready.push_back(seq.into());
        }
    }

    /// Takes an entry out of the schedule. What is left in the queues is passed over.
    pub(crate) fn unschedule(&mut self, index: &mut Index, seq: u64) {
        if let Some(entry) = index.get_mut(seq) {
            if entry.is_ready() {
                self.ready_count = self.ready_count.saturating_sub(1);
            }
            entry.set_ready(false);
            entry.set_scheduled(false);
        }
    }

    /// Forgets the schedule; every entry has to be scheduled again.
    pub(crate) fn clear_schedule(&mut self) {
        self.ready = VecDeque::new();
        self.timers = BTreeMap::new();
        self.ready_count = 0;
        self.ramp.go_on();
    }

    /// Makes ready what became due.
    pub(crate) fn advance(&mut self, index: &mut Index, now: Millis) {
        let current = now >> SLOT_BITS;
        while let Some(slot) = self.timers.first_entry().filter(|slot| *slot.key() <= current) {
            let key = *slot.key();
            let mut later = Vec::new();
            for seq in slot.remove() {
                let waits = index
                    .get(seq.into())
                    .filter(|entry| entry.is_scheduled() && !entry.is_ready())
                    .map(crate::index::Entry::due);
                match waits {
                    Some(due) if due <= now => self.make_ready(index, seq.into()),
                    Some(due) if due >> SLOT_BITS == key => later.push(seq),
                    _ => {}
                }
            }
            if !later.is_empty() {
                self.timers.insert(key, later);
            }
            if key == current {
                break;
            }
        }
    }

    /// The next entry that is due; it leaves the schedule.
    pub(crate) fn pop(&mut self, index: &mut Index) -> Option<u64> {
        self.skip_stale(index);
        let seq = self.ready.pop_front()?.into();
        self.unschedule(index, seq);
        Some(seq)
    }

    /// Since when the next entry has been due.
    pub(crate) fn due_since(&mut self, index: &Index) -> Option<Millis> {
        self.skip_stale(index);
        index.get((*self.ready.front()?).into()).map(crate::index::Entry::due)
    }

    fn skip_stale(&mut self, index: &Index) {
        let is_ready =
            |seq: &U48| index.get((*seq).into()).is_some_and(crate::index::Entry::is_ready);
        while self.ready.front().is_some_and(|seq| !is_ready(seq)) {
            self.ready.pop_front();
        }
    }

    /// When something may be to do; `None` if only an answer or a new event can change that.
    pub(crate) fn next_due(&self, now: Millis) -> Option<Millis> {
        self.policy.as_ref()?;
        if let Some(pause) = self.pause_at(now) {
            return (pause.until != 0).then_some(pause.until);
        }
        let timer = self.timers.keys().next().map(|slot| slot << SLOT_BITS);
        let ready = (self.ready_count > 0).then_some(now.max(self.ramp.not_before()));
        timer.into_iter().chain(ready).min().map(|due| due.max(self.ramp.not_before()))
    }

    /// How many entries may be taken now, given so much room.
    pub(crate) fn allowed(&self, room: usize, now: Millis) -> usize {
        if self.policy.is_none() || self.pause_at(now).is_some() {
            return 0;
        }
        self.ramp.allowed(room, self.counts.in_flight, now)
    }

    /// Whether it is down, or on its way up.
    pub(crate) fn is_down(&self) -> bool {
        !self.ramp.is_complete()
    }

    /// Learns from an answer; whoever keeps count of what is down calls
    /// [`Core::learn`](crate::core::Core::learn).
    pub(crate) fn learn(&mut self, outcome: TryOutcome, now: Millis) {
        self.ramp.learn(outcome, self.policy.as_ref(), now);
    }

    /// The pause that is in force.
    pub(crate) fn pause_at(&self, now: Millis) -> Option<&Pause> {
        self.pauses.iter().rev().find(|pause| pause.holds_at(now))
    }

    /// How long it was paused between two times.
    pub(crate) fn paused_between(&self, from: Millis, to: Millis) -> Millis {
        self.pauses.iter().map(|pause| pause.within(from, to)).sum()
    }

    /// Forgets pauses that no budget can depend on any more.
    pub(crate) fn prune_pauses(&mut self, now: Millis) {
        let keep = self
            .policy
            .as_ref()
            .map_or(Duration::from_hours(24 * 30), |policy| policy.give_up_after.saturating_mul(2));
        let horizon = now.saturating_sub(millis(keep));
        self.pauses.retain(|pause| pause.until == 0 || pause.until >= horizon);
        let excess = self.pauses.len().saturating_sub(PAUSES_KEPT);
        self.pauses.drain(..excess);
    }
}
