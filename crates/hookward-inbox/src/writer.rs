//! The writing thread: it collects requests into groups, writes each, has it flushed, and applies it
//! to the core. Nothing else changes the log.

use crate::clock::{Millis, instant, millis};
use crate::command::WriterCommand;
use crate::flusher::Flushers;
use crate::group::{Group, PendingGroup, refusal};
use crate::log::Log;
use crate::record::{End, Location, Note, Pause};
use crate::settings::{Observer, Random};
use crate::shared::{Inflow, Shared};
use crate::sweep::Sweep;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A group is at most this size plus one event.
const GROUP_BYTES: usize = 8 << 20;
/// How soon writes without a waiting caller are flushed.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How often the writer looks around when nothing arrives.
const TICK: Duration = Duration::from_millis(200);

pub(crate) struct WriterLimits {
    pub(crate) max_bytes: u64,
    pub(crate) min_free: u64,
    pub(crate) keep_delivered: Millis,
    pub(crate) segment_bytes: u32,
}

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    pub(crate) limits: WriterLimits,
    pub(crate) random: Random,
    pub(crate) observer: Arc<dyn Observer>,
    /// The latest note of each entry that is not durable yet, and where it ends. Should the flush
    /// fail, they are written anew.
    pub(crate) unflushed: BTreeMap<u64, (Note, u32)>,
    /// The latest note of each entry that could not be written. The core knows them.
    pub(crate) unwritten: BTreeMap<u64, Note>,
    pub(crate) sweep: Option<Sweep>,
    pub(crate) troubled: Option<Instant>,
    pub(crate) flushed_at: Option<Instant>,
    pub(crate) looked_at: Option<Instant>,
    pub(crate) flushers: Flushers,
    /// Groups that are written and not durable yet, in order.
    pub(crate) pending: VecDeque<PendingGroup>,
    /// What the flush covers that began last.
    pub(crate) covered: u32,
}

impl Writer {
    /// Works until the inbox is closed.
    pub(crate) fn run(mut self) {
        let _closing = Closing(Arc::clone(&self.shared));
        loop {
            let wait = if self.sweep.is_some() { Duration::ZERO } else { self.until_flush(TICK) };
            let Inflow { commands, flushed, is_closed } = self.shared.receive(wait);
            let is_idle = commands.is_empty();
            self.land(flushed);
            let mut commands = VecDeque::from(commands);
            while !commands.is_empty() {
                self.work(&mut commands);
            }
            self.begin_flush();
            if is_closed && is_idle {
                break;
            }
            self.look_around(false);
        }
        self.drain();
        self.rewrite_unwritten();
        _ = self.log.flush();
    }

    /// Does what can be done in one group.
    fn work(&mut self, commands: &mut VecDeque<WriterCommand>) {
        if let Err(error) = self.make_room() {
            return self.refuse(commands, &error);
        }
        self.rewrite_unwritten();
        let mut group = Group::default();
        while let Some(command) = commands.pop_front() {
            let is_alone = matches!(command, WriterCommand::Change(_) | WriterCommand::Tick { .. });
            let touched = self.touches(&command);
            let conflicts = touched.iter().any(|id| group.touched.contains(id));
            let waits = is_alone || self.is_pending(&touched);
            if (waits && !group.steps.is_empty()) || conflicts || group.bytes.len() >= GROUP_BYTES {
                commands.push_front(command);
                break;
            }
            if waits && !self.pending.is_empty() {
                // It depends on what is known once that is durable, or there is no segment any more.
                self.drain();
                commands.push_front(command);
                return;
            }
            match command {
                WriterCommand::Accept { accept, at, reply } => {
                    self.plan(&mut group, accept, at, reply);
                }
                WriterCommand::Begin { seq, at, done } => self.begin(&mut group, seq, at, done),
                WriterCommand::End { seq, tried, known, done } => {
                    self.end(&mut group, seq, &tried, known, done);
                }
                WriterCommand::SetAside { seq } => self.set_aside(&mut group, seq),
                WriterCommand::Change(change) => return self.change(change),
                WriterCommand::Tick { done } => {
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
        self.drain();
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
        self.covered = 0;
        if let Some(segment) = self.log.active() {
            let begin = Location { segment, offset: 0 };
            let header = u64::from(crate::segment::HEADER);
            self.shared.core.lock().usage.placed(begin, header);
        }
        let written = self.write_pauses(pauses);
        if written.is_err() {
            // Without them it must not be used.
            self.log.abandon();
        }
        written
    }

    fn write_pauses(&mut self, pauses: Vec<Pause>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let (at, size) = self.log.note(&mut bytes, &Note::Pauses(pauses))?;
        self.log.write(&bytes)?;
        self.log.flush()?;
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
    pub(crate) fn touches(&self, command: &WriterCommand) -> Vec<u64> {
        match command {
            WriterCommand::Accept { accept, .. } => {
                let core = self.shared.core.lock();
                let mut touched = Vec::with_capacity(accept.targets.len());
                for target in &accept.targets {
                    let hash = core.hash(&accept.source, &accept.id, &target.to);
                    touched.push(u64::from(hash) | (1 << 63));
                    touched.extend(core.index.with_hash(hash));
                }
                touched
            }
            WriterCommand::Begin { seq, .. }
            | WriterCommand::End { seq, .. }
            | WriterCommand::SetAside { seq } => {
                vec![*seq]
            }
            WriterCommand::Change(_) | WriterCommand::Tick { .. } => Vec::new(),
        }
    }

    /// Without a segment nothing can be written.
    fn refuse(&mut self, commands: &mut VecDeque<WriterCommand>, error: &io::Error) {
        self.trouble(&format!("the inbox cannot begin a file: {error}"));
        let refused = refusal(error);
        for command in std::mem::take(commands) {
            match command {
                WriterCommand::Accept { reply, .. } => _ = reply.send(Err(refused.clone())),
                WriterCommand::Begin { seq, at, done } => {
                    let mut group = Group::default();
                    self.begin(&mut group, seq, at, done);
                }
                WriterCommand::End { seq, tried, known, done } => {
                    let mut group = Group::default();
                    self.end(&mut group, seq, &tried, known, done);
                }
                WriterCommand::SetAside { seq } => {
                    let mut group = Group::default();
                    self.set_aside(&mut group, seq);
                }
                WriterCommand::Change(change) => change.refuse(error),
                WriterCommand::Tick { done } => _ = done.send(()),
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
            self.drain();
            self.go_on_sweeping();
        }
        if !is_due && !is_forced {
            return;
        }
        self.drain();
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

/// Tells all waiting callers that the inbox is closed if the writer panics.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        drop(self.0.receive(Duration::ZERO));
    }
}

impl WriterLimits {
    pub(crate) fn of(settings: &crate::settings::Settings) -> Self {
        Self {
            max_bytes: settings.max_bytes,
            min_free: settings.min_free,
            keep_delivered: millis(settings.keep_delivered),
            segment_bytes: settings.segment_bytes,
        }
    }
}
