//! Deliveries as spans, for those who follow a trace from the sender through to the receiver.
//!
//! Owns when spans are exported (the standard `OTEL_*` variables name a collector) and what is in
//! one; how they travel is in `otlp`, which is built with the cargo feature of that name.

#[cfg(feature = "otlp")]
mod otlp;

use crate::answer::Answer;
use crate::clock::UnixMillis;
use crate::report::Report;
use crate::trace::Trace;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The variables one of which names the collector; without them nothing is exported.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

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

/// Where spans go. Never waits: what cannot be taken is dropped.
pub trait SpanSink: Send + Sync + fmt::Debug {
    /// Takes a delivery.
    fn take(&self, delivery: &Ended<'_>);

    /// Sends what is left, for a few seconds at most.
    fn flush(&self);
}

/// What the environment asks for, if it names a collector.
///
/// # Errors
/// A sentence on a variable that cannot be followed.
pub fn from_environment() -> Result<Option<Arc<dyn SpanSink>>, String> {
    let says = |name: &str, word: &str| {
        std::env::var(name).is_ok_and(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_off = says("OTEL_SDK_DISABLED", "true") || says("OTEL_TRACES_EXPORTER", "none");
    if is_off || !ENDPOINTS.iter().any(is_set) {
        return Ok(None);
    }
    collector()
}

#[cfg(feature = "otlp")]
fn collector() -> Result<Option<Arc<dyn SpanSink>>, String> {
    Ok(Some(Arc::new(otlp::Exporter::new()?)))
}

#[cfg(not(feature = "otlp"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as the one that exports")]
fn collector() -> Result<Option<Arc<dyn SpanSink>>, String> {
    tracing::warn!("a collector is named, but this binary was built without `--features otlp`");
    Ok(None)
}
