//! Deliveries that were made long after their event was claimed: those from the inbox.

use super::{ClaimKey, Claims, Intent, Standing, Target, Verdict};
use hookward_names::{EventId, SourceName, UpstreamName};
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
    /// Another name under which the event must not be accepted again, such as its signature.
    pub alias: Option<&'a str>,
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long the event is remembered.
    pub ttl: Duration,
}

/// A copy of the event holds its claim for as long as it takes to see that the event is stored.
const STEP_ASIDE: Duration = Duration::from_millis(5);

/// How often to wait for a copy. After that it is gone, or the store is not reliable.
const LOOKS: usize = 400;

/// One call to the store.
const WITHIN: Duration = Duration::from_secs(2);

impl<T: Send + Sync + 'static> Claims<T> {
    /// Records that a destination accepted an event on which no delivery has a claim. If the store
    /// does not answer, it is updated later, and until then this process remembers the event
    /// itself.
    pub async fn accepted(&self, what: Acceptance<'_>) {
        let Acceptance { source, event_id, destination, alias, fingerprint, ttl } = what;
        let key = ClaimKey::of(source, event_id, destination);
        let alias = alias.map(|alias| ClaimKey::of_alias(source, alias, destination));
        let target = Target { key, alias, lease: WITHIN, ttl };
        let fence = self.ledger.next_fence();
        let verdict = Verdict::Delivered { fingerprint, ttl };
        for _ in 0..LOOKS {
            let stands = self.ledger.store.claim(&[target], fence, Intent::Claim, WITHIN).await;
            match self.ledger.counted(stands).map(|stands| stands.into_iter().next()) {
                Ok(Some(Standing::Claimed)) | Err(_) => break,
                Ok(Some(Standing::Delivered { .. })) => return,
                Ok(Some(Standing::Uncertain { .. })) => {
                    if self.ledger.counted(self.ledger.store.forget(key, WITHIN).await).is_err() {
                        break;
                    }
                }
                Ok(_) => tokio::time::sleep(STEP_ASIDE).await,
            }
        }
        if self.ledger.settle(key, fence, &verdict, WITHIN).await.is_err() {
            self.ledger.owe(key, fence, verdict, ttl);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClaimRequest, ClaimTerms, Claimable, Hold, MemoryStore};
    use hookward_time::{ManualClock, UnixMillis};
    use std::sync::Arc;

    const HOUR: Duration = Duration::from_hours(1);

    struct Event(SourceName, EventId);

    impl Claimable for Event {
        fn source(&self) -> &SourceName {
            &self.0
        }

        fn event_id(&self) -> &EventId {
            &self.1
        }
    }

    fn claims() -> Arc<Claims<()>> {
        let clock = Arc::new(ManualClock::at(UnixMillis(0)));
        Claims::new(Arc::new(MemoryStore::new(10, clock.clone())), clock)
    }

    async fn take(claims: &Arc<Claims<()>>, id: &str, alias: Option<&str>) -> Hold<()> {
        let event = Event("shop".into(), id.into());
        let terms = ClaimTerms {
            alias,
            destinations: &[("erp".into(), HOUR)],
            fingerprint: 7,
            ttl: HOUR,
            uncertain_hold: HOUR,
            intent: Intent::Claim,
            within: HOUR,
        };
        claims.take(ClaimRequest::of(&event, terms)).await.unwrap().pop().unwrap()
    }

    async fn accept(claims: &Arc<Claims<()>>, alias: Option<&str>) {
        let (source, event_id, destination) = ("shop".into(), "evt-1".into(), "erp".into());
        let what = Acceptance {
            source: &source,
            event_id: &event_id,
            destination: &destination,
            alias,
            fingerprint: 7,
            ttl: HOUR,
        };
        claims.accepted(what).await;
    }

    #[tokio::test]
    async fn what_was_accepted_late_is_delivered_and_so_is_its_other_name() {
        let claims = claims();
        accept(&claims, Some("signature")).await;
        let known = take(&claims, "evt-1", None).await;
        assert!(matches!(known, Hold::Delivered { same_body: true, .. }));
        let under_another_id = take(&claims, "evt-2", Some("signature")).await;
        assert!(matches!(under_another_id, Hold::Delivered { .. }));
        accept(&claims, Some("signature")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_that_holds_the_claim_for_a_moment_is_waited_for() {
        let claims = claims();
        let Hold::Won(copy) = take(&claims, "evt-1", None).await else { panic!("it is absent") };
        let accepting = tokio::spawn({
            let claims = Arc::clone(&claims);
            async move { accept(&claims, None).await }
        });
        tokio::time::sleep(STEP_ASIDE * 3).await;
        assert!(!accepting.is_finished());
        copy.released("", Arc::new(())).await;
        accepting.await.unwrap();
        assert!(matches!(take(&claims, "evt-1", None).await, Hold::Delivered { .. }));
    }

    #[tokio::test]
    async fn what_was_uncertain_is_delivered_now() {
        let claims = claims();
        let Hold::Won(claim) = take(&claims, "evt-1", None).await else { panic!("it is absent") };
        claim.uncertain("", Arc::new(())).await;
        accept(&claims, None).await;
        assert!(matches!(take(&claims, "evt-1", None).await, Hold::Delivered { .. }));
    }
}
