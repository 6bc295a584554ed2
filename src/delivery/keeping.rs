//! Routes with `spill` or `queued`: what to store in the inbox, and when.
//!
//! One task per event outlives its sender: it waits for the live attempts until it is time to
//! store, stores in one record the destinations that have not succeeded by then, and only then
//! answers the sender. An event that the inbox cannot store is delivered as on a `sync` route.

use crate::delivery::answer::End;
use crate::delivery::attempt::{self, Met, millis};
use crate::delivery::dispatch::{self, Dispatch, Late, Pending, closed, ours};
use crate::delivery::gate::{Gate, ServedUpstream};
use crate::delivery::headers::HOOKWARD_ATTEMPT;
use crate::delivery::proof::Proven;
use crate::delivery::report::Report;
use crate::delivery::route::{Delivery, OnDead, UpstreamName};
use crate::inbox::{Inbox, Incoming, StoredHead};
use crate::outcome::{Reason, Refusal};
use crate::request::Body;
use crate::telemetry::metrics::Counted;
use crate::upstream::UpstreamRequest;
use hookward_claims::{Acceptance, Claim, Claims, Ending, Hold};
use hookward_inbox::{Accepted, Attempt, LaneHold, Live, State, Stored, Target};
use hookward_time::{Clock, UnixMillis};
use http::HeaderValue;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// How an event is stored.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Where.
    pub inbox: Arc<Inbox>,
    /// The event.
    pub event: Proven,
    /// `spill` or `queued`.
    pub delivery: Delivery,
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
    /// What has not succeeded by then is stored.
    pub store_by: Instant,
}

/// A claim that the task of a live attempt settles on a 2xx; otherwise it is settled here.
type Slot = Arc<Mutex<Option<Claim<End>>>>;

/// One destination of the event.
struct Leg {
    to: UpstreamName,
    served: Arc<ServedUpstream>,
    claim: Slot,
    tell: oneshot::Sender<End>,
    late: Late,
    way: Way,
}

/// How the event is sent there.
enum Way {
    /// From the inbox.
    Stored(Why),
    /// A request is under way.
    Live(UnderWay),
    /// A request was made, and failed.
    Failed(Met, Option<LaneHold>),
}

/// Why no live attempt is made.
enum Why {
    /// The route says so, or the event was given up once.
    First,
    /// Earlier events of its key wait.
    Behind,
    /// Nothing may be sent there now.
    Closed(Refusal),
}

/// A request in flight.
struct UnderWay {
    since: UnixMillis,
    ended: oneshot::Receiver<Met>,
    lane: Option<LaneHold>,
}

/// An event that this task handles.
struct Keeping {
    keep: Keep,
    request: UpstreamRequest,
    verified_at: UnixMillis,
    clock: Arc<dyn Clock>,
    claims: Arc<Claims<End>>,
    /// The body's share of `body_memory` is taken until nobody needs it.
    _body: Arc<Body>,
    _in_flight: Arc<Counted>,
}

/// Starts what is ours to deliver, in a task of its own, and says what is to be waited for at each
/// destination, in their order.
pub(super) fn start(
    gate: &Gate,
    dispatch: &Dispatch<'_>,
    keep: &Keep,
    holds: Vec<Hold<End>>,
    in_flight: &Arc<Counted>,
    report: &Report,
) -> Vec<Pending> {
    let keeping = Arc::new(Keeping {
        keep: keep.clone(),
        request: dispatch::request(dispatch),
        verified_at: dispatch.verified_at,
        clock: gate.clock.clone(),
        claims: gate.claims.clone(),
        _body: dispatch.body.clone(),
        _in_flight: in_flight.clone(),
    });
    let mut legs = Vec::with_capacity(holds.len());
    let destinations = dispatch.route.destinations.iter().zip(&dispatch.route.upstreams);
    let pending = holds
        .into_iter()
        .zip(destinations)
        .map(|(hold, ((to, _), served))| {
            let claim = match ours(hold) {
                Ok(claim) => Arc::new(Mutex::new(claim)),
                Err(pending) => return *pending,
            };
            let (tell, told) = oneshot::channel();
            let way = keeping.way(to, served, &claim);
            let late = Late::of(gate, to, report);
            let (to, served) = (to.clone(), Arc::clone(served));
            legs.push(Leg { to, served, claim, tell, late, way });
            Pending::Ours(told)
        })
        .collect();
    if !legs.is_empty() {
        tokio::spawn(keeping.see_through(legs));
    }
    pending
}

