//! Whether this machine's wall clock can be trusted.
//!
//! Freshness of a delivery is judged by the wall clock, so a clock that jumps refuses good
//! deliveries or lets old ones pass. Every second the wall clock is compared with the steady one: a
//! difference of more than a second is a jump, which is counted, logged and shown by `/readyz`.
//!
//! Only a jump of more than a minute, the usual tolerance of senders, makes the instance not ready,
//! and only for ten seconds: long enough for a load balancer to use another instance, and short
//! enough that one correction does not take a single instance out of service.

use hookward_time::{Clock, UnixMillis};
use parking_lot::Mutex;
use prometheus::IntCounter;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How often the clocks are compared.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A difference beyond this is a jump and not the slewing of a time daemon.
const JUMP_MILLIS: i64 = 1000;

/// A jump beyond this makes the instance not ready, for [`NOT_READY`].
const GRAVE_MILLIS: i64 = 60_000;

/// How long the instance is not ready after a large jump.
const NOT_READY: Duration = Duration::from_secs(10);

/// How long a jump is reported.
const SHOWN: Duration = Duration::from_mins(15);

/// Compares the two clocks.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    jumps: IntCounter,
    state: Mutex<ClockState>,
}

#[derive(Debug)]
struct ClockState {
    wall: UnixMillis,
    monotonic: Duration,
    last_jump: Option<Jump>,
}

#[derive(Clone, Copy, Debug)]
struct Jump {
    millis: i64,
    at: Duration,
}

/// The current report about the clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClockReport {
    /// Why the instance is not ready.
    pub(super) problem: Option<String>,
    /// The last jump.
    pub(super) detail: Option<Value>,
}

impl ClockWatch {
    /// Starts from what the clocks show now; jumps are counted on `jumps`.
    pub fn new(clock: Arc<dyn Clock>, jumps: IntCounter) -> Arc<Self> {
        let state =
            ClockState { wall: clock.wall(), monotonic: clock.monotonic(), last_jump: None };
        Arc::new(Self { clock, jumps, state: Mutex::new(state) })
    }

    /// Checks every second while the future is polled.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    /// Compares the clocks once.
    pub fn look(&self) {
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let mut state = self.state.lock();
        let expected = state.wall.plus(monotonic.saturating_sub(state.monotonic));
        let millis = wall.millis_since(expected);
        state.wall = wall;
        state.monotonic = monotonic;
        if millis.abs() > JUMP_MILLIS {
            state.last_jump = Some(Jump { millis, at: monotonic });
            drop(state);
            self.jumps.inc();
            tracing::warn!(
                jump_ms = millis,
                "the wall clock jumped, which affects the age of deliveries"
            );
        }
    }

    pub(super) fn report(&self, now: Duration) -> ClockReport {
        let Some(jump) = self.state.lock().last_jump else {
            return ClockReport::default();
        };
        let age = now.saturating_sub(jump.at);
        let is_grave = jump.millis.abs() > GRAVE_MILLIS && age < NOT_READY;
        ClockReport {
            problem: is_grave.then(|| format!("the wall clock jumped by {:+} ms", jump.millis)),
            detail: (age < SHOWN)
                .then(|| json!({ "jumped_by_ms": jump.millis, "seconds_ago": age.as_secs() })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookward_time::ManualClock;

    fn watch() -> (Arc<ManualClock>, Arc<ClockWatch>, IntCounter) {
        let clock = Arc::new(ManualClock::at(UnixMillis::from_seconds(1_000_000)));
        let jumps = IntCounter::new("jumps", "jumps").unwrap();
        let watch = ClockWatch::new(Arc::clone(&clock) as Arc<dyn Clock>, jumps.clone());
        (clock, watch, jumps)
    }

    #[test]
    fn a_second_of_difference_is_no_jump_and_a_millisecond_more_is_one() {
        for (millis, expected) in [(0, 0), (1000, 0), (-1000, 0), (1001, 1), (-1001, 1)] {
            let (clock, watch, jumps) = watch();
            clock.advance(Duration::from_secs(1));
            clock.jump(millis);
            watch.look();
            assert_eq!(jumps.get(), expected, "{millis}");
            clock.advance(Duration::from_secs(1));
            watch.look();
            assert_eq!(jumps.get(), expected, "a jump is counted once");
        }
    }

    #[test]
    fn a_small_jump_is_shown_and_a_grave_one_takes_readiness_back_for_ten_seconds() {
        let (clock, watch, _) = watch();
        assert_eq!(watch.report(clock.monotonic()), ClockReport::default());
        clock.jump(60_000);
        watch.look();
        assert_eq!(watch.report(clock.monotonic()).problem, None);
        assert!(watch.report(clock.monotonic()).detail.is_some());

        clock.jump(-3_600_000);
        watch.look();
        let sentence = "the wall clock jumped by -3600000 ms";
        assert_eq!(watch.report(clock.monotonic()).problem.as_deref(), Some(sentence));
        clock.advance(Duration::from_millis(9_999));
        assert!(watch.report(clock.monotonic()).problem.is_some());
        clock.advance(Duration::from_millis(1));
        let report = watch.report(clock.monotonic());
        assert_eq!(report.problem, None);
        assert_eq!(report.detail, Some(json!({ "jumped_by_ms": -3_600_000, "seconds_ago": 10 })));
        clock.advance(SHOWN);
        assert_eq!(watch.report(clock.monotonic()), ClockReport::default());
    }
}
