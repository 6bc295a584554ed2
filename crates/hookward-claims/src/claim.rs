//! One claim, and how it ends.

use super::flight::{Flight, Landing};
use crate::{Claims, Fence, Key, Settled, Verdict};
use std::sync::Arc;
use std::time::Duration;

/// A settle that takes longer than this is finished in the background, so that no answer waits
/// longer for it.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// The right, and the duty, to forward one event to one destination.
///
/// It ends with [`Claim::settle`]. If it is dropped instead, because its task was cancelled or
/// panicked, it is released, or becomes uncertain if [`Claim::sent`] was called.
#[must_use = "a claim that is dropped is released"]
pub struct Claim<T: Send + Sync + 'static> {
    held: Option<Held<T>>,
}

impl<T: Send + Sync + 'static> Claim<T> {
    pub(super) fn new(held: Held<T>) -> Self {
        Self { held: Some(held) }
    }

    /// Records that the destination may have received the whole request from now on.
    pub fn sent(&self) {
        if let Some(held) = &self.held {
            held.flight.note_sent();
        }
    }

    /// Ends the claim: first in the store, then for the copies that wait. Those in this process get
    /// `result`, those in other processes get `note`. It completes even if this call is cancelled.
    /// If the store does not answer, it is updated later; until then this process remembers the
    /// ending.
    pub async fn settle(mut self, ending: Ending, note: impl Into<String>, result: Arc<T>) {
        if let Some(held) = self.held.take() {
            let claims = Arc::clone(&held.claims);
            claims.run(held.conclude(ending, note.into(), Some(result))).await;
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Claim<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            let sent = held.flight.was_sent();
            let ending = if sent { Ending::Uncertain } else { Ending::Released };
            let claims = Arc::clone(&held.claims);
            drop(claims.run(held.conclude(ending, String::new(), None)));
        }
    }
}

/// How a delivery to one destination ended, for the purposes of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// 2xx.
    Delivered,
    /// The request was sent completely, but no valid answer came.
    Uncertain,
    /// Any other.
    Released,
}

/// What a claim holds.
pub(super) struct Held<T> {
    pub(super) claims: Arc<Claims<T>>,
    pub(super) key: Key,
    pub(super) fence: Fence,
    pub(super) flight: Arc<Flight<T>>,
    pub(super) terms: Terms,
}

impl<T: Send + Sync + 'static> Held<T> {
    async fn conclude(self, ending: Ending, note: String, result: Option<Arc<T>>) {
        let Self { claims, key, fence, flight, terms } = self;
        let Terms { fingerprint, ttl, hold } = terms;
        let (verdict, keep) = match ending {
            Ending::Delivered => (Verdict::Delivered { fingerprint, ttl }, ttl),
            Ending::Uncertain => (Verdict::Uncertain { hold, note }, hold),
            // A claim lapses on its own, so trying to reach the store for a minute is enough.
            Ending::Released => (Verdict::Released { note }, Duration::from_mins(1)),
        };
        match claims.settle(key, fence, &verdict, SETTLE_WITHIN).await {
            Ok(Settled::Applied) => {}
            Ok(Settled::Stale) => {
                tracing::warn!(?ending, "a claim had lapsed and was taken before it was settled");
            }
            Err(_) => claims.owe(key, fence, verdict, keep),
        }
        // Later copies ask the store, which knows; earlier ones get the result here.
        claims.land(key, &flight, Landing { ending, hold, result });
    }
}

/// The facts about its request that a claim needs when it ends.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// A hash of the body.
    pub(super) fingerprint: u64,
    /// How long it is remembered once delivered.
    pub(super) ttl: Duration,
    /// How long copies are refused if it is unknown whether the event was accepted.
    pub(super) hold: Duration,
}
