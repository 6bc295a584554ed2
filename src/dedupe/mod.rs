//! Claims: which delivery of an event may be forwarded, and what the others are told.
//!
//! The states of contract section 3. Knows neither HTTP nor signatures.

use crate::clock::UnixMillis;
use crate::route::UpstreamName;
use crate::source::SourceName;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// What is claimed: one event for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    /// The source that the event came from.
    pub source: SourceName,
    /// The event id; the same on every retry.
    pub event_id: Arc<str>,
    /// The destination.
    pub destination: UpstreamName,
}

/// A number that a claim was given; a later claim on the same key has a higher one, and a settle
/// with an old one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// Whether [`ClaimStore::claim`] takes what is absent, or only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Take every key that is absent.
    Claim,
    /// Change nothing.
    Look,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Absent, and with [`Intent::Look`] left so.
    Absent,
    /// It was absent and is now held by the caller.
    Claimed(Fence),
    /// Another delivery holds it.
    InFlight,
    /// The destination accepted the event; `fingerprint` is that of the body that it accepted.
    Delivered {
        /// When it was accepted.
        since: UnixMillis,
        /// A hash of the body that was accepted.
        fingerprint: u64,
    },
    /// An earlier delivery may have been accepted.
    Uncertain {
        /// Absent again after this.
        left: Duration,
    },
}

/// How a claim ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The destination answered 2xx: remember it for `ttl` from now.
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
    },
    /// Any other end: the next delivery is forwarded.
    Released,
}

/// The store cannot answer now.
#[derive(Debug, thiserror::Error)]
#[error("the {store} store {problem}")]
pub struct StoreError {
    /// Which store.
    pub store: &'static str,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: String,
}

/// Where claims live. Every method is atomic for each key by itself.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// `memory`, `disk` or `redis`.
    fn name(&self) -> &'static str;

    /// How each key stands; with [`Intent::Claim`] those that were absent are held for the caller,
    /// each for `lease` (per key) at most if the caller never settles. One round trip.
    async fn claim(
        &self,
        keys: &[(ClaimKey, Duration)],
        intent: Intent,
    ) -> Result<Vec<Standing>, StoreError>;

    /// Ends a claim. A claim whose fence is no longer the newest is left as it is.
    async fn settle(
        &self,
        key: &ClaimKey,
        fence: Fence,
        verdict: Verdict,
    ) -> Result<(), StoreError>;
}
