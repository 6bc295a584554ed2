//! The state that deliveries share: one snapshot of the configuration, and everything that outlives
//! it.
//!
//! A reload replaces the whole [`Snapshot`], and a delivery keeps the one that it started with.
//! Claims, counters and the log live as long as the [`SharedState`]. `lifecycle` describes what happens to
//! a delivery.

use crate::config::{Config, OnStoreError};
use crate::delivery::answer::{Answer, DestinationOutcome};
use crate::delivery::bucket::Bucket;
use crate::delivery::captures::CapturedRefusals;
use crate::delivery::credentials::Credentials;
use crate::delivery::headers::Passing;
use crate::delivery::journal::RecentDeliveries;
use crate::delivery::report::{Report, Reporter, SpanSink};
use crate::delivery::route::{DeliveryMode, OnDead, Route, UpstreamName};
use crate::delivery::sightings::Sightings;
use crate::delivery::source::{RateLimit, Source, SourceTable};
use crate::inbox::InboxStore;
use crate::outcome::{Outcome, Reason, Refusal};
use crate::published::{HttpsClient, PublishedKeys, SourceKeys};
use crate::telemetry::metrics::{Metrics, SourceMetrics, StageMetrics, StageWatch};
use crate::upstream::{Forwarder, Forwarders};
use arc_swap::ArcSwap;
use hookward_claims::{Claims, StoreError};
use hookward_time::Clock;
use hookward_verify::scheme::Place;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How much longer than its upstream's `timeout` an unsettled claim lives: the time to write a
/// result to a slow store.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// A claim that is older than this is not sent with: the attempt and its settling might outlast the
/// lease, and another copy be sent meanwhile.
pub(super) const OLDEST_CLAIM: Duration = Duration::from_secs(7);

/// How long the store may take before an event is delivered without it, if that is configured.
const LONGEST_BEFORE_FORWARDING: Duration = Duration::from_secs(1);

/// The state that deliveries share across configurations.
pub struct SharedState {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Handles for the stages' histograms.
    pub stages: StageMetrics,
    /// What has been delivered and what is being forwarded.
    pub claims: Arc<Claims<DestinationOutcome>>,
    /// The last deliveries.
    pub journal: Arc<RecentDeliveries>,
    /// Refused deliveries, whole.
    pub captures: Arc<CapturedRefusals>,
    /// Where events wait; set once, by a configuration that needs it.
    inbox: OnceLock<Arc<InboxStore>>,
    reporter: Reporter,
    snapshot: ArcSwap<Snapshot>,
    nowhere: SourceMetrics,
}

/// One configuration, ready to serve.
pub struct Snapshot {
    /// The sources, found by path.
    pub sources: SourceTable,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// How long copies of an uncertain event are refused.
    pub uncertain_hold: Duration,
    /// Tells configurations apart.
    pub fingerprint: String,
    /// What was fetched of senders' keys.
    pub published: Arc<PublishedKeys>,
    on_store_error: OnStoreError,
    serving: Vec<Serving>,
    upstreams: HashMap<UpstreamName, Arc<ServedUpstream>>,
}

/// A source with everything that its deliveries need in addition to the configuration.
pub struct Serving {
    /// The source.
    pub source: Arc<Source>,
    /// Which of its senders' headers go on.
    pub passing: Passing,
    /// Its sender's published keys, if it has any.
    pub published: Option<Arc<SourceKeys>>,
    /// Its counters.
    pub metrics: SourceMetrics,
    /// What was last seen of it.
    pub sightings: Sightings,
    /// Where its events say what they are about, on routes with an order; each place once.
    pub order_keys: Vec<Place>,
    /// Its routes, in the order of the source.
    routes: Vec<ServedRoute>,
    bucket: Option<Arc<Bucket>>,
}

/// A route with its destinations, so that none has to be looked up during a delivery.
pub struct ServedRoute {
    /// The route's `path`.
    pub path: Option<String>,
    /// Each destination with the lease of a claim on it.
    pub destinations: Vec<(UpstreamName, Duration)>,
    /// What sends to each, in the same order.
    pub upstreams: Vec<Arc<ServedUpstream>>,
    /// How its events are delivered.
    pub delivery: DeliveryMode,
    /// Where an event says what it is about.
    pub order_key: Option<Place>,
    /// What a dead event does to those behind it in that order.
    pub on_dead: OnDead,
}

/// An upstream as events are sent to it.
pub struct ServedUpstream {
    /// What sends.
    pub forwarder: Arc<dyn Forwarder>,
    /// What it is shown beside the event.
    pub credentials: Credentials,
}

