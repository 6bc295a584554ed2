//! Reports a delivery once it has ended: one log line and its counters.
//!
//! Counting and logging happen only here, exactly once for each request. The lifecycle fills a
//! [`Report`] as it proceeds, and [`Reporter::conclude`] ends it. A line never contains a body, a
//! secret or a computed signature. Text from an unverified request is escaped and cut.

use crate::delivery::answer::Answer;
use crate::delivery::bucket::Bucket;
use crate::delivery::proof::Proven;
use crate::delivery::source::{RateLimit, SourceName};
use crate::delivery::trace::Trace;
use crate::outcome::{Concern, Level, Outcome};
use crate::request::Body;
use crate::telemetry::metrics::SourceMetrics;
use hookward_names::UpstreamName;
use hookward_time::{Clock, UnixMillis};
use hookward_verify::event::Event;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How many refusals of unproven or too old requests are logged; the rest is only counted, because
/// strangers control their number.
const REFUSALS: RateLimit = RateLimit { requests: 20, per: Duration::from_secs(1) };

/// How many duplicates are logged; anyone who has recorded one genuine delivery controls their
/// number.
const DUPLICATES: RateLimit = RateLimit { requests: 100, per: Duration::from_secs(1) };

/// How many handshakes and unrouted events are logged, which can be repeated as well.
const REPEATED: RateLimit = RateLimit { requests: 100, per: Duration::from_secs(1) };

/// How many held or failed deliveries are logged. An outage has many, and each is informative; but
/// one recorded delivery can be sent repeatedly while its upstream is down.
const TROUBLE: RateLimit = RateLimit { requests: 1000, per: Duration::from_secs(1) };

/// How much of an unverified text a line shows, in characters.
const UNVERIFIED_TEXT_CHARS: usize = 120;

/// The facts about a delivery so far.
#[derive(Debug)]
pub struct Report {
    /// The name of the source; `None` until the path is known to be one's.
    pub source: Option<SourceName>,
    /// The path, for requests that match no source; unverified.
    pub path: String,
    /// The event; only once its signature held.
    pub event: Option<Proven>,
    /// What each destination said, in route order.
    pub destinations: Vec<DestinationReport>,
    /// How many bytes the body has.
    pub body_bytes: usize,
    /// The sender's address.
    pub client: IpAddr,
    /// The trace that the delivery belongs to; `None` where no source is.
    pub trace: Option<Trace>,
    /// The body, kept only where shadow mode may have to send it on in spite of the judgement, or
    /// where a refused delivery is captured.
    pub body: Option<Arc<Body>>,
    /// What the sender was told in shadow mode, if that is not what was judged.
    pub shadowed: Option<String>,
}

impl Report {
    /// A report on a request from `client`.
    #[must_use]
    pub fn of(client: IpAddr) -> Self {
        Self {
            source: None,
            path: String::new(),
            event: None,
            destinations: Vec::new(),
            body_bytes: 0,
            client,
            trace: None,
            body: None,
            shadowed: None,
        }
    }
}

impl Report {
    /// The event, if it is verified: its signature holds, and its age is proven as well.
    #[must_use]
    pub fn verified(&self, answer: &Answer) -> Option<&Event> {
        let reason = answer.refusal().map(|refusal| refusal.reason);
        let is_stale = reason.is_some_and(|reason| reason.facets().concern == Concern::Age);
        self.event.as_ref().map(Proven::event).filter(|_| !is_stale)
    }
}

/// The result at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationReport {
    /// The upstream.
    pub name: UpstreamName,
    /// A status, `delivered before`, or a reason's label.
    pub result: Cow<'static, str>,
    /// How long it took.
    pub duration: Duration,
}

impl DestinationReport {
    /// As a log line has it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let Self { name, result, duration } = self;
        serde_json::json!({ "name": name.as_str(), "result": result, "ms": millis(*duration) })
    }
}

/// A delivery that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its trace.
    pub trace: &'a Trace,
    /// What is known of it.
    pub report: &'a Report,
    /// How it was judged.
    pub answer: &'a Answer,
    /// When it ended.
    pub at: UnixMillis,
    /// How long it took.
    pub duration: Duration,
}

