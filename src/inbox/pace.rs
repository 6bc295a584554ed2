//! How many attempts from the inbox are made at once, so that live deliveries go first.
//!
//! On a busy machine each of them is one more task that a live delivery has to wait for. How late a
//! task begins says how busy it is, however fast the receivers are.

use parking_lot::Mutex;
use std::time::Duration;

/// Attempts at once at an upstream that has no `max_concurrent` of its own, at most.
pub(super) const MOST: usize = 64;

/// And so many however busy the machine is.
const LEAST: usize = 8;

/// A task that begins later than this had to wait for others.
const LATE: Duration = Duration::from_micros(500);

/// The parts that one attempt is counted in, so that the number can rise slowly.
const PARTS: usize = 256;

/// Attempts at once, in parts of one. They fall by an eighth with each one that begins late, and rise
/// by one with as many that do not.
#[derive(Debug)]
pub(super) struct Pace(Mutex<usize>);

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(LEAST * PARTS))
    }
}

impl Pace {
    /// How many may be made at once.
    pub(super) fn limit(&self) -> usize {
        *self.0.lock() / PARTS
    }

    /// Learns how late an attempt began.
    pub(super) fn began(&self, late: Duration) {
        let mut limit = self.0.lock();
        let next = if late > LATE { *limit / 8 * 7 } else { *limit + PARTS * PARTS / *limit };
        *limit = next.clamp(LEAST * PARTS, MOST * PARTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_makes_few_attempts_and_an_idle_one_many() {
        let pace = Pace::default();
        assert_eq!(pace.limit(), LEAST);
        for _ in 0..4_000 {
            pace.began(Duration::from_micros(50));
        }
        assert_eq!(pace.limit(), MOST);
        for _ in 0..16 {
            pace.began(Duration::from_millis(1));
        }
        assert_eq!(pace.limit(), LEAST);
        pace.began(LATE);
        assert!(pace.limit() >= LEAST);
    }
}
