//! From a verified event to its destinations: forward, settle, wait, and one answer for all.
//!
//! Each destination is forwarded to by a task of its own that outlives the sender's connection and
//! settles its claim whatever the sender does; the sender's side only waits for the tasks, until
//! its `respond_within` is over. Knows neither Pingora nor how a signature is checked.

#[cfg(test)]
mod tests;

use crate::delivery::answer::{Answer, End, Success};
use crate::delivery::gate::{Gate, ServedRoute};
use crate::delivery::headers::{self, Passing, VerifiedFacts};
use crate::delivery::proof::Warrant;
use crate::delivery::report::{DestinationReport, Report, millis};
use crate::delivery::route::UpstreamName;
use crate::delivery::trace::Trace;
use crate::outcome::{Reason, Refusal};
use crate::request::{Body, RequestHead};
use crate::telemetry::metrics::Counted;
use crate::upstream::{Forwarded, Forwarder, UpstreamRequest};
use hookward_claims::{Claim, Ending, Hold, Waited, Waiter};
use hookward_names::{EventId, SourceName};
use hookward_time::{Clock, UnixMillis};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// An event on its way.
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
    let pending: Vec<_> = holds
        .into_iter()
        .zip(dispatch.route.destinations.iter().zip(&dispatch.route.forwarders))
        .map(|(hold, ((upstream, _), forwarder))| {
            let to = (upstream, forwarder);
            (upstream, start(gate, &dispatch, to, hold, &in_flight, report))
        })
        .collect();
    let alone = pending.len() == 1;
    let mut accepted = None;
    let mut refusal = None;
    for (upstream, pending) in pending {
        let met = pending.wait(dispatch.deadline).await;
        report.destinations.push(DestinationReport {
            name: upstream.to_string(),
            result: label(met.as_ref()),
            duration: gate.clock.monotonic().saturating_sub(started),
        });
        match met {
            None => {}
            Some(End::Accepted(reply)) => accepted = Some(reply),
            Some(End::Failed(why)) => refusal = refusal.or(Some(why)),
        }
    }
    match (refusal, accepted) {
        (Some(refusal), _) => Err(refusal),
        (None, None) => Ok(Answer::empty(Success::Duplicate, 200)),
        (None, Some(reply)) if alone => Ok(Answer {
            headers: reply.headers,
            body: reply.body,
            ..Answer::empty(Success::Delivered, reply.status)
        }),
        (None, Some(_)) => Ok(Answer::empty(Success::Delivered, 200)),
    }
}

/// What is being waited for. The end is `None` where the destination had the event before.
enum Pending {
    Ours(oneshot::Receiver<End>),
    Theirs(Waiter<End>),
    Known(Option<End>),
}

fn label(end: Option<&End>) -> String {
    match end {
        None => "delivered before".to_owned(),
        Some(End::Accepted(reply)) => reply.status.to_string(),
        Some(End::Failed(refusal)) => refusal.reason.label().to_owned(),
    }
}

fn start(
    gate: &Gate,
    dispatch: &Dispatch<'_>,
    (upstream, forwarder): (&UpstreamName, &Arc<dyn Forwarder>),
    hold: Hold<End>,
    in_flight: &Arc<Counted>,
    report: &Report,
) -> Pending {
    let claim = match hold {
        Hold::Won(claim) => Some(claim),
        Hold::Unguarded => None,
        Hold::InFlight(waiter) => return Pending::Theirs(waiter),
        Hold::Delivered { .. } => return Pending::Known(None),
        Hold::Uncertain { left } => {
            let refusal = Refusal::new(Reason::Uncertain).retry_after(left);
            return Pending::Known(Some(End::Failed(refusal)));
        }
        Hold::Absent => {
            let refusal = Refusal::because(Reason::StoreUnavailable, "the store claimed nothing");
            return Pending::Known(Some(End::Failed(refusal)));
        }
    };
    let carriage = Carriage {
        forwarder: forwarder.clone(),
        upstream: upstream.clone(),
        request: request(dispatch),
        claim,
        _body: dispatch.body.clone(),
        _in_flight: in_flight.clone(),
    };
    let late = Late {
        source: report.source.clone(),
        event_id: report.event.as_ref().map(|event| event.event().id.clone()),
        upstream: upstream.clone(),
        clock: gate.clock.clone(),
        started: gate.clock.monotonic(),
    };
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        // A sender that hung up is told nothing; its retry will be.
        if let Err(end) = tell.send(carriage.carry().await) {
            late.log(&end);
        }
    });
    Pending::Ours(told)
}

