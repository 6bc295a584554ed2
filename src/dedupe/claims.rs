//! What the lifecycle does with claims: take them, and see each of them to its end.

use super::flight::{Entered, Flight, Gate, Landing};
use super::unsettled::Unsettled;
use super::waiter::Waiter;
use super::{
    ClaimStore, Fence, Health, Intent, Key, Settled, Standing, StoreError, Target, Verdict,
};
use crate::clock::{Clock, UnixMillis};
use crate::route::UpstreamName;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A settle that takes longer than this is finished behind the scenes. Nobody whose answer
/// depends on it is kept waiting for more than that.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// All claims of this process, over a store that others may share. `T` is what a delivery comes
/// to, which copies of it that waited are given too.
pub struct Claims<T> {
    store: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
    gate: Gate<T>,
    unsettled: Unsettled,
    next_fence: AtomicU64,
    /// Where a claim is settled whose holder went away; `None` outside a runtime, where only a
    /// store that never waits can serve.
    runtime: Option<Handle>,
}

/// What a delivery asks for.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// The source that the event came from.
    pub source: &'a str,
    /// The event id; the same on every retry.
    pub event_id: &'a str,
    /// Another name under which the event must not come again, as its signature.
    pub alias: Option<&'a str>,
    /// Its destinations, each with the time after which a claim on it lapses if this process
    /// dies: the upstream's `timeout` + 10 s.
    pub destinations: &'a [(UpstreamName, Duration)],
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long the event is remembered once delivered.
    pub ttl: Duration,
    /// How long copies are refused when its fate is unknown.
    pub uncertain_hold: Duration,
    /// Whether to take what is absent.
    pub intent: Intent,
    /// The time that this may take in all.
    pub within: Duration,
}

/// How one destination stands, for this delivery.
pub enum Hold<T: Send + Sync + 'static> {
    /// This delivery forwards it.
    Won(Claim<T>),
    /// The destination has it.
    Delivered {
        /// When it was accepted.
        since: UnixMillis,
        /// Whether it was accepted with the same body.
        same_body: bool,
    },
    /// Another delivery is forwarding it.
    InFlight(Waiter<T>),
    /// The destination may have it.
    Uncertain {
        /// Absent again after this.
        left: Duration,
    },
    /// Nobody has it; only said to who looks.
    Absent,
}

/// How a delivery to one destination ended, as far as claims are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// 2xx.
    Delivered,
    /// Sent whole, no valid answer.
    Uncertain,
    /// Any other.
    Released,
}

