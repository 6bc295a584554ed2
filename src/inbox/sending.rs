//! One attempt from the inbox: the request that a live delivery would make, from stored data.

use super::head::StoredHead;
use super::statistics::label;
use super::store::InboxStore;
use crate::delivery::answer::DestinationOutcome;
use crate::delivery::attempt::{self, Met};
use crate::delivery::gate::{ServedUpstream, SharedState};
use crate::delivery::headers::{
    HOOKWARD_ATTEMPT, HOOKWARD_QUEUED_AT, HOOKWARD_REPLAY, IDEMPOTENCY_KEY, idempotency_key,
};
use crate::delivery::proof::KeptEvent;
use crate::outgoing_lines::OutgoingLines;
use crate::request::MemoryShare;
use crate::upstream::UpstreamRequest;
use hookward_claims::Acceptance;
use hookward_inbox::{Attempt, EntryState, StoredEvent};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::UnixMillis;
use http::HeaderName;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// When an entry is tried again for which there was no memory.
const NO_MEMORY: Duration = Duration::from_millis(200);

/// When one is tried again whose upstream vanished while it was taken.
const NO_UPSTREAM: Duration = Duration::from_secs(1);

/// Takes memory for a body of so many bytes; `None` if there is none to be had now.
pub type Reserve = Arc<dyn Fn(usize) -> Option<Box<dyn MemoryShare>> + Send + Sync>;

/// What an attempt needs beside its event.
pub(super) struct Sending {
    pub(super) inbox: Arc<InboxStore>,
    pub(super) gate: Arc<SharedState>,
    pub(super) reserve: Reserve,
}

/// Sends an event once, and records the result in the claims and the inbox. `turn` is given back once
/// the request has ended, before the end is recorded: the worker hears of that, and looks for the next.
pub(super) async fn send(sending: Sending, attempt: Attempt, turn: OwnedSemaphorePermit) {
    let Some((attempt, kept)) = read(attempt).await else { return };
    let snapshot = sending.gate.snapshot();
    let Some(upstream) = snapshot.upstream(attempt.to()).map(Arc::clone) else {
        return attempt.give_back(NO_UPSTREAM);
    };
    let Some(memory) = (sending.reserve)(kept.event().body.len()) else {
        return attempt.give_back(NO_MEMORY);
    };
    let place = match upstream.forwarder.spare() {
        Ok(place) => place,
        Err(wait) => return attempt.give_back(wait),
    };
    let event = kept.event();
    let source = SourceName::from(event.source.as_str());
    let Some(head) = StoredHead::decode(&event.head) else {
        tracing::error!(
            source = source.as_str(),
            event_id = event.id,
            upstream = event.to,
            "the head of a stored event cannot be read; it waits for an operator"
        );
        // Not tried blindly: it is looked at again once a day.
        return attempt.give_back(Duration::from_hours(24));
    };
    let alias = head.alias.clone();
    // A path that was put right while the event waited is the one that it goes to.
    let serving = snapshot.sources.named(&event.source).and_then(|s| snapshot.find(&s.path));
    let route = serving
        .and_then(|serving| serving.route(&event.kind))
        .filter(|route| route.destinations.iter().any(|(name, _)| name.as_str() == event.to));
    let path = route.map_or_else(|| head.route_path.clone(), |route| route.path.clone());
    let headers = headers(&head, event, &upstream, sending.gate.clock.wall());
    let request = UpstreamRequest::of_kept(kept.permit(), head, path, headers, event.body.clone());
    attempt.begin().await;
    let forwarding = upstream.forwarder.forward_in(&request, place);
    let met = attempt::met(&*sending.gate.clock, &event.to, forwarding).await;
    drop((memory, turn));
    conclude(&sending, attempt, event, alias.as_deref(), met).await;
}

/// Reading from the disk blocks, so it is done where that holds nobody up. What is in memory is read
/// here: handing it to another thread and back takes longer.
async fn read(mut attempt: Attempt) -> Option<(Attempt, KeptEvent)> {
    if let Some(kept) = KeptEvent::at_hand(&mut attempt) {
        return Some((attempt, kept));
    }
    let reading = tokio::task::spawn_blocking(move || {
        let kept = KeptEvent::read(&mut attempt);
        (attempt, kept)
    });
    match reading.await.ok()? {
        (attempt, Ok(kept)) => Some((attempt, kept)),
        (_, Err(fault)) if fault.is_dead => {
            tracing::error!(%fault, "a stored event was set aside as dead");
            None
        }
        (_, Err(fault)) => {
            tracing::warn!(%fault, "a stored event is read again later");
            None
        }
    }
}

fn headers(
    head: &StoredHead,
    event: &StoredEvent,
    upstream: &ServedUpstream,
    now: UnixMillis,
) -> OutgoingLines {
    let mut headers = OutgoingLines::from(&head.headers);
    let mut set = |name: HeaderName, text: &str| headers.set(&name, text.as_bytes());
    set(HOOKWARD_ATTEMPT, &event.sent.saturating_add(1).to_string());
    let accepted_at = UnixMillis::from_unsigned(event.accepted_at);
    set(HOOKWARD_QUEUED_AT, &accepted_at.to_rfc3339());
    if event.replays > 0 {
        set(HOOKWARD_REPLAY, "true");
    }
    if let Some(number) = event.as_new {
        set(IDEMPOTENCY_KEY, &idempotency_key(&event.source, &format!("{}:r{number}", event.id)));
    }
    let names = (event.source.as_str(), event.id.as_str());
    upstream.credentials.apply(&mut headers, &event.body, Some(names), || now);
    headers
}

async fn conclude(
    sending: &Sending,
    attempt: Attempt,
    event: &StoredEvent,
    alias: Option<&str>,
    met: Met,
) {
    let Some(tried) = met.tried else {
        return attempt.give_back(met.wait.unwrap_or(NO_UPSTREAM));
    };
    let (source, to) = (SourceName::from(&*event.source), UpstreamName::from(&*event.to));
    let event_id = EventId::from(&*event.id);
    let (result, number) = (tried.outcome.to_string(), event.sent.saturating_add(1));
    let counter = &sending.gate.metrics.inbox_attempts;
    counter.with_label_values(&[to.as_str(), label(tried.outcome)]).inc();
    if matches!(met.end, DestinationOutcome::Accepted(_)) {
        let acceptance = Acceptance {
            source: &source,
            event_id: &event_id,
            destination: &to,
            alias,
            fingerprint: event.fingerprint,
            ttl: event.ttl,
        };
        if !sending.inbox.knows_claims() {
            // First the claim: a crash between the two costs one more attempt, never a lost memory.
            sending.gate.claims.accepted(acceptance).await;
        }
        attempt.end(tried).await;
        tracing::info!(
            source = source.as_str(),
            event_id = event_id.as_str(),
            upstream = to.as_str(),
            result,
            attempt = number,
            "delivered from the inbox"
        );
        return;
    }
    attempt.end(tried).await;
    let (source_name, upstream) = (source.as_str(), to.as_str());
    if sending.inbox.state(&source, &event_id, &to).await == Some(EntryState::Dead) {
        tracing::warn!(
            source = source_name,
            event_id = event_id.as_str(),
            upstream,
            result,
            attempt = number,
            "an event was given up; it is kept for keep_dead and can be replayed"
        );
    } else {
        tracing::debug!(
            source = source_name,
            event_id = event_id.as_str(),
            upstream,
            result,
            attempt = number,
            "an attempt from the inbox failed"
        );
    }
}
