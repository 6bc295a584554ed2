//! Updates for a store that did not answer, and their effects in the meantime.

use super::lock::Mutex;
use crate::{ClaimKey, ClaimStore, Fence, Settled, Standing, Verdict};
use hookward_time::{Clock, UnixMillis};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The time between two attempts to update a store that does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// How long one attempt may take.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(2);

/// The most entries that are remembered, about 20 MB; beyond that the oldest are dropped. Each
/// event that is delivered while the store is away needs one.
const MOST: usize = 100_000;

/// Verdicts that the store does not know yet.
#[derive(Default)]
pub(super) struct Unsettled {
    owed: Mutex<Owed>,
    /// How many of them change the state of a key, so that the usual case of none needs no lock.
    count: AtomicUsize,
    /// How many keys have claims to withdraw, for the same reason.
    giving_up: AtomicUsize,
}

#[derive(Default)]
struct Owed {
    debts: HashMap<ClaimKey, Debt>,
    /// Claims to withdraw, one for each fence: a claim whose answer was too late may reach the
    /// store after the release of another.
    releases: HashMap<ClaimKey, HashMap<Fence, Debt>>,
    /// All of them in the order in which they go to the store. An update that the store does not
    /// accept goes to the end, so that it holds up no other.
    queue: VecDeque<(ClaimKey, Fence)>,
    being_told: bool,
}

#[derive(Clone)]
struct Debt {
    fence: Fence,
    verdict: Verdict,
    since: UnixMillis,
    /// The last instant of monotonic time at which it is useful.
    until: Duration,
}

impl Unsettled {
    /// Remembers a verdict for `keep`. A release never overwrites an event that was or may have
    /// been delivered; it is remembered only for updating the store. Returns false if something had
    /// to be forgotten for it.
    pub(super) fn add(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: Verdict,
        since: UnixMillis,
        now: Duration,
        keep: Duration,
    ) -> bool {
        let mut owed = self.owed.lock();
        let has_room = owed.queue.len() < MOST || owed.forget_oldest();
        let released = matches!(verdict, Verdict::Released { .. });
        let debt = Debt { fence, verdict, since, until: now.saturating_add(keep) };
        if released {
            owed.releases.entry(key).or_default().insert(fence, debt);
        } else {
            owed.debts.insert(key, debt);
        }
        owed.queue.push_back((key, fence));
        self.note_sizes(&owed);
        has_room
    }

    /// The state of a key, as far as the store does not know it yet.
    pub(super) fn standing(&self, key: ClaimKey, now: Duration) -> Option<Standing> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.owed.lock().debts.get(&key).and_then(|debt| debt.standing(now))
    }

    /// Whether the store may still have a claim of this process on `key` that is to be withdrawn.
    /// Until then, the store considers the end of another claim outdated.
    pub(super) fn is_giving_up(&self, key: ClaimKey) -> bool {
        self.giving_up.load(Ordering::Acquire) > 0 && self.owed.lock().releases.contains_key(&key)
    }

    /// Withdraws a key, and returns its state.
    pub(super) fn forget(&self, key: ClaimKey, now: Duration) -> Option<Standing> {
        let mut owed = self.owed.lock();
        let debt = owed.debts.remove(&key);
        self.note_sizes(&owed);
        debt.and_then(|debt| debt.standing(now))
    }

    /// Whether the caller has to call [`Unsettled::settle_all`]: true until someone does.
    pub(super) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.owed.lock().being_told, true)
    }

    /// Updates the store completely, however long that takes.
    pub(super) async fn settle_all(&self, store: &dyn ClaimStore, clock: &dyn Clock) {
        while let Some((key, debt)) = self.next(clock.monotonic()) {
            let Debt { fence, verdict, .. } = debt.aged(clock.monotonic());
            match store.settle(key, fence, &verdict, ATTEMPT_WITHIN).await {
                Ok(Settled::Applied | Settled::Stale) => self.paid(key, fence),
                Err(_) => {
                    store.counters().count_error();
                    self.owed.lock().queue.push_back((key, fence));
                    tokio::time::sleep(PAUSE).await;
                    self.purge(clock.monotonic());
                }
            }
        }
    }

    /// The next update for the store; `None` if nothing is left, which ends the caller's work.
    fn next(&self, now: Duration) -> Option<(ClaimKey, Debt)> {
        let mut owed = self.owed.lock();
        while let Some((key, fence)) = owed.queue.pop_front() {
            let Some(debt) = owed.find(key, fence).cloned() else { continue };
            if debt.until < now {
                owed.remove(key, fence);
                self.note_sizes(&owed);
            } else if !debt.is_release() && owed.releases.contains_key(&key) {
                // After what it would be taken for out of date by.
                owed.queue.push_back((key, fence));
            } else {
                return Some((key, debt));
            }
        }
        owed.being_told = false;
        None
    }

    /// Forgets entries that are no longer useful.
    fn purge(&self, now: Duration) {
        let mut owed = self.owed.lock();
        owed.debts.retain(|_, debt| debt.until >= now);
        owed.releases.retain(|_, releases| {
            releases.retain(|_, debt| debt.until >= now);
            !releases.is_empty()
        });
        let mut queue = std::mem::take(&mut owed.queue);
        queue.retain(|(key, fence)| owed.find(*key, *fence).is_some());
        owed.queue = queue;
        self.note_sizes(&owed);
    }

    fn note_sizes(&self, owed: &Owed) {
        self.count.store(owed.debts.len(), Ordering::Release);
        self.giving_up.store(owed.releases.len(), Ordering::Release);
    }

    fn paid(&self, key: ClaimKey, fence: Fence) {
        let mut owed = self.owed.lock();
        owed.remove(key, fence);
        self.note_sizes(&owed);
    }
}