/// The sink for spans. It never waits: spans that it cannot accept are dropped.
pub trait SpanSink: Send + Sync + fmt::Debug {
    /// Takes a delivery.
    fn take(&self, delivery: &Ended<'_>);

    /// Sends what is left, for a few seconds at most.
    fn flush(&self);
}

/// Writes lines and counts.
#[derive(Debug)]
pub struct Reporter {
    refusals: Bucket,
    duplicates: Bucket,
    repeated: Bucket,
    trouble: Bucket,
    suppressed: AtomicU64,
    clock: Arc<dyn Clock>,
    spans: OnceLock<Arc<dyn SpanSink>>,
}

impl Reporter {
    /// A reporter whose limits go by `clock`.
    #[must_use]
    pub fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            refusals: Bucket::new(REFUSALS, Arc::clone(clock)),
            duplicates: Bucket::new(DUPLICATES, Arc::clone(clock)),
            repeated: Bucket::new(REPEATED, Arc::clone(clock)),
            trouble: Bucket::new(TROUBLE, Arc::clone(clock)),
            suppressed: AtomicU64::new(0),
            clock: Arc::clone(clock),
            spans: OnceLock::new(),
        }
    }

    /// Gives every delivery that is logged to `sink`, too. The first one that is given stays.
    pub fn show_spans(&self, sink: Arc<dyn SpanSink>) {
        drop(self.spans.set(sink));
    }

    /// Counts the request and writes its line, or counts it among those that a burst kept out of
    /// the log.
    pub fn conclude(
        &self,
        report: &Report,
        answer: &Answer,
        duration: Duration,
        metrics: &SourceMetrics,
    ) {
        let reason = answer.refusal().map(|refusal| refusal.reason);
        metrics.ended(answer.outcome(), reason, duration);
        let verified = report.verified(answer);
        if let Some(event) = verified {
            metrics.event(&event.kind, answer.outcome());
        }
        let bucket = match answer.outcome() {
            Outcome::Rejected if verified.is_none() => Some(&self.refusals),
            Outcome::Duplicate => Some(&self.duplicates),
            Outcome::Ignored | Outcome::Handshake => Some(&self.repeated),
            Outcome::Held | Outcome::Failed | Outcome::Rejected => Some(&self.trouble),
            Outcome::Delivered | Outcome::Queued => None,
        };
        if bucket.is_some_and(|bucket| bucket.take().is_err()) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.write(report, answer, duration);
        if let (Some(spans), Some(trace)) = (self.spans.get(), &report.trace) {
            let at = self.clock.wall();
            spans.take(&Ended { trace, report, answer, at, duration });
        }
    }

    fn write(&self, report: &Report, answer: &Answer, duration: Duration) {
        let facets = answer.refusal().map(|refusal| refusal.reason.facets());
        let needs_attention =
            facets.is_some_and(|facets| facets.level == Level::Warn) || report.shadowed.is_some();
        let is_shown = if needs_attention {
            tracing::enabled!(tracing::Level::WARN)
        } else {
            tracing::enabled!(tracing::Level::INFO)
        };
        if !is_shown {
            return;
        }
        let source = report.source.as_ref().map_or("", SourceName::as_str);
        let event_id = report.event.as_ref().map_or("", |proven| proven.event().id.as_str());
        let event_type = report.event.as_ref().map_or("", |proven| proven.event().kind.as_str());
        let outcome = answer.outcome().label();
        let reason = facets.map_or("", |facets| facets.label);
        let detail = answer.refusal().map(|refusal| &*refusal.detail);
        let detail = detail.filter(|detail| !detail.is_empty());
        let status = answer.status();
        let destinations = destinations_json(&report.destinations);
        let duration_ms = millis(duration);
        let body_bytes = report.body_bytes;
        let client = report.client.to_string();
        let trace_id = report.trace.as_ref().map_or("", Trace::id);
        // These stand in a line only where they say something.
        let path = (!report.path.is_empty()).then(|| printable(&report.path));
        let path = path.as_deref();
        let shadowed = report.shadowed.as_deref();
        let suppressed = Some(self.suppressed.swap(0, Ordering::Relaxed)).filter(|n| *n > 0);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    source,
                    event_id,
                    event_type,
                    outcome,
                    reason,
                    status,
                    destinations,
                    duration_ms,
                    body_bytes,
                    client,
                    trace_id,
                    detail,
                    path,
                    shadowed,
                    suppressed,
                    "delivery"
                )
            };
        }
        if needs_attention {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

/// Escapes what is not printable ASCII and cuts what is long.
#[must_use]
pub fn printable(unverified: &str) -> String {
    let mut text = String::with_capacity(unverified.len().min(UNVERIFIED_TEXT_CHARS));
    let mut characters = unverified.chars();
    for character in characters.by_ref().take(UNVERIFIED_TEXT_CHARS) {
        match character {
            ' '..='~' if character != '\\' => text.push(character),
            other => text.extend(other.escape_default()),
        }
    }
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

/// Escapes control characters and what cannot be seen; letters of any script and quotes stay.
#[must_use]
pub fn readable(text: &str) -> String {
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

fn destinations_json(destinations: &[DestinationReport]) -> String {
    let list: Vec<_> = destinations.iter().map(DestinationReport::to_json).collect();
    serde_json::Value::Array(list).to_string()
}

/// For the log, with the microseconds as a fraction.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).map_or(f64::MAX, f64::from);
    micros / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::answer::Success;
    use crate::outcome::Reason;

    #[test]
    fn an_unverified_text_is_escaped_and_cut() {
        assert_eq!(printable("/a\r\nb\u{1b}[31m\\"), r"/a\r\nb\u{1b}[31m\\");
        let long = printable(&"x".repeat(500));
        assert_eq!(long.chars().count(), UNVERIFIED_TEXT_CHARS + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn lines_whose_number_a_stranger_sets_are_limited_and_the_rest_is_counted() {
        let clock = Arc::new(hookward_time::ManualClock::at(hookward_time::UnixMillis(0)));
        let shared: Arc<dyn Clock> = clock.clone();
        let reporter = Reporter::new(&shared);
        let metrics = crate::telemetry::metrics::Metrics::new().unwrap();
        let nowhere = metrics.for_no_source();
        let report = Report::of("203.0.113.7".parse().unwrap());
        let suppressed_of = |answer: &Answer, times: u32| {
            for _ in 0..times {
                reporter.conclude(&report, answer, Duration::ZERO, &nowhere);
            }
            reporter.suppressed.swap(0, Ordering::Relaxed)
        };
        let refused = Answer::refused(Reason::SignatureMismatch.into());
        assert_eq!(suppressed_of(&refused, 25), 5);
        clock.advance(Duration::from_millis(50));
        assert_eq!(suppressed_of(&refused, 2), 1);
        assert_eq!(suppressed_of(&Answer::empty(Success::Duplicate, 200), 103), 3);
        for repeated in [Success::Ignored, Success::Handshake] {
            clock.advance(Duration::from_secs(1));
            assert_eq!(suppressed_of(&Answer::empty(repeated, 200), 103), 3, "{repeated:?}");
        }
        for trouble in [Reason::UpstreamUnreachable, Reason::Uncertain] {
            clock.advance(Duration::from_secs(1));
            let answer = Answer::refused(trouble.into());
            assert_eq!(suppressed_of(&answer, 1003), 3, "{trouble:?}");
        }
        assert_eq!(suppressed_of(&Answer::empty(Success::Delivered, 200), 5000), 0);
        let counted = ["", "rejected", "signature_mismatch"];
        assert_eq!(metrics.deliveries.with_label_values(&counted).get(), 27);
    }

    #[test]
    fn destinations_are_listed_with_name_result_and_time() {
        let list = [DestinationReport {
            name: "erp".into(),
            result: "2xx".into(),
            duration: Duration::from_micros(1500),
        }];
        assert_eq!(destinations_json(&list), r#"[{"ms":1.5,"name":"erp","result":"2xx"}]"#);
    }
}
