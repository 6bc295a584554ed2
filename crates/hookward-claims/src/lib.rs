//! Decides which delivery of an event is forwarded to a destination, and what its copies are told.
//!
//! A sender repeats an event until it gets a successful answer, so copies of one event can arrive
//! at the same time, one after the other, or at several processes. Before a delivery is forwarded
//! it takes a [`Claim`] on (source, event id, destination). Only one delivery gets it. Once the
//! destination has accepted the event, no later copy gets a claim until the id is forgotten.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), hookward_claims::StoreError> {
//! use hookward_claims::{
//!     ClaimRequest, ClaimTerms, Claimable, Claims, Hold, Intent, MemoryStore,
//! };
//! use hookward_names::{EventId, SourceName, UpstreamName};
//! use hookward_time::{Clock, SystemClock};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! /// An event of a request that you have verified.
//! struct Order(SourceName, EventId);
//!
//! impl Claimable for Order {
//!     fn source(&self) -> &SourceName {
//!         &self.0
//!     }
//!     fn event_id(&self) -> &EventId {
//!         &self.1
//!     }
//! }
//!
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let store = Arc::new(MemoryStore::new(100_000, Arc::clone(&clock)));
//! let claims = Claims::new(store, clock);
//!
//! let order = Order("shop".into(), "evt_1".into());
//! let terms = ClaimTerms {
//!     alias: None,
//!     destinations: &[("erp".into(), Duration::from_secs(40))],
//!     fingerprint: 7, // a hash of the body
//!     ttl: Duration::from_secs(72 * 3600),
//!     uncertain_hold: Duration::from_secs(60),
//!     intent: Intent::Claim,
//!     within: Duration::from_secs(1),
//! };
//!
//! // The first delivery gets the claim, forwards the event, and says how that ended.
//! let mut holds = claims.take(ClaimRequest::of(&order, terms)).await?;
//! let Some(Hold::Won(claim)) = holds.pop() else { panic!("nobody else has it") };
//! claim.sent();
//! claim.delivered(Arc::new("the answer for copies that wait")).await;
//!
//! // A copy learns that the destination has it.
//! let holds = claims.take(ClaimRequest::of(&order, terms)).await?;
//! assert!(matches!(holds[..], [Hold::Delivered { same_body: true, .. }]));
//! # Ok(())
//! # }
//! ```
//!
//! # The states of a claim
//!
//! | state | how it is reached | what a copy gets |
//! | --- | --- | --- |
//! | absent | at first, and after a release | [`Hold::Won`] |
//! | in flight | a delivery has the claim | [`Hold::InFlight`] with a [`Waiter`] |
//! | delivered | [`Claim::delivered`] | [`Hold::Delivered`], for `ttl` |
//! | uncertain | [`Claim::uncertain`]: the destination may have it | [`Hold::Uncertain`], for `uncertain_hold` |
//!
//! # What it promises
//!
//! - Every claim ends. A claim that is dropped, by a panic or a cancelled task, is released, or becomes
//!   uncertain if [`Claim::sent`] was called. If its process dies, a claim lapses after its lease.
//! - [`Claims::take`] makes at most one round trip to the store. If it is cancelled or too late,
//!   nothing stays claimed.
//! - A settle with an old [`Fence`] changes nothing.
//!
//! # Two layers
//!
//! [`Claims`] is what a program uses: it joins the copies that arrive in one process, and retries a
//! settle that the store did not answer. A [`ClaimStore`] keeps the states: [`MemoryStore`],
//! [`DiskStore`] (survives a restart), [`RedisStore`] or [`PostgresStore`] (both shared by several
//! processes).
//!
//! The crate knows neither HTTP nor signatures. It reads time from a
//! [`Clock`](hookward_time::Clock), so a test can set it.

mod aliases;
mod batch;
mod claim;
mod claims;
mod delivered;
mod disk;
mod flight;
mod hold;
mod id_index;
mod key;
mod ledger;
mod local;
mod lock;
mod memory;
mod postgres;
mod redis;
mod running;
mod shards;
mod table;
mod transfer;
mod trial;
mod unsettled;
mod waiter;

#[cfg(test)]
mod races;

pub use claim::Claim;
pub use claims::{Acceptance, Claims};
pub use disk::DiskStore;
pub use hold::{ClaimRequest, ClaimTerms, Claimable, Hold};
pub use key::{ClaimKey, Fence};
pub use memory::MemoryStore;
pub use postgres::{
    AnswerFault, PostgresDatabase, PostgresStore, PostgresTls, ask_postgres_once,
    postgres_url_fault, postgres_url_refuses_tls,
};
pub use redis::{RedisStore, RedisTls};
pub use transfer::{Bookmark, Copying, KnownFact, KnownPage, Moved, copy};
pub use waiter::Waiter;

use async_trait::async_trait;
use hookward_time::UnixMillis;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A trial's claim lapses after this, if it could not be settled.
const TRIAL_LEASE: Duration = Duration::from_secs(10);

/// Whether [`ClaimStore::claim`] takes absent keys, or only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Take every key that is absent.
    Claim,
    /// Take none.
    Look,
}

/// One key that a delivery asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is claimed.
    pub key: ClaimKey,
    /// Another name of the same event, such as the signature that came with it. While the key of an
    /// alias is in flight, uncertain or delivered, every other key with the same alias is too.
    pub alias: Option<ClaimKey>,
    /// How long the claim holds if the claimant is never heard of again.
    pub lease: Duration,
    /// How long a delivered id is remembered; an alias is kept as long.
    pub ttl: Duration,
}

