//! A store that counts its calls and can fail.

use async_trait::async_trait;
use hookward_claims::{
    ClaimKey, ClaimStore, Counters, Fence, Health, Intent, MemoryStore, Settled, Standing,
    StoreError, Target, Verdict,
};
use hookward_time::ManualClock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A memory store that counts claims and can be unavailable.
pub(crate) struct Watched {
    pub(super) inner: MemoryStore,
    claims: AtomicUsize,
    is_broken: AtomicBool,
    claims_nothing: AtomicBool,
    /// What a claim takes by the clock of the test.
    slow_by: Mutex<Option<(Arc<ManualClock>, Duration)>>,
}

impl Watched {
    pub(super) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            claims: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
            claims_nothing: AtomicBool::new(false),
            slow_by: Mutex::default(),
        }
    }

    /// How often it was asked for claims.
    pub(crate) fn asked(&self) -> usize {
        self.claims.load(Ordering::SeqCst)
    }

    pub(crate) fn breaks(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    /// From now on it leaves unclaimed what it is to claim, and says so.
    pub(crate) fn claims_nothing(&self) {
        self.claims_nothing.store(true, Ordering::SeqCst);
    }

    /// From now on the answer to a claim takes so long.
    pub(crate) fn answers_late(&self, clock: &Arc<ManualClock>, by: Duration) {
        *self.slow_by.lock() = Some((Arc::clone(clock), by));
    }

    fn state(&self) -> Result<(), StoreError> {
        let problem = "is out of order".to_owned();
        let is_broken = self.is_broken.load(Ordering::SeqCst);
        if is_broken { Err(StoreError { store: "memory", problem }) } else { Ok(()) }
    }
}

#[async_trait]
impl ClaimStore for Watched {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn counters(&self) -> &Counters {
        self.inner.counters()
    }

    async fn claim(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.state()?;
        let only_looks = self.claims_nothing.load(Ordering::SeqCst);
        let intent = if only_looks { Intent::Look } else { intent };
        let answer = self.inner.claim(targets, fence, intent, within).await;
        if let Some((clock, by)) = &*self.slow_by.lock() {
            clock.advance(*by);
        }
        answer
    }

    async fn settle(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError> {
        self.state()?;
        self.inner.settle(key, fence, verdict, within).await
    }

    async fn forget(&self, key: ClaimKey, within: Duration) -> Result<Standing, StoreError> {
        self.state()?;
        self.inner.forget(key, within).await
    }

    async fn entries(&self, within: Duration) -> Result<u64, StoreError> {
        self.state()?;
        self.inner.entries(within).await
    }

    async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        self.state()?;
        self.inner.health(within).await
    }
}
