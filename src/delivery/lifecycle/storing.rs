//! The inbox's part in a delivery: it may already have the event, or store it.

use super::{Arrived, Course, Proof};
use crate::delivery::answer::DestinationOutcome;
use crate::delivery::gate::ServedRoute;
use crate::delivery::keeping::Keep;
use crate::delivery::route::{DeliveryMode, UpstreamName};
use crate::delivery::source::Mode;
use crate::inbox::{InboxStore, Stands};
use hookward_claims::{ClaimTerms, Hold};
use hookward_verify::event::Event;
use std::sync::Arc;
use std::time::Duration;

/// How long before the end of `respond_within` an event is stored, or a quarter of that time if
/// less: the time to flush and to answer.
const STORE_MARGIN: Duration = Duration::from_millis(250);

impl Course<'_> {
    /// A destination for which the inbox has the event is as good as delivered to: whatever its age,
    /// a copy is a duplicate, and so is what comes with the signature of one that waits. What was
    /// given up there counts for nothing; gives the destinations of which that is so, as far as the
    /// inbox knows without being asked again.
    pub(super) async fn look_into_inbox(
        &self,
        event: &Event,
        route: &ServedRoute,
        holds: &mut [Hold<DestinationOutcome>],
        terms: ClaimTerms<'_>,
    ) -> Option<Vec<UpstreamName>> {
        let inbox = self.gate.inbox().filter(|_| self.source.mode == Mode::Enforce)?;
        // Boxed, so that without an inbox no delivery holds the room for it.
        Box::pin(self.look_into(inbox, event, route, holds, terms)).await
    }

    async fn look_into(
        &self,
        inbox: &InboxStore,
        event: &Event,
        route: &ServedRoute,
        holds: &mut [Hold<DestinationOutcome>],
        terms: ClaimTerms<'_>,
    ) -> Option<Vec<UpstreamName>> {
        let ClaimTerms { fingerprint, alias, .. } = terms;
        let source = &self.source.name;
        let mut given_up = Vec::new();
        for (hold, (to, _)) in holds.iter_mut().zip(&route.destinations) {
            if !matches!(hold, Hold::Won(_) | Hold::Absent) {
                continue;
            }
            let kept = match inbox.stands(source, &event.id, to).await {
                Some(Stands::Waiting(waiting)) => Some(waiting),
                Some(Stands::GivenUp) => {
                    given_up.push(to.clone());
                    None
                }
                None => None,
            };
            let by_alias = || inbox.stands_by_alias(source, alias?, to);
            let Some(stored) = kept.or_else(by_alias) else { continue };
            let same_body = stored.fingerprint == fingerprint;
            let delivered = Hold::Delivered { since: stored.since, same_body };
            if let Hold::Won(claim) = std::mem::replace(hold, delivered) {
                DestinationOutcome::Stored.settle(claim).await;
            }
        }
        inbox.is_local().then_some(given_up)
    }

    /// How the event is stored where its route says so.
    pub(super) fn keep(
        &self,
        arrived: &Arrived,
        proof: &Proof,
        route: &ServedRoute,
        given_up: Option<Vec<UpstreamName>>,
    ) -> Option<Keep> {
        if route.delivery == DeliveryMode::Sync || self.source.mode != Mode::Enforce {
            return None;
        }
        let inbox = self.gate.inbox()?;
        let mut keys = self.serving.order_keys.iter().zip(&proof.order_keys);
        let order_key = route.order_key.as_ref().and_then(|place| {
            keys.find(|(other, _)| *other == place).and_then(|(_, key)| key.clone())
        });
        let margin = STORE_MARGIN.min(self.source.respond_within / 4);
        Some(Keep {
            inbox: Arc::clone(inbox),
            event: proof.event.clone(),
            delivery: route.delivery,
            order_key,
            on_dead: route.on_dead,
            fingerprint: proof.fingerprint,
            ttl: self.source.dedupe_ttl,
            alias: proof.genuine.signed_fingerprint().map(str::to_owned),
            given_up,
            store_by: arrived.deadline - margin,
        })
    }
}
