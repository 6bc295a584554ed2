//! Routes with `spill` or `queued`: what to store in the inbox, and when.
//!
//! What is begun for an event outlives its sender: it waits for the live attempts until it is time to
//! store, stores in one record the destinations that have not succeeded by then, and only then
//! answers the sender. An event that the inbox cannot store is delivered as on a `sync` route.

pub use crate::delivery::outbound::Keep;

use crate::delivery::answer::DestinationOutcome;
use crate::delivery::attempt::{self, Met};
use crate::delivery::gate::{ServedUpstream, SharedState};
use crate::delivery::headers::HOOKWARD_ATTEMPT;
use crate::delivery::in_place::InPlace;
use crate::delivery::leg::{LaneBusy, Leg, Slot, UnderWay, Way, Why, is_old, settle, target};
use crate::delivery::outbound::{self, Dispatch, closed};
use crate::delivery::pending::Late;
use crate::delivery::route::{DeliveryMode, UpstreamName};
use crate::inbox::{Incoming, StoredHead};
use crate::outcome::{Reason, Refusal};
use crate::request::Body;
use crate::telemetry::metrics::Counted;
use crate::upstream::UpstreamRequest;
use hookward_claims::{Acceptance, Claims};
use hookward_inbox::{
    AcceptError, AcceptTarget, Accepted, Attempt, EntryState, LaneHold, Stored, TryOutcome,
};
use hookward_time::{Clock, UnixMillis};
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

/// An event that may be stored, and what is needed to send and to store it.
pub(super) struct Keeping {
    keep: Keep,
    /// As the destinations get it from a live attempt, credentials apart.
    request: UpstreamRequest,
    verified_at: UnixMillis,
    started: Duration,
    clock: Arc<dyn Clock>,
    claims: Arc<Claims<DestinationOutcome>>,
    /// The event has one destination.
    is_alone: bool,
    /// The body's share of `body_memory` is taken until nobody needs it.
    _body: Arc<Body>,
    _in_flight: Arc<Counted>,
}

impl Keeping {
    pub(super) fn of(
        gate: &SharedState,
        dispatch: &Dispatch<'_>,
        keep: Keep,
        in_flight: &Arc<Counted>,
        started: Duration,
    ) -> Self {
        let mut request = outbound::request(dispatch);
        // No line of the sender's has this name.
        request.headers.push(&HOOKWARD_ATTEMPT, b"1");
        Self {
            keep,
            request,
            verified_at: dispatch.verified_at,
            started,
            clock: gate.clock.clone(),
            claims: gate.claims.clone(),
            is_alone: dispatch.route.destinations.len() == 1,
            _body: dispatch.body.clone(),
            _in_flight: in_flight.clone(),
        }
    }

    /// Whether [`decide`](Self::decide) never waits.
    pub(super) fn decides_at_once(&self) -> bool {
        self.keep.inbox.is_local()
    }

    /// Finds out how the event is sent, if that is open, and begins the live attempt, where there is to
    /// be one.
    pub(super) async fn decide(self: &Arc<Self>, leg: &mut Leg) {
        if matches!(leg.way, Way::Open) {
            leg.way = self.way(&leg.to, &leg.served, &leg.claim).await;
        }
    }

    async fn way(
        self: &Arc<Self>,
        to: &UpstreamName,
        served: &Arc<ServedUpstream>,
        claim: &Slot,
    ) -> Way {
        let Keep { inbox, event, delivery, given_up, .. } = &self.keep;
        if let Some(refusal) = closed(Some(inbox), to, served) {
            return Way::Stored(Why::Closed(refusal));
        }
        if *delivery == DeliveryMode::Queued {
            return Way::Stored(Why::First);
        }
        let is_dead = if let Some(given_up) = given_up {
            given_up.contains(to)
        } else {
            let state = inbox.state(event.source(), &event.event().id, to).await;
            state == Some(EntryState::Dead)
        };
        if is_dead {
            return Way::Stored(Why::First);
        }
        match self.lane(to).await {
            Err(LaneBusy) => Way::Stored(Why::Behind),
            Ok(_) if is_old(claim) => Way::Stored(Why::First),
            Ok(lane) => Way::Live(self.begin(to, served, claim, lane)),
        }
    }

    /// Holds the order of the event's key, where it has one.
    async fn lane(&self, to: &UpstreamName) -> Result<Option<LaneHold>, LaneBusy> {
        let Keep { inbox, event, order_key, .. } = &self.keep;
        let Some(key) = order_key else { return Ok(None) };
        inbox.hold_lane(event.source(), to, key).await.map(Some).ok_or(LaneBusy)
    }

