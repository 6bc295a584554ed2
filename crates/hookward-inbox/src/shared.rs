//! State shared by the handles and the writing thread.

use crate::clock::{Millis, TimeSource, millis};
use crate::command::{Flushed, WriterCommand};
use crate::core::Core;
use crate::event::EntryState;
use crate::index::{Entry, Stand};
use crate::log::Shelf;
use crate::record::{AcceptRecord, LogRecord, Phase};
use crate::usual::Usual;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) struct Shared {
    pub(crate) core: Mutex<Core>,
    pub(crate) usual: Arc<Usual>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) clock: Box<dyn TimeSource>,
    /// Told when something may be due that was not before.
    pub(crate) wake: Notify,
    /// Until when whoever sends what is due sleeps, as far as is known.
    sleeps_until: AtomicU64,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    commands: Vec<WriterCommand>,
    flushed: Vec<Flushed>,
    is_closed: bool,
}

/// What arrived at the writer.
pub(crate) struct Inflow {
    pub(crate) commands: Vec<WriterCommand>,
    pub(crate) flushed: Vec<Flushed>,
    /// Nothing more will come.
    pub(crate) is_closed: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(core: Core, shelf: Arc<Shelf>, clock: Box<dyn TimeSource>) -> Self {
        Self {
            usual: Arc::clone(&core.usual),
            core: Mutex::new(core),
            shelf,
            clock,
            wake: Notify::new(),
            sleeps_until: AtomicU64::new(Millis::MAX),
            queue: Mutex::default(),
            arrived: Condvar::new(),
        }
    }

    /// Hands a command to the writer. Once it is closed, commands are dropped, and with them their
    /// senders, which those who wait notice.
    pub(crate) fn send(&self, command: WriterCommand) {
        let mut queue = self.queue.lock();
        if !queue.is_closed {
            queue.commands.push(command);
            self.arrived.notify_one();
        }
    }

    /// When something may be due next. Whoever asks sleeps until then, unless it is woken.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let core = self.core.lock();
        let next = core.next_due(self.clock.now());
        self.sleeps_until.store(next.unwrap_or(Millis::MAX), Ordering::Relaxed);
        next
    }

    /// Whether a change of what is due next is worth waking it: something is due, or will be earlier.
    /// Both this and [`next_due`](Self::next_due) are called with the lock of the core.
    pub(crate) fn wakes(&self, core: &Core, now: Millis) -> bool {
        let sleeps_until = self.sleeps_until.load(Ordering::Relaxed);
        core.next_due(now).is_some_and(|due| due <= now || due < sleeps_until)
    }

    pub(crate) fn close(&self) {
        self.queue.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// What arrived; waits at most so long for something.
    pub(crate) fn receive(&self, most: Duration) -> Inflow {
        let mut queue = self.queue.lock();
        let is_quiet = queue.commands.is_empty() && queue.flushed.is_empty() && !queue.is_closed;
        if is_quiet && !most.is_zero() {
            self.arrived.wait_for(&mut queue, most);
        }
        let (commands, flushed) =
            (std::mem::take(&mut queue.commands), std::mem::take(&mut queue.flushed));
        Inflow { commands, flushed, is_closed: queue.is_closed }
    }

    /// Tells the writer of a flush that returned.
    pub(crate) fn flushed(&self, flushed: Flushed) {
        self.queue.lock().flushed.push(flushed);
        self.arrived.notify_one();
    }

    /// Waits for flushes that return, while commands queue up.
    pub(crate) fn wait_for_flushes(&self) -> Vec<Flushed> {
        let mut queue = self.queue.lock();
        while queue.flushed.is_empty() {
            self.arrived.wait(&mut queue);
        }
        std::mem::take(&mut queue.flushed)
    }

    pub(crate) fn give_back(&self, seq: u64, wait: Duration) {
        let now = self.clock.now();
        let mut core = self.core.lock();
        if core.index.get(seq).is_some_and(|entry| entry.stand() == Stand::InFlight) {
            core.put_back(seq, Phase::Queued { due: now.saturating_add(millis(wait)) }, now);
        }
        drop(core);
        self.wake.notify_waiters();
    }

    /// The entry of (source, id, destination), if there is one.
    pub(crate) fn find(&self, source: &str, id: &str, to: &str) -> Option<(u64, Entry)> {
        let candidates = self.core.lock().candidates(source, id, to);
        candidates.into_iter().find(|(seq, _)| self.has_id(*seq, id))
    }

    /// The latest entry of a destination whose event has this key.
    pub(crate) fn find_by_key(&self, key: &[u8; 16], to: &str) -> Option<u64> {
        let mut found = {
            let core = self.core.lock();
            let number = core.names.number(to)?;
            let mut found = core.named.with_hash(core.key_hash(key, to));
            found.retain(|seq| core.index.get(*seq).is_some_and(|entry| entry.to == number));
            found
        };
        found.sort_unstable();
        let has_key = |record: &AcceptRecord<'_>| record.keys.as_chunks().0.contains(key);
        found.into_iter().rev().find(|seq| self.is_of(*seq, has_key))
    }

    /// Whether the log says that an entry is of the event with this id.
    fn has_id(&self, seq: u64, id: &str) -> bool {
        self.is_of(seq, |record| record.id == id)
    }

    /// Whether the event of an entry is such a one.
    fn is_of(&self, seq: u64, is_such: impl Fn(&AcceptRecord<'_>) -> bool) -> bool {
        let is_it = || {
            let known = self.known(seq).ok()?;
            let payload = self.shelf.read(known.home).ok()?;
            match payload.record().ok()? {
                LogRecord::Accept(record) => Some(is_such(&record)),
                LogRecord::Note(_) => None,
            }
        };
        // It may be copied forward meanwhile.
        is_it().or_else(is_it).unwrap_or(false)
    }
}

/// The state of an entry, as others see it.
pub(crate) fn state(entry: &Entry, now: Millis) -> EntryState {
    match entry.stand() {
        Stand::Queued if entry.is_ready() || (entry.is_scheduled() && entry.due() <= now) => {
            EntryState::Ready
        }
        Stand::Queued => EntryState::Waiting,
        Stand::InFlight => EntryState::InFlight,
        Stand::Dead => EntryState::Dead,
        Stand::Delivered => EntryState::Delivered,
        Stand::Discarded => EntryState::Discarded,
    }
}
