//! The life of a delivery, in order. Start here.
//!
//! [`deliver`] finds the source, and counts and logs the end. `live` has the steps: arrive, prove,
//! route, claim, forward. Every `?` may end the delivery, with a reason or with an answer. Nothing
//! in this file knows Pingora, TOML or Prometheus' formats. `edge` passes the request in and writes
//! the answer; `dispatch` sends the event to its destinations.

mod stop;
mod storing;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::delivery::answer::{Answer, Conclusion, DestinationOutcome, Success};
use crate::delivery::arrival::{self, Opened};
use crate::delivery::dispatch::{self, Dispatch};
use crate::delivery::gate::{ServedRoute, Serving, SharedState, Snapshot};
use crate::delivery::proof::{Proven, Warrant};
use crate::delivery::report::Report;
use crate::delivery::route::UpstreamName;
use crate::delivery::shadow;
use crate::delivery::source::{Answers, Mode, Source, Unrouted};
use crate::delivery::trace::Trace;
use crate::outcome::{Outcome, Reason, Refusal};
use crate::request::{Body, BodySource, RequestHead, read_whole};
use crate::telemetry::metrics::{Stage, StageWatch};
use hookward_claims::{ClaimRequest, ClaimTerms, Hold, Intent};
use hookward_time::UnixMillis;
use hookward_verify::confirmation;
use hookward_verify::event::Event;
use hookward_verify::fault::Fault;
use hookward_verify::handshake::{self, Reply};
use hookward_verify::verify::{Genuine, SignatureCheck};
use http::{HeaderValue, header};
use std::sync::Arc;
use stop::Stop;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Lets one delivery live, and counts and logs how it ended.
pub async fn deliver(gate: &SharedState, head: &RequestHead, body: &mut dyn BodySource) -> Answer {
    let mut watch = gate.watch();
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
        gate.conclude(None, report, &answer, watch.took());
        return answer;
    };
    report.source = Some(serving.source.name.clone());
    let course = Course {
        gate,
        snapshot: &snapshot,
        serving,
        source: &serving.source,
        head,
        now: gate.clock.wall(),
        trace: Trace::of(&head.headers),
    };
    report.trace = Some(course.trace.clone());
    let judged = match live(&course, body, &mut report, &mut watch).await {
        Ok(answer) => answer,
        Err(Stop::Answered(answer)) => *answer,
        Err(Stop::Refused(refusal)) => refused(refusal, &serving.source),
    };
    if let Some(refusal) = judged.refusal().filter(|_| judged.outcome() == Outcome::Rejected) {
        let body = report.body.as_ref().map_or(&[][..], |body| &body.bytes);
        gate.captures.take(&serving.source, head, body, course.now, refusal.reason);
    }
    let forwarded_anyway = match serving.source.mode {
        Mode::Enforce => None,
        Mode::Shadow => Box::pin(shadow::pass(gate, serving, head, &judged, &mut report)).await,
    };
    gate.conclude(Some(serving), report, &judged, watch.took());
    let told = forwarded_anyway.unwrap_or(judged);
    let mut told = match serving.source.answers {
        Answers::Full => told,
        Answers::Bare => told.bare(),
    };
    if told.refusal().is_none()
        && let Some((name, value)) = handshake::echoed(&serving.source.sender, head.view())
    {
        told.headers.insert(name, value);
    }
    told
}

/// Lets one delivery live from its head to its answer. What is learned on the way goes into
/// `report`, whatever the end.
///
/// # Errors
/// The first stage that ends it.
async fn live(
    course: &Course<'_>,
    body: &mut dyn BodySource,
    report: &mut Report,
    watch: &mut StageWatch<'_>,
) -> Result<Answer, Stop> {
    let (arrived, signature) = course.arrive(body, report, watch).await?;
    // Boxed, so that a request whose body is still on its way does not hold the room for it.
    Box::pin(async {
        let proof = course.prove(&arrived, signature, report, watch).await?;
        let route = course.route(&proof.event)?;
        let claimed = course.claim(&arrived, &proof, route, watch).await?;
        Ok(course.forward(arrived, proof, route, claimed, report, watch).await?)
    })
    .await
}

/// One delivery in progress, with everything that its checks need.
struct Course<'a> {
    gate: &'a SharedState,
    snapshot: &'a Arc<Snapshot>,
    serving: &'a Serving,
    source: &'a Source,
    head: &'a RequestHead,
    /// One wall time for every decision about this request.
    now: UnixMillis,
    trace: Trace,
}

/// The check of a signature, or why it cannot be checked.
type Check<'a> = Result<SignatureCheck<'a>, Fault>;

/// A request whose body is complete.
struct Arrived {
    body: Arc<Body>,
    /// When the sender's patience ends.
    deadline: Instant,
}

