//! The store together with what this process knows beside it. [`Claims`](crate::Claims), each claim
//! and each copy that waits share one.

use super::flight::{Flight, Flights, Landing};
use super::running::StartedWork;
use super::trial::Trials;
use super::unsettled::Unsettled;
use crate::{ClaimKey, ClaimStore, Fence, Intent, Settled, Standing, StoreError, Target, Verdict};
use hookward_time::{Clock, UnixMillis};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) struct Ledger<T> {
    pub(super) store: Arc<dyn ClaimStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) flights: Flights<T>,
    pub(super) unsettled: Unsettled,
    pub(super) trials: Trials,
    next_fence: AtomicU64,
    /// The runtime on which abandoned claims are settled. `None` outside a runtime, which works
    /// only with a store that never waits.
    runtime: Option<Handle>,
}

impl<T: Send + Sync + 'static> Ledger<T> {
    pub(super) fn new(store: Arc<dyn ClaimStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            flights: Flights::new(),
            unsettled: Unsettled::default(),
            trials: Trials::default(),
            // Instances start far apart, so that their fences never meet.
            next_fence: AtomicU64::new(fastrand::u64(..)),
            runtime: Handle::try_current().ok(),
        })
    }

    pub(super) fn next_fence(&self) -> Fence {
        Fence(self.next_fence.fetch_add(1, Ordering::Relaxed))
    }

    /// The state of each target, including what this process has not yet told the store.
    pub(super) async fn look(
        &self,
        targets: &[Target],
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError> {
        let answer = self.store.claim(targets, Fence(0), Intent::Look, within).await;
        let mut standings = self.counted(answer)?;
        for (target, standing) in targets.iter().zip(&mut standings) {
            if let Some(known) = self.unsettled.standing(target.key, self.now()) {
                *standing = known;
            }
        }
        Ok(standings)
    }

    /// Waits for `future` for at most `within`; `None` if the time is up.
    pub(super) async fn bounded<F: Future>(
        &self,
        within: Duration,
        future: F,
    ) -> Option<F::Output> {
        match self.runtime {
            Some(_) => tokio::time::timeout(within, future).await.ok(),
            None => Some(future.await),
        }
    }

    /// Settles later if the store does not answer now.
    pub(super) fn owe(
        self: &Arc<Self>,
        key: ClaimKey,
        fence: Fence,
        verdict: Verdict,
        keep: Duration,
    ) {
        if !self.unsettled.add(key, fence, verdict, self.clock.wall(), self.now(), keep) {
            self.store.counters().count_eviction();
        }
        let Some(runtime) = &self.runtime else { return };
        if self.unsettled.begin() {
            let ledger = Arc::clone(self);
            runtime.spawn(async move {
                ledger.unsettled.settle_all(ledger.store.as_ref(), ledger.clock.as_ref()).await;
            });
        }
    }

    /// Runs `work` to completion, even if the caller leaves.
    pub(super) fn run<V: Send + 'static>(
        &self,
        work: impl Future<Output = V> + Send + 'static,
    ) -> StartedWork<V> {
        StartedWork::start(work, self.runtime.as_ref())
    }

    /// Ends a claim in the store.
    pub(super) async fn settle(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError> {
        if self.unsettled.is_giving_up(key) {
            let problem = "is still to be told of an earlier claim".to_owned();
            return Err(StoreError { store: self.store.name(), problem });
        }
        self.counted(self.store.settle(key, fence, verdict, within).await)
    }

    /// The same, if the store answers without waiting.
    pub(super) fn settle_at_once(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
    ) -> Option<Result<Settled, StoreError>> {
        if self.unsettled.is_giving_up(key) {
            return None;
        }
        Some(self.counted(self.store.settle_at_once(key, fence, verdict)?))
    }

    /// Removes a flight and tells its waiters how it ended.
    pub(super) fn land(&self, key: ClaimKey, flight: &Arc<Flight<T>>, landing: Landing<T>) {
        self.flights.leave(key, flight);
        flight.lands(landing);
    }

    pub(super) fn counted<V>(&self, answer: Result<V, StoreError>) -> Result<V, StoreError> {
        answer.inspect_err(|error| {
            self.store.counters().count_error();
            tracing::warn!(%error, "claim store");
        })
    }

    pub(super) fn cut_short(&self) -> StoreError {
        StoreError { store: self.store.name(), problem: "did not answer in time".to_owned() }
    }

    pub(super) fn wall(&self) -> UnixMillis {
        self.clock.wall()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}
