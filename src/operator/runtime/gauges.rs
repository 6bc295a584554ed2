//! The gauges whose series come and go with what is known.

use crate::telemetry::metrics::{Metrics, Shown};

/// The gauges whose series appear and disappear.
pub(super) struct Gauges {
    pub(super) last_event: Shown,
    pub(super) last_match: Shown,
    pub(super) keys_age: Shown,
    pub(super) certificates: Shown,
    pub(super) healthy: Shown,
}

impl Gauges {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self {
            last_event: Shown::on(&metrics.source_last_event),
            last_match: Shown::on(&metrics.secret_last_match),
            keys_age: Shown::on(&metrics.keys_age),
            certificates: Shown::on(&metrics.certificate_expiry),
            healthy: Shown::on(&metrics.upstream_healthy),
        }
    }
}