/// A genuine request.
struct Proof {
    genuine: Genuine,
    event: Proven,
    /// What the event has at each place where routes of its source look for an order key.
    order_keys: Vec<Option<String>>,
    /// A hash of the body, to tell a copy from a reused id.
    fingerprint: u64,
}

/// What a delivery may do at each destination.
struct ClaimedEvent {
    holds: Vec<Hold<DestinationOutcome>>,
    /// Where the inbox gave the event up; `None` if it has not said.
    given_up: Option<Vec<UpstreamName>>,
}

impl<'a> Course<'a> {
    /// Cheap refusals before a byte of the body is read; then the body, hashed while it arrives.
    async fn arrive(
        &self,
        body: &mut dyn BodySource,
        report: &mut Report,
        watch: &mut StageWatch<'_>,
    ) -> Result<(Arrived, Check<'a>), Stop> {
        let Self { snapshot, serving, source, head, .. } = *self;
        let declared = arrival::declared_bytes(head);
        let admit = || {
            arrival::address_is_allowed(source, head)?;
            serving.take_from_rate_limit()?;
            serving.passing.judge_connection(&head.headers)
        };
        let opened = arrival::open(source, head, declared, snapshot.max_body_bytes, admit)?;
        let mut signature = match opened {
            Opened::Handshake(reply) => return Err(Stop::handshake(reply)),
            Opened::Secretless(fault) => return Err(fault.into()),
            Opened::Body(signature) => signature,
        };
        let mut hash = |chunk: &[u8]| signature.iter_mut().for_each(|check| check.update(chunk));
        let read = read_whole(body, &mut hash).await;
        watch.ends(Stage::Read);
        let body = Arc::new(read?);
        report.body_bytes = body.bytes.len();
        if source.mode == Mode::Shadow || source.capture > 0 {
            report.body = Some(body.clone());
        }
        // A sender waits for its answer once it has said everything.
        let deadline = Instant::now() + source.respond_within;
        Ok((Arrived { body, deadline }, signature))
    }

    /// The signature, then what the event says of itself. No store is touched and nothing of the
    /// body believed before the signature holds.
    async fn prove(
        &self,
        arrived: &Arrived,
        signature: Check<'_>,
        report: &mut Report,
        watch: &mut StageWatch<'_>,
    ) -> Result<Proof, Stop> {
        let Self { serving, source, head, .. } = *self;
        let body = &arrived.body.bytes;
        let genuine = match (signature, &serving.published) {
            (Ok(_), Some(published)) => {
                let (view, now) = (head.view(), self.now);
                published.check(&source.sender, view, body, now, arrived.deadline).await
            }
            (signature, _) => signature.and_then(|check| check.finish(body)),
        };
        if let Some(reply) = arrival::handshake_in_body(source, head, body, &genuine, self.now) {
            return Err(Stop::handshake(reply?));
        }
        let genuine = genuine?;
        if let Some(confirmed) = self.confirmation(arrived, &genuine).await {
            confirmed?;
            return Err(Stop::handshake(Reply::empty()));
        }
        serving.metrics.secret_matched(genuine.secret());
        if let Some(last_match) = serving.sightings.secret(genuine.label()) {
            last_match.note(self.now);
        }
        let (event, order_keys) =
            Proven::read_with(source, head, body, &genuine, &serving.order_keys)?;
        report.event = Some(event.clone());
        let fingerprint = xxh3_64(body);
        watch.ends(Stage::Verify);
        Ok(Proof { genuine, event, order_keys, fingerprint })
    }

    /// Confirms a subscription that a genuine and fresh request asks to be confirmed; `None` where it
    /// asks for nothing.
    async fn confirmation(
        &self,
        arrived: &Arrived,
        genuine: &Genuine,
    ) -> Option<Result<(), Fault>> {
        let Self { serving, source, head, .. } = *self;
        let published = serving.published.as_ref()?;
        let body = &arrived.body.bytes;
        let asked = confirmation::of(&source.sender, head.view(), body, genuine, self.now)?;
        Some(match asked {
            Ok(url) => published.confirm(url, arrived.deadline).await,
            Err(fault) => Err(fault),
        })
    }

