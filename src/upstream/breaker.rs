//! The circuit breaker: when a destination fails repeatedly, nothing is tried for a while, and
//! senders are told at once when to retry.
//!
//! A failure means that no answer came: no connection, a broken one, or none in time. A 5xx is an
//! answer. It may concern only one event, and the sender's retry of *that* event is the remedy;
//! refusing all other events would turn one bad event into an outage.

use crate::config::Breaker as BreakerSettings;
use parking_lot::Mutex;
use std::time::Duration;

/// The wait that senders are told while the probe is in flight.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// The breaker of one upstream.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    settings: BreakerSettings,
    state: Mutex<BreakerState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BreakerState {
    /// All may pass; so many failures in a row.
    Closed { failures: u32 },
    /// Nobody may pass before this point of the monotonic clock; then one, as a probe.
    Open { until: Duration },
    /// The probe is under way.
    Probing,
}

impl CircuitBreaker {
    pub(super) const fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: Mutex::new(BreakerState::Closed { failures: 0 }) }
    }

    /// Why nobody may pass now: the time after which to try again. Changes nothing.
    pub(super) fn refusal(&self, now: Duration) -> Option<Duration> {
        match *self.state.lock() {
            BreakerState::Open { until } if until > now => Some(until.saturating_sub(now)),
            BreakerState::Probing => Some(PROBE_TIME),
            BreakerState::Closed { .. } | BreakerState::Open { .. } => None,
        }
    }

    /// Lets an attempt pass, or says after which time to try again.
    pub(super) fn admit(&self, now: Duration) -> Result<Admission<'_>, Duration> {
        if let Some(wait) = self.refusal(now) {
            return Err(wait);
        }
        let mut state = self.state.lock();
        let probe = !matches!(*state, BreakerState::Closed { .. });
        if *state == BreakerState::Probing {
            return Err(PROBE_TIME);
        }
        if probe {
            *state = BreakerState::Probing;
        }
        Ok(Admission { breaker: self, probe, judged: false })
    }
}

/// Permission for one attempt. If it is dropped without a verdict, the attempt does not count.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    breaker: &'a CircuitBreaker,
    probe: bool,
    judged: bool,
}

impl Admission<'_> {
    /// An answer came.
    pub(super) fn succeeded(mut self) {
        self.judged = true;
        *self.breaker.state.lock() = BreakerState::Closed { failures: 0 };
    }

    /// None came.
    pub(super) fn failed(mut self, now: Duration) {
        self.judged = true;
        let settings = self.breaker.settings;
        let open = BreakerState::Open { until: now.saturating_add(settings.open_for) };
        let mut state = self.breaker.state.lock();
        *state = match *state {
            BreakerState::Closed { failures } if failures + 1 < settings.failures => {
                BreakerState::Closed { failures: failures + 1 }
            }
            BreakerState::Closed { .. } => open,
            // A straggler from before says nothing new.
            other if !self.probe => other,
            BreakerState::Open { .. } | BreakerState::Probing => open,
        };
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.probe && !self.judged {
            *self.breaker.state.lock() = BreakerState::Open { until: Duration::ZERO };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn breaker() -> CircuitBreaker {
        CircuitBreaker::new(BreakerSettings { failures: 3, open_for: seconds(10) })
    }

    fn opened_at(now: Duration) -> CircuitBreaker {
        let breaker = breaker();
        for _ in 0..3 {
            breaker.admit(now).unwrap().failed(now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row() {
        let breaker = breaker();
        for _ in 0..5 {
            breaker.admit(seconds(1)).unwrap().failed(seconds(1));
            breaker.admit(seconds(1)).unwrap().failed(seconds(1));
            breaker.admit(seconds(1)).unwrap().succeeded();
        }
        assert_eq!(breaker.refusal(seconds(1)), None);
        let breaker = opened_at(seconds(1));
        assert_eq!(breaker.admit(seconds(4)).unwrap_err(), seconds(7));
        assert_eq!(breaker.refusal(seconds(4)), Some(seconds(7)));
    }

    #[test]
    fn when_the_time_is_up_one_probe_passes_and_decides() {
        let breaker = opened_at(seconds(0));
        let probe = breaker.admit(seconds(10)).unwrap();
        assert_eq!(breaker.admit(seconds(10)).unwrap_err(), seconds(1));
        probe.failed(seconds(12));
        assert_eq!(breaker.admit(seconds(13)).unwrap_err(), seconds(9));
        breaker.admit(seconds(22)).unwrap().succeeded();
        let (one, two) = (breaker.admit(seconds(22)), breaker.admit(seconds(22)));
        assert!(one.is_ok() && two.is_ok());
    }

    #[test]
    fn a_probe_that_ends_without_a_verdict_lets_the_next_one_pass() {
        let breaker = opened_at(seconds(0));
        drop(breaker.admit(seconds(10)).unwrap());
        assert!(breaker.admit(seconds(10)).is_ok());
    }

    #[test]
    fn a_straggler_does_not_lengthen_the_time() {
        let breaker = breaker();
        let straggler = breaker.admit(seconds(0)).unwrap();
        for _ in 0..3 {
            breaker.admit(seconds(0)).unwrap().failed(seconds(0));
        }
        straggler.failed(seconds(9));
        assert_eq!(breaker.refusal(seconds(9)), Some(seconds(1)));
    }
}