impl<T: Send + Sync + 'static> Claims<T> {
    /// Claims over `store`. Called within a runtime, unless the store is the memory store.
    #[must_use]
    pub fn new(store: Arc<dyn ClaimStore>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            gate: Gate::new(),
            unsettled: Unsettled::default(),
            // Instances start far apart, so that their fences never meet.
            next_fence: AtomicU64::new(fastrand::u64(..)),
            runtime: Handle::try_current().ok(),
        })
    }

    /// How each destination stands, in the order of the request, after taking those that were
    /// absent if that is the intent. At most one round trip to the store. If this is cancelled,
    /// or the answer comes too late, nothing stays claimed.
    ///
    /// # Errors
    /// The store did not answer; nothing is claimed then.
    pub async fn take(
        self: &Arc<Self>,
        request: ClaimRequest<'_>,
    ) -> Result<Vec<Hold<T>>, StoreError> {
        let began = self.clock.monotonic();
        let terms = Terms {
            fingerprint: request.fingerprint,
            ttl: request.ttl,
            hold: request.uncertain_hold,
        };
        let mut places = Vec::with_capacity(request.destinations.len());
        let mut asked = Vec::new();
        for (destination, lease) in request.destinations {
            let target = request.target(destination, *lease);
            places.push(self.enter(target, &request, &mut asked));
        }
        let mut answers = if asked.is_empty() {
            Vec::new()
        } else {
            let asking = Arc::clone(self).ask(asked, terms, request.intent, request.within);
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
                    let left = request.within.saturating_sub(spent);
                    self.follow(target, &flight, terms, left).await?
                }
            });
        }
        Ok(holds)
    }

    /// How the destinations of an event stand, for people who look.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn inspect(
        &self,
        source: &str,
        event_id: &str,
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

    /// Makes an event absent at each destination where it is not in flight, so that a re-send is
    /// forwarded, and says how each stood.
    ///
    /// # Errors
    /// The store did not answer; some destinations may be forgotten.
    pub async fn forget(
        &self,
        source: &str,
        event_id: &str,
        destinations: &[UpstreamName],
        within: Duration,
    ) -> Result<Vec<(UpstreamName, Standing)>, StoreError> {
        let mut forgotten = Vec::with_capacity(destinations.len());
        for destination in destinations {
            let key = Key::of(source, event_id, destination);
            let here = self.unsettled.forget(key, self.now());
            let there = self.counted(self.store.forget(key, within).await)?;
            let stood = here.filter(|_| there == Standing::Absent).unwrap_or(there);
            forgotten.push((Arc::clone(destination), stood));
        }
        Ok(forgotten)
    }

    /// The store.
    pub fn store(&self) -> &dyn ClaimStore {
        self.store.as_ref()
    }

    /// How the store does, with what this process still owes it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn health(&self, within: Duration) -> Result<Health, StoreError> {
        self.counted(self.store.health(within).await)
    }

    /// How each target stands, what this process owes the store included.
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

    /// Waits for `future` as long as `within`; `None` when the time is up.
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
        let flight = match request.intent {
            Intent::Look => None,
            Intent::Claim => {
                let now = self.now();
                match self.gate.enter(target.key, request.fingerprint, now, target.lease) {
                    Entered::Leads(flight) => Some(flight),
                    Entered::Follows(flight) => return Place::Follows(target, flight),
                }
            }
        };
        asked.push(Asked { target, flight });
        Place::Asked(target)
    }

    /// Asks the store, tells the followers, and wraps what was won at once: if nobody is there to
    /// take it any more, it is released by being dropped.
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
                    // Perhaps it was claimed and only the answer was lost.
                    let verdict = Verdict::Released { note: String::new() };
                    self.owe(target.key, fence, verdict, target.lease);
                    self.gate.leave(target.key, &flight);
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
                    self.gate.leave(target.key, &flight);
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
            // The store learns that this is another name of the event under way.
            self.look(&[target], within).await?;
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

    /// Settles later what the store could not be told now.
    fn owe(self: &Arc<Self>, key: Key, fence: Fence, verdict: Verdict, keep: Duration) {
        self.unsettled.add(key, fence, verdict, self.clock.wall(), self.now(), keep);
        let Some(runtime) = &self.runtime else { return };
        if self.unsettled.begin() {
            let claims = Arc::clone(self);
            runtime.spawn(async move {
                claims.unsettled.settle_all(claims.store.as_ref(), claims.clock.as_ref()).await;
            });
        }
    }

    /// Runs `future` to its end, whether or not the caller stays: at once if it need not wait,
    /// else in a task of its own. `None` if that task was killed.
    fn run<F>(&self, future: F) -> Running<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut future = Box::pin(future);
        let _timers = self.runtime.as_ref().map(Handle::enter);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Running::Done(Some(output)),
            Poll::Pending => match &self.runtime {
                Some(runtime) => Running::Task(runtime.spawn(future)),
                None => Running::Here(future),
            },
        }
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

/// The right, and the duty, to forward one event to one destination.
///
/// It ends by [`Claim::settle`]. If it is dropped instead, because its task was cancelled or
/// panicked, it is released, or uncertain once [`Claim::sent`] was called.
#[must_use = "a claim that is dropped is released"]
pub struct Claim<T: Send + Sync + 'static> {
    held: Option<Held<T>>,
}

