//! The start and the end of an attempt.

use crate::clock::Millis;
use crate::command::Done;
use crate::group::Group;
use crate::index::{Entry, Stand};
use crate::known::Known;
use crate::progress::EntryProgress;
use crate::record::{End, Location, Note, Phase};
use crate::tries::{Tried, TryOutcome};
use crate::writer::Writer;

impl Writer {
    pub(crate) fn begin(&mut self, group: &mut Group, seq: u64, at: Millis, done: Done) {
        let stand = self.shared.core.lock().index.get(seq).map(Entry::stand);
        if stand == Some(Stand::InFlight) {
            self.push(group, Note::Attempt { seq, at }, Some(done));
        }
    }

    pub(crate) fn end(
        &mut self,
        group: &mut Group,
        seq: u64,
        tried: &Tried,
        known: Option<Known>,
        done: Option<Done>,
    ) {
        let now = self.shared.clock.now();
        let entry = {
            let mut core = self.shared.core.lock();
            let Some(entry) = core.index.get(seq).copied() else { return };
            core.learn(entry.to, tried.outcome, now);
            entry
        };
        let known = known.filter(|known| known.at == entry.at);
        let known = known.or_else(|| self.shared.known(seq).ok());
        let (home, mut progress) = match known {
            Some(known) => (known.home, known.progress),
            None => (entry.at, EntryProgress::default()),
        };
        if let Some(Note::State { progress: latest, .. }) = self.unwritten.get(&seq) {
            progress.clone_from(latest);
        }
        let note = if tried.outcome.is_delivered() {
            self.delivered(seq, home, progress, tried, now)
        } else if entry.stand() == Stand::InFlight {
            let phase = self.after_failure(entry.to, &mut progress, tried, now);
            Note::State { seq, home, phase, progress }
        } else {
            // It was discarded or given back meanwhile: that holds.
            return;
        };
        group.must_flush |= matches!(note, Note::State { phase: Phase::Dead { .. }, .. });
        self.push(group, note, done);
    }

    pub(crate) fn delivered(
        &self,
        seq: u64,
        home: Location,
        mut progress: EntryProgress,
        tried: &Tried,
        now: Millis,
    ) -> Note {
        if self.limits.keep_delivered == 0 {
            return Note::Gone { seq, home, end: End::Delivered };
        }
        progress.note(tried);
        let until = now.saturating_add(self.limits.keep_delivered);
        Note::State { seq, home, phase: Phase::Delivered { until }, progress }
    }

    pub(crate) fn after_failure(
        &mut self,
        to: u16,
        progress: &mut EntryProgress,
        tried: &Tried,
        now: Millis,
    ) -> Phase {
        let core = self.shared.core.lock();
        let destination = core.destinations.get(usize::from(to));
        let policy = destination.and_then(|found| found.policy.clone()).unwrap_or_default();
        let paused = destination.map_or(0, |found| found.paused_between(progress.budget_from, now));
        policy.after_failure(progress, tried, now, paused, &mut self.random)
    }

    /// What cannot be read is set aside, never tried again by itself.
    pub(crate) fn set_aside(&mut self, group: &mut Group, seq: u64) {
        let entry = self.shared.core.lock().index.get(seq).copied();
        let Some(entry) = entry.filter(|entry| entry.stand() == Stand::InFlight) else { return };
        let known = self.shared.known(seq).ok();
        let (home, progress) = match known {
            Some(known) => (known.home, known.progress),
            None => (entry.at, EntryProgress::default()),
        };
        self.trouble("a stored event does not read; it was set aside as dead");
        let phase = Phase::Dead { at: self.shared.clock.now() };
        group.must_flush = true;
        self.push(group, Note::State { seq, home, phase, progress }, None);
    }
}

/// How an attempt that a crash cut off is noted.
pub(crate) fn interrupted(since: Millis) -> Tried {
    Tried { uncertain: true, ..Tried::new(since, TryOutcome::Broken) }
}