    /// The route. Before the claim, so that an event that goes nowhere consumes nothing.
    fn route(&self, event: &Proven) -> Result<&'a ServedRoute, Stop> {
        match (self.serving.route(&event.event().kind), self.source.unrouted) {
            (Some(routed), _) => Ok(routed),
            (None, Unrouted::Accept) => Err(Stop::well(Success::Ignored)),
            (None, Unrouted::Reject) => Err(Reason::Unrouted.into()),
        }
    }

    /// Delivered everywhere is a duplicate, however old; anything else has to be fresh. Freshness
    /// decides whether the one call to the store may claim or only look.
    async fn claim(
        &self,
        arrived: &Arrived,
        proof: &Proof,
        route: &ServedRoute,
        watch: &mut StageWatch<'_>,
    ) -> Result<ClaimedEvent, Stop> {
        let Self { gate, snapshot, serving, source, .. } = *self;
        let event = proof.event.event();
        let lifetime = proof.genuine.lifetime();
        let fresh = source.sender.check_token_freshness(event.sent, lifetime, self.now);
        let terms = ClaimTerms {
            alias: proof.genuine.signed_fingerprint(),
            destinations: &route.destinations,
            fingerprint: proof.fingerprint,
            ttl: source.dedupe_ttl,
            uncertain_hold: snapshot.uncertain_hold,
            intent: if fresh.is_ok() { Intent::Claim } else { Intent::Look },
            within: snapshot.store_patience(arrived.deadline - Instant::now()),
        };
        let request = ClaimRequest::of(&proof.event, terms);
        let taken = gate.claims.take(request).await;
        watch.ends(Stage::Dedupe);
        let mut given_up = None;
        let holds = match taken {
            Ok(mut holds) => {
                given_up = self.look_into_inbox(event, route, &mut holds, terms).await;
                note_other_bodies(serving, event, &holds);
                if holds.iter().all(|hold| matches!(hold, Hold::Delivered { .. })) {
                    return Err(Stop::well(Success::Duplicate));
                }
                match source.mode {
                    Mode::Enforce => holds,
                    Mode::Shadow => shadow::stand_aside(holds)?,
                }
            }
            Err(fault) => {
                snapshot.without_store(&fault)?;
                match source.mode {
                    // What this process delivers meanwhile, it remembers by itself.
                    Mode::Enforce => gate.claims.take_alone(request).await,
                    Mode::Shadow => route.destinations.iter().map(|_| Hold::Unguarded).collect(),
                }
            }
        };
        fresh?;
        Ok(ClaimedEvent { holds, given_up })
    }

    /// Forwards what is ours, waits for what others hold, settles, answers.
    async fn forward(
        &self,
        arrived: Arrived,
        proof: Proof,
        route: &ServedRoute,
        ClaimedEvent { holds, given_up }: ClaimedEvent,
        report: &mut Report,
        watch: &mut StageWatch<'_>,
    ) -> Result<Answer, Refusal> {
        // A copy that waits for another delivery's answer is not the first one of its event.
        let is_first = holds.iter().any(|hold| matches!(hold, Hold::Won(_) | Hold::Unguarded));
        let happened = proof.event.event().time.filter(|_| is_first);
        let keep = self.keep(&arrived, &proof, route, given_up);
        let dispatch = Dispatch {
            route,
            head: self.head,
            passing: &self.serving.passing,
            body: arrived.body,
            trace: &self.trace,
            warrant: Warrant::Proven(proof.event),
            verified_at: self.now,
            deadline: arrived.deadline,
            keep,
        };
        let answer = dispatch::forward(self.gate, dispatch, holds, report).await;
        watch.ends(Stage::Upstream);
        let answer = answer?;
        let delivered = match answer.conclusion {
            Conclusion::Good { success, .. } => success == Success::Delivered,
            Conclusion::Refused(_) => false,
        };
        if let Some(happened) = happened.filter(|_| delivered) {
            let lag_millis = self.now.millis_since(happened).max(0);
            let lag_millis = u32::try_from(lag_millis).unwrap_or(u32::MAX);
            self.serving.metrics.lag(f64::from(lag_millis) / 1000.0);
        }
        Ok(answer)
    }
}

/// A refusal as the sender is told of it: that of a method names those that are served.
fn refused(refusal: Refusal, source: &Source) -> Answer {
    let is_method = refusal.reason == Reason::MethodNotAllowed;
    let mut answer = Answer::refused(refusal);
    if is_method {
        let methods: Vec<String> =
            source.sender.methods().map(|method| method.to_string()).collect();
        let allow = HeaderValue::from_str(&methods.join(", "));
        let allow = allow.unwrap_or(HeaderValue::from_static("POST"));
        answer.headers.insert(header::ALLOW, allow);
    }
    answer
}

/// An id that comes again with another body is a copy all the same, but somebody should know: the
/// sender reuses ids, or the id is not what the configuration takes it for.
fn note_other_bodies(serving: &Serving, event: &Event, holds: &[Hold<DestinationOutcome>]) {
    let differs = |hold: &Hold<DestinationOutcome>| match hold {
        Hold::Delivered { same_body, .. } => !same_body,
        Hold::InFlight(waiter) => waiter.same_body() == Some(false),
        Hold::Won(_) | Hold::Unguarded | Hold::Uncertain { .. } | Hold::Absent => false,
    };
    if holds.iter().any(differs) {
        serving.metrics.other_body();
        let source = serving.source.name.as_str();
        let event_id = event.id.as_str();
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
