//! What this process knows and could not tell the store yet.
//!
//! A destination has accepted an event, and just then the store is gone. Until the store has been
//! told, this process remembers by itself, so that at least here the event is not sent again.

use super::lock::Mutex;
use super::{ClaimStore, Fence, Key, Standing, Verdict};
use crate::clock::{Clock, UnixMillis};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The time between two attempts to tell a store that does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The time that one attempt may take.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(2);

/// Verdicts that the store has not been told.
#[derive(Default)]
pub(super) struct Unsettled {
    owed: Mutex<Owed>,
    /// How many of them change how a key stands, so that the usual case of none costs no lock.
    count: AtomicUsize,
}

#[derive(Default)]
struct Owed {
    debts: HashMap<Key, Debt>,
    /// Claims to give up. One for each fence: a claim whose answer was too late may reach the
    /// store after the release of another.
    releases: HashMap<(Key, Fence), Debt>,
    being_told: bool,
}

#[derive(Clone)]
struct Debt {
    fence: Fence,
    verdict: Verdict,
    since: UnixMillis,
    /// The last instant of monotonic time at which it is of any use.
    until: Duration,
}

impl Unsettled {
    /// Remembers a verdict for `keep`. What was delivered, or may have been, is not overwritten by
    /// a release, of which nothing is remembered but that the store is to be told.
    pub(super) fn add(
        &self,
        key: Key,
        fence: Fence,
        verdict: Verdict,
        since: UnixMillis,
        now: Duration,
        keep: Duration,
    ) {
        let mut owed = self.owed.lock();
        let released = matches!(verdict, Verdict::Released { .. });
        let debt = Debt { fence, verdict, since, until: now.saturating_add(keep) };
        if released {
            owed.releases.insert((key, fence), debt);
            return;
        }
        owed.debts.insert(key, debt);
        self.count.store(owed.debts.len(), Ordering::Release);
    }

    /// How a key stands, as far as the store does not know yet.
    pub(super) fn standing(&self, key: Key, now: Duration) -> Option<Standing> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.owed.lock().debts.get(&key).and_then(|debt| debt.standing(now))
    }

    /// Gives up a key, and says how it stood.
    pub(super) fn forget(&self, key: Key, now: Duration) -> Option<Standing> {
        let mut owed = self.owed.lock();
        let debt = owed.debts.remove(&key);
        self.count.store(owed.debts.len(), Ordering::Release);
        debt.and_then(|debt| debt.standing(now))
    }

    /// Whether the caller is to call [`Unsettled::settle_all`]: true until somebody does.
    pub(super) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.owed.lock().being_told, true)
    }

    /// Tells the store everything, however long that takes.
    pub(super) async fn settle_all(&self, store: &dyn ClaimStore, clock: &dyn Clock) {
        loop {
            let due: Vec<(Key, Debt)> = {
                let mut owed = self.owed.lock();
                let now = clock.monotonic();
                owed.debts.retain(|_, debt| debt.until >= now);
                owed.releases.retain(|_, debt| debt.until >= now);
                self.count.store(owed.debts.len(), Ordering::Release);
                if owed.debts.is_empty() && owed.releases.is_empty() {
                    owed.being_told = false;
                    return;
                }
                let releases = owed.releases.iter().map(|((key, _), debt)| (key, debt));
                let due = owed.debts.iter().chain(releases);
                due.map(|(key, debt)| (*key, debt.clone())).collect()
            };
            for (key, debt) in due {
                let Debt { fence, verdict, .. } = debt.aged(clock.monotonic());
                if store.settle(key, fence, &verdict, ATTEMPT_WITHIN).await.is_err() {
                    store.counters().count_error();
                    tokio::time::sleep(PAUSE).await;
                    break;
                }
                self.paid(key, fence);
            }
        }
    }

    fn paid(&self, key: Key, fence: Fence) {
        let mut owed = self.owed.lock();
        owed.releases.remove(&(key, fence));
        if owed.debts.get(&key).is_some_and(|debt| debt.fence == fence) {
            owed.debts.remove(&key);
        }
        self.count.store(owed.debts.len(), Ordering::Release);
    }
}

impl Debt {
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

    /// The same with the time that is left of its term: it counts from when it happened.
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
