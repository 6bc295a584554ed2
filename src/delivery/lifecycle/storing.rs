//! The inbox's part in a delivery: it may already have the event, or store it.

use super::{Arrived, Course, Proof};
use crate::delivery::answer::DestinationOutcome;
use crate::delivery::gate::ServedRoute;
use crate::delivery::keeping::Keep;
use crate::delivery::route::DeliveryMode;
use crate::delivery::source::Mode;
use crate::inbox::InboxStore;
use hookward_claims::{ClaimTerms, Hold};
use hookward_verify::event::{Event, read_place};
use std::sync::Arc;
use std::time::Duration;

/// How long before the end of `respond_within` an event is stored, or a quarter of that time if
/// less: the time to flush and to answer.
const STORE_MARGIN: Duration = Duration::from_millis(250);

impl Course<'_> {
    /// A destination for which the inbox has the event is as good as delivered to: whatever its age,
    /// a copy is a duplicate, and so is what comes with the signature of one that waits. What was
    /// given up there counts for nothing.
    pub(super) async fn look_into_inbox(
        &self,
        event: &Event,
        route: &ServedRoute,
        holds: Vec<Hold<DestinationOutcome>>,
        terms: ClaimTerms<'_>,
    ) -> Vec<Hold<DestinationOutcome>> {
        match self.gate.inbox().filter(|_| self.source.mode == Mode::Enforce) {
            // Boxed, so that without an inbox no delivery holds the room for it.
            Some(inbox) => Box::pin(self.look_into(inbox, event, route, holds, terms)).await,
            None => holds,
        }
    }

    async fn look_into(
        &self,
        inbox: &InboxStore,
        event: &Event,
        route: &ServedRoute,
        holds: Vec<Hold<DestinationOutcome>>,
        terms: ClaimTerms<'_>,
    ) -> Vec<Hold<DestinationOutcome>> {
        let ClaimTerms { fingerprint, alias, .. } = terms;
        let mut known = Vec::with_capacity(holds.len());
        for (hold, (to, _)) in holds.into_iter().zip(&route.destinations) {
            let kept = match &hold {
                Hold::Won(_) | Hold::Absent => {
                    let source = &self.source.name;
                    match (inbox.stands(source, &event.id, to).await, alias) {
                        (None, Some(alias)) => inbox.stands_by_alias(source, alias, to),
                        (kept, _) => kept,
                    }
                }
                _ => None,
            };
            known.push(match (kept, hold) {
                (None, hold) => hold,
                (Some(stored), hold) => {
                    if let Hold::Won(claim) = hold {
                        DestinationOutcome::Stored.settle(claim).await;
                    }
                    let same_body = stored.fingerprint == fingerprint;
                    Hold::Delivered { since: stored.since, same_body }
                }
            });
        }
        known
    }

    /// How the event is stored where its route says so.
    pub(super) fn keep(
        &self,
        arrived: &Arrived,
        proof: &Proof,
        route: &ServedRoute,
    ) -> Option<Keep> {
        if route.delivery == DeliveryMode::Sync || self.source.mode != Mode::Enforce {
            return None;
        }
        let inbox = self.gate.inbox()?;
        let body = &arrived.body.bytes;
        let order_key =
            route.order_key.as_ref().and_then(|place| read_place(self.head.view(), body, place));
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
            store_by: arrived.deadline - margin,
        })
    }
}
