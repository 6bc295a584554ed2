//! The handle for the rest of a program.

use crate::attempt::Attempt;
use crate::clock::{Millis, TimeSource};
use crate::command::{Change, ChangeError, WriterCommand};
use crate::core::Core;
use crate::disk::Disk;
use crate::ending::interrupted;
use crate::event::{Accept, AcceptError, Accepted, EntryState, Filter, Listed, Page};
use crate::flusher::Flushers;
use crate::folder_lock::FolderLock;
use crate::hold::LaneHold;
use crate::lanes::LaneId;
use crate::log::{Log, Shelf};
use crate::logged::LoggedAttempt;
use crate::policy::Policy;
use crate::query::Stats;
use crate::record::{Note, Phase};
use crate::recover::{OpenError, Recovery, recover, refused};
use crate::settings::Settings;
use crate::shared::{Shared, state};
use crate::tries::TryOutcome;
use crate::writer::{Writer, WriterLimits};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Events that wait for their destinations, in a folder.
///
/// Clones are handles to the same inbox. The writing thread ends once [`close`](Self::close) was
/// called or the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(crate) shared: Arc<Shared>,
    thread: Arc<Thread>,
}

#[derive(Debug)]
struct Thread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<FolderLock>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Thread {
    fn stop(&self) {
        self.shared.close();
        if let Some(handle) = self.handle.lock().take() {
            _ = handle.join();
        }
        drop(self.lock.lock().take());
    }
}

