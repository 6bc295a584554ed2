//! The delivered ids in memory: a limited number, of which the oldest are forgotten first.
//!
//! They are in a `moka` cache, by the batch: an entry of the cache takes almost 300 bytes beside what
//! is stored in it, and an id only 40. A small table finds the batch of an id ([`id_index`]).
//!
//! Two properties of the cache matter. Its default policy refuses *new* keys when it is full, so the
//! policy is LRU. And reading a value counts as a use, so a hit would save old ids at the cost of
//! younger ones. So the ids are part of the cache's key, and a probe reads them while keys are
//! compared: `contains_key` records no use, and the order of use stays the order of delivery.
//!
//! Our clock decides how long an id counts. The cache does not know when one expires;
//! [`Delivered::sweep`] releases the memory of expired ids from time to time.
//!
//! [`id_index`]: super::id_index

use super::batch::{Batch, BatchName, BatchProbe, Remembered};
use super::id_index::IdIndex;
use super::shards::Shards;
use crate::{ClaimKey, Counters};
use hookward_time::{Clock, UnixMillis};
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::sync::Arc;
use std::time::Duration;

/// A batch has one id more for each so many that there is room for: most shards have one or two
/// batches that are not full, and these ids come on top of the capacity.
const CAPACITY_PER_ID_IN_BATCH: u64 = 16 * 1024;

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
    full: Cache<Batch<V>, ()>,
    index: Arc<Shards<IdIndex<V>>>,
    clock: Arc<dyn Clock>,
    /// How many ids a batch holds.
    batch: usize,
}

