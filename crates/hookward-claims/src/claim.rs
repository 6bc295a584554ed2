//! One claim, and how it ends.

use super::flight::Flight;
use super::ledger::Ledger;
use super::running::StartedWork;
use crate::{ClaimKey, Fence, Settled, Standing, StoreError, Verdict};
use std::sync::Arc;
use std::time::Duration;

/// A settle that takes longer than this is finished in the background, so that no answer waits
/// longer for it.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// The right, and the duty, to forward one event to one destination.
///
/// It ends by [`delivered`](Self::delivered), [`uncertain`](Self::uncertain) or
/// [`released`](Self::released). If it is dropped instead, because its task was cancelled or
/// panicked, it is released, or uncertain once [`Claim::sent`] was called.
#[must_use = "a claim that is dropped is released"]
pub struct Claim<T: Send + Sync + 'static> {
    held: Option<HeldClaim<T>>,
}

impl<T: Send + Sync + 'static> Claim<T> {
    pub(super) fn new(held: HeldClaim<T>) -> Self {
        Self { held: Some(held) }
    }

    /// Tells it from every other claim.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.held.as_ref().map(|held| held.fence)
    }

    /// How long ago it was asked for. Its lease has run for at most as long: do not send with a claim
    /// whose lease may end before the attempt does.
    #[must_use]
    pub fn age(&self) -> Duration {
        let asked = self.held.as_ref().map(|held| (held.ledger.now(), held.asked));
        asked.map_or(Duration::ZERO, |(now, asked)| now.saturating_sub(asked))
    }

    /// Records that the destination may have received the whole request from now on.
    pub fn sent(&self) {
        if let Some(held) = &self.held {
            held.flight.note_sent();
        }
    }

    /// Ends the claim: the destination answered 2xx. It is remembered in the store first, then the
    /// copies that wait in this process get `result`. It runs to its end even if this is cancelled.
    /// If the store does not answer, it is told later; until then this process remembers the end.
    pub async fn delivered(mut self, result: Arc<T>) {
        if let Some(held) = self.held.take() {
            let Terms { fingerprint, ttl, .. } = held.terms;
            held.end(Verdict::Delivered { fingerprint, ttl }, Some(result)).await;
        }
    }

    /// Ends the claim as [`delivered`](Self::delivered) does: the request was sent whole, and nothing
    /// valid came back. Copies that wait in other processes get `note`.
    pub async fn uncertain(mut self, note: impl Into<String>, result: Arc<T>) {
        if let Some(held) = self.held.take() {
            let Terms { hold, .. } = held.terms;
            held.end(Verdict::Uncertain { hold, note: note.into() }, Some(result)).await;
        }
    }

    /// Ends the claim as [`delivered`](Self::delivered) does: the destination does not have the
    /// event, and the next delivery of it gets the claim. Copies that wait in other processes get
    /// `note`.
    pub async fn released(mut self, note: impl Into<String>, result: Arc<T>) {
        if let Some(held) = self.held.take() {
            held.end(Verdict::Released { note: note.into() }, Some(result)).await;
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Claim<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            let note = String::new();
            let verdict = if held.flight.was_sent() {
                Verdict::Uncertain { hold: held.terms.hold, note }
            } else {
                Verdict::Released { note }
            };
            drop(held.end(verdict, None));
        }
    }
}

/// What a claim holds.
pub(super) struct HeldClaim<T> {
    pub(super) ledger: Arc<Ledger<T>>,
    pub(super) key: ClaimKey,
    pub(super) fence: Fence,
    pub(super) flight: Arc<Flight<T>>,
    pub(super) terms: Terms,
    /// The instant of monotonic time at which it was asked for; its lease cannot have begun before.
    pub(super) asked: Duration,
}

impl<T: Send + Sync + 'static> HeldClaim<T> {
    /// Ends the claim. Where that has to wait for the store, it goes on whether or not it is waited
    /// for.
    fn end(self, verdict: Verdict, result: Option<Arc<T>>) -> StartedWork<()> {
        let ledger = Arc::clone(&self.ledger);
        if let Some(settled) = ledger.settle_at_once(self.key, self.fence, &verdict) {
            self.settled(&settled, verdict, result);
            return StartedWork::Done(Some(()));
        }
        ledger.run(async move {
            let settling = self.ledger.settle(self.key, self.fence, &verdict, SETTLE_WITHIN);
            let settled = settling.await;
            self.settled(&settled, verdict, result);
        })
    }

    fn settled(
        self,
        settled: &Result<Settled, StoreError>,
        verdict: Verdict,
        result: Option<Arc<T>>,
    ) {
        let Self { ledger, key, fence, flight, .. } = self;
        let landing = result.ok_or_else(|| match &verdict {
            Verdict::Delivered { fingerprint, .. } => {
                Standing::Delivered { since: ledger.wall(), fingerprint: *fingerprint }
            }
            Verdict::Uncertain { hold, note } => {
                Standing::Uncertain { since: ledger.wall(), left: *hold, note: note.clone() }
            }
            Verdict::Released { note } => Standing::Released { note: note.clone() },
        });
        match settled {
            Ok(Settled::Applied) => {}
            Ok(Settled::Stale) => {
                tracing::warn!(?verdict, "a claim had lapsed and was taken before it was settled");
            }
            Err(_) => {
                let keep = match verdict {
                    Verdict::Delivered { ttl, .. } => ttl,
                    Verdict::Uncertain { hold, .. } => hold,
                    // A claim lapses on its own, so trying to reach the store for a minute is enough.
                    Verdict::Released { .. } => Duration::from_mins(1),
                };
                ledger.owe(key, fence, verdict, keep);
            }
        }
        // Later copies ask the store, which knows; earlier ones get the result here.
        ledger.land(key, &flight, landing);
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
