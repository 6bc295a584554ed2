//! The thread that writes: it gathers what was asked for into groups, makes each durable with one
//! flush, and applies it to the core. Nobody else changes the log.

use crate::accepting::Plan;
use crate::attempt::Known;
use crate::changes::Change;
use crate::clock::{Millis, millis};
use crate::event::{Accept, AcceptError, Accepted, Limit, Stored};
use crate::index::Stand;
use crate::log::Log;
use crate::record::{End, Location, Note, Phase, Progress};
use crate::settings::{Observer, Random};
use crate::shared::Shared;
use crate::sweep::Sweep;
use crate::tries::{Outcome, Tried};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A group is not larger than this and one event.
const GROUP_BYTES: usize = 8 << 20;
/// What nobody waits for is flushed after so long.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How often the writer looks around when nothing arrives.
const TICK: Duration = Duration::from_millis(200);

pub(crate) type Done = oneshot::Sender<()>;
pub(crate) type AcceptReply = oneshot::Sender<Result<Accepted, AcceptError>>;

/// What the writer is asked to do.
pub(crate) enum Command {
    Accept {
        accept: Box<Accept>,
        at: Millis,
        reply: AcceptReply,
    },
    Begin {
        seq: u64,
        at: Millis,
        done: Done,
    },
    End {
        seq: u64,
        tried: Tried,
        known: Option<Known>,
        done: Option<Done>,
    },
    /// The record of an entry does not read.
    SetAside {
        seq: u64,
    },
    Change(Change),
    /// Look around now.
    Tick {
        done: Done,
    },
}

/// A step of a group: written, and applied once that is durable.
enum Step {
    Accept {
        plan: Box<Plan>,
        at: Location,
        size: u64,
        reply: AcceptReply,
    },
    Note {
        note: Note,
        at: Location,
        size: u64,
        done: Option<Done>,
    },
    /// Another accept record takes the place of one that is gone, or neither happens.
    Replace {
        gone: Note,
        gone_at: (Location, u64),
        plan: Box<Plan>,
        at: Location,
        size: u64,
    },
    /// A note that is copied forward: it changes nothing but its own place.
    Copy {
        note: Note,
        at: Location,
        size: u64,
    },
}

pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) min_free: u64,
    pub(crate) keep_delivered: Millis,
    pub(crate) segment_bytes: u32,
}

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) random: Random,
    pub(crate) observer: Arc<dyn Observer>,
    /// The latest note of each entry since the last flush. Should that fail, they are written anew.
    pub(crate) unflushed: BTreeMap<u64, Note>,
    /// The latest note of each entry that could not be written. The core knows them.
    pub(crate) unwritten: BTreeMap<u64, Note>,
    pub(crate) sweep: Option<Sweep>,
    pub(crate) troubled: Option<Instant>,
    pub(crate) flushed_at: Option<Instant>,
    pub(crate) looked_at: Option<Instant>,
}

/// What a group has gathered.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    steps: Vec<Step>,
    /// Events and entries that it changes. What depends on one of them waits for the next group.
    touched: HashSet<u64>,
    must_flush: bool,
    /// Of its accept records.
    accepted_bytes: u64,
}

#[expect(clippy::disallowed_methods, reason = "how long work takes decides nothing about an event")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

impl Writer {
    /// Works until the inbox is closed.
    pub(crate) fn run(mut self) {
        loop {
            let wait = if self.sweep.is_some() { Duration::ZERO } else { TICK };
            let (commands, is_closed) = self.shared.receive(wait);
            let is_idle = commands.is_empty();
            let mut commands = VecDeque::from(commands);
            while !commands.is_empty() {
                self.work(&mut commands);
            }
            if is_closed && is_idle {
                break;
            }
            self.look_around(false);
        }
        self.rewrite_unwritten();
        _ = self.log.flush();
    }

    /// Does what can be done in one group.
    fn work(&mut self, commands: &mut VecDeque<Command>) {
        if let Err(error) = self.make_room() {
            return self.refuse(commands, &error);
        }
        self.rewrite_unwritten();
        let mut group = Group::default();
        while let Some(command) = commands.pop_front() {
            let is_alone = matches!(command, Command::Change(_) | Command::Tick { .. });
            let conflicts = self.touches(&command).iter().any(|id| group.touched.contains(id));
            if (is_alone && !group.steps.is_empty())
                || conflicts
                || group.bytes.len() >= GROUP_BYTES
            {
                commands.push_front(command);
                break;
            }
            match command {
                Command::Accept { accept, at, reply } => self.plan(&mut group, accept, at, reply),
                Command::Begin { seq, at, done } => self.begin(&mut group, seq, at, done),
                Command::End { seq, tried, known, done } => {
                    self.end(&mut group, seq, &tried, known, done);
                }
                Command::SetAside { seq } => self.set_aside(&mut group, seq),
                Command::Change(change) => return self.change(change),
                Command::Tick { done } => {
                    self.look_around(true);
                    _ = done.send(());
                    return;
                }
            }
        }
        self.commit(group);
    }

