//! From a verified event to its destinations: forward, settle, wait, and one answer for all.
//!
//! A forwarding outlives the sender's connection and settles its claim whatever the sender does; the
//! sender's side only waits for its end, until its `respond_within` is over. Where there are several
//! destinations, each has a task of its own; a single one gets one when its sender does not wait any
//! more. Knows neither Pingora nor how a signature is checked.

#[cfg(test)]
mod tests;

pub use crate::delivery::outbound::Dispatch;

use crate::delivery::answer::{Answer, DestinationOutcome, Success};
use crate::delivery::attempt;
use crate::delivery::gate::{OLDEST_CLAIM, ServedUpstream, SharedState};
use crate::delivery::in_place::InPlace;
use crate::delivery::outbound::{closed, request};
use crate::delivery::pending::{Late, PendingDestination, label, ours};
use crate::delivery::report::{DestinationReport, Report};
use crate::delivery::route::UpstreamName;
use crate::delivery::spilling::{self, Awaited};
use crate::inbox::InboxStore;
use crate::outcome::{Reason, Refusal};
use crate::request::Body;
use crate::telemetry::metrics::Counted;
use crate::upstream::UpstreamRequest;
use hookward_claims::{Claim, Hold};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Sends the event wherever it is ours to send, waits for the others' outcomes, and makes one
/// answer of all. `holds` says how each destination stands, in their order.
///
/// # Errors
/// The reason of the first destination in route order that did not accept the event in time.
pub async fn forward(
    gate: &SharedState,
    mut dispatch: Dispatch<'_>,
    holds: Vec<Hold<DestinationOutcome>>,
    report: &mut Report,
) -> Result<Answer, Refusal> {
    // A copy that only waits is not an event under way.
    let forwards = holds.iter().any(|hold| matches!(hold, Hold::Won(_) | Hold::Unguarded));
    let in_flight = Arc::new(Counted::on(&gate.metrics.in_flight, i64::from(forwards)));
    let started = gate.clock.monotonic();
    // All that are several are started before any is waited for. Waiting in route order is then as
    // quick as waiting for all at once, and the first failure that is found is the one to be told.
    let begun: Vec<_> = if let Some(keep) = dispatch.keep.take() {
        spilling::start(gate, &dispatch, keep, holds, &in_flight, started)
    } else {
        let upstreams = dispatch.route.destinations.iter().zip(&dispatch.route.upstreams);
        let start = |(hold, ((to, _), upstream)): (_, (&(UpstreamName, _), _))| {
            let begun = (&*report, started);
            Awaited::Pending(start(gate, &dispatch, (to, upstream), hold, &in_flight, begun))
        };
        holds.into_iter().zip(upstreams).map(start).collect()
    };
    let names = dispatch.route.destinations.iter().map(|(name, _)| name);
    let alone = begun.len() == 1;
    let mut accepted = None;
    let mut refusal = None;
    let mut is_queued = false;
    report.destinations.reserve_exact(begun.len());
    for (upstream, begun) in names.zip(begun) {
        let met = begun.wait(dispatch.deadline).await;
        report.destinations.push(DestinationReport {
            name: upstream.clone(),
            result: label(met.as_ref()),
            duration: gate.clock.monotonic().saturating_sub(started),
        });
        match met {
            None | Some(DestinationOutcome::Stored) => {}
            Some(DestinationOutcome::Queued) => is_queued = true,
            Some(DestinationOutcome::Accepted(reply)) => accepted = Some(reply),
            Some(DestinationOutcome::Failed(why) | DestinationOutcome::Uncertain(why)) => {
                refusal = refusal.or(Some(why));
            }
        }
    }
    match (refusal, accepted) {
        (Some(refusal), _) => Err(refusal),
        (None, _) if is_queued => Ok(Answer::empty(Success::Queued, 200)),
        (None, None) => Ok(Answer::empty(Success::Duplicate, 200)),
        (None, Some(reply)) if alone => Ok(Answer {
            headers: reply.headers,
            body: reply.body,
            ..Answer::empty(Success::Delivered, reply.status)
        }),
        (None, Some(_)) => Ok(Answer::empty(Success::Delivered, 200)),
    }
}

fn start(
    gate: &SharedState,
    dispatch: &Dispatch<'_>,
    (upstream, served): (&UpstreamName, &Arc<ServedUpstream>),
    hold: Hold<DestinationOutcome>,
    in_flight: &Arc<Counted>,
    (report, started): (&Report, Duration),
) -> PendingDestination {
    let claim = match ours(hold) {
        Ok(claim) => claim,
        Err(pending) => return *pending,
    };
    let inbox = gate.inbox();
    let is_old = claim.as_ref().is_some_and(|claim| claim.age() > OLDEST_CLAIM);
    let refused = closed(inbox, upstream, served)
        .or_else(|| is_old.then(|| Refusal::because(Reason::StillWorking, "the store was slow")));
    if let Some(refusal) = refused {
        if let Some(claim) = claim {
            let end = DestinationOutcome::Failed(refusal.clone());
            tokio::spawn(async move { end.settle(claim).await });
        }
        return PendingDestination::Known(Some(DestinationOutcome::Failed(refusal)));
    }
    let mut request = request(dispatch);
    show_credentials(gate, dispatch, served, &mut request);
    let carriage = Carriage {
        served: Arc::clone(served),
        upstream: upstream.clone(),
        request,
        claim,
        inbox: inbox.cloned(),
        _body: dispatch.body.clone(),
        _in_flight: in_flight.clone(),
    };
    let late = Late::of(gate, upstream, report, started);
    if dispatch.route.destinations.len() == 1 {
        return PendingDestination::Here(InPlace::new(carriage.carry(), move |end| late.log(end)));
    }
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        // A sender that hung up is told nothing; its retry will be.
        if let Err(end) = tell.send(carriage.carry().await) {
            late.log(&end);
        }
    });
    PendingDestination::Ours(told)
}

/// Sets what one upstream is shown beside the event.
fn show_credentials(
    gate: &SharedState,
    dispatch: &Dispatch<'_>,
    served: &ServedUpstream,
    request: &mut UpstreamRequest,
) {
    let proven = dispatch.warrant.proven();
    let event = proven.map(|proven| (proven.source().as_str(), proven.event().id.as_str()));
    served.credentials.apply(&mut request.headers, &request.body, event, || gate.clock.wall());
}

/// One event on its way to one destination, with everything that must live until it is settled.
struct Carriage {
    served: Arc<ServedUpstream>,
    upstream: UpstreamName,
    request: UpstreamRequest,
    claim: Option<Claim<DestinationOutcome>>,
    inbox: Option<Arc<InboxStore>>,
    /// The body's share of `body_memory` is taken until its last reader is done.
    _body: Arc<Body>,
    _in_flight: Arc<Counted>,
}

impl Carriage {
    /// Forwards, settles, and says what was met. If this is cut off by a panic or the end of the
    /// process, the claim is dropped and thereby held as uncertain: from here on the destination
    /// may have seen the event.
    async fn carry(self) -> DestinationOutcome {
        if let Some(claim) = &self.claim {
            claim.sent();
        }
        let forwarded = self.served.forwarder.forward(&self.request).await;
        if let (Some(inbox), Some(outcome)) = (&self.inbox, attempt::outcome(&forwarded)) {
            inbox.learn(&self.upstream, outcome);
        }
        let end = attempt::judge(forwarded, self.upstream.as_str());
        if let Some(claim) = self.claim {
            end.settle(claim).await;
        }
        end
    }
}
