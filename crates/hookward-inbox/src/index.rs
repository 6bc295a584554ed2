//! The state of each entry in memory, in 36 bytes, and look-ups.
//!
//! Numbers only grow, so entries are kept in pages by number, and a page needs eight bits of each. A
//! hash of the key is looked up in tables of numbers; a hit is checked against the log.

use crate::clock::Millis;
use crate::record::Location;
use hashbrown::HashTable;
use std::collections::BTreeMap;

const SHARDS: usize = 64;
const PAGE_BITS: u32 = 8;

/// A number of 48 bits: a sequence number or milliseconds for the next 8,900 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct U48([u8; 6]);

impl From<u64> for U48 {
    fn from(value: u64) -> Self {
        let bytes = value.min((1 << 48) - 1).to_le_bytes();
        Self(bytes.first_chunk().copied().unwrap_or_default())
    }
}

impl From<U48> for u64 {
    fn from(value: U48) -> Self {
        let mut bytes = [0; 8];
        for (byte, kept) in bytes.iter_mut().zip(value.0) {
            *byte = kept;
        }
        Self::from_le_bytes(bytes)
    }
}

/// A count of bytes in 16 bits: exact to 16 bytes up to 128 KiB, to an eighth of a percent above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntrySize(u16);

impl EntrySize {
    pub(crate) fn of(bytes: u64) -> Self {
        for exponent in 0..8_u16 {
            let unit = 16_u64 << (3 * exponent);
            if let Ok(units @ 0..=0x1FFF) = u16::try_from(bytes.div_ceil(unit)) {
                return Self((exponent << 13) | units);
            }
        }
        Self(u16::MAX)
    }

    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.0 & 0x1FFF) * (16 << (3 * (self.0 >> 13)))
    }
}

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    Queued = 0,
    InFlight = 1,
    Dead = 2,
    Delivered = 3,
    Discarded = 4,
}

/// One destination of an event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    /// When it is to be sent, since when it is being sent, or when it expires.
    due: U48,
    accepted: U48,
    /// Of source, id and destination.
    pub(crate) hash: u32,
    /// Of the accept record, or of a later note of its state.
    pub(crate) at: Location,
    /// Of the order that it belongs to; zero: none.
    pub(crate) lane: u32,
    pub(crate) to: u16,
    pub(crate) source: u16,
    /// Its share of the accept record.
    pub(crate) size: EntrySize,
    low: u8,
    flags: u8,
}

const NOTED: u8 = 1;
const HOLDS: u8 = 2;
const SCHEDULED: u8 = 4;
const READY: u8 = 8;
/// The bits above hold the state.
const STAND_SHIFT: u32 = 4;
const FLAGS: u8 = (1 << STAND_SHIFT) - 1;

impl Entry {
    pub(crate) fn due(&self) -> Millis {
        self.due.into()
    }

    pub(crate) fn set_due(&mut self, due: Millis) {
        self.due = due.into();
    }

    pub(crate) fn accepted(&self) -> Millis {
        self.accepted.into()
    }

    pub(crate) fn set_accepted(&mut self, accepted: Millis) {
        self.accepted = accepted.into();
    }

    pub(crate) fn stand(&self) -> Stand {
        match self.flags >> STAND_SHIFT {
            0 => Stand::Queued,
            1 => Stand::InFlight,
            2 => Stand::Dead,
            3 => Stand::Delivered,
            _ => Stand::Discarded,
        }
    }

    pub(crate) fn set_stand(&mut self, stand: Stand) {
        self.flags = (self.flags & FLAGS) | ((stand as u8) << STAND_SHIFT);
    }

    /// `at` is of a note, not of the accept record.
    pub(crate) fn is_noted(&self) -> bool {
        self.flags & NOTED != 0
    }

    pub(crate) fn set_noted(&mut self, is: bool) {
        self.set(NOTED, is);
    }

    /// Once dead, it holds those behind it.
    pub(crate) fn holds(&self) -> bool {
        self.flags & HOLDS != 0
    }

    pub(crate) fn set_holds(&mut self, is: bool) {
        self.set(HOLDS, is);
    }

    /// It is in a queue of the schedule.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.flags & SCHEDULED != 0
    }

    pub(crate) fn set_scheduled(&mut self, is: bool) {
        self.set(SCHEDULED, is);
    }

    /// It is due, and in the queue of what is.
    pub(crate) fn is_ready(&self) -> bool {
        self.flags & READY != 0
    }

    pub(crate) fn set_ready(&mut self, is: bool) {
        self.set(READY, is);
    }

    fn set(&mut self, flag: u8, is: bool) {
        if is {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }
}

/// All entries.
#[derive(Debug)]
pub(crate) struct Index {
    pages: BTreeMap<u64, Vec<Entry>>,
    shards: Vec<HashTable<U48>>,
    count: usize,
}