    fn begin(
        self: &Arc<Self>,
        to: &UpstreamName,
        served: &Arc<ServedUpstream>,
        claim: &Slot,
        lane: Option<LaneHold>,
    ) -> UnderWay {
        let began = self.clock.monotonic();
        let shown = (!served.credentials.is_empty()).then(|| {
            let mut request = Box::new(self.request.clone());
            let event = &self.keep.event;
            let names = (event.source().as_str(), event.event().id.as_str());
            let (headers, now) = (&mut request.headers, || self.clock.wall());
            served.credentials.apply(headers, &request.body, Some(names), now);
            request
        });
        if let Some(claim) = &*claim.lock() {
            claim.sent();
        }
        let (keeping, to) = (Arc::clone(self), to.clone());
        let (served, claim) = (Arc::clone(served), Arc::clone(claim));
        let attempt = async move {
            let request = shown.as_deref().unwrap_or(&keeping.request);
            let forwarded = served.forwarder.forward(request).await;
            let outcome = attempt::outcome(&forwarded);
            if let Some(outcome) = outcome {
                keeping.keep.inbox.learn(&to, outcome);
            }
            if !outcome.is_some_and(TryOutcome::is_delivered) {
                return Some(Met::of(&*keeping.clock, to.as_str(), began, forwarded));
            }
            let end = attempt::judge(forwarded, to.as_str());
            settle(&claim, &end).await;
            // Only of an event that has been stored meanwhile the inbox notes how the attempt went.
            Some(Met { end, tried: None, wait: None })
        };
        let ended = InPlace::new(attempt, |_| {});
        // Several are waited for one after the other, and have to go on meanwhile.
        let ended = if self.is_alone { ended } else { ended.in_a_task() };
        UnderWay { began, ended, lane }
    }

    /// Waits for a live attempt as long as there is time; its end if the destination accepted the event.
    pub(super) async fn meet(&self, leg: &mut Leg) -> Option<DestinationOutcome> {
        let Way::Live(live) = &mut leg.way else { return None };
        let met = timeout_at(self.keep.store_by, &mut live.ended).await.ok()?;
        let met = met.flatten().unwrap_or_else(|| self.broken_off(live.began));
        if matches!(met.end, DestinationOutcome::Accepted(_)) {
            return Some(met.end);
        }
        leg.way = Way::Failed(Box::new(met), live.lane.take());
        None
    }

    /// Waits for the live attempts, stores what is left, and tells.
    pub(super) async fn see_through(self: Arc<Self>, mut legs: Vec<Leg>) {
        for leg in &mut legs {
            self.decide(leg).await;
        }
        let mut left = Vec::with_capacity(legs.len());
        for mut leg in legs {
            if let Some(end) = self.meet(&mut leg).await {
                self.tell(leg.tell, &leg.to, end);
                continue;
            }
            // It must not stand still while the event is stored.
            if let Way::Live(live) = leg.way {
                leg.way = Way::Live(UnderWay { ended: live.ended.in_a_task(), ..live });
            }
            left.push(leg);
        }
        if left.is_empty() {
            return;
        }
        let targets = left.iter_mut().map(|leg| target(leg, &*self.clock)).collect();
        match self.store(targets).await {
            Ok(accepted) => self.stored(left, accepted).await,
            Err(AcceptError::InDoubt(why)) => {
                let refusal = Refusal::because(Reason::StoreUnavailable, why);
                self.deliver_anyway(left, Some(refusal)).await;
            }
            Err(_) => self.deliver_anyway(left, None).await,
        }
    }

    async fn store(&self, targets: Vec<AcceptTarget>) -> Result<Accepted, AcceptError> {
        let Keep { inbox, event, .. } = &self.keep;
        let mut headers = HeaderMap::from(&self.request.headers);
        headers.remove(HOOKWARD_ATTEMPT);
        let head = StoredHead {
            method: self.request.method.clone(),
            path: self.request.sender_path.clone(),
            query: self.request.query.clone(),
            route_path: self.request.route_path.clone(),
            headers,
            verified_at: self.verified_at,
            alias: self.keep.alias.clone(),
        };
        let incoming = Incoming {
            delivery: self.keep.delivery,
            fingerprint: self.keep.fingerprint,
            ttl: self.keep.ttl,
            alias: self.keep.alias.clone(),
            note: DestinationOutcome::Queued.note(),
            order_key: self.keep.order_key.clone(),
            on_dead: self.keep.on_dead,
            head,
            body: self.request.body.clone(),
            targets,
        };
        inbox.accept(event, incoming).await
    }

