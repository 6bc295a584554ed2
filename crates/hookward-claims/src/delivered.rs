//! The delivered ids in memory: a limited number, of which the oldest are forgotten first.
//!
//! They are in a `moka` cache, and two of its properties matter. Its default policy refuses *new*
//! keys when it is full, so the policy is LRU. And reading a value counts as a use, so a hit would
//! save an old id at the cost of a younger one. So the facts about an id are part of the cache's
//! key, and a [`Probe`] reads them while keys are compared: `contains_key` records no use, and the
//! order of use stays the order of delivery.
//!
//! Our clock decides how long an id counts. The cache does not know when one expires: that would
//! cost 40 bytes per id, and twice the time to remember one. [`Delivered::sweep`] releases the
//! memory of expired ids from time to time.

use crate::{ClaimKey, Counters};
use hookward_time::{Clock, UnixMillis};
use moka::Equivalent;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// The facts about a delivered id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeliveredId {
    /// When the destination accepted it.
    pub(super) since: UnixMillis,
    /// A hash of the body that it accepted.
    pub(super) fingerprint: u64,
}

/// Delivered ids in memory with the facts about each; or their aliases, with the key that each
/// points to. A clone is another handle on the same ids.
#[derive(Clone)]
pub(super) struct Delivered<V = DeliveredId> {
    cache: Cache<Remembered<V>, ()>,
    clock: Arc<dyn Clock>,
}

