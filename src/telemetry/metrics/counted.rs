//! Gauges that count back down by themselves.

use prometheus::IntGauge;

/// One more while it lives, on a gauge: no way out of a function can forget to count down.
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