impl Keeping {
    /// Begins the live attempt, where there is to be one.
    fn way(self: &Arc<Self>, to: &UpstreamName, served: &Arc<ServedUpstream>, claim: &Slot) -> Way {
        let Keep { inbox, event, order_key, delivery, .. } = &self.keep;
        if let Some(refusal) = closed(Some(inbox), to, served) {
            return Way::Stored(Why::Closed(refusal));
        }
        let state = inbox.state(event.source(), &event.event().id, to);
        if *delivery == Delivery::Queued || state == Some(State::Dead) {
            return Way::Stored(Why::First);
        }
        let lane = order_key.as_ref().map(|key| inbox.hold_lane(event.source(), to, key));
        match lane {
            Some(None) => Way::Stored(Why::Behind),
            lane => Way::Live(self.begin(to, served, claim, lane.flatten())),
        }
    }

    fn begin(
        self: &Arc<Self>,
        to: &UpstreamName,
        served: &Arc<ServedUpstream>,
        claim: &Slot,
        lane: Option<LaneHold>,
    ) -> UnderWay {
        let since = self.clock.wall();
        let mut request = self.request.clone();
        request.headers.insert(HOOKWARD_ATTEMPT, HeaderValue::from_static("1"));
        let event = &self.keep.event;
        let names = (event.source().as_str(), event.event().id.as_str());
        served.credentials.apply(&mut request.headers, &request.body, Some(names), since);
        if let Some(claim) = &*claim.lock() {
            claim.sent();
        }
        let (tell, ended) = oneshot::channel();
        let (keeping, to) = (Arc::clone(self), to.clone());
        let (served, claim) = (Arc::clone(served), Arc::clone(claim));
        tokio::spawn(async move {
            let forwarding = served.forwarder.forward(request);
            let met = attempt::met(&*keeping.clock, to.as_str(), forwarding).await;
            if let Some(tried) = &met.tried {
                keeping.keep.inbox.learn(&to, tried.outcome);
            }
            if matches!(met.end, End::Accepted(_)) {
                settle(&claim, Ending::Delivered, &met.end).await;
            }
            drop(tell.send(met));
        });
        UnderWay { since, ended, lane }
    }

    /// Waits for the live attempts as long as there is time, stores what is left, and tells.
    async fn see_through(self: Arc<Self>, legs: Vec<Leg>) {
        let mut left = Vec::with_capacity(legs.len());
        for mut leg in legs {
            let Way::Live(mut live) = leg.way else {
                left.push(leg);
                continue;
            };
            match timeout_at(self.keep.store_by, &mut live.ended).await {
                Ok(met) => {
                    let met = met.unwrap_or_else(|_| Met::broken_off(live.since));
                    if matches!(met.end, End::Accepted(_)) {
                        tell(leg.tell, &leg.late, met.end);
                        continue;
                    }
                    leg.way = Way::Failed(met, live.lane);
                }
                Err(_) => leg.way = Way::Live(live),
            }
            left.push(leg);
        }
        if left.is_empty() {
            return;
        }
        let targets = left.iter_mut().map(target).collect();
        match self.store(targets).await {
            Ok(accepted) => self.stored(left, accepted).await,
            Err(()) => self.deliver_anyway(left).await,
        }
    }

    async fn store(&self, targets: Vec<Target>) -> Result<Accepted, ()> {
        let Keep { inbox, event, .. } = &self.keep;
        let head = StoredHead {
            method: self.request.method.clone(),
            path: self.request.sender_path.clone(),
            query: self.request.query.clone(),
            route_path: self.request.route_path.clone(),
            headers: self.request.headers.clone(),
            verified_at: self.verified_at,
            alias: self.keep.alias.clone(),
        };
        let incoming = Incoming {
            delivery: self.keep.delivery,
            fingerprint: self.keep.fingerprint,
            ttl: self.keep.ttl,
            order_key: self.keep.order_key.clone(),
            on_dead: self.keep.on_dead,
            head,
            body: self.request.body.clone(),
            targets,
        };
        inbox.accept(event, incoming).await.map_err(drop)
    }

