//! Writing a group: it is flushed if somebody waits for that, and then applied.

use crate::clock::instant;
use crate::command::Done;
use crate::core::Core;
use crate::group::{Group, GroupStep, PendingGroup, refusal, subject};
use crate::plan::Plan;
use crate::record::{Note, Phase};
use crate::writer::Writer;
use std::collections::BTreeMap;
use std::io;
use tokio::sync::oneshot;

impl Writer {
    pub(crate) fn push(&mut self, group: &mut Group, note: Note, done: Option<Done>) {
        let before = group.bytes.len();
        let subject = subject(&note);
        if let Ok((at, size)) = self.log.note(&mut group.bytes, &note) {
            group.touched.extend(subject);
            group.steps.push(GroupStep::Note { note, at, size, done });
        } else {
            group.bytes.truncate(before);
            self.keep_in_memory(note);
        }
    }

    /// Writes notes that are to be durable before anything else is done.
    pub(crate) fn write_durably(&mut self, notes: Vec<Note>) -> io::Result<()> {
        self.make_room()?;
        let mut group = Group { must_flush: true, ..Group::default() };
        for note in notes {
            self.push(&mut group, note, None);
        }
        self.commit_group(group)
    }

    /// Writes copies of accept records and of notes durably.
    pub(crate) fn write_copies(&mut self, copies: Vec<Plan>, notes: Vec<Note>) -> io::Result<()> {
        self.make_room()?;
        let mut group = Group { must_flush: true, ..Group::default() };
        for plan in copies {
            self.push_accept(&mut group, plan)?;
        }
        for note in notes {
            self.push_copy(&mut group, note)?;
        }
        self.commit_group(group)
    }

    /// Adds an accept record that no sender waits for.
    pub(crate) fn push_accept(&mut self, group: &mut Group, plan: Plan) -> io::Result<()> {
        let (at, size) = self.log.accept(&mut group.bytes, &plan.record())?;
        let (reply, _) = oneshot::channel();
        group.steps.push(GroupStep::Accept { plan: Box::new(plan), at, size, reply });
        Ok(())
    }

    /// Adds a note that changes nothing but its own place.
    pub(crate) fn push_copy(&mut self, group: &mut Group, note: Note) -> io::Result<()> {
        let (at, size) = self.log.note(&mut group.bytes, &note)?;
        group.steps.push(GroupStep::Copy { note, at, size });
        Ok(())
    }

    /// Replaces accept records by others.
    pub(crate) fn replace(&mut self, replaced: Vec<(Note, Plan)>) -> io::Result<()> {
        self.make_room()?;
        let mut group = Group { must_flush: true, ..Group::default() };
        for (gone, plan) in replaced {
            let gone_at = self.log.note(&mut group.bytes, &gone)?;
            let (at, size) = self.log.accept(&mut group.bytes, &plan.record())?;
            group.steps.push(GroupStep::Replace { gone, gone_at, plan: Box::new(plan), at, size });
        }
        self.commit_group(group)
    }

    /// Writes a group. If somebody waits for that, it is applied once it is durable, else at once.
    pub(crate) fn commit(&mut self, group: Group) {
        if group.steps.is_empty() {
            return;
        }
        if let Err(error) = self.log.write(&group.bytes) {
            return self.write_failed(group.steps, &error);
        }
        if !group.must_flush {
            return self.apply(group.steps, false);
        }
        let Group { steps, touched, accepted_bytes, .. } = group;
        let end = self.log.length();
        self.pending.push_back(PendingGroup { steps, touched, accepted_bytes, end });
        self.begin_flush();
    }

    /// Writes and flushes a group after all others, and applies it.
    pub(crate) fn commit_group(&mut self, group: Group) -> io::Result<()> {
        if group.steps.is_empty() {
            return Ok(());
        }
        self.drain();
        let written = self.log.write(&group.bytes).and_then(|()| self.flush());
        match written {
            Ok(()) => {
                self.apply(group.steps, true);
                Ok(())
            }
            Err(error) => {
                self.write_failed(group.steps, &error);
                Err(error)
            }
        }
    }

    fn write_failed(&mut self, steps: Vec<GroupStep>, error: &io::Error) {
        self.trouble(&format!("the inbox cannot write: {error}"));
        if self.log.active().is_none() {
            self.lose(error);
        }
        self.give_up(steps, error);
    }

