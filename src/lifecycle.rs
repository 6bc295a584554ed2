//! The life of a delivery, in order. Start here.
//!
//! [`deliver`] finds the source and counts and logs the end; `live` is contract section 3 from top
//! to bottom: every `?` is a reason of section 4, and the first that fails ends the delivery.
//! Nothing in this file knows Pingora, TOML or Prometheus' formats; `proxy` brings the request here
//! and takes the answer away, `dispatch` carries the event to its destinations.

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::answer::{Answer, End};
use crate::dedupe::{ClaimRequest, Hold, Intent};
use crate::dispatch::{self, Dispatch};
use crate::event::Event;
use crate::gate::{Gate, Serving, Snapshot};
use crate::handshake;
use crate::headers::VerifiedFacts;
use crate::metrics::Stage;
use crate::outcome::{Outcome, Reason, Refusal};
use crate::report::Report;
use crate::request::{BodyError, BodySource, RequestHead};
use crate::shadow;
use crate::source::{Answers, Mode, Source, Unrouted};
use crate::trace::Trace;
use crate::verify::{SignatureCheck, freshness};
use http::{HeaderValue, Method, header};
use std::sync::Arc;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Lets one delivery live, and counts and logs how it ended.
pub async fn deliver(gate: &Gate, head: &RequestHead, body: &mut dyn BodySource) -> Answer {
    let started = gate.clock.monotonic();
    let took = || gate.clock.monotonic().saturating_sub(started);
    let snapshot = gate.snapshot();
    let mut report = Report::of(head.client);
    let Some(serving) = snapshot.find(&head.path) else {
        report.path.clone_from(&head.path);
        let clue = snapshot.sources.resembling(&head.path).map(|source| {
            format!(
                "the path of sources.{} is {}: this one differs in a slash or in case",
                source.name, source.path
            )
        });
        let refusal = Refusal::because(Reason::UnknownSource, clue.unwrap_or_default());
        let answer = Answer::refused(refusal);
        gate.conclude(None, &report, &answer, took());
        return answer;
    };
    report.source = Some(serving.source.name.clone());
    let lived = live(gate, &snapshot, serving, head, body, &mut report).await;
    let judged = lived.unwrap_or_else(|refusal| refused(refusal, &serving.source));
    let forwarded_anyway = match serving.source.mode {
        Mode::Enforce => None,
        Mode::Shadow => {
            Box::pin(shadow::pass(gate, &snapshot, serving, head, &judged, &mut report)).await
        }
    };
    gate.conclude(Some(serving), &report, &judged, took());
    let told = forwarded_anyway.unwrap_or(judged);
    let mut told = match serving.source.answers {
        Answers::Full => told,
        Answers::Bare => told.bare(),
    };
    if told.refusal.is_none()
        && let Some((name, value)) = handshake::echoed(&serving.source, head)
    {
        told.headers.insert(name, value);
    }
    told
}

