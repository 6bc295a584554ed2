//! Regular maintenance of the tables: creates future partitions and drops expired ones.

use super::asking::Asking;
use super::session::StatementKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often maintenance runs. Every instance does it; the server allows one at a time.
const EVERY: Duration = Duration::from_mins(10);

/// After a failure.
const AGAIN: Duration = Duration::from_secs(30);

/// The time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);

/// The most partitions that one round drops; the rest can wait.
const MOST_DROPPED: usize = 32;

/// Runs maintenance until it is dropped.
pub(super) struct Upkeep(JoinHandle<()>);

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
    asking.ask(StatementKind::MakeRoom, &[&asking.longest.reach()], WITHIN).await?;
    for _ in 0..MOST_DROPPED {
        match asking.ask(StatementKind::ClearOut, &[], WITHIN).await {
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
