//! How many attempts from the inbox are made, so that live deliveries go first.
//!
//! On a busy machine each of them takes processor time from live deliveries. How late an attempt begins
//! says how busy it is, however fast the receivers are. And a backlog with a fast receiver would itself make
//! the machine busy, so there is a bound on the attempts in a second as well.

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

/// What one attempt uses up of a second, so that at most 6,666 begin in it. Receivers are seldom as fast; if
/// they are, more attempts would take all that two processors have.
const EACH: Duration = Duration::from_micros(150);

/// So many may begin at once after a rest.
const BURST: u32 = 16;

/// How many attempts from the inbox may be made at once, and how many may begin in a second.
#[derive(Debug)]
pub(super) struct Pace(Mutex<PaceState>);

#[derive(Debug)]
struct PaceState {
    /// In parts of one. They fall by an eighth with each attempt that begins late, and rise by one with as
    /// many that do not.
    limit: usize,
    /// Until when the attempts that have begun use up what a second allows.
    used_until: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(PaceState { limit: LEAST * PARTS, used_until: Duration::ZERO }))
    }
}

impl Pace {
    /// How many may be made at once.
    pub(super) fn limit(&self) -> usize {
        self.0.lock().limit / PARTS
    }

    /// How many may begin at this point of the monotonic clock.
    pub(super) fn allowed(&self, now: Duration) -> usize {
        let used = self.0.lock().used_until.saturating_sub(now);
        let left = (EACH * BURST).saturating_sub(used).as_nanos() / EACH.as_nanos();
        usize::try_from(left).unwrap_or(0)
    }

    /// One begins.
    pub(super) fn begins(&self, now: Duration) {
        let mut state = self.0.lock();
        state.used_until = state.used_until.max(now) + EACH;
    }

    /// Learns how late an attempt began.
    pub(super) fn began(&self, late: Duration) {
        let limit = &mut self.0.lock().limit;
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

    #[test]
    fn a_second_has_room_for_so_many_attempts_and_no_rest_saves_up_more_than_a_burst() {
        let pace = Pace::default();
        let hour = Duration::from_hours(1);
        let (mut begun, mut now) = (0, hour);
        assert_eq!(pace.allowed(now), BURST as usize);
        while now < hour + Duration::from_secs(1) {
            for _ in 0..pace.allowed(now) {
                pace.begins(now);
                begun += 1;
            }
            assert_eq!(pace.allowed(now), 0);
            now += Duration::from_millis(1);
        }
        let in_a_second = Duration::from_secs(1).div_duration_f64(EACH);
        assert!((f64::from(begun) - in_a_second).abs() <= f64::from(BURST), "{begun}");
        assert_eq!(pace.allowed(now + hour), BURST as usize);
    }
}