/// Lets one delivery live from its head to its answer. What is learned on the way goes into
/// `report`, whatever the end.
///
/// # Errors
/// The first thing that does not hold.
async fn live(
    gate: &Gate,
    snapshot: &Arc<Snapshot>,
    serving: &Serving,
    head: &RequestHead,
    body: &mut dyn BodySource,
    report: &mut Report,
) -> Result<Answer, Refusal> {
    let source = &*serving.source;
    let timestamp = source.scheme.timestamp.as_ref();
    // One wall time for every decision about this request.
    let now = gate.clock.wall();
    let trace = Trace::of(&head.headers);
    report.trace = Some(trace.clone());

    // 1. Cheap refusals, before a byte of the body is read.
    method_is_allowed(source, head)?;
    address_is_allowed(source, head)?;
    serving.take_from_rate_limit()?;
    serving.passing.judge_connection(&head.headers)?;
    let handshake = source.scheme.handshake.as_ref();
    if let Some(reply) = handshake.and_then(|kind| handshake::answer_head(kind, source, head)) {
        return reply.map(Answer::handshake);
    }
    // The other methods are there for handshakes only.
    if head.method != Method::POST {
        return Err(Reason::MethodNotAllowed.into());
    }
    // Some senders' first question comes before there is a secret, so a body may still be worth
    // reading where there is a handshake.
    let mut signature = signature_check(source, head);
    if handshake.is_none() && source.mode == Mode::Enforce {
        signature.as_ref().map_err(Refusal::clone)?;
    }
    body_is_plain(head, snapshot.max_body_bytes)?;

    // 2. The body, hashed while it arrives.
    let mut hash = |chunk: &[u8]| signature.iter_mut().for_each(|check| check.update(chunk));
    let body = Arc::new(gate.timed(Stage::Read, body.read(&mut hash)).await?);
    report.body_bytes = body.bytes.len();
    // A sender waits for its answer once it has said everything.
    let deadline = Instant::now() + source.respond_within;
    if source.mode == Mode::Shadow {
        report.body = Some(body.clone());
    }

    // 3. The signature. No store is touched and nothing of the body believed before it holds.
    let started = gate.clock.monotonic();
    let genuine = signature.and_then(|check| check.finish(&body.bytes));
    if let Some(kind) = handshake {
        let proof = genuine.as_ref().map_err(Refusal::clone);
        let verified =
            proof.and_then(|genuine| freshness::judge_any(timestamp, genuine.sent(), now));
        let verified = verified.as_ref().copied();
        if let Some(reply) = handshake::answer_body(kind, source, head, &body.bytes, verified) {
            return reply.map(Answer::handshake);
        }
    }
    let genuine = genuine?;
    serving.metrics.secret_matched(genuine.secret());

    // 4. What the event says of itself.
    let event = Event::read(source, head, &body.bytes, &genuine)?;
    report.event = Some(event.clone());
    gate.stages.record(Stage::Verify, gate.clock.monotonic().saturating_sub(started));

    // 5. The route. Before the claim, so that an event that goes nowhere consumes nothing.
    let Some((route_index, route)) = source.route(&event.kind) else {
        return match source.unrouted {
            Unrouted::Accept => Ok(Answer::empty(Outcome::Ignored, 200)),
            Unrouted::Reject => Err(Reason::Unrouted.into()),
        };
    };

    // 6. and 7. Delivered everywhere is a duplicate, however old; anything else has to be fresh.
    // Freshness decides whether the one call to the store may claim or only look.
    let fresh = freshness::judge_any(timestamp, event.sent, now);
    let claims = ClaimRequest {
        source: &source.name,
        event_id: &event.id,
        alias: genuine.signed_fingerprint(),
        destinations: serving.destinations(route_index),
        fingerprint: xxh3_64(&body.bytes),
        ttl: source.dedupe_ttl,
        uncertain_hold: snapshot.uncertain_hold,
        intent: if fresh.is_ok() { Intent::Claim } else { Intent::Look },
        within: snapshot.store_patience(deadline - Instant::now()),
    };
    // Boxed, here and below, so that what is refused before does not hold the room for it.
    let taking = Box::pin(gate.claims.take(claims));
    let holds = match gate.timed(Stage::Dedupe, taking).await {
        Ok(holds) => {
            note_other_bodies(serving, &event, &holds);
            if holds.iter().all(|hold| matches!(hold, Hold::Delivered { .. })) {
                return Ok(Answer::empty(Outcome::Duplicate, 200));
            }
            if source.mode == Mode::Shadow {
                shadow::stand_aside(&holds)?;
            }
            Some(holds)
        }
        Err(fault) => {
            snapshot.without_store(&fault)?;
            match source.mode {
                // What this process delivers meanwhile, it remembers by itself.
                Mode::Enforce => Some(gate.claims.take_alone(claims).await),
                Mode::Shadow => None,
            }
        }
    };
    fresh?;
    // A copy that waits for another delivery's answer is not the first one of its event.
    let is_first = holds.as_deref().is_none_or(|h| h.iter().any(|h| matches!(h, Hold::Won(_))));

    // 8. Forward what is ours, wait for what others hold, settle, answer.
    let forwarding = Dispatch {
        snapshot: snapshot.clone(),
        route,
        destinations: serving.destinations(route_index),
        head,
        passing: &serving.passing,
        body,
        repeats: source.mode == Mode::Shadow,
        trace: &trace,
        facts: Some(VerifiedFacts {
            source: &source.name,
            event_id: &event.id,
            event_type: &event.kind,
            verified_at: now,
        }),
        deadline,
    };
    let forwarded = Box::pin(dispatch::forward(gate, forwarding, holds, report));
    let answer = gate.timed(Stage::Upstream, forwarded).await?;
    if let (Outcome::Delivered, Some(happened), true) = (answer.outcome, event.time, is_first) {
        let lag_millis = u32::try_from(now.millis_since(happened).max(0)).unwrap_or(u32::MAX);
        serving.metrics.event_lag.observe(f64::from(lag_millis) / 1000.0);
    }
    Ok(answer)
}