impl<V: Copy + Send + Sync + 'static> Delivered<V> {
    /// Room for `capacity` ids; those that are dropped early are counted. Many ids share a batch, so
    /// one that is forgotten takes up room until the others of its batch are as old.
    pub(super) fn new(capacity: u64, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        let batch = usize::try_from(1 + capacity / CAPACITY_PER_ID_IN_BATCH).unwrap_or(usize::MAX);
        Self::in_batches(batch.min(Batch::<V>::MOST), capacity, clock, counters)
    }

    /// The same, for keys that are often remembered again or forgotten: these release their room at
    /// once, and each takes several times as much.
    pub(super) fn one_by_one(
        capacity: u64,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        Self::in_batches(1, capacity, clock, counters)
    }

    fn in_batches(
        batch: usize,
        capacity: u64,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        let index = Arc::new(Shards::<IdIndex<V>>::new());
        let (theirs, eviction_clock) = (Arc::clone(&index), Arc::clone(&clock));
        let full = Cache::builder()
            .max_capacity(capacity)
            .weigher(|batch: &Batch<V>, ()| batch.weight())
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |batch: Arc<Batch<V>>, (), cause| {
                let now = millis(eviction_clock.monotonic());
                // The cache holds locks of its own here, so this waits for nothing but short steps.
                let lost = theirs.numbered(batch.name.shard).lock_at_once().lose(&batch, now);
                if cause == RemovalCause::Size {
                    (0..lost).for_each(|_| counters.count_eviction());
                }
            })
            .build();
        Self { full, index, clock, batch }
    }

    /// The facts about `key`, if it is still remembered.
    pub(super) fn find(&self, key: ClaimKey) -> Option<V> {
        let id = self.index.of(key).lock().find(key, &self.full)?;
        id.is_remembered(self.now_millis()).then_some(id.value)
    }

    /// Remembers `key` for `ttl` from now, including the last instant.
    pub(super) fn remember(&self, key: ClaimKey, value: V, ttl: Duration) {
        let last_millis = self.now_millis().saturating_add(millis(ttl));
        let id = Remembered { key, value, last_millis };
        let (was_in, closed) = {
            let mut index = self.index.of(key).lock();
            // What was known before is forgotten first.
            (index.forget(key, &self.full), index.add(id, millis(ttl), self.batch))
        };
        self.release(key, was_in);
        if let Some((number, ids)) = closed {
            // The ids stay with the open batches until the cache has them, so no one finds them absent
            // in between. The cache may evict others now, so no lock is held.
            self.full.insert(Batch { name: name_of(key, number), ids }, ());
            self.index.of(key).lock().let_go(number);
        }
    }

    /// Forgets `key`.
    pub(super) fn forget(&self, key: ClaimKey) {
        let was_in = self.index.of(key).lock().forget(key, &self.full);
        self.release(key, was_in);
    }

    /// Releases the room of a forgotten key, if it had that for itself.
    fn release(&self, key: ClaimKey, was_in: Option<u32>) {
        if let Some(number) = was_in.filter(|_| self.batch == 1) {
            self.full.invalidate(&BatchProbe::<V>::of_batch(name_of(key, number)));
        }
    }

    /// Releases batches whose ids have all expired. It looks at every id, so call it from a thread that
    /// may take its time.
    pub(super) fn sweep(&self) {
        let now = self.now_millis();
        let expired = self.full.iter().filter(|(batch, ())| batch.is_expired(now));
        for name in expired.map(|(batch, ())| batch.name).collect::<Vec<_>>() {
            self.full.invalidate(&BatchProbe::<V>::of_batch(name));
        }
        for index in self.index.all() {
            index.lock().sweep_open(now);
        }
    }

    /// How many ids there are, including expired ones that have not been swept yet.
    pub(super) fn entries(&self) -> u64 {
        self.full.run_pending_tasks();
        self.index.all().map(|index| index.lock().len() as u64).sum()
    }

    fn now_millis(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

/// The batch with this number in the shard of `key`.
fn name_of(key: ClaimKey, number: u32) -> BatchName {
    BatchName { shard: Shards::<()>::number_of(key), number }
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

    /// Ten ids in a batch, and room for so many.
    fn batches(capacity: u64) -> (Delivered, Arc<ManualClock>, Arc<Counters>) {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_seconds(1_773_656_430)));
        let counters = Arc::new(Counters::default());
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        (Delivered::in_batches(10, capacity, shared, Arc::clone(&counters)), clock, counters)
    }

    #[test]
    fn of_ids_in_batches_the_oldest_are_forgotten_first_and_counted() {
        let (delivered, _, counters) = batches(2000);
        for number in 0..20_000 {
            delivered.remember(key(number), delivery(number), HOUR);
            assert_eq!(delivered.find(key(number)), Some(delivery(number)));
        }
        let entries = delivered.entries();
        // A shard has up to nine ids more, in a batch that is not full.
        assert!((2000..=2000 + 64 * 9).contains(&entries), "{entries}");
        assert_eq!(counters.evicted(), 20_000 - entries);
        for number in 18_500..20_000 {
            assert_eq!(delivered.find(key(number)), Some(delivery(number)), "{number}");
        }
        for number in 0..16_000 {
            assert_eq!(delivered.find(key(number)), None, "{number}");
        }
    }

    #[test]
    fn what_is_remembered_again_does_not_go_with_its_old_batch() {
        let (delivered, _, _) = batches(2000);
        let ids = 0..4000;
        for number in ids.clone() {
            delivered.remember(key(number), delivery(number), HOUR);
            let again = number / 2;
            delivered.remember(key(again), delivery(again + 10_000), HOUR);
            assert_eq!(delivered.find(key(again)), Some(delivery(again + 10_000)), "{again}");
        }
        let entries = delivered.entries();
        let known = ids.filter(|number| delivered.find(key(*number)).is_some()).count() as u64;
        assert_eq!(
            entries, known,
            "what an old batch is left with leaves with it, and nothing else"
        );
    }

    #[test]
    fn what_is_forgotten_is_gone_from_a_batch() {
        let (delivered, _, counters) = batches(2000);
        for number in 0..1500 {
            delivered.remember(key(number), delivery(number), HOUR);
        }
        for number in (0..1500).step_by(3) {
            delivered.forget(key(number));
        }
        for number in 0..1500 {
            let is_known = delivered.find(key(number)).is_some();
            assert_eq!(is_known, number % 3 != 0, "{number}");
        }
        assert_eq!((delivered.entries(), counters.evicted()), (1000, 0));
    }

    #[test]
    fn ids_that_expire_together_share_batches_and_leave_with_them() {
        let (delivered, clock, counters) = batches(10_000);
        let start = clock.monotonic();
        for number in 0..6000 {
            // More groups than batches are open at a time.
            delivered.remember(key(number), delivery(number), HOUR * (1 << (number % 12)));
        }
        for hours in [1, 4, 64] {
            clock.advance(HOUR * hours);
            let elapsed = clock.monotonic().saturating_sub(start);
            delivered.sweep();
            let lasting = |number: &u32| HOUR * (1 << (number % 12)) >= elapsed;
            for number in 0..6000 {
                let is_known = delivered.find(key(number)).is_some();
                assert_eq!(is_known, lasting(&number), "{number}");
            }
            assert_eq!(delivered.entries(), (0..6000).filter(lasting).count() as u64);
        }
        assert_eq!(counters.evicted(), 0);
    }

    #[test]
    fn an_id_is_found_while_its_batch_moves_into_the_cache() {
        let raced = || {
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(UnixMillis(0)));
            let delivered = Delivered::in_batches(2, 100, clock, Arc::default());
            // All in one shard.
            let key = |number: u8| ClaimKey::from_bytes([number; 16].map(|byte| byte * 64));
            let threads: Vec<_> = [0, 1, 2]
                .into_iter()
                .map(|number| {
                    let delivered = delivered.clone();
                    shuttle::thread::spawn(move || {
                        delivered.remember(key(number), delivery(number.into()), HOUR);
                        assert!(delivered.find(key(number)).is_some());
                        assert!(delivered.find(key(number)).is_some());
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(delivered.entries(), 3);
        };
        crate::lock::racing::check(raced, 500);
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
