//! From a verified event to its destinations: forward, settle, wait, and one answer for all.
//!
//! A separate task forwards to each destination. It outlives the sender's connection and settles
//! its claim whatever the sender does. The sender's side only waits for the tasks until its
//! `respond_within` is over. This module knows neither Pingora nor signatures.

#[cfg(test)]
mod tests;

use crate::delivery::answer::{Answer, End, Success};
use crate::delivery::attempt;
use crate::delivery::gate::{Gate, ServedRoute, ServedUpstream};
use crate::delivery::headers::{self, Passing, VerifiedFacts};
use crate::delivery::keeping::{self, Keep};
use crate::delivery::proof::Warrant;
use crate::delivery::report::{DestinationReport, Report, millis};
use crate::delivery::route::UpstreamName;
use crate::delivery::trace::Trace;
use crate::inbox::Inbox;
use crate::outcome::{Reason, Refusal};
use crate::request::{Body, RequestHead};
use crate::telemetry::metrics::Counted;
use crate::upstream::UpstreamRequest;
use hookward_claims::{Claim, Ending, Hold, Waited, Waiter};
use hookward_names::{EventId, SourceName};
use hookward_time::{Clock, UnixMillis};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// An event that is being delivered.
pub struct Dispatch<'a> {
    /// The route that takes it.
    pub route: &'a ServedRoute,
    /// The request.
    pub head: &'a RequestHead,
    /// Which of its headers go on.
    pub passing: &'a Passing,
    /// Why it may be forwarded. Destinations are told of the event what it proves.
    pub warrant: Warrant,
    /// When its signature was found good.
    pub verified_at: UnixMillis,
    /// Its body, shared by all destinations.
    pub body: Arc<Body>,
    /// The trace that upstreams see.
    pub trace: &'a Trace,
    /// When the sender's patience ends.
    pub deadline: Instant,
    /// How the event is stored, on a route that may do so.
    pub keep: Option<Keep>,
}

