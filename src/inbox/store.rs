//! The interface of the inbox for the rest of the process.

use super::engine::Engine;
use super::head::StoredHead;
use super::strays::KnownNames;
use crate::delivery::proof::Proven;
use crate::delivery::route::{DeliveryMode, OnDead};
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use hookward_claims::ClaimKey;
use hookward_inbox::{
    Accept, AcceptError, AcceptTarget, Accepted, ChangeError, EntryState, Filter, LaneHold, Listed,
    Page, Policy, Stats, Stored, TryOutcome, WaitingCount,
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
pub struct InboxStore {
    pub(super) engine: Engine,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    /// Why the last event found no room, when, and with how many bytes in it.
    full: Mutex<Option<(String, Duration, u64)>>,
}

/// An event to be stored.
pub struct Incoming {
    /// `spill` or `queued`.
    pub delivery: DeliveryMode,
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long it is remembered.
    pub ttl: Duration,
    /// Another name under which the event must not come again.
    pub alias: Option<String>,
    /// What copies of it are told that wait.
    pub note: String,
    /// Events with the same key reach a destination in the order of their acceptance.
    pub order_key: Option<String>,
    /// What a dead event does to those behind it.
    pub on_dead: OnDead,
    /// The head of the request.
    pub head: StoredHead,
    /// Its body.
    pub body: Bytes,
    /// The destinations that miss it.
    pub targets: Vec<AcceptTarget>,
}

/// How an event that is there stands for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is dead.
    GivenUp,
    /// Anything else.
    Waiting(WaitingEvent),
}

/// An event that is there for a destination, and is not dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// When it was accepted.
    pub since: UnixMillis,
    /// A hash of the body that was accepted.
    pub fingerprint: u64,
}

impl InboxStore {
    pub(super) fn new(engine: Engine, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { engine, metrics, clock, full: Mutex::default() }
    }

    /// Stores an event. Once this is `Ok`, it is durable with all its destinations.
    ///
    /// # Errors
    /// If it is not stored.
    pub async fn accept(&self, event: &Proven, what: Incoming) -> Result<Accepted, AcceptError> {
        let began = self.clock.monotonic();
        let source = event.source().as_str();
        let alias = what.head.alias.clone();
        let accept = Accept {
            source: source.to_owned(),
            id: event.event().id.as_str().to_owned(),
            kind: event.event().kind.clone(),
            fingerprint: what.fingerprint,
            ttl: what.ttl,
            keys: alias
                .as_deref()
                .map(|alias| alias_key(event.source(), alias))
                .into_iter()
                .collect(),
            alias: what.alias,
            note: what.note,
            order_key: what.order_key,
            on_dead: what.on_dead,
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
                    let mode =
                        if what.delivery == DeliveryMode::Queued { "queued" } else { "spill" };
                    self.metrics.inbox_accepted.with_label_values(&[source, mode]).inc();
                }
            }
            // That is not for want of room.
            Err(AcceptError::InDoubt(_)) => {}
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

    /// What it has of an event for a destination. One that shares its database with the claims was
    /// asked when the event was claimed.
    pub async fn stands(
        &self,
        source: &SourceName,
        id: &EventId,
        to: &UpstreamName,
    ) -> Option<Stands> {
        if self.knows_claims() {
            return None;
        }
        let listed = self.engine.find(source.as_str(), id.as_str(), to.as_str()).await?;
        Some(standing(&listed).map_or(Stands::GivenUp, Stands::Waiting))
    }

    /// What it has of whatever event came with this other name, unless that is dead.
    #[must_use]
    pub fn stands_by_alias(
        &self,
        source: &SourceName,
        alias: &str,
        to: &UpstreamName,
    ) -> Option<WaitingEvent> {
        standing(&self.engine.find_by_key(&alias_key(source, alias), to.as_str())?)
    }