impl Default for Index {
    fn default() -> Self {
        let shards = std::iter::repeat_with(HashTable::new).take(SHARDS).collect();
        Self { pages: BTreeMap::new(), shards, count: 0 }
    }
}

fn low(seq: u64) -> u8 {
    seq.to_le_bytes()[0]
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn find(pages: &BTreeMap<u64, Vec<Entry>>, seq: u64) -> Option<&Entry> {
    let page = pages.get(&(seq >> PAGE_BITS))?;
    page.get(page.binary_search_by_key(&low(seq), |entry| entry.low).ok()?)
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Entry> {
        find(&self.pages, seq)
    }

    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        let page = self.pages.get_mut(&(seq >> PAGE_BITS))?;
        let at = page.binary_search_by_key(&low(seq), |entry| entry.low).ok()?;
        page.get_mut(at)
    }

    /// Adds an entry whose number is not there.
    pub(crate) fn insert(&mut self, seq: u64, mut entry: Entry) {
        entry.low = low(seq);
        let page = self.pages.entry(seq >> PAGE_BITS).or_default();
        if let Err(at) = page.binary_search_by_key(&entry.low, |entry| entry.low) {
            page.insert(at, entry);
            self.count += 1;
            let pages = &self.pages;
            if let Some(shard) = self.shards.get_mut(entry.hash as usize % SHARDS) {
                shard.insert_unique(spread(entry.hash), seq.into(), |seq| {
                    find(pages, (*seq).into()).map_or(0, |entry| spread(entry.hash))
                });
            }
        }
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Entry> {
        let hash = self.get(seq)?.hash;
        let wanted = U48::from(seq);
        let shard = self.shards.get_mut(hash as usize % SHARDS)?;
        if let Ok(found) = shard.find_entry(spread(hash), |seq| *seq == wanted) {
            found.remove();
        }
        let page = self.pages.get_mut(&(seq >> PAGE_BITS))?;
        let at = page.binary_search_by_key(&low(seq), |entry| entry.low).ok()?;
        let entry = page.remove(at);
        self.count -= 1;
        if page.is_empty() {
            self.pages.remove(&(seq >> PAGE_BITS));
        } else if page.len() * 4 <= page.capacity() {
            page.shrink_to(page.len() * 2);
        }
        if let Some(shard) = self.shards.get_mut(hash as usize % SHARDS)
            && shard.len() * 4 < shard.capacity()
        {
            let pages = &self.pages;
            shard.shrink_to(0, |seq| find(pages, (*seq).into()).map_or(0, |e| spread(e.hash)));
        }
        Some(entry)
    }

    /// The numbers of all entries whose key has this hash.
    pub(crate) fn with_hash(&self, hash: u32) -> Vec<u64> {
        let Some(shard) = self.shards.get(hash as usize % SHARDS) else { return Vec::new() };
        shard
            .iter_hash(spread(hash))
            .map(|seq| u64::from(*seq))
            .filter(|seq| self.get(*seq).is_some_and(|entry| entry.hash == hash))
            .collect()
    }

    /// Entries from a number on, ascending.
    pub(crate) fn from(&self, seq: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.pages
            .range(seq >> PAGE_BITS..)
            .flat_map(|(page, entries)| {
                entries.iter().map(move |entry| ((page << PAGE_BITS) | u64::from(entry.low), entry))
            })
            .filter(move |(found, _)| *found >= seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_36_bytes() {
        assert_eq!(size_of::<Entry>(), 36);
    }

    #[test]
    fn sizes_are_never_too_small_and_never_far_too_large() {
        for bytes in [0, 1, 16, 1_200, 131_000, 131_072, 200_000, 1 << 20, 77_777_777, 1 << 30] {
            let kept = EntrySize::of(bytes).bytes();
            assert!(kept >= bytes && kept <= bytes + 16.max(bytes / 64), "{bytes}: {kept}");
        }
    }

    #[test]
    fn entries_are_found_by_number_and_by_hash_until_they_are_removed() {
        let mut index = Index::default();
        for seq in (1..5_000).step_by(3) {
            let hash = u32::try_from(seq % 100).unwrap();
            index.insert(seq, Entry { hash, ..Entry::default() });
        }
        assert_eq!(index.with_hash(4).len(), 17);
        assert!(index.with_hash(4).into_iter().all(|seq| seq % 100 == 4));
        for seq in (1..5_000).step_by(6) {
            assert!(index.remove(seq).is_some() && index.get(seq).is_none());
        }
        let left: Vec<u64> = index.from(100).map(|(seq, _)| seq).collect();
        let expected: Vec<u64> = (4..5_000).step_by(6).filter(|seq| *seq >= 100).collect();
        assert_eq!(left, expected);
        assert_eq!(index.with_hash(4).len(), 17);
        assert_eq!(index.with_hash(1).len(), 0);
    }
}