fn request(dispatch: &Dispatch<'_>) -> UpstreamRequest {
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

/// One event on its way to one destination, with everything that has to live until it is settled.
struct Carriage {
    forwarder: Arc<dyn Forwarder>,
    upstream: UpstreamName,
    request: UpstreamRequest,
    claim: Option<Claim<End>>,
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
        let forwarded = self.forwarder.forward(self.request).await;
        let (ending, end) = judge(forwarded, self.upstream.as_str());
        if let Some(claim) = self.claim {
            claim.settle(ending, end.note(), Arc::new(end.copy())).await;
        }
        end
    }
}

/// What is said of a forward that ended when its sender did not wait any more. The delivery's own
/// line was written before, and without this nobody would read how it ended.
struct Late {
    source: Option<SourceName>,
    event_id: Option<EventId>,
    upstream: UpstreamName,
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl Late {
    fn log(&self, end: &End) {
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

/// What a destination's answer means: for its claim, and for the sender.
fn judge(forwarded: Forwarded, upstream: &str) -> (Ending, End) {
    // After the last byte was sent the destination may have acted on the event, so nobody may send
    // it again until the hold is over; before that it cannot have read all of it.
    let doubt = |sent_whole: bool| if sent_whole { Ending::Uncertain } else { Ending::Released };
    let refused =
        |reason: Reason, detail: String| Refusal::because(reason, format!("{upstream}: {detail}"));
    match forwarded {
        Forwarded::Answered(answer) if (200..300).contains(&answer.status) => {
            (Ending::Delivered, End::Accepted(answer))
        }
        Forwarded::Answered(answer) => {
            let status = answer.status;
            let detail = format!("answered {status}");
            let retry_after = answer
                .headers
                .get(http::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .filter(|wait| is_wait(wait))
                .map(str::to_owned);
            let refusal = match status {
                429 => refused(Reason::UpstreamBusy, detail).with_retry_after(retry_after),
                500.. => Refusal::passing_on(status, format!("{upstream}: {detail}"))
                    .with_retry_after(retry_after),
                _ => refused(Reason::UpstreamRefused, detail),
            };
            (Ending::Released, End::Failed(refusal))
        }
        Forwarded::Unreachable { detail, retry_after } => {
            let refusal = refused(Reason::UpstreamUnreachable, detail);
            let refusal = match retry_after {
                Some(wait) => refusal.retry_after(wait),
                None => refusal,
            };
            (Ending::Released, End::Failed(refusal))
        }
        Forwarded::Full => {
            let refusal = refused(Reason::Overloaded, "its waiting room is full".to_owned());
            (Ending::Released, End::Failed(refusal))
        }
        Forwarded::TimedOut { sent_whole } => {
            let refusal =
                refused(Reason::UpstreamTimeout, "no answer within its timeout".to_owned());
            (doubt(sent_whole), End::Failed(refusal))
        }
        Forwarded::Broken { sent_whole, detail } => {
            (doubt(sent_whole), End::Failed(refused(Reason::UpstreamBroken, detail)))
        }
    }
}

/// Seconds or an HTTP date (RFC 9110 section 10.2.3). What is neither would make a sender fall back
/// on who knows what, so it is not passed on.
fn is_wait(text: &str) -> bool {
    let is_seconds = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_seconds || (text.ends_with(" GMT") && jiff::fmt::rfc2822::parse(text).is_ok())
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
                Ok(Err(_)) => {
                    refused(Refusal::because(Reason::Uncertain, "the forwarding broke off"))
                }
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
