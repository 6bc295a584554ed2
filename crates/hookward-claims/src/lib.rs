//! Claims: which delivery of an event may be forwarded, and what the others are told.
//!
//! The states of contract section 3 for one (source, event id, destination). Two layers:
//!
//! * [`Claims`] is what the lifecycle uses: it gives out [`Claim`] guards and [`Waiter`]s, joins
//!   the copies that arrive in this process, and sees to it that every claim ends.
//! * [`ClaimStore`] is where the states live: [`MemoryStore`] here, others beside it.
//!
//! Knows neither HTTP nor signatures; time comes from a [`Clock`](hookward_time::Clock).

mod aliases;
mod claim;
mod claims;
mod delivered;
mod disk;
mod flight;
mod hold;
mod key;
mod local;
mod lock;
mod memory;
mod redis;
mod running;
mod shards;
mod table;
mod trial;
mod unsettled;
mod waiter;

#[cfg(test)]
mod races;

pub use claim::{Claim, Ending};
pub use claims::{Acceptance, Claims};
pub use disk::DiskStore;
pub use hold::{ClaimRequest, ClaimTerms, Claimable, Hold};
pub use key::{Fence, Key};
pub use memory::MemoryStore;
pub use redis::{RedisStore, RedisTls};
pub use waiter::{Waited, Waiter};

use async_trait::async_trait;
use hookward_time::UnixMillis;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Whether [`ClaimStore::claim`] takes what is absent, or only looks.
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
    pub key: Key,
    /// Another name of the same event, as a signature that came with it. While the key that an
    /// alias was seen with is in flight, uncertain or delivered, so is every other key that comes
    /// with the alias.
    pub alias: Option<Key>,
    /// How long the claim holds if the claimant is never heard of again.
    pub lease: Duration,
    /// How long a delivered id is remembered; an alias is kept as long.
    pub ttl: Duration,
}

/// How a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Absent, and with [`Intent::Look`] left so.
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
    /// An earlier delivery may have been accepted.
    Uncertain {
        /// When that was noticed.
        since: UnixMillis,
        /// Absent again after this.
        left: Duration,
        /// What its claimant had to say; see [`Verdict::Uncertain`].
        note: String,
    },
    /// As good as absent: released moments ago. Only shared stores tell, and only to who looks, so
    /// that a copy that waits in another process learns how its winner ended.
    Released {
        /// What its claimant had to say; see [`Verdict::Released`].
        note: String,
    },
}

/// How a claim ends in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The destination answered 2xx: remember it for `ttl` from now, the last instant included.
    Delivered {
        /// A hash of the body that was accepted.
        fingerprint: u64,
        /// How long it is remembered.
        ttl: Duration,
    },
    /// Sent whole, no valid answer.
    Uncertain {
        /// How long copies are refused.
        hold: Duration,
        /// A word for copies that wait in other processes; at most a few hundred bytes.
        note: String,
    },
    /// Any other end: the next delivery is forwarded.
    Released {
        /// A word for copies that wait in other processes; at most a few hundred bytes.
        note: String,
    },
}

/// Whether a settle changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The state is now what the verdict says.
    Applied,
    /// A later claim, or its result, stands; nothing was changed.
    Stale,
}

/// How a store does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should.
    Good,
    /// It answers, with less than it promises; the sentence says what and why.
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

/// What a store counts, for the metrics of contract section 7.
#[derive(Debug, Default)]
pub struct Counters {
    evicted: AtomicU64,
    errors: AtomicU64,
}

impl Counters {
    /// Delivered ids forgotten before their time for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Calls that the store did not answer, or answered with less than it promises.
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

/// Where claims live. What is done to one key is atomic; every call ends within the time it is
/// given, and may be repeated with the same fence without harm.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// `memory`, `disk` or `redis`.
    fn name(&self) -> &'static str;

    /// What it has counted so far.
    fn counters(&self) -> &Counters;

    /// How each target stands, in their order; with [`Intent::Claim`] those that were absent are
    /// now held under `fence`. One round trip.
    async fn claim(
        &self,
        targets: &[Target],
        fence: Fence,
        intent: Intent,
        within: Duration,
    ) -> Result<Vec<Standing>, StoreError>;

    /// Ends the claim that was given to `fence`. One that has lapsed can still be settled, unless
    /// a later claim on the key is in flight, uncertain or delivered. One round trip.
    async fn settle(
        &self,
        key: Key,
        fence: Fence,
        verdict: &Verdict,
        within: Duration,
    ) -> Result<Settled, StoreError>;

    /// Makes a key absent, unless it is in flight, and says how it stood.
    async fn forget(&self, key: Key, within: Duration) -> Result<Standing, StoreError>;

    /// How many delivered ids are remembered, as far as the store can tell cheaply.
    async fn entries(&self, within: Duration) -> Result<u64, StoreError>;

    /// Whether it answers, and as it should.
    async fn health(&self, within: Duration) -> Result<Health, StoreError>;

    /// Does what a delivery needs of it, with a key of its own that nobody takes for an event: a
    /// claim, and its settle. A store can answer all else and refuse that, as one that is read only.
    async fn trial(&self, within: Duration) -> Result<(), StoreError> {
        let key = Key::of_trial();
        let fence = Fence(fastrand::u64(1..));
        let target = Target { key, alias: None, lease: trial::LEASE, ttl: trial::LEASE };
        self.claim(&[target], fence, Intent::Claim, within).await?;
        let verdict = Verdict::Released { note: String::new() };
        self.settle(key, fence, &verdict, within).await.map(drop)
    }
}
