//! Gauges that count down automatically.

use prometheus::IntGauge;

/// Adds to a gauge while it lives, so that no exit from a function can forget to count down.
#[derive(Debug)]
pub struct Counted {
    gauge: IntGauge,
    amount: i64,
}

impl Counted {
    /// Adds `amount` until it is dropped.
    #[must_use]
    pub fn on(gauge: &IntGauge, amount: i64) -> Self {
        gauge.add(amount);
        Self { gauge: gauge.clone(), amount }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.sub(self.amount);
    }
}