    /// Whether it says what it has without asking a database.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.engine.is_local()
    }

    /// Whether it notes by itself, for the claims, what was delivered from it.
    #[must_use]
    pub fn knows_claims(&self) -> bool {
        self.engine.knows_claims()
    }

    /// The word for how an event stands for a destination, and since when it is there.
    pub async fn standing(
        &self,
        source: &SourceName,
        id: &EventId,
        to: &UpstreamName,
    ) -> Option<(&'static str, UnixMillis)> {
        let listed = self.engine.find(source.as_str(), id.as_str(), to.as_str()).await?;
        let since = UnixMillis::from_unsigned(listed.accepted_at);
        let word = match listed.state {
            EntryState::Ready | EntryState::Waiting | EntryState::InFlight => "queued",
            EntryState::Dead => "dead",
            EntryState::Delivered => "delivered",
            EntryState::Discarded => "discarded",
        };
        Some((word, since))
    }

    /// The state of an event for a destination.
    pub async fn state(
        &self,
        source: &SourceName,
        id: &EventId,
        to: &UpstreamName,
    ) -> Option<EntryState> {
        self.engine.state(source.as_str(), id.as_str(), to.as_str()).await
    }

    /// Holds the order of a key for a live attempt; `None` if earlier events of it wait.
    pub async fn hold_lane(
        &self,
        source: &SourceName,
        to: &UpstreamName,
        key: &str,
    ) -> Option<LaneHold> {
        self.engine.hold_lane(source.as_str(), to.as_str(), key).await
    }

    /// Whether a destination is paused.
    #[must_use]
    pub fn is_paused(&self, to: &UpstreamName) -> bool {
        self.engine.is_paused(to.as_str())
    }

    /// Learns how a live attempt ended.
    pub fn learn(&self, to: &UpstreamName, outcome: TryOutcome) {
        self.engine.learn(to.as_str(), outcome);
    }

    /// Takes over another configuration, and says under which other names events wait.
    pub async fn configure(
        &self,
        policies: &[(String, Policy)],
        sources: &[String],
    ) -> Vec<String> {
        self.engine.configure(policies, sources);
        self.strays(policies, sources).await
    }

    pub(super) async fn strays(
        &self,
        policies: &[(String, Policy)],
        sources: &[String],
    ) -> Vec<String> {
        let names = KnownNames::new(
            policies.iter().map(|(to, _)| to.as_str()),
            sources.iter().map(String::as_str),
        );
        match self.waiting().await {
            Ok(waiting) => names.strays(&waiting),
            Err(why) => vec![format!("how many events wait in the inbox is not known: {why}")],
        }
    }

    /// Counts what waits or is being sent, by source and destination. Looks at every entry.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn waiting(&self) -> Result<Vec<WaitingCount>, ChangeError> {
        self.engine.waiting().await
    }

    /// Entries that fit, by number, from `cursor` on.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<Page, ChangeError> {
        self.engine.list(filter, limit, cursor).await
    }

    /// One entry.
    ///
    /// # Errors
    /// As of [`list`](Self::list).
    pub async fn show(&self, seq: u64) -> Result<Option<Listed>, ChangeError> {
        self.engine.show(seq).await
    }

    /// The numbers of the entries that fit.
    ///
    /// # Errors
    /// As of [`list`](Self::list).
    pub async fn select(&self, filter: Filter) -> Result<Vec<u64>, ChangeError> {
        self.engine.select(filter).await
    }

    /// Those of these numbers that there are.
    ///
    /// # Errors
    /// As of [`list`](Self::list).
    pub async fn existing(&self, mut seqs: Vec<u64>) -> Result<Vec<u64>, ChangeError> {
        seqs.sort_unstable();
        seqs.dedup();
        let mut known = Vec::with_capacity(seqs.len());
        for seq in seqs {
            if self.show(seq).await?.is_some() {
                known.push(seq);
            }
        }
        Ok(known)
    }

    /// Makes entries due now. Gives how many were changed.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn replay(
        &self,
        seqs: Vec<u64>,
        as_new: bool,
        by: &str,
    ) -> Result<usize, ChangeError> {
        self.engine.replay(seqs, as_new, by).await
    }

    /// Never sends these entries again. Gives how many were changed.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn discard(&self, seqs: Vec<u64>, by: &str) -> Result<usize, ChangeError> {
        self.engine.discard(seqs, by).await
    }

    /// Whether there is an entry of the event of this one for the destination of this one.
    pub async fn has(&self, entry: &Listed) -> bool {
        self.engine.state(&entry.source, &entry.id, &entry.to).await.is_some()
    }

    /// Moves entries that wait to another destination. Gives how many were moved.
    ///
    /// # Errors
    /// If the change is not durable.
    pub async fn move_to(&self, seqs: Vec<u64>, to: &str, by: &str) -> Result<usize, ChangeError> {
        self.engine.move_to(seqs, to, by).await
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

    /// Counts anew what other instances may have changed, for [`stats`](Self::stats).
    pub async fn refresh(&self) {
        self.engine.refresh().await;
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

fn standing(listed: &Listed) -> Option<WaitingEvent> {
    let since = UnixMillis::from_unsigned(listed.accepted_at);
    let standing = WaitingEvent { since, fingerprint: listed.fingerprint };
    (listed.state != EntryState::Dead).then_some(standing)
}

/// What the inbox knows another name of an event by, at whatever destination.
fn alias_key(source: &SourceName, alias: &str) -> [u8; 16] {
    *ClaimKey::of_alias(source, alias, &UpstreamName::from("")).as_bytes()
}

impl fmt::Debug for InboxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
