//! Other names of events in memory, each pointing at the key that it was seen with.
//!
//! Those of delivered events are held apart from the others, so that no number of deliveries that
//! fail pushes one of them out. One of either kind that has to go before its time is counted.

use super::delivered::Delivered;
use crate::{ClaimKey, Counters};
use hookward_time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// Aliases in memory: at most so many of either kind, the oldest forgotten first.
#[derive(Clone)]
pub(super) struct Aliases {
    of_delivered: Delivered<ClaimKey>,
    of_others: Delivered<ClaimKey>,
}

impl Aliases {
    /// Room for `capacity` aliases of delivered events, and for as many others.
    pub(super) fn new(capacity: u64, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        Self {
            of_delivered: Delivered::new(capacity, Arc::clone(&clock), Arc::clone(&counters)),
            of_others: Delivered::new(capacity, clock, counters),
        }
    }

    /// The key that `alias` points at. Whether that key still stands is not known here.
    pub(super) fn find(&self, alias: ClaimKey) -> Option<ClaimKey> {
        // Where there are two, the event that was delivered does not stand any more.
        self.of_others.find(alias).or_else(|| self.of_delivered.find(alias))
    }

    /// Points `alias` at `to`, for `keep`.
    pub(super) fn link(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.of_others.remember(alias, to, keep);
    }

    /// Points `alias` at the key of a delivered event, for `keep`.
    pub(super) fn link_delivered(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.of_delivered.remember(alias, to, keep);
        // Last, so that nobody finds it in neither.
        self.of_others.forget(alias);
    }

    /// Counts `alias` among those of delivered events from now on, for `left`. One that another
    /// event came with since then stays with that.
    pub(super) fn promote(&self, alias: ClaimKey, to: ClaimKey, left: Duration) {
        if self.find(alias).is_none_or(|first| first == to) {
            self.link_delivered(alias, to, left);
        }
    }

    /// Takes out what has expired.
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
        // A copy that came with another text meanwhile.
        let copy = claim(&store, "delivered", "signed too", 2).await;
        assert!(matches!(copy, Standing::InFlight { .. }), "{copy:?}");
        settle(&store, "delivered", 1, delivered).await;
        // And one that comes as a duplicate.
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
