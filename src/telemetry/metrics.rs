//! Every metric, declared once: section 7 of the contract.
//!
//! The doc line of a field is the HELP text that Prometheus shows. Label values come from the
//! configuration or from enums, never from a request, so the number of series is bounded by
//! construction; the hot path counts through handles that are looked up when a configuration is
//! loaded ([`SourceMetrics`], [`UpstreamMetrics`]). The registry is our own and is passed in, so
//! tests do not share counters.

use crate::delivery::route::DeliveryMode;
use crate::delivery::source::Source;
use crate::outcome::{Concern, Outcome, Reason};
use prometheus::core::Collector;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Edges in seconds: from a refusal within microseconds to an upstream that needs 30 s.
const DURATION_SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];

/// Edges in seconds for the time between an event and its delivery: senders retry for days.
const LAG_SECONDS: &[f64] = &[
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
    259_200.0,
];

/// Names of labels, of which there may be none.
macro_rules! labels {
    ([$($label:literal),*]) => {
        [$($label),*] as [&str; 0 $(+ labels!(@one $label))*]
    };
    (@one $label:literal) => { 1 };
}

/// Declares the metrics: doc line, field, type, name, labels and (for histograms) edges.
macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ident = $name:literal $labels:tt $(, $edges:ident)?;)*) => {
        /// All metrics of a process, with their registry.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Metrics {
            /// Declares every metric in a new registry.
            ///
            /// # Errors
            /// Only if a name or label above is not one that Prometheus takes, which a test excludes.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $(let $field = metrics!(@make $kind, $name, $help, $labels $(, $edges)?);
                  registry.register(boxed(&$field))?;)*
                Ok(Self { registry, $($field,)* })
            }
        }
    };
    (@make IntCounter, $name:literal, $help:literal, []) => { IntCounter::new($name, $help.trim())? };
    (@make IntGauge, $name:literal, $help:literal, []) => { IntGauge::new($name, $help.trim())? };
    (@make IntCounterVec, $name:literal, $help:literal, $labels:tt) => {
        IntCounterVec::new(Opts::new($name, $help.trim()), &$labels)?
    };
    (@make IntGaugeVec, $name:literal, $help:literal, $labels:tt) => {
        IntGaugeVec::new(Opts::new($name, $help.trim()), &labels!($labels))?
    };
    (@make GaugeVec, $name:literal, $help:literal, $labels:tt) => {
        GaugeVec::new(Opts::new($name, $help.trim()), &$labels)?
    };
    (@make HistogramVec, $name:literal, $help:literal, $labels:tt, $edges:ident) => {
        HistogramVec::new(
            HistogramOpts::new($name, $help.trim()).buckets($edges.to_vec()),
            &labels!($labels),
        )?
    };
}

fn boxed<C: Collector + Clone + 'static>(collector: &C) -> Box<dyn Collector> {
    Box::new(collector.clone())
}

