//! Shadow mode: a delivery is judged, counted and logged as usual, and forwarded anyway.
//!
//! This allows a safe introduction in front of a live receiver: everything that reached it before
//! still does, while the configuration is being tested. Requests that the listener itself refuses
//! (paths, methods, addresses, sizes) are refused here too, and an event that no route takes is not
//! forwarded.

#[cfg(test)]
mod tests;

use crate::delivery::answer::{Answer, DestinationOutcome};
use crate::delivery::dispatch::{self, Dispatch};
use crate::delivery::gate::{Serving, SharedState};
use crate::delivery::proof::{ShadowPass, Warrant};
use crate::delivery::report::Report;
use crate::delivery::trace::Trace;
use crate::outcome::{Concern, Outcome, Reason, Refusal};
use crate::request::RequestHead;
use hookward_claims::Hold;
use hookward_verify::event::Event;
use tokio::time::Instant;

/// Says at once what enforcement would have waited for: a copy is not held up in shadow mode. A
/// destination that has the event gets it again, as it did before there was a proxy.
///
/// # Errors
/// `in_flight` or `uncertain`, if another delivery has a hold on a destination.
pub fn stand_aside(
    holds: Vec<Hold<DestinationOutcome>>,
) -> Result<Vec<Hold<DestinationOutcome>>, Refusal> {
    let aside = holds.into_iter().map(|hold| match hold {
        Hold::InFlight(_) => Err(Reason::InFlight.into()),
        Hold::Uncertain { left } => Err(Refusal::new(Reason::Uncertain).retry_after(left)),
        Hold::Delivered { .. } | Hold::Unguarded => Ok(Hold::Unguarded),
        mine @ (Hold::Won(_) | Hold::Absent) => Ok(mine),
    });
    aside.collect()
}

/// Forwards what the judgement would have stopped, without a claim, and gives the answer that the
/// sender gets. `None`: the judgement stopped nothing, or not by its own verdict.
pub async fn pass(
    gate: &SharedState,
    serving: &Serving,
    head: &RequestHead,
    judged: &Answer,
    report: &mut Report,
) -> Option<Answer> {
    let stopped = judged.outcome() == Outcome::Duplicate
        || judged.refusal().is_some_and(|refusal| is_judgement(refusal.reason));
    let body = report.body.take().filter(|_| stopped)?;
    let source = &*serving.source;
    let now = gate.clock.wall();
    let proven = report.event.clone();
    // What the signature does not prove is good enough to find a route by, and for nothing else.
    let event = match &proven {
        Some(proven) => Some(proven.event().clone()),
        None => Event::read_unproven(&source.sender, head.view(), &body.bytes, None).ok(),
    };
    let route = match event {
        Some(event) => serving.route(&event.kind)?,
        None => serving.first_route()?,
    };
    let trace = report.trace.clone().unwrap_or_else(|| Trace::of(&head.headers));
    let holds = route.destinations.iter().map(|_| Hold::Unguarded).collect();
    let dispatch = Dispatch {
        route,
        head,
        passing: &serving.passing,
        warrant: Warrant::Shadow(ShadowPass::of(source, proven)?),
        verified_at: now,
        body,
        trace: &trace,
        deadline: Instant::now() + source.respond_within,
        keep: None,
    };
    let mut met = Report::of(head.client);
    let answer = dispatch::forward(gate, dispatch, holds, &mut met).await;
    let answer = answer.unwrap_or_else(Answer::refused);
    report.destinations = met.destinations;
    report.shadowed = Some(format!("forwarded, {}", answer.outcome().label()));
    Some(answer)
}

/// Whether enforcement would not forward an event because of this reason.
const fn is_judgement(reason: Reason) -> bool {
    match reason.facets().concern {
        Concern::Signature
        | Concern::Secret
        | Concern::Timestamp
        | Concern::Age
        | Concern::Event
        | Concern::Claim => true,
        Concern::Request | Concern::Capacity | Concern::Route | Concern::Destination => false,
    }
}