    /// The event is durable: now the sender may be told so.
    async fn stored(self: &Arc<Self>, legs: Vec<Leg>, accepted: Accepted) {
        for (leg, stored) in legs.into_iter().zip(accepted.targets) {
            settle(&leg.claim, &DestinationOutcome::Queued).await;
            self.tell(leg.tell, &leg.to, DestinationOutcome::Queued);
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
        let UnderWay { began, ended, lane } = live;
        let met = ended.await.flatten().unwrap_or_else(|| self.broken_off(began));
        let mut tried = met.tried;
        if let DestinationOutcome::Accepted(answer) = &met.end {
            tried = Some(attempt::tried(&*self.clock, began, TryOutcome::Status(answer.status)));
            let event = &self.keep.event;
            let acceptance = Acceptance {
                source: event.source(),
                event_id: &event.event().id,
                destination: &to,
                alias: self.keep.alias.as_deref(),
                fingerprint: self.keep.fingerprint,
                ttl: self.keep.ttl,
            };
            if attempt.is_none() || !self.keep.inbox.knows_claims() {
                self.claims.accepted(acceptance).await;
            }
        }
        match (attempt, tried) {
            (Some(attempt), Some(tried)) => attempt.end(tried).await,
            (Some(attempt), None) => attempt.give_back(met.wait.unwrap_or_default()),
            (None, _) => {}
        }
        drop(lane);
    }

    /// As on a `sync` route. With `doubt` the event may be stored all the same, so nothing is begun.
    async fn deliver_anyway(self: &Arc<Self>, legs: Vec<Leg>, doubt: Option<Refusal>) {
        for mut leg in legs {
            let live = match leg.way {
                Way::Failed(met, _) => {
                    settle(&leg.claim, &met.end).await;
                    self.tell(leg.tell, &leg.to, met.end);
                    continue;
                }
                Way::Live(mut live) => {
                    // The hold went away with the event that was not stored.
                    live.lane = self.lane(&leg.to).await.unwrap_or_default();
                    live
                }
                Way::Open | Way::Stored(_) => {
                    match self.begin_anyway(&mut leg, doubt.as_ref()).await {
                        Ok(live) => live,
                        Err(refusal) => {
                            let end = DestinationOutcome::Failed(refusal);
                            settle(&leg.claim, &end).await;
                            self.tell(leg.tell, &leg.to, end);
                            continue;
                        }
                    }
                }
            };
            let keeping = Arc::clone(self);
            tokio::spawn(async move {
                let UnderWay { began, ended, lane } = live;
                let met = ended.await.flatten().unwrap_or_else(|| keeping.broken_off(began));
                settle(&leg.claim, &met.end).await;
                keeping.tell(leg.tell, &leg.to, met.end);
                drop(lane);
            });
        }
    }

    async fn begin_anyway(
        self: &Arc<Self>,
        leg: &mut Leg,
        doubt: Option<&Refusal>,
    ) -> Result<UnderWay, Refusal> {
        if let Some(refusal) = doubt {
            return Err(refusal.clone());
        }
        let full = || Refusal::new(Reason::InboxFull);
        match &leg.way {
            Way::Stored(Why::Behind) => return Err(full()),
            Way::Stored(Why::Closed(refusal)) => return Err(refusal.clone()),
            _ => {}
        }
        let lane = self.lane(&leg.to).await.map_err(|LaneBusy| full())?;
        if is_old(&leg.claim) {
            return Err(Refusal::because(Reason::StillWorking, "the inbox was slow"));
        }
        Ok(self.begin(&leg.to, &leg.served, &leg.claim, lane))
    }

    fn broken_off(&self, began: Duration) -> Met {
        Met::broken_off(attempt::begun_at(&*self.clock, began))
    }

    /// A sender that hung up is told nothing; its retry will be.
    fn tell(
        &self,
        sender: Option<oneshot::Sender<DestinationOutcome>>,
        to: &UpstreamName,
        end: DestinationOutcome,
    ) {
        let unheard = match sender {
            Some(sender) => sender.send(end).err(),
            None => Some(end),
        };
        if let Some(end) = unheard {
            self.late(to).log(&end);
        }
    }

    /// What is said of an end that the sender does not hear.
    pub(super) fn late(&self, to: &UpstreamName) -> Late {
        let event = &self.keep.event;
        Late {
            source: Some(event.source().clone()),
            event_id: Some(event.event().id.clone()),
            upstream: to.clone(),
            clock: Arc::clone(&self.clock),
            started: self.started,
        }
    }
}
