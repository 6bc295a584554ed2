//! Where each delivered id of a shard is: in which batch, and in which slot of it. Batches that are
//! not full yet are kept here; the others are in the cache.

use super::batch::{Batch, BatchName, BatchProbe, Remembered};
use super::shards::Shards;
use crate::ClaimKey;
use hashbrown::HashTable;
use moka::sync::Cache;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many batches fill up at a time, each with ids whose ttl is about the same. If there are more
/// such groups, the oldest batch goes into the cache as it is.
const MOST_OPEN: usize = 8;

/// The bits of a spot that tell which id of a batch it is.
const SLOT_BITS: u32 = Batch::<()>::MOST.trailing_zeros();

/// Eight bytes for each id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spot {
    /// Of the key.
    hash: u32,
    /// The number of the batch, and the slot in it.
    at: u32,
}

impl Spot {
    fn new(hash: u32, number: u32, slot: usize) -> Self {
        Self { hash, at: number << SLOT_BITS | u32::try_from(slot).unwrap_or_default() }
    }

    const fn number(self) -> u32 {
        self.at >> SLOT_BITS
    }

    const fn slot(self) -> usize {
        self.at as usize % Batch::<()>::MOST
    }
}

/// A batch that takes more ids, or is on its way into the cache.
struct OpenBatch<V> {
    number: u32,
    /// Which ids belong together.
    group: u32,
    is_closed: bool,
    ids: Vec<Remembered<V>>,
}

/// The spots of the ids of one shard.
pub(super) struct IdIndex<V> {
    table: HashTable<Spot>,
    /// Of the hashes: who chooses ids does not know it, and cannot choose some that meet.
    seed: u64,
    /// The oldest first.
    open: Vec<OpenBatch<V>>,
    next_number: u32,
}

impl<V> Default for IdIndex<V> {
    fn default() -> Self {
        Self { table: HashTable::new(), seed: fastrand::u64(..), open: Vec::new(), next_number: 0 }
    }
}

impl<V: Copy + Send + Sync + 'static> IdIndex<V> {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// What is known of `key`.
    pub(super) fn find(&self, key: ClaimKey, full: &Cache<Batch<V>, ()>) -> Option<Remembered<V>> {
        self.locate(key, full).map(|(_, id)| id)
    }

    /// Removes the spot of `key`; the number of the batch that it was in.
    pub(super) fn forget(&mut self, key: ClaimKey, full: &Cache<Batch<V>, ()>) -> Option<u32> {
        let (spot, _) = self.locate(key, full)?;
        self.remove(spot);
        Some(spot.number())
    }

    /// Adds an id whose ttl is so many milliseconds. If that closes a batch: its number, and its ids
    /// for the cache.
    pub(super) fn add(
        &mut self,
        id: Remembered<V>,
        ttl: u64,
        most: usize,
    ) -> Option<(u32, Box<[Remembered<V>]>)> {
        let group = group_of(ttl);
        let is_its = |batch: &OpenBatch<V>| batch.group == group && !batch.is_closed;
        let index = self.open.iter().position(is_its).unwrap_or_else(|| {
            let number = self.unused_number();
            let ids = Vec::with_capacity(most);
            self.open.push(OpenBatch { number, group, is_closed: false, ids });
            self.open.len() - 1
        });
        let hash = self.hash(id.key);
        let batch = self.open.get_mut(index)?;
        let spot = Spot::new(hash, batch.number, batch.ids.len());
        batch.ids.push(id);
        batch.is_closed = batch.ids.len() >= most;
        self.table.insert_unique(spread(hash), spot, |spot| spread(spot.hash));
        let is_too_many = self.open.iter().filter(|batch| !batch.is_closed).count() > MOST_OPEN;
        let closed = match self.open.get_mut(index) {
            Some(batch) if batch.is_closed => batch,
            _ if is_too_many => self.open.iter_mut().find(|batch| !batch.is_closed)?,
            _ => return None,
        };
        closed.is_closed = true;
        Some((closed.number, closed.ids.as_slice().into()))
    }

    /// Drops a batch that the cache has now.
    pub(super) fn let_go(&mut self, number: u32) {
        self.open.retain(|batch| batch.number != number);
    }

    /// Removes the spots of a batch that left the cache. Returns how many of its ids counted at `now`.
    pub(super) fn lose(&mut self, batch: &Batch<V>, now: u64) -> usize {
        let mut lost = 0;
        for (slot, id) in batch.ids.iter().enumerate() {
            let was_there = self.remove(Spot::new(self.hash(id.key), batch.name.number, slot));
            lost += usize::from(was_there && id.is_remembered(now));
        }
        lost
    }

    /// Drops open batches of which no id counts at `now`.
    pub(super) fn sweep_open(&mut self, now: u64) {
        let is_expired = |batch: &OpenBatch<V>| {
            !batch.is_closed && !batch.ids.iter().any(|id| id.is_remembered(now))
        };
        for batch in self.open.extract_if(.., |batch| is_expired(batch)).collect::<Vec<_>>() {
            self.table.retain(|spot| spot.number() != batch.number);
        }
    }

    fn locate(&self, key: ClaimKey, full: &Cache<Batch<V>, ()>) -> Option<(Spot, Remembered<V>)> {
        let hash = self.hash(key);
        let mut met = None;
        let spot = self.table.find(spread(hash), |spot| {
            let id = (spot.hash == hash).then(|| self.id_at(*spot, key, full)).flatten();
            met = id.filter(|id| id.key == key);
            met.is_some()
        });
        Some((*spot?, met?))
    }

    fn id_at(
        &self,
        spot: Spot,
        key: ClaimKey,
        full: &Cache<Batch<V>, ()>,
    ) -> Option<Remembered<V>> {
        let number = spot.number();
        if let Some(open) = self.open.iter().find(|batch| batch.number == number) {
            return open.ids.get(spot.slot()).copied();
        }
        let name = BatchName { shard: Shards::<()>::number_of(key), number };
        let probe = BatchProbe::of_id(name, spot.slot());
        // The cache also compares with removed keys, so its own result decides.
        if full.contains_key(&probe) { probe.into_met() } else { None }
    }

    fn remove(&mut self, spot: Spot) -> bool {
        let found = self.table.find_entry(spread(spot.hash), |other| *other == spot);
        found.map(hashbrown::hash_table::OccupiedEntry::remove).is_ok()
    }

    fn hash(&self, key: ClaimKey) -> u32 {
        (xxh3_64_with_seed(key.as_bytes(), self.seed) >> 32) as u32
    }

    /// Numbers return after 2²⁶ batches of a shard. By then the cache has none of the old ones, but one
    /// may still be open.
    fn unused_number(&mut self) -> u32 {
        loop {
            let number = self.next_number;
            self.next_number = (number + 1) % (1 << (u32::BITS - SLOT_BITS));
            if !self.open.iter().any(|batch| batch.number == number) {
                return number;
            }
        }
    }
}

/// As the table wants it: it looks at the lowest bits and at the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Ttls of one group differ by at most a quarter.
fn group_of(ttl: u64) -> u32 {
    let bits = u64::BITS - ttl.leading_zeros();
    let lead = ttl >> bits.saturating_sub(3);
    bits << 3 | u32::try_from(lead).unwrap_or_default()
}
