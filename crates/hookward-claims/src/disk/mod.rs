//! `store = "disk"`: claims of one process whose delivered ids outlive it.
//!
//! A folder with four files: `ids.redb`, a database of delivered ids; two journals that alternate
//! in front of it; and a lock that keeps a second process out. Before its claim is settled, a
//! delivered id is appended to a journal, so the end of the process loses none. Every second a
//! separate thread commits the collected changes to the database, with a flush to disk. So a power
//! cut loses at most the last second, and no answer waits for the disk. `docs/decisions` gives the
//! reasons for this design.
//!
//! Most events are new, and so are most keys that are looked up. A filter in memory knows that the
//! database does not have them (`id_filter`).
//!
//! When the disk is full, new ids are kept in memory and committed once there is room again.

mod changes;
mod front;
mod id_file;
mod id_filter;
mod journal;
mod record;
mod start;

use super::delivered::{Delivered, DeliveredId};
use super::local::{self, LocalStore};
use super::table::{Recall, Table};
use super::{Bookmark, ClaimKey, Counters, Health, KnownPage, StoreError};
use async_trait::async_trait;
use front::Front;
use hookward_time::{Clock, UnixMillis};
use record::JournalRecord;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

const NAME: &str = "disk";

/// The file that is locked as long as a process has the folder open.
const LOCK: &str = "lock";

/// The time between two commits: what a power cut can lose.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Claims in the memory of this process, over delivered ids in a folder of its own.
pub struct DiskStore {
    table: Table<OnDisk>,
    /// Dropping it ends the committing thread.
    stop: Option<Sender<()>>,
    committing: Option<JoinHandle<()>>,
    _lock: StoreLock,
}

impl DiskStore {
    /// Opens the folder at `path`, or creates it, and keeps up to `capacity` ids in memory as well.
    ///
    /// # Errors
    /// A sentence that names the path: another process uses it, it contains foreign files, a file
    /// is damaged, or access is denied. Nothing is changed in these cases.
    pub fn open(path: &Path, capacity: u64, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let at = |what: String| error(format!("at {} {what}", path.display()));
        let lock = lock_folder(path).map_err(at)?;
        let counters = Arc::new(Counters::default());
        let (front, uncertain) =
            Front::open(path, capacity, Arc::clone(&clock), Arc::clone(&counters)).map_err(at)?;
        let front = Arc::new(front);
        let (stop, stopped) = mpsc::channel();
        let committing = {
            let front = Arc::clone(&front);
            std::thread::Builder::new().name("dedupe commit".to_owned()).spawn(move || {
                front.renew_filter();
                while stopped.recv_timeout(COMMIT_EVERY) == Err(RecvTimeoutError::Timeout) {
                    front.commit();
                    front.renew_filter();
                }
                front.close();
            })
        };
        let committing = committing.map_err(|error| at(format!("has no thread: {error}")))?;
        let recall = OnDisk {
            // An id that leaves memory is still on disk, so it does not count as evicted.
            delivered: Delivered::new(capacity, Arc::clone(&clock), Arc::default()),
            aliases: Delivered::one_by_one(capacity, Arc::clone(&clock), Arc::default()),
            front,
            counters,
            clock: Arc::clone(&clock),
        };
        let table = Table::new(recall, clock);
        for restored in uncertain {
            table.restore(restored);
        }
        Ok(Self { table, stop: Some(stop), committing: Some(committing), _lock: lock })
    }
}

impl DiskStore {
    /// Whether another process has the folder at `path` open.
    #[must_use]
    pub fn is_in_use(path: &Path) -> bool {
        let Ok(lock) = File::options().write(true).open(path.join(LOCK)) else { return false };
        match lock.try_lock() {
            Ok(()) => {
                drop(StoreLock(lock));
                false
            }
            Err(refused) => matches!(refused, TryLockError::WouldBlock),
        }
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(committing) = self.committing.take() {
            // The last commit; if it panicked, the journal has what it was about to write.
            let _ended = committing.join();
        }
    }
}

