//! Takes claims, and makes sure that each of them ends.

mod accepted;
mod alone;

pub use accepted::Acceptance;

use super::claim::{Claim, Held, Terms};
use super::flight::{Entered, Flight, Flights, Landing};
use super::hold::{ClaimRequest, Hold};
use super::running::Running;
use super::trial::Trials;
use super::unsettled::Unsettled;
use super::waiter::Waiter;
use crate::{
    ClaimStore, Fence, Health, Intent, Key, Settled, Standing, StoreError, Target, Verdict,
};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::{Clock, UnixMillis};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// All claims of this process, over a store that other processes may share. `T` is the result of a
/// delivery; copies that wait in this process get it too.
pub struct Claims<T> {
    store: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
    flights: Flights<T>,
    unsettled: Unsettled,
    trials: Trials,
    next_fence: AtomicU64,
    /// The runtime on which abandoned claims are settled. `None` outside a runtime, which works
    /// only with a store that never waits.
    runtime: Option<Handle>,
}

impl<T: Send + Sync + 'static> Claims<T> {
    /// Claims over `store`. Call it within a Tokio runtime, unless the store is a
    /// [`MemoryStore`](crate::MemoryStore).
    #[must_use]
    pub fn new(store: Arc<dyn ClaimStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            flights: Flights::new(),
            unsettled: Unsettled::default(),
            trials: Trials::default(),
            // Instances start far apart, so that their fences never meet.
            next_fence: AtomicU64::new(fastrand::u64(..)),
            runtime: Handle::try_current().ok(),
        })
    }

    /// Takes the absent claims, if that is the intent, and returns what the delivery gets for each
    /// destination, in the order of the request. At most one round trip to the store. If this is
    /// cancelled, or the answer comes too late, nothing stays claimed.
    ///
    /// # Errors
    /// The store did not answer; nothing is claimed then.
    pub async fn take(
        self: &Arc<Self>,
        request: ClaimRequest<'_>,
    ) -> Result<Vec<Hold<T>>, StoreError> {
        let began = self.clock.monotonic();
        let terms = Terms {
            fingerprint: request.terms.fingerprint,
            ttl: request.terms.ttl,
            hold: request.terms.uncertain_hold,
        };
        let mut places = Vec::with_capacity(request.terms.destinations.len());
        let mut asked = Vec::new();
        for (destination, lease) in request.terms.destinations {
            let target = request.target(destination, *lease);
            places.push(self.enter(target, &request, &mut asked));
        }
        let mut answers = if asked.is_empty() {
            Vec::new()
        } else {
            let asking =
                Arc::clone(self).ask(asked, terms, request.terms.intent, request.terms.within);
            self.run(asking).await.unwrap_or_else(|| Err(self.cut_short()))?
        }
        .into_iter();

        let mut holds = Vec::with_capacity(places.len());
        for place in places {
            holds.push(match place {
                Place::Known(target, standing) => self.hold(target, &standing, terms),
                Place::Asked(target) => match answers.next() {
                    Some(Answer::Won(claim)) => Hold::Won(claim),
                    Some(Answer::Stands(standing)) => self.hold(target, &standing, terms),
                    None => return Err(self.cut_short()),
                },
                Place::Follows(target, flight) => {
                    let spent = self.clock.monotonic().saturating_sub(began);
                    let left = request.terms.within.saturating_sub(spent);
                    self.follow(target, &flight, terms, left).await?
                }
            });
        }
        // A claim returns each destination or its holder. If a store answers anything else, the
        // rest of its answer is not trusted either: the claims are dropped here, which releases
        // them.
        let is_absent = |hold: &Hold<T>| matches!(hold, Hold::Absent);
        if request.terms.intent == Intent::Claim && holds.iter().any(is_absent) {
            let problem = "left unclaimed what it was to claim".to_owned();
            return self.counted(Err(StoreError { store: self.store.name(), problem }));
        }
        Ok(holds)
    }

    /// The state of an event at each destination, for an operator.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn inspect(
        &self,
        source: &SourceName,
        event_id: &EventId,
        destinations: &[UpstreamName],
        within: Duration,
    ) -> Result<Vec<(UpstreamName, Standing)>, StoreError> {
        let targets: Vec<Target> = destinations
            .iter()
            .map(|destination| Target::to_look_at(Key::of(source, event_id, destination)))
            .collect();
        let standings = self.look(&targets, within).await?;
        Ok(destinations.iter().cloned().zip(standings).collect())
    }

    /// Makes an event absent at each destination where it is not in flight, so that it is forwarded
    /// when it is sent again. Returns the state before.
    ///
    /// # Errors
    /// The store did not answer; some destinations may be forgotten.
    pub async fn forget(
        &self,
        source: &SourceName,
        event_id: &EventId,
        destinations: &[UpstreamName],
        within: Duration,
    ) -> Result<Vec<(UpstreamName, Standing)>, StoreError> {
        let mut forgotten = Vec::with_capacity(destinations.len());
        for destination in destinations {
            let key = Key::of(source, event_id, destination);
            let here = self.unsettled.forget(key, self.now());
            let there = self.counted(self.store.forget(key, within).await)?;
            let stood = here.filter(|_| there == Standing::Absent).unwrap_or(there);
            forgotten.push((destination.clone(), stood));
        }
        Ok(forgotten)
    }

    /// The store.
    pub fn store(&self) -> &dyn ClaimStore {
        self.store.as_ref()
    }

    /// Whether the store answers and does what a delivery needs. This is tried at most once a
    /// second.
    ///
    /// # Errors
    /// It does not answer, or refuses a claim or its settle.
    pub async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        let store = self.store.as_ref();
        // Half of the time each, so that the caller gets the store's own error.
        let within = within / 2;
        self.counted(self.trials.latest(store, self.clock.as_ref(), within).await)?;
        // Last, because a trial can reveal problems.
        self.counted(store.health(within).await)
    }

    /// The state of each target, including what this process has not yet told the store.
    pub(super) async fn look(
        &self,
        targets: &[Target],
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError> {
        let answer = self.store.claim(targets, Fence(0), Intent::Look, within).await;
        let mut standings = self.counted(answer)?;
        for (target, standing) in targets.iter().zip(&mut standings) {
            if let Some(known) = self.unsettled.standing(target.key, self.now()) {
                *standing = known;
            }
        }
        Ok(standings)
    }

    /// Waits for `future` for at most `within`; `None` if the time is up.
    pub(super) async fn bounded<F: Future>(
        &self,
        within: Duration,
        future: F,
    ) -> Option<F::Output> {
        match self.runtime {
            Some(_) => tokio::time::timeout(within, future).await.ok(),
            None => Some(future.await),
        }
    }

    fn enter(
        &self,
        target: Target,
        request: &ClaimRequest<'_>,
        asked: &mut Vec<Asked<T>>,
    ) -> Place<T> {
        if let Some(standing) = self.unsettled.standing(target.key, self.now()) {
            return Place::Known(target, standing);
        }
        let flight = match request.terms.intent {
            Intent::Look => None,
            Intent::Claim => {
                let now = self.now();
                match self.flights.enter(target.key, request.terms.fingerprint, now, target.lease) {
                    Entered::Leads(flight) => Some(flight),
                    Entered::Follows(flight) => return Place::Follows(target, flight),
                }
            }
        };
        asked.push(Asked { target, flight });
        Place::Asked(target)
    }

    /// Asks the store, tells the followers, and wraps won claims at once: if the caller has gone,
    /// dropping them releases them.
    async fn ask(
        self: Arc<Self>,
        asked: Vec<Asked<T>>,
        terms: Terms,
        intent: Intent,
        within: Duration,
    ) -> Result<Vec<Answer<T>>, StoreError> {
        let fence = Fence(self.next_fence.fetch_add(1, Ordering::Relaxed));
        let targets: Vec<Target> = asked.iter().map(|asked| asked.target).collect();
        let standings = match self.counted(self.store.claim(&targets, fence, intent, within).await)
        {
            Ok(standings) => standings,
            Err(error) => {
                for Asked { target, flight } in asked {
                    let Some(flight) = flight else { continue };
                    // It may have been claimed with only the answer lost.
                    let verdict = Verdict::Released { note: String::new() };
                    self.owe(target.key, fence, verdict, target.lease);
                    self.flights.leave(target.key, &flight);
                    flight.stands(Err(error.clone()));
                }
                return Err(error);
            }
        };
        let answers =
            asked.into_iter().zip(standings).map(|(Asked { target, flight }, standing)| {
                let Some(flight) = flight else { return Answer::Stands(standing) };
                flight.stands(Ok(standing.clone()));
                if standing == Standing::Claimed {
                    let claims = Arc::clone(&self);
                    Answer::Won(Claim::new(Held { claims, key: target.key, fence, flight, terms }))
                } else {
                    self.flights.leave(target.key, &flight);
                    Answer::Stands(standing)
                }
            });
        Ok(answers.collect())
    }

    async fn follow(
        self: &Arc<Self>,
        target: Target,
        flight: &Arc<Flight<T>>,
        terms: Terms,
        within: Duration,
    ) -> Result<Hold<T>, StoreError> {
        if target.alias.is_some() {
            // This tells the store that it is another name of the event in flight; or the store
            // knows that it belongs to a delivered event.
            let stands = self.look(&[target], within).await?.into_iter().next();
            if let Some(ended @ (Standing::Delivered { .. } | Standing::Uncertain { .. })) = stands
            {
                return Ok(self.hold(target, &ended, terms));
            }
        }
        let standing = self.bounded(within, flight.standing()).await;
        match standing.cloned().unwrap_or_else(|| Err(self.cut_short()))? {
            Standing::Claimed => {
                let same_body = flight.fingerprint == terms.fingerprint;
                let flight = Arc::clone(flight);
                Ok(Hold::InFlight(Waiter::here(Arc::clone(self), flight, same_body)))
            }
            standing => Ok(self.hold(target, &standing, terms)),
        }
    }

    fn hold(self: &Arc<Self>, target: Target, standing: &Standing, terms: Terms) -> Hold<T> {
        match *standing {
            Standing::Absent | Standing::Released { .. } => Hold::Absent,
            Standing::Delivered { since, fingerprint } => {
                Hold::Delivered { since, same_body: fingerprint == terms.fingerprint }
            }
            Standing::Uncertain { left, .. } => Hold::Uncertain { left },
            Standing::InFlight { .. } | Standing::Claimed => {
                Hold::InFlight(Waiter::elsewhere(Arc::clone(self), target))
            }
        }
    }

    /// Settles later if the store does not answer now.
    pub(super) fn owe(self: &Arc<Self>, key: Key, fence: Fence, verdict: Verdict, keep: Duration) {
        if !self.unsettled.add(key, fence, verdict, self.clock.wall(), self.now(), keep) {
            self.store.counters().count_eviction();
        }
        let Some(runtime) = &self.runtime else { return };
        if self.unsettled.begin() {
            let claims = Arc::clone(self);
            runtime.spawn(async move {
                claims.unsettled.settle_all(claims.store.as_ref(), claims.clock.as_ref()).await;
            });
        }
    }

    /// Runs `work` to completion, even if the caller leaves.
    pub(super) fn run<V: Send + 'static>(
        &self,
        work: impl Future<Output = V> + Send + 'static,
    ) -> Running<V> {
        Running::start(work, self.runtime.as_ref())
    }

    /// Ends a claim in the store.
    pub(super) async fn settle(
        &self,
        key: Key,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError> {
        if self.unsettled.is_giving_up(key) {
            let problem = "is still to be told of an earlier claim".to_owned();
            return Err(StoreError { store: self.store.name(), problem });
        }
        self.counted(self.store.settle(key, fence, verdict, within).await)
    }

    /// Removes a flight and tells its waiters how it ended.
    pub(super) fn land(&self, key: Key, flight: &Arc<Flight<T>>, landing: Landing<T>) {
        self.flights.leave(key, flight);
        flight.lands(landing);
    }

    fn counted<V>(&self, answer: Result<V, StoreError>) -> Result<V, StoreError> {
        answer.inspect_err(|error| {
            self.store.counters().count_error();
            tracing::warn!(%error, "claim store");
        })
    }

    fn cut_short(&self) -> StoreError {
        StoreError { store: self.store.name(), problem: "did not answer in time".to_owned() }
    }

    pub(super) fn wall(&self) -> UnixMillis {
        self.clock.wall()
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// How to determine the state of a request's destination.
enum Place<T> {
    Known(Target, Standing),
    Asked(Target),
    Follows(Target, Arc<Flight<T>>),
}

struct Asked<T> {
    target: Target,
    /// `None` if it is only looked at.
    flight: Option<Arc<Flight<T>>>,
}

enum Answer<T: Send + Sync + 'static> {
    Won(Claim<T>),
    Stands(Standing),
}

impl Target {
    fn to_look_at(key: Key) -> Self {
        Self { key, alias: None, lease: Duration::ZERO, ttl: Duration::ZERO }
    }
}