metrics! {
    /// Requests by outcome and reason; reason is empty for a success, source for an unknown path.
    deliveries: IntCounterVec = "hookward_deliveries_total" ["source", "outcome", "reason"];
    /// Deliveries of verified events by type; a type that no route names literally is `other`.
    events: IntCounterVec = "hookward_events_total" ["source", "type", "outcome"];
    /// Time from the request header to the answer.
    delivery_duration: HistogramVec = "hookward_delivery_duration_seconds" ["source", "outcome"], DURATION_SECONDS;
    /// Time of each stage of a delivery: read, verify, dedupe, upstream.
    stage_duration: HistogramVec = "hookward_stage_duration_seconds" ["stage"], DURATION_SECONDS;
    /// Requests to an upstream by result: 2xx to 5xx, timeout, unreachable, broken.
    upstream_requests: IntCounterVec = "hookward_upstream_requests_total" ["upstream", "result"];
    /// Time of a request to an upstream, including all attempts.
    upstream_duration: HistogramVec = "hookward_upstream_duration_seconds" ["upstream"], DURATION_SECONDS;
    /// Time between an event and its first delivery, for events with a time.
    event_lag: HistogramVec = "hookward_event_lag_seconds" ["source"], LAG_SECONDS;
    /// Signatures that a secret matched; a rotation is over when the old secret's count stops.
    secret_matches: IntCounterVec = "hookward_secret_matches_total" ["source", "secret"];
    /// Events that are being forwarded.
    in_flight: IntGauge = "hookward_in_flight" [];
    /// Connections open on the public listener.
    connections: IntGauge = "hookward_connections" [];
    /// Bytes of request bodies held in memory.
    body_bytes: IntGauge = "hookward_body_bytes" [];
    /// Remembered ids of delivered events.
    dedupe_entries: IntGaugeVec = "hookward_dedupe_entries" ["store"];
    /// Delivered event ids that were forgotten before their ttl because the store was full.
    dedupe_evicted: IntCounterVec = "hookward_dedupe_evicted_total" ["store"];
    /// Calls that the store did not answer, or answered with an error.
    dedupe_store_errors: IntCounterVec = "hookward_dedupe_store_errors_total" ["store"];
    /// Duplicates whose body differs from the delivered one.
    dedupe_body_mismatch: IntCounterVec = "hookward_dedupe_body_mismatch_total" ["source"];
    /// 1 if the source can verify, 0 if none of its secrets can be read.
    source_ready: IntGaugeVec = "hookward_source_ready" ["source"];
    /// When an event of the source last verified, in seconds since 1970.
    source_last_event: GaugeVec = "hookward_source_last_event_timestamp_seconds" ["source"];
    /// When a signature last matched the secret, in seconds since 1970; unused old ones can go.
    secret_last_match: GaugeVec = "hookward_secret_last_match_timestamp_seconds" ["source", "secret"];
    /// When the first certificate of the listener or of an upstream expires, in seconds since 1970.
    certificate_expiry: GaugeVec = "hookward_certificate_expiry_timestamp_seconds" ["use"];
    /// Age of the keys that a source's sender publishes; absent until they are fetched.
    keys_age: GaugeVec = "hookward_keys_age_seconds" ["source"];
    /// 1 if the upstream is healthy at this address, 0 if not; absent while unknown.
    upstream_healthy: GaugeVec = "hookward_upstream_healthy" ["upstream", "address"];
    /// Reloads of the configuration: ok, or error, which keeps the old one.
    config_reloads: IntCounterVec = "hookward_config_reloads_total" ["result"];
    /// Events in the inbox by destination and state.
    inbox_events: IntGaugeVec = "hookward_inbox_events" ["upstream", "state"];
    /// Bytes of events in the inbox, limited by `max_bytes`.
    inbox_bytes: IntGaugeVec = "hookward_inbox_bytes" [];
    /// How long the most overdue event has been due without an attempt.
    inbox_overdue: IntGaugeVec = "hookward_inbox_overdue_seconds" [];
    /// Age of the oldest event that an upstream has not accepted yet.
    inbox_oldest: IntGaugeVec = "hookward_inbox_oldest_seconds" ["upstream"];
    /// 1 while an upstream is paused.
    inbox_paused: IntGaugeVec = "hookward_inbox_paused" ["upstream"];
    /// Order keys that wait behind an event that was given up.
    inbox_lanes_blocked: IntGaugeVec = "hookward_inbox_lanes_blocked" ["upstream"];
    /// Events that the inbox has made durable, by how their route is delivered.
    inbox_accepted: IntCounterVec = "hookward_inbox_accepted_total" ["source", "mode"];
    /// Attempts from the inbox by result, without the first attempt of a spill route.
    inbox_attempts: IntCounterVec = "hookward_inbox_attempts_total" ["upstream", "result"];
    /// Events that left the inbox or died.
    inbox_ended: IntCounterVec = "hookward_inbox_ended_total" ["upstream", "end"];
    /// Events for which the inbox had no room.
    inbox_full: IntCounterVec = "hookward_inbox_full_total" ["source"];
    /// Time to make an event durable.
    inbox_accept: HistogramVec = "hookward_inbox_accept_seconds" [], DURATION_SECONDS;
    /// Time of one flush to disk.
    inbox_flush: HistogramVec = "hookward_inbox_flush_seconds" [], DURATION_SECONDS;
    /// Jumps of the machine's wall clock against its steady clock by more than a second.
    clock_jumps: IntCounter = "hookward_clock_jumps_total" [];
    /// 1, labelled with the version.
    build_info: IntGaugeVec = "hookward_build_info" ["version"];
}