/// Memory as the fast path, with the folder behind it.
pub(super) struct OnDisk {
    delivered: Delivered,
    aliases: Delivered<ClaimKey>,
    front: Arc<Front>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
}

impl OnDisk {
    fn until(&self, keep: Duration) -> UnixMillis {
        self.clock.wall().plus(keep)
    }
}

impl Recall for OnDisk {
    fn find(&self, key: ClaimKey) -> Result<Option<DeliveredId>, StoreError> {
        match self.delivered.find(key) {
            Some(delivery) => Ok(Some(delivery)),
            None => self.front.delivered(key).map_err(|cause| error(cause.to_string())),
        }
    }

    fn remember(&self, key: ClaimKey, delivery: DeliveredId, ttl: Duration) {
        self.front.write(JournalRecord::Delivered { key, delivery, until: self.until(ttl) });
        self.delivered.remember(key, delivery, ttl);
    }

    fn doubt(&self, key: ClaimKey, since: UnixMillis, hold: Duration) {
        self.front.write(JournalRecord::Uncertain { key, since, until: self.until(hold) });
    }

    fn forget(&self, key: ClaimKey) -> Result<(), StoreError> {
        self.front.write(JournalRecord::Forgotten { key });
        self.delivered.forget(key);
        Ok(())
    }

    fn alias(&self, alias: ClaimKey) -> Result<Option<ClaimKey>, StoreError> {
        match self.aliases.find(alias) {
            Some(to) => Ok(Some(to)),
            None => self.front.link(alias).map_err(|cause| error(cause.to_string())),
        }
    }

    fn link(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.front.write(JournalRecord::Link { alias, to, until: self.until(keep) });
        self.aliases.remember(alias, to, keep);
    }
}

#[async_trait]
impl LocalStore for DiskStore {
    type Recall = OnDisk;

    fn name(&self) -> &'static str {
        NAME
    }

    fn counters(&self) -> &Counters {
        &self.table.recall().counters
    }

    fn table(&self) -> &Table<OnDisk> {
        &self.table
    }

    async fn entries(&self) -> Result<u64, StoreError> {
        self.table.recall().front.entries().map_err(|cause| error(cause.to_string()))
    }

    /// Reads the file that outlives the process. Blocks, as long as a page takes.
    fn export(&self, from: &Bookmark) -> Result<KnownPage, StoreError> {
        self.table.recall().front.export(from).map_err(error)
    }

    /// A claim only reads the disk, so the trial also writes something.
    fn trial(&self) -> Result<(), StoreError> {
        let key = ClaimKey::of_trial();
        self.table.recall().front.try_out(key);
        local::try_out(&self.table, key)
    }

    fn health(&self) -> Health {
        match self.table.recall().front.trouble() {
            Some(trouble) => Health::Degraded(trouble),
            None => Health::Good,
        }
    }
}

/// Held while a store is open or being opened.
struct StoreLock(File);

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Closing it is not enough while a child that is being started has a copy.
        _ = self.0.unlock();
    }
}

/// Creates the folder if necessary, and keeps other processes out of it while the lock is held.
fn lock_folder(path: &Path) -> Result<StoreLock, String> {
    if path.exists() && !path.is_dir() {
        return Err("is not a folder; give the store a folder of its own".to_owned());
    }
    fs::create_dir_all(path).map_err(|error| format!("cannot be made: {error}"))?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(|error| format!("cannot be locked: {error}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(StoreLock(lock)),
        Err(TryLockError::WouldBlock) => Err("is in use by another process; give each its own \
                                              folder, or share a redis store"
            .to_owned()),
        Err(TryLockError::Error(error)) => Err(format!("cannot be locked: {error}")),
    }
}

fn error(problem: String) -> StoreError {
    StoreError { store: NAME, problem }
}

#[cfg(test)]
mod tests;
