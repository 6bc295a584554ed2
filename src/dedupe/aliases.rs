//! Other names of events, each pointing at the key that it was first seen with.

use super::Key;
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::time::{Duration, Instant};

/// Aliases in memory: at most so many, the ones longest unused forgotten first.
pub(super) struct Aliases(Cache<Key, Link>);

#[derive(Clone, Copy)]
struct Link {
    to: Key,
    keep: Duration,
}

impl Aliases {
    /// Room for `capacity` aliases.
    pub(super) fn new(capacity: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Lifetime)
            .build();
        Self(cache)
    }

    /// The key that `alias` points at. Whether that key still stands is not known here, so an
    /// alias that is kept too long does no harm.
    pub(super) fn find(&self, alias: Key) -> Option<Key> {
        self.0.get(&alias).map(|link| link.to)
    }

    /// Points `alias` at `to`.
    pub(super) fn link(&self, alias: Key, to: Key, keep: Duration) {
        self.0.insert(alias, Link { to, keep });
    }
}

struct Lifetime;

impl Expiry<Key, Link> for Lifetime {
    fn expire_after_create(&self, _alias: &Key, link: &Link, _at: Instant) -> Option<Duration> {
        Some(link.keep)
    }

    fn expire_after_update(
        &self,
        _alias: &Key,
        link: &Link,
        _at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(link.keep)
    }
}
