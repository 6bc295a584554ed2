//! One destination of an event that the inbox may store: which way it goes, and what is said of it.

use crate::delivery::answer::DestinationOutcome;
use crate::delivery::attempt::{Met, begun_at};
use crate::delivery::gate::{OLDEST_CLAIM, ServedUpstream};
use crate::delivery::in_place::InPlace;
use crate::delivery::route::UpstreamName;
use crate::outcome::Refusal;
use hookward_claims::Claim;
use hookward_inbox::{AcceptTarget, LaneHold, Live};
use hookward_time::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A claim that the task of a live attempt settles on a 2xx; otherwise it is settled here.
pub(super) type Slot = Arc<Mutex<Option<Claim<DestinationOutcome>>>>;

/// One destination of the event.
pub(super) struct Leg {
    pub(super) to: UpstreamName,
    pub(super) served: Arc<ServedUpstream>,
    pub(super) claim: Slot,
    /// Where its end is waited for.
    pub(super) tell: Option<oneshot::Sender<DestinationOutcome>>,
    pub(super) way: Way,
}

/// How the event is sent there.
pub(super) enum Way {
    /// Nobody has asked yet.
    Open,
    /// From the inbox.
    Stored(Why),
    /// A request is under way.
    Live(UnderWay),
    /// A request was made, and failed.
    Failed(Box<Met>, Option<LaneHold>),
}

/// Why no live attempt is made.
pub(super) enum Why {
    /// The route says so, or the event was given up once.
    First,
    /// Earlier events of its key wait.
    Behind,
    /// Nothing may be sent there now.
    Closed(Refusal),
}

/// Earlier events of a key wait.
pub(super) struct LaneBusy;

/// A request in flight.
pub(super) struct UnderWay {
    /// When, on the monotonic clock.
    pub(super) began: Duration,
    pub(super) ended: InPlace<Option<Met>>,
    pub(super) lane: Option<LaneHold>,
}

/// What the inbox is told of a destination.
pub(super) fn target(leg: &mut Leg, clock: &dyn Clock) -> AcceptTarget {
    let fence = leg.claim.lock().as_ref().and_then(Claim::fence).map(|fence| fence.0);
    let (live, hold) = match &mut leg.way {
        Way::Open | Way::Stored(_) => (Live::None, None),
        Way::Live(live) => {
            let since = begun_at(clock, live.began);
            (Live::UnderWay(since.unsigned()), live.lane.take())
        }
        // Without a request there is nothing to count.
        Way::Failed(met, lane) => (met.tried.map_or(Live::None, Live::Failed), lane.take()),
    };
    AcceptTarget { to: leg.to.to_string(), live, hold, fence }
}

/// Whether a request that is sent with the claim might outlast its lease.
pub(super) fn is_old(claim: &Slot) -> bool {
    claim.lock().as_ref().is_some_and(|claim| claim.age() > OLDEST_CLAIM)
}

pub(super) async fn settle(claim: &Slot, end: &DestinationOutcome) {
    let claim = claim.lock().take();
    if let Some(claim) = claim {
        end.settle(claim).await;
    }
}
