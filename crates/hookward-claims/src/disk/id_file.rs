//! The file that outlives the process: a `redb` database of delivered ids.

use super::id_filter::IdFilter;
use super::record::JournalRecord;
use crate::delivered::DeliveredId;
use crate::transfer::PAGE;
use crate::{Bookmark, ClaimKey, KnownFact, KnownPage};
use hookward_time::UnixMillis;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use redb::{Table, TableDefinition, TableError, Value, WriteTransaction};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Bound::{Excluded, Unbounded};
use std::path::Path;
use std::time::Duration;

/// Pages kept in memory. Most look-ups are for absent ids, anywhere in the file, so more would help
/// little; the operating system caches the rest.
const CACHE_BYTES: usize = 16 << 20;

/// How many expired records one commit removes at most, so that it stays short.
const SWEPT_AT_ONCE: usize = 20_000;

/// More than the part of the file that redb changes before it has checked the rest.
const HEADER_BYTES: u64 = 4096;

/// The format that this program writes; files with another format are not read.
const FORMAT: u64 = 1;

type Id = [u8; 16];

/// `format`, and `journal`: the number of the last journal that is in here.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("hookward");
/// `since`, fingerprint, `until`.
const DELIVERED: TableDefinition<'_, Id, (i64, u64, i64)> = TableDefinition::new("delivered");
/// since, until.
const UNCERTAIN: TableDefinition<'_, Id, (i64, i64)> = TableDefinition::new("uncertain");
/// The key that an alias points at, until.
const LINKS: TableDefinition<'_, Id, (Id, i64)> = TableDefinition::new("links");
/// `until`, the table, the key: the records to remove, soonest first.
const EXPIRY: TableDefinition<'_, (i64, u8, Id), ()> = TableDefinition::new("expiry");

const IN_DELIVERED: u8 = 1;
const IN_UNCERTAIN: u8 = 2;
const IN_LINKS: u8 = 3;

/// An open id file.
#[derive(Debug)]
pub(super) struct IdFile {
    database: Database,
}

/// Why an id file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdFileError {
    /// It is not a file of Hookward.
    #[error("is not an id file of this version of hookward")]
    Foreign,
    /// Its checksums do not match.
    #[error("is damaged ({0})")]
    Damaged(redb::Error),
    /// An error from redb.
    #[error("cannot be used: {0}")]
    Unusable(redb::Error),
}

impl IdFile {
    /// Creates a new file completely or not at all: a process that is killed meanwhile leaves none.
    pub(super) fn create(path: &Path) -> Result<(), redb::Error> {
        let unfinished = path.with_extension("new");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let database = Database::create(&unfinished)?;
        let write = database.begin_write()?;
        {
            let mut about = write.open_table(ABOUT)?;
            about.insert("format", FORMAT)?;
            about.insert("journal", 0)?;
        }
        drop(Tables::open(&write)?);
        write.commit()?;
        drop(database);
        fs::rename(unfinished, path)?;
        match path.parent() {
            // Otherwise a power cut could remove the name, and every id with it.
            Some(folder) => Ok(File::open(folder)?.sync_all()?),
            None => Ok(()),
        }
    }

    /// Opens a file that [`IdFile::create`] made, after verifying all its checksums. A refused file
    /// is left unchanged.
    pub(super) fn open(path: &Path) -> Result<Self, IdFileError> {
        let header = header(path).map_err(|error| IdFileError::Unusable(error.into()))?;
        Self::open_checked(path).inspect_err(|_| {
            // redb marks the header as in use before it finds out that it cannot use the file.
            if let Err(error) = put_back(path, &header) {
                tracing::warn!(%error, "the header of a refused id file could not be restored");
            }
        })
    }

    fn open_checked(path: &Path) -> Result<Self, IdFileError> {
        let opened = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .open(path)
            .map_err(redb::Error::from);
        let file = match opened {
            Ok(database) => Self { database },
            Err(error @ redb::Error::Corrupted(_)) => return Err(IdFileError::Damaged(error)),
            Err(redb::Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(IdFileError::Damaged(error.into()));
            }
            Err(error) => return Err(IdFileError::Unusable(error)),
        };
        match file.about("format").map_err(IdFileError::Unusable)? {
            Some(FORMAT) => Ok(file),
            _ => Err(IdFileError::Foreign),
        }
    }

    /// Opens a file that this process had open before.
    pub(super) fn reopen(path: &Path) -> Result<Self, redb::Error> {
        Ok(Self { database: Builder::new().set_cache_size(CACHE_BYTES).open(path)? })
    }

    /// The number of the last journal that is in this file.
    pub(super) fn journal(&self) -> Result<u64, redb::Error> {
        Ok(self.about("journal")?.unwrap_or(0))
    }