impl Owed {
    fn find(&self, key: ClaimKey, fence: Fence) -> Option<&Debt> {
        let debt = self.debts.get(&key).filter(|debt| debt.fence == fence);
        debt.or_else(|| self.releases.get(&key)?.get(&fence))
    }

    fn remove(&mut self, key: ClaimKey, fence: Fence) {
        if self.debts.get(&key).is_some_and(|debt| debt.fence == fence) {
            self.debts.remove(&key);
        }
        if let Entry::Occupied(mut releases) = self.releases.entry(key) {
            releases.get_mut().remove(&fence);
            if releases.get().is_empty() {
                releases.remove();
            }
        }
    }

    /// Makes room for one entry; false if the dropped one was still useful.
    fn forget_oldest(&mut self) -> bool {
        while let Some((key, fence)) = self.queue.pop_front() {
            let Some(debt) = self.find(key, fence) else { continue };
            // A claim that is not withdrawn lapses on its own.
            let is_release = debt.is_release();
            self.remove(key, fence);
            return is_release;
        }
        true
    }
}

impl Debt {
    fn is_release(&self) -> bool {
        matches!(self.verdict, Verdict::Released { .. })
    }

    fn standing(&self, now: Duration) -> Option<Standing> {
        let left = self.until.checked_sub(now)?;
        match &self.verdict {
            Verdict::Delivered { fingerprint, .. } => {
                Some(Standing::Delivered { since: self.since, fingerprint: *fingerprint })
            }
            Verdict::Uncertain { note, .. } => {
                Some(Standing::Uncertain { since: self.since, left, note: note.clone() })
            }
            Verdict::Released { .. } => None,
        }
    }

    /// The same with its remaining time, because the time counts from the event.
    fn aged(mut self, now: Duration) -> Self {
        let left = self.until.saturating_sub(now);
        match &mut self.verdict {
            Verdict::Delivered { ttl, .. } => *ttl = left,
            Verdict::Uncertain { hold, .. } => *hold = left,
            Verdict::Released { .. } => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Intent, MemoryStore, Target};
    use hookward_time::ManualClock;
    use std::sync::Arc;

    const HOUR: Duration = Duration::from_hours(1);

    fn delivered() -> Verdict {
        Verdict::Delivered { fingerprint: 1, ttl: HOUR }
    }

    fn key(number: u64) -> ClaimKey {
        ClaimKey::of(&"shop".into(), &number.to_string().as_str().into(), &"erp".into())
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_releases_are_no_loss() {
        let unsettled = Unsettled::default();
        let add = |number, verdict| {
            let fence = Fence(number);
            unsettled.add(key(number), fence, verdict, UnixMillis(0), Duration::ZERO, HOUR)
        };
        assert!(add(0, Verdict::Released { note: String::new() }));
        for number in 1..MOST as u64 {
            assert!(add(number, delivered()));
        }
        assert!(add(MOST as u64, delivered()), "the release went");
        assert!(!add(MOST as u64 + 1, delivered()));
        assert_eq!(unsettled.standing(key(1), Duration::ZERO), None);
        for number in [2, MOST as u64, MOST as u64 + 1] {
            assert!(unsettled.standing(key(number), Duration::ZERO).is_some(), "{number}");
        }
    }

    /// The claim without an answer may be in the store. The store would then consider the end of
    /// another claim outdated, and the delivery would be forgotten.
    #[tokio::test]
    async fn a_claim_is_given_up_before_the_store_hears_of_the_delivery() {
        let clock = Arc::new(ManualClock::at(UnixMillis(0)));
        let store = MemoryStore::new(10, Arc::clone(&clock) as _);
        let target = Target { key: key(1), alias: None, lease: HOUR, ttl: HOUR };
        store.claim(&[target], Fence(1), Intent::Claim, HOUR).await.unwrap();
        let unsettled = Unsettled::default();
        let add = |fence, verdict| {
            unsettled.add(key(1), Fence(fence), verdict, UnixMillis(0), Duration::ZERO, HOUR)
        };
        add(2, delivered());
        add(1, Verdict::Released { note: String::new() });
        assert!(unsettled.is_giving_up(key(1)));
        assert!(unsettled.begin());
        unsettled.settle_all(&store, clock.as_ref()).await;
        assert!(!unsettled.is_giving_up(key(1)));
        let stands = store.claim(&[target], Fence(3), Intent::Look, HOUR).await.unwrap();
        assert!(matches!(stands[0], Standing::Delivered { .. }), "{stands:?}");
        assert!(unsettled.begin(), "nobody is at it any more");
    }
}