impl Snapshot {
    /// Makes a configuration ready to serve. What `before` has counted towards a rate limit that
    /// stays the same stays counted.
    #[must_use]
    pub fn new(
        mut config: Config,
        upstreams: &dyn Forwarders,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
        before: Option<&Self>,
    ) -> Self {
        let leases: HashMap<UpstreamName, Duration> =
            config.upstreams.iter().map(|u| (u.name.clone(), u.timeout + LEASE_MARGIN)).collect();
        let upstreams: HashMap<UpstreamName, Arc<ServedUpstream>> = config
            .upstreams
            .iter()
            .filter_map(|upstream| {
                let forwarder = upstreams.forwarder(&upstream.name)?;
                let credentials = config.credentials.remove(&upstream.name).unwrap_or_default();
                Some((upstream.name.clone(), Arc::new(ServedUpstream { forwarder, credentials })))
            })
            .collect();
        let sources = SourceTable::new(config.sources);
        let published = before.map_or_else(
            || PublishedKeys::new(Arc::clone(clock), Box::new(HttpsClient::new(&config.fetch))),
            |before| Arc::clone(&before.published),
        );
        published.configure(&config.fetch);
        published.keep(&sources.iter().cloned().collect::<Vec<_>>());
        let serving = sources
            .iter()
            .map(|source| Serving {
                passing: Passing::of(&source.sender.scheme, &source.pass_headers),
                published: published.of_source(source),
                metrics: metrics.for_source(source),
                sightings: Sightings::of(source, known(before, source)),
                order_keys: order_keys(source),
                routes: source.routes.iter().map(|r| served(r, &leases, &upstreams)).collect(),
                bucket: source.rate_limit.map(|limit| bucket(source, limit, clock, before)),
                source: source.clone(),
            })
            .collect();
        Self {
            sources,
            max_body_bytes: config.server.limits.max_body_bytes,
            uncertain_hold: config.dedupe.uncertain_hold,
            fingerprint: config.fingerprint,
            published,
            on_store_error: config.dedupe.on_store_error,
            serving,
            upstreams,
        }
    }

    /// The upstream of this name, whether or not a route leads there.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Arc<ServedUpstream>> {
        self.upstreams.get(name)
    }

    /// How long the store may take, of the time that the sender still waits. Where events are
    /// delivered without it, there has to be time left to do so: a sender that is told to come
    /// again makes the destination get the event again.
    #[must_use]
    pub fn store_patience(&self, left: Duration) -> Duration {
        match self.on_store_error {
            OnStoreError::Reject => left,
            OnStoreError::Forward => (left / 2).min(LONGEST_BEFORE_FORWARDING),
        }
    }

    /// What `on_store_error` says about a store that does not answer.
    ///
    /// # Errors
    /// `store_unavailable`, if the configuration does not say to deliver without it.
    pub fn without_store(&self, fault: &StoreError) -> Result<(), Refusal> {
        match self.on_store_error {
            OnStoreError::Reject => {
                Err(Refusal::because(Reason::StoreUnavailable, fault.to_string()))
            }
            OnStoreError::Forward => {
                tracing::warn!(%fault, "delivering without dedupe because of on_store_error");
                Ok(())
            }
        }
    }

    /// Every source with what its deliveries need, in the order of the file.
    pub fn serving(&self) -> impl ExactSizeIterator<Item = &Serving> {
        self.serving.iter()
    }

    /// The source of this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Serving> {
        let (index, _) = self.sources.find(path)?;
        self.serving.get(index)
    }
}

/// What the configuration before knew of a source.
fn known<'a>(before: Option<&'a Snapshot>, source: &Source) -> Option<&'a Sightings> {
    let mut serving = before?.serving.iter();
    serving.find(|serving| serving.source.name == source.name).map(|found| &found.sightings)
}

fn order_keys(source: &Source) -> Vec<Place> {
    let mut keys = Vec::<Place>::new();
    for place in source.routes.iter().filter_map(|route| route.order_key.as_ref()) {
        if !keys.contains(place) {
            keys.push(place.clone());
        }
    }
    keys
}

