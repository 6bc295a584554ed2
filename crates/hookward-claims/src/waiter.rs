//! Waits for the first delivery of an event.

use super::flight::{Flight, Landing};
use crate::{Claims, Ending, Standing, Target};
use hookward_time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;

/// The first pause between two checks of another process's claim; it grows from there.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause, and so the longest delay for a copy.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The place of a copy that waits for the delivery in flight.
pub struct Waiter<T> {
    claims: Arc<Claims<T>>,
    winner: Winner<T>,
}

enum Winner<T> {
    Here { flight: Arc<Flight<T>>, same_body: bool },
    Elsewhere(Target),
}

/// The result that a copy waited for.
#[derive(Debug)]
pub enum Waited<T> {
    /// The winner's result in this process, which applies to the copy as well.
    Result(Arc<T>),
    /// The winner's destination has accepted it.
    Delivered {
        /// When.
        since: UnixMillis,
    },
    /// The winner's destination may have it.
    Uncertain {
        /// Absent again after this.
        left: Duration,
        /// The winner's note; empty if there is none.
        note: String,
    },
    /// The winner failed, or disappeared. The copy must not be forwarded in its place, because its
    /// sender will retry.
    Released {
        /// The winner's note; empty if there is none.
        note: String,
    },
    /// Still in flight.
    TimedOut,
}

impl<T: Send + Sync + 'static> Waiter<T> {
    pub(super) fn here(claims: Arc<Claims<T>>, flight: Arc<Flight<T>>, same_body: bool) -> Self {
        Self { claims, winner: Winner::Here { flight, same_body } }
    }

    pub(super) fn elsewhere(claims: Arc<Claims<T>>, target: Target) -> Self {
        Self { claims, winner: Winner::Elsewhere(target) }
    }

    /// Whether the winner has the same body, if known.
    pub fn same_body(&self) -> Option<bool> {
        match self.winner {
            Winner::Here { same_body, .. } => Some(same_body),
            Winner::Elsewhere(_) => None,
        }
    }

    /// Waits for the winner's end, for at most `within`.
    pub async fn wait(self, within: Duration) -> Waited<T> {
        let claims = &self.claims;
        let waited = match &self.winner {
            Winner::Here { flight, .. } => {
                claims.bounded(within, flight.landing()).await.map(|landing| landing.waited(claims))
            }
            Winner::Elsewhere(target) => {
                claims.bounded(within, self.poll_store(target, within)).await
            }
        };
        waited.unwrap_or(Waited::TimedOut)
    }

    async fn poll_store(&self, target: &Target, within: Duration) -> Waited<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            // A store that does not answer may answer again while there is time.
            let Ok(standings) = self.claims.look(std::slice::from_ref(target), within).await else {
                continue;
            };
            match standings.into_iter().next() {
                Some(Standing::InFlight { .. } | Standing::Claimed) => {}
                Some(Standing::Delivered { since, .. }) => return Waited::Delivered { since },
                Some(Standing::Uncertain { left, note, .. }) => {
                    return Waited::Uncertain { left, note };
                }
                Some(Standing::Released { note }) => return Waited::Released { note },
                Some(Standing::Absent) | None => return Waited::Released { note: String::new() },
            }
        }
    }
}

impl<T: Send + Sync + 'static> Landing<T> {
    fn waited(&self, claims: &Claims<T>) -> Waited<T> {
        if let Some(result) = &self.result {
            return Waited::Result(Arc::clone(result));
        }
        match self.ending {
            Ending::Delivered => Waited::Delivered { since: claims.wall() },
            Ending::Uncertain => Waited::Uncertain { left: self.hold, note: String::new() },
            Ending::Released => Waited::Released { note: String::new() },
        }
    }
}