    /// Makes sure that there is a segment to write to.
    pub(crate) fn make_room(&mut self) -> io::Result<()> {
        if self.log.active().is_none() || self.log.length() >= self.limits.segment_bytes {
            return self.roll();
        }
        Ok(())
    }

    /// Begins the next segment. Pauses are written to it, so no older segment is needed for them.
    pub(crate) fn roll(&mut self) -> io::Result<()> {
        let now = self.shared.clock.now();
        let (next_seq, pauses) = {
            let mut core = self.shared.core.lock();
            (core.next_seq, core.pauses(now))
        };
        if let Err(error) = self.log.roll(next_seq, now) {
            self.flush_failed();
            return Err(error);
        }
        self.unflushed.clear();
        let mut bytes = Vec::new();
        let note = Note::Pauses(pauses);
        let (at, size) = self.log.note(&mut bytes, &note)?;
        self.log.write(&bytes)?;
        self.log.flush().inspect_err(|_| self.flush_failed())?;
        self.shared.core.lock().usage.placed(at, size);
        Ok(())
    }

    /// Notes that could not be written come first once that goes. They are in force already.
    fn rewrite_unwritten(&mut self) {
        if self.unwritten.is_empty() || self.make_room().is_err() {
            return;
        }
        let notes: Vec<Note> = self.unwritten.values().cloned().collect();
        if self.write_copies(Vec::new(), notes).is_ok() {
            self.unwritten.clear();
        }
    }

    /// What a command depends on: hashes of events and numbers of entries.
    fn touches(&self, command: &Command) -> Vec<u64> {
        match command {
            Command::Accept { accept, .. } => {
                let core = self.shared.core.lock();
                let mut touched = Vec::with_capacity(accept.targets.len());
                for target in &accept.targets {
                    let hash = core.hash(&accept.source, &accept.id, &target.to);
                    touched.push(u64::from(hash) | (1 << 63));
                    touched.extend(core.index.with_hash(hash));
                }
                touched
            }
            Command::Begin { seq, .. } | Command::End { seq, .. } | Command::SetAside { seq } => {
                vec![*seq]
            }
            Command::Change(_) | Command::Tick { .. } => Vec::new(),
        }
    }

    fn plan(&mut self, group: &mut Group, accept: Box<Accept>, at: Millis, reply: AcceptReply) {
        let command = Command::Accept { accept, at, reply };
        let touched = self.touches(&command);
        let Command::Accept { accept, at, reply } = command else { return };
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
        group.steps.push(Step::Accept { plan: Box::new(plan), at, size, reply });
        // The accept record says it too, but may be gone before the dead one's is.
        for note in revived {
            if let Ok((at, size)) = self.log.note(&mut group.bytes, &note) {
                group.steps.push(Step::Copy { note, at, size });
            }
        }
    }

