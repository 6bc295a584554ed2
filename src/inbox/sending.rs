//! One attempt from the inbox: the request that a live delivery would make, from stored data.

use super::head::StoredHead;
use super::pace::Pace;
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
use crate::telemetry::metrics::Counted;
use crate::upstream::{Spare, UpstreamRequest};
use hookward_claims::Acceptance;
use hookward_inbox::{Attempt, EntryState, StoredEvent};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::UnixMillis;
use http::HeaderName;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::yield_now;

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
    pub(super) pace: Pace,
    /// Dropped with the last attempt.
    pub(super) _alive: mpsc::Sender<Infallible>,
}

impl Sending {
    /// Runs an attempt as a task of its own, and learns how late it began.
    fn start(self: &Arc<Self>, attempt: impl Future<Output = ()> + Send + 'static) {
        let (sending, spawned) = (Arc::clone(self), self.gate.clock.monotonic());
        tokio::spawn(async move {
            let late = sending.gate.clock.monotonic().saturating_sub(spawned);
            sending.pace.began(late);
            attempt.await;
        });
    }
}

/// An attempt on its turn. The turn is given back once the request has ended, before the end is recorded:
/// the worker hears of that, and looks for the next.
pub(super) struct DueAttempt {
    pub(super) attempt: Attempt,
    pub(super) turn: OwnedSemaphorePermit,
    pub(super) in_flight: Counted,
}

/// An attempt with everything that its request needs.
struct ReadyAttempt {
    due: DueAttempt,
    kept: KeptEvent,
    alias: Option<String>,
    upstream: Arc<ServedUpstream>,
    place: Spare,
    request: UpstreamRequest,
    memory: Box<dyn MemoryShare>,
}

/// Sends events once each, and records the results in the claims and the inbox.
///
/// What is in memory is read here, one after the other: handing it to a thread and back takes longer. And
/// all are noted as begun before the first is waited for, so that the inbox writes these notes at once.
///
/// Between two requests the runtime looks at its sockets, so that answers to earlier ones do not wait for
/// all of a round.
pub(super) async fn send(sending: &Arc<Sending>, due: Vec<DueAttempt>) {
    let mut begun = Vec::with_capacity(due.len());
    for due in due {
        if let Some(ready) = guarded(|| prepare_at_hand(sending, due)) {
            begun.push((ready.due.attempt.begin(), ready));
        }
    }
    for (noted, ready) in begun {
        let carrying = Arc::clone(sending);
        noted.await;
        sending.start(async move { carry(&carrying, ready).await });
        yield_now().await;
    }
}

/// An event that breaks the preparation of its attempt must not end the others of the round. It is due
/// again in a second, as is every attempt that is dropped before it began.
fn guarded<T>(prepare: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|_| {
        tracing::error!("an attempt from the inbox failed before it began; it is made again");
        None
    })
}

/// Prepares an attempt of which the event is in memory; hands any other one to a task of its own.
fn prepare_at_hand(sending: &Arc<Sending>, mut due: DueAttempt) -> Option<ReadyAttempt> {
    if let Some(kept) = KeptEvent::at_hand(&mut due.attempt) {
        return prepare(sending, due, kept);
    }
    sending.start(send_from_disk(Arc::clone(sending), due));
    None
}

/// Reading from the disk blocks, so it is done where that holds nobody up.
async fn send_from_disk(sending: Arc<Sending>, mut due: DueAttempt) {
    let reading = tokio::task::spawn_blocking(move || {
        let kept = KeptEvent::read(&mut due.attempt);
        (due, kept)
    });
    let Ok((due, kept)) = reading.await else { return };
    let kept = match kept {
        Ok(kept) => kept,
        Err(fault) if fault.is_dead => {
            return tracing::error!(%fault, "a stored event was set aside as dead");
        }
        Err(fault) => return tracing::warn!(%fault, "a stored event is read again later"),
    };
    if let Some(ready) = prepare(&sending, due, kept) {
        ready.due.attempt.begin().await;
        carry(&sending, ready).await;
    }
}

/// Makes the request; gives the attempt back if it cannot be sent now.
fn prepare(sending: &Sending, due: DueAttempt, kept: KeptEvent) -> Option<ReadyAttempt> {
    let later = |due: DueAttempt, wait: Duration| {
        due.attempt.give_back(wait);
        None
    };
    let snapshot = sending.gate.snapshot();
    let Some(upstream) = snapshot.upstream(due.attempt.to()).map(Arc::clone) else {
        return later(due, NO_UPSTREAM);
    };
    let Some(memory) = (sending.reserve)(kept.event().body.len()) else {
        return later(due, NO_MEMORY);
    };
    let place = match upstream.forwarder.spare() {
        Ok(place) => place,
        Err(wait) => return later(due, wait),
    };
    let event = kept.event();
    let Some(head) = StoredHead::decode(&event.head) else {
        tracing::error!(
            source = event.source,
            event_id = event.id,
            upstream = event.to,
            "the head of a stored event cannot be read; it waits for an operator"
        );
        // Not tried blindly: it is looked at again once a day.
        return later(due, Duration::from_hours(24));
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
    Some(ReadyAttempt { due, kept, alias, upstream, place, request, memory })
}

async fn carry(sending: &Sending, ready: ReadyAttempt) {
    let ReadyAttempt { due, kept, alias, upstream, place, request, memory } = ready;
    let DueAttempt { attempt, turn, in_flight } = due;
    let event = kept.event();
    let forwarding = upstream.forwarder.forward_in(&request, place);
    let met = attempt::met(&*sending.gate.clock, &event.to, forwarding).await;
    drop((memory, turn));
    conclude(sending, attempt, event, alias.as_deref(), met).await;
    drop(in_flight);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_breaks_its_attempt_does_not_end_the_others() {
        let attempts = [Some(1), None, Some(3)]
            .map(|number: Option<u32>| guarded(|| Some(number.expect("what breaks it"))));
        assert_eq!(attempts, [Some(1), None, Some(3)]);
    }
}
