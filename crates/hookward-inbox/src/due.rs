//! What to do next: due entries, expired entries, the longest wait.

use crate::clock::{Millis, millis};
use crate::core::{Core, EXPIRY_BITS, TakenEntry};
use crate::index::{Entry, Stand};
use crate::lanes::LaneId;
use crate::policy::Policy;
use crate::record::Phase;

/// A clock that steps back by less is not worth a look.
const STEP: Millis = 1_000;

impl Core {
    /// Takes over a configuration: destinations that it does not name keep their entries.
    pub(crate) fn configure(
        &mut self,
        policies: &[(String, Policy)],
        sources: Option<&[String]>,
        now: Millis,
    ) {
        for destination in &mut self.destinations {
            destination.policy = None;
        }
        for (name, policy) in policies {
            let number = self.intern(name);
            if let Some(destination) = self.destination(number) {
                destination.policy = Some(policy.clone());
            }
        }
        self.sources = sources.map(|names| names.iter().map(|name| self.intern(name)).collect());
        self.reschedule(now);
    }

    /// Schedules everything anew: after the log was read, a reload, or a clock that stepped back.
    pub(crate) fn reschedule(&mut self, now: Millis) {
        self.latest = now;
        for destination in &mut self.destinations {
            destination.clear_schedule();
        }
        let queued: Vec<(u64, u16, LaneId)> = self
            .index
            .from(0)
            .filter(|(_, entry)| entry.stand() == Stand::Queued)
            .map(|(seq, entry)| (seq, entry.to, entry.lane))
            .collect();
        for (seq, to, lane) in queued {
            if let Some(entry) = self.index.get_mut(seq) {
                entry.set_ready(false);
                entry.set_scheduled(false);
            }
            if lane == 0 || (self.lanes.head(lane) == Some(seq) && !self.lanes.is_held(lane)) {
                self.schedule(to, seq, now);
            }
        }
    }

    /// Takes what is due, as much as `room` gives each destination.
    pub(crate) fn take(
        &mut self,
        now: Millis,
        room: &mut dyn FnMut(&str) -> usize,
    ) -> Vec<TakenEntry> {
        self.watch_clock(now);
        let mut taken = Vec::new();
        for number in 0..u16::try_from(self.destinations.len()).unwrap_or(u16::MAX) {
            let name = self.names.name(number);
            let Some(destination) = self.destinations.get_mut(usize::from(number)) else { break };
            if destination.policy.is_none() {
                continue;
            }
            destination.advance(&mut self.index, now);
            if destination.ready_count == 0 || destination.allowed(1, now) == 0 {
                continue;
            }
            let mut left = destination.allowed(room(&name), now);
            while left > 0 {
                let Some(seq) = self.pop(number, now) else { break };
                taken.push(seq);
                left -= 1;
            }
        }
        taken
    }

    fn pop(&mut self, number: u16, now: Millis) -> Option<TakenEntry> {
        loop {
            let seq = self.destinations.get_mut(usize::from(number))?.pop(&mut self.index)?;
            let Some(&Entry { source, lane, to, .. }) = self.index.get(seq) else { continue };
            // Of a source that is not configured nothing is sent; a reload schedules it anew.
            let is_known = self.sources.as_ref().is_none_or(|known| known.contains(&source));
            let is_next =
                lane == 0 || (self.lanes.head(lane) == Some(seq) && !self.lanes.is_held(lane));
            if is_known && is_next {
                self.set_phase(seq, Phase::InFlight { since: now }, now);
                return Some(TakenEntry { seq, source, to });
            }
        }
    }

    /// A clock that stepped back must not stop what is waiting.
    fn watch_clock(&mut self, now: Millis) {
        if now.saturating_add(STEP) < self.latest {
            self.reschedule(now);
        }
        self.latest = self.latest.max(now);
    }

    /// When something may be to do.
    pub(crate) fn next_due(&self, now: Millis) -> Option<Millis> {
        self.destinations.iter().filter_map(|destination| destination.next_due(now)).min()
    }

    /// Entries whose time is over.
    pub(crate) fn expired(&mut self, now: Millis, most: usize) -> Vec<u64> {
        let mut expired = Vec::new();
        while let Some(slot) = self.expiry.first_entry()
            && *slot.key() < now >> EXPIRY_BITS
            && expired.len() < most
        {
            for seq in slot.remove() {
                if self.is_over(seq.into(), now) {
                    expired.push(seq.into());
                }
            }
        }
        expired
    }

    fn is_over(&self, seq: u64, now: Millis) -> bool {
        self.index.get(seq).is_some_and(|entry| {
            matches!(entry.stand(), Stand::Dead | Stand::Delivered | Stand::Discarded)
                && entry.due() <= now
        })
    }

    /// The entry of a destination that has waited longest.
    pub(crate) fn oldest(&mut self, number: u16) -> Option<Millis> {
        let destination = self.destinations.get_mut(usize::from(number))?;
        if destination.counts.queued + destination.counts.in_flight == 0 {
            destination.oldest = self.next_seq;
            return None;
        }
        let mut waiting = self.index.from(destination.oldest).filter(|(_, entry)| {
            entry.to == number && matches!(entry.stand(), Stand::Queued | Stand::InFlight)
        });
        let (seq, entry) = waiting.next()?;
        destination.oldest = seq;
        Some(entry.accepted())
    }

    /// Entries that are being sent: their number, since when, and how long an uncertain one waits.
    pub(crate) fn in_flight(&self) -> Vec<(u64, Millis, Millis)> {
        let hold = |to: u16| {
            let policy = self.destinations.get(usize::from(to)).and_then(|d| d.policy.as_ref());
            millis(policy.map_or(Policy::default().uncertain_hold, |policy| policy.uncertain_hold))
        };
        let all = self.index.from(0).filter(|(_, entry)| entry.stand() == Stand::InFlight);
        all.map(|(seq, entry)| (seq, entry.due(), hold(entry.to))).collect()
    }

    /// Undoes a take.
    pub(crate) fn put_back(&mut self, seq: u64, phase: Phase, now: Millis) {
        self.set_phase(seq, phase, now);
    }
}