    fn has_room(&self, bytes: u64) -> Result<(), Limit> {
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

    fn begin(&mut self, group: &mut Group, seq: u64, at: Millis, done: Done) {
        let stand = self.shared.core.lock().index.get(seq).map(|entry| entry.stand());
        if stand == Some(Stand::InFlight) {
            self.push(group, Note::Attempt { seq, at }, Some(done));
        }
    }

    fn end(
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
            if let Some(destination) = core.destination(entry.to) {
                destination.learn(tried.outcome, now);
            }
            entry
        };
        let known = known.filter(|known| known.at == entry.at);
        let known = known.or_else(|| self.shared.known(seq).ok());
        let (home, mut progress) = match known {
            Some(known) => (known.home, known.progress),
            None => (entry.at, Progress::default()),
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

    fn delivered(
        &self,
        seq: u64,
        home: Location,
        mut progress: Progress,
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
        progress: &mut Progress,
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
    fn set_aside(&mut self, group: &mut Group, seq: u64) {
        let entry = self.shared.core.lock().index.get(seq).copied();
        let Some(entry) = entry.filter(|entry| entry.stand() == Stand::InFlight) else { return };
        let known = self.shared.known(seq).ok();
        let (home, progress) = match known {
            Some(known) => (known.home, known.progress),
            None => (entry.at, Progress::default()),
        };
        self.trouble("a stored event does not read; it was set aside as dead");
        let phase = Phase::Dead { at: self.shared.clock.now() };
        group.must_flush = true;
        self.push(group, Note::State { seq, home, phase, progress }, None);
    }

    fn push(&mut self, group: &mut Group, note: Note, done: Option<Done>) {
        let before = group.bytes.len();
        let subject = subject(&note);
        match self.log.note(&mut group.bytes, &note) {
            Ok((at, size)) => {
                group.touched.extend(subject);
                group.steps.push(Step::Note { note, at, size, done });
            }
            Err(_) => {
                group.bytes.truncate(before);
                self.keep_in_memory(note);
            }
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
            let (at, size) = self.log.accept(&mut group.bytes, &plan.record())?;
            let (reply, _) = oneshot::channel();
            group.steps.push(Step::Accept { plan: Box::new(plan), at, size, reply });
        }
        for note in notes {
            let (at, size) = self.log.note(&mut group.bytes, &note)?;
            group.steps.push(Step::Copy { note, at, size });
        }
        self.commit_group(group)
    }

    /// Writes other accept records in place of some.
    pub(crate) fn replace(&mut self, replaced: Vec<(Note, Plan)>) -> io::Result<()> {
        self.make_room()?;
        let mut group = Group { must_flush: true, ..Group::default() };
        for (gone, plan) in replaced {
            let gone_at = self.log.note(&mut group.bytes, &gone)?;
            let (at, size) = self.log.accept(&mut group.bytes, &plan.record())?;
            group.steps.push(Step::Replace { gone, gone_at, plan: Box::new(plan), at, size });
        }
        self.commit_group(group)
    }

    fn commit(&mut self, group: Group) {
        _ = self.commit_group(group);
    }

    /// Writes, flushes if somebody waits for that, and applies.
    fn commit_group(&mut self, group: Group) -> io::Result<()> {
        if group.steps.is_empty() {
            return Ok(());
        }
        let written = self.log.write(&group.bytes);
        let result = match written {
            Ok(()) if group.must_flush => self.flush(),
            other => other,
        };
        match result {
            Ok(()) => {
                self.apply(group.steps);
                Ok(())
            }
            Err(error) => {
                self.trouble(&format!("the inbox cannot write: {error}"));
                self.give_up(group.steps, &error);
                Err(error)
            }
        }
    }

    /// Flushes; every note so far is durable then, or has to be written anew.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
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

    fn flush_failed(&mut self) {
        for (seq, note) in std::mem::take(&mut self.unflushed) {
            self.unwritten.entry(seq).or_insert(note);
        }
    }

    fn apply(&mut self, steps: Vec<Step>) {
        let now = self.shared.clock.now();
        let is_flushed = self.log.is_flushed();
        let mut answers = Vec::new();
        let mut core = self.shared.core.lock();
        for step in steps {
            match step {
                Step::Accept { plan, at, size, reply } => {
                    core.accept(&plan.record(), at, size, now);
                    answers.push((plan, reply));
                }
                Step::Note { note, at, size, done } => {
                    self.tell_end(&core, &note);
                    core.note(&note, Some((at, size)), now);
                    if let Some(seq) = subject(&note) {
                        self.unwritten.remove(&seq);
                        if !is_flushed {
                            remember(&mut self.unflushed, seq, note);
                        }
                    }
                    done.map(|done| done.send(()));
                }
                Step::Replace { gone, gone_at, plan, at, size } => {
                    subject(&gone).map(|seq| self.unwritten.remove(&seq));
                    core.note(&gone, Some(gone_at), now);
                    core.accept(&plan.record(), at, size, now);
                }
                Step::Copy { note, at, size } => core.relocate(&note, at, size),
            }
        }
        drop(core);
        for (plan, reply) in answers {
            _ = reply.send(Ok(self.answer(*plan, now)));
        }
        self.shared.wake.notify_waiters();
    }

    fn tell_end(&self, core: &crate::core::Core, note: &Note) {
        if let Note::Gone { seq, end, .. } = note
            && let Some(entry) = core.index.get(*seq)
        {
            self.observer.ended(&core.names.name(entry.to), *end);
        }
    }

    fn answer(&self, plan: Plan, now: Millis) -> Accepted {
        let mut parts = plan.parts.iter();
        let stored = plan.targets.into_iter().map(|already| {
            already.unwrap_or_else(|| {
                let Some(part) = parts.next() else {
                    return Stored::Already(crate::event::State::Waiting);
                };
                let seq = part.seq;
                match part.phase {
                    Phase::InFlight { since } => Stored::UnderWay(crate::attempt::Attempt::new(
                        Arc::clone(&self.shared),
                        seq,
                        plan.accept.source.as_str().into(),
                        part.to.as_str().into(),
                        since.min(now),
                    )),
                    _ => Stored::Queued { seq, revived: part.revives != 0 },
                }
            })
        });
        Accepted { targets: stored.collect() }
    }

    /// The group is not durable: events are refused, notes are kept in memory.
    fn give_up(&mut self, steps: Vec<Step>, error: &io::Error) {
        let error = refusal(error);
        for step in steps {
            match step {
                Step::Accept { reply, .. } => _ = reply.send(Err(error.clone())),
                Step::Note { note, done, .. } => {
                    self.keep_in_memory(note);
                    done.map(|done| done.send(()));
                }
                // The original is still there.
                Step::Replace { .. } | Step::Copy { .. } => {}
            }
        }
        self.shared.wake.notify_waiters();
    }

    fn keep_in_memory(&mut self, note: Note) {
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock();
        self.tell_end(&core, &note);
        core.note(&note, None, now);
        drop(core);
        if let Some(seq) = subject(&note) {
            remember(&mut self.unwritten, seq, note);
        }
    }

    /// There is no segment to write to.
    fn refuse(&mut self, commands: &mut VecDeque<Command>, error: &io::Error) {
        self.trouble(&format!("the inbox cannot begin a file: {error}"));
        let refused = refusal(error);
        for command in std::mem::take(commands) {
            match command {
                Command::Accept { reply, .. } => _ = reply.send(Err(refused.clone())),
                Command::Begin { seq, at, done } => {
                    let mut group = Group::default();
                    self.begin(&mut group, seq, at, done);
                }
                Command::End { seq, tried, known, done } => {
                    let mut group = Group::default();
                    self.end(&mut group, seq, &tried, known, done);
                }
                Command::SetAside { seq } => {
                    let mut group = Group::default();
                    self.set_aside(&mut group, seq);
                }
                Command::Change(change) => change.refuse(error),
                Command::Tick { done } => _ = done.send(()),
            }
        }
    }

    /// Says it once a minute.
    pub(crate) fn trouble(&mut self, what: &str) {
        const SELDOM: Duration = Duration::from_mins(1);
        if self.troubled.is_none_or(|last| last.elapsed() >= SELDOM) {
            self.troubled = Some(instant());
            self.observer.trouble(what);
        }
    }

    /// What has to be done from time to time.
    fn look_around(&mut self, is_forced: bool) {
        let is_due = self.looked_at.is_none_or(|last| last.elapsed() >= TICK);
        if self.sweep.is_some() && !is_forced {
            self.go_on_sweeping();
        }
        if !is_due && !is_forced {
            return;
        }
        self.looked_at = Some(instant());
        self.rewrite_unwritten();
        let is_old = self.flushed_at.is_none_or(|last| last.elapsed() >= FLUSH_AFTER);
        if !self.log.is_flushed() && (is_old || is_forced) {
            _ = self.flush();
        }
        self.expire();
        if self.unwritten.is_empty() && self.log.active().is_some() && self.log.cut_tails().is_ok()
        {
            self.choose_sweep();
        }
        while is_forced && self.sweep.is_some() {
            self.go_on_sweeping();
            if self.sweep.is_none() {
                self.choose_sweep();
            }
        }
    }

    /// Drops what was kept long enough.
    fn expire(&mut self) {
        const AT_ONCE: usize = 10_000;
        let now = self.shared.clock.now();
        let expired = self.shared.core.lock().expired(now, AT_ONCE);
        if expired.is_empty() {
            return;
        }
        let notes = expired
            .into_iter()
            .map(|seq| {
                let home = self.shared.known(seq).map(|known| known.home).unwrap_or_default();
                Note::Gone { seq, home, end: End::Expired }
            })
            .collect();
        _ = self.write_durably(notes);
    }
}

impl Limits {
    pub(crate) fn of(settings: &crate::settings::Settings) -> Self {
        Self {
            max_bytes: settings.max_bytes,
            min_free: settings.min_free,
            keep_delivered: millis(settings.keep_delivered),
            segment_bytes: settings.segment_bytes,
        }
    }
}

/// Keeps the latest note of an entry. The start of an attempt leaves in force what was known before.
fn remember(notes: &mut BTreeMap<u64, Note>, seq: u64, note: Note) {
    if let Note::Attempt { at, .. } = note
        && let Some(Note::State { phase, .. }) = notes.get_mut(&seq)
    {
        *phase = Phase::InFlight { since: at };
    } else {
        notes.insert(seq, note);
    }
}

/// The entry that a note is about.
fn subject(note: &Note) -> Option<u64> {
    match note {
        Note::State { seq, .. } | Note::Attempt { seq, .. } | Note::Gone { seq, .. } => Some(*seq),
        Note::Scrubbed { .. } | Note::Pauses(_) => None,
    }
}

fn refusal(error: &io::Error) -> AcceptError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AcceptError::Full(Limit::Disk),
        kind => AcceptError::Failed(Arc::new(io::Error::new(kind, error.to_string()))),
    }
}

/// How an attempt that a crash cut off is noted.
pub(crate) fn interrupted(since: Millis) -> Tried {
    Tried { uncertain: true, ..Tried::new(since, Outcome::Broken) }
}

/// Whoever asked may have left; what was decided holds anyway.
fn answer(reply: AcceptReply, result: Result<Accepted, AcceptError>) {
    _ = reply.send(result);
}