    /// What is known of a delivered id, and until when it is remembered.
    pub(super) fn delivered(
        &self,
        key: ClaimKey,
    ) -> Result<Option<(DeliveredId, UnixMillis)>, redb::Error> {
        let table = self.database.begin_read()?.open_table(DELIVERED)?;
        Ok(table.get(key.as_bytes())?.map(|entry| {
            let (since, fingerprint, until) = entry.value();
            (DeliveredId { since: UnixMillis(since), fingerprint }, UnixMillis(until))
        }))
    }

    /// The key that an alias points at, and until when.
    pub(super) fn link(
        &self,
        alias: ClaimKey,
    ) -> Result<Option<(ClaimKey, UnixMillis)>, redb::Error> {
        let table = self.database.begin_read()?.open_table(LINKS)?;
        Ok(table.get(alias.as_bytes())?.map(|entry| {
            let (to, until) = entry.value();
            (ClaimKey::from_bytes(to), UnixMillis(until))
        }))
    }

    /// All keys of unknown fate, each with since and until.
    pub(super) fn uncertain(&self) -> Result<Vec<(ClaimKey, UnixMillis, UnixMillis)>, redb::Error> {
        let table = self.database.begin_read()?.open_table(UNCERTAIN)?;
        let entries = table.iter()?.map(|entry| {
            let (key, value) = entry?;
            let (since, until) = value.value();
            Ok((ClaimKey::from_bytes(key.value()), UnixMillis(since), UnixMillis(until)))
        });
        entries.collect()
    }

    /// How many delivered ids there are, including expired ones that have not been swept yet.
    pub(super) fn entries(&self) -> Result<u64, redb::Error> {
        Ok(self.database.begin_read()?.open_table(DELIVERED)?.len()?)
    }

    /// A filter of the keys that [`IdFile::delivered`] and [`IdFile::link`] may find.
    pub(super) fn filter(&self) -> Result<IdFilter, redb::Error> {
        let read = self.database.begin_read()?;
        let (delivered, links) = (read.open_table(DELIVERED)?, read.open_table(LINKS)?);
        let filter = IdFilter::for_keys(delivered.len()?.saturating_add(links.len()?));
        for (nth, entry) in delivered.iter()?.enumerate() {
            make_way(nth);
            filter.add(ClaimKey::from_bytes(entry?.0.value()));
        }
        for (nth, entry) in links.iter()?.enumerate() {
            make_way(nth);
            filter.add(ClaimKey::from_bytes(entry?.0.value()));
        }
        Ok(filter)
    }

    /// A page of what is still remembered `now`.
    pub(super) fn export(
        &self,
        from: &Bookmark,
        now: UnixMillis,
    ) -> Result<KnownPage, redb::Error> {
        match from.table {
            0 => self.page(from, DELIVERED, |key, (since, fingerprint, until)| {
                let (since, left) = (UnixMillis(since), left(until, now)?);
                Some(KnownFact::Delivered { key, since, fingerprint, left })
            }),
            1 => self.page(from, UNCERTAIN, |key, (since, until)| {
                let (since, left) = (UnixMillis(since), left(until, now)?);
                Some(KnownFact::Uncertain { key, since, left, note: String::new() })
            }),
            2 => self.page(from, LINKS, |alias, (to, until)| {
                let (to, left) = (ClaimKey::from_bytes(to), left(until, now)?);
                Some(KnownFact::Alias { alias, to, left })
            }),
            _ => Ok(KnownPage::default()),
        }
    }

    fn page<V: for<'a> Value<SelfType<'a> = V> + 'static>(
        &self,
        from: &Bookmark,
        table: TableDefinition<'_, Id, V>,
        known: impl Fn(ClaimKey, V) -> Option<KnownFact>,
    ) -> Result<KnownPage, redb::Error> {
        let table = self.database.begin_read()?.open_table(table)?;
        let start = if from.at.is_empty() { Unbounded } else { Excluded(*from.key().as_bytes()) };
        let mut page = KnownPage { known: Vec::new(), in_flight: 0, next: Some(from.after(None)) };
        for (nth, entry) in table.range::<Id>((start, Unbounded))?.enumerate() {
            let (key, value) = entry?;
            let key = ClaimKey::from_bytes(key.value());
            page.known.extend(known(key, value.value()));
            if nth + 1 == PAGE {
                page.next = Some(from.after(Some(key)));
                break;
            }
        }
        if page.next.as_ref().is_some_and(|next| next.table > 2) {
            page.next = None;
        }
        Ok(page)
    }

    /// Writes the records of journal `number` and, if `now` is given, removes records that expired
    /// before it, in one transaction that is flushed to disk. Returns true if more have expired
    /// than one transaction removes.
    pub(super) fn commit(
        &self,
        number: u64,
        records: &[JournalRecord],
        now: Option<UnixMillis>,
    ) -> Result<bool, redb::Error> {
        let write = self.database.begin_write()?;
        write.open_table(ABOUT)?.insert("journal", number)?;
        let more = {
            let mut tables = Tables::open(&write)?;
            tables.write_all(records)?;
            now.map_or(Ok(false), |now| tables.sweep(now))?
        };
        write.commit()?;
        Ok(more)
    }

    fn about(&self, name: &str) -> Result<Option<u64>, redb::Error> {
        let table = match self.database.begin_read()?.open_table(ABOUT) {
            Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
                return Ok(None);
            }
            table => table?,
        };
        Ok(table.get(name)?.map(|entry| entry.value()))
    }
}