    /// The event is durable: now the sender may be told so.
    async fn stored(self: &Arc<Self>, legs: Vec<Leg>, accepted: Accepted) {
        for (leg, stored) in legs.into_iter().zip(accepted.targets) {
            settle(&leg.claim, Ending::Released, &End::Queued).await;
            tell(leg.tell, &leg.late, End::Queued);
            let attempt = match stored {
                Stored::UnderWay(attempt) => Some(attempt),
                Stored::Queued { .. } | Stored::Already(_) => None,
            };
            if let Way::Live(live) = leg.way {
                tokio::spawn(Arc::clone(self).finish(leg.to, live, attempt));
            }
        }
    }

    /// Waits for an attempt whose event has been stored meanwhile.
    async fn finish(self: Arc<Self>, to: UpstreamName, live: UnderWay, attempt: Option<Attempt>) {
        let UnderWay { since, ended, lane } = live;
        let met = ended.await.unwrap_or_else(|_| Met::broken_off(since));
        if matches!(met.end, End::Accepted(_)) {
            let event = &self.keep.event;
            let acceptance = Acceptance {
                source: event.source(),
                event_id: &event.event().id,
                destination: &to,
                alias: self.keep.alias.as_deref(),
                fingerprint: self.keep.fingerprint,
                ttl: self.keep.ttl,
            };
            self.claims.accepted(acceptance).await;
        }
        match (attempt, met.tried) {
            (Some(attempt), Some(tried)) => attempt.end(tried).await,
            (Some(attempt), None) => attempt.give_back(met.wait.unwrap_or_default()),
            (None, _) => {}
        }
        drop(lane);
    }

    /// The inbox has no room: as on a `sync` route.
    async fn deliver_anyway(self: &Arc<Self>, legs: Vec<Leg>) {
        for mut leg in legs {
            let live = match leg.way {
                Way::Failed(met, _) => {
                    settle(&leg.claim, met.ending, &met.end).await;
                    tell(leg.tell, &leg.late, met.end);
                    continue;
                }
                Way::Live(mut live) => {
                    // The hold went away with the event that was not stored.
                    let Keep { inbox, event, order_key, .. } = &self.keep;
                    let key = order_key.as_ref();
                    live.lane = key.and_then(|key| inbox.hold_lane(event.source(), &leg.to, key));
                    live
                }
                Way::Stored(ref why) => match self.begin_anyway(why, &leg) {
                    Ok(live) => live,
                    Err(refusal) => {
                        let end = End::Failed(refusal);
                        settle(&leg.claim, Ending::Released, &end).await;
                        tell(leg.tell, &leg.late, end);
                        continue;
                    }
                },
            };
            leg.way = Way::Stored(Why::First);
            tokio::spawn(async move {
                let UnderWay { since, ended, lane } = live;
                let met = ended.await.unwrap_or_else(|_| Met::broken_off(since));
                settle(&leg.claim, met.ending, &met.end).await;
                tell(leg.tell, &leg.late, met.end);
                drop(lane);
            });
        }
    }

    fn begin_anyway(self: &Arc<Self>, why: &Why, leg: &Leg) -> Result<UnderWay, Refusal> {
        let full = || Refusal::new(Reason::InboxFull);
        match why {
            Why::Behind => return Err(full()),
            Why::Closed(refusal) => return Err(refusal.clone()),
            Why::First => {}
        }
        let Keep { inbox, event, order_key, .. } = &self.keep;
        let lane = match order_key {
            Some(key) => Some(inbox.hold_lane(event.source(), &leg.to, key).ok_or_else(full)?),
            None => None,
        };
        Ok(self.begin(&leg.to, &leg.served, &leg.claim, lane))
    }
}

/// What the inbox is told of a destination.
fn target(leg: &mut Leg) -> Target {
    let to = leg.to.to_string();
    match &mut leg.way {
        Way::Stored(_) => Target::new(to),
        Way::Live(live) => {
            Target { to, live: Live::UnderWay(millis(live.since)), hold: live.lane.take() }
        }
        Way::Failed(met, lane) => {
            // Without a request there is nothing to count.
            let live = met.tried.map_or(Live::None, Live::Failed);
            Target { to, live, hold: lane.take() }
        }
    }
}

async fn settle(claim: &Slot, ending: Ending, end: &End) {
    let claim = claim.lock().take();
    if let Some(claim) = claim {
        claim.settle(ending, end.note(), Arc::new(end.copy())).await;
    }
}

/// A sender that hung up is told nothing; its retry will be.
fn tell(sender: oneshot::Sender<End>, late: &Late, end: End) {
    if let Err(end) = sender.send(end) {
        late.log(&end);
    }
}