/// Handles for one source; made when a configuration is loaded.
#[derive(Debug)]
pub struct SourceMetrics {
    name: String,
    vecs: SourceVecs,
    /// One per success, in the order of [`GOOD_ENDS`], then one per reason. These and the ones
    /// below are created at first use, so that unused ones cost no series.
    deliveries: Vec<OnceLock<IntCounter>>,
    durations: [OnceLock<Histogram>; Outcome::ALL.len()],
    /// For each type that a route names literally, and last for `other`, one per outcome.
    events: Vec<(String, [OnceLock<IntCounter>; Outcome::ALL.len()])>,
    event_types: HashMap<String, usize>,
    secret_matches: Vec<IntCounter>,
    event_lag: OnceLock<Histogram>,
    /// `None` if there is no source.
    body_mismatch: Option<IntCounter>,
}

/// The possible series of a source.
#[derive(Clone, Debug)]
struct SourceVecs {
    deliveries: IntCounterVec,
    durations: HistogramVec,
    events: IntCounterVec,
    event_lag: HistogramVec,
}

/// Failures of a source that start at 0, so that a rate includes the first one: those that alerts
/// use. All others appear when they happen.
const WATCHED: [Reason; 15] = [
    Reason::SignatureMissing,
    Reason::SignatureMalformed,
    Reason::SignatureMismatch,
    Reason::TimestampTooOld,
    Reason::SecretUnavailable,
    Reason::StoreUnavailable,
    Reason::InFlight,
    Reason::StillWorking,
    Reason::Uncertain,
    Reason::UpstreamUnreachable,
    Reason::UpstreamTimeout,
    Reason::UpstreamError,
    Reason::UpstreamBusy,
    Reason::UpstreamRefused,
    Reason::UpstreamBroken,
];

/// Failures before a source is known; they start at 0.
const BEFORE_A_SOURCE: [Reason; 5] = [
    Reason::UnknownSource,
    Reason::HeaderTimeout,
    Reason::BadRequest,
    Reason::Overloaded,
    Reason::ShuttingDown,
];

const GOOD_ENDS: [Outcome; 5] =
    [Outcome::Delivered, Outcome::Duplicate, Outcome::Queued, Outcome::Ignored, Outcome::Handshake];

impl SourceMetrics {
    /// Counts a request: outcome, reason and duration.
    pub fn ended(&self, outcome: Outcome, reason: Option<Reason>, duration: Duration) {
        if let Some(counter) = self.delivery(outcome, reason) {
            counter.inc();
        }
        if let Some(slot) = self.durations.get(outcome as usize) {
            let labels = [self.name.as_str(), outcome.label()];
            let histogram = slot.get_or_init(|| self.vecs.durations.with_label_values(&labels));
            histogram.observe(duration.as_secs_f64());
        }
    }

    fn delivery(&self, outcome: Outcome, reason: Option<Reason>) -> Option<&IntCounter> {
        let index = match reason {
            Some(reason) => GOOD_ENDS.len() + reason as usize,
            None => GOOD_ENDS.iter().position(|good| *good == outcome).unwrap_or_default(),
        };
        let labels = [self.name.as_str(), outcome.label(), reason.map_or("", Reason::label)];
        let slot = self.deliveries.get(index)?;
        Some(slot.get_or_init(|| self.vecs.deliveries.with_label_values(&labels)))
    }

    /// Creates the series of these ends before the first one happens.
    fn start_at_zero(&self, good: &[Outcome], bad: impl Iterator<Item = Reason>) {
        for outcome in good {
            self.delivery(*outcome, None);
        }
        for reason in bad {
            self.delivery(reason.facets().outcome, Some(reason));
        }
    }

    /// Counts a duplicate with another body than the one that was delivered.
    pub fn other_body(&self) {
        if let Some(counter) = &self.body_mismatch {
            counter.inc();
        }
    }

    /// Records the time between an event and its first delivery.
    pub fn lag(&self, seconds: f64) {
        let histogram = || self.vecs.event_lag.with_label_values(&[self.name.as_str()]);
        self.event_lag.get_or_init(histogram).observe(seconds);
    }

    /// Counts a verified event.
    pub fn event(&self, event_type: &str, outcome: Outcome) {
        let other = self.events.len().saturating_sub(1);
        let row = self.event_types.get(event_type).copied().unwrap_or(other);
        let Some((label, row)) = self.events.get(row) else { return };
        if let Some(slot) = row.get(outcome as usize) {
            let labels = [self.name.as_str(), label, outcome.label()];
            slot.get_or_init(|| self.vecs.events.with_label_values(&labels)).inc();
        }
    }