/// Sends the event wherever it is ours to send, waits for the others' outcomes, and makes one
/// answer of all. `holds` says how each destination stands, in their order.
///
/// # Errors
/// The reason of the first destination in route order that did not accept the event in time.
pub async fn forward(
    gate: &Gate,
    dispatch: Dispatch<'_>,
    holds: Vec<Hold<End>>,
    report: &mut Report,
) -> Result<Answer, Refusal> {
    // A copy that only waits is not an event under way.
    let forwards = holds.iter().any(|hold| matches!(hold, Hold::Won(_) | Hold::Unguarded));
    let in_flight = Arc::new(Counted::on(&gate.metrics.in_flight, i64::from(forwards)));
    let started = gate.clock.monotonic();
    // All tasks are started before any is waited for. Waiting in route order is then as quick as
    // waiting for all at once, and the first failure that is found is the one to be told.
    let pending: Vec<_> = if let Some(keep) = &dispatch.keep {
        keeping::start(gate, &dispatch, keep, holds, &in_flight, report)
    } else {
        let upstreams = dispatch.route.destinations.iter().zip(&dispatch.route.upstreams);
        let start = |(hold, ((to, _), upstream)): (_, (&(UpstreamName, _), _))| {
            start(gate, &dispatch, (to, upstream), hold, &in_flight, report)
        };
        holds.into_iter().zip(upstreams).map(start).collect()
    };
    let names = dispatch.route.destinations.iter().map(|(name, _)| name);
    let alone = pending.len() == 1;
    let mut accepted = None;
    let mut refusal = None;
    let mut is_queued = false;
    for (upstream, pending) in names.zip(pending) {
        let met = pending.wait(dispatch.deadline).await;
        report.destinations.push(DestinationReport {
            name: upstream.to_string(),
            result: label(met.as_ref()),
            duration: gate.clock.monotonic().saturating_sub(started),
        });
        match met {
            None | Some(End::Stored) => {}
            Some(End::Queued) => is_queued = true,
            Some(End::Accepted(reply)) => accepted = Some(reply),
            Some(End::Failed(why)) => refusal = refusal.or(Some(why)),
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

/// The awaited results. An end is `None` if the destination already had the event.
pub(super) enum Pending {
    Ours(oneshot::Receiver<End>),
    Theirs(Waiter<End>),
    Known(Option<End>),
}

fn label(end: Option<&End>) -> String {
    match end {
        None => "delivered before".to_owned(),
        Some(End::Accepted(reply)) => reply.status.to_string(),
        Some(End::Queued) => "queued".to_owned(),
        Some(End::Stored) => "stored before".to_owned(),
        Some(End::Failed(refusal)) => refusal.reason.label().to_owned(),
    }
}

/// What is waited for where nothing is to be sent; else the claim to send with.
pub(super) fn ours(hold: Hold<End>) -> Result<Option<Claim<End>>, Box<Pending>> {
    match hold {
        Hold::Won(claim) => Ok(Some(claim)),
        Hold::Unguarded => Ok(None),
        Hold::InFlight(waiter) => Err(Box::new(Pending::Theirs(waiter))),
        Hold::Delivered { .. } => Err(Box::new(Pending::Known(None))),
        Hold::Uncertain { left } => {
            let refusal = Refusal::new(Reason::Uncertain).retry_after(left);
            Err(Box::new(Pending::Known(Some(End::Failed(refusal)))))
        }
        Hold::Absent => {
            let refusal = Refusal::because(Reason::StoreUnavailable, "the store claimed nothing");
            Err(Box::new(Pending::Known(Some(End::Failed(refusal)))))
        }
    }
}

/// Why nothing may be sent to a destination now: an operator has paused it, or a credential of it
/// cannot be read.
pub(super) fn closed(
    inbox: Option<&Arc<Inbox>>,
    upstream: &UpstreamName,
    served: &ServedUpstream,
) -> Option<Refusal> {
    let why = if served.credentials.is_incomplete {
        "a credential for it cannot be read"
    } else if inbox.is_some_and(|inbox| inbox.is_paused(upstream)) {
        "it is paused"
    } else {
        return None;
    };
    Some(Refusal::because(Reason::UpstreamUnreachable, format!("{upstream}: {why}")))
}

fn start(
    gate: &Gate,
    dispatch: &Dispatch<'_>,
    (upstream, served): (&UpstreamName, &Arc<ServedUpstream>),
    hold: Hold<End>,
    in_flight: &Arc<Counted>,
    report: &Report,
) -> Pending {
    let claim = match ours(hold) {
        Ok(claim) => claim,
        Err(pending) => return *pending,
    };
    let inbox = gate.inbox();
    if let Some(refusal) = closed(inbox, upstream, served) {
        if let Some(claim) = claim {
            let end = Arc::new(End::Failed(refusal.clone()));
            tokio::spawn(claim.settle(Ending::Released, end.note(), end));
        }
        return Pending::Known(Some(End::Failed(refusal)));
    }
    let mut request = request(dispatch);
    show_credentials(gate, dispatch, served, &mut request);
    let carriage = Carriage {
        served: Arc::clone(served),
        upstream: upstream.clone(),
        request,
        claim,
        clock: gate.clock.clone(),
        inbox: inbox.cloned(),
        _body: dispatch.body.clone(),
        _in_flight: in_flight.clone(),
    };
    let late = Late::of(gate, upstream, report);
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        // A sender that hung up is told nothing; its retry will be.
        if let Err(end) = tell.send(carriage.carry().await) {
            late.log(&end);
        }
    });
    Pending::Ours(told)
}

/// Sets what one upstream is shown beside the event.
fn show_credentials(
    gate: &Gate,
    dispatch: &Dispatch<'_>,
    served: &ServedUpstream,
    request: &mut UpstreamRequest,
) {
    let proven = dispatch.warrant.proven();
    let event = proven.map(|proven| (proven.source().as_str(), proven.event().id.as_str()));
    served.credentials.apply(&mut request.headers, &request.body, event, gate.clock.wall());
}

/// The request as every destination of the event gets it, credentials apart.
pub(super) fn request(dispatch: &Dispatch<'_>) -> UpstreamRequest {
    let Dispatch { head, passing, route, warrant, verified_at, trace, body, .. } = dispatch;
    let facts = warrant.proven().map(|proven| VerifiedFacts {
        source: proven.source().as_str(),
        event_id: proven.event().id.as_str(),
        event_type: &proven.event().kind,
        verified_at: *verified_at,
    });
    let headers = headers::for_upstream(head, passing, facts.as_ref(), trace);
    UpstreamRequest::of_event(
        warrant.permit(),
        head,
        route.path.clone(),
        headers,
        body.bytes.clone(),
    )
}

/// One event on its way to one destination, with everything that must live until it is settled.
struct Carriage {
    served: Arc<ServedUpstream>,
    upstream: UpstreamName,
    request: UpstreamRequest,
    claim: Option<Claim<End>>,
    clock: Arc<dyn Clock>,
    inbox: Option<Arc<Inbox>>,
    /// The body's share of `body_memory` is taken until its last reader is done.
    _body: Arc<Body>,
    _in_flight: Arc<Counted>,
}

impl Carriage {
    /// Forwards, settles, and says what was met. If this is cut off by a panic or the end of the
    /// process, the claim is dropped and thereby held as uncertain: from here on the destination
    /// may have seen the event.
    async fn carry(self) -> End {
        if let Some(claim) = &self.claim {
            claim.sent();
        }
        let forwarding = self.served.forwarder.forward(self.request);
        let met = attempt::met(&*self.clock, self.upstream.as_str(), forwarding).await;
        if let (Some(inbox), Some(tried)) = (&self.inbox, &met.tried) {
            inbox.learn(&self.upstream, tried.outcome);
        }
        let attempt::Met { ending, end, .. } = met;
        if let Some(claim) = self.claim {
            claim.settle(ending, end.note(), Arc::new(end.copy())).await;
        }
        end
    }
}

/// The log line of a forward that ended after its sender stopped waiting. The delivery's own line
/// was written earlier, so without this one the result would not be in the log.
pub(super) struct Late {
    source: Option<SourceName>,
    event_id: Option<EventId>,
    upstream: UpstreamName,
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl Late {
    pub(super) fn of(gate: &Gate, upstream: &UpstreamName, report: &Report) -> Self {
        Self {
            source: report.source.clone(),
            event_id: report.event.as_ref().map(|event| event.event().id.clone()),
            upstream: upstream.clone(),
            clock: gate.clock.clone(),
            started: gate.clock.monotonic(),
        }
    }

    pub(super) fn log(&self, end: &End) {
        let source = self.source.as_ref().map_or("", SourceName::as_str);
        let event_id = self.event_id.as_ref().map_or("", EventId::as_str);
        let (upstream, result) = (self.upstream.as_str(), label(Some(end)));
        let duration_ms = millis(self.clock.monotonic().saturating_sub(self.started));
        match end {
            End::Failed(refusal) => tracing::warn!(
                source,
                event_id,
                upstream,
                result,
                duration_ms,
                detail = &*refusal.detail,
                "late end: the sender did not wait for it"
            ),
            End::Queued | End::Stored => {}
            End::Accepted(_) => tracing::info!(
                source,
                event_id,
                upstream,
                result,
                duration_ms,
                "late end: the sender did not wait for it"
            ),
        }
    }
}

impl Pending {
    /// What came of it, or that the sender has to come again to learn it.
    async fn wait(self, deadline: Instant) -> Option<End> {
        let refused = |refusal: Refusal| Some(End::Failed(refusal));
        match self {
            Self::Known(end) => end,
            Self::Ours(told) => match timeout_at(deadline, told).await {
                Ok(Ok(end)) => Some(end),
                // The task is gone without a word: it panicked, and its claim is held in doubt.
                Ok(Err(_)) => refused(Refusal::because(Reason::Uncertain, "forwarding broke off")),
                Err(_) => refused(Reason::StillWorking.into()),
            },
            Self::Theirs(waiter) => match waiter.wait(deadline - Instant::now()).await {
                Waited::Result(end) => Some(end.copy()),
                Waited::Delivered { .. } => None,
                Waited::Uncertain { left, note } => refused(
                    End::refusal_of(&note)
                        .unwrap_or(Refusal::new(Reason::Uncertain).retry_after(left)),
                ),
                Waited::Released { note } => {
                    refused(End::refusal_of(&note).unwrap_or(Reason::InFlight.into()))
                }
                Waited::TimedOut => refused(Reason::InFlight.into()),
            },
        }
    }
}
