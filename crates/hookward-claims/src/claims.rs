//! Takes claims, and makes sure that each of them ends.

mod accepted;
mod alone;

pub use accepted::Acceptance;

use super::claim::{Claim, HeldClaim, Terms};
use super::flight::{Entered, Flight};
use super::hold::{ClaimRequest, Hold};
use super::ledger::Ledger;
use super::running::StartedWork;
use super::waiter::Waiter;
use crate::{ClaimKey, ClaimStore, Fence, Health, Intent, Standing, StoreError, Target, Verdict};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::Clock;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// All claims of this process, over a store that other processes may share. `T` is the result of a
/// delivery; copies that wait in this process get it too.
pub struct Claims<T> {
    ledger: Arc<Ledger<T>>,
}

impl<T: Send + Sync + 'static> Claims<T> {
    /// Claims over `store`. Call it within a Tokio runtime, unless the store is a
    /// [`MemoryStore`](crate::MemoryStore).
    #[must_use]
    pub fn new(store: Arc<dyn ClaimStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { ledger: Ledger::new(store, clock) })
    }

    /// Takes the absent claims, if that is the intent, and returns what the delivery gets for each
    /// destination, in the order of the request. At most one round trip to the store. If this is
    /// cancelled, or the answer comes too late, nothing stays claimed.
    ///
    /// # Errors
    /// The store did not answer; nothing is claimed then.
    pub async fn take(&self, request: ClaimRequest<'_>) -> Result<Vec<Hold<T>>, StoreError> {
        let began = self.ledger.clock.monotonic();
        let terms = Terms {
            fingerprint: request.terms.fingerprint,
            ttl: request.terms.ttl,
            hold: request.terms.uncertain_hold,
        };
        let mut places = Few::new();
        let mut asked = Few::new();
        for (destination, lease) in request.terms.destinations {
            let target = request.target(destination, *lease);
            places.push(self.enter(target, &request, began, &mut asked));
        }
        let mut answers = if asked.is_empty() {
            Few::new()
        } else {
            let asking = StoreQuestion::new(Arc::clone(&self.ledger), asked, terms, began);
            let answers = asking.ask(request.terms.intent, request.terms.within).await;
            answers.unwrap_or_else(|| Err(self.ledger.cut_short()))?
        }
        .into_iter();

        let mut holds = Vec::with_capacity(places.len());
        for place in places {
            holds.push(match place {
                StorePlace::Known(target, standing) => self.hold(target, &standing, terms),
                StorePlace::Asked(target) => match answers.next() {
                    Some(StoreAnswer::Won(claim)) => Hold::Won(claim),
                    Some(StoreAnswer::Stands(standing)) => self.hold(target, &standing, terms),
                    None => return Err(self.ledger.cut_short()),
                },
                StorePlace::Follows(target, flight) => {
                    let spent = self.ledger.clock.monotonic().saturating_sub(began);
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
            return self
                .ledger
                .counted(Err(StoreError { store: self.ledger.store.name(), problem }));
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
            .map(|destination| Target::to_look_at(ClaimKey::of(source, event_id, destination)))
            .collect();
        let standings = self.ledger.look(&targets, within).await?;
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
            let key = ClaimKey::of(source, event_id, destination);
            let here = self.ledger.unsettled.forget(key, self.ledger.now());
            let there = self.ledger.counted(self.ledger.store.forget(key, within).await)?;
            let stood = here.filter(|_| there == Standing::Absent).unwrap_or(there);
            forgotten.push((destination.clone(), stood));
        }
        Ok(forgotten)
    }

    /// The store.
    pub fn store(&self) -> &dyn ClaimStore {
        self.ledger.store.as_ref()
    }

    /// Whether the store answers and does what a delivery needs. This is tried at most once a
    /// second.
    ///
    /// # Errors
    /// It does not answer, or refuses a claim or its settle.
    pub async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        let store = self.ledger.store.as_ref();
        // Half of the time each, so that the caller gets the store's own error.
        let within = within / 2;
        self.ledger
            .counted(self.ledger.trials.latest(store, self.ledger.clock.as_ref(), within).await)?;
        // Last, because a trial can reveal problems.
        self.ledger.counted(store.health(within).await)
    }

    fn enter(
        &self,
        target: Target,
        request: &ClaimRequest<'_>,
        now: Duration,
        asked: &mut Few<AskedTarget<T>>,
    ) -> StorePlace<T> {
        if let Some(standing) = self.ledger.unsettled.standing(target.key, now) {
            return StorePlace::Known(target, standing);
        }
        let flight = match request.terms.intent {
            Intent::Look => None,
            Intent::Claim => {
                match self.ledger.flights.enter(
                    target.key,
                    request.terms.fingerprint,
                    now,
                    target.lease,
                ) {
                    Entered::Leads(flight) => Some(flight),
                    Entered::Follows(flight) => return StorePlace::Follows(target, flight),
                }
            }
        };
        asked.push(AskedTarget { target, flight });
        StorePlace::Asked(target)
    }

    async fn follow(
        &self,
        target: Target,
        flight: &Arc<Flight<T>>,
        terms: Terms,
        within: Duration,
    ) -> Result<Hold<T>, StoreError> {
        if target.alias.is_some() {
            // This tells the store that it is another name of the event in flight; or the store
            // knows that it belongs to a delivered event.
            let stands = self.ledger.look(&[target], within).await?.into_iter().next();
            if let Some(
                ended @ (Standing::Delivered { .. }
                | Standing::Queued { .. }
                | Standing::Uncertain { .. }),
            ) = stands
            {
                return Ok(self.hold(target, &ended, terms));
            }
        }
        let standing = self.ledger.bounded(within, flight.standing()).await;
        match standing.cloned().unwrap_or_else(|| Err(self.ledger.cut_short()))? {
            Standing::Claimed => {
                let same_body = flight.fingerprint == terms.fingerprint;
                let flight = Arc::clone(flight);
                Ok(Hold::InFlight(Waiter::here(Arc::clone(&self.ledger), flight, same_body)))
            }
            standing => Ok(self.hold(target, &standing, terms)),
        }
    }

    fn hold(&self, target: Target, standing: &Standing, terms: Terms) -> Hold<T> {
        match *standing {
            Standing::Absent | Standing::Released { .. } => Hold::Absent,
            Standing::Delivered { since, fingerprint }
            | Standing::Queued { since, fingerprint } => {
                Hold::Delivered { since, same_body: fingerprint == terms.fingerprint }
            }
            Standing::Uncertain { left, .. } => Hold::Uncertain { left },
            Standing::InFlight { .. } | Standing::Claimed => {
                Hold::InFlight(Waiter::elsewhere(Arc::clone(&self.ledger), target))
            }
        }
    }
}

/// What the store is asked for one request.
struct StoreQuestion<T> {
    ledger: Arc<Ledger<T>>,
    asked: Few<AskedTarget<T>>,
    terms: Terms,
    fence: Fence,
    began: Duration,
}

impl<T: Send + Sync + 'static> StoreQuestion<T> {
    fn new(
        ledger: Arc<Ledger<T>>,
        asked: Few<AskedTarget<T>>,
        terms: Terms,
        began: Duration,
    ) -> Self {
        let fence = ledger.next_fence();
        Self { ledger, asked, terms, fence, began }
    }

    /// Asks the store. Where that has to wait, it goes on whether or not it is waited for.
    fn ask(self, intent: Intent, within: Duration) -> StartedWork<Answers<T>> {
        let ledger = Arc::clone(&self.ledger);
        let fence = self.fence;
        let targets: Few<Target> = self.asked.iter().map(|asked| asked.target).collect();
        if let Some(answer) = ledger.store.claim_at_once(&targets, fence, intent) {
            return StartedWork::Done(Some(self.answered(answer)));
        }
        ledger.run(async move {
            let answer = self.ledger.store.claim(&targets, fence, intent, within).await;
            self.answered(answer)
        })
    }

    /// Tells the followers, and wraps won claims at once: if the caller has gone, dropping them
    /// releases them.
    fn answered(self, answer: Result<Vec<Standing>, StoreError>) -> Answers<T> {
        let Self { ledger, asked, terms, fence, began } = self;
        let standings = match ledger.counted(answer) {
            Ok(standings) => standings,
            Err(error) => {
                for AskedTarget { target, flight } in asked {
                    let Some(flight) = flight else { continue };
                    // It may have been claimed with only the answer lost.
                    let verdict = Verdict::Released { note: String::new() };
                    ledger.owe(target.key, fence, verdict, target.lease);
                    ledger.flights.leave(target.key, &flight);
                    flight.stands(Err(error.clone()));
                }
                return Err(error);
            }
        };
        let answers =
            asked.into_iter().zip(standings).map(|(AskedTarget { target, flight }, standing)| {
                let Some(flight) = flight else { return StoreAnswer::Stands(standing) };
                flight.stands(Ok(standing.clone()));
                if standing == Standing::Claimed {
                    let (ledger, key) = (Arc::clone(&ledger), target.key);
                    let asked = began;
                    StoreAnswer::Won(Claim::new(HeldClaim {
                        ledger,
                        key,
                        fence,
                        flight,
                        terms,
                        asked,
                    }))
                } else {
                    ledger.flights.leave(target.key, &flight);
                    StoreAnswer::Stands(standing)
                }
            });
        Ok(answers.collect())
    }
}

type Answers<T> = Result<Few<StoreAnswer<T>>, StoreError>;

/// One for each destination, of which there is one mostly.
type Few<V> = SmallVec<[V; 1]>;

/// How to determine the state of a request's destination.
enum StorePlace<T> {
    Known(Target, Standing),
    Asked(Target),
    Follows(Target, Arc<Flight<T>>),
}

struct AskedTarget<T> {
    target: Target,
    /// `None` if it is only looked at.
    flight: Option<Arc<Flight<T>>>,
}

enum StoreAnswer<T: Send + Sync + 'static> {
    Won(Claim<T>),
    Stands(Standing),
}

impl Target {
    fn to_look_at(key: ClaimKey) -> Self {
        Self { key, alias: None, lease: Duration::ZERO, ttl: Duration::ZERO }
    }
}
