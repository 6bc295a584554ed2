//! The delivered ids that are held in memory: at most so many, the oldest forgotten first.
//!
//! `moka` does the keeping. Two of its habits matter here. Its default policy refuses *new* keys
//! when full, so the policy is LRU; and reading a value counts as a use, which would let a hit
//! save an old id at the cost of a younger one. So what is known of an id sits in the key of the
//! cache and is read by a [`Probe`] while keys are compared: `contains_key` records no use, and
//! the order of use stays the order of delivery.
//!
//! An id counts as long as our clock says. The cache is not told when one expires: that costs it
//! 40 bytes for each, and twice the time to remember one. Now and then [`Delivered::sweep`] gives
//! back what expired ids still take.

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

/// What is known of a delivered id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeliveredId {
    /// When the destination accepted it.
    pub(super) since: UnixMillis,
    /// A hash of the body that it accepted.
    pub(super) fingerprint: u64,
}

/// Delivered ids in memory with what is known of each; or their aliases, with the key that each
/// points at. A clone is another handle on the same ids.
#[derive(Clone)]
pub(super) struct Delivered<V = DeliveredId> {
    cache: Cache<Remembered<V>, ()>,
    clock: Arc<dyn Clock>,
}

impl<V: Copy + Send + Sync + 'static> Delivered<V> {
    /// Room for `capacity` ids; one that has to go before its time is counted.
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

    /// What is known of `key`, if it is still remembered.
    pub(super) fn find(&self, key: ClaimKey) -> Option<V> {
        self.probe(key).filter(|id| id.left(self.clock.as_ref()).is_some()).map(|id| id.value)
    }

    /// Remembers `key` for `ttl` from now, the last instant included.
    pub(super) fn remember(&self, key: ClaimKey, value: V, ttl: Duration) {
        // An insert alone would keep an old key, and with it what was known before.
        self.forget(key);
        let last_millis = self.now_millis().saturating_add(millis(ttl));
        self.cache.insert(Remembered { key, value, last_millis }, ());
    }

    /// Forgets `key`.
    pub(super) fn forget(&self, key: ClaimKey) {
        self.cache.invalidate(&Probe::<V>::new(key));
    }

    /// Takes out what has expired. Looks at every id, so it is for a thread that may take its time.
    pub(super) fn sweep(&self) {
        let expired = self.cache.iter().filter(|(id, ())| id.left(self.clock.as_ref()).is_none());
        for key in expired.map(|(id, ())| id.key).collect::<Vec<_>>() {
            self.cache.invalidate(&Probe::<V>::new(key));
        }
    }

    /// How many ids are held; expired ones that were not swept yet are among them.
    pub(super) fn entries(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    fn probe(&self, key: ClaimKey) -> Option<Remembered<V>> {
        let probe = Probe::new(key);
        // The cache also compares with keys that have been removed, so its word counts.
        if self.cache.contains_key(&probe) { probe.met.get() } else { None }
    }

    fn now_millis(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

/// An id as the cache holds it; hashed and compared by its key alone.
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

/// Looks for a key and takes along what it is compared with.
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
