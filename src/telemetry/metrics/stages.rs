//! The stages of a delivery, and how long they take.

use super::Metrics;
use prometheus::Histogram;
use std::time::Duration;

/// A stage of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the body.
    Read,
    /// Judging the signature, reading the event.
    Verify,
    /// Asking the claim store.
    Dedupe,
    /// Waiting for the destinations.
    Upstream,
}

/// Handles for every [`Stage`].
#[derive(Clone, Debug)]
pub struct StageMetrics([Histogram; 4]);

impl StageMetrics {
    /// Records that a stage took `duration`.
    pub fn record(&self, stage: Stage, duration: Duration) {
        if let Some(histogram) = self.0.get(stage as usize) {
            histogram.observe(duration.as_secs_f64());
        }
    }
}

impl Metrics {
    /// Handles for the stages.
    pub fn for_stages(&self) -> StageMetrics {
        StageMetrics(
            ["read", "verify", "dedupe", "upstream"]
                .map(|stage| self.stage_duration.with_label_values(&[stage])),
        )
    }
}
