//! Ids that were delivered one after another, as one key of the cache of delivered ids.

use crate::ClaimKey;
use moka::Equivalent;
use std::cell::Cell;
use std::hash::{Hash, Hasher};

/// An id with its facts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered<V> {
    pub(super) key: ClaimKey,
    pub(super) value: V,
    /// The last instant at which it is remembered, in milliseconds of monotonic time.
    pub(super) last_millis: u64,
}

impl<V> Remembered<V> {
    /// Whether it still counts at `now`, in the same milliseconds.
    pub(super) fn is_remembered(&self, now: u64) -> bool {
        now <= self.last_millis
    }
}

/// Identifies a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BatchName {
    pub(super) shard: u8,
    /// Unique within the shard.
    pub(super) number: u32,
}

/// Ids of one shard, hashed and compared only by the batch's name.
#[derive(Debug)]
pub(super) struct Batch<V> {
    pub(super) name: BatchName,
    pub(super) ids: Box<[Remembered<V>]>,
}

impl<V> Batch<V> {
    /// How many ids a batch holds at most.
    pub(super) const MOST: usize = 64;

    /// What it counts of the capacity.
    pub(super) fn weight(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    /// Whether none of its ids counts at `now` any more.
    pub(super) fn is_expired(&self, now: u64) -> bool {
        !self.ids.iter().any(|id| id.is_remembered(now))
    }
}

impl<V> PartialEq for Batch<V> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<V> Eq for Batch<V> {}

impl<V> Hash for Batch<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Looks for a batch, and copies one id of the batch that it is compared with.
pub(super) struct BatchProbe<V> {
    name: BatchName,
    slot: usize,
    met: Cell<Option<Remembered<V>>>,
}

impl<V> BatchProbe<V> {
    pub(super) fn of_batch(name: BatchName) -> Self {
        Self::of_id(name, 0)
    }

    /// Looks for the id in `slot` of the batch.
    pub(super) fn of_id(name: BatchName, slot: usize) -> Self {
        Self { name, slot, met: Cell::new(None) }
    }

    /// The id that was met.
    pub(super) fn into_met(self) -> Option<Remembered<V>> {
        self.met.into_inner()
    }
}

impl<V> Hash for BatchProbe<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<V: Copy> Equivalent<Batch<V>> for BatchProbe<V> {
    fn equivalent(&self, candidate: &Batch<V>) -> bool {
        let same = self.name == candidate.name;
        if same {
            self.met.set(candidate.ids.get(self.slot).copied());
        }
        same
    }
}
