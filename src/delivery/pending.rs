//! What is waited for at a destination, and what is said of it when nobody waits any more.

use crate::delivery::answer::DestinationOutcome;
use crate::delivery::gate::SharedState;
use crate::delivery::in_place::InPlace;
use crate::delivery::report::{Report, millis};
use crate::delivery::route::UpstreamName;
use crate::outcome::{Reason, Refusal};
use hookward_claims::{Claim, Hold, Standing, Waiter};
use hookward_names::{EventId, SourceName};
use hookward_time::Clock;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// The awaited results. An end is `None` if the destination already had the event.
pub(super) enum PendingDestination {
    Ours(oneshot::Receiver<DestinationOutcome>),
    Here(InPlace),
    Theirs(Waiter<DestinationOutcome>),
    Known(Option<DestinationOutcome>),
}

/// The word for an end, in reports and in the log.
pub(super) fn label(end: Option<&DestinationOutcome>) -> Cow<'static, str> {
    Cow::Borrowed(match end {
        None => "delivered before",
        Some(DestinationOutcome::Accepted(reply)) if reply.status == 200 => "200",
        Some(DestinationOutcome::Accepted(reply)) => return reply.status.to_string().into(),
        Some(DestinationOutcome::Queued) => "queued",
        Some(DestinationOutcome::Stored) => "stored before",
        Some(DestinationOutcome::Failed(refusal) | DestinationOutcome::Uncertain(refusal)) => {
            refusal.reason.label()
        }
    })
}

/// What is waited for where nothing is to be sent; else the claim to send with.
pub(super) fn ours(
    hold: Hold<DestinationOutcome>,
) -> Result<Option<Claim<DestinationOutcome>>, Box<PendingDestination>> {
    match hold {
        Hold::Won(claim) => Ok(Some(claim)),
        Hold::Unguarded => Ok(None),
        Hold::InFlight(waiter) => Err(Box::new(PendingDestination::Theirs(waiter))),
        Hold::Delivered { .. } => Err(Box::new(PendingDestination::Known(None))),
        Hold::Uncertain { left } => {
            let refusal = Refusal::new(Reason::Uncertain).retry_after(left);
            Err(Box::new(PendingDestination::Known(Some(DestinationOutcome::Failed(refusal)))))
        }
        Hold::Absent => {
            let refusal = Refusal::because(Reason::StoreUnavailable, "the store claimed nothing");
            Err(Box::new(PendingDestination::Known(Some(DestinationOutcome::Failed(refusal)))))
        }
    }
}

/// The log line of a forward that ended after its sender stopped waiting. The delivery's own line
/// was written earlier, so without this one the result would not be in the log.
pub(super) struct Late {
    pub(super) source: Option<SourceName>,
    pub(super) event_id: Option<EventId>,
    pub(super) upstream: UpstreamName,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started: Duration,
}

impl Late {
    pub(super) fn of(
        gate: &SharedState,
        upstream: &UpstreamName,
        report: &Report,
        started: Duration,
    ) -> Self {
        Self {
            source: report.source.clone(),
            event_id: report.event.as_ref().map(|event| event.event().id.clone()),
            upstream: upstream.clone(),
            clock: gate.clock.clone(),
            started,
        }
    }

    pub(super) fn log(&self, end: &DestinationOutcome) {
        let source = self.source.as_ref().map_or("", SourceName::as_str);
        let event_id = self.event_id.as_ref().map_or("", EventId::as_str);
        let (upstream, result) = (self.upstream.as_str(), &*label(Some(end)));
        let duration_ms = millis(self.clock.monotonic().saturating_sub(self.started));
        match end {
            DestinationOutcome::Failed(refusal) | DestinationOutcome::Uncertain(refusal) => {
                tracing::warn!(
                    source,
                    event_id,
                    upstream,
                    result,
                    duration_ms,
                    detail = &*refusal.detail,
                    "late end: the sender did not wait for it"
                );
            }
            DestinationOutcome::Queued | DestinationOutcome::Stored => {}
            DestinationOutcome::Accepted(_) => tracing::info!(
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

/// Of one that is gone without a word: it panicked, and its claim is held in doubt.
pub(super) fn broke_off() -> Refusal {
    Refusal::because(Reason::Uncertain, "the forwarding broke off")
}

impl PendingDestination {
    /// What came of it, or that the sender has to come again to learn it.
    pub(super) async fn wait(self, deadline: Instant) -> Option<DestinationOutcome> {
        let refused = |refusal: Refusal| Some(DestinationOutcome::Failed(refusal));
        match self {
            Self::Known(end) => end,
            Self::Here(forwarding) => match timeout_at(deadline, forwarding).await {
                Ok(Some(end)) => Some(end),
                Ok(None) => refused(broke_off()),
                Err(_) => refused(Reason::StillWorking.into()),
            },
            Self::Ours(told) => match timeout_at(deadline, told).await {
                Ok(Ok(end)) => Some(end),
                Ok(Err(_)) => refused(broke_off()),
                Err(_) => refused(Reason::StillWorking.into()),
            },
            Self::Theirs(waiter) => match waiter.wait(deadline - Instant::now()).await {
                None => refused(Reason::InFlight.into()),
                Some(Ok(end)) => Some(end.copy()),
                Some(Err(Standing::Delivered { .. } | Standing::Queued { .. })) => None,
                Some(Err(Standing::Uncertain { left, note, .. })) => refused(
                    DestinationOutcome::refusal_of(&note)
                        .unwrap_or(Refusal::new(Reason::Uncertain).retry_after(left)),
                ),
                Some(Err(Standing::Released { note })) => refused(
                    DestinationOutcome::refusal_of(&note).unwrap_or(Reason::InFlight.into()),
                ),
                Some(Err(Standing::Absent | Standing::Claimed | Standing::InFlight { .. })) => {
                    refused(Reason::InFlight.into())
                }
            },
        }
    }
}
