//! `store = "memory"`: claims of one process, lost with it.

use super::aliases::Aliases;
use super::delivered::{Delivered, DeliveredId};
use super::local::LocalStore;
use super::table::{Recall, Table};
use crate::{ClaimKey, Counters, Health, StoreError};
use async_trait::async_trait;
use hookward_time::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The time between two sweeps, which happen when the number of ids is requested.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Claims in the memory of this process. Never waits and never fails.
pub struct MemoryStore {
    table: Table<InMemory>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    next_sweep: Mutex<Duration>,
}

impl MemoryStore {
    /// Room for `capacity` delivered ids. Claims in flight and uncertain claims do not count.
    #[must_use]
    pub fn new(capacity: u64, clock: Arc<dyn Clock>) -> Self {
        let counters = Arc::new(Counters::default());
        let recall = InMemory {
            delivered: Delivered::new(capacity, Arc::clone(&clock), Arc::clone(&counters)),
            aliases: Aliases::new(capacity, Arc::clone(&clock), Arc::clone(&counters)),
        };
        let next_sweep = Mutex::new(clock.monotonic().saturating_add(SWEEP_EVERY));
        Self { table: Table::new(recall, Arc::clone(&clock)), counters, clock, next_sweep }
    }

    #[cfg(test)]
    pub(super) fn aliases(&self) -> &Aliases {
        &self.table.recall().aliases
    }

    fn is_time_to_sweep(&self) -> bool {
        let now = self.clock.monotonic();
        let mut next = self.next_sweep.lock();
        let due = *next <= now;
        if due {
            *next = now.saturating_add(SWEEP_EVERY);
        }
        due
    }
}

pub(super) struct InMemory {
    delivered: Delivered,
    aliases: Aliases,
}

impl Recall for InMemory {
    fn find(&self, key: ClaimKey) -> Result<Option<DeliveredId>, StoreError> {
        Ok(self.delivered.find(key))
    }

    fn remember(&self, key: ClaimKey, delivery: DeliveredId, ttl: Duration) {
        self.delivered.remember(key, delivery, ttl);
    }

    fn forget(&self, key: ClaimKey) -> Result<(), StoreError> {
        self.delivered.forget(key);
        Ok(())
    }

    fn alias(&self, alias: ClaimKey) -> Result<Option<ClaimKey>, StoreError> {
        Ok(self.aliases.find(alias))
    }

    fn link(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.aliases.link(alias, to, keep);
    }

    fn promote(&self, alias: ClaimKey, to: ClaimKey, left: Duration) {
        self.aliases.promote(alias, to, left);
    }

    fn link_delivered(&self, alias: ClaimKey, to: ClaimKey, keep: Duration) {
        self.aliases.link_delivered(alias, to, keep);
    }
}

#[async_trait]
impl LocalStore for MemoryStore {
    type Recall = InMemory;

    fn name(&self) -> &'static str {
        "memory"
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn table(&self) -> &Table<InMemory> {
        &self.table
    }

    async fn entries(&self) -> Result<u64, StoreError> {
        let delivered = self.table.recall().delivered.clone();
        if self.is_time_to_sweep() {
            let (sweeping, aliases) = (delivered.clone(), self.table.recall().aliases.clone());
            // A million ids take a tenth of a second.
            let _swept_or_shutting_down = tokio::task::spawn_blocking(move || {
                sweeping.sweep();
                aliases.sweep();
            })
            .await;
        }
        Ok(delivered.entries())
    }

    fn health(&self) -> Health {
        Health::Good
    }
}
