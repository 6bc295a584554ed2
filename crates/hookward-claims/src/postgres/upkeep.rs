//! What the tables need now and then: partitions for the time to come, and none for what is over.

use super::Asking;
use super::session::StatementKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often it is done. Every instance does it; the server lets one at a time.
const EVERY: Duration = Duration::from_mins(10);

/// After a failure.
const AGAIN: Duration = Duration::from_secs(30);

/// How much later than what we know of a row may leave: partitions are there so long before.
const AHEAD: Duration = Duration::from_hours(48);

/// The longest time that a question may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Partitions that one round drops at most; the rest has time.
const MOST_DROPPED: usize = 32;

/// Does what is needed until it is dropped.
pub(super) struct Upkeep(JoinHandle<()>);

/// The longest time that anything was to be kept so far, in ms.
#[derive(Default)]
pub(super) struct Longest(AtomicU64);

impl Longest {
    /// Takes note of how long something is to be kept.
    pub(super) fn note(&self, keep: u64) {
        if self.0.load(Ordering::Relaxed) < keep {
            self.0.fetch_max(keep, Ordering::Relaxed);
        }
    }

    /// How far ahead partitions have to reach, in ms.
    pub(super) fn reach(&self) -> i64 {
        let ahead = u64::try_from(AHEAD.as_millis()).unwrap_or(u64::MAX);
        let reach = self.0.load(Ordering::Relaxed).saturating_add(ahead);
        i64::try_from(reach).unwrap_or(i64::MAX)
    }
}

impl Upkeep {
    pub(super) fn start(asking: Arc<Asking>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                let pause = match round(&asking).await {
                    Ok(()) => EVERY,
                    Err(error) => {
                        tracing::warn!(error = %error, "upkeep of the claim store");
                        AGAIN
                    }
                };
                tokio::time::sleep(pause).await;
            }
        }))
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn round(asking: &Asking) -> Result<(), crate::StoreError> {
    asking.ask(StatementKind::MakeRoom, &[&asking.longest.reach()], WITHIN).await?;
    for _ in 0..MOST_DROPPED {
        match asking.ask(StatementKind::ClearOut, &[], WITHIN).await {
            Ok(rows) if rows.first().is_some_and(|row| row.get(0)) => {}
            Ok(_) => break,
            // Somebody holds a transaction open that has seen the partition; it can wait.
            Err(error) => {
                tracing::debug!(error = %error, "an old partition could not be dropped yet");
                break;
            }
        }
    }
    Ok(())
}
