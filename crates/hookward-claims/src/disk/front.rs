//! The way to the id file and back: the changes since the last commit, and the journals with them.

use super::changes::Changes;
use super::id_file::IdFile;
use super::id_filter::IdFilter;
use super::journal::Journal;
use super::record::JournalRecord;
use super::start::{ID_FILE, JOURNALS, journal_path, read_journals, refuse_foreign, replay};
use crate::delivered::DeliveredId;
use crate::table::Restored;
use crate::{Bookmark, ClaimKey, Counters, KnownPage};
use hookward_time::{Clock, UnixMillis};
use parking_lot::{Mutex, RwLock};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The time between two searches for expired records.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// The room that must be free after a failure before the next attempt, because a failed attempt
/// means reopening the file.
const ROOM_BYTES: usize = 1 << 20;

/// The layer between memory and id file.
pub(super) struct Front {
    folder: PathBuf,
    /// How many changes may wait in memory while the disk accepts none.
    capacity: usize,
    waiting: Mutex<UncommittedChanges>,
    /// `None` while it cannot be opened.
    file: RwLock<Option<IdFile>>,
    /// Has every key of the id file; `None` until it has been made.
    filter: RwLock<Option<IdFilter>>,
    /// Held during a commit, and while the filter is made: it must miss no key.
    changing_file: Mutex<()>,
    trouble: Mutex<Option<String>>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

/// Changes that are not in the id file yet.
struct UncommittedChanges {
    /// Since the last commit began.
    fresh: Changes,
    /// Changes of the current commit, or of a failed one that will be tried again.
    committing: Arc<Changes>,
    /// Empty, with the memory that the last committed changes took.
    spare: Changes,
    /// The number of the journal that `committing` was written to.
    committing_number: u64,
    /// The journal for `fresh`; `None` while the disk accepts none.
    journal: Option<Journal>,
    /// The number of that journal, or of the missing one.
    number: u64,
    next_sweep: Duration,
}

impl Front {
    /// Opens the folder, or initialises an empty one, and applies the journals to the id file. Also
    /// returns the keys of unknown fate.
    pub(super) fn open(
        folder: &Path,
        capacity: u64,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<(Self, Vec<Restored>), String> {
        let path = folder.join(ID_FILE);
        if !path.exists() {
            refuse_foreign(folder)?;
            IdFile::create(&path).map_err(|error| format!("cannot be filled: {error}"))?;
        }
        // Before opening the id file, so that nothing changes if a journal is damaged.
        let journals = read_journals(folder)?;
        let file = IdFile::open(&path).map_err(|error| {
            format!(
                "is not opened, because {ID_FILE} {error}; nothing was changed. Move the \
                     folder away to start without the ids in it"
            )
        })?;
        let unusable = |error: redb::Error| format!("cannot be used: {error}");
        let number = replay(journals, &file)?.max(file.journal().map_err(unusable)?) + 1;
        let now = clock.wall();
        let restored = file.uncertain().map_err(unusable)?.into_iter();
        let restored = restored.filter_map(|(key, since, until)| {
            let left = u64::try_from(until.millis_since(now)).ok()?;
            Some(Restored { key, since, left: Duration::from_millis(left) })
        });
        let restored = restored.collect();
        let front = Self {
            folder: folder.to_path_buf(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            waiting: Mutex::new(UncommittedChanges {
                fresh: Changes::default(),
                committing: Arc::default(),
                spare: Changes::default(),
                committing_number: number - 1,
                journal: None,
                number,
                next_sweep: Duration::ZERO,
            }),
            file: RwLock::new(Some(file)),
            filter: RwLock::new(None),
            changing_file: Mutex::new(()),
            trouble: Mutex::default(),
            clock,
            counters,
        };
        let journal = front.start_journal(number);
        front.waiting.lock().journal = journal;
        Ok((front, restored))
    }

    /// Records a change. If the disk does not accept it, it waits in memory.
    pub(super) fn write(&self, record: JournalRecord) {
        let mut waiting = self.waiting.lock();
        let written = match &mut waiting.journal {
            Some(journal) => journal.append(&record).map_err(|error| error.to_string()),
            None => Err("no journal could be started".to_owned()),
        };
        if let Err(problem) = written {
            self.note_trouble(&problem);
            if waiting.fresh.len() >= self.capacity {
                self.counters.count_eviction();
                return;
            }
        }
        waiting.fresh.add(record);
    }

    /// Tests whether the disk can still be written, with a link that has already expired and does
    /// not count as an event. The next commit writes it to the id file, and a sweep removes it.
    pub(super) fn try_out(&self, nobodys: ClaimKey) {
        if self.trouble().is_none() {
            self.write(JournalRecord::Link {
                alias: nobodys,
                to: nobodys,
                until: self.clock.wall(),
            });
        }
    }

    /// The facts about a delivered id.
    pub(super) fn delivered(&self, key: ClaimKey) -> Result<Option<DeliveredId>, redb::Error> {
        let change = self.waiting.lock().change(key);
        let (delivery, until) = match change {
            Some(JournalRecord::Delivered { delivery, until, .. }) => (delivery, until),
            Some(JournalRecord::Forgotten { .. }) => return Ok(None),
            _ if self.is_new(key) => return Ok(None),
            _ => match self.file.read().as_ref().map(|file| file.delivered(key)) {
                Some(found) => match found? {
                    Some(found) => found,
                    None => return Ok(None),
                },
                // Only memory is left; the problem is already known and counted.
                None => return Ok(None),
            },
        };
        Ok((self.clock.wall() <= until).then_some(delivery))
    }

    /// The key that an alias points at.
    pub(super) fn link(&self, alias: ClaimKey) -> Result<Option<ClaimKey>, redb::Error> {
        let change = self.waiting.lock().link(alias);
        let link = match change {
            Some(JournalRecord::Link { to, until, .. }) => Some((to, until)),
            _ if self.is_new(alias) => None,
            _ => self.file.read().as_ref().map_or(Ok(None), |file| file.link(alias))?,
        };
        Ok(link.filter(|(_, until)| self.clock.wall() < *until).map(|(to, _)| to))
    }

    /// Whether the id file is known not to have a key that is not among the uncommitted changes. Ask
    /// for these first, because they leave them for the file.
    pub(super) fn is_new(&self, key: ClaimKey) -> bool {
        self.filter.read().as_ref().is_some_and(|filter| !filter.may_hold(key))
    }

    /// Makes the filter from the keys in the id file, unless it has room for more. It reads all keys,
    /// so this takes a fraction of a second for a million.
    pub(super) fn renew_filter(&self) {
        let _no_commit_meanwhile = self.changing_file.lock();
        if self.filter.read().as_ref().is_some_and(|filter| !filter.is_full()) {
            return;
        }
        // If the file cannot be read, who looks a key up in it finds out and says so.
        let made = self.file.read().as_ref().and_then(|file| file.filter().ok());
        if let Some(made) = made {
            *self.filter.write() = Some(made);
        }
    }

    /// How many delivered ids there are, about.
    pub(super) fn entries(&self) -> Result<u64, redb::Error> {
        let waiting = {
            let waiting = self.waiting.lock();
            waiting.fresh.keys.len() + waiting.committing.keys.len()
        };
        let committed = self.file.read().as_ref().map_or(Ok(0), IdFile::entries)?;
        Ok(committed + waiting as u64)
    }

    /// A page of all that is known, once what has gathered is in the id file.
    pub(super) fn export(&self, from: &Bookmark) -> Result<KnownPage, String> {
        if *from == Bookmark::default() {
            // One that failed before comes first, what has gathered since then second.
            self.commit();
            self.commit();
        }
        if let Some(trouble) = self.trouble() {
            return Err(format!("at {trouble}"));
        }
        let file = self.file.read();
        let Some(file) = file.as_ref() else { return Err("has no open id file".to_owned()) };
        file.export(from, self.clock.wall()).map_err(|cause| cause.to_string())
    }

    /// What is wrong, as a sentence for users; `None` if nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Commits the collected changes to the id file. After a failure, only once there is room.
    pub(super) fn commit(&self) {
        if self.trouble().is_some() && !self.has_room() {
            return;
        }
        let _no_other = self.changing_file.lock();
        let next = self.next_journal();
        let (number, changes, now) = {
            let mut waiting = self.waiting.lock();
            if let Some(next) = next {
                waiting.turn(next);
            }
            let monotonic = self.clock.monotonic();
            let now = (waiting.next_sweep <= monotonic).then(|| self.clock.wall());
            if waiting.committing.is_empty() && now.is_none() && self.trouble().is_none() {
                return;
            }
            if now.is_some() {
                waiting.next_sweep = monotonic.saturating_add(SWEEP_EVERY);
            }
            (waiting.committing_number, Arc::clone(&waiting.committing), now)
        };
        // Deliveries go on meanwhile, so nothing that takes long happens under their lock.
        if let Some(filter) = self.filter.read().as_ref() {
            changes.all_keys().for_each(|key| filter.add(key));
        }
        match self.write_to_file(number, &changes.sorted(), now) {
            Ok(more_to_sweep) => {
                let mut waiting = self.waiting.lock();
                waiting.committing = Arc::default();
                if more_to_sweep {
                    waiting.next_sweep = Duration::ZERO;
                }
                if waiting.journal.is_some() {
                    *self.trouble.lock() = None;
                }
                drop(waiting);
                if let Some(mut changes) = Arc::into_inner(changes) {
                    changes.empty();
                    self.waiting.lock().spare = changes;
                }
            }
            Err(problem) => self.note_trouble(&problem),
        }
    }

    /// Commits everything to the id file, if the disk accepts it.
    pub(super) fn close(&self) {
        // First an earlier, failed commit, then the changes since.
        self.commit();
        self.commit();
        if self.trouble().is_none() {
            // All of it is in the id file.
            self.waiting.lock().journal = None;
            for name in JOURNALS {
                let _emptied =
                    File::options().write(true).truncate(true).open(self.folder.join(name));
            }
        }
    }

    /// Starts the other journal, if there is something to commit or none is being written; its number,
    /// and the journal unless the disk refuses it. Emptying a file may wait for the disk, so this is done
    /// before the lock is taken that deliveries need.
    fn next_journal(&self) -> Option<NextJournal> {
        let number = {
            let waiting = self.waiting.lock();
            let is_due = !waiting.fresh.is_empty() || waiting.journal.is_none();
            // Only commits change it, one at a time.
            (waiting.committing.is_empty() && is_due).then_some(waiting.number + 1)?
        };
        Some(NextJournal { number, journal: self.start_journal(number) })
    }

    fn start_journal(&self, number: u64) -> Option<Journal> {
        Journal::start(&journal_path(&self.folder, number), number)
            .inspect_err(|error| self.note_trouble(&error.to_string()))
            .ok()
    }

    fn write_to_file(
        &self,
        number: u64,
        records: &[JournalRecord],
        now: Option<UnixMillis>,
    ) -> Result<bool, String> {
        let failed = {
            let file = self.file.read();
            match file.as_ref().map(|file| file.commit(number, records, now)) {
                Some(Ok(more)) => return Ok(more),
                Some(Err(error)) => error.to_string(),
                None => "the id file is closed".to_owned(),
            }
        };
        // After a failed write, a database refuses everything until it is reopened.
        let mut file = self.file.write();
        drop(file.take());
        match IdFile::reopen(&self.folder.join(ID_FILE)) {
            Ok(reopened) => *file = Some(reopened),
            Err(error) => return Err(format!("{failed}; {error}")),
        }
        Err(failed)
    }

    fn has_room(&self) -> bool {
        let probe = self.folder.join("probe");
        let written =
            File::create(&probe).and_then(|mut file| file.write_all(&vec![1; ROOM_BYTES]));
        let removed = fs::remove_file(&probe);
        written.and(removed).is_ok()
    }

    fn note_trouble(&self, problem: &str) {
        self.counters.count_error();
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            tracing::error!(problem, folder = %self.folder.display(), "the disk store cannot write");
            *trouble = Some(format!(
                "{} cannot be written ({problem}); new ids are kept in memory only",
                self.folder.display()
            ));
        }
    }
}

/// The journal for the changes from now on; none while the disk accepts none.
struct NextJournal {
    number: u64,
    journal: Option<Journal>,
}

impl UncommittedChanges {
    /// Makes the fresh changes the ones to commit, and the next journal the one to be written.
    fn turn(&mut self, next: NextJournal) {
        let spare = std::mem::take(&mut self.spare);
        self.committing = Arc::new(std::mem::replace(&mut self.fresh, spare));
        self.committing_number = self.number;
        self.number = next.number;
        self.journal = next.journal;
    }

    fn change(&self, key: ClaimKey) -> Option<JournalRecord> {
        self.fresh.keys.get(&key).or_else(|| self.committing.keys.get(&key)).copied()
    }

    fn link(&self, alias: ClaimKey) -> Option<JournalRecord> {
        self.fresh.links.get(&alias).or_else(|| self.committing.links.get(&alias)).copied()
    }
}