impl Inbox {
    /// Opens the inbox in a folder, which is made if it is not there. Reads the whole log, which
    /// takes about a second for each GiB.
    ///
    /// # Errors
    /// If another process has it open, the file system refuses, or what is there does not read. In
    /// the last case nothing was changed.
    pub fn open(
        folder: &Path,
        settings: Settings,
        clock: impl TimeSource,
    ) -> Result<(Self, Recovery), OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused(folder))?;
        let lock = FolderLock::take(folder)?;
        let now = clock.now();
        let limits = WriterLimits::of(&settings);
        let shelf = Arc::new(Shelf::new(settings.keys));
        let mut core = Core::recovering(crate::clock::millis(settings.keep_dead));
        let (mut recovery, last) = recover(folder, &shelf, &mut core, now)?;
        core.is_recovering = false;
        core.configure(&settings.destinations, settings.sources.as_deref(), now);
        let disk: Arc<dyn Disk> = settings.disk;
        let log = Log::new(folder, Arc::clone(&disk), Arc::clone(&shelf), last);
        let shared = Arc::new(Shared::new(core, shelf, Box::new(clock)));
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            log,
            limits,
            random: settings.random,
            observer: settings.observer,
            unflushed: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            sweep: None,
            troubled: None,
            flushed_at: None,
            looked_at: None,
            flushers: Flushers::start(&shared, &disk).map_err(refused(folder))?,
            pending: VecDeque::new(),
            covered: 0,
        };
        recovery.interrupted = writer.resume().map_err(refused(folder))?;
        let handle = std::thread::Builder::new()
            .name("inbox".to_owned())
            .spawn(move || writer.run())
            .map_err(refused(folder))?;
        let thread = Thread {
            shared: Arc::clone(&shared),
            handle: Mutex::new(Some(handle)),
            lock: Mutex::new(Some(lock)),
        };
        Ok((Self { shared, thread: Arc::new(thread) }, recovery))
    }

    /// Stores an event. Once this resolves to `Ok`, it is durable with all its destinations.
    ///
    /// The event is stored even if the future is dropped after the first poll.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn accept(&self, event: Accept) -> Result<Accepted, AcceptError> {
        let (reply, answer) = oneshot::channel();
        let at = self.shared.clock.now();
        self.shared.send(WriterCommand::Accept { accept: Box::new(event), at, reply });
        answer.await.unwrap_or(Err(AcceptError::Closed))
    }

    /// The state of the entry of (source, event id, destination); `None` if there is none. Reads the
    /// log if there is one.
    #[must_use]
    pub fn state(&self, source: &str, id: &str, to: &str) -> Option<EntryState> {
        let (_, entry) = self.shared.find(source, id, to)?;
        Some(state(&entry, self.shared.clock.now()))
    }

    /// The entry of (source, event id, destination), with its tries. Reads the log if there is one.
    #[must_use]
    pub fn find(&self, source: &str, id: &str, to: &str) -> Option<Listed> {
        let (seq, _) = self.shared.find(source, id, to)?;
        self.shared.show(seq, None)
    }

    /// The entry of a destination whose event was handed in with this key, one of
    /// [`Accept::keys`]. Reads the log if there may be one.
    #[must_use]
    pub fn find_by_key(&self, key: &[u8; 16], to: &str) -> Option<Listed> {
        let seq = self.shared.find_by_key(key, to)?;
        self.shared.show(seq, None)
    }

    /// Holds the order of a key for a live attempt. `None` if an earlier event of that key waits or
    /// is being sent: then this one has to be stored, behind it.
    ///
    /// If the live attempt fails, hand the hold in with the event: it takes the place that the hold
    /// reserved. Events that come meanwhile wait until the hold is dropped.
    #[must_use]
    pub fn hold_lane(&self, source: &str, to: &str, key: &str) -> Option<LaneHold> {
        let mut core = self.shared.core.lock();
        let hash = core.lane_hash(source, to, key);
        let id = core.lanes.hold(hash)?;
        let to = core.intern(to);
        let place = core.next_seq.max(1);
        core.next_seq = place + 1;
        drop(core);
        Some(LaneHold::new(place, LaneGuard { shared: Arc::clone(&self.shared), id, to }))
    }

    /// Whether events of a key wait or are under way at a destination.
    #[must_use]
    pub fn is_lane_busy(&self, source: &str, to: &str, key: &str) -> bool {
        self.hold_lane(source, to, key).is_none()
    }

    /// Takes what is due: of each destination at most as much as `room` says for its name. It is
    /// not asked about a destination that has nothing due, is paused or not configured.
    #[must_use]
    pub fn take_due(&self, mut room: impl FnMut(&str) -> usize) -> Vec<Attempt> {
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock();
        let taken = core.take(now, &mut room);
        let named: Vec<_> = taken
            .into_iter()
            .map(|taken| (taken.seq, core.names.name(taken.source), core.names.name(taken.to)))
            .collect();
        drop(core);
        named
            .into_iter()
            .map(|(seq, source, to)| {
                LoggedAttempt::of(Arc::clone(&self.shared), seq, (source, to), now, false)
            })
            .collect()
    }

    /// When something may be due next; `None` if only a change can make it so.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        self.shared.next_due()
    }

    /// Resolves with the next change that makes something due now, or earlier than
    /// [`next_due`](Self::next_due) said: an acceptance, the end of an attempt, a replay, a resume.
    /// Make it before [`take_due`](Self::take_due) is called, and no change is missed.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.shared.wake.notified()
    }

    /// Learns of a live attempt at a destination, so that a backlog ramps up or holds back.
    pub fn learn(&self, to: &str, outcome: TryOutcome) {
        if !outcome.is_outage() && !self.shared.usual.is_any_down() {
            return;
        }
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock();
        let number = core.intern(to);
        core.learn(number, outcome, now);
    }

    /// Takes over another configuration. Entries of destinations and sources that it does not have
    /// wait under their names.
    pub fn configure(&self, destinations: &[(String, Policy)], sources: Option<&[String]>) {
        let now = self.shared.clock.now();
        self.shared.core.lock().configure(destinations, sources, now);
        self.shared.wake.notify_waiters();
    }

    /// Entries that fit, by number, from `cursor` on. Blocks for reads of the log.
    #[must_use]
    pub fn list(&self, filter: &Filter, limit: usize, cursor: Option<u64>) -> Page {
        self.shared.list(filter, limit, cursor)
    }

    /// The numbers of all entries that fit.
    #[must_use]
    pub fn select(&self, filter: &Filter) -> Vec<u64> {
        self.shared.select(filter)
    }

    /// One entry with its last tries.
    #[must_use]
    pub fn show(&self, seq: u64) -> Option<Listed> {
        self.shared.show(seq, None)
    }

    /// Makes entries due now, with a budget of their own: dead, delivered or waiting ones. One that
    /// is being sent or was discarded stays as it is. `as_new` asks the receiver to take it for a
    /// new event. A delivered event that is replayed has no place in any order. The history of each
    /// says who it was, `by`; empty if nobody is named. Gives how many were changed, durably.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn replay(
        &self,
        seqs: Vec<u64>,
        as_new: bool,
        by: &str,
    ) -> Result<usize, ChangeError> {
        let by = || by.to_owned();
        self.in_parts(&seqs, |seqs, reply| Change::Replay { seqs, as_new, by: by(), reply }).await
    }

    /// Never sends these entries again, and remembers for the ttl of their events that they were
    /// discarded. Their bytes go.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn discard(&self, seqs: Vec<u64>, by: &str) -> Result<usize, ChangeError> {
        let by = || by.to_owned();
        self.in_parts(&seqs, |seqs, reply| Change::Discard { seqs, by: by(), reply }).await
    }

    /// Erases an event at all destinations: when this resolves its bytes have been overwritten on
    /// disk, also those of destinations that had it already. Gives how many entries there were.
    ///
    /// # Errors
    /// If not everything was overwritten.
    pub async fn erase(&self, source: &str, id: &str) -> Result<usize, ChangeError> {
        let (source, id) = (source.to_owned(), id.to_owned());
        self.change(|reply| Change::Erase { source, id, reply }).await
    }

    /// Sends nothing to a destination until `until`, or until it is resumed. Survives a restart.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn pause(&self, to: &str, until: Option<Millis>) -> Result<(), ChangeError> {
        let to = to.to_owned();
        self.change(|reply| Change::Pause { to, until, reply }).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn resume(&self, to: &str) -> Result<(), ChangeError> {
        let to = to.to_owned();
        self.change(|reply| Change::Resume { to, reply }).await
    }

    /// Whether a destination is paused.
    #[must_use]
    pub fn is_paused(&self, to: &str) -> bool {
        if !self.shared.usual.may_be_paused(|| self.shared.clock.now()) {
            return false;
        }
        let now = self.shared.clock.now();
        let core = self.shared.core.lock();
        let number = core.names.number(to);
        let found = number.and_then(|number| core.destinations.get(usize::from(number)));
        found.is_some_and(|destination| destination.pause_at(now).is_some())
    }

    /// Counts, kept as things happen.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Does what else happens by itself within seconds: flushes, drops what was kept long enough,
    /// and gives space back.
    pub async fn tidy(&self) {
        let (done, tidied) = oneshot::channel();
        self.shared.send(WriterCommand::Tick { done });
        _ = tidied.await;
    }

    /// Finishes what was asked for, flushes and ends. Blocks until that is done. Attempts that are
    /// still under way count as interrupted the next time.
    pub fn close(&self) {
        self.thread.stop();
    }

    pub(crate) async fn change<T>(
        &self,
        change: impl FnOnce(oneshot::Sender<Result<T, ChangeError>>) -> Change,
    ) -> Result<T, ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(WriterCommand::Change(change(reply)));
        answer.await.unwrap_or(Err(ChangeError::Closed))
    }
}

