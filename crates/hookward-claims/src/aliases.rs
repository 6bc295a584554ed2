//! Other names of events in memory, each pointing to the key with which it was seen.
//!
//! Aliases of delivered events are kept separately, so that failing deliveries never push one of
//! them out. Aliases of either kind that are dropped early are counted.

use super::delivered::Delivered;
use crate::{ClaimKey, Counters};
use hookward_time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// Aliases in memory: a limited number of either kind, of which the oldest are forgotten first.
#[derive(Clone)]
pub(super) struct Aliases {
    of_delivered: Delivered<ClaimKey>,
    of_others: Delivered<ClaimKey>,
}

impl Aliases {
    /// Room for `capacity` aliases of delivered events, and for as many others.
    pub(super) fn new(capacity: u64, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        Self {
            of_delivered: Delivered::one_by_one(
                capacity,
                Arc::clone(&clock),
                Arc::clone(&counters),
            ),
            of_others: Delivered::one_by_one(capacity, clock, counters),
        }
    }

    /// The key that `alias` points to. The key may have been forgotten since.
    pub(super) fn find(&self, alias: ClaimKey) -> Option<ClaimKey> {
        // If there are two, the delivered event has been forgotten.
        self.of_others.find(alias).or_else(|| self.of_delivered.find(alias))
    }

    /// Points `alias` at `to`, for `keep`.
    pub(super) fn link(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.of_others.remember(alias, to, keep);
    }

    /// Points `alias` at the key of a delivered event, for `keep`.
    pub(super) fn link_delivered(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.of_delivered.remember(alias, to, keep);
        // Last, so that no reader finds it in neither.
        self.of_others.forget(alias);
    }

    /// Moves `alias` to those of delivered events, for `left`. If another event has come with it
    /// since, it stays with that event.
    pub(super) fn promote(&self, alias: ClaimKey, to: ClaimKey, left: Duration) {
        if self.find(alias).is_none_or(|first| first == to) {
            self.link_delivered(alias, to, left);
        }
    }

    /// Removes expired aliases.
    pub(super) fn sweep(&self) {
        self.of_delivered.sweep();
        self.of_others.sweep();
    }
}

#[cfg(test)]
mod tests {
    use crate::{ClaimKey, ClaimStore, Fence, Intent, MemoryStore, Standing, Target, Verdict};
    use hookward_time::{Clock, ManualClock, UnixMillis};
    use std::sync::Arc;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_hours(1);

    async fn claim(store: &MemoryStore, id: &str, alias: &str, fence: u64) -> Standing {
        let key = ClaimKey::of(&"shop".into(), &id.into(), &"erp".into());
        let alias = Some(ClaimKey::of_alias(&"shop".into(), alias, &"erp".into()));
        let target = Target { key, alias, lease: Duration::from_secs(40), ttl: HOUR };
        let standings = store.claim(&[target], Fence(fence), Intent::Claim, HOUR).await;
        standings.unwrap().remove(0)
    }

    async fn settle(store: &MemoryStore, id: &str, fence: u64, verdict: Verdict) {
        let key = ClaimKey::of(&"shop".into(), &id.into(), &"erp".into());
        store.settle(key, Fence(fence), &verdict, HOUR).await.unwrap();
    }

    #[tokio::test]
    async fn failing_deliveries_push_out_no_alias_of_a_delivered_one_and_are_counted() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(UnixMillis(0)));
        let store = MemoryStore::new(1000, clock);
        let delivered = Verdict::Delivered { fingerprint: 1, ttl: HOUR };
        assert_eq!(claim(&store, "delivered", "signed", 1).await, Standing::Claimed);
        // A copy that came with another text in the meantime.
        let copy = claim(&store, "delivered", "signed too", 2).await;
        assert!(matches!(copy, Standing::InFlight { .. }), "{copy:?}");
        settle(&store, "delivered", 1, delivered).await;
        // And one that arrives as a duplicate.
        let duplicate = claim(&store, "delivered", "signed again", 2).await;
        assert!(matches!(duplicate, Standing::Delivered { .. }), "{duplicate:?}");
        for number in 0..2500 {
            let (id, alias) = (format!("failing {number}"), format!("text {number}"));
            assert_eq!(claim(&store, &id, &alias, 10 + number).await, Standing::Claimed);
            let released = Verdict::Released { note: String::new() };
            settle(&store, &id, 10 + number, released).await;
        }
        for alias in ["signed", "signed too", "signed again"] {
            let replay = claim(&store, "replayed", alias, 3).await;
            assert!(matches!(replay, Standing::Delivered { .. }), "{alias}: {replay:?}");
        }
        let of_others = &store.aliases().of_others;
        assert_eq!(of_others.entries(), 1000);
        assert_eq!(store.counters().evicted(), 1500);
    }
}