/// A refusal as the sender is told of it: that of a method names those that are served.
fn refused(refusal: Refusal, source: &Source) -> Answer {
    let is_method = refusal.reason == Reason::MethodNotAllowed;
    let mut answer = Answer::refused(refusal);
    if is_method {
        let methods: Vec<String> = source.methods().map(|method| method.to_string()).collect();
        let allow = HeaderValue::from_str(&methods.join(", "));
        let allow = allow.unwrap_or(HeaderValue::from_static("POST"));
        answer.headers.insert(header::ALLOW, allow);
    }
    answer
}

/// `POST`, and what the handshake of the source needs.
fn method_is_allowed(source: &Source, head: &RequestHead) -> Result<(), Refusal> {
    if source.methods().any(|method| method == head.method) {
        Ok(())
    } else {
        Err(Reason::MethodNotAllowed.into())
    }
}

fn address_is_allowed(source: &Source, head: &RequestHead) -> Result<(), Refusal> {
    let listed = source.allow.iter().any(|net| net.contains(&head.client));
    if listed || source.allow.is_empty() {
        return Ok(());
    }
    let judged = match (head.via, head.ignored_forwarding) {
        (Some(proxy), _) if proxy == head.client => {
            format!("judged {proxy}, a trusted proxy that names no sender")
        }
        (Some(proxy), _) => format!("judged {}, as the trusted proxy {proxy} says", head.client),
        (None, true) => format!(
            "judged {}, the other end of the connection; its X-Forwarded-For was ignored, since it is \
             not in server.trusted_proxies",
            head.client
        ),
        (None, false) => format!("judged {}, the other end of the connection", head.client),
    };
    Err(Refusal::because(Reason::AddressNotAllowed, judged))
}

/// A source whose secret could not be read takes nothing.
fn signature_check<'a>(
    source: &'a Source,
    head: &'a RequestHead,
) -> Result<SignatureCheck<'a>, Refusal> {
    match &source.keys {
        Ok(keys) => Ok(SignatureCheck::begin(source, keys, head)),
        Err(why) => Err(Refusal::because(Reason::SecretUnavailable, why.clone())),
    }
}

/// A compressed body is not what was signed. A length that is over the limit is said first, as it
/// would be if the body were plain.
fn body_is_plain(head: &RequestHead, max_body_bytes: usize) -> Result<(), Refusal> {
    let declared =
        head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: usize| bytes > max_body_bytes) {
        return Err(BodyError::TooLarge.into());
    }
    if head.has_plain_body() { Ok(()) } else { Err(Reason::ContentEncoding.into()) }
}

impl From<BodyError> for Refusal {
    fn from(fault: BodyError) -> Self {
        match fault {
            BodyError::TooLarge => Reason::BodyTooLarge.into(),
            BodyError::TimedOut => Reason::BodyTimeout.into(),
            BodyError::NoMemory => Self::because(Reason::Overloaded, "body_memory is used up"),
            BodyError::NoShare => Self::because(
                Reason::Overloaded,
                "this address has used up its part of body_memory",
            ),
            BodyError::Broken => Self::because(Reason::BadRequest, "the body broke off"),
        }
    }
}

/// An id that comes again with another body is a copy all the same, but somebody should know: the
/// sender reuses ids, or the id is not what the configuration takes it for.
fn note_other_bodies(serving: &Serving, event: &Event, holds: &[Hold<End>]) {
    let differs = |hold: &Hold<End>| match hold {
        Hold::Delivered { same_body, .. } => !same_body,
        Hold::InFlight(waiter) => waiter.same_body() == Some(false),
        Hold::Won(_) | Hold::Uncertain { .. } | Hold::Absent => false,
    };
    if holds.iter().any(differs) {
        serving.metrics.body_mismatch.inc();
        let source = &*serving.source.name;
        let event_id = &*event.id;
        match serving.source.mode {
            Mode::Enforce => tracing::warn!(
                source,
                event_id,
                "an event id came again with another body; it is answered as a copy, not forwarded"
            ),
            Mode::Shadow => tracing::warn!(
                source,
                event_id,
                "an event id came again with another body; enforced, it would not be forwarded"
            ),
        }
    }
}