/// Lets the next one of a lane go.
#[derive(Debug)]
struct LaneGuard {
    shared: Arc<Shared>,
    id: LaneId,
    to: u16,
}

impl Drop for LaneGuard {
    fn drop(&mut self) {
        let mut core = self.shared.core.lock();
        let waits = core.lanes.release(self.id);
        core.refresh_lane(self.id, self.to, self.shared.clock.now());
        drop(core);
        if waits {
            self.shared.wake.notify_waiters();
        }
    }
}

impl Writer {
    /// Takes up what a crash cut off: entries that were being sent may be with the receiver, so they
    /// wait for `uncertain_hold` from the start of the attempt.
    fn resume(&mut self) -> std::io::Result<usize> {
        self.make_room()?;
        let interrupted_ones = self.shared.core.lock().in_flight();
        let notes: Vec<Note> = interrupted_ones
            .iter()
            .filter_map(|(seq, since, hold)| {
                let mut known = self.shared.known(*seq).ok()?;
                known.progress.note(&interrupted(*since));
                let phase = Phase::Queued { due: since.saturating_add(*hold) };
                let progress = known.progress;
                Some(Note::State { seq: *seq, home: known.home, phase, progress })
            })
            .collect();
        self.write_durably(notes)?;
        Ok(interrupted_ones.len())
    }
}
