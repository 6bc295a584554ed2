//! What a delivery requests, and what it gets for each destination.

use crate::{Claim, ClaimKey, Intent, Target, Waiter};
use hookward_names::{EventId, SourceName, UpstreamName};
use hookward_time::UnixMillis;
use std::time::Duration;

/// An event that may be claimed, because it is proven genuine. The caller is responsible for the
/// proof.
pub trait Claimable {
    /// The source that it came from.
    fn source(&self) -> &SourceName;

    /// Its id.
    fn event_id(&self) -> &EventId;
}

/// What a delivery asks for.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    source: &'a SourceName,
    event_id: &'a EventId,
    pub(super) terms: ClaimTerms<'a>,
}

/// How an event is claimed.
#[derive(Clone, Copy, Debug)]
pub struct ClaimTerms<'a> {
    /// Another name under which the event must not be accepted again, such as its signature.
    pub alias: Option<&'a str>,
    /// Its destinations, each with the time after which a claim on it lapses if this process
    /// dies: the upstream's `timeout` + 10 s.
    pub destinations: &'a [(UpstreamName, Duration)],
    /// A hash of the body.
    pub fingerprint: u64,
    /// How long the event is remembered once delivered.
    pub ttl: Duration,
    /// How long copies are refused if it is unknown whether the event was accepted.
    pub uncertain_hold: Duration,
    /// Whether to take absent claims.
    pub intent: Intent,
    /// How long this may take in total.
    pub within: Duration,
}

impl<'a> ClaimRequest<'a> {
    /// Asks for `event` under `terms`.
    #[must_use]
    pub fn of(event: &'a impl Claimable, terms: ClaimTerms<'a>) -> Self {
        Self { source: event.source(), event_id: event.event_id(), terms }
    }

    /// The request to the store for one of the destinations.
    pub(super) fn target(&self, destination: &UpstreamName, lease: Duration) -> Target {
        Target {
            key: ClaimKey::of(self.source, self.event_id, destination),
            alias: self
                .terms
                .alias
                .map(|alias| ClaimKey::of_alias(self.source, alias, destination)),
            lease,
            ttl: self.terms.ttl,
        }
    }
}

/// What a delivery gets for one destination.
pub enum Hold<T: Send + Sync + 'static> {
    /// This delivery forwards it.
    Won(Claim<T>),
    /// This delivery forwards it without a claim. A caller that delivers without the store makes
    /// this value; [`Claims`](crate::Claims) never returns it.
    Unguarded,
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
    /// No delivery has it. Only for [`Intent::Look`].
    Absent,
}
