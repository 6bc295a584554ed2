//! An event on its way, as every destination of it gets it.

use crate::delivery::gate::{ServedRoute, ServedUpstream};
use crate::delivery::headers::{self, Passing, VerifiedFacts};
use crate::delivery::proof::{Proven, Warrant};
use crate::delivery::route::{DeliveryMode, OnDead, UpstreamName};
use crate::delivery::trace::Trace;
use crate::inbox::InboxStore;
use crate::outcome::{Reason, Refusal};
use crate::request::{Body, RequestHead};
use crate::upstream::UpstreamRequest;
use hookward_time::UnixMillis;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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

/// How an event is stored.
#[derive(Debug)]
pub struct Keep {
    /// Where.
    pub inbox: Arc<InboxStore>,
    /// The event.
    pub event: Proven,
    /// `spill` or `queued`.
    pub delivery: DeliveryMode,
    /// Events with the same key reach a destination in the order of their acceptance.
    pub order_key: Option<String>,
    /// What a dead event does to those behind it.
    pub on_dead: OnDead,
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long the event is remembered once it is delivered.
    pub ttl: Duration,
    /// Another name under which the event must not come again.
    pub alias: Option<String>,
    /// The destinations that it was given up for; `None`: the inbox has not been asked.
    pub given_up: Option<Vec<UpstreamName>>,
    /// What has not succeeded by then is stored.
    pub store_by: Instant,
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

/// Why nothing may be sent to a destination now: an operator has paused it, or a credential of it
/// cannot be read.
pub(super) fn closed(
    inbox: Option<&Arc<InboxStore>>,
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
