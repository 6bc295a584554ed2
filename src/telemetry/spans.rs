//! Deliveries as spans, for those who follow a trace from the sender through to the receiver.
//!
//! Owns when spans are exported (the standard `OTEL_*` variables name a collector) and what is in
//! one; how they travel is in `otlp`, which is built with the cargo feature of that name.

#[cfg(feature = "otlp")]
mod otlp;

use crate::delivery::report::SpanSink;
use std::sync::Arc;

/// The variables one of which names the collector; without them nothing is exported.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

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
