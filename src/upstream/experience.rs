//! An upstream's health according to its exchanges, if it has no health check.
//!
//! Any answer that is not a 5xx shows that it is healthy. If it is unreachable, times out, breaks
//! off or answers 5xx three times in a row, it is unhealthy. Before that it is unknown.

use crate::telemetry::metrics::UpstreamResult;
use hookward_time::UnixMillis;
use parking_lot::Mutex;

/// Bad ends in a row that make an upstream unhealthy.
const BAD_ENDS: u32 = 3;

/// Whether it is healthy, according to its answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Impression {
    bad_in_a_row: u32,
    healthy: Option<bool>,
}

impl Impression {
    /// Takes one more end of an exchange in.
    pub(super) fn note(&mut self, is_good: bool) {
        if is_good {
            *self = Self { bad_in_a_row: 0, healthy: Some(true) };
            return;
        }
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
        if self.bad_in_a_row >= BAD_ENDS {
            self.healthy = Some(false);
        }
    }

    /// `None`: nothing is known yet.
    pub(super) const fn healthy(self) -> Option<bool> {
        self.healthy
    }
}

/// How the last request to an upstream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastResult {
    /// As the metric calls it.
    pub result: UpstreamResult,
    /// When.
    pub at: UnixMillis,
    /// What was wrong, in words; `None` after a 2xx.
    pub error: Option<String>,
}

/// The impression of an upstream, and its last result.
#[derive(Debug, Default)]
pub(super) struct Experience(Mutex<(Impression, Option<LastResult>)>);

impl Experience {
    /// Notes how a request ended.
    pub(super) fn note(&self, last: LastResult) {
        let mut known = self.0.lock();
        known.0.note(last.result.is_good());
        known.1 = Some(last);
    }

    /// Whether it is well, and how the last request ended.
    pub(super) fn get(&self) -> (Option<bool>, Option<LastResult>) {
        let known = self.0.lock();
        (known.0.healthy(), known.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bad_ends_in_a_row_are_needed_and_one_good_one_is_enough() {
        let mut impression = Impression::default();
        let seen = [false, false, true, false, false, true, false, false, false, false, true];
        let shown = seen.map(|is_good| {
            impression.note(is_good);
            impression.healthy()
        });
        let (unknown, well, ill) = (None, Some(true), Some(false));
        let expected = [unknown, unknown, well, well, well, well, well, well, ill, ill, well];
        assert_eq!(shown, expected);
    }
}