fn served(
    route: &Route,
    leases: &HashMap<UpstreamName, Duration>,
    upstreams: &HashMap<UpstreamName, Arc<ServedUpstream>>,
) -> ServedRoute {
    let resolved = route.to.iter().map(|name| {
        let found = (leases.get(name), upstreams.get(name));
        let (Some(lease), Some(upstream)) = found else {
            unreachable!("the configuration lets no route name an upstream that is not there")
        };
        ((name.clone(), *lease), Arc::clone(upstream))
    });
    let (destinations, upstreams) = resolved.unzip();
    ServedRoute {
        path: route.path.clone(),
        destinations,
        upstreams,
        delivery: route.delivery,
        order_key: route.order_key.clone(),
        on_dead: route.on_dead,
    }
}

fn bucket(
    source: &Source,
    limit: RateLimit,
    clock: &Arc<dyn Clock>,
    before: Option<&Snapshot>,
) -> Arc<Bucket> {
    let kept = before
        .and_then(|before| before.serving.iter().find(|s| s.source.name == source.name))
        .and_then(|serving| serving.bucket.as_ref())
        .filter(|kept| kept.limit() == limit);
    kept.map_or_else(|| Arc::new(Bucket::new(limit, Arc::clone(clock))), Arc::clone)
}

impl Serving {
    /// Takes one request from the source's rate limit.
    ///
    /// # Errors
    /// `rate_limited`, with the wait until there is room again.
    pub fn take_from_rate_limit(&self) -> Result<(), Refusal> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        bucket.take().map_err(|wait| Refusal::new(Reason::RateLimited).retry_after(wait))
    }

    /// The first route that takes events of this type.
    #[must_use]
    pub fn route(&self, event_type: &str) -> Option<&ServedRoute> {
        let routes = self.source.routes.iter().zip(&self.routes);
        routes.into_iter().find(|(route, _)| route.takes(event_type)).map(|(_, served)| served)
    }

    /// Where a request goes of which no type is known.
    #[must_use]
    pub fn first_route(&self) -> Option<&ServedRoute> {
        self.routes.first()
    }
}

impl SharedState {
    /// A gate that serves `snapshot`.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        claims: Arc<Claims<DestinationOutcome>>,
        snapshot: Snapshot,
    ) -> Self {
        Self {
            stages: metrics.for_stages(),
            nowhere: metrics.for_no_source(),
            reporter: Reporter::new(&clock),
            clock,
            metrics,
            claims,
            journal: Arc::default(),
            captures: Arc::default(),
            inbox: OnceLock::new(),
            snapshot: ArcSwap::from_pointee(snapshot),
        }
    }

    /// Where events wait, if there is such a place.
    #[must_use]
    pub fn inbox(&self) -> Option<&Arc<InboxStore>> {
        self.inbox.get()
    }

    /// Gives it an inbox. The first one that is given stays.
    pub fn open_inbox(&self, inbox: Arc<InboxStore>) {
        drop(self.inbox.set(inbox));
    }

    /// Also passes every logged delivery to `sink`.
    pub fn show_spans(&self, sink: Arc<dyn SpanSink>) {
        self.reporter.show_spans(sink);
    }

    /// What is served now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Serves `snapshot` from the next request on. What is under way ends under the one that it
    /// started with.
    pub fn swap(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let before = self.snapshot.swap(Arc::clone(&snapshot));
        for gone in
            before.sources.iter().filter(|s| snapshot.sources.named(s.name.as_str()).is_none())
        {
            self.metrics.source_is_gone(gone.name.as_str());
        }
        self.captures.keep_for(snapshot.sources.iter().map(|source| &**source));
    }

    /// Counts, remembers and logs how a request ended, for its source if it found one.
    pub fn conclude(
        &self,
        serving: Option<&Serving>,
        report: Report,
        answer: &Answer,
        took: Duration,
    ) {
        let metrics = serving.map_or(&self.nowhere, |serving| &serving.metrics);
        let now = self.clock.wall();
        let is_verified = report.verified(answer).is_some();
        if let Some(Serving { sightings, .. }) = serving {
            if is_verified {
                sightings.last_event.note(now);
            }
            if let (Outcome::Rejected, Some(refusal)) = (answer.outcome(), answer.refusal()) {
                sightings.note_refusal(now, refusal.reason);
            }
        }
        self.reporter.conclude(&report, answer, took, metrics);
        self.journal.take(report, answer, now, took, is_verified);
    }

    /// Counts and logs a request that never got as far as a head.
    pub fn refuse(&self, refusal: Refusal, client: IpAddr) -> Answer {
        let answer = Answer::refused(refusal);
        self.conclude(None, Report::of(client), &answer, Duration::ZERO);
        answer
    }

    /// Begins to measure the stages of a delivery.
    pub fn watch(&self) -> StageWatch<'_> {
        self.stages.watch(&*self.clock)
    }
}
