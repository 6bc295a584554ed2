//! Memory of a delivered id and of its guard against replays, by a counting allocator.

use crate::record::compare;
use crate::{ALLOCATOR, alone};
use hookward_claims::{ClaimKey, ClaimStore as _, Fence, Intent, MemoryStore, Target, Verdict};
use hookward_time::{Clock, ManualClock, UnixMillis};
use stats_alloc::Region;
use std::sync::Arc;
use std::time::Duration;

/// A thirty-second part of a million: its tables are as full as those of a million.
const IDS: u32 = 31_250;

const DAY: Duration = Duration::from_hours(24);

#[test]
fn memory_of_a_delivered_id_has_not_risen() {
    alone("memory::counted_alone");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn counted_alone() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plain = runtime.block_on(bytes_per_id(false));
    let guarded = runtime.block_on(bytes_per_id(true));
    let measured = [("delivered id", plain), ("its guard", guarded - plain)];
    compare("bytes", &measured, 0.03);
}

/// What a store takes for each of many delivered ids.
async fn bytes_per_id(has_guard: bool) -> f64 {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(UnixMillis(0)));
    let store = MemoryStore::new(1_000_000, clock);
    let region = Region::new(ALLOCATOR);
    for number in 0..IDS {
        let (source, id, to) = ("shop".into(), number.to_string(), "erp".into());
        let alias = has_guard.then(|| ClaimKey::of_alias(&source, &id, &to));
        let key = ClaimKey::of(&source, &id.into(), &to);
        let (fence, lease) = (Fence(number.into()), Duration::from_secs(40));
        let target = Target { key, alias, lease, ttl: DAY };
        store.claim(&[target], fence, Intent::Claim, DAY).await.unwrap();
        let verdict = Verdict::Delivered { fingerprint: 1, ttl: DAY };
        store.settle(key, fence, &verdict, DAY).await.unwrap();
    }
    assert_eq!(store.entries(DAY).await.unwrap(), u64::from(IDS));
    let change = region.change();
    (change.bytes_allocated - change.bytes_deallocated) as f64 / f64::from(IDS)
}