/// How long what is kept `until` is still kept; `None` if that is over.
fn left(until: i64, now: UnixMillis) -> Option<Duration> {
    u64::try_from(UnixMillis(until).millis_since(now)).ok().map(Duration::from_millis)
}

/// The first bytes of a file; fewer if there are not so many.
fn header(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEADER_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes sure that a file begins with these bytes.
fn put_back(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if header(path)? != bytes {
        File::options().write(true).open(path)?.write_all(bytes)?;
    }
    Ok(())
}

/// Lets others have the processor from time to time. Thousands of ids take tens of milliseconds, and a kernel may let a thread run for four of them before it looks at those who wait.
fn make_way(nth: usize) {
    const EVERY: usize = 16;
    if nth.is_multiple_of(EVERY) {
        std::thread::yield_now();
    }
}

struct Tables<'t> {
    delivered: Table<'t, Id, (i64, u64, i64)>,
    uncertain: Table<'t, Id, (i64, i64)>,
    links: Table<'t, Id, (Id, i64)>,
    expiry: Table<'t, (i64, u8, Id), ()>,
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            delivered: write.open_table(DELIVERED)?,
            uncertain: write.open_table(UNCERTAIN)?,
            links: write.open_table(LINKS)?,
            expiry: write.open_table(EXPIRY)?,
        })
    }

    fn write_all(&mut self, records: &[JournalRecord]) -> Result<(), redb::Error> {
        let mut expiries = Vec::with_capacity(records.len());
        // An empty table, as it is as long as nothing is uncertain, needs no look-up for each id.
        let mut some_uncertain = !self.uncertain.is_empty()?;
        for (nth, record) in records.iter().enumerate() {
            make_way(nth);
            match *record {
                JournalRecord::Delivered { key, delivery, until } => {
                    let id = *key.as_bytes();
                    self.delivered.insert(id, (delivery.since.0, delivery.fingerprint, until.0))?;
                    if some_uncertain {
                        self.uncertain.remove(id)?;
                    }
                    expiries.push((until.0, IN_DELIVERED, id));
                }
                JournalRecord::Uncertain { key, since, until } => {
                    let id = *key.as_bytes();
                    self.uncertain.insert(id, (since.0, until.0))?;
                    some_uncertain = true;
                    expiries.push((until.0, IN_UNCERTAIN, id));
                }
                JournalRecord::Forgotten { key } => {
                    self.delivered.remove(key.as_bytes())?;
                    self.uncertain.remove(key.as_bytes())?;
                }
                JournalRecord::Link { alias, to, until } => {
                    self.links.insert(alias.as_bytes(), (*to.as_bytes(), until.0))?;
                    expiries.push((until.0, IN_LINKS, *alias.as_bytes()));
                }
            }
        }
        // In the order of the table, so that each of its pages is touched once.
        expiries.sort_unstable();
        for (nth, expiry) in expiries.into_iter().enumerate() {
            make_way(nth);
            self.expiry.insert(expiry, ())?;
        }
        Ok(())
    }

    fn sweep(&mut self, now: UnixMillis) -> Result<bool, redb::Error> {
        let due: Vec<(i64, u8, Id)> = self
            .expiry
            .range(..(now.0, 0, Id::default()))?
            .take(SWEPT_AT_ONCE)
            .map(|entry| entry.map(|(due, _)| due.value()))
            .collect::<Result<_, _>>()?;
        for (nth, (until, table, id)) in due.iter().enumerate() {
            make_way(nth);
            self.expiry.remove((*until, *table, *id))?;
            // It has been written again since, so it stays until its later time.
            let ends = match *table {
                IN_DELIVERED => self.delivered.get(id)?.map(|entry| entry.value().2),
                IN_UNCERTAIN => self.uncertain.get(id)?.map(|entry| entry.value().1),
                _ => self.links.get(id)?.map(|entry| entry.value().1),
            };
            if ends != Some(*until) {
                continue;
            }
            match *table {
                IN_DELIVERED => drop(self.delivered.remove(id)?),
                IN_UNCERTAIN => drop(self.uncertain.remove(id)?),
                _ => drop(self.links.remove(id)?),
            }
        }
        Ok(due.len() == SWEPT_AT_ONCE)
    }
}
