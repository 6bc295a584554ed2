//! Deliveries that were made long after their event was claimed: those from the inbox.

use super::{Claims, Fence, Intent, Key, Standing, Target, Verdict};
use hookward_names::{EventId, SourceName, UpstreamName};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a destination accepted.
#[derive(Clone, Copy, Debug)]
pub struct Acceptance<'a> {
    /// Where the event came from.
    pub source: &'a SourceName,
    /// Its id.
    pub event_id: &'a EventId,
    /// Who accepted it.
    pub destination: &'a UpstreamName,
    /// Another name under which the event must not come again, as its signature.
    pub alias: Option<&'a str>,
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long the event is remembered.
    pub ttl: Duration,
}

/// A copy of the event holds its claim for as long as it takes to see that the event is stored.
const STEP_ASIDE: Duration = Duration::from_millis(5);

/// So often a copy is waited for; it is gone by then, or the store is not to be believed.
const LOOKS: usize = 400;

/// One call to the store.
const WITHIN: Duration = Duration::from_secs(2);

impl<T: Send + Sync + 'static> Claims<T> {
    /// Remembers that a destination accepted an event that no delivery holds a claim on. A store
    /// that does not answer is told later, and until then this process remembers by itself.
    pub async fn accepted(self: &std::sync::Arc<Self>, what: Acceptance<'_>) {
        let Acceptance { source, event_id, destination, alias, fingerprint, ttl } = what;
        let key = Key::of(source, event_id, destination);
        let alias = alias.map(|alias| Key::of_alias(source, alias, destination));
        let target = Target { key, alias, lease: WITHIN, ttl };
        let fence = Fence(self.next_fence.fetch_add(1, Ordering::Relaxed));
        let verdict = Verdict::Delivered { fingerprint, ttl };
        for _ in 0..LOOKS {
            let stands = self.store.claim(&[target], fence, Intent::Claim, WITHIN).await;
            match self.counted(stands).map(|stands| stands.into_iter().next()) {
                Ok(Some(Standing::Claimed)) | Err(_) => break,
                Ok(Some(Standing::Delivered { .. })) => return,
                Ok(Some(Standing::Uncertain { .. })) => {
                    if self.counted(self.store.forget(key, WITHIN).await).is_err() {
                        break;
                    }
                }
                Ok(_) => tokio::time::sleep(STEP_ASIDE).await,
            }
        }
        if self.settle(key, fence, &verdict, WITHIN).await.is_err() {
            self.owe(key, fence, verdict, ttl);
        }
    }
}
