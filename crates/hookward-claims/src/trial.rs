//! Tests from time to time whether the store does what a delivery needs.

use crate::{ClaimStore, StoreError};
use hookward_time::Clock;
use std::time::Duration;
use tokio::sync::Mutex;

/// The store is tried at most once in this time.
const EVERY: Duration = Duration::from_secs(1);

/// The last trial of a store.
#[derive(Default)]
pub(super) struct Trials(Mutex<Option<(Duration, Result<(), StoreError>)>>);

impl Trials {
    /// The result of the last trial, or of a new one if the last is too old. Simultaneous callers
    /// share one trial.
    pub(super) async fn latest(
        &self,
        store: &dyn ClaimStore,
        clock: &dyn Clock,
        within: Duration,
    ) -> Result<(), StoreError> {
        let mut last = self.0.lock().await;
        if let Some((at, came_to)) = &*last
            && clock.monotonic() < at.saturating_add(EVERY)
        {
            return came_to.clone();
        }
        let came_to = store.trial(within).await;
        *last = Some((clock.monotonic(), came_to.clone()));
        came_to
    }
}
