//! The interface of the inbox for the rest of the process.

use super::head::StoredHead;
use crate::delivery::proof::Proven;
use crate::delivery::route::{Delivery, OnDead};
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use hookward_inbox::{
    Accept, AcceptError, Accepted, ChangeError, Filter, LaneHold, Listed, Outcome, Page, Policy,
    State, Stats, Stored, Target,
};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::{Clock, UnixMillis};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long `/readyz` reports a disk that refused a write.
const STILL_FULL: Duration = Duration::from_mins(1);

/// Events that wait, and everything that is done with them.
pub struct Inbox {
    pub(super) engine: hookward_inbox::Inbox,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    /// Why the last event found no room, when, and with how many bytes in it.
    full: Mutex<Option<(String, Duration, u64)>>,
}

/// An event to be stored.
pub struct Incoming {
    /// `spill` or `queued`.
    pub delivery: Delivery,
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long it is remembered.
    pub ttl: Duration,
    /// Events with the same key reach a destination in the order of their acceptance.
    pub order_key: Option<String>,
    /// What a dead event does to those behind it.
    pub on_dead: OnDead,
    /// The head of the request.
    pub head: StoredHead,
    /// Its body.
    pub body: Bytes,
    /// The destinations that miss it.
    pub targets: Vec<Target>,
}

/// An event that is there for a destination, and is not dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was accepted.
    pub since: UnixMillis,
    /// A hash of the body that was accepted.
    pub fingerprint: u64,
}

impl Inbox {
    pub(super) fn new(
        engine: hookward_inbox::Inbox,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { engine, metrics, clock, full: Mutex::default() }
    }

