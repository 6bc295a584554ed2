//! Shared by the stores of one process: their [`Table`] answers every call at once.

use super::table::{Recall, Table};
use crate::{
    Bookmark, ClaimKey, ClaimStore, Counters, Fence, Health, Intent, KnownFact, KnownPage, Moved,
};
use crate::{Settled, Standing, StoreError, Target, Verdict};
use async_trait::async_trait;
use std::time::Duration;

/// A store over a table of this process.
#[async_trait]
pub(super) trait LocalStore: Send + Sync {
    type Recall: Recall;

    fn name(&self) -> &'static str;
    fn counters(&self) -> &Counters;
    fn table(&self) -> &Table<Self::Recall>;
    async fn entries(&self) -> Result<u64, StoreError>;
    fn health(&self) -> Health;

    /// See [`ClaimStore::export`].
    fn export(&self, _from: &Bookmark) -> Result<KnownPage, StoreError> {
        let problem = "is in the memory of the process that serves; it cannot be copied".to_owned();
        Err(StoreError { store: LocalStore::name(self), problem })
    }

    /// A claim and a settle of a key of its own; see [`ClaimStore::trial`].
    fn trial(&self) -> Result<(), StoreError> {
        try_out(self.table(), ClaimKey::of_trial())
    }
}

/// Claims and settles a key that never counts as an event.
pub(super) fn try_out<R: Recall>(table: &Table<R>, key: ClaimKey) -> Result<(), StoreError> {
    let fence = Fence(fastrand::u64(1..));
    let target = Target { key, alias: None, lease: crate::TRIAL_LEASE, ttl: crate::TRIAL_LEASE };
    table.claim(&target, fence, Intent::Claim)?;
    let verdict = Verdict::Released { note: String::new() };
    table.settle(key, fence, &verdict).map(drop)
}

#[async_trait]
impl<S: LocalStore> ClaimStore for S {
    fn name(&self) -> &'static str {
        LocalStore::name(self)
    }

    fn counters(&self) -> &Counters {
        LocalStore::counters(self)
    }

    async fn claim(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
        _within: Duration,
    ) -> Result<Vec<Standing>, StoreError> {
        self.table().claim_all(targets, fence, intent)
    }

    async fn settle(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
        _within: Duration,
    ) -> Result<Settled, StoreError> {
        self.table().settle(key, fence, verdict)
    }

    fn claim_at_once(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
    ) -> Option<Result<Vec<Standing>, StoreError>> {
        Some(self.table().claim_all(targets, fence, intent))
    }

    fn settle_at_once(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
    ) -> Option<Result<Settled, StoreError>> {
        Some(self.table().settle(key, fence, verdict))
    }

    async fn forget(&self, key: ClaimKey, _within: Duration) -> Result<Standing, StoreError> {
        self.table().forget(key)
    }

    async fn entries(&self, _within: Duration) -> Result<u64, StoreError> {
        LocalStore::entries(self).await
    }

    async fn health(&self, _within: Duration) -> Result<Health, StoreError> {
        Ok(LocalStore::health(self))
    }

    async fn export(&self, from: &Bookmark, _within: Duration) -> Result<KnownPage, StoreError> {
        LocalStore::export(self, from)
    }

    async fn import(&self, known: &[KnownFact], _within: Duration) -> Result<Moved, StoreError> {
        let mut new = Moved::default();
        for known in known {
            if self.table().adopt(known)? {
                new.count(known);
            }
        }
        match LocalStore::health(self) {
            Health::Good => Ok(new),
            Health::Degraded(problem) => {
                Err(StoreError { store: LocalStore::name(self), problem: format!("at {problem}") })
            }
        }
    }

    async fn trial(&self, _within: Duration) -> Result<(), StoreError> {
        LocalStore::trial(self)
    }
}
