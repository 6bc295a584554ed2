//! Other names of events, each pointing at the key that it was seen with.

use super::Key;
use crate::clock::Clock;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

/// Aliases in memory: at most so many, the ones longest unused forgotten first.
pub(super) struct Aliases {
    cache: Cache<Key, Link>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Copy)]
struct Link {
    to: Key,
    /// The first instant of monotonic time at which it no longer counts.
    until: Duration,
}

impl Aliases {
    /// Room for `capacity` aliases.
    pub(super) fn new(capacity: u64, clock: Arc<dyn Clock>) -> Self {
        let cache =
            Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru()).build();
        Self { cache, clock }
    }

    /// The key that `alias` points at. Whether that key still stands is not known here.
    pub(super) fn find(&self, alias: Key) -> Option<Key> {
        let link = self.cache.get(&alias)?;
        (self.clock.monotonic() < link.until).then_some(link.to)
    }

    /// Points `alias` at `to`, for `keep`.
    pub(super) fn link(&self, alias: Key, to: Key, keep: Duration) {
        let until = self.clock.monotonic().saturating_add(keep);
        self.cache.insert(alias, Link { to, until });
    }
}
