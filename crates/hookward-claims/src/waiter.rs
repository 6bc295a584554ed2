//! Waits for the first delivery of an event.

use super::flight::Flight;
use super::ledger::Ledger;
use crate::{Standing, Target};
use std::sync::Arc;
use std::time::Duration;

/// The first pause between two checks of another process's claim; it grows from there.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause, and so the longest delay for a copy.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The place of a copy that waits for the delivery in flight.
pub struct Waiter<T> {
    ledger: Arc<Ledger<T>>,
    winner: Winner<T>,
}

enum Winner<T> {
    Here { flight: Arc<Flight<T>>, same_body: bool },
    Elsewhere(Target),
}

impl<T: Send + Sync + 'static> Waiter<T> {
    pub(super) fn here(ledger: Arc<Ledger<T>>, flight: Arc<Flight<T>>, same_body: bool) -> Self {
        Self { ledger, winner: Winner::Here { flight, same_body } }
    }

    pub(super) fn elsewhere(ledger: Arc<Ledger<T>>, target: Target) -> Self {
        Self { ledger, winner: Winner::Elsewhere(target) }
    }

    /// Whether the winner has the same body, if known.
    pub fn same_body(&self) -> Option<bool> {
        match self.winner {
            Winner::Here { same_body, .. } => Some(same_body),
            Winner::Elsewhere(_) => None,
        }
    }

    /// Waits for the winner's end, as long as `within`. `None`: it is still in flight.
    ///
    /// # Errors
    /// There is no result of this process that a copy could share. The state says how it ended:
    /// delivered, uncertain, or released. After a release the copy is not forwarded in the winner's
    /// place: its sender comes again.
    pub async fn wait(self, within: Duration) -> Option<Result<Arc<T>, Standing>> {
        match &self.winner {
            Winner::Here { flight, .. } => {
                self.ledger.bounded(within, flight.landing()).await.cloned()
            }
            Winner::Elsewhere(target) => {
                self.ledger.bounded(within, self.poll_store(target, within)).await.map(Err)
            }
        }
    }

    async fn poll_store(&self, target: &Target, within: Duration) -> Standing {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            // A store that does not answer may answer again while there is time.
            let Ok(standings) = self.ledger.look(std::slice::from_ref(target), within).await else {
                continue;
            };
            match standings.into_iter().next() {
                Some(Standing::InFlight { .. } | Standing::Claimed) => {}
                Some(Standing::Absent) | None => {
                    return Standing::Released { note: String::new() };
                }
                Some(ended) => return ended,
            }
        }
    }
}