/// The state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Absent; with [`Intent::Look`] it stays absent.
    Absent,
    /// It was absent and is now held by the caller.
    Claimed,
    /// Another delivery holds it.
    InFlight {
        /// When it was claimed.
        since: UnixMillis,
    },
    /// The destination accepted the event.
    Delivered {
        /// When it was accepted.
        since: UnixMillis,
        /// A hash of the body that was accepted.
        fingerprint: u64,
    },
    /// The inbox in the same database has the event, and sees to it. It cannot be claimed.
    Queued {
        /// When it was stored.
        since: UnixMillis,
        /// A hash of the body that was stored.
        fingerprint: u64,
    },
    /// An earlier delivery may have been accepted.
    Uncertain {
        /// When that was noticed.
        since: UnixMillis,
        /// Absent again after this.
        left: Duration,
        /// Its claimant's note; see [`Verdict::Uncertain`].
        note: String,
    },
    /// Released moments ago, which is equivalent to absent. Only a shared store reports it, and
    /// only for [`Intent::Look`], so that a copy that waits in another process learns how its
    /// winner ended.
    Released {
        /// Its claimant's note; see [`Verdict::Released`].
        note: String,
    },
}

/// How a claim ends in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The destination answered 2xx: remember it for `ttl` from now, including the last instant.
    Delivered {
        /// A hash of the body that was accepted.
        fingerprint: u64,
        /// How long it is remembered.
        ttl: Duration,
    },
    /// The request was sent completely, but no valid answer came.
    Uncertain {
        /// How long copies are refused.
        hold: Duration,
        /// A note for copies that wait in other processes; at most a few hundred bytes.
        note: String,
    },
    /// Any other end: the next delivery is forwarded.
    Released {
        /// A note for copies that wait in other processes; at most a few hundred bytes.
        note: String,
    },
}

/// Whether a settle changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The state is now what the verdict says.
    Applied,
    /// There is a later claim or its result; nothing was changed.
    Stale,
}

/// Whether a store works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// It answers, but keeps less than it promises. The text says what and why.
    Degraded(String),
}

/// The store cannot answer now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {store} store {problem}")]
pub struct StoreError {
    /// Which store.
    pub store: &'static str,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: String,
}

/// What a store counts, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    evicted: AtomicU64,
    errors: AtomicU64,
}

impl Counters {
    /// Delivered ids that were forgotten early because there was no room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Calls that the store did not answer or could not fulfil.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(crate) fn count_eviction(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// Keeps the states of claims. Each call is atomic for each key, ends within the given time, and
/// can be repeated with the same fence.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// `memory`, `disk`, `redis` or `postgres`.
    fn name(&self) -> &'static str;

    /// What it has counted so far.
    fn counters(&self) -> &Counters;

    /// The state of each target, in their order. With [`Intent::Claim`], those that were absent are
    /// now held under `fence`. One round trip.
    async fn claim(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError>;

    /// Ends the claim with this fence. A claim that has lapsed can still be settled, unless a later
    /// claim on the key is in flight, uncertain or delivered. One round trip.
    async fn settle(
        &self,
        key: ClaimKey,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError>;

    /// As [`claim`](Self::claim), if the store answers without waiting; `None` if it may have to wait.
    fn claim_at_once(
        &self,
        _targets: &[Target],
        _fence: Fence,
        _intent: Intent,
    ) -> Option<Result<Vec<Standing>, StoreError>> {
        None
    }

    /// As [`settle`](Self::settle), if the store answers without waiting; `None` if it may have to wait.
    fn settle_at_once(
        &self,
        _key: ClaimKey,
        _fence: Fence,
        _verdict: &Verdict,
    ) -> Option<Result<Settled, StoreError>> {
        None
    }

    /// Makes a key absent, unless it is in flight, and returns its state before.
    async fn forget(&self, key: ClaimKey, within: Duration) -> Result<Standing, StoreError>;

    /// The number of remembered delivered ids, as far as the store can determine it cheaply.
    async fn entries(&self, within: Duration) -> Result<u64, StoreError>;

    /// Whether the store answers and keeps what it promises.
    async fn health(&self, within: Duration) -> Result<Health, StoreError>;

    /// A page of what the store knows of events that are not in flight, for another store to
    /// [`import`](Self::import); see [`copy`].
    async fn export(&self, _from: &Bookmark, _within: Duration) -> Result<KnownPage, StoreError> {
        let problem = "keeps what it knows in its own process; it cannot be copied".to_owned();
        Err(StoreError { store: self.name(), problem })
    }

    /// Takes over what another store knew, and says how much of it was new. What this store knows
    /// already stays as it is, but for an uncertain key that was delivered. A name, once taken, stays
    /// with its event.
    async fn import(&self, _known: &[KnownFact], _within: Duration) -> Result<Moved, StoreError> {
        let problem = "takes nothing over".to_owned();
        Err(StoreError { store: self.name(), problem })
    }

    /// Claims and settles a key that belongs to no event. A read-only store answers every other
    /// call but refuses this one.
    async fn trial(&self, within: Duration) -> Result<(), StoreError> {
        let key = ClaimKey::of_trial();
        let fence = Fence(fastrand::u64(1..));
        let target = Target { key, alias: None, lease: TRIAL_LEASE, ttl: TRIAL_LEASE };
        self.claim(&[target], fence, Intent::Claim, within).await?;
        let verdict = Verdict::Released { note: String::new() };
        self.settle(key, fence, &verdict, within).await.map(drop)
    }
}