    /// Counts that the secret of this index (0 is the newest) matched.
    pub fn secret_matched(&self, index: usize) {
        if let Some(counter) = self.secret_matches.get(index) {
            counter.inc();
        }
    }
}

impl Metrics {
    /// Handles for a source that is about to be served. The counters of successes and of failures
    /// that alerts use start at 0.
    pub fn for_source(&self, source: &Source) -> SourceMetrics {
        self.source_ready
            .with_label_values(&[source.name.as_str()])
            .set(i64::from(source.sender.keys.is_ok()));
        let types = source
            .routes
            .iter()
            .flat_map(|route| &route.events)
            .filter_map(|glob| glob.literal())
            .chain(["other"]);
        let secrets = source.sender.labels();
        if source.uses_inbox() {
            self.inbox_full.with_label_values(&[source.name.as_str()]);
            for route in source.routes.iter().filter(|route| route.uses_inbox()) {
                let mode = if route.delivery == DeliveryMode::Queued { "queued" } else { "spill" };
                self.inbox_accepted.with_label_values(&[source.name.as_str(), mode]);
            }
        }
        let handles = self.source_handles(source.name.as_str(), types, secrets);
        let has_time = source.sender.scheme.timestamp.is_some();
        let watched = WATCHED.into_iter().filter(|reason| match reason.facets().concern {
            Concern::Timestamp | Concern::Age => has_time,
            _ => true,
        });
        if source.uses_inbox() {
            let full = std::iter::once(Reason::InboxFull);
            handles.start_at_zero(&[Outcome::Queued], full);
        }
        handles.start_at_zero(&[Outcome::Delivered, Outcome::Duplicate], watched);
        handles
    }

    /// Removes a source's readiness once it is no longer served. Its counters stay, because rates
    /// over them still include its last deliveries.
    pub fn source_is_gone(&self, name: &str) {
        // It exists unless two snapshots were replaced at once; then it is already gone.
        drop(self.source_ready.remove_label_values(&[name]));
    }

    /// Handles for requests that match no source: their `source` label is empty.
    pub fn for_no_source(&self) -> SourceMetrics {
        let handles = self.source_handles("", std::iter::empty(), std::iter::empty());
        handles.start_at_zero(&[], BEFORE_A_SOURCE.into_iter());
        handles
    }

    fn source_handles<'a>(
        &self,
        name: &str,
        types: impl Iterator<Item = &'a str>,
        secrets: impl Iterator<Item = &'a str>,
    ) -> SourceMetrics {
        let mut event_types = HashMap::new();
        let mut events = Vec::new();
        for event_type in types {
            event_types.entry(event_type.to_owned()).or_insert_with(|| {
                events.push((event_type.to_owned(), std::array::from_fn(|_| OnceLock::new())));
                events.len() - 1
            });
        }
        SourceMetrics {
            name: name.to_owned(),
            vecs: SourceVecs {
                deliveries: self.deliveries.clone(),
                durations: self.delivery_duration.clone(),
                events: self.events.clone(),
                event_lag: self.event_lag.clone(),
            },
            deliveries: (0..GOOD_ENDS.len() + Reason::ALL.len()).map(|_| OnceLock::new()).collect(),
            durations: std::array::from_fn(|_| OnceLock::new()),
            events,
            event_types,
            secret_matches: secrets
                .map(|secret| self.secret_matches.with_label_values(&[name, secret]))
                .collect(),
            event_lag: OnceLock::new(),
            body_mismatch: (!name.is_empty())
                .then(|| self.dedupe_body_mismatch.with_label_values(&[name])),
        }
    }

    /// Adds the collector of process figures (CPU, memory, descriptors), if the system has them.
    #[must_use]
    pub fn with_process_figures(self) -> Self {
        let collector = prometheus::process_collector::ProcessCollector::for_self();
        // The name is in use only if this is called twice, and then the first collector works.
        drop(self.registry.register(Box::new(collector)));
        self
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric family is empty or inconsistent, which the registry excludes.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|fault| prometheus::Error::Msg(fault.to_string()))
    }
}

mod counted;
mod shown;
mod stages;
#[cfg(test)]
mod tests;
mod upstream;

pub use counted::Counted;
pub use shown::Shown;
pub use stages::{Stage, StageMetrics, StageWatch};
pub use upstream::{UpstreamMetrics, UpstreamResult};