impl<V: Copy + Send + Sync + 'static> Delivered<V> {
    /// Room for `capacity` ids; those that are dropped early are counted.
    pub(super) fn new(capacity: u64, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        let eviction_clock = Arc::clone(&clock);
        let cache = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |id: Arc<Remembered<V>>, (), cause| {
                if cause == RemovalCause::Size && id.left(eviction_clock.as_ref()).is_some() {
                    counters.count_eviction();
                }
            })
            .build();
        Self { cache, clock }
    }

    /// The facts about `key`, if it is still remembered.
    pub(super) fn find(&self, key: ClaimKey) -> Option<V> {
        self.probe(key).filter(|id| id.left(self.clock.as_ref()).is_some()).map(|id| id.value)
    }

    /// Remembers `key` for `ttl` from now, including the last instant.
    pub(super) fn remember(&self, key: ClaimKey, value: V, ttl: Duration) {
        // An insert alone would keep the old key with its old facts.
        self.forget(key);
        let last_millis = self.now_millis().saturating_add(millis(ttl));
        self.cache.insert(Remembered { key, value, last_millis }, ());
    }

    /// Forgets `key`.
    pub(super) fn forget(&self, key: ClaimKey) {
        self.cache.invalidate(&Probe::<V>::new(key));
    }

    /// Removes expired ids. It looks at every id, so call it from a thread that may take its time.
    pub(super) fn sweep(&self) {
        let expired = self.cache.iter().filter(|(id, ())| id.left(self.clock.as_ref()).is_none());
        for key in expired.map(|(id, ())| id.key).collect::<Vec<_>>() {
            self.cache.invalidate(&Probe::<V>::new(key));
        }
    }

    /// How many ids there are, including expired ones that have not been swept yet.
    pub(super) fn entries(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    fn probe(&self, key: ClaimKey) -> Option<Remembered<V>> {
        let probe = Probe::new(key);
        // The cache also compares with removed keys, so its own result decides.
        if self.cache.contains_key(&probe) { probe.met.get() } else { None }
    }

    fn now_millis(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

/// An id in the cache, hashed and compared only by its key.
#[derive(Clone, Copy, Debug)]
struct Remembered<V> {
    key: ClaimKey,
    value: V,
    /// The last instant at which it is remembered, in milliseconds of monotonic time.
    last_millis: u64,
}

impl<V> Remembered<V> {
    /// How long it will be remembered; `None`: no longer.
    fn left(&self, clock: &dyn Clock) -> Option<Duration> {
        self.last_millis.checked_sub(millis(clock.monotonic())).map(Duration::from_millis)
    }
}

impl<V> PartialEq for Remembered<V> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<V> Eq for Remembered<V> {}

impl<V> Hash for Remembered<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Looks for a key and copies the facts of the key that it is compared with.
struct Probe<V> {
    key: ClaimKey,
    met: Cell<Option<Remembered<V>>>,
}

impl<V> Probe<V> {
    fn new(key: ClaimKey) -> Self {
        Self { key, met: Cell::new(None) }
    }
}

impl<V> Hash for Probe<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl<V: Copy> Equivalent<Remembered<V>> for Probe<V> {
    fn equivalent(&self, candidate: &Remembered<V>) -> bool {
        let same = self.key == candidate.key;
        if same {
            self.met.set(Some(*candidate));
        }
        same
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookward_time::ManualClock;

    const HOUR: Duration = Duration::from_hours(1);

    fn delivered(capacity: u64) -> (Delivered, Arc<ManualClock>, Arc<Counters>) {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_seconds(1_773_656_430)));
        let counters = Arc::new(Counters::default());
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        (Delivered::new(capacity, shared, Arc::clone(&counters)), clock, counters)
    }

    fn key(number: u32) -> ClaimKey {
        ClaimKey::of(&"shop".into(), &number.to_string().into(), &"erp".into())
    }

    fn delivery(number: u32) -> DeliveredId {
        DeliveredId { since: UnixMillis(number.into()), fingerprint: number.into() }
    }

    #[test]
    fn of_5000_ids_the_last_900_are_known_when_1000_have_room() {
        let (delivered, _, counters) = delivered(1000);
        for number in 0..5000 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        for number in 4100..5000 {
            assert_eq!(delivered.find(key(number)), Some(delivery(number)), "{number}");
        }
        assert_eq!(delivered.entries(), 1000);
        assert_eq!(counters.evicted(), 4000);
    }

    #[test]
    fn a_hit_does_not_save_an_old_id_at_the_cost_of_a_younger_one() {
        let (delivered, _, _) = delivered(100);
        for number in 0..100 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        for number in 100..150 {
            for _ in 0..20 {
                delivered.find(key(0));
            }
            delivered.remember(key(number), delivery(number), HOUR);
            delivered.entries();
        }
        let known: Vec<u32> =
            (0..150).filter(|number| delivered.find(key(*number)).is_some()).collect();
        assert_eq!(known, (50..150).collect::<Vec<_>>());
    }

    #[test]
    fn an_id_is_remembered_through_its_ttl_and_hits_do_not_renew_it() {
        let (delivered, clock, counters) = delivered(10);
        delivered.remember(key(1), delivery(1), HOUR);
        clock.advance(HOUR);
        assert_eq!(delivered.find(key(1)), Some(delivery(1)), "at the last instant");
        clock.advance(Duration::from_millis(1));
        assert_eq!(delivered.find(key(1)), None);
        delivered.remember(key(1), delivery(2), HOUR);
        assert_eq!(delivered.find(key(1)), Some(delivery(2)), "what was known before is gone");
        assert_eq!(counters.evicted(), 0);
    }

    #[test]
    fn a_jump_of_the_wall_clock_neither_forgets_nor_keeps() {
        let (delivered, clock, _) = delivered(10);
        delivered.remember(key(1), delivery(1), HOUR);
        clock.jump(48 * 3_600_000);
        assert_eq!(delivered.find(key(1)), Some(delivery(1)));
        clock.jump(-96 * 3_600_000);
        clock.advance(HOUR + Duration::from_millis(1));
        assert_eq!(delivered.find(key(1)), None);
    }

    #[test]
    fn a_sweep_takes_out_what_has_expired_and_nothing_else() {
        let (delivered, clock, counters) = delivered(100);
        for number in 0..50 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        clock.advance(HOUR);
        for number in 40..60 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        delivered.sweep();
        assert_eq!(delivered.entries(), 60, "the last instant is not over");
        clock.advance(Duration::from_millis(1));
        delivered.sweep();
        assert_eq!(delivered.entries(), 20);
        assert_eq!(delivered.find(key(40)), Some(delivery(40)));
        assert_eq!(counters.evicted(), 0);
    }

    #[test]
    fn an_id_that_makes_room_after_its_time_is_not_counted_as_evicted() {
        let (delivered, clock, counters) = delivered(10);
        for number in 0..10 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        clock.advance(HOUR * 2);
        for number in 10..20 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        assert_eq!(delivered.entries(), 10);
        assert_eq!(counters.evicted(), 0);
    }
}
