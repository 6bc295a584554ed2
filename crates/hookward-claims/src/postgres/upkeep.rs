//! Regular maintenance of the tables: creates future partitions and drops expired ones.

use super::Asking;
use super::session::Question;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often maintenance runs. Every instance does it; the server allows one at a time.
const EVERY: Duration = Duration::from_mins(10);

/// After a failure.
const AGAIN: Duration = Duration::from_secs(30);

/// How much later than expected a row may expire; partitions exist this long in advance.
const AHEAD: Duration = Duration::from_hours(48);

/// The time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// The most partitions that one round drops; the rest can wait.
const MOST_DROPPED: usize = 32;

/// Runs maintenance until it is dropped.
pub(super) struct Upkeep(JoinHandle<()>);

/// The longest time that anything has had to be kept so far, in ms.
#[derive(Default)]
pub(super) struct Longest(AtomicU64);

impl Longest {
    /// Records how long something has to be kept.
    pub(super) fn note(&self, keep: u64) {
        if self.0.load(Ordering::Relaxed) < keep {
            self.0.fetch_max(keep, Ordering::Relaxed);
        }
    }

    /// How far ahead partitions must reach, in ms.
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
                        tracing::warn!(error = %error, "maintenance of the claim store failed");
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
    asking.ask(Question::MakeRoom, &[&asking.longest.reach()], WITHIN).await?;
    for _ in 0..MOST_DROPPED {
        match asking.ask(Question::ClearOut, &[], WITHIN).await {
            Ok(rows) if rows.first().is_some_and(|row| row.get(0)) => {}
            Ok(_) => break,
            // An open transaction has seen the partition; dropping it can wait.
            Err(error) => {
                tracing::debug!(error = %error, "an old partition could not be dropped yet");
                break;
            }
        }
    }
    Ok(())
}
