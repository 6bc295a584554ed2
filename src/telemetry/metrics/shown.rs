//! Gauges whose series appear and disappear.

use parking_lot::Mutex;
use prometheus::GaugeVec;
use std::collections::HashSet;

/// A gauge that shows exactly the last given rows.
#[derive(Debug)]
pub struct Shown {
    gauge: GaugeVec,
    rows: Mutex<HashSet<Vec<String>>>,
}

impl Shown {
    /// Shows nothing yet.
    #[must_use]
    pub fn on(gauge: &GaugeVec) -> Self {
        Self { gauge: gauge.clone(), rows: Mutex::default() }
    }

    /// Shows these label values with their numbers, and removes all others.
    pub fn show(&self, rows: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let mut shown = self.rows.lock();
        let mut gone = std::mem::take(&mut *shown);
        for (labels, value) in rows {
            self.gauge.with_label_values(&labels).set(value);
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in gone {
            // It exists, because it was shown.
            drop(self.gauge.remove_label_values(&labels));
        }
    }
}
