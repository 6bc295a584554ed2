//! Deliveries as spans, for following a trace from the sender to the receiver.
//!
//! It decides when spans are exported (the standard `OTEL_*` variables name a collector) and what
//! they contain. `otlp` sends them; it is built with the cargo feature of that name.

#[cfg(feature = "otlp")]
mod otlp;

use crate::delivery::report::SpanSink;
use std::sync::Arc;

/// The variables that can name the collector; without them nothing is exported.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The exporter that the environment configures, if it names a collector.
///
/// # Errors
/// A sentence about an invalid variable.
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