    /// Flushes; every note so far is durable then, or has to be written anew.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.drain();
        let began = instant();
        let result = self.log.flush();
        match &result {
            Ok(()) => {
                self.unflushed.clear();
                self.flushed_at = Some(instant());
                self.observer.flushed(began.elapsed());
            }
            Err(_) => self.flush_failed(),
        }
        result
    }

    pub(crate) fn flush_failed(&mut self) {
        for (seq, (note, _)) in std::mem::take(&mut self.unflushed) {
            self.unwritten.entry(seq).or_insert(note);
        }
    }

    pub(crate) fn apply(&mut self, steps: Vec<GroupStep>, is_durable: bool) {
        let now = self.shared.clock.now();
        let mut answers = Vec::new();
        // The start of an attempt makes nothing due.
        let is_start =
            |step: &GroupStep| matches!(step, GroupStep::Note { note: Note::Attempt { .. }, .. });
        let may_wake = !steps.iter().all(is_start);
        let mut core = self.shared.core.lock();
        for step in steps {
            match step {
                GroupStep::Accept { plan, at, size, reply } => {
                    core.accept(&plan.record(), at, size, now);
                    answers.push((plan, reply));
                }
                GroupStep::Note { note, at, size, done } => {
                    self.tell_end(&core, &note);
                    core.note(&note, Some((at, size)), now);
                    if let Some(seq) = subject(&note) {
                        self.unwritten.remove(&seq);
                        if !is_durable {
                            let end = u64::from(at.offset).saturating_add(size);
                            remember_unflushed(&mut self.unflushed, seq, note, end);
                        }
                    }
                    done.map(|done| done.send(()));
                }
                GroupStep::Replace { gone, gone_at, plan, at, size } => {
                    subject(&gone).map(|seq| self.unwritten.remove(&seq));
                    core.note(&gone, Some(gone_at), now);
                    core.accept(&plan.record(), at, size, now);
                }
                GroupStep::Copy { note, at, size } => core.relocate(&note, at, size),
            }
        }
        let wakes = may_wake && self.shared.wakes(&core, now);
        drop(core);
        for (plan, reply) in answers {
            _ = reply.send(Ok(self.answer(*plan, now)));
        }
        if wakes {
            self.shared.wake.notify_waiters();
        }
    }

    pub(crate) fn tell_end(&self, core: &Core, note: &Note) {
        if let Note::Gone { seq, end, .. } = note
            && let Some(entry) = core.index.get(*seq)
        {
            self.observer.ended(&core.names.name(entry.to), *end);
        }
    }

    /// The group is not durable: events are refused, notes are kept in memory.
    pub(crate) fn give_up(&mut self, steps: Vec<GroupStep>, error: &io::Error) {
        let error = refusal(error);
        for step in steps {
            match step {
                GroupStep::Accept { reply, .. } => _ = reply.send(Err(error.clone())),
                GroupStep::Note { note, done, .. } => {
                    self.keep_in_memory(note);
                    done.map(|done| done.send(()));
                }
                // The original is still there.
                GroupStep::Replace { .. } | GroupStep::Copy { .. } => {}
            }
        }
        self.shared.wake.notify_waiters();
    }

    pub(crate) fn keep_in_memory(&mut self, note: Note) {
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock();
        self.tell_end(&core, &note);
        core.note(&note, None, now);
        drop(core);
        if let Some(seq) = subject(&note) {
            remember(&mut self.unwritten, seq, note);
        }
    }
}

/// Keeps the latest note of an entry that is not durable, and where it ends.
fn remember_unflushed(notes: &mut BTreeMap<u64, (Note, u32)>, seq: u64, note: Note, end: u64) {
    let end = u32::try_from(end).unwrap_or(u32::MAX);
    match notes.get_mut(&seq) {
        Some((known, known_end)) => {
            follow(known, note);
            *known_end = end;
        }
        None => _ = notes.insert(seq, (note, end)),
    }
}

/// Keeps the latest note of an entry.
pub(crate) fn remember(notes: &mut BTreeMap<u64, Note>, seq: u64, note: Note) {
    match notes.get_mut(&seq) {
        Some(known) => follow(known, note),
        None => _ = notes.insert(seq, note),
    }
}

/// The note that says what both say. The start of an attempt leaves in force what was known before.
fn follow(known: &mut Note, later: Note) {
    if let (Note::State { phase, .. }, Note::Attempt { at, .. }) = (&mut *known, &later) {
        *phase = Phase::InFlight { since: *at };
    } else {
        *known = later;
    }
}