    /// Stores an event. Once this is `Ok`, it is durable with all its destinations.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn accept(&self, event: &Proven, what: Incoming) -> Result<Accepted, AcceptError> {
        let began = self.clock.monotonic();
        let source = event.source().as_str();
        let accept = Accept {
            source: source.to_owned(),
            id: event.event().id.as_str().to_owned(),
            kind: event.event().kind.clone(),
            fingerprint: what.fingerprint,
            ttl: what.ttl,
            keys: Vec::new(),
            order_key: what.order_key,
            on_dead: match what.on_dead {
                OnDead::Skip => hookward_inbox::OnDead::Skip,
                OnDead::Hold => hookward_inbox::OnDead::Hold,
            },
            head: what.head.encode(),
            body: what.body,
            targets: what.targets,
        };
        let result = self.engine.accept(accept).await;
        let took = self.clock.monotonic().saturating_sub(began);
        match &result {
            Ok(accepted) => {
                *self.full.lock() = None;
                self.metrics.inbox_accept.with_label_values(&[""; 0]).observe(took.as_secs_f64());
                let is_new = |stored: &Stored| !matches!(stored, Stored::Already(_));
                if accepted.targets.iter().any(is_new) {
                    let mode = if what.delivery == Delivery::Queued { "queued" } else { "spill" };
                    self.metrics.inbox_accepted.with_label_values(&[source, mode]).inc();
                }
            }
            Err(error) => {
                let now = self.clock.monotonic();
                let is_news = self.full.lock().is_none();
                *self.full.lock() = Some((error.to_string(), now, self.engine.stats().bytes));
                self.metrics.inbox_full.with_label_values(&[source]).inc();
                if is_news {
                    tracing::warn!(%error, "the inbox takes nothing in; its routes work as sync");
                }
            }
        }
        result
    }

    /// Why events find no room, as far as is known.
    #[must_use]
    pub fn fullness(&self) -> Option<String> {
        let (why, at, bytes) = self.full.lock().clone()?;
        let is_over = self.engine.stats().bytes < bytes
            || self.clock.monotonic().saturating_sub(at) > STILL_FULL;
        (!is_over).then_some(why)
    }

    /// What it has of an event for a destination, unless that is dead.
    #[must_use]
    pub fn stands(&self, source: &SourceName, id: &EventId, to: &UpstreamName) -> Option<Standing> {
        let listed = self.engine.find(source.as_str(), id.as_str(), to.as_str())?;
        let since = UnixMillis(i64::try_from(listed.accepted_at).unwrap_or(i64::MAX));
        let standing = Standing { since, fingerprint: listed.fingerprint };
        (listed.state != State::Dead).then_some(standing)
    }

    /// The word for how an event stands for a destination, and since when it is there.
    #[must_use]
    pub fn standing(
        &self,
        source: &SourceName,
        id: &EventId,
        to: &UpstreamName,
    ) -> Option<(&'static str, UnixMillis)> {
        let listed = self.engine.find(source.as_str(), id.as_str(), to.as_str())?;
        let since = UnixMillis(i64::try_from(listed.accepted_at).unwrap_or(i64::MAX));
        let word = match listed.state {
            State::Ready | State::Waiting | State::InFlight => "queued",
            State::Dead => "dead",
            State::Delivered => "delivered",
            State::Discarded => "discarded",
        };
        Some((word, since))
    }

    /// The state of an event for a destination.
    #[must_use]
    pub fn state(&self, source: &SourceName, id: &EventId, to: &UpstreamName) -> Option<State> {
        self.engine.state(source.as_str(), id.as_str(), to.as_str())
    }

    /// Holds the order of a key for a live attempt; `None` if earlier events of it wait.
    #[must_use]
    pub fn hold_lane(&self, source: &SourceName, to: &UpstreamName, key: &str) -> Option<LaneHold> {
        self.engine.hold_lane(source.as_str(), to.as_str(), key)
    }

    /// Whether a destination is paused.
    #[must_use]
    pub fn is_paused(&self, to: &UpstreamName) -> bool {
        self.engine.is_paused(to.as_str())
    }

    /// Learns how a live attempt ended.
    pub fn learn(&self, to: &UpstreamName, outcome: Outcome) {
        self.engine.learn(to.as_str(), outcome);
    }

    /// Takes over another configuration, and says under which names events wait that it has not.
    pub fn configure(&self, policies: &[(String, Policy)], sources: &[String]) -> Vec<String> {
        self.engine.configure(policies, Some(sources));
        self.strays()
    }

    /// Entries that fit, by number, from `cursor` on.
    pub async fn list(&self, filter: Filter, limit: usize, cursor: Option<u64>) -> Page {
        self.looking(move |engine| engine.list(&filter, limit, cursor)).await.unwrap_or_default()
    }

    /// One entry.
    pub async fn show(&self, seq: u64) -> Option<Listed> {
        self.looking(move |engine| engine.show(seq)).await.flatten()
    }

    /// The numbers of the entries that fit.
    pub async fn select(&self, filter: Filter) -> Vec<u64> {
        self.looking(move |engine| engine.select(&filter)).await.unwrap_or_default()
    }

    /// Those of these numbers that there are.
    pub async fn existing(&self, mut seqs: Vec<u64>) -> Vec<u64> {
        seqs.sort_unstable();
        seqs.dedup();
        let known = move |engine: &hookward_inbox::Inbox| {
            seqs.retain(|seq| engine.show(*seq).is_some());
            seqs
        };
        self.looking(known).await.unwrap_or_default()
    }

    /// Reads of the log block, so they are made where that holds nobody up.
    async fn looking<T: Send + 'static>(
        &self,
        look: impl FnOnce(&hookward_inbox::Inbox) -> T + Send + 'static,
    ) -> Option<T> {
        let engine = self.engine.clone();
        tokio::task::spawn_blocking(move || look(&engine)).await.ok()
    }

    /// Makes entries due now. Gives how many were changed.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn replay(&self, seqs: Vec<u64>, as_new: bool) -> Result<usize, ChangeError> {
        self.engine.replay(seqs, as_new).await
    }

    /// Never sends these entries again. Gives how many were changed.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn discard(&self, seqs: Vec<u64>) -> Result<usize, ChangeError> {
        self.engine.discard(seqs).await
    }

    /// Erases an event at all destinations. Gives how many entries there were.
    ///
    /// # Errors
    /// If not everything was overwritten.
    pub async fn erase(&self, source: &str, id: &str) -> Result<usize, ChangeError> {
        self.engine.erase(source, id).await
    }

    /// Sends nothing to a destination until `until`, or until it is resumed.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn pause(&self, to: &str, until: Option<u64>) -> Result<(), ChangeError> {
        self.engine.pause(to, until).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn resume(&self, to: &str) -> Result<(), ChangeError> {
        self.engine.resume(to).await
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Flushes and ends. Blocks until that is done.
    pub fn close(&self) {
        self.engine.close();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
