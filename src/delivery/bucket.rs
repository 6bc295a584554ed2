//! A bucket of permits that is refilled evenly, for a source's `rate_limit` and for log lines.
//!
//! Wraps a rate limiter around our own [`Clock`], so that a test can stop at the instant when a
//! permit becomes available. Knows neither sources nor requests.

use crate::delivery::source::RateLimit;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use hookward_time::Clock;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Holds one period's worth of permits, full at first.
#[derive(Debug)]
pub struct Bucket {
    limit: RateLimit,
    limiter: RateLimiter<NotKeyed, InMemoryState, Steady, NoOpMiddleware<Duration>>,
    clock: Steady,
}

/// The steady side of our clock, as the limiter reads it.
#[derive(Clone, Debug)]
struct Steady(Arc<dyn Clock>);

impl governor::clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

impl Bucket {
    /// A full bucket of this size.
    #[must_use]
    pub fn new(limit: RateLimit, clock: Arc<dyn Clock>) -> Self {
        let burst = NonZeroU32::new(limit.requests).unwrap_or(NonZeroU32::MIN);
        // One permit each `per / requests`, and as many at once as one period holds.
        let quota = Quota::with_period(limit.per / burst.get())
            .unwrap_or_else(|| Quota::per_second(burst))
            .allow_burst(burst);
        let clock = Steady(clock);
        Self { limit, limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    /// How much it holds.
    #[must_use]
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Takes one permit.
    ///
    /// # Errors
    /// The time until there is one again.
    pub fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|empty| empty.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookward_time::{ManualClock, UnixMillis};

    fn bucket(requests: u32, per: Duration) -> (Bucket, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(UnixMillis(0)));
        (Bucket::new(RateLimit { requests, per }, clock.clone()), clock)
    }

    #[test]
    fn a_full_bucket_holds_one_periods_worth_and_not_one_more() {
        for (requests, per) in [(100, Duration::from_secs(1)), (6, Duration::from_mins(1))] {
            let (bucket, _) = bucket(requests, per);
            assert!((0..requests).all(|_| bucket.take().is_ok()), "{requests}");
            assert!(bucket.take().is_err(), "{requests}");
        }
    }

    #[test]
    fn it_is_refilled_evenly_and_says_when_the_next_permit_comes() {
        let (bucket, clock) = bucket(6, Duration::from_mins(1));
        while bucket.take().is_ok() {}
        assert_eq!(bucket.take(), Err(Duration::from_secs(10)));
        clock.advance(Duration::from_millis(9_999));
        assert_eq!(bucket.take(), Err(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        assert_eq!(bucket.take(), Ok(()));
        assert!(bucket.take().is_err(), "one came back, not all");
        clock.advance(Duration::from_mins(1));
        assert_eq!((0..7).filter(|_| bucket.take().is_ok()).count(), 6);
    }
}
