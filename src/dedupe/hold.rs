//! What a delivery asks of the claims, and how each destination stands for it.

use super::{Claim, Intent, Key, Target, Waiter};
use crate::clock::UnixMillis;
use crate::route::UpstreamName;
use std::time::Duration;

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

impl ClaimRequest<'_> {
    /// What is asked of the store for one of the destinations.
    pub(super) fn target(&self, destination: &str, lease: Duration) -> Target {
        Target {
            key: Key::of(self.source, self.event_id, destination),
            alias: self.alias.map(|alias| Key::of_alias(self.source, alias, destination)),
            lease,
            ttl: self.ttl,
        }
    }
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