impl<T: Send + Sync + 'static> Claim<T> {
    fn new(held: Held<T>) -> Self {
        Self { held: Some(held) }
    }

    /// Notes that the destination may have the whole request from now on.
    pub fn sent(&self) {
        if let Some(held) = &self.held {
            held.flight.note_sent();
        }
    }

    /// Ends the claim: first in the store, then for the copies that wait here, which are given
    /// `result`; those that wait in other processes are given `note`. It runs to its end even if
    /// this is cancelled. A store that does not answer is told later, and until then this process
    /// remembers by itself.
    pub async fn settle(mut self, ending: Ending, note: impl Into<String>, result: Arc<T>) {
        if let Some(held) = self.held.take() {
            let claims = Arc::clone(&held.claims);
            claims.run(held.conclude(ending, note.into(), Some(result))).await;
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Claim<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            let sent = held.flight.was_sent();
            let ending = if sent { Ending::Uncertain } else { Ending::Released };
            let claims = Arc::clone(&held.claims);
            drop(claims.run(held.conclude(ending, String::new(), None)));
        }
    }
}

struct Held<T> {
    claims: Arc<Claims<T>>,
    key: Key,
    fence: Fence,
    flight: Arc<Flight<T>>,
    terms: Terms,
}

impl<T: Send + Sync + 'static> Held<T> {
    async fn conclude(self, ending: Ending, note: String, result: Option<Arc<T>>) {
        let Self { claims, key, fence, flight, terms } = self;
        let Terms { fingerprint, ttl, hold } = terms;
        let (verdict, keep) = match ending {
            Ending::Delivered => (Verdict::Delivered { fingerprint, ttl }, ttl),
            Ending::Uncertain => (Verdict::Uncertain { hold, note }, hold),
            // A claim lapses by itself; telling the store for a minute is enough.
            Ending::Released => (Verdict::Released { note }, Duration::from_mins(1)),
        };
        let settled = claims.store.settle(key, fence, &verdict, SETTLE_WITHIN).await;
        match claims.counted(settled) {
            Ok(Settled::Applied) => {}
            Ok(Settled::Stale) => {
                tracing::warn!(?ending, "a claim had lapsed and was taken before it was settled");
            }
            Err(_) => claims.owe(key, fence, verdict, keep),
        }
        // Those who come now ask the store, which knows; those who came before hear it here.
        claims.gate.leave(key, &flight);
        flight.lands(Landing { ending, hold, result });
    }
}

/// What a claim needs to know of its request when it ends.
#[derive(Clone, Copy)]
struct Terms {
    fingerprint: u64,
    ttl: Duration,
    hold: Duration,
}

/// How a destination of a request is found out.
enum Place<T> {
    Known(Target, Standing),
    Asked(Target),
    Follows(Target, Arc<Flight<T>>),
}

struct Asked<T> {
    target: Target,
    /// `None` where it is only looked at.
    flight: Option<Arc<Flight<T>>>,
}

enum Answer<T: Send + Sync + 'static> {
    Won(Claim<T>),
    Stands(Standing),
}

/// See [`Claims::run`].
enum Running<V> {
    Done(Option<V>),
    Task(JoinHandle<V>),
    Here(Pin<Box<dyn Future<Output = V> + Send>>),
}

impl<V> Unpin for Running<V> {}

impl<V> Future for Running<V> {
    type Output = Option<V>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<V>> {
        match &mut *self {
            Self::Done(output) => Poll::Ready(output.take()),
            Self::Task(task) => Pin::new(task).poll(context).map(Result::ok),
            Self::Here(future) => future.as_mut().poll(context).map(Some),
        }
    }
}

impl ClaimRequest<'_> {
    fn target(&self, destination: &str, lease: Duration) -> Target {
        Target {
            key: Key::of(self.source, self.event_id, destination),
            alias: self.alias.map(|alias| Key::of_alias(self.source, alias, destination)),
            lease,
            ttl: self.ttl,
        }
    }
}

impl Target {
    fn to_look_at(key: Key) -> Self {
        Self { key, alias: None, lease: Duration::ZERO, ttl: Duration::ZERO }
    }
}
