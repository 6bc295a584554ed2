//! The metrics of an upstream.

use super::Metrics;
use prometheus::{Histogram, IntCounter};
use std::time::Duration;

/// How a request to an upstream ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamResult {
    /// An answer, by the first digit of its status: 2 to 5.
    Status(u16),
    /// None within `timeout`.
    Timeout,
    /// No connection.
    Unreachable,
    /// No valid HTTP.
    Broken,
}

const UPSTREAM_RESULTS: [&str; 7] =
    ["2xx", "3xx", "4xx", "5xx", "timeout", "unreachable", "broken"];

impl UpstreamResult {
    const fn index(self) -> usize {
        match self {
            Self::Status(..300) => 0,
            Self::Status(300..400) => 1,
            Self::Status(400..500) => 2,
            Self::Status(500..) => 3,
            Self::Timeout => 4,
            Self::Unreachable => 5,
            Self::Broken => 6,
        }
    }

    /// The word for it, as in `hookward_upstream_requests_total`.
    #[must_use]
    pub fn label(self) -> &'static str {
        UPSTREAM_RESULTS.get(self.index()).copied().unwrap_or_default()
    }

    /// Whether the upstream answered, and not with a 5xx.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Status(..500))
    }
}

/// Handles for one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    results: Vec<IntCounter>,
    duration: Histogram,
}

impl UpstreamMetrics {
    /// Counts a request and how long it took.
    pub fn ended(&self, result: UpstreamResult, duration: Duration) {
        if let Some(counter) = self.results.get(result.index()) {
            counter.inc();
        }
        self.duration.observe(duration.as_secs_f64());
    }
}

impl Metrics {
    /// Handles for an upstream.
    pub fn for_upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            results: UPSTREAM_RESULTS
                .iter()
                .map(|result| self.upstream_requests.with_label_values(&[name, result]))
                .collect(),
            duration: self.upstream_duration.with_label_values(&[name]),
        }
    }
}
