//! The stages of a delivery, and how long they take.

use super::Metrics;
use hookward_time::Clock;
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

    /// Begins to measure a delivery.
    pub fn watch<'a>(&'a self, clock: &'a dyn Clock) -> StageWatch<'a> {
        let started = clock.monotonic();
        StageWatch { stages: self, clock, started, last: started }
    }
}

/// Measures a delivery: each of its stages begins where the one before it ended.
#[derive(Debug)]
pub struct StageWatch<'a> {
    stages: &'a StageMetrics,
    clock: &'a dyn Clock,
    started: Duration,
    last: Duration,
}

impl StageWatch<'_> {
    /// Records a stage that ends now.
    pub fn ends(&mut self, stage: Stage) {
        let now = self.clock.monotonic();
        self.stages.record(stage, now.saturating_sub(self.last));
        self.last = now;
    }

    /// How long the delivery has taken so far.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
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
